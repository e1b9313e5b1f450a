"""The engine: the only module that imports PyTensor or Theano.

The rest of the package writes its graphs with the functions named here and never asks
which engine runs them:

======== ======================================== =====================================
engine   what it is                               chosen
======== ======================================== =====================================
jax      PyTensor's graph compiled by JAX (XLA)   by default on Python 3.11 and later
numba    PyTensor's graph compiled by Numba       where JAX is missing
theano   classic Theano 1.0.5 (C code)            by default on Python 3.10
======== ======================================== =====================================

The environment variable ``RNN4MUSIC_BACKEND`` names one of them and overrides the choice.

Conventions
-----------
dtype
    Every variable and constant carries its dtype, so that the engine's global ``floatX``
    decides nothing. JAX drops to 32 bits unless its 64-bit mode is on; it is switched on
    around each call here, and its global setting stays as it was.
shapes
    JAX compiles for one shape. ``tensor`` fixes the shape it is given under JAX and
    leaves it open under the other engines; ``compiled_shape`` is the matching cache key.
"""

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import threading
import warnings
from typing import Any

import numpy as np

ENGINES = {
    "jax": ("pytensor", "jax"),
    "numba": ("pytensor", "numba"),
    "theano": ("theano",),
}
"""Each engine's name, and the modules that it needs."""


def _missing(engine):
    """Return the modules that `engine` needs and that are not installed."""
    return [name for name in ENGINES[engine] if importlib.util.find_spec(name) is None]


def choose_engine():
    """Return the engine's name: the one asked for, or the best one installed.

    Raises
    ------
    ValueError
        If ``RNN4MUSIC_BACKEND`` names no engine.
    ImportError
        If the engine is not installed; the message has the pip command that mends it.
    """
    asked = os.environ.get("RNN4MUSIC_BACKEND", "").strip().lower()
    if asked and asked not in ENGINES:
        raise ValueError(
            f"RNN4MUSIC_BACKEND={asked!r} is not an engine; use one of {', '.join(ENGINES)}, "
            "or unset it for the default"
        )
    preferred = ("jax", "numba") if sys.version_info >= (3, 11) else ("theano",)
    for engine in [asked] if asked else preferred:
        if not _missing(engine):
            return engine
    engine = asked or preferred[0]
    packages = " ".join(_missing(engine)).replace("theano", "'Theano==1.0.5' 'numpy<1.22'")
    advice = f"run: python -m pip install {packages}"
    if engine == "theano" and sys.version_info >= (3, 11):
        advice = "classic Theano needs Python 3.10; unset RNN4MUSIC_BACKEND for PyTensor"
    raise ImportError(f"the engine {engine!r} is not installed; {advice}")


ENGINE = choose_engine()

if ENGINE == "theano":
    with warnings.catch_warnings():  # Theano 1.0.5 uses distutils and old NumPy names
        warnings.simplefilter("ignore")
        _library: Any = importlib.import_module("theano")
        importlib.import_module("theano.gpuarray")  # which scan would import later, and loudly
else:
    _library = importlib.import_module("pytensor")
_tensor: Any = importlib.import_module(f"{_library.__name__}.tensor")

abs_ = _tensor.abs_ if ENGINE == "theano" else _tensor.abs
arange = _tensor.arange
cast = _tensor.cast
clip = _tensor.clip
concatenate = _tensor.concatenate
dot = _tensor.dot
exp = _tensor.exp
expm1 = _tensor.expm1
log1p = _tensor.log1p
maximum = _tensor.maximum
sign = _tensor.sgn if ENGINE == "theano" else _tensor.sign
sqrt = _tensor.sqrt
switch = _tensor.switch
zeros = _tensor.zeros
zeros_like = _tensor.zeros_like


def sigmoid(x):
    """Logistic function of an expression, or of any number that knows its own."""
    if hasattr(x, "sigmoid"):
        return x.sigmoid()
    return _tensor.nnet.sigmoid(x) if ENGINE == "theano" else _tensor.sigmoid(x)


