"""Minibatches of fixed length, cut from tunes of any length.

Conventions
-----------
A tune is a piano roll (length, P). A window has `length` rows of it, and a minibatch lays
the windows of B tunes side by side: (length, B, P). A minibatch that lacks tunes is padded
with silence that counts nothing, so that all minibatches have one shape.
"""

from typing import Any, NamedTuple

import numpy as np


class Minibatch(NamedTuple):
    """The windows of B tunes and what each prediction counts."""

    windows: Any  # (length, B, P)
    weights: Any  # (length - 1, B): 1 / number of real tunes, 0 for padding


def fit_window(tune, length):
    """Return `length` rows: a longer tune is truncated, a shorter one repeated."""
    return np.resize(tune, (length, tune.shape[1]))


def make_minibatch(tunes, size, length, dtype):
    """Lay the windows of up to `size` tunes side by side.

    Returns
    -------
    Minibatch
        Always of `size` columns; the mean is taken over the real tunes.
    """
    windows = np.zeros((length, size, tunes[0].shape[1]), dtype)
    weights = np.zeros((length - 1, size), dtype)
    for column, tune in enumerate(tunes):
        windows[:, column] = fit_window(tune, length)
        weights[:, column] = 1 / len(tunes)
    return Minibatch(windows, weights)


def epoch(tunes, size, length, dtype, rng):
    """Visit every tune once, in shuffled minibatches of `size` tunes.

    Yields
    ------
    Minibatch
        ceil(number of tunes / size) of them, the last one possibly padded.
    """
    order = rng.permutation(len(tunes))
    for start in range(0, len(order), size):
        chosen = [tunes[k] for k in order[start : start + size]]
        yield make_minibatch(chosen, size, length, dtype)


def mark_silence(roll):
    """Return a copy of a (T, P) roll with column 0 on in each silent row.

    The 2015 program did this to its data, so that silence is a symbol of its own and not
    the absence of all others. Undo it with ``roll[:, 0] = 0`` before writing MIDI.
    """
    marked = np.array(roll)
    marked[~marked.any(axis=1), 0] = 1
    return marked
