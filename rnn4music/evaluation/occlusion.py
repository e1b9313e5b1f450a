"""What a network attends to: how much each note that it has heard speaks for one to come.

The note is taken out of the tune, from its start to its end, and the network hears the tune
without it; the change in the log-odds of the note to come is the influence. That is a
statement about this network and this tune alone: notes that say the same stand in for each
other, and a tune with a hole may be unlike any that was learned.

Conventions
-----------
A note is a run of steps in which a key is on. An influence is in nats: with ln 2, the note
doubles the odds; below 0 it speaks against.
"""

import numpy as np

from rnn4music._utils import checks
from rnn4music.data import pianoroll

_MOST_CELLS = 2**22  # of the tunes that are predicted at once: 32 MB


def influence(network, roll, step, column):
    """Return how much each note before `step` speaks for the note in `column` at `step`.

    Parameters
    ----------
    network : object
        Has `predict`, such as `NumpyNetwork` and `RNN4Music`.
    roll : (T, P)
        A tune, zeros and ones; its rows from `step` on are not heard.
    step : int
        From 1 to T; T is the step after the last row.
    column : int
        From 0 to P − 1; whether it sounds in the roll does not matter.

    Returns
    -------
    (T, P) float
        Log-odds with the note minus log-odds without it, in each cell of the note; 0 elsewhere.
    """
    roll = np.asarray(pianoroll.checked("roll", roll), float)
    step, column = checked_place(roll, step, column)
    heard = roll[:step]
    cells = [(slice(first, end), key) for key, first, end in pianoroll.notes(heard)]  # of each note
    n_at_once = max(1, _MOST_CELLS // heard.size)
    with_all = _log_odds(network.predict(heard)[-1, column])
    result = np.zeros_like(roll)
    for k in range(0, len(cells), n_at_once):
        left_out = cells[k : k + n_at_once]
        tunes = np.repeat(heard[:, None], len(left_out), axis=1)  # (step, notes, P)
        for n, (steps, key) in enumerate(left_out):
            tunes[steps, n, key] = 0
        changes = with_all - _log_odds(network.predict(tunes)[-1, :, column])
        for each, change in zip(left_out, changes):
            result[each] = change
    return result


def checked_place(roll, step, column):
    """Return the step and the column of a note to come, which the roll has to have room for."""
    step = checks.integer("step", step, low=1)
    column = checks.integer("column", column, low=0)
    for name, value, most in (("step", step, len(roll)), ("column", column, roll.shape[1] - 1)):
        if value > most:
            raise ValueError(f"{name} must be at most {most} for this roll, but is {value}")
    return step, column


def _log_odds(probability):
    """Return ln p/(1 − p); a p that is rounded to 0 or 1 counts as the number next to it.

    That is the smallest normal number of its precision, or the largest below 1. Small p are
    exact; near 1 they are as coarse as the numbers there, in float32 6e-8 apart.
    """
    limits = np.finfo(np.asarray(probability).dtype)
    p = np.clip(np.asarray(probability, float), float(limits.tiny), 1 - float(limits.epsneg))
    return np.log(p) - np.log1p(-p)
