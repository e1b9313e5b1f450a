"""Reading pickles that contain only data: containers, numbers, text and NumPy arrays.

A pickle is a program that may import and call anything. This unpickler imports nothing (see
"Restricting Globals" in Python's manual). It recognises the names by which NumPy pickles arrays and
numbers, and replaces them by functions that can only make arrays of numbers or of objects. NumPy's
own types would take the address of an object from the file.

The memory and time that a pickle takes are not limited here. Read pickles in a process that limits
both (`processes.in_limited_process`).
"""

import io
import pickle
import re
from math import prod

import numpy as np

_DTYPE = re.compile(r"[<>=|]?([biufO])\d{0,2}")
_CORES = ("numpy.core", "numpy._core")  # before NumPy 2, and since


def loads(data):
    """Return the content of a pickle of any protocol; Python 2 text is decoded as Latin-1.

    Raises
    ------
    ValueError
        If it is damaged, or asks for anything other than NumPy arrays and numbers.
    """
    try:
        return _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # pickle raises many kinds of error for damage
        raise ValueError(f"a damaged pickle: {type(error).__name__}: {error}") from None


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name, global_name):
        try:
            return _KNOWN[module_name, global_name]
        except KeyError:
            raise ValueError(
                f"it asks for {module_name}.{global_name}; only containers, numbers and NumPy "
                "arrays are read"
            ) from None


class _Dtype:
    """Stand-in for numpy.dtype; only the byte order of its state is used."""

    def __init__(self, name):
        if not isinstance(name, str) or not _DTYPE.fullmatch(name):
            raise ValueError(f"it contains arrays of the type {name!r}; only numbers are read")
        self.dtype = np.dtype(name)

    def __setstate__(self, state):
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    def __setstate__(self, state):
        shape, dtype, is_fortran, raw = state[-4:]
        n_items = len(raw) / (1 if dtype.dtype.hasobject else dtype.dtype.itemsize)
        if min(shape, default=0) < 0 or prod(shape) != n_items:
            raise ValueError(f"a damaged pickle: an array of the shape {str(shape)[:60]}")
        super().__setstate__((1, shape, dtype.dtype, is_fortran, raw))


def _scalar(dtype, raw):
    return np.frombuffer(_bytes(raw), dtype.dtype)[0]


def _frombuffer(raw, dtype, shape, order):
    return np.frombuffer(_bytes(raw), dtype.dtype).reshape(shape, order=order)


def _bytes(text, encoding="latin1"):
    if encoding != "latin1":
        raise ValueError(f"a damaged pickle: bytes encoded as {encoding!r}")
    return text.encode(encoding) if isinstance(text, str) else text


_KNOWN = {
    ("numpy", "ndarray"): None,  # named as an array's type, never called
    ("numpy", "dtype"): lambda name, *_: _Dtype(name),
    ("_codecs", "encode"): _bytes,
    **{(f"{core}.multiarray", "_reconstruct"): lambda *_: _Array(0) for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): _frombuffer for core in _CORES},
}
