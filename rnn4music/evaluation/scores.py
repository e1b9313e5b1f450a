"""Running the network over whole tunes, and how good its predictions are.

Conventions
-----------
Scores follow Boulanger-Lewandowski, Bengio and Vincent (ICML 2012): natural logarithms,
summed over the keys, divided by the number of scored steps of the whole set; the first
frame of a tune is given, not scored. Frame accuracy is that of Bay, Ehmann and Downie
(ISMIR 2009): TP / (TP + FP + FN) with the counts summed over all steps.
"""

from dataclasses import dataclass, field

import numpy as np

from rnn4music.data import streams

WINDOW = 100
"""Steps that one call of the compiled network takes; longer tunes take several calls."""

LARGEST_BATCH = 64
"""Tunes that run side by side at the most."""

MOST_CELLS = 2**24
"""Steps times tunes times pitches that are scored at once, but for a tune that has more itself."""

THRESHOLD = 0.5
"""From what probability on a note counts as predicted."""


@dataclass
class Evaluation:
    """What `RNN4Music.evaluate` returns, for a set and (in `per_tune`) for each tune."""

    nats_per_step: float  # negative log-likelihood, positive, summed over the keys
    accuracy: float  # TP / (TP + FP + FN)
    precision: float  # TP / (TP + FP)
    recall: float  # TP / (TP + FN)
    f_measure: float  # harmonic mean of precision and recall
    n_steps: int  # scored steps: the first of each tune is not
    per_tune: list = field(default_factory=list, repr=False)  # of Evaluation


def batch_size(n_tunes):
    """Return the next power of two, so that few sizes are ever compiled."""
    return min(LARGEST_BATCH, 1 << (n_tunes - 1).bit_length())


def sigmoid(Y):
    """Logistic function of an array, exact to the last digits for every Y."""
    return np.exp(-np.logaddexp(0, -Y))


def run(compile_for, initial, inputs):
    """Run the network over inputs of any length, the state carried between windows.

    Parameters
    ----------
    compile_for : callable
        From a shape (T, B, P) to the function (inputs, *states) → [Y, *states].
    initial : list of (H,)
        The states at t = −1, flat.
    inputs : (T, B, P)

    Returns
    -------
    Y : (T, B, P)
        The output's pre-activations.
    """
    T, B, P = inputs.shape
    Y = np.empty_like(inputs)
    for first in range(0, B, LARGEST_BATCH):
        batch = inputs[:, first : first + LARGEST_BATCH]
        shape = (WINDOW, batch_size(batch.shape[1]), P)
        step = compile_for(shape)
        states = [np.tile(vector, (shape[1], 1)) for vector in initial]
        for start in range(0, T, WINDOW):
            rows = batch[start : start + WINDOW]
            window = np.zeros(shape, inputs.dtype)
            window[: rows.shape[0], : rows.shape[1]] = rows
            pre_activations, *states = step(window, *states)
            kept = np.asarray(pre_activations)[: rows.shape[0], : rows.shape[1]]
            Y[start : start + WINDOW, first : first + LARGEST_BATCH] = kept
    return Y


def evaluate(run_network, tunes, threshold, dtype):
    """Score next-step predictions on whole tunes.

    Parameters
    ----------
    run_network : callable
        From inputs (T, B, P) to pre-activations (T, B, P).
    tunes : sequence of (length, P)
        Some are accessed at a time.
    threshold : float
        A key counts as predicted where its probability is at least this.
    dtype : str

    Returns
    -------
    Evaluation
    """
    counts = np.zeros((len(tunes), 5))
    # Tunes of like length run side by side, so that little of a batch is padding.
    lengths = streams.lengths(tunes)
    order, first = np.argsort(lengths, kind="stable"), 0
    while first < len(order):
        chosen, shortest = order[first : first + LARGEST_BATCH], tunes[order[first]]
        cells = lengths[chosen] * np.arange(1, len(chosen) + 1) * shortest.shape[1]
        chosen = chosen[: max(1, np.count_nonzero(cells <= MOST_CELLS))]
        first += len(chosen)
        batch = [shortest, *(tunes[k] for k in chosen[1:])]
        inputs = np.zeros((len(batch[-1]), len(batch), batch[0].shape[1]), dtype)
        for column, tune in enumerate(batch):
            inputs[: len(tune), column] = tune
        Y = run_network(inputs)
        for column, tune in enumerate(batch):
            of_tune = Y[: len(tune) - 1, column]
            counts[chosen[column]] = _counts(of_tune, tune[1:], threshold)
    if not counts[:, 0].any():
        raise ValueError("nothing to score: every tune has one step, and the first is not scored")
    return _summary(counts.sum(axis=0), [_summary(row) for row in counts])


def score(run_network, tunes, dtype="float64"):
    """Return the nats per step of whole tunes; see `evaluate`."""
    return evaluate(run_network, tunes, THRESHOLD, dtype).nats_per_step


def constant_probabilities(training):
    """Return the floor that each key's own frequency gives.

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
    """Return the floor that two chances for each key give: if it sounds now, and if not.

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


def _log_odds(n_sounding, n_steps):
    """Return log p / (1 − p) of Laplace's estimate p."""
    return np.log((n_sounding + 1) / (n_steps - n_sounding + 1))


BASELINES = {
    "each key's frequency": constant_probabilities,
    "each key's Markov chain": markov_probabilities,
}
"""The floors, by what they are."""


def baselines(training, tunes, threshold=THRESHOLD):
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


def _counts(Y, targets, threshold):
    """Return scored steps, nats, true positives, false positives, false negatives."""
    Y, targets = Y.astype(np.float64), targets.astype(np.float64)
    nats = (np.logaddexp(0, Y) - targets * Y).sum()
    predicted, sounding = sigmoid(Y) >= threshold, targets >= 0.5
    return (
        len(targets),
        nats,
        (predicted & sounding).sum(),
        (predicted & ~sounding).sum(),
        (~predicted & sounding).sum(),
    )


def _summary(counts, per_tune=()):
    n_steps, nats, hits, extra, missed = counts

    def share(part, whole):
        return float(part / whole) if whole else float("nan")

    return Evaluation(
        nats_per_step=share(nats, n_steps),
        accuracy=share(hits, hits + extra + missed),
        precision=share(hits, hits + extra),
        recall=share(hits, hits + missed),
        f_measure=share(2 * hits, 2 * hits + extra + missed),
        n_steps=int(n_steps),
        per_tune=list(per_tune),
    )
