"""Predictions on whole tunes, and their scores.

Conventions
-----------
Scores follow Boulanger-Lewandowski, Bengio and Vincent (ICML 2012): natural logarithms,
summed over the pitches, divided by the number of scored steps of the whole set; the first
frame of a tune is given, not scored. Frame accuracy is that of Bay, Ehmann and Downie
(ISMIR 2009): TP / (TP + FP + FN) with the counts summed over all steps.
"""

from dataclasses import dataclass, field

import numpy as np

from rnn4music.data import pianoroll

WINDOW = 100  # steps of a tune that one call of the compiled network takes; of several tunes half,
# since they end at different steps and the rest is padding
LARGEST_BATCH = 32  # tunes that run side by side
MOST_CELLS = 2**24  # steps times tunes times pitches in a batch of more than one tune
THRESHOLD = 0.5  # probability at which a note counts as predicted


@dataclass
class Evaluation:
    """The scores of a set of tunes and, in `per_tune`, of each tune."""

    nats_per_step: float  # negative log-likelihood, positive, summed over the pitches
    accuracy: float  # TP / (TP + FP + FN)
    precision: float  # TP / (TP + FP)
    recall: float  # TP / (TP + FN)
    f_measure: float  # harmonic mean of precision and recall
    n_steps: int  # scored steps, without the first of each tune
    log_odds: float  # of pitches of which the network is unsure: mean with weights y (1 - y)
    per_tune: list = field(default_factory=list, repr=False)  # of Evaluation


def softplus(Y):
    """Return log(1 + exp Y) of an array, exact to the last digits for every Y."""
    return np.maximum(Y, 0) + np.log1p(np.exp(-np.abs(Y)))  # a quarter of logaddexp's time


def sigmoid(Y):
    """Return the logistic function of an array, exact to the last digits for every Y."""
    return np.exp(-softplus(-Y))


def run(network, inputs, following=None):
    """Return the output's pre-activations (T, B, P) of inputs of any length and number.

    With chords and without `following`, return what is known before any pitch is drawn, as
    `before_chords` does: (T, B, P + K).

    Parameters
    ----------
    network : graphs.compiled.CompiledNetwork
        Its `forward` is called window by window. The number of tunes is rounded up to a power of
        two, so that few sizes are compiled.
    inputs : (T, B, P), or with Q conditions (T, B, P + Q)
        The rows that the network reads.
    following : array of the same shape, optional
        The row after each. Networks with chords or conditions look at it; those with conditions
        need it.
    """
    T, B, n_columns = inputs.shape
    compiled, rolls, width = network.forward, [inputs], network.store.n_pitches
    if network.store.has_chords and following is None:
        compiled, width = network.before_chords, width + network.store.chord_units
    elif network.store.reads_following:
        rolls.append(following)
    Y = np.empty((T, B, width), inputs.dtype)
    for first in range(0, B, LARGEST_BATCH):
        columns = slice(first, first + LARGEST_BATCH)
        n_tunes = Y[:, columns].shape[1]
        n_steps = WINDOW if n_tunes == 1 else WINDOW // 2
        shape = n_steps, min(LARGEST_BATCH, 1 << (n_tunes - 1).bit_length()), n_columns
        step = compiled(shape)
        states = [np.tile(vector, (shape[1], 1)) for vector in network.store.initial_states()]
        for start in range(0, T, n_steps):
            rows = slice(start, start + n_steps)
            n_rows = len(Y[rows])
            windows = [np.zeros(shape, inputs.dtype) for _ in rolls]
            for window, roll in zip(windows, rolls):
                window[:n_rows, :n_tunes] = roll[rows, columns]
            pre_activations, *states = step(*windows, *states)
            Y[rows, columns] = np.asarray(pre_activations)[:n_rows, :n_tunes]
    return Y


def evaluate(run_network, tunes, threshold, dtype):
    """Return the `Evaluation` of next-step predictions on whole tunes, (length, P) each.

    With Q conditions the tunes are (length, P + Q). `run_network` takes inputs (T, B, P + Q) in
    `dtype` and the row after each, and returns the pre-activations of these, (T, B, P). Tunes are
    accessed one batch at a time. A note counts as predicted if its probability is at least
    `threshold`.
    """
    counts = np.zeros((len(tunes), 7))
    # Tunes of similar length run side by side, so that little of a batch is padding.
    lengths = pianoroll.lengths(tunes)
    order, first = np.argsort(lengths, kind="stable"), 0
    while first < len(order):
        chosen, shortest = order[first : first + LARGEST_BATCH], tunes[order[first]]
        cells = lengths[chosen] * np.arange(1, len(chosen) + 1) * shortest.shape[1]
        chosen = chosen[: max(1, np.count_nonzero(cells <= MOST_CELLS))]
        first += len(chosen)
        batch = [shortest, *(tunes[k] for k in chosen[1:])]
        rolls = np.zeros((len(batch[-1]), len(batch), shortest.shape[1]), dtype)
        for column, tune in enumerate(batch):
            rolls[: len(tune), column] = tune
        Y = run_network(rolls[:-1], rolls[1:])
        for column, (k, tune) in enumerate(zip(chosen, batch)):
            targets = tune[1:, : Y.shape[2]]  # without conditions
            counts[k] = _counts(Y[: len(tune) - 1, column], targets, threshold)
    if not counts[:, 0].any():
        raise ValueError("nothing to score: every tune has one step, and the first is not scored")
    return _summary(counts.sum(axis=0), map(_summary, counts))


def score(run_network, tunes, dtype="float64"):
    """Return the nats per step of whole tunes; see `evaluate`."""
    return evaluate(run_network, tunes, THRESHOLD, dtype).nats_per_step


def _counts(Y, targets, threshold):
    """Return scored steps, nats, true positives, false positives, false negatives, Σ w, Σ w Y.

    The weights are w = y (1 − y).
    """
    Y, targets = Y.astype(np.float64), targets.astype(np.float64)
    logs = softplus(Y)
    nats = (logs - targets * Y).sum()
    y = np.exp(Y - logs)
    weight = y * (1 - y)
    predicted, sounding = y >= threshold, targets >= 0.5
    hits = (predicted & sounding).sum()
    wrong = predicted.sum() - hits, sounding.sum() - hits
    return len(targets), nats, hits, *wrong, weight.sum(), (weight * Y).sum()


def _summary(counts, per_tune=()):
    """Return the `Evaluation` of the counts of `_counts`; NaN where nothing was counted."""
    n_steps, nats, hits, extra, missed, weight, weighted = counts

    def share(part, whole):
        return float(part / whole) if whole else float("nan")

    return Evaluation(
        nats_per_step=share(nats, n_steps),
        accuracy=share(hits, hits + extra + missed),
        precision=share(hits, hits + extra),
        recall=share(hits, hits + missed),
        f_measure=share(2 * hits, 2 * hits + extra + missed),
        n_steps=int(n_steps),
        log_odds=share(weighted, weight),
        per_tune=list(per_tune),
    )
