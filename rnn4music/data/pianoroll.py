"""Validating piano rolls.

Conventions
-----------
A roll is (T, P): rows are steps, columns are pitches. A roll with onsets is (T, 2P): first the P
sounding columns, then the P struck ones (see `midi.onsets`). No width tells them apart: a
collection's ``onsets``, or an argument of that name, does.
"""

import math
import os
import warnings

import numpy as np

from midi.beats import checked_beats
from midi.onsets import split_onsets
from midi.text import count
from midi.timing import exact_time_step

SILENCE = 1
"""Seconds of silence that a tune keeps after its last note, and at most before its first."""


def validate(name, value, n_pitches=None, *, ndims=(2,), binary=False, conditions=0):
    """Return a roll, or probabilities, as an array of numbers or booleans.

    Parameters
    ----------
    name : str
        Its name in errors.
    value : array_like
        Values from 0 to 1; the last axis is the pitches.
    n_pitches : int, optional
        Width that the network takes; by default any width is allowed.
    ndims : tuple of int
        Allowed numbers of axes: 2 for (T, P), 3 for (T, B, P).
    binary : bool
        Whether to reject probabilities between 0 and 1.
    conditions : int
        Columns after the pitches; their values, too, are from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If it is not an array of numbers, or its shape or a value is invalid.
    """
    roll = numeric_array(name, value)
    if roll.ndim not in ndims or n_pitches not in (None, roll.shape[-1] - conditions):
        width = "pitches" if n_pitches is None else n_pitches + conditions
        shapes = " or ".join(f"(steps, {'tunes, ' * (n - 2)}{width})" for n in ndims)
        remedy = "give one tune at a time"
        if n_pitches is not None:
            remedy = "the model's io_length sets the width: read MIDI files with "
            remedy += _width(roll.shape[-1] - conditions if roll.ndim else 0, n_pitches)
            if conditions:
                remedy += f"; then come the model's conditions, {count(conditions, 'column')}"
        raise ValueError(f"{name} must have the shape {shapes}, but has {roll.shape}; {remedy}")
    if 0 in roll.shape:
        raise ValueError(f"{name} is empty, its shape is {roll.shape}; give at least one step")
    if roll.dtype.kind == "b":
        return roll
    if not np.isfinite(roll).all():
        raise ValueError(f"{name} holds NaN or infinity; a piano roll holds 0 and 1")
    low, high = roll.min(), roll.max()
    if low < 0 or high > 1:
        allowed = "a piano roll holds 0 and 1. For velocities, take (roll > 0)"
        if name == "probabilities":
            allowed = "a probability is from 0 to 1"
        raise ValueError(f"{name} holds values from {low:g} to {high:g}; {allowed}")
    if binary and len(between := roll[(roll != 0) & (roll != 1)]):
        raise ValueError(
            f"{name} holds {between[0]:g}; a piano roll holds 0 (off) and 1 (on). Convert "
            "probabilities into notes first, for example with roll >= 0.5"
        )
    return roll


def validate_dataset(name, value, n_pitches=None, *, binary=False, scorable=False, conditions=0):
    """Return the tunes of a dataset as a list of rolls, or a store on disk unchanged.

    Parameters
    ----------
    name : str
        Its name in errors, such as "dataset"; a tune is called by this name and its index.
    value : list of (T, P), 3-D array, or store
        A store checks each roll that it reads.
    n_pitches, binary, conditions
        As of `validate`, for each tune.
    scorable : bool
        Whether to reject datasets in which no tune has a step to score or train on.

    Raises
    ------
    TypeError, ValueError
        As `validate` raises them, and if there are no tunes.
    """
    if is_stored(value):
        if n_pitches not in (None, value.width - conditions):
            also = f", and it has {count(conditions, 'condition')}" if conditions else ""
            raise ValueError(
                f"the rolls of {name} have {value.width} columns, but the model's io_length "
                f"is {n_pitches}{also}; convert the MIDI files with "
                f"{_width(value.width - conditions, n_pitches)}"
            )
        tunes = value
    elif isinstance(value, (str, os.PathLike)) or not np.iterable(value):
        raise TypeError(
            f"{name} must be a list of piano rolls, not {type(value).__name__} {value!r:.60}; "
            "read a folder of MIDI files with rnn4music.load_midi"
        )
    elif isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype != object:
        raise ValueError(
            f"{name} is one array of shape {value.shape}; give a list of piano rolls, for one "
            "tune [roll]"
        )
    else:
        tunes = [
            validate(f"{name}[{k}]", tune, n_pitches, binary=binary, conditions=conditions)
            for k, tune in enumerate(value)
        ]
    if not len(tunes):
        raise ValueError(f"{name} is empty; give at least one piano roll")
    if scorable and lengths(tunes).max() < 2:
        raise ValueError(
            f"{name} has nothing to score: every tune has one step, and the first step is not "
            "scored; give a tune of at least two steps"
        )
    return tunes


def _width(found, expected):
    """Return how to read MIDI files for rolls of another width."""
    if expected == 2 * found:
        return "onsets=True, which doubles the width"
    if found == 2 * expected:
        return "onsets=False, since the roll has twice as many columns"
    return "a pitch range of that width"


def numeric_array(name, value):
    """Return `value` as an array of numbers or booleans."""
    if isinstance(value, (str, os.PathLike)):
        raise TypeError(
            f"{name} must be an array of numbers, not {str(value)!r}; read a MIDI file with "
            "midiread(path).piano_roll"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # old versions of NumPy only warn of unequal rows
            array = np.asarray(value)
    except (ValueError, Warning):
        raise ValueError(f"{name} must have rows of equal length") from None
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must be an array of numbers, not {type(value).__name__}")
    return array


def halves(roll, onsets):
    """Return the piano roll, and the onset roll or None."""
    return split_onsets(roll) if onsets else (roll, None)


def step_seconds(time_step, beats=None):
    """Return the time step in seconds: by default that of the beats (`midi.Beats`), or 0.3.

    A time step that is given beside beats must be theirs, but for rounding.
    """
    given = None if time_step is None else float(exact_time_step(time_step, "time_step"))
    if beats is None:
        return 0.3 if given is None else given
    seconds = checked_beats(beats).time_step
    if given is not None and not math.isclose(given, seconds):
        raise ValueError(
            f"time_step={time_step}, but a step of the beats lasts {seconds:g} s; leave time_step "
            "out"
        )
    return seconds


def mark_silence(roll):
    """Return a copy of a (T, P) roll with column 0 on in each silent row.

    The 2015 program did this to its data, so that silence has a symbol and is not just
    the absence of notes. Undo it with ``roll[:, 0] = 0`` before writing MIDI.
    """
    marked = np.array(roll)
    marked[~marked.any(axis=1), 0] = 1
    return marked


def is_stored(tunes):
    """Return whether each access reads a tune from the disk."""
    return hasattr(tunes, "fingerprint")


def lengths(tunes):
    """Return the steps of each tune, (number of tunes,), without reading any from the disk."""
    known = getattr(tunes, "lengths", None)
    return np.array([len(tune) for tune in tunes], np.int64) if known is None else known
