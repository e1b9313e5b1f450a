"""Reading .npz files that may be damaged or hostile.

Conventions
-----------
Nothing is allocated for what a file claims before that was compared with its size, and nothing is
unpickled: arrays of objects are left out.
"""

import errno
import io
import os
import zipfile
from math import prod

import numpy as np

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""NumPy writes no others; `zipfile` unpacks those in one step, of whatever size."""

_MOST_OF_A_HEADER = 1024  # bytes; ours have 118
_HEADERS = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}
"""Of each format, how many bytes tell the header's length, and what reads it from there on."""


def read(file, most_bytes, most_times=0, names=None, unpickled=None):
    """Return the arrays of an .npz file: dict of name to array.

    Parameters
    ----------
    file : binary file
    most_bytes, most_times : int
        The arrays may have so many bytes in all, or so many times what the file has.
    names : collection of str, optional
        Which arrays to read, if they are there, of each the last; without it all, each of which
        must be there once, and nothing else.
    unpickled : callable, optional
        Makes something of the bytes behind the header of an array of objects.

    Raises
    ------
    Exception
        A ValueError that says what is wrong, or whatever `zipfile` makes of damage.
    """
    size = os.fstat(file.fileno()).st_size
    most_bytes = max(most_bytes, most_times * size)
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        members = {
            member.filename[: -len(".npy")]: member
            for member in archive.infolist()
            if member.filename.endswith(".npy")
        }
        if names is not None:
            members = {name: members[name] for name in names if name in members}
        elif members and len(members) != _n_claimed(file):
            raise ValueError("its list of arrays is damaged, and some would be lost")
        n_bytes = sum(member.file_size for member in members.values())
        if n_bytes > most_bytes:
            raise ValueError(
                f"its {size} bytes claim to hold {n_bytes}, which is more than {most_bytes} bytes"
            )
        for name, member in members.items():
            if member.compress_type not in METHODS:
                raise ValueError(f"{name} is compressed by an unknown method")
            with archive.open(member) as entry:
                array = _array(entry, member, unpickled)
            if array is not None:
                arrays[name] = array
    return arrays


def is_damage(error):
    """Say whether an error comes from what is in a zip, and not from the disk.

    A place that does not exist is sought in vain: EINVAL.
    """
    return not isinstance(error, OSError) or error.errno in (None, errno.EINVAL)


def _n_claimed(file):
    """Return how many entries the end of a zip tells of, which `zipfile` does not compare."""
    file.seek(-22, os.SEEK_END)
    end = file.read()
    if not end.startswith(b"PK\x05\x06"):
        raise ValueError("there is something behind its end")
    return int.from_bytes(end[10:12], "little")


def _array(entry, member, unpickled):
    """Read all of an entry, so that its checksum is compared; never more: it may be a bomb."""
    shape, is_fortran, dtype = _header(entry, member.file_size, member.filename)
    data = entry.read(member.file_size - entry.tell())
    if dtype.hasobject:
        return unpickled(data) if unpickled else None
    order = "F" if is_fortran else "C"
    return np.ndarray(shape, dtype, buffer=bytearray(data), order=order)


def _header(file, n_bytes, name):
    """Read an .npy file of so many bytes up to its numbers; return shape, whether Fortran, dtype.

    Raises
    ------
    ValueError
        For a format that is not known, for a header that no array of numbers has, and for a
        shape that does not fit the size; not for objects, whose size is not known.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        known = ", ".join(str(each) for each in _HEADERS)
        raise ValueError(f"{name} has the unknown format {version}; {known} are read")
    n_digits, reader = _HEADERS[version]
    length = file.read(n_digits)
    n_header = int.from_bytes(length, "little")
    if n_header > _MOST_OF_A_HEADER:
        raise ValueError(f"{name} has a header of {n_header} bytes; {_MOST_OF_A_HEADER} are read")
    shape, is_fortran, dtype = reader(io.BytesIO(length + file.read(n_header)))
    n_left = n_bytes - len(np.lib.format.MAGIC_PREFIX) - 2 - n_digits - n_header
    fits = all(0 <= n <= n_bytes for n in shape) and prod(shape) * dtype.itemsize == n_left
    if not (fits or dtype.hasobject):
        raise ValueError(f"{name} claims the shape {shape} in {n_bytes} bytes")
    return shape, is_fortran, dtype
