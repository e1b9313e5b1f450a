"""Minibatches of fixed length, cut from tunes of any length.

Conventions
-----------
A tune is a piano roll (length, P). A window has up to `length` rows of it, and a minibatch has
the windows of B tunes side by side: (length, B, P). Missing rows and missing tunes are padded with
silence of weight 0, so that all minibatches have the same shape.
"""

import heapq
import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from rnn4music.data import pianoroll

WINDOWS = ("start", "random", "all")
"""Ways to cut windows: see `epoch`."""

BEGINNINGS = 16
"""Windows for each that begins a tune, where beginnings are learned, at most."""


class Minibatch(NamedTuple):
    """The windows of B tunes, the weight of each prediction, and which windows begin a tune."""

    windows: Any  # (length, B, P)
    mask: Any  # (length - 1, B): 1 / number of real tunes, 0 for padding
    is_first: Any  # (B,): whether the states before the window are those at t = −1


def fit_window(tune, length):
    """Return `length` rows: a longer tune is truncated, a shorter one repeated."""
    return np.resize(tune, (length, tune.shape[1]))


def random_window(tune, length, rng, often_first=False):
    """Return `length` rows from a random place, or all rows of a shorter tune.

    With `often_first`, at least one window in `BEGINNINGS` is the first of its tune. Of long tunes
    it would hardly ever be drawn.
    """
    n_places = max(0, len(tune) - length) + 1
    n_more = n_places // (BEGINNINGS - 1) if often_first else 0
    place = rng.integers(n_places + n_more)
    return tune[place if place < n_places else 0 :][:length]


def make_minibatch(windows, size, length, dtype, is_first: Any = True):
    """Lay windows of up to `length` rows side by side, None for a column without any.

    Returns
    -------
    Minibatch
        Always of `size` columns; the mean is taken over the real tunes.
    """
    real = [window for window in windows if window is not None]
    minibatch = Minibatch(
        np.zeros((length, size, real[0].shape[1]), dtype),
        np.zeros((length - 1, size), dtype),
        np.full(size, is_first),
    )
    for column, window in enumerate(windows):
        if window is not None:
            minibatch.windows[: len(window), column] = window
            minibatch.mask[: len(window) - 1, column] = 1 / len(real)
    return minibatch


def epoch(tunes, size, length, dtype, rng, windows="start", beginnings=False):
    """Visit every tune once, in shuffled minibatches of `size` tunes.

    Parameters
    ----------
    tunes : sequence of (length, P)
        Each minibatch accesses only its own tunes.
    size, length : int
        Columns and rows of a minibatch.
    dtype : str
    rng : numpy.random.Generator
    windows : {"start", "random", "all"}
        "start" takes the first `length` rows of each tune, repeated if it has fewer (the rule of
        2015). "random" takes up to `length` rows from a random place. "all" takes the whole tune
        in consecutive windows, with the states carried from one to the next; they overlap by a
        row, which is the last to be predicted in one and the first to be read in the next.
    beginnings : bool
        Whether a silent row precedes each tune, so that its first row is predicted too. Random
        windows then begin a tune at least once in `BEGINNINGS`.

    Yields
    ------
    Minibatch
    """
    order = _order(tunes, rng, windows, beginnings)
    visited = (_begun(tunes[k]) if beginnings else tunes[k] for k in order)
    if windows == "all":
        yield from _consecutive(visited, size, length, dtype)
        return
    for _ in range(0, len(order), size):
        chosen = list(itertools.islice(visited, size))
        if windows == "random":
            cut = [random_window(tune, length, rng, beginnings) for tune in chosen]
        else:
            cut = [fit_window(tune, length) for tune in chosen]
        yield make_minibatch(cut, size, length, dtype)


def _begun(tune):
    """Return a tune preceded by a silent row."""
    return np.concatenate([np.zeros_like(tune[:1]), tune])


def _order(tunes, rng, windows, beginnings):
    """Return the numbers of the tunes in the order of an epoch."""
    order = rng.permutation(len(tunes))
    if windows != "start" and not beginnings:  # a single step, unrepeated, predicts nothing
        order = order[pianoroll.lengths(tunes)[order] > 1]
    return order


def _consecutive(tunes, size, length, dtype):
    """Yield minibatches whose columns go through whole tunes, one tune after the other."""
    rest = [None] * size  # of each column's tune
    while True:
        is_first = np.array([tune is None for tune in rest])
        rest = [next(tunes, None) if tune is None else tune for tune in rest]
        if all(tune is None for tune in rest):
            return
        cut = [None if tune is None else tune[:length] for tune in rest]
        yield make_minibatch(cut, size, length, dtype, is_first)
        rest = [None if t is None or len(t) <= length else t[length - 1 :] for t in rest]


def n_minibatches(tunes, size, length, windows="start", seed=0, beginnings=False):
    """Return the number of minibatches of the epoch with this seed, which only "all" depends on.

    There a column takes the next tune when it has finished one, so the shuffle decides how long
    the longest column is.
    """
    order = _order(tunes, np.random.default_rng(seed), windows, beginnings)
    if windows != "all":
        return -(-len(order) // size)
    ends, n_predictions = [0] * size, pianoroll.lengths(tunes) - 1 + beginnings
    for n_windows in (-(-(n_predictions[order]) // (length - 1))).tolist():
        heapq.heapreplace(ends, ends[0] + n_windows)
    return max(ends)


def prefetched(iterator, n):
    """Yield an iterator's items in their order while a thread prepares the next `n`.

    An error of the iterator is raised instead of its item. Closing the generator ends the
    thread; it closes itself once nothing refers to it.
    """
    end = object()
    thread = ThreadPoolExecutor(1, "prefetch")
    try:
        ahead = deque(thread.submit(next, iterator, end) for _ in range(n))
        while (item := ahead.popleft().result()) is not end:
            ahead.append(thread.submit(next, iterator, end))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)