def tanh(x):
    """Hyperbolic tangent of an expression, or of any number that knows its own."""
    return x.tanh() if hasattr(x, "tanh") else _tensor.tanh(x)


def cached(function):
    """Cache a function's results by its arguments, for all threads.

    While one thread computes a result, the others wait: nothing is computed twice.
    """
    results, lock = functools.cache(function), threading.Lock()

    @functools.wraps(function)
    def get(*arguments):
        with lock:
            return results(*arguments)

    get.cache_clear = results.cache_clear  # pyright: ignore[reportAttributeAccessIssue]
    return get


def accelerated(by):
    """Make a function use its namesake in another module while that module is `in_use()`.

    Parameters
    ----------
    by : str
        The module. Its function has the same arguments and writes a faster graph of the same
        meaning.
    """

    def decorate(plain):
        @functools.wraps(plain)
        def chosen(*arguments):
            module = importlib.import_module(by)
            function = getattr(module, plain.__name__) if module.in_use() else plain
            return function(*arguments)

        return chosen

    return decorate


def tensor(name, dtype, shape):
    """Return a symbolic input; JAX compiles for this `shape`, the others for its rank."""
    if ENGINE == "theano":
        return _tensor.TensorType(dtype, (False,) * len(shape))(name)
    fixed = shape if ENGINE == "jax" else (None,) * len(shape)
    return _tensor.tensor(name, dtype=dtype, shape=fixed)


def compiled_shape(shape):
    """Return what of `shape` a compiled function depends on: all of it, or its rank."""
    return tuple(shape) if ENGINE == "jax" else len(shape)


def shape_of(expression):
    """Return the dimensions: numbers where they are known, which keeps graphs small."""
    known = (None,) * expression.ndim if ENGINE == "theano" else expression.type.shape
    return tuple(expression.shape[k] if n is None else n for k, n in enumerate(known))


def constant(value, dtype):
    """Return the number `value` in this dtype (a bare 0.9 would follow floatX)."""
    return _tensor.constant(np.asarray(value, dtype=dtype))


def shared(value, name):
    """Return a variable that compiled functions read and update in place."""
    if ENGINE == "theano":
        return _library.shared(value, name=name)
    return _library.shared(value, name=name, shape=value.shape)


def snapshot(variable):
    """Return a shared variable's value for keeping.

    JAX's arrays never change, so that a reference is enough; the others are copied.
    """
    return variable.get_value(borrow=ENGINE == "jax")


def column_sums(matrix):
    """Sum the rows of an (N, M) matrix: (M,), in its own dtype.

    Engines would add up in float64 unless told otherwise, and PyTensor forgets what it was
    told when it drops one of several axes because its length is 1: hence one axis only.
    """
    return matrix.sum(axis=0, dtype=matrix.dtype, acc_dtype=matrix.dtype)


def repeat_row(vector, n_rows):
    """Return the (H,) `vector` as `n_rows` equal rows, (n_rows, H)."""
    return zeros((n_rows, *shape_of(vector)), dtype=vector.dtype) + vector


def scan(step, sequences, states, constants, n_steps):
    """Run `step(*sequence_rows, *states, *constants)` for each row of the sequences.

    Parameters
    ----------
    step : callable
        Returns the new states, then whatever else is to be kept of each step.
    sequences : list of (T, …)
    states : list of expression or None
        The states before the first step; None for each further output of `step`.
    constants : list of expressions
        What `step` needs besides; nothing is captured from outside.
    n_steps : expression or int
        T.

    Returns
    -------
    list of (T, …)
        All that `step` returned, stacked over the steps.
    """
    options = {} if ENGINE == "theano" else {"return_updates": False}
    stacked = _library.scan(
        step,
        sequences=sequences,
        outputs_info=states,
        non_sequences=constants,
        n_steps=n_steps,
        strict=True,
        **options,
    )
    return stacked[0] if ENGINE == "theano" else stacked


