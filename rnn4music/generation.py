"""Generation: the network reads a start, then its own samples.

Each note is sampled by comparing its probability with a uniform random number that NumPy's
Generator draws, so that every engine composes the same tune from the same seed. A
probability that does not exceed the threshold is returned as 0, and the note does not sound.

In independent sampling each pitch has a random number of its own. In systematic sampling a
step has one, u: the pitches lie on a line end to end, lowest first, each as long as its
probability, and those on which u, u + 1, u + 2, … fall sound. Each pitch still sounds with its
probability, but their number is the expected one, rounded up or down, and neighbours compete:
where a voice may go to one of several pitches, exactly one of them sounds. (W. G. Madow, "On the
theory of systematic sampling, II", Annals of Mathematical Statistics 20, 1949.)
"""

import numpy as np

WINDOW = 64
"""Steps that one call of the compiled sampler takes; one compilation serves every length."""

SAMPLINGS = ("independent", "systematic")


def compose(compile_for, initial, start, n_steps, n_tunes, threshold, temperature, systematic, rng):
    """Read `start`, then sample `n_steps` further steps of each of `n_tunes` tunes.

    Parameters
    ----------
    compile_for : callable
        `CompiledNetwork.sampling`.
    initial : list of (H,)
        The states at t = −1, flat.
    start : (S, P)
        The beginning of every tune, S at least 1.
    n_steps, n_tunes : int
    threshold, temperature : float
    systematic : bool
    rng : numpy.random.Generator

    Returns
    -------
    tunes, probabilities : (n_tunes, n_steps, P)
    """
    S, P = start.shape
    dtype = start.dtype
    shape = (WINDOW, 1 << (n_tunes - 1).bit_length(), P)
    tunes = np.zeros((n_tunes, n_steps, P), dtype)
    probabilities = np.zeros_like(tunes)
    if n_steps == 0:
        return tunes, probabilities

    sampler = compile_for(shape, systematic)
    threshold, sharpness = np.asarray(threshold, dtype), np.asarray(1 / temperature, dtype)
    last = np.zeros(shape[1:], dtype)
    states = [np.tile(vector, (shape[1], 1)) for vector in initial]
    # After reading step t the network knows step t + 1: the first sample follows the last
    # row of the start, and the last sample need not be read.
    for first in range(0, S + n_steps - 1, WINDOW):
        given = np.zeros(shape, dtype)
        is_given = np.zeros(WINDOW, dtype)
        rows = start[first : first + WINDOW]
        given[: len(rows)] = rows[:, None]
        is_given[: len(rows)] = 1
        composed = slice(max(first - S + 1, 0), max(first + WINDOW - S + 1, 0))  # in the tune
        n_new = tunes[:, composed].shape[1]
        in_window = slice(composed.start + S - 1 - first, composed.start + S - 1 - first + n_new)
        uniform = np.zeros(shape, dtype)
        n_numbers = 1 if systematic else P
        uniform[in_window, :n_tunes] = rng.random((n_new, n_tunes, n_numbers), dtype)
        sample, probability, last, *states = sampler(
            given, is_given, uniform, threshold, sharpness, last, *states
        )
        tunes[:, composed] = np.asarray(sample)[in_window, :n_tunes].swapaxes(0, 1)
        probabilities[:, composed] = np.asarray(probability)[in_window, :n_tunes].swapaxes(0, 1)
    return tunes, probabilities
