"""Reading .npz files that may be damaged or hostile.

Conventions
-----------
The sizes that a file claims are compared with its own size before memory is allocated. Nothing is
unpickled here: arrays of objects are skipped.
"""

import errno
import io
import os
import struct
import zipfile
from math import prod

import numpy as np

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compression methods of NumPy; `zipfile` unpacks others in one step, whatever their size."""

_MOST_OF_A_HEADER = 1024  # bytes of an .npy file; those of NumPy have 128
_CHUNK = 2**20  # bytes
_END = struct.Struct("<4s6xH10x")  # end of a zip without a comment: signature, number of entries


def read(file, most_bytes, most_times=0, names=None, unpickled=None):
    """Return the arrays of an open .npz file by name, or raise ValueError or `zipfile`'s errors.

    The arrays may have `most_bytes` in all, or `most_times` the size of the file. Without `names`
    all arrays are read, and the file must hold nothing else. With `names`, those of them that the
    file has are read. `unpickled` returns an array of objects from the bytes after its header.
    """
    size = os.fstat(file.fileno()).st_size
    most_bytes = max(most_bytes, most_times * size)
    with zipfile.ZipFile(file) as archive:
        entries = {e.filename[:-4]: e for e in archive.infolist() if e.filename.endswith(".npy")}
        if names is not None:
            entries = {name: entries[name] for name in names if name in entries}
        elif entries:
            file.seek(-_END.size, os.SEEK_END)
            if _END.unpack(file.read()) != (b"PK\5\6", len(entries)):
                raise ValueError("its list of arrays is damaged, so some would be lost")
        n_bytes = sum(entry.file_size for entry in entries.values())
        if n_bytes > most_bytes:
            raise ValueError(
                f"its {size} bytes claim to hold {n_bytes}; at most {most_bytes} are read"
            )
        arrays = {}
        for name, entry in entries.items():
            if entry.compress_type not in METHODS:
                raise ValueError(f"{name} is compressed by an unknown method")
            with archive.open(entry) as stream:
                arrays[name] = _array(entry, stream, unpickled)
    return {name: array for name, array in arrays.items() if array is not None}


def is_damage(error):
    """Return whether an error comes from the content of a zip file, and not from the disk.

    A seek to a position that does not exist fails with EINVAL.
    """
    return not isinstance(error, OSError) or error.errno in (None, errno.EINVAL)


def _array(entry, stream, unpickled):
    """Return the array in an .npy file of a zip, or None for an array of objects."""
    name, size = entry.filename, entry.file_size
    head = stream.read(_MOST_OF_A_HEADER)
    file = io.BytesIO(head)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # the only version that NumPy writes for numbers and text
        raise ValueError(f"{name} has the unknown format {version}")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    begin = head[file.tell() :]
    n_bytes = size - file.tell()
    if dtype.hasobject:
        return unpickled(begin + stream.read(size)) if unpickled else None
    if not all(0 <= n <= size for n in shape) or prod(shape) * dtype.itemsize != n_bytes:
        raise ValueError(f"{name} claims the shape {shape} in {size} bytes")
    # filled to the end, so that the checksum is compared, and no further: it may be a zip bomb
    data, n_read = np.empty(n_bytes, np.uint8), len(begin)
    data[:n_read] = np.frombuffer(begin, np.uint8)
    while n_read < n_bytes:
        part = stream.read(min(_CHUNK, n_bytes - n_read))
        if not part:
            raise ValueError(f"{name} ends after {n_read} of {n_bytes} bytes")
        data[n_read : n_read + len(part)] = np.frombuffer(part, np.uint8)
        n_read += len(part)
    return np.ndarray(shape, dtype, data.data, order="F" if is_fortran else "C")
