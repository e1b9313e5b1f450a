"""One LSTM layer with peepholes: the forward pass, and the backward pass by hand.

The equations (Graves 2013, arXiv 1308.0850, section 2, with the diagonal peepholes of Gers
and Schmidhuber 2000), ⊙ elementwise, σ the logistic function:

    i_t = σ(x_t W_xi + u_t W_ui + h_{t−1} W_hi + p_i ⊙ c_{t−1} + b_i)      (1)
    f_t = σ(x_t W_xf + u_t W_uf + h_{t−1} W_hf + p_f ⊙ c_{t−1} + b_f)      (2)
    g_t = tanh(x_t W_xg + u_t W_ug + h_{t−1} W_hg + b_g)                   (3)
    c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t                                        (4)
    o_t = σ(x_t W_xo + u_t W_uo + h_{t−1} W_ho + p_o ⊙ c_t + b_o)          (5)
    h_t = o_t ⊙ tanh(c_t)                                                  (6)

where x_t is the network's input, u_t the hidden state of the layer below (absent in the
first layer), i, f, o the input, forget and output gate, g the candidate, c the cell state,
h the hidden state and p the peepholes. A comment (n) beside a line names the equation that
the line computes, or undoes.

Conventions
-----------
Time-major arrays (T steps, B tunes, features); row vectors; H units. W_xi … W_xo are fused into
`input_to_gates` (P, 4H) in the layout of `gates`, and so are the other matrices. ``a`` is a gate's
pre-activation, ``d_q`` the derivative of the cost with respect to q, in the shape of q. The
`@accelerated` loops over the steps are plain graphs. `kernels.dispatch` has a machine-code version
of each, built from the same step functions, which is used where it is available.
"""

from typing import Any, NamedTuple

from rnn4music import backend
from rnn4music.backend import accelerated, arange, dot, shape_of, sigmoid, tanh
from rnn4music.gates import Gates, join, sigmoid_slope, split, tanh_slope
from rnn4music.linear import (
    apply_matrix,
    apply_to_roll,
    apply_transposed,
    matrix_gradient,
    recurrent_gradient,
    roll_gradient,
    shift,
    vector_gradient,
)


class LayerParameters(NamedTuple):
    """A layer's weights, or arrays of the same shapes, such as gradients and mean squares."""

    input_to_gates: Any  # (P, 4H)
    below_to_gates: Any  # (H of the layer below, 4H), None in the first layer
    hidden_to_gates: Any  # (H, 4H)
    bias: Any  # (4H,)
    peephole_input: Any  # (H,)
    peephole_forget: Any  # (H,)
    peephole_output: Any  # (H,)


class State(NamedTuple):
    """The state that a layer carries to the next step: (H,), (B, H) or (T, B, H) each."""

    hidden: Any
    cell: Any


class Activations(NamedTuple):
    """The arrays that the forward pass keeps for the backward pass."""

    hidden: Any  # (T, B, H)
    cell: Any  # (T, B, H)
    gates: Any  # (T, B, 4H)


def lstm_step(a, c_previous, p_i, p_f, p_o):
    """Advance one layer by one step, given its pre-activations.

    Parameters
    ----------
    a : Gates of (B, H)
        Pre-activations without the peepholes: x W_x + u W_u + h_{t−1} W_h + b.
    c_previous : (B, H)
        Cell state at t − 1.
    p_i, p_f, p_o : (H,)
        Peepholes.

    Returns
    -------
    h, c : (B, H)
    gates : Gates of (B, H)
    """
    i = sigmoid(a.input + p_i * c_previous)  # (1)
    f = sigmoid(a.forget + p_f * c_previous)  # (2)
    g = tanh(a.candidate)  # (3)
    c = f * c_previous + i * g  # (4)
    o = sigmoid(a.output + p_o * c)  # (5)
    h = o * tanh(c)  # (6)
    return h, c, Gates(i, f, g, o)


def lstm_step_backward(d_h, d_c, gates, c, c_previous, p_i, p_f, p_o):
    """Carry the cost's gradient back through one `lstm_step`.

    Undoes equations (6) to (1), last first. The output gate sees the cell state of its own
    step, so its share is added to `d_c` before the other gates are visited.

    Parameters
    ----------
    d_h : (B, H)
        Derivative with respect to h_t, from the layers above and from step t + 1.
    d_c : (B, H)
        Derivative with respect to c_t, from step t + 1.
    gates : Gates of (B, H)
        As `lstm_step` returned them.
    c, c_previous : (B, H)
        Cell states at t and t − 1.
    p_i, p_f, p_o : (H,)
        Peepholes.

    Returns
    -------
    d_a : Gates of (B, H)
        Derivative with respect to the pre-activations; all weight gradients follow from it.
    d_c_previous : (B, H)
        Derivative with respect to c_{t−1}.
    """
    i, f, g, o = gates
    tanh_c = tanh(c)
    d_a_o = d_h * tanh_c * sigmoid_slope(o)  # (6) (5)
    d_c = d_c + d_h * o * tanh_slope(tanh_c)  # (6)
    d_c = d_c + d_a_o * p_o  # (5)
    d_a_g = d_c * i * tanh_slope(g)  # (4) (3)
    d_a_f = d_c * c_previous * sigmoid_slope(f)  # (4) (2)
    d_a_i = d_c * g * sigmoid_slope(i)  # (4) (1)
    d_c_previous = d_c * f  # (4)
    d_c_previous = d_c_previous + d_a_f * p_f + d_a_i * p_i  # (2) (1)
    return Gates(d_a_i, d_a_f, d_a_g, d_a_o), d_c_previous


