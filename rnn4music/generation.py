"""Composing: the network reads a start, then its own samples.

Notes are sampled by comparing probabilities with uniform random numbers from NumPy's Generator,
so that every engine composes the same tune from the same seed. A probability that does not
exceed the threshold is returned as 0, and the note does not sound.

A network with chords draws the pitches of a step from the lowest to the highest, each from its
probability given those below it; see `chords`.

The log-odds Y of a note are changed to m + (Y − m) / temperature + ln density. Around m = 0 a low
temperature makes most notes rarer, since most are unlikely. Around m = Σ y (1 − y) Y / Σ y (1 − y),
the mean over notes of which the network is unsure, the derivative of the expected number of notes
Σ σ(m + (Y − m) / temperature) at temperature 1 is 0: the temperature changes which notes sound, and
hardly how many.

Without chords there are two ways. Independent sampling draws a random number for each pitch.
Systematic sampling draws one number, u, for each step. The pitches are laid end to end on a line,
lowest first, each as long as its probability, and a pitch sounds if one of the points u, u + 1,
u + 2, … falls on it. Each pitch still sounds with its own probability, but the number of notes is
the expected one, rounded up or down, and neighbours compete: where a voice may go to one of several
pitches, exactly one of them sounds. (W. G. Madow, "On the theory of systematic sampling, II",
Annals of Mathematical Statistics 20, 1949.)
"""

import math

import numpy as np

from rnn4music import backend
from rnn4music.backend import accelerated, shape_of
from rnn4music.chords import chord_units_before, draw_pitches
from rnn4music.graphs.compiled import compiled_once, flattened, paired
from rnn4music.graphs.parameters import named, unnamed
from rnn4music.network import network_step

WINDOW, ROWS = 64, 384
"""Least number of steps, and of steps times tunes, in one call of the compiled sampler.

One compilation serves tunes of every length.
"""

DRAWN_AT_ONCE = 1000
"""Rows in one call of the compiled function that `marginals` draws with."""

SAMPLINGS = ("independent", "systematic")


@compiled_once
def sampler(network, shape, systematic):
    """Compile the sampler of one window of (T, B, P) steps, tunes and pitches.

    The function takes the arguments of `run_window` except the parameters, all in one list, and
    returns ``[sample, probabilities, the last sample, *states after]``.
    """
    T, B, P = shape
    rows = network.input("rows", (T, P + network.store.n_conditions))
    is_given, uniform = network.input("is_given", (T,)), network.input("uniform", shape)
    settings = [network.input(name, ()) for name in ("threshold", "sharpness", "offset")]
    last, states = network.input("last", (B, P)), network.state_inputs(B)
    sample, probabilities, states_after = run_window(
        rows, is_given, uniform, settings, last, paired(states), network.parameters, systematic
    )
    return backend.function(
        [rows, is_given, uniform, *settings, last, *states],
        [sample, probabilities, sample[:, -1], *flattened(states_after)],
    )


@accelerated(by="rnn4music.kernels.dispatch")
def run_window(rows, is_given, uniform, settings, last, states, parameters, systematic):
    """Compose the steps of a window.

    Parameters
    ----------
    rows : (T, P + Q)
        What the network reads, the same in all tunes: the pitches of the steps that are given, and
        the conditions of the step after each.
    is_given : (T,)
        1 where the network reads the pitches of a row, 0 where it reads its own last sample, −1
        where a step is not needed: there and after it, the results may be anything.
    uniform : (T, B, P)
        Random numbers in [0, 1), in systematic sampling the same one for all pitches of a step.
    settings : list of scalars
        The threshold, the inverse temperature, and the number that is added to Y before it is
        multiplied by that.
    last : (B, P)
        The sample before the window.
    states : tuple of State of (B, H)
        Those before the window.
    parameters : NetworkParameters
    systematic : bool

    Returns
    -------
    sample, probabilities : (B, T, P)
    states : tuple of State of (B, H)
        Those after the window.
    """
    P, weights, n_states = shape_of(last)[1], named(parameters), 2 * len(states)

    def step(row, is_given, uniform, last, *rest):
        states, (threshold, sharpness, offset, *arrays) = rest[:n_states], rest[n_states:]
        shape = shape_of(last)[0], shape_of(row)[0] - P
        known = backend.zeros(shape, last.dtype) + row[P:]  # (B, Q)
        x = backend.concatenate([backend.switch(is_given > 0, row[:P], last), known], axis=1)
        parameters = unnamed(dict(zip(weights, arrays)))
        Y, states = network_step(x, paired(states), parameters)
        Y = Y + offset
        if parameters.chords is not None:
            a = chord_units_before([state.hidden for state in states], parameters.chords)
            drawn = draw_pitches(Y, a, uniform, parameters.chords, sharpness, threshold)
            return [drawn[0], *flattened(states), drawn[1]]
        probabilities = backend.sigmoid(Y * sharpness)
        probabilities = probabilities * (probabilities > threshold)
        sounds = _systematic if systematic else _independent
        sample = backend.cast(sounds(probabilities, uniform), last.dtype)
        return [sample, *flattened(states), probabilities]

    sample, *states_after, probabilities = backend.scan(
        step,
        sequences=[rows, is_given, uniform],
        states=[last, *flattened(states), None],
        constants=[*settings, *weights.values()],
        n_steps=shape_of(rows)[0],
    )
    states = paired([state[-1] for state in states_after])
    return sample.swapaxes(0, 1), probabilities.swapaxes(0, 1), states


def _independent(probabilities, uniform):
    """Return which pitches sound; both arguments are (B, P)."""
    return uniform < probabilities


