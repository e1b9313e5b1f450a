"""A small compiler for loops over vectors of floating-point numbers (LLVM, through llvmlite).

The kernels write their loops in Python with the classes here, which record them as LLVM code.
This becomes machine code for this processor in a few hundredths of a second, without an installed
compiler.

    Index    an integer known at run time: an index, a size
    Vector   as many floating-point numbers as one instruction handles, with +, −, ·, /,
             `sigmoid`, `sqrt` and others, so that generic formulas such as `lstm.lstm_step` work
             on it
    Array    an address, and the strides of its elements

Conventions
-----------
Strides and offsets count elements, not bytes. ``count`` is the number of lanes that a load or
store uses; the other lanes are read as 0 and never written. Nothing is aligned or checked: the
caller guarantees that every address is valid.
"""

import contextlib
import functools
import math
from decimal import Decimal
from typing import Any

from llvmlite import ir

from rnn4music._utils import code_cache


def _registers(has):
    """Return the number of vector registers of this processor, and the size of each in bytes."""
    if has.get("avx512f"):
        return 32, 64
    if has.get("avx"):
        return 16, 32
    return (32 if has.get("neon") else 16), 16


FEATURES = code_cache.features()
N_REGISTERS, REGISTER_BYTES = _registers(FEATURES)
HAS_FMA = any(map(FEATURES.get, ("fma", "neon")))
"""Whether a product and a sum are one instruction; x86 processors have it since 2013."""

N_BYTES = {"float32": 4, "float64": 8}


def lanes_of(dtype):
    """Return how many numbers a vector holds."""
    return REGISTER_BYTES // N_BYTES[dtype]


_INT64 = ir.IntType(64)
_POINTER = ir.PointerType()


@functools.cache
def _constant(kind, numbers):
    """Return a constant vector; llvmlite formats each one once, which takes long."""
    return ir.Constant(ir.VectorType(kind, len(numbers)), list(numbers))


def _operator(instruction, **options):
    """Return a method that combines two values of the same class by an LLVM instruction."""

    def combined(self, other):
        instruct = getattr(self.code.builder, instruction)
        return type(self)(self.code, instruct(self.value, self.same(other).value, **options))

    return combined


class Index:
    """An integer in the generated code; the other operand of any operator may be an int."""

    def __init__(self, code, value):
        self.code, self.value = code, value
        self.same = code.index

    __add__, __sub__, __mul__ = map(_operator, ("add", "sub", "mul"))
    __floordiv__, __mod__ = map(_operator, ("sdiv", "srem"))

    def compare(self, sign, other):
        """Return whether ``self sign other`` holds, for `select` and `if_`."""
        return self.code.builder.icmp_signed(sign, self.value, self.same(other).value)

    def at_most(self, other):
        """Return the smaller of the two."""
        return self.code.select(self.compare("<", other), self, self.same(other))

    def at_least(self, other):
        """Return the larger of the two."""
        return self.code.select(self.compare("<", other), self.same(other), self)


