"""The chord output: pitches of one step that depend on each other; backward pass by hand.

The sigmoid output of (7) gives each pitch a probability of its own, whatever the others do. With
chords, the probability of a pitch also depends on the pitches below it. Let x be the row that is
predicted, P pitches in ascending order, and let each of K chord units u have a degree
m(u) = u mod (P − 1). The unit reads the pitches up to its degree and acts on those above it:

    a = Σ_layers seen^(layer) C^(layer) + x (V ⊙ M_in) + c                                  (9)
    s = tanh(a)                                                                             (10)
    Y = Σ_layers seen^(layer) W_hy^(layer) + b_y + s (U ⊙ M_out) + x (L ⊙ M_L)              (11)

    M_in[j, u] = 1 if j ≤ m(u),   M_out[u, k] = 1 if m(u) < k,   M_L[j, k] = 1 if j < k,   else 0

so that Y_k depends on the pitches below k alone, and the product over k of
σ(Y_k)^x_k (1 − σ(Y_k))^(1 − x_k) is the exact probability of the whole row. Its negative logarithm
is the cross-entropy of `costs`. Without chord units this is a fully visible sigmoid belief
network; with them it is MADE (Germain, Gregor, Murray and Larochelle, ICML 2015, arXiv 1502.03509),
conditioned on the LSTM, as RNN-NADE is.

Training computes all pitches at once. Sampling goes from the lowest pitch to the highest.

Conventions
-----------
Those of `lstm`. `seen` are the layers' hidden states, behind the masks of (8) in training with
dropout; `following` is x at all steps: row t is the step after row t of the network's input.
"""

from typing import Any, NamedTuple

from rnn4music import backend
from rnn4music.backend import accelerated, arange, cast, dot, shape_of, sigmoid, tanh
from rnn4music.gates import tanh_slope
from rnn4music.linear import (
    apply_matrix,
    apply_to_roll,
    apply_transposed,
    matrix_gradient,
    roll_gradient,
    vector_gradient,
)


class ChordParameters(NamedTuple):
    """The chord output's weights, or arrays of the same shapes; without units only L."""

    layer1_to_chords: Any  # C^(1) (H1, K)
    layer2_to_chords: Any  # C^(2) (H2, K)
    layer3_to_chords: Any  # C^(3) (H3, K)
    pitches_to_chords: Any  # V (P, K)
    chords_to_output: Any  # U (K, P)
    pitches_to_output: Any  # L (P, P)
    bias: Any  # c (K,)


BEGIN_AT_ZERO = ("chords_to_output", "pitches_to_output")
"""U and L: a network with chords begins with independent pitches."""


def chord_shapes(layer_sizes, P, K):
    """Return the shapes of the `ChordParameters` of K units over P pitches."""
    if K == 0:
        return ChordParameters(None, None, None, None, None, (P, P), None)
    to_chords = [(H, K) for H in layer_sizes]
    return ChordParameters._make([*to_chords, (P, K), (K, P), (P, P), (K,)])


def lower_pitches(L):
    """L ⊙ M_L: each pitch depends on the pitches below it."""
    pitch = arange(shape_of(L)[0])
    return L * cast(pitch[:, None] < pitch, L.dtype)


def read_pitches(V):
    """V ⊙ M_in: each unit reads the pitches up to its degree."""
    P, K = shape_of(V)
    pitch, degree = arange(P), arange(K) % (P - 1)
    return V * cast(pitch[:, None] <= degree, V.dtype)


def higher_pitches(U):
    """U ⊙ M_out: each unit acts on the pitches above its degree."""
    K, P = shape_of(U)
    degree, pitch = arange(K) % (P - 1), arange(P)
    return U * cast(degree[:, None] < pitch, U.dtype)


def chord_output(following, seen, Y, parameters):
    """Add the chord terms to the output's pre-activations.

    Parameters
    ----------
    following : (T, B, P)
    seen : list of three (T, B, H)
    Y : (T, B, P)
        The pre-activations of (7).
    parameters : ChordParameters

    Returns
    -------
    Y : (T, B, P)
    s : (T, B, K) or None
        The values of the chord units, if there are any, for the backward pass.
    """
    Y = apply_to_roll(following, lower_pitches(parameters.pitches_to_output), Y)  # (11)
    if parameters.bias is None:
        return Y, None
    a = apply_to_roll(following, read_pitches(parameters.pitches_to_chords), parameters.bias)  # (9)
    for hidden, to_chords in zip(seen, parameters):
        a = apply_matrix(hidden, to_chords, a)  # (9)
    s = tanh(a)  # (10)
    return apply_matrix(s, higher_pitches(parameters.chords_to_output), Y), s  # (11)


