"""Baselines: what is known of each pitch alone, which a network has to beat."""

import numpy as np

from rnn4music.evaluation.scores import THRESHOLD, evaluate


def constant_probabilities(training):
    """Return the baseline that each key's own frequency gives.

    Parameters
    ----------
    training : sequence of (length, P)
        Tunes, accessed one after the other, that the frequencies are taken from: (steps in which
        the key sounds + 1) / (steps + 2), after Laplace, so that nothing is impossible.

    Returns
    -------
    callable
        From inputs (T, B, P) to pre-activations (T, B, P), as `evaluate` takes.
    """
    n_sounding, n_steps = 0, 0
    for tune in training:
        n_sounding = n_sounding + np.asarray(tune, float)[1:].sum(axis=0)
        n_steps += len(tune) - 1
    Y = _log_odds(n_sounding, n_steps)
    return lambda inputs: np.broadcast_to(Y, inputs.shape)


def markov_probabilities(training):
    """Return the baseline that two chances for each key give: if it sounds now, and if not.

    Otherwise as `constant_probabilities`.
    """
    n_steps, n_before, n_after, n_both = 0, 0, 0, 0  # the last three for each key
    for tune in training:
        roll = np.asarray(tune) >= 0.5
        sounding = roll.sum(axis=0)
        n_steps += len(roll) - 1
        n_before = n_before + sounding - roll[-1]
        n_after = n_after + sounding - roll[0]
        n_both = n_both + (roll[:-1] & roll[1:]).sum(axis=0)
    if_silent = _log_odds(n_after - n_both, n_steps - n_before)
    if_sounding = _log_odds(n_both, n_before)
    return lambda inputs: np.where(inputs >= 0.5, if_sounding, if_silent)


BASELINES = {
    "each key's frequency": constant_probabilities,
    "each key's Markov chain": markov_probabilities,
}
"""The baselines, by what they are."""


def score_baselines(training, tunes, threshold=THRESHOLD):
    """Score what knows nothing of music but the training set's frequencies.

    Parameters
    ----------
    training, tunes : sequence of (length, P)
        What is counted, and what is scored.
    threshold : float
        As for `evaluate`.

    Returns
    -------
    dict of name to Evaluation
    """
    return {
        name: evaluate(fit(training), tunes, threshold, "float64")
        for name, fit in BASELINES.items()
    }


def _log_odds(n_sounding, n_steps):
    """Return log p / (1 − p) of Laplace's estimate p."""
    return np.log((n_sounding + 1) / (n_steps - n_sounding + 1))