class Vector:
    """A vector of numbers in the generated code; the other operand may be an int or a float."""

    def __init__(self, code, value):
        self.code, self.value = code, value
        self.same = code.vector

    # "contract": a product and the sum that uses it may be rounded once
    __add__ = __radd__ = _operator("fadd", flags=("contract",))
    __mul__ = __rmul__ = _operator("fmul", flags=("contract",))
    __sub__ = _operator("fsub", flags=("contract",))
    __truediv__ = _operator("fdiv", flags=("contract",))

    def __rsub__(self, other):
        return self.same(other) - self

    def __rtruediv__(self, other):
        return self.same(other) / self

    def __neg__(self):
        return 0 - self

    def fma(self, factor, summand):
        """Return self · factor + summand, rounded once."""
        return self.code.intrinsic("fma", self, self.same(factor), self.same(summand))

    def exceeds(self, other):
        """Return a Vector with 1 where self > other, and 0 elsewhere."""
        is_larger = self.code.builder.fcmp_ordered(">", self.value, self.same(other).value)
        return self.code.select(is_larger, self.code.vector(1), self.code.vector(0))

    def any(self):
        """Return whether a number is not 0, for `if_`."""
        code = self.code
        flags = code.builder.fcmp_unordered("!=", self.value, code.vector(0).value)
        bits = ir.IntType(code.n_lanes)
        return code.builder.icmp_unsigned("!=", code.builder.bitcast(flags, bits), bits(0))

    def sqrt(self):
        """Square root."""
        return self.code.intrinsic("sqrt", self)

    def sign(self):
        """−1, 0 or 1; 0 for NaN."""
        return self.exceeds(0) - self.same(0).exceeds(self)

    def maximum(self, other):
        """Return the larger of the two, NaN where self is."""
        return _limited(self, other, "<")

    def clip(self, low, high):
        """Limit to [low, high]; NaN stays."""
        return _limited(_limited(self, low, "<"), high, ">")

    def abs_(self):
        """The number without its sign."""
        return self.code.intrinsic("fabs", self)

    def exp(self):
        """e^x, or its value at the bound of `_exponential` where x is beyond it."""
        scale, rest = _exponential(self)
        return rest.fma(scale, scale)

    def log1p(self):
        """log(1 + x), for 0 ≤ x ≤ 1 only: 2 artanh(q) with q = x / (2 + x), and its series.

        q ≤ 1/3, so each term is less than a ninth of the one before it.
        """
        q = self / (self + 2)
        square = q * q
        n_terms = 8 if self.code.n_bytes == 4 else 17
        series = self.same(1 / (2 * n_terms - 1))
        for k in range(n_terms - 2, -1, -1):
            series = series.fma(square, 1 / (2 * k + 1))
        return (q + q) * series

    def expm1(self):
        """e^x − 1, exact near 0 too."""
        scale, rest = _exponential(self)
        return rest.fma(scale, scale - 1)

    def sigmoid(self):
        """Logistic function: 1 / (1 + e^−x)."""
        scale, rest = _exponential(0 - self)
        return 1 / (1 + rest.fma(scale, scale))

    def tanh(self):
        """Hyperbolic tangent: m / (m + 2) with m = e^2x − 1, exact near 0 too."""
        m = (self + self).expm1()
        return m / (m + 2)


def _exponential(x):
    """Return (s, r) with e^x = s (1 + r), s a power of two: e^x = 2^n e^(x − n log 2).

    r is the Taylor series, cut off where the next term is below the rounding error. x is
    limited to the range in which e^x is neither 0 nor infinite. n is rounded by the addition of a
    number so large that its last digit is 1; with the exponent's bias added too, the sum's last
    bits are the exponent of s.
    """
    code = x.code
    single = code.n_bytes == 4
    n_terms, bound = (7, 87) if single else (13, 708)
    mantissa, bias = (23, 127) if single else (52, 1023)
    # log 2 in two parts; the first has so few digits that its product with n is exact
    scale = 2**9 if single else 2**32
    first = round(math.log(2) * scale) / scale
    second = float(Decimal(2).ln() - Decimal(first))
    x = _limited(_limited(x, bound, ">"), -bound, "<")
    large = 1.5 * 2**mantissa + bias
    rounded = x.fma(1 / math.log(2), large)
    n = rounded - large
    x = n.fma(-second, n.fma(-first, x))
    series = code.vector(1 / math.factorial(n_terms))
    for k in range(n_terms - 1, 0, -1):
        series = series.fma(x, 1 / math.factorial(k))
    integers = ir.VectorType(ir.IntType(8 * code.n_bytes), code.n_lanes)
    bits = code.builder.bitcast(rounded.value, integers)
    bits = code.builder.shl(bits, ir.Constant(integers, [mantissa] * code.n_lanes))
    return Vector(code, code.builder.bitcast(bits, code.vector_type)), series * x


def _limited(x, bound, beyond):
    """Return the bound where x is beyond it, else x, also where x is NaN."""
    code = x.code
    bound = code.vector(bound).value
    is_beyond = code.builder.fcmp_ordered(beyond, x.value, bound)
    return Vector(code, code.builder.select(is_beyond, bound, x.value))