def peephole_slopes(d_a, c, c_previous):
    """Return one step's terms of the gradients of the peepholes p_i, p_f and p_o.

    `d_a` is the first result of `lstm_step_backward`.
    """
    return (
        d_a.input * c_previous,  # (1)
        d_a.forget * c_previous,  # (2)
        d_a.output * c,  # (5)
    )


@accelerated(by="rnn4music.kernels.dispatch")
def run_steps(a, initial, parameters):
    """Advance a layer over all steps.

    Parameters
    ----------
    a : (T, B, 4H)
        The part of the pre-activations that is known before the loop: x W_x + u W_u + b.
    initial : State of (B, H)
    parameters : LayerParameters

    Returns
    -------
    Activations
    """

    def step(a, h_previous, c_previous, hidden_to_gates, *peepholes):
        a = split(a + dot(h_previous, hidden_to_gates))
        h, c, gates = lstm_step(a, c_previous, *peepholes)
        return h, c, join(gates)

    hidden, cell, gates = backend.scan(
        step,
        sequences=[a],
        states=[initial.hidden, initial.cell, None],
        constants=[parameters.hidden_to_gates, *peepholes(parameters)],
        n_steps=shape_of(a)[0],
    )
    return Activations(hidden, cell, gates)


@accelerated(by="rnn4music.kernels.dispatch")
def run_steps_backward(d_hidden, d_after, initial, activations, parameters):
    """Carry the cost's gradient back through `run_steps`, last step first.

    Parameters
    ----------
    d_hidden : (T, B, H)
        Derivative with respect to each h_t, from the layers above.
    d_after : State of (B, H)
        Derivative with respect to the last states, from the steps after them.
    initial, parameters
        The arguments of `run_steps`.
    activations : Activations
        The result of `run_steps`.

    Returns
    -------
    d_a : (T, B, 4H)
    d_bias : (4H,)
    d_peepholes : list of three (H,)
    d_before : State of (B, H)
        Derivative with respect to `initial`.
    """
    n_steps = shape_of(d_hidden)[0]
    cell_previous = shift(activations.cell, initial.cell)

    # Indexing backwards saves reversed copies of all the sequences that the loop reads.
    def step(t, d_h_next, d_c, d_hidden, gates, cell, cell_previous, gates_to_hidden, *peepholes):
        d_a, d_c = lstm_step_backward(
            d_hidden[t] + d_h_next, d_c, split(gates[t]), cell[t], cell_previous[t], *peepholes
        )
        d_a = join(d_a)
        return dot(d_a, gates_to_hidden), d_c, d_a

    d_h, d_c, d_a = backend.scan(
        step,
        sequences=[arange(n_steps)[::-1]],
        states=[*d_after, None],
        constants=[
            d_hidden,
            activations.gates,
            activations.cell,
            cell_previous,
            parameters.hidden_to_gates.T,
            *peepholes(parameters),
        ],
        n_steps=n_steps,
    )
    d_a = d_a[::-1]  # from the loop's order to time order
    d_peepholes = peephole_slopes(split(d_a), activations.cell, cell_previous)
    d_peepholes = [vector_gradient(slope) for slope in d_peepholes]
    return d_a, vector_gradient(d_a), d_peepholes, State(d_h[-1], d_c[-1])


def lstm_layer(inputs, below, initial, parameters):
    """Run one layer over all steps.

    Parameters
    ----------
    inputs : (T, B, P)
    below : (T, B, H of the layer below) or None
    initial : State of (B, H)
        The states at t = −1.
    parameters : LayerParameters

    Returns
    -------
    Activations
    """
    a = apply_to_roll(inputs, parameters.input_to_gates, parameters.bias)
    if below is not None:
        a = apply_matrix(below, parameters.below_to_gates, a)
    return run_steps(a, initial, parameters)


def lstm_layer_backward(d_hidden, d_after, inputs, below, initial, activations, parameters):
    """Carry the cost's gradient back through `lstm_layer`, last step first.

    Parameters
    ----------
    d_hidden : (T, B, H)
        Derivative with respect to each h_t, from the layers above.
    d_after : State of (B, H)
        Derivative with respect to the last states, from the steps after them.
    inputs, below, initial, parameters
        The arguments of `lstm_layer`.
    activations : Activations
        The result of `lstm_layer`.

    Returns
    -------
    d_parameters : LayerParameters
    d_below : (T, B, H of the layer below) or None
        Derivative with respect to `below`.
    d_before : State of (B, H)
        Derivative with respect to `initial`.
    """
    d_a, d_bias, d_peepholes, d_before = run_steps_backward(
        d_hidden, d_after, initial, activations, parameters
    )
    d_parameters = LayerParameters(
        roll_gradient(inputs, d_a),
        None if below is None else matrix_gradient(below, d_a),
        recurrent_gradient(activations.hidden, initial.hidden, d_a),
        d_bias,
        *d_peepholes,
    )
    d_below = None if below is None else apply_transposed(d_a, parameters.below_to_gates)
    return d_parameters, d_below, d_before


def peepholes(parameters):
    """Return a layer's three peepholes in the argument order of the step functions."""
    return parameters.peephole_input, parameters.peephole_forget, parameters.peephole_output
