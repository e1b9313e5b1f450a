"""Piano rolls of zeros and ones: what is one, and which notes stand in it.

Conventions
-----------
A roll is (T, P): rows are steps, columns are keys. A note is a run of steps in which a key is on.
"""

import numpy as np

from rnn4music._utils import checks


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
        As for `checks.piano_roll`; and if a value lies between 0 and 1.
    """
    roll = checks.numeric_array(name, value)
    if roll.ndim != 2:
        raise ValueError(
            f"{name} must have the shape (steps, pitches), but has {roll.shape}; "
            "give one tune at a time"
        )
    roll = checks.piano_roll(name, roll, roll.shape[1] if n_pitches is None else n_pitches)
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
