"""Reading pickles that hold data alone: containers, numbers, text and NumPy arrays.

A pickle is a program that may import and call anything. This unpickler imports nothing: of all
names it knows those by which NumPy's arrays and numbers are pickled, and what stands for them
here are small classes of our own that check what they are given. Everything else is refused
before anything is called.
"""

# pyright: reportAttributeAccessIssue=false, reportAssignmentType=false, reportArgumentType=false
# (what is known of `pickle._Unpickler` are the methods of the reader in C)

import functools
import io
import pickle
import re
from math import prod

import numpy as np

_DTYPE = re.compile(r"[<>=|]?([biufO])\d{0,2}")
_PLAIN = (int, float, complex, str, bytes, bytearray, type(None), np.ndarray, np.generic)
_MOST_AXES = 32
_CORES = ("numpy.core", "numpy._core")  # before NumPy 2, and since
_NOT_DATA = (
    *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.INST),
    *(pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.EMPTY_SET, pickle.ADDITEMS),
    *(pickle.FROZENSET, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
)
"""Opcodes that make instances, sets, and what lies outside the file."""


def loads(data):
    """Return what a pickle holds.

    Parameters
    ----------
    data : bytes
        Of any protocol; text of Python 2 is taken as Latin-1.

    Returns
    -------
    object
        Made of lists, tuples, dicts, numbers, text, bytes and NumPy arrays; arrays of objects
        come as nested lists.

    Raises
    ------
    ValueError
        If it is damaged, or holds anything else.
    """
    try:
        return _plain(_Unpickler(data).load(), {})
    except ValueError:
        raise
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # damage makes pickle raise all sorts
        raise ValueError(f"a damaged pickle: {type(error).__name__}: {error}") from None


class _Unpickler(pickle._Unpickler):
    """Python's own reader in Python: the one in C makes room for any memo index that it meets.

    It knows only the opcodes that data need, changes no objects but those made here, and hashes
    no tuples, which may hold each other and take for ever.
    """

    dispatch = {
        code: load
        for code, load in pickle._Unpickler.dispatch.items()
        if bytes([code]) not in _NOT_DATA
    }

    def __init__(self, data):
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._n_bytes = self._n_to_encode = len(data)

    def find_class(self, module, name):
        try:
            known = _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}; only containers, numbers and NumPy arrays are read"
            ) from None
        return functools.partial(known, self._encoded) if known in (_Dtype, _encode) else known

    def _encoded(self, text):
        """Return text as bytes, no more in all than the file has: one text may be used often."""
        self._n_to_encode -= len(text)
        if self._n_to_encode < 0:
            raise ValueError("a damaged pickle: it makes more bytes than it has")
        return text.encode("latin1")

    def _with_keys(self, opcode, keys):
        if not all(isinstance(key, (str, bytes, int)) for key in keys):
            raise ValueError("it holds a dict whose keys are neither text nor numbers")
        pickle._Unpickler.dispatch[opcode[0]](self)

    def _dict(self):
        self._with_keys(pickle.DICT, self.stack[::2])

    def _setitem(self):
        self._with_keys(pickle.SETITEM, self.stack[-2:-1])

    def _setitems(self):
        self._with_keys(pickle.SETITEMS, self.stack[::2])

    def _bytearray(self):
        size = int.from_bytes(self.read(8), "little")
        if size > self._n_bytes:
            raise ValueError(f"a damaged pickle: an array of {size} bytes")
        self.append(bytearray(self.read(size)))

    def _build(self):
        if type(self.stack[-2]) not in (_Dtype, _Array):
            raise ValueError("it changes what is no NumPy array")
        self.load_build()

    dispatch |= {
        pickle.DICT[0]: _dict,
        pickle.SETITEM[0]: _setitem,
        pickle.SETITEMS[0]: _setitems,
        pickle.BUILD[0]: _build,
        pickle.BYTEARRAY8[0]: _bytearray,
    }


class _ArrayClass:
    """Stands for numpy.ndarray where it is named; it cannot be called."""


class _Dtype:
    def __init__(self, encoded, name, *_):
        if not isinstance(name, str) or not _DTYPE.fullmatch(name):
            raise ValueError(f"it holds arrays of the type {name!r}; only numbers are read")
        self.dtype, self._encoded = np.dtype(name), encoded

    def __setstate__(self, state):
        order = state[1]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise ValueError("it holds arrays of a structured type; only numbers are read")
        self.dtype = self.dtype.newbyteorder(order)

    def array(self, raw):
        """Return the bytes as numbers."""
        if self.dtype.hasobject:
            raise ValueError("a damaged pickle: bytes as objects")
        raw = self._encoded(raw) if isinstance(raw, str) else raw
        return np.frombuffer(raw, self.dtype)


class _Array:
    value = ()

    def __setstate__(self, state):
        shape, dtype, is_fortran, raw = state[-4:]
        if len(shape) > _MOST_AXES or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
            raise ValueError(f"a damaged pickle: an array of the shape {str(shape)[:60]}")
        if dtype.dtype.hasobject:
            if not isinstance(raw, list) or len(raw) != prod(shape):
                raise ValueError("a damaged pickle: an array without its items")
            self.value = raw
        else:
            self.value = dtype.array(raw).reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(*_):
    return _Array()


def _scalar(dtype, raw):
    return dtype.array(raw)[0]


def _frombuffer(raw, dtype, shape, order):
    return dtype.array(raw).reshape(shape, order=order)


def _encode(encoded, text, encoding):
    if encoding != "latin1":
        raise ValueError(f"a damaged pickle: bytes encoded as {encoding!r}")
    return encoded(text)


_KNOWN = {
    ("numpy", "ndarray"): _ArrayClass(),
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    **{(f"{core}.multiarray", "_reconstruct"): _reconstruct for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): _frombuffer for core in _CORES},
}


def _plain(value, done):
    """Replace what stands for arrays by them, what is there several times once (`done`)."""
    if id(value) in done:
        return done[id(value)]
    plain = value
    if isinstance(value, _Array):
        plain = _plain(value.value, done)
    elif isinstance(value, dict):
        plain = {key: _plain(each, done) for key, each in value.items()}
    elif isinstance(value, (list, tuple)):
        if any(not isinstance(each, (int, float)) for each in value):
            plain = [_plain(each, done) for each in value]
    elif isinstance(value, _PLAIN):
        return value
    else:
        raise ValueError("it holds something else than containers, numbers and NumPy arrays")
    done[id(value)] = plain
    return plain
