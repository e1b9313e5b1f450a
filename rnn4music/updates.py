"""Clipping, L1 penalty and optimisers: pure functions from expressions to expressions.

Each element of the gradient g of a parameter w is first clipped (Graves 2013, arXiv 1308.0850,
section 2.1); then the gradient of the L1 penalty is added::

    g ← clip(g, −bound, bound) + strength · sign(w)

One of three rules then updates the parameter. R is the learning rate, n the number of updates
including this one, and the running averages start at 0:

``rmsprop``, the rule of 2015 (Tieleman and Hinton, "Lecture 6.5", COURSERA: Neural Networks for
Machine Learning, 2012)::

    m ← 0.9 m + 0.1 g²
    w ← w − R · g / √max(epsilon, m)

``graves``, centred RMSprop with momentum (Graves 2013, equations 38 to 41; its R was 1e-4)::

    m ← 0.95 m + 0.05 g²
    a ← 0.95 a + 0.05 g
    s ← 0.9 s − R · g / √(m − a² + 1e-4)
    w ← w + s

m − a² is a variance; where rounding makes it negative, 0 replaces it.

``adam`` (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1)::

    a ← 0.9 a + 0.1 g
    m ← 0.999 m + 0.001 g²
    w ← w − R · (a / (1 − 0.9ⁿ)) / (√(m / (1 − 0.999ⁿ)) + 1e-8)
"""

import math
from typing import Any, NamedTuple

from rnn4music import backend
from rnn4music.backend import accelerated, constant, expm1, maximum, sign, sqrt


def number(value, like):
    """Return a number in the precision of an expression; numbers of kernels have one only."""
    return constant(value, like.dtype) if hasattr(like, "dtype") else value


def clip(gradient, bound):
    """Limit each element of the gradient to [−bound, bound]."""
    return backend.clip(gradient, -bound, bound)


def l1_penalty(parameter, strength):
    """Gradient of strength · Σ|w|."""
    return strength * sign(parameter)


class Optimiser(NamedTuple):
    """An update rule, and the names of the running averages it keeps for each parameter."""

    rule: Any  # (w, g, averages, rate, epsilon, n) → (w, averages)
    averages: tuple


def running_mean(average, value, kept):
    """Return kept · average + (1 − kept) · value."""
    return number(kept, value) * average + number(1 - kept, value) * value


def rmsprop(parameter, gradient, averages, rate, epsilon, n_updates):
    """Divide the step by a running root mean square of the gradient: the rule of 2015."""
    (mean_square,) = averages
    kept, added = (number(share, parameter) for share in (0.9, 0.1))
    mean_square = kept * mean_square + added * gradient * gradient
    return parameter - rate * gradient / sqrt(maximum(mean_square, epsilon)), (mean_square,)


def graves(parameter, gradient, averages, rate, epsilon, n_updates):
    """Graves's centred RMSprop with momentum; it does not use `epsilon`."""
    mean_square, mean, step = averages
    mean_square = running_mean(mean_square, gradient * gradient, 0.95)
    mean = running_mean(mean, gradient, 0.95)
    momentum, added = (number(value, gradient) for value in (0.9, 1e-4))
    variance = maximum(mean_square - mean * mean, 0)
    step = momentum * step - rate * gradient / sqrt(variance + added)
    return parameter + step, (mean_square, mean, step)


def adam(parameter, gradient, averages, rate, epsilon, n_updates):
    """Adam; it does not use `epsilon`."""
    mean_square, mean = averages
    mean_square = running_mean(mean_square, gradient * gradient, 0.999)
    mean = running_mean(mean, gradient, 0.9)
    root = sqrt(mean_square / started(0.999, n_updates))
    step = mean / started(0.9, n_updates) / (root + number(1e-8, gradient))
    return parameter - rate * step, (mean_square, mean)


def started(kept, n_updates):
    """Return 1 − keptⁿ, the total weight of the values in a running mean after n updates."""
    return -expm1(number(math.log(kept), n_updates) * n_updates)


OPTIMISERS = {
    "rmsprop": Optimiser(rmsprop, ("mean_squares",)),
    "graves": Optimiser(graves, ("mean_squares", "mean_gradients", "steps")),
    "adam": Optimiser(adam, ("mean_squares", "mean_gradients")),
}
"""The optimisers by name."""


def changed(optimiser, parameter, gradient, averages, rate, strength, bound, epsilon, n_updates):
    """Return a parameter and its averages after an update; `strength` None is no penalty."""
    gradient = clip(gradient, bound)
    if strength is not None:
        gradient = gradient + l1_penalty(parameter, strength)
    rule = OPTIMISERS[optimiser].rule
    return rule(parameter, gradient, averages, rate, epsilon, n_updates)


@accelerated(by="rnn4music.kernels.dispatch")
def all_changed(optimiser, parameters, gradients, averages, rates, strengths, settings):
    """Apply `changed` to each parameter: to lists of expressions, tuples of them for `averages`.

    `settings` are the scalars bound, epsilon and n_updates. Returns a list of results of `changed`.
    """
    each = zip(parameters, gradients, averages, rates, strengths)
    return [changed(optimiser, *one, *settings) for one in each]
