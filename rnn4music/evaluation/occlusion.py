"""Occlusion: how much each earlier note contributes to the prediction of one note.

An earlier note is removed from the tune, from its start to its end, and the network reads the
tune without it. The *effect* of the note is the log-odds of the predicted note with it, minus
those without it. This describes the given network and tune alone: redundant notes stand in for
each other, and a tune with a gap may be unlike any in the training set.

Conventions
-----------
A note is a run of steps in which a pitch is on. An effect is in nats: with ln 2, the note
doubles the odds; below 0 it lowers them.

Source
------
M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
who cover parts of an image.
"""

import numpy as np

from rnn4music._utils import checks
from rnn4music.data import pianoroll

_MOST_CELLS = 2**22  # of the tunes of one prediction: 32 MB


def occlusion_effects(network, roll, step, column):
    """Return the effect of each note before `step` on the note in `column` at `step`.

    Parameters
    ----------
    network : object
        Has `predict`, such as `NumpyNetwork` and `RNN4Music`.
    roll : (T, P)
        A tune, zeros and ones; the network does not read its rows from `step` on.
    step : int
        From 1 to T; T is the step after the last row.
    column : int
        From 0 to P − 1; whether it sounds in the roll does not matter.

    Returns
    -------
    (T, P) float
        Log-odds with the note minus log-odds without it, in each cell of the note; 0 elsewhere.
    """
    roll = np.asarray(pianoroll.validate("roll", roll, binary=True), float)
    step, column = validate_position(roll, step, column)
    earlier = roll[:step]
    notes = pianoroll.notes(earlier)
    batch_size = max(1, _MOST_CELLS // earlier.size)
    with_all = _log_odds(network.predict(earlier)[-1, column])
    effects = np.zeros_like(roll)
    for batch in (notes[k : k + batch_size] for k in range(0, len(notes), batch_size)):
        tunes = np.repeat(earlier[:, None], len(batch), axis=1)  # (step, notes, P)
        for n, (pitch, first, end) in enumerate(batch):
            tunes[first:end, n, pitch] = 0
        without = _log_odds(network.predict(tunes)[-1, :, column])
        for (pitch, first, end), effect in zip(batch, with_all - without):
            effects[first:end, pitch] = effect
    return effects


def validate_position(roll, step, column):
    """Return `step` and `column` as integers, or raise a ValueError if outside the roll."""
    T, P = roll.shape
    position = []
    for name, value, low, high in (("step", step, 1, T), ("column", column, 0, P - 1)):
        position.append(checks.integer(name, value, low))
        if value > high:
            raise ValueError(f"{name} must be at most {high} for this roll, but is {value}")
    return position


def _log_odds(probability):
    """Return ln p/(1 − p), where 0 and 1 count as the number next to them.

    That is the smallest normal number of the precision, or the largest below 1. Small p are
    exact; near 1 they are as coarse as the numbers there, which are 6e-8 apart in float32.
    """
    limits = np.finfo(np.asarray(probability).dtype)
    p = np.clip(np.asarray(probability, float), float(limits.tiny), 1 - float(limits.epsneg))
    return np.log(p) - np.log1p(-p)