def _systematic(probabilities, uniform):
    """Return which pitches sound, from random numbers (B, P) that are equal for all pitches.

    A pitch sounds if its piece of the line, which begins where the one before ends, holds a point.
    """
    n_points = (probabilities.cumsum(axis=1) - uniform).ceil()  # up to the end of each piece
    before = backend.concatenate([n_points[:, :1] * 0, n_points[:, :-1]], axis=1)
    return (n_points > before) * (probabilities > 0)


def compose(
    network,
    start,
    n_steps,
    n_tunes,
    threshold,
    temperature,
    systematic,
    rng,
    conditions,
    around=0.0,
    density=1.0,
):
    """Read `start`, then sample `n_steps` further steps of each of `n_tunes` tunes.

    Parameters
    ----------
    network : graphs.compiled.CompiledNetwork
    start : (S, P + Q)
        The beginning of every tune, S at least 1.
    n_steps, n_tunes : int
    threshold, temperature : float
    systematic : bool
    rng : numpy.random.Generator
    conditions : (n_steps, Q)
        Those of the steps that are composed, in all tunes.
    around, density : float
        m, and the factor of all odds.

    Returns
    -------
    tunes, probabilities : (n_tunes, n_steps, P)
    """
    S, P = len(start), network.store.n_pitches
    start, conditions = start[:, :P], np.concatenate([start[1:, P:], conditions])  # of next steps
    dtype = start.dtype
    n_padded = 1 << (n_tunes - 1).bit_length()
    shape = max(WINDOW, ROWS // n_padded), n_padded, P
    tunes = np.zeros((n_tunes, n_steps, P), dtype)
    probabilities = np.zeros_like(tunes)
    if n_steps == 0:
        return tunes, probabilities

    sample_window = sampler(network, shape, systematic)
    offset = around * (temperature - 1) + temperature * math.log(density)
    settings = [np.asarray(each, dtype) for each in (threshold, 1 / temperature, offset)]
    last = np.zeros(shape[1:], dtype)
    states = [np.tile(vector, (shape[1], 1)) for vector in network.store.initial_states()]
    # Reading step t gives the probabilities of step t + 1: the first sample follows the last
    # row of the start, and the last sample is never read.
    n_read, uniform = S + n_steps - 1, np.zeros(shape, dtype)
    is_given = np.repeat(np.array([1, 0, -1], dtype), [S, n_steps - 1, shape[0]])
    rows = np.zeros((len(is_given), P + network.store.n_conditions), dtype)
    rows[:S, :P], rows[:n_read, P:] = start, conditions
    for first in range(0, n_read, shape[0]):
        window = slice(first, first + shape[0])
        composed = slice(max(first - S + 1, 0), max(first + shape[0] - S + 1, 0))  # in the tune
        n_new = tunes[:, composed].shape[1]
        in_window = slice(composed.start + S - 1 - first, composed.start + S - 1 - first + n_new)
        if systematic:
            uniform[in_window, :n_tunes] = rng.random((n_new, n_tunes, 1), dtype)
        elif n_tunes == n_padded:
            rng.random(dtype=dtype, out=uniform[in_window])
        else:
            uniform[in_window, :n_tunes] = rng.random((n_new, n_tunes, P), dtype)
        sample, probability, last, *states = sample_window(
            rows[window], is_given[window], uniform, *settings, last, *states
        )
        tunes[:, composed] = np.asarray(sample)[:n_tunes, in_window]
        probabilities[:, composed] = np.asarray(probability)[:n_tunes, in_window]
    return tunes, probabilities


@compiled_once
def drawer(network, shape):
    """Compile the drawing of rows of a network with chords, at temperature 1.

    The function takes Y (N, P), a (N, K) and the random numbers (N, P), as `chords.draw_pitches`
    does, and returns the probabilities with which the pitches were drawn (N, P).
    """
    K, one = network.store.chord_units, backend.constant(1, network.store.dtype)
    Y, uniform = network.input("Y", shape), network.input("uniform", shape)
    a = network.input("a", (shape[0], K))
    arguments = Y, a if K else None, uniform, network.parameters.chords, one, one * 0
    return backend.function([Y, a, uniform], [draw_pitches(*arguments)[1]])


def marginals(network, known, n_samples):
    """Estimate the probability of each pitch at the steps after some rows, whatever else sounds.

    Whole steps are drawn, and the probabilities with which each pitch was drawn are averaged. The
    error of this mean is less than that of the share of the steps in which the pitch sounds. All
    rows and all calls use the same random numbers.

    Parameters
    ----------
    network : graphs.compiled.CompiledNetwork
        Has chords.
    known : (N, P + K)
        As `scores.run` returns it for a network with chords and no `following`.
    n_samples : int
        Steps to draw for each row.

    Returns
    -------
    (N, P)
    """
    P = known.shape[1] - network.store.chord_units
    uniform = np.random.default_rng(0).random((n_samples, P), known.dtype)
    n_rows = max(1, DRAWN_AT_ONCE // n_samples)
    draw, uniform = drawer(network, (n_rows * n_samples, P)), np.tile(uniform, (n_rows, 1))
    probabilities = np.empty((len(known), P), known.dtype)
    for first in range(0, len(known), n_rows):
        rows = known[np.arange(first, first + n_rows).clip(max=len(known) - 1)]
        Y, a = np.split(np.repeat(rows, n_samples, axis=0), [P], axis=1)
        mean = np.asarray(draw(Y, a, uniform)[0]).reshape(n_rows, n_samples, P).mean(axis=1)
        probabilities[first : first + n_rows] = mean[: len(known) - first]
    return probabilities
