"""Checks of numbers and names at the public border.

Each check returns the value as the package uses it, or raises an error that names the value and
what is allowed: TypeError for a wrong type, ValueError for a value out of bounds. Piano rolls are
checked in `data.pianoroll`.
"""

import math
import numbers
import operator
import reprlib


def _plain(value):
    """Return a NumPy scalar as a Python number, and anything else unchanged."""
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0
    return value.item() if is_scalar else value


def _wrong_type(name, wanted, value):
    """Return the error for a value that is not the wanted kind of number."""
    if isinstance(value, str) and value.strip("+-.").replace(".", "").isdigit():
        wanted += " without quotes"
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__} {reprlib.repr(value)}")


def number(name, value, low=-math.inf, high=math.inf, above=-math.inf, below=math.inf):
    """Return `value` as a float in [low, high], larger than `above` and smaller than `below`.

    NumPy scalars count as numbers; booleans and text do not.
    """
    plain = _plain(value)
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real):
        raise _wrong_type(name, "a number", value)
    try:
        result = float(plain)
    except OverflowError:
        result = math.inf
    if not (math.isfinite(result) and low <= result <= high and above < result < below):
        bounds = [f"at least {low:g}"] if low > -math.inf else []
        bounds += [f"larger than {above:g}"] if above > -math.inf else []
        bounds += [f"at most {high:g}"] if high < math.inf else []
        bounds += [f"smaller than {below:g}"] if below < math.inf else []
        raise ValueError(f"{name} must be {' and '.join(['finite', *bounds])}, but is {value}")
    return result


def integer(name, value, low, high=math.inf):
    """Return `value` as an int in [low, high]; NumPy integers count, booleans do not."""
    plain = _plain(value)
    if isinstance(plain, bool):
        raise _wrong_type(name, "a whole number", value)
    try:
        result = operator.index(plain)
    except TypeError:
        raise _wrong_type(name, "a whole number", value) from None
    if result < low:
        raise ValueError(f"{name} must be at least {low}, but is {result}")
    if result > high:
        raise ValueError(f"{name} must be at most {high}, but is {result}")
    return result


def optional_integer(name, value):
    """Return None, or `value` as an int of at least 1."""
    return None if value is None else integer(name, value, low=1)


def choice(name, value, allowed):
    """Return `value` if it is one of `allowed`."""
    if value not in list(allowed):
        names = ", ".join(repr(each) for each in allowed)
        raise ValueError(f"{name} must be one of {names}, but is {value!r}")
    return value
