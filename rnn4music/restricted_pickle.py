"""Reading pickles that hold data alone: containers, numbers, text and NumPy arrays.

A pickle is a program that may import and call anything. This unpickler imports nothing: of all
names it knows those by which NumPy's arrays and numbers are pickled, and what stands for them
here are small classes of our own that check what they are given. Everything else is refused
before anything is called.
"""

import io
import pickle
import pickletools
import re
from math import prod

import numpy as np

_DTYPE = re.compile(r"[<>=|]?([biufO])\d{0,2}")
_CORES = ("numpy.core", "numpy._core")  # before NumPy 2, and since


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
        _check_memo(data)
        return _plain(_Unpickler(data).load(), {})
    except ValueError:
        raise
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # damage makes pickle raise all sorts
        raise ValueError(f"a damaged pickle: {type(error).__name__}: {error}") from None


def _check_memo(data):
    """Refuse an index far beyond the file's size: pickle's C code makes room for as many."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and (argument or 0) > len(data):
                raise ValueError(f"memo index {argument}")
    except ValueError as error:
        raise ValueError(f"a damaged pickle: {error}") from None


class _Unpickler(pickle.Unpickler):  # noqa: S301
    def __init__(self, data):
        super().__init__(io.BytesIO(data), encoding="latin1")

    def find_class(self, module, name):
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}; only containers, numbers and NumPy arrays are read"
            ) from None


class _ArrayClass:
    """Stands for numpy.ndarray where it is named; it cannot be called."""


class _Dtype:
    def __init__(self, name, *_):
        if not isinstance(name, str) or not _DTYPE.fullmatch(name):
            raise ValueError(f"it holds arrays of the type {name!r}; only numbers are read")
        self.dtype = np.dtype(name)

    def __setstate__(self, state):
        order = state[1]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise ValueError("it holds arrays of a structured type; only numbers are read")
        self.dtype = self.dtype.newbyteorder(order)

    def array(self, raw):
        """Return the bytes as numbers."""
        if self.dtype.hasobject:
            raise ValueError("a damaged pickle: bytes as objects")
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        return np.frombuffer(raw, self.dtype)


class _Array:
    value = ()

    def __setstate__(self, state):
        shape, dtype, is_fortran, raw = state[-4:]
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


def _encode(text, encoding):
    if encoding != "latin1":
        raise ValueError(f"a damaged pickle: bytes encoded as {encoding!r}")
    return text.encode("latin1")


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
    else:
        return value
    done[id(value)] = plain
    return plain
