"""Peer: the same network in JAX, with JAX's automatic differentiation.

A single `jax.jit` contains the whole update. The products with the inputs and with the layer below
are computed for all steps together, outside `lax.scan`. The four gates are fused. The weights and
the averages of RMSprop are donated, so that they are updated in place.

Conventions
-----------
Arrays are time-major, (T, B, feature). Parameters and their names are those of rnn4music.
"""

# pyright: reportMissingImports=false

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.peers import EPSILON


class JaxScan:
    """The peer; `peers` describes its methods."""

    def __init__(self, n_pitches, n_units, initial, rate, bound, chord_units=None):
        del n_pitches, n_units, chord_units  # implied by the weights
        states = [
            tuple(jnp.asarray(initial[f"layer{n}/{field}"]) for field in ("hidden", "cell"))
            for n in (1, 2, 3)
        ]
        self.weights, self.mean_squares = {}, {}
        cost = functools.partial(cross_entropy, states)
        self._gradients = jax.jit(jax.value_and_grad(cost))
        self._update = jax.jit(
            functools.partial(rmsprop_update, cost, rate, bound), donate_argnums=(0, 1)
        )
        self._forward = jax.jit(
            lambda weights, *rolls: jax.nn.sigmoid(forward(states, weights, *rolls))
        )

    def set_parameters(self, mapping):
        """Set the weights and reset the averages of RMSprop."""
        self.weights = {name: jnp.array(array, jnp.float32) for name, array in mapping.items()}
        self.mean_squares = {name: jnp.zeros_like(w) for name, w in self.weights.items()}

    def gradients(self, windows):
        """Return the cost and the gradients by name."""
        cost, gradients = self._gradients(self.weights, windows)
        return float(cost), {name: np.asarray(array) for name, array in gradients.items()}

    def update(self, windows):
        """Update the weights once, and return the cost before the update."""
        cost, self.weights, self.mean_squares = self._update(
            self.weights, self.mean_squares, windows
        )
        return float(cost)

    def probabilities(self, inputs, following=None):
        """Return the probabilities of the notes at each next step, (T, B, P)."""
        return np.asarray(self._forward(self.weights, inputs, following))


def run_layer(a, state, hidden_to_gates, p_i, p_f, p_o):
    """Return the hidden states (T, B, H) of a layer, given its pre-activations (T, B, 4H)."""

    def step(carried, a):
        h, c = carried
        i, f, g, o = jnp.split(a + h @ hidden_to_gates, 4, axis=1)
        i = jax.nn.sigmoid(i + p_i * c)
        f = jax.nn.sigmoid(f + p_f * c)
        c = f * c + i * jnp.tanh(g)
        h = jax.nn.sigmoid(o + p_o * c) * jnp.tanh(c)
        return (h, c), h

    n_tunes, n_units = a.shape[1], hidden_to_gates.shape[0]
    start = tuple(jnp.broadcast_to(vector, (n_tunes, n_units)) for vector in state)
    return lax.scan(step, start, a)[1]


def forward(states, weights, inputs, following, masks=None):
    """Return the pre-activations of the output, (T, B, P); `masks` (B, H) are dropout's."""
    Y, units = weights["output/bias"], weights.get("chords/bias", 0)
    below = None
    for n, state in enumerate(states, start=1):
        layer = f"layer{n}"
        a = inputs @ weights[f"{layer}/input_to_gates"] + weights[f"{layer}/bias"]
        if below is not None:
            a = a + below @ weights[f"{layer}/below_to_gates"]
        peepholes = [weights[f"{layer}/peephole_{gate}"] for gate in ("input", "forget", "output")]
        below = run_layer(a, state, weights[f"{layer}/hidden_to_gates"], *peepholes)
        if masks is not None:
            below = below * masks[n - 1]
        Y = Y + below @ weights[f"output/{layer}_to_output"]
        if "chords/bias" in weights:
            units = units + below @ weights[f"chords/{layer}_to_chords"]
    return add_chords(Y, units, weights, following)


def add_chords(Y, units, weights, following):
    """Add the terms of the chord output to Y, if the weights have one."""
    if "chords/pitches_to_output" not in weights:
        return Y
    pitch = jnp.arange(Y.shape[-1])
    is_lower = pitch[:, None] < pitch
    Y = Y + following @ (weights["chords/pitches_to_output"] * is_lower)
    if "chords/bias" not in weights:
        return Y
    degree = jnp.arange(units.shape[-1]) % (len(pitch) - 1)
    reads, acts = pitch[:, None] <= degree, degree[:, None] < pitch
    units = jnp.tanh(units + following @ (weights["chords/pitches_to_chords"] * reads))
    return Y + units @ (weights["chords/chords_to_output"] * acts)


def cross_entropy(states, weights, windows):
    """Return the cost of windows (T + 1, B, P): the sum, averaged over tunes."""
    Y = forward(states, weights, windows[:-1], windows[1:])
    return jnp.sum(jax.nn.softplus(Y) - windows[1:] * Y) / windows.shape[1]


def rmsprop_update(cost, rate, bound, weights, mean_squares, windows):
    """Return the cost, and the weights and mean squares after one update."""
    value, gradients = jax.value_and_grad(cost)(weights, windows)
    gradients = jax.tree.map(lambda g: jnp.clip(g, -bound, bound), gradients)
    mean_squares = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g * g, mean_squares, gradients)
    weights = jax.tree.map(
        lambda w, g, m: w - rate * g / jnp.sqrt(jnp.maximum(EPSILON, m)),
        weights,
        gradients,
        mean_squares,
    )
    return value, weights, mean_squares
