"""Baselines that a network has to beat: predictions of each pitch from that pitch alone."""

import weakref

import numpy as np

from rnn4music.data.pianoroll import is_stored
from rnn4music.evaluation.scores import THRESHOLD, evaluate

_chains = weakref.WeakKeyDictionary()  # of stores, which are read once, by number of pitches


def constant_probabilities(training, n_pitches=None):
    """Return the baseline that predicts each pitch's frequency.

    Parameters
    ----------
    training : sequence of (length, P)
        Tunes in which to count, accessed one after the other. A frequency is (steps in which the
        pitch sounds + 1) / (steps + 2), after Laplace, so that none is 0 or 1.
    n_pitches : int, optional
        Columns that count, if others follow: those of `WithBars`.

    Returns
    -------
    callable
        From inputs (T, B, P) to pre-activations (T, B, P), for `evaluate`; a second argument, the
        rows after them, is not read.
    """
    n_sounding, n_steps = 0, 0
    for tune in training:
        n_sounding = n_sounding + np.asarray(tune, float)[1:, :n_pitches].sum(axis=0)
        n_steps += len(tune) - 1
    Y = _log_odds(n_sounding, n_steps)
    return lambda inputs, following=None: np.broadcast_to(Y, (*inputs.shape[:2], len(Y)))


def markov_probabilities(training, of=None, n_pitches=None):
    """Return the baseline of a Markov chain for each pitch: its frequencies after on and after off.

    `training` and the result are those of `constant_probabilities`. If `training` yields the tunes
    of a store `of`, the result is kept for the next call with that store.
    """
    if is_stored(training) and (n_pitches or training.width) in _chains.get(training, ()):
        return _chains[training][n_pitches or training.width]
    n_steps, n_before, n_after, n_both = 0, 0, 0, 0  # the last three for each pitch
    for tune in training:
        roll = np.asarray(tune)[:, :n_pitches] >= 0.5
        sounding = roll.sum(axis=0)
        n_steps += len(roll) - 1
        n_before = n_before + sounding - roll[-1]
        n_after = n_after + sounding - roll[0]
        n_both = n_both + (roll[:-1] & roll[1:]).sum(axis=0)
    if_silent = _log_odds(n_after - n_both, n_steps - n_before)
    if_sounding = _log_odds(n_both, n_before)

    def chain(inputs, following=None):
        return np.where(inputs[..., : len(if_silent)] >= 0.5, if_sounding, if_silent)

    store = training if of is None else of
    if is_stored(store):
        _chains.setdefault(store, {})[len(if_silent)] = chain
    return chain


def score_baselines(training, tunes, threshold=THRESHOLD):
    """Score the baselines of a training set.

    Parameters
    ----------
    training, tunes : sequence of (length, P)
        Tunes in which to count, and tunes to score. The columns that `WithBars` adds do not count.
    threshold : float
        As for `evaluate`.

    Returns
    -------
    dict of name to Evaluation
    """
    fits = {
        "each pitch's frequency": constant_probabilities,
        "each pitch's Markov chain": markov_probabilities,
    }
    n_added = getattr(training, "n_added", 0)
    n_pitches = training.width - n_added if n_added else None
    return {
        name: evaluate(fit(training, n_pitches=n_pitches), tunes, threshold, "float64")
        for name, fit in fits.items()
    }


def _log_odds(n_sounding, n_steps):
    """Return log p / (1 − p) of Laplace's estimate p."""
    return np.log((n_sounding + 1) / (n_steps - n_sounding + 1))
