"""The rules that turn a gradient into a step, by the name that `RNN4Music(optimiser=…)` takes.

Each is a pure function from expressions to expressions, for one parameter w with the gradient
g, the learning rate R, running averages of its own, which start at 0, and n, the number of
updates with this one:

``rmsprop``, the rule of 2015 (Tieleman and Hinton 2012; see `updates`)::

    m ← 0.9 m + 0.1 g²
    w ← w − R · g / √max(epsilon, m)

``graves``, centred RMSprop with momentum (Graves 2013, arXiv 1308.0850, equations 38 to 41;
its R was 1e-4)::

    m ← 0.95 m + 0.05 g²
    a ← 0.95 a + 0.05 g
    s ← 0.9 s − R · g / √(m − a² + 1e-4)
    w ← w + s

(m − a² is a variance, which rounding may make negative: 0 then)

``adam`` (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1)::

    a ← 0.9 a + 0.1 g
    m ← 0.999 m + 0.001 g²
    w ← w − R · (a / (1 − 0.9ⁿ)) / (√(m / (1 − 0.999ⁿ)) + 1e-8)
"""

import math
from typing import Any, NamedTuple

from rnn4music.backend import constant, expm1, maximum, sqrt
from rnn4music.updates import rmsprop


class Optimiser(NamedTuple):
    """A rule and the names of the averages that it keeps of each parameter."""

    rule: Any  # (w, g, averages, rate, epsilon, n) → (w, averages)
    averages: tuple


def running_mean(average, value, kept):
    """Return kept · average + (1 − kept) · value."""
    return constant(kept, value.dtype) * average + constant(1 - kept, value.dtype) * value


def rmsprop_rule(parameter, gradient, averages, rate, epsilon, n_updates):
    """The rule of 2015; `epsilon` is the model's."""
    (mean_square,) = averages
    parameter, mean_square = rmsprop(parameter, gradient, mean_square, rate, epsilon)
    return parameter, (mean_square,)


def graves_rule(parameter, gradient, averages, rate, epsilon, n_updates):
    """Graves's centred RMSprop with momentum; `epsilon` has no part in it."""
    mean_square, mean, step = averages
    mean_square = running_mean(mean_square, gradient * gradient, 0.95)
    mean = running_mean(mean, gradient, 0.95)
    momentum, floor = (constant(value, gradient.dtype) for value in (0.9, 1e-4))
    variance = maximum(mean_square - mean * mean, 0)
    step = momentum * step - rate * gradient / sqrt(variance + floor)
    return parameter + step, (mean_square, mean, step)


def adam_rule(parameter, gradient, averages, rate, epsilon, n_updates):
    """Adam; `epsilon` has no part in it."""
    mean_square, mean = averages
    mean_square = running_mean(mean_square, gradient * gradient, 0.999)
    mean = running_mean(mean, gradient, 0.9)
    root = sqrt(mean_square / started(0.999, n_updates))
    step = mean / started(0.9, n_updates) / (root + constant(1e-8, gradient.dtype))
    return parameter - rate * step, (mean_square, mean)


def started(kept, n_updates):
    """Return 1 − keptⁿ, the weight that a running mean's values have together after n updates."""
    return -expm1(constant(math.log(kept), n_updates.dtype) * n_updates)


OPTIMISERS = {
    "rmsprop": Optimiser(rmsprop_rule, ("mean_squares",)),
    "graves": Optimiser(graves_rule, ("mean_squares", "mean_gradients", "steps")),
    "adam": Optimiser(adam_rule, ("mean_squares", "mean_gradients")),
}
"""The optimisers by name."""