class Array:
    """Numbers in memory; ``array[i, j]`` is the part that begins at these indices."""

    def __init__(self, code, pointer, strides):
        self.code, self.pointer, self.strides = code, pointer, strides

    def __getitem__(self, indices):
        indices = indices if isinstance(indices, tuple) else (indices,)
        known = 0
        offset = None
        for index, stride in zip(indices, self.strides):
            if isinstance(index, int):
                known += index * stride
            else:
                part = index if stride == 1 else index * stride
                offset = part if offset is None else offset + part
        builder, pointer = self.code.builder, self.pointer
        if offset is not None:
            pointer = builder.gep(pointer, [offset.value], source_etype=self.code.real_type)
        if known:
            known = ir.Constant(_INT64, known)
            pointer = builder.gep(pointer, [known], source_etype=self.code.real_type)
        return Array(self.code, pointer, self.strides[len(indices) :])

    def view(self, *strides):
        """Return the array that begins here, with other strides."""
        return Array(self.code, self.pointer, strides)

    def load(self, count=None):
        """Load a vector of contiguous numbers from here."""
        code = self.code
        if count in (None, code.n_lanes):
            value = code.builder.load(self.pointer, typ=code.vector_type, align=code.n_bytes)
        else:
            arguments = [self.pointer, *code.lanes(count), code.vector(0).value]
            value = code.call(f"llvm.masked.load.{code.suffix}.p0", code.vector_type, arguments)
        return Vector(code, value)

    def store(self, vector, count=None):
        """Store the vector's numbers here, contiguously."""
        code = self.code
        if count in (None, code.n_lanes):
            code.builder.store(vector.value, self.pointer, align=code.n_bytes)
        else:
            arguments = [vector.value, self.pointer, *code.lanes(count)]
            code.call(f"llvm.masked.store.{code.suffix}.p0", ir.VoidType(), arguments)

    def integer(self):
        """Return the whole number here as an Index."""
        code, builder = self.code, self.code.builder
        number = builder.load(self.pointer, typ=code.real_type, align=code.n_bytes)
        return Index(code, builder.fptosi(number, _INT64))

    def broadcast(self):
        """Return a Vector with the number here in all lanes."""
        code, builder = self.code, self.code.builder
        number = builder.load(self.pointer, typ=code.real_type, align=code.n_bytes)
        nothing = ir.Constant(code.vector_type, ir.Undefined)
        first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
        zeros = _constant(ir.IntType(32), (0,) * code.n_lanes)
        return Vector(code, builder.shuffle_vector(first, nothing, zeros))


