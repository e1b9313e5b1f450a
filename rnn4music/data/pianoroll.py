"""Piano rolls of zeros and ones: what is one, and which notes stand in it.

Conventions
-----------
A roll is (T, P): rows are steps, columns are keys. A note is a run of steps in which a key is on.
"""

import os
import warnings

import numpy as np


def checked(name, value, n_pitches=None):
    """Return `value` as an array (T, P) of zeros and ones, of this width or of any.

    Parameters
    ----------
    name : str
        How the errors call it.
    value : array_like
        Zeros and ones, or booleans.
    n_pitches : int, optional

    Raises
    ------
    TypeError, ValueError
        As for `piano_roll`; and if a value lies between 0 and 1.
    """
    roll = numeric_array(name, value)
    if roll.ndim != 2:
        raise ValueError(
            f"{name} must have the shape (steps, pitches), but has {roll.shape}; "
            "give one tune at a time"
        )
    roll = piano_roll(name, roll, roll.shape[1] if n_pitches is None else n_pitches)
    between = roll[(roll != 0) & (roll != 1)]
    if len(between):
        raise ValueError(
            f"{name} holds {between[0]:g}; 0 is off and 1 is on: turn probabilities into notes "
            "first, e.g. roll >= 0.5"
        )
    return roll


def notes(roll):
    """Return the notes of a roll, one column after the other.

    Parameters
    ----------
    roll : (T, P)

    Returns
    -------
    (number of notes, 3) int
        Column, first step, and the step after the last.
    """
    is_on = np.pad(np.asarray(roll) > 0, ((1, 1), (0, 0)))
    column, step = np.nonzero((is_on[1:] != is_on[:-1]).T)  # on and off by turns
    return np.column_stack([column[::2], step[::2], step[1::2]])


def mark_silence(roll):
    """Return a copy of a (T, P) roll with column 0 on in each silent row.

    The 2015 program did this to its data, so that silence is a symbol of its own and not
    the absence of all others. Undo it with ``roll[:, 0] = 0`` before writing MIDI.
    """
    marked = np.array(roll)
    marked[~marked.any(axis=1), 0] = 1
    return marked


def is_stored(tunes):
    """Say whether tunes are read anew at each access."""
    return hasattr(tunes, "fingerprint")


def lengths(tunes):
    """Return the steps of each of the tunes, (number of tunes,), without reading any."""
    known = getattr(tunes, "lengths", None)
    return np.array([len(tune) for tune in tunes], np.int64) if known is None else known


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
            "rnn4music.load_midi reads a folder of MIDI files"
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
    stored = is_stored(value)
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
    if lengths(tunes).max() < 2:
        raise ValueError(
            f"the {name} has nothing to score: every tune has one step, and the first is not "
            "scored; give a tune of two steps or more"
        )
    return tunes
