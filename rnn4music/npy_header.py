"""The header of an .npy file, read before anything is allocated for what it claims."""

from math import prod

import numpy as np

_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_header(file, n_bytes, name="an array"):
    """Read up to where the numbers begin.

    Parameters
    ----------
    file : binary file
    n_bytes : int
        Of the whole .npy file, header included.
    name : str
        How the errors call it.

    Returns
    -------
    shape : tuple of int
    is_fortran : bool
        Whether the first index runs fastest.
    dtype : numpy.dtype
        Where it ``hasobject`` a pickle follows, whatever the shape says.

    Raises
    ------
    ValueError
        For a format that is not known, and for a shape that the file is too small for.
    """
    version = np.lib.format.read_magic(file)
    if version not in _READERS:
        known = ", ".join(str(each) for each in _READERS)
        raise ValueError(f"{name} has the unknown format {version}; {known} are read")
    shape, is_fortran, dtype = _READERS[version](file)
    if not dtype.hasobject and prod(shape) * dtype.itemsize > n_bytes:
        raise ValueError(f"{name} claims the shape {shape} in {n_bytes} bytes")
    return shape, is_fortran, dtype
