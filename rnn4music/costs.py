"""Cost functions, and their derivatives with respect to the output's pre-activation.

Conventions
-----------
Y is the output layer's pre-activation, y = σ(Y) the probability that a pitch sounds, k the
target, 0 or 1. All arrays are (T, B, P). The functions work elementwise, except
`total_and_derivative`, which sums over steps, tunes and pitches.
"""

from rnn4music.backend import abs_, accelerated, column_sums, exp, log1p, maximum, sigmoid
from rnn4music.gates import sigmoid_slope


def softplus(Y):
    """log(1 + e^Y), finite for every Y."""
    return maximum(Y, 0) + log1p(exp(-abs_(Y)))


def cross_entropy(Y, k):
    """−k log y − (1 − k) log(1 − y), in nats; with y = σ(Y) this equals softplus(Y) − k Y."""
    return softplus(Y) - k * Y


def cross_entropy_derivative(Y, k):
    """(y − k): the derivative of softplus is σ."""
    return sigmoid(Y) - k


def squared_error(Y, k):
    """½ (y − k)²."""
    difference = sigmoid(Y) - k
    return difference * difference / 2


def squared_error_derivative(Y, k):
    """(y − k) y (1 − y)."""
    y = sigmoid(Y)
    return (y - k) * sigmoid_slope(y)


COSTS = {
    "cross_entropy": (cross_entropy, cross_entropy_derivative),
    "squared_error": (squared_error, squared_error_derivative),
}
"""Each cost and its derivative by the name that `RNN4Music(cost=…)` takes."""


@accelerated(by="rnn4music.kernels.dispatch")
def total_and_derivative(name, Y, targets, weights):
    """Return the sum of a cost with weights (T, B), and its derivative with respect to Y."""
    (cost, derivative), weights = COSTS[name], weights[:, :, None]
    total = column_sums((cost(Y, targets) * weights).flatten())
    return total, derivative(Y, targets) * weights
