"""From a gradient to the next value of a parameter: pure functions of expressions.

    g ← clip(g, −gradClip, gradClip) + sparseParam · sign(w)
    m ← 0.9 m + 0.1 g²
    w ← w − R · g / √max(epsilon, m)

RMSprop is from Tieleman and Hinton, "Lecture 6.5", COURSERA: Neural Networks for Machine
Learning, 2012; clipping each element from Graves 2013 (arXiv 1308.0850), section 2.1.
"""

from rnn4music import backend
from rnn4music.backend import constant, maximum, sign, sqrt


def clip(gradient, bound):
    """Limit each element of the gradient to [−bound, bound]."""
    return backend.clip(gradient, -bound, bound)


def l1_penalty(parameter, strength):
    """Gradient of strength · Σ|w|."""
    return strength * sign(parameter)


def rmsprop(parameter, gradient, mean_square, rate, epsilon):
    """Divide the step by a running root mean square of the gradient.

    Returns
    -------
    (expression, expression)
        The parameter and its mean square after the update.
    """
    kept, added = (constant(share, parameter.dtype) for share in (0.9, 0.1))
    mean_square = kept * mean_square + added * gradient * gradient
    return parameter - rate * gradient / sqrt(maximum(epsilon, mean_square)), mean_square
