"""What is asked of arguments at the public border: numbers, names and piano rolls.

Each check returns the value in the form that the package works with, or raises an error
that names the value, what is allowed, and the remedy. TypeError is for the wrong kind of
thing, ValueError for a value or a shape that does not fit.
"""

import math
import numbers
import operator
import os
import warnings

import numpy as np

from rnn4music.data import streams


def number(name, value, low=-math.inf, high=math.inf, above=-math.inf, below=math.inf):
    """Return `value` as a float in [low, high], larger than `above` and smaller than `below`.

    NumPy scalars count as numbers; booleans and text do not.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, not {type(value).__name__} {value!r}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not (math.isfinite(result) and low <= result <= high and above < result < below):
        bounds = [f"at least {low:g}"] if low > -math.inf else []
        bounds += [f"larger than {above:g}"] if above > -math.inf else []
        bounds += [f"at most {high:g}"] if high < math.inf else []
        bounds += [f"smaller than {below:g}"] if below < math.inf else []
        raise ValueError(f"{name} must be {' and '.join(['finite', *bounds])}, but is {value}")
    return result


def integer(name, value, low):
    """Return `value` as an int of at least `low`; NumPy's integers count, booleans do not."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    try:
        result = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be a whole number, not {type(value).__name__} {value!r}"
        ) from None
    if result < low:
        raise ValueError(f"{name} must be at least {low}, but is {result}")
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


def numeric_array(name, value):
    """Return `value` as an array of numbers or booleans."""
    if isinstance(value, (str, os.PathLike)):
        raise TypeError(
            f"{name} must be an array of numbers, not {str(value)!r}; of a MIDI file give "
            "midiread(path).piano_roll"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # all that old NumPy does about unequal rows
            array = np.asarray(value)
    except (ValueError, Warning):
        raise ValueError(f"{name} must have rows of equal length") from None
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must be an array of numbers, not {type(value).__name__}")
    return array


def piano_roll(name, value, n_pitches, ndims=(2,)):
    """Return `value` as a numeric or boolean array whose last axis has `n_pitches` columns.

    Parameters
    ----------
    name : str
        How the errors call it.
    value : array_like
        Zeros and ones, or probabilities; booleans and whole numbers are welcome.
    n_pitches : int
        The width that the network takes.
    ndims : tuple of int
        How many axes it may have: 2 for (T, P), 3 for (T, B, P).

    Raises
    ------
    TypeError
        If it is not an array of numbers.
    ValueError
        If the shape does not fit, or a value lies outside [0, 1] or is NaN.
    """
    roll = numeric_array(name, value)
    shapes = " or ".join({2: "(steps, {0})", 3: "(steps, tunes, {0})"}[n] for n in ndims)
    shapes = shapes.format(n_pitches)
    if roll.ndim not in ndims or roll.shape[-1] != n_pitches:
        raise ValueError(
            f"{name} must have the shape {shapes}, but has {roll.shape}; the width is the "
            "model's io_length: read MIDI files with a pitch range as wide as that"
        )
    if 0 in roll.shape:
        raise ValueError(f"{name} is empty, its shape is {roll.shape}; give at least one step")
    if roll.dtype.kind != "b":
        if not np.isfinite(roll).all():
            raise ValueError(f"{name} holds NaN or infinity; a piano roll holds 0 and 1")
        low, high = roll.min(), roll.max()
        if low < 0 or high > 1:
            raise ValueError(
                f"{name} holds values from {low:g} to {high:g}; a piano roll holds 0 and 1: "
                "for velocities take (roll > 0)"
            )
    return roll


def listed(name, value):
    """Return the items of a list of piano rolls, themselves unchecked."""
    if isinstance(value, (str, os.PathLike)):
        raise TypeError(
            f"{name} must be a list of piano rolls, not {str(value)!r}; "
            "rnn4music.data.dataset.load_midi reads a folder of MIDI files"
        )
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype != object:
        raise ValueError(
            f"{name} is one array of shape {value.shape}: give a list of piano rolls, "
            "also for one tune: [roll]"
        )
    try:
        return list(value)
    except TypeError:
        raise TypeError(
            f"{name} must be a list of piano rolls, not {type(value).__name__}"
        ) from None


def dataset(value, n_pitches, name="dataset"):
    """Return the tunes of a dataset: a list of (length, P) rolls or a 3-D array.

    A store on disk is returned as it is; it checks each roll that it reads.

    Raises
    ------
    TypeError, ValueError
        As for `piano_roll`, naming the tune by its index; and if there are no tunes.
    """
    stored = streams.is_stored(value)
    tunes = value if stored else listed(f"the {name}", value)
    if not len(tunes):
        raise ValueError(f"the {name} is empty; give at least one piano roll")
    if stored:
        if value.n_pitches != n_pitches:
            raise ValueError(
                f"the rolls of the {name} have {value.n_pitches} pitches, but the model's "
                f"io_length is {n_pitches}; convert the MIDI files with a pitch range of that width"
            )
        return value
    return [piano_roll(f"{name}[{k}]", tune, n_pitches) for k, tune in enumerate(tunes)]


def scorable_dataset(value, n_pitches, name="dataset"):
    """Return the tunes of a `dataset` in which something can be scored, or learned.

    Raises
    ------
    TypeError, ValueError
        As for `dataset`; and if every tune has one step.
    """
    tunes = dataset(value, n_pitches, name)
    if streams.lengths(tunes).max() < 2:
        raise ValueError(
            f"the {name} has nothing to score: every tune has one step, and the first is not "
            "scored; give a tune of two steps or more"
        )
    return tunes
