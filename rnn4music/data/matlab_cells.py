"""Cell arrays of matrices from MATLAB files (version 5 to 7), which may be damaged or hostile.

SciPy's reader is fast compiled code that reads far more kinds, and that some damaged files crash;
this one reads what the standard sets hold, and takes no size on trust.

Conventions
-----------
After 128 bytes of header a file is a row of elements: type and size, four bytes each, and so many
bytes. An element of at most four bytes may stand in eight: size and type share the first four.
A matrix is an element whose bytes are again elements: flags, shape, name, then the numbers
column by column, or for a cell array the matrices in it.
"""

import itertools
import zlib
from math import prod

import numpy as np

_NUMBERS = {
    1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8",
    13: "<u8",
}  # fmt: skip
_MATRIX, _COMPRESSED = 14, 15
_CELL, _NUMERIC = 1, range(6, 16)
_COMPLEX = 8  # a flag
_HEADER = 128  # bytes


def read(data, names, most_bytes):
    """Return the matrices in the cell arrays of these names: dict of name to list of arrays.

    Parameters
    ----------
    data : bytes
        The whole file.
    names : collection of str
        Other variables are not read.
    most_bytes : int
        What is compressed may have so many bytes in all.

    Raises
    ------
    ValueError
        If it is no such file, is damaged, or has something else under one of the names.
    """
    if data[512:516] == b"\x89HDF":
        raise ValueError("it is a MATLAB 7.3 file; save it with -v7 or older")
    if data[126:128] != b"IM":  # the other way round from machines with the highest byte first
        raise ValueError("it is no MATLAB file of the versions 5 to 7, or from a rare machine")
    cells = {}
    for kind, content in _elements(memoryview(data)[_HEADER:]):
        if kind == _COMPRESSED:
            content = _decompressed(content, most_bytes)
            most_bytes -= len(content)
            kind, content = next(_elements(content), (None, b""))
        if kind != _MATRIX:
            raise ValueError("it is damaged: what it holds is no matrix")
        name, matrix = _matrix(content, names)
        if matrix is not None:
            cells[name] = matrix
    return cells


def _elements(data):
    """Yield the type and the bytes of each element."""
    position = 0
    while position < len(data):
        kind, size = np.frombuffer(data, "<u4", 2, position).tolist()
        start = position + 8
        end = start + size + (-size % 8 if kind != _COMPRESSED else 0)
        if kind >> 16:
            kind, size, start, end = kind & 0xFFFF, min(kind >> 16, 4), position + 4, start
        if start + size > len(data):
            raise ValueError("it is damaged: an element is longer than the file")
        yield kind, data[start : start + size]
        position = end


def _decompressed(data, most_bytes):
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data, most_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from None
    if len(content) > most_bytes:
        raise ValueError("it expands to more bytes than are read")
    if not stream.eof:
        raise ValueError("it is damaged: it ends too early")
    return memoryview(content)


def _matrix(data, names):
    """Return a variable's name, and its matrices if it is one of `names`."""
    parts = _elements(data)
    flags, shape, name = _head(parts)
    if name not in names:
        return name, None
    if flags & 0xFF != _CELL:
        raise ValueError(f"its {name!r} is no cell array of tunes")
    cells = [_numbers(content, name) for kind, content in parts if kind == _MATRIX]
    if len(shape) != 2 or not len(cells) == max(shape) == prod(shape):
        raise ValueError(f"it is damaged: {name!r} has {len(cells)} cells, but claims {shape[:9]}")
    return name, cells


def _head(parts):
    """Return a matrix's flags, shape and name."""
    head = [content for _, content in itertools.islice(parts, 3)]
    if len(head) < 3 or len(head[0]) < 4:
        raise ValueError("it is damaged: a matrix without a name")
    flags, shape = (np.frombuffer(part, "<i4").tolist() for part in head[:2])
    if min(shape, default=-1) < 0:
        raise ValueError(f"it is damaged: a matrix of the shape {shape[:9]}")
    return flags[0], shape, bytes(head[2]).decode("latin1")


def _numbers(data, name):
    """Return one numeric matrix."""
    parts = _elements(data)
    flags, shape, _ = _head(parts)
    if flags & 0xFF not in _NUMERIC or flags >> 8 & _COMPLEX:
        raise ValueError(f"a cell of {name!r} is no matrix of real numbers")
    kind, content = next(parts, (None, b""))
    if kind not in _NUMBERS:
        raise ValueError(f"it is damaged: a matrix in {name!r} without numbers")
    numbers = np.frombuffer(content, _NUMBERS[kind])
    if len(shape) != 2 or len(numbers) != prod(shape):
        raise ValueError(f"it is damaged: {len(numbers)} numbers, but the shape {shape[:9]}")
    return numbers.reshape(shape, order="F")
