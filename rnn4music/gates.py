"""The fused layout of an LSTM's four gates; no other module depends on their order.

One array of width 4H holds the input gate, the forget gate, the candidate and the output gate
of H units side by side, so that one matrix product serves all four.
"""

from typing import Any, NamedTuple

from rnn4music.backend import concatenate, shape_of


class Gates(NamedTuple):
    """Four arrays (…, H), in the order of the fused array."""

    input: Any
    forget: Any
    candidate: Any
    output: Any


def split(fused):
    """Cut a fused array (…, 4H) into its four `Gates`, each (…, H)."""
    n_units = shape_of(fused)[-1] // 4
    return Gates(*(fused[..., k * n_units : (k + 1) * n_units] for k in range(4)))


def join(gates):
    """Concatenate four `Gates` (…, H) into a fused array (…, 4H)."""
    return concatenate(list(gates), axis=gates.input.ndim - 1)


def sigmoid_slope(y):
    """Derivative of y = σ(a) with respect to a, in terms of y."""
    return y * (1 - y)


def tanh_slope(y):
    """Derivative of y = tanh(a) with respect to a, in terms of y."""
    return 1 - y * y