def function(inputs, outputs, updates=()):
    """Compile the graph from `inputs` to `outputs`; each call also applies `updates`.

    Returns
    -------
    callable
        Takes arrays of the inputs' dtypes, returns a list of arrays.
    """
    mode = {"jax": "JAX", "numba": "NUMBA", "theano": "FAST_RUN"}[ENGINE]
    if ENGINE == "jax" and not _has_loop(inputs, [*outputs, *(new for _, new in updates)]):
        # XLA does the rest itself; PyTensor's own rewrites would only take their time.
        mode = _library.compile.mode.Mode(linker="jax", optimizer="merge")
    with _in_full_precision():
        # not every optimiser reads every setting
        compiled = _library.function(
            inputs, outputs, updates=list(updates), mode=mode, on_unused_input="ignore"
        )

    @functools.wraps(compiled)
    def call(*arrays):
        with _in_full_precision():
            return compiled(*arrays)

    return call


def _has_loop(inputs, outputs):
    """Return whether there is a scan in the graph from inputs to outputs."""
    from pytensor.graph.traversal import applys_between
    from pytensor.scan.op import Scan

    return any(isinstance(node.op, Scan) for node in applys_between(inputs, outputs))


def runs_on_processor():
    """Return whether JAX computes on the processor, not on a GPU."""
    import jax

    return jax.default_backend() == "cpu"


def machine_code(address, name, inputs, shapes, dtype, in_place):
    """Return the expressions of what a function computes that XLA calls (JAX only).

    Parameters
    ----------
    address : int
        Of a function that takes XLA's call frame.
    name : str
        What it does, unlike any other's: JAX's own cache on disk knows it by that.
    inputs : list of expressions
    shapes : list of tuple of int
        Of its results, all of `dtype`.
    in_place : dict of int to int
        Which input's memory may be taken by which result, where nobody needs it any more.
    """
    shapes = tuple(tuple(int(n) for n in shape) for shape in shapes)
    operation: Any = _machine_code_op()(address, name, shapes, dtype, tuple(in_place.items()))
    return operation(*inputs, return_list=True)


@cached
def _machine_code_op():
    """Return the operation's class, which PyTensor's JAX part knows."""
    with _in_full_precision():
        import ctypes

        import jax
        from pytensor.graph.basic import Apply
        from pytensor.graph.op import Op
        from pytensor.link.jax.dispatch.basic import jax_funcify

    registered, registering = {}, threading.Lock()

    class MachineCode(Op):
        __props__ = ("address", "name", "shapes", "dtype", "in_place")

        def __init__(self, address, name, shapes, dtype, in_place):
            self.address, self.name, self.shapes = address, name, shapes
            self.dtype, self.in_place = dtype, in_place

        def make_node(self, *inputs):
            for dtype in {given.type.dtype for given in inputs} - {self.dtype}:
                raise TypeError(f"{self.name} takes {self.dtype}, not {dtype}")
            outputs = [_tensor.tensor(dtype=self.dtype, shape=shape) for shape in self.shapes]
            return Apply(self, [_tensor.as_tensor_variable(x) for x in inputs], outputs)

        def perform(self, node, inputs, outputs):
            raise NotImplementedError("this operation is compiled by JAX only")

    @jax_funcify.register(MachineCode)  # pyright: ignore[reportArgumentType]
    def convert(op, **_):
        with registering:
            name = op.name
            if registered.get(name, op.address) != op.address:
                name = f"{name}_{op.address}"
            if name not in registered:
                pointer = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(op.address)
                jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(pointer), platform="cpu")
                registered[name] = op.address
        results = [jax.ShapeDtypeStruct(shape, op.dtype) for shape in op.shapes]
        call = jax.ffi.ffi_call(name, results, input_output_aliases=dict(op.in_place))
        return lambda *arrays: tuple(call(*arrays))

    return MachineCode


def _in_full_precision():
    """Return a context in which JAX honours float64, whatever its global setting says."""
    if ENGINE != "jax":
        return contextlib.nullcontext()
    import jax

    if "pytensor.link.jax.dispatch" not in sys.modules:
        # On its first import it sets that global by PyTensor's own floatX: put it back.
        before = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
        importlib.import_module("pytensor.link.jax.dispatch")
        jax.config.update("jax_enable_x64", before)
    return jax.enable_x64(True)