def chord_output_backward(d_Y, following, seen, s, parameters):
    """Carry the cost's gradient back through `chord_output`.

    Parameters
    ----------
    d_Y : (T, B, P)
        Derivative with respect to the output's pre-activations.
    following, seen, parameters
        The arguments of `chord_output`.
    s : (T, B, K) or None
        The second result of `chord_output`.

    Returns
    -------
    d_parameters : ChordParameters
    d_a : (T, B, K) or None
        Derivative with respect to the units' pre-activations, from which the layers below get
        d_seen^(layer) = d_a C^(layer)ᵀ.
    """
    d_L = lower_pitches(roll_gradient(following, d_Y))  # (11)
    if s is None:
        return parameters._replace(pitches_to_output=d_L), None
    d_U = higher_pitches(matrix_gradient(s, d_Y))  # (11)
    d_s = apply_transposed(d_Y, higher_pitches(parameters.chords_to_output))  # (11)
    d_a = d_s * tanh_slope(s)  # (10)
    d_C = [matrix_gradient(hidden, d_a) for hidden in seen]  # (9)
    d_V = read_pitches(roll_gradient(following, d_a))  # (9)
    return ChordParameters._make([*d_C, d_V, d_U, d_L, vector_gradient(d_a)]), d_a


def chord_units_before(hidden, parameters):
    """Return the chord units' pre-activations before any pitch is drawn: (B, K), or None.

    `hidden` are the layers' hidden states (B, H) at one step. None means that there are no units.
    """
    if parameters.bias is None:
        return None
    a = parameters.bias
    for h, to_chords in zip(hidden, parameters):
        a = a + dot(h, to_chords)  # (9)
    return a


@accelerated(by="rnn4music.kernels.dispatch")
def draw_pitches(Y, a, uniform, parameters, sharpness, threshold):
    """Draw the pitches of one step, from the lowest to the highest.

    Once a pitch is drawn, it acts on those above it, and the chord units of its degree have read
    all that they read. No masks are needed: pitches and units that are done are not read again.

    Parameters
    ----------
    Y : (B, P)
        The pre-activations of (7).
    a : (B, K) or None
        As `chord_units_before` returns it.
    uniform : (B, P)
        Random numbers in [0, 1).
    parameters : ChordParameters
    sharpness, threshold : scalars
        The inverse temperature, by which each Y_k is multiplied; and the probability that a pitch
        has to exceed in order to sound.

    Returns
    -------
    sample : (B, P)
        Zeros and ones.
    probabilities : (B, P)
        The probability with which each pitch was drawn; 0 where it did not exceed the threshold.
    """
    B, P = shape_of(Y)
    states = [Y]
    constants = [parameters.pitches_to_output, sharpness, threshold]
    if a is not None:
        K = shape_of(a)[1]
        n = -(-K // (P - 1))  # units of the same degree, at most
        filled = n * (P - 1) - K
        U, V = parameters.chords_to_output, parameters.pitches_to_chords
        states += [backend.concatenate([a, backend.zeros((B, filled), a.dtype)], axis=1)]
        U = backend.concatenate([U, backend.zeros((filled, P), U.dtype)], axis=0)
        V = backend.concatenate([V, backend.zeros((P, filled), V.dtype)], axis=1)
        constants += [U.reshape((n, P - 1, P)), V]

    def step(k, uniform, Y, *rest):
        a, (L, sharpness, threshold, *of_units) = rest[: len(states) - 1], rest[len(states) - 1 :]
        y = sigmoid(Y[:, k] * sharpness)
        y = y * (y > threshold)
        x = cast(uniform < y, Y.dtype)
        Y = Y + x[:, None] * L[k]  # (11)
        if a:
            U, V = of_units
            a = [a[0] + x[:, None] * V[k]]  # (9)
            n, n_degrees, _ = shape_of(U)
            degree = k % n_degrees
            s = tanh(a[0].reshape((shape_of(Y)[0], n, n_degrees))[:, :, degree])  # (10)
            Y = Y + dot(s, U[:, degree])  # (11)
        return [Y, *a, x, y]

    *_, sample, probabilities = backend.scan(
        step,
        sequences=[arange(P), uniform.T],
        states=[*states, None, None],
        constants=constants,
        n_steps=P,
    )
    return sample.T, probabilities.T
