"""Piano rolls of zeros and ones: which arrays are rolls, and which notes stand in them.

Conventions
-----------
A roll is (T, P): rows are steps, columns are pitches. A note is a run of steps in which a pitch
is on.
"""

import os
import warnings

import numpy as np


def validate(name, value, n_pitches=None, *, ndims=(2,), binary=False):
    """Return a roll, or probabilities, as an array of numbers or booleans.

    Parameters
    ----------
    name : str
        Its name in errors.
    value : array_like
        With values from 0 to 1; the last axis is the pitches.
    n_pitches : int, optional
        The width that the network takes; without it any is.
    ndims : tuple of int
        How many axes it may have: 2 for (T, P), 3 for (T, B, P).
    binary : bool
        Refuse probabilities between 0 and 1.

    Raises
    ------
    TypeError, ValueError
        If it is not an array of numbers; if its shape or a value does not fit.
    """
    roll = numeric_array(name, value)
    if roll.ndim not in ndims or n_pitches not in (None, roll.shape[-1]):
        width = "pitches" if n_pitches is None else n_pitches
        shapes = " or ".join(f"(steps, {'tunes, ' * (n - 2)}{width})" for n in ndims)
        remedy = "give one tune at a time" if n_pitches is None else (
            "the width is the model's io_length: read MIDI files with a pitch range as wide as that"
        )  # fmt: skip
        raise ValueError(f"{name} must have the shape {shapes}, but has {roll.shape}; {remedy}")
    if 0 in roll.shape:
        raise ValueError(f"{name} is empty, its shape is {roll.shape}; give at least one step")
    if roll.dtype.kind == "b":
        return roll
    if not np.isfinite(roll).all():
        raise ValueError(f"{name} holds NaN or infinity; a piano roll holds 0 and 1")
    low, high = roll.min(), roll.max()
    if low < 0 or high > 1:
        allowed = "a piano roll holds 0 and 1: for velocities take (roll > 0)"
        if name == "probabilities":
            allowed = "a probability is from 0 to 1"
        raise ValueError(f"{name} holds values from {low:g} to {high:g}; {allowed}")
    if binary and len(between := roll[(roll != 0) & (roll != 1)]):
        raise ValueError(
            f"{name} holds {between[0]:g}; 0 is off and 1 is on: turn probabilities into notes "
            "first, e.g. roll >= 0.5"
        )
    return roll


def validate_dataset(name, value, n_pitches=None, *, binary=False, scorable=False):
    """Return the tunes of a dataset as a list of rolls, or a store on disk as it is.

    Parameters
    ----------
    name : str
        Its name in errors, such as "dataset"; a tune's is that with its index.
    value : list of (T, P), 3-D array, or store
        A store checks each roll that it reads.
    n_pitches, binary
        As of `validate`, for each tune.
    scorable : bool
        Refuse tunes of which none has a step that can be scored, or learned.

    Raises
    ------
    TypeError, ValueError
        As of `validate`; and if there are no tunes.
    """
    if is_stored(value):
        if n_pitches not in (None, value.n_pitches):
            raise ValueError(
                f"the rolls of {name} have {value.n_pitches} pitches, but the model's io_length "
                f"is {n_pitches}; convert the MIDI files with a pitch range of that width"
            )
        tunes = value
    elif isinstance(value, (str, os.PathLike)) or not np.iterable(value):
        raise TypeError(
            f"{name} must be a list of piano rolls, not {type(value).__name__} {value!r:.60}; "
            "rnn4music.load_midi reads a folder of MIDI files"
        )
    elif isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype != object:
        raise ValueError(
            f"{name} is one array of shape {value.shape}: give a list of piano rolls, also for "
            "one tune: [roll]"
        )
    else:
        tunes = [
            validate(f"{name}[{k}]", tune, n_pitches, binary=binary) for k, tune in enumerate(value)
        ]
    if not len(tunes):
        raise ValueError(f"{name} is empty; give at least one piano roll")
    if scorable and lengths(tunes).max() < 2:
        raise ValueError(
            f"{name} has nothing to score: every tune has one step, and the first is not scored; "
            "give a tune of two steps or more"
        )
    return tunes


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


def notes(roll):
    """Return the notes of a (T, P) roll, one column after the other: (number of notes, 3) int.

    A note is its column, its first step, and the step after its last.
    """
    is_on = np.pad(np.asarray(roll) > 0, ((1, 1), (0, 0)))
    column, step = np.nonzero((is_on[1:] != is_on[:-1]).T)  # on and off alternate
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
    """Return whether tunes are read anew at each access."""
    return hasattr(tunes, "fingerprint")


def lengths(tunes):
    """Return the steps of each of the tunes, (number of tunes,), without reading any."""
    known = getattr(tunes, "lengths", None)
    return np.array([len(tune) for tune in tunes], np.int64) if known is None else known