class Positions:
    """A list of the positions at which numbers are not 0, of at most `most` numbers."""

    def __init__(self, code, most):
        self.code = code
        vectors = -(-most // code.n_lanes) + 1
        with code.builder.goto_entry_block():
            self.list = code.builder.alloca(ir.IntType(32), vectors * code.n_lanes)
            self.length = code.builder.alloca(_INT64)

    def find(self, array, n):
        """List the positions in the first n numbers of an array."""
        code, builder = self.code, self.code.builder
        integers = ir.VectorType(ir.IntType(32), code.n_lanes)
        flags = ir.VectorType(ir.IntType(1), code.n_lanes)
        bits = ir.IntType(code.n_lanes)
        length = ir.Constant(_INT64, 0)
        for first in range(0, n, code.n_lanes):
            numbers = array[first].load(min(code.n_lanes, n - first))
            differ = builder.fcmp_unordered("!=", numbers.value, code.vector(0).value)
            positions = ir.Constant(integers, [first + k for k in range(code.n_lanes)])
            end = builder.gep(self.list, [length], source_etype=ir.IntType(32))
            code.call(
                f"llvm.masked.compressstore.v{code.n_lanes}i32",
                ir.VoidType(),
                [positions, end, builder.bitcast(differ, flags)],
            )
            found = code.call(f"llvm.ctpop.i{code.n_lanes}", bits, [builder.bitcast(differ, bits)])
            length = builder.add(length, builder.zext(found, _INT64))
        builder.store(length, self.length)

    def count(self):
        """Return the number of positions found."""
        return Index(self.code, self.code.builder.load(self.length, typ=_INT64))

    def __getitem__(self, k):
        place = self.code.builder.gep(self.list, [k.value], source_etype=ir.IntType(32))
        found = self.code.builder.load(place, typ=ir.IntType(32))
        return Index(self.code, self.code.builder.zext(found, _INT64))


class FunctionBuilder:
    """Builder of one function of a module, which takes an array of addresses and a number."""

    def __init__(self, module, name, dtype):
        self.module = module
        self.real_type = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.n_bytes = N_BYTES[dtype]
        self.n_lanes = lanes_of(dtype)
        self.vector_type = ir.VectorType(self.real_type, self.n_lanes)
        self.suffix = f"v{self.n_lanes}f{8 * self.n_bytes}"  # of functions for such vectors
        self.function = ir.Function(
            module, ir.FunctionType(ir.VoidType(), [_POINTER, _INT64]), name
        )
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        self.addresses, number = self.function.args
        self.number = Index(self, number)

    def arrays(self, strides):
        """Return an Array for each address, in order, with these strides."""
        return [self.array(position, own) for position, own in enumerate(strides)]

    def array(self, position, strides):
        """Return the Array whose address has this position, an Index or an int."""
        slot = self.builder.gep(self.addresses, [self.index(position).value], source_etype=_POINTER)
        return Array(self, self.builder.load(slot, typ=_POINTER), strides)

    def table(self, numbers):
        """Return a function from a place, an Index, to the integer there in a list."""
        kind = ir.ArrayType(_INT64, len(numbers))
        table: Any = ir.GlobalVariable(self.module, kind, self.module.get_unique_name("table"))
        table.initializer, table.linkage = ir.Constant(kind, numbers), "internal"

        def look_up(place):
            slot = self.builder.gep(table, [place.value], source_etype=_INT64)
            return Index(self, self.builder.load(slot, typ=_INT64))

        return look_up

    def end(self):
        """End the function."""
        self.builder.ret_void()

    def scratch(self, n_vectors, strides):
        """Return memory for this many vectors, private to this call of the function."""
        with self.builder.goto_entry_block():
            return Array(self, self.builder.alloca(self.vector_type, n_vectors), strides)

    def index(self, number):
        """Return an int as an Index; return an Index unchanged."""
        return number if isinstance(number, Index) else Index(self, ir.Constant(_INT64, number))

    def vector(self, number):
        """Return a Vector with a number in all lanes; return a Vector unchanged."""
        if isinstance(number, Vector):
            return number
        return Vector(self, _constant(self.real_type, (float(number),) * self.n_lanes))

    def select(self, condition, first, second) -> Any:
        """Return `first` if the condition holds, else `second`: Indices, Vectors or Arrays."""
        if isinstance(first, Array):
            pointer = self.builder.select(condition, first.pointer, second.pointer)
            return Array(self, pointer, first.strides)
        return type(first)(self, self.builder.select(condition, first.value, second.value))

    def if_(self, condition):
        """Emit the block's code, to be run where the condition holds."""
        return self.builder.if_then(condition)

    @contextlib.contextmanager
    def loop(self, start, stop, sums=()):
        """Emit a loop over the numbers from start up to, but not including, stop.

        Yields the number, an Index; the block is the loop's body. The list of Vectors `sums` is
        carried from one iteration to the next in registers: the block reads the list and replaces
        its elements.
        """
        start, stop, builder = self.index(start), self.index(stop), self.builder
        before = builder.block
        head, inside, after = (builder.append_basic_block() for _ in range(3))
        builder.branch(head)
        builder.position_at_end(head)
        number = builder.phi(_INT64)
        number.add_incoming(start.value, before)
        carried, first = [builder.phi(self.vector_type) for _ in sums], list(sums)
        builder.cbranch(builder.icmp_signed("<", number, stop.value), inside, after)
        builder.position_at_end(inside)
        for k, value in enumerate(carried):
            sums[k] = Vector(self, value)
        yield Index(self, number)
        number.add_incoming(builder.add(number, ir.Constant(_INT64, 1)), builder.block)
        for k, value in enumerate(carried):
            value.add_incoming(first[k].value, before)
            value.add_incoming(sums[k].value, builder.block)
            sums[k] = Vector(self, value)
        builder.branch(head)
        builder.position_at_end(after)

    def intrinsic(self, name, *arguments):
        """Call an LLVM intrinsic on Vectors."""
        values = [argument.value for argument in arguments]
        return Vector(self, self.call(f"llvm.{name}.{self.suffix}", self.vector_type, values))

    def lanes(self, count):
        """Return arguments of LLVM's masked intrinsics: alignment, mask of `count` lanes."""
        mask = _constant(ir.IntType(1), tuple(int(k < count) for k in range(self.n_lanes)))
        return ir.Constant(ir.IntType(32), self.n_bytes), mask

    def transposed(self, rows):
        """Transpose a square of Vectors: swap halves, then quarters, …"""
        n = self.n_lanes
        rows = [row.value for row in rows]
        distance = n // 2
        while distance:
            for k in range(n):
                if not k & distance:
                    pair = rows[k], rows[k + distance]
                    stay = [n + m - distance if m & distance else m for m in range(n)]
                    swap = [n + m if m & distance else m + distance for m in range(n)]
                    for position, order in ((k, stay), (k + distance, swap)):
                        mask = _constant(ir.IntType(32), tuple(order))
                        rows[position] = self.builder.shuffle_vector(*pair, mask)
            distance //= 2
        return [Vector(self, row) for row in rows]

    def call(self, name, result, arguments):
        """Call an LLVM function by its full name."""
        function = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(result, [a.type for a in arguments]), name
        )
        return self.builder.call(function, arguments)
