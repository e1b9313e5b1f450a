"""The network: stacked LSTM layers with skip connections under a sigmoid output.

The input feeds every layer and every layer feeds the output (Graves 2013, figure 1):

    y_t = σ(Y_t),   Y_t = Σ_layers h_t^(layer) W_hy^(layer) + b_y          (7)

y_t are the probabilities of the notes at step t + 1. In training with dropout, the layer above
and the output see a layer's hidden state through a mask m (B, H), which is the same at all steps:

    seen_t = m ⊙ h_t                                                       (8)

The gradient passes through the same mask on its way back. A network with chords adds (9) to (11)
of `chords` to Y. Equations (1) to (6) and the conventions are in `lstm`.

A network with *conditions* is told something of each step that it predicts, such as its place in
the bar. A row then has Q more columns, z_t, and the input at step t is x_t beside z_{t+1}, P + Q
columns that take the place of x_t in (1) to (5). Conditions are not predicted, and act on (7)
and (9) through the hidden states alone.
"""

from typing import Any, NamedTuple

from rnn4music.backend import concatenate, dot
from rnn4music.chords import chord_output, chord_output_backward
from rnn4music.gates import split
from rnn4music.linear import (
    apply_matrix,
    apply_to_roll,
    apply_transposed,
    masked,
    matrix_gradient,
    vector_gradient,
)
from rnn4music.lstm import (
    State,
    lstm_layer,
    lstm_layer_backward,
    lstm_step,
    peepholes,
)


class OutputParameters(NamedTuple):
    """The output layer's weights, or arrays of the same shapes."""

    layer1_to_output: Any  # (H1, P)
    layer2_to_output: Any  # (H2, P)
    layer3_to_output: Any  # (H3, P)
    bias: Any  # (P,)


class NetworkParameters(NamedTuple):
    """All weights, or arrays of the same shapes, such as gradients and mean squares."""

    layers: tuple  # of LayerParameters
    output: OutputParameters
    chords: Any = None  # ChordParameters; None if the pitches of a step are independent


class NetworkActivations(NamedTuple):
    """The arrays that the forward pass keeps for the backward pass."""

    layers: tuple  # of Activations
    chords: Any  # the values of the chord units (T, B, K), if there are any


NO_MASKS = None, None, None


def with_conditions(rows, following, P):
    """Return the pitches of rows (T, B, P + Q) with the conditions of the rows after them."""
    return concatenate([rows[:, :, :P], following[:, :, P:]], axis=2)


def forward(inputs, initial, parameters, masks=NO_MASKS, following=None):
    """Run the network over all steps.

    Parameters
    ----------
    inputs : (T, B, P), or with conditions (T, B, P + Q)
    initial : tuple of State of (B, H)
        Each layer's states at t = −1.
    parameters : NetworkParameters
    masks : tuple of (B, H) or None
        Each layer's mask.
    following : (T, B, P), with chords only
        The rows that are predicted: row t is the step after row t of the inputs.

    Returns
    -------
    Y : (T, B, P)
        The pre-activations of the output.
    activations : NetworkActivations
    """
    Y = parameters.output.bias
    activations, seen = [], []
    below = None
    layers = zip(initial, parameters.layers, parameters.output, masks)
    for state, layer, to_output, mask in layers:
        of_layer = lstm_layer(inputs, below, state, layer)
        below = masked(of_layer.hidden, mask)  # (8)
        Y = apply_matrix(below, to_output, Y)  # (7)
        activations.append(of_layer)
        seen.append(below)
    units = None
    if parameters.chords is not None:
        Y, units = chord_output(following, seen, Y, parameters.chords)  # (9) to (11)
    return Y, NetworkActivations(tuple(activations), units)


def backward(
    d_Y, d_after, inputs, initial, activations, parameters, masks=NO_MASKS, following=None
):
    """Carry the cost's gradient back through `forward`, top layer first.

    Parameters
    ----------
    d_Y : (T, B, P)
        Derivative with respect to the output's pre-activations.
    d_after : tuple of State of (B, H)
        Derivative with respect to each layer's last states, from the steps after them.
    inputs, initial, parameters, masks, following
        The arguments of `forward`.
    activations : NetworkActivations
        The second result of `forward`.

    Returns
    -------
    d_parameters : NetworkParameters
        The gradient with respect to each parameter.
    d_before : tuple of State of (B, H)
        Derivative with respect to `initial`.
    """
    layers, units = activations
    seen = [masked(of_layer.hidden, mask) for of_layer, mask in zip(layers, masks)]  # (8)
    d_output = OutputParameters(
        *(matrix_gradient(hidden, d_Y) for hidden in seen),  # (7)
        bias=vector_gradient(d_Y),
    )
    d_chords, d_a, to_chords = None, None, parameters.chords
    if parameters.chords is not None:
        d_chords, d_a = chord_output_backward(d_Y, following, seen, units, parameters.chords)
    d_layers, d_before = [], []
    d_below = None
    for n in reversed(range(len(layers))):
        d_seen = apply_transposed(d_Y, parameters.output[n], d_below)  # (7)
        if d_a is not None:
            d_seen = apply_transposed(d_a, to_chords[n], d_seen)  # (9)
        d_hidden = masked(d_seen, masks[n])  # (8)
        below = seen[n - 1] if n > 0 else None
        d_layer, d_below, d_state = lstm_layer_backward(
            d_hidden, d_after[n], inputs, below, initial[n], layers[n], parameters.layers[n]
        )
        d_layers.insert(0, d_layer)
        d_before.insert(0, d_state)
    return NetworkParameters(tuple(d_layers), d_output, d_chords), tuple(d_before)


def network_step(x, states, parameters):
    """Advance the network by one step, for sampling.

    Parameters
    ----------
    x : (B, P), or with conditions (B, P + Q)
    states : tuple of State of (B, H)
    parameters : NetworkParameters

    Returns
    -------
    Y : (B, P)
        The output's pre-activations, without the chord terms.
    states : tuple of State
    """
    Y = parameters.output.bias
    new_states = []
    below = None
    for state, layer, to_output in zip(states, parameters.layers, parameters.output):
        a = apply_to_roll(x[None, :, :], layer.input_to_gates, layer.bias)[0]
        if below is not None:
            a = a + dot(below, layer.below_to_gates)
        a = split(a + dot(state.hidden, layer.hidden_to_gates))
        h, c, _ = lstm_step(a, state.cell, *peepholes(layer))
        Y = Y + dot(h, to_output)  # (7)
        new_states.append(State(h, c))
        below = h
    return Y, tuple(new_states)
