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

        self._compose = jax.jit(functools.partial(compose, states), static_argnums=(3, 4))
        self._key = jax.random.key(1)

    def compose(self, start, n, n_tunes):
        """Return `n_tunes` tunes (B, n, P) after a start (S, P), and their probabilities."""
        self._key, key = jax.random.split(self._key)
        return tuple(map(np.asarray, self._compose(self.weights, key, start, n, n_tunes)))

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


def cell(a, state, hidden_to_gates, p_i, p_f, p_o):
    """Return the states (B, H) after a step, given its pre-activations (B, 4H)."""
    h, c = state
    i, f, g, o = jnp.split(a + h @ hidden_to_gates, 4, axis=1)
    i = jax.nn.sigmoid(i + p_i * c)
    f = jax.nn.sigmoid(f + p_f * c)
    c = f * c + i * jnp.tanh(g)
    return jax.nn.sigmoid(o + p_o * c) * jnp.tanh(c), c


def recurrent(weights, layer):
    """Return the weights that `cell` takes."""
    peepholes = (f"peephole_{gate}" for gate in ("input", "forget", "output"))
    return [weights[f"{layer}/{name}"] for name in ("hidden_to_gates", *peepholes)]


def run_layer(a, state, hidden_to_gates, *peepholes):
    """Return the hidden states (T, B, H) of a layer, given its pre-activations (T, B, 4H)."""

    def step(state, a):
        state = cell(a, state, hidden_to_gates, *peepholes)
        return state, state[0]

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
        below = run_layer(a, state, *recurrent(weights, layer))
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


def compose(states, weights, key, start, n, n_tunes):
    """Return tunes (B, n, P) and their probabilities; the start (S, P) is read by one tune."""

    def read(states, x):
        Y, units = weights["output/bias"], weights.get("chords/bias", 0)
        below, after = None, []
        for k, state in enumerate(states, start=1):
            layer = f"layer{k}"
            a = x @ weights[f"{layer}/input_to_gates"] + weights[f"{layer}/bias"]
            if below is not None:
                a = a + below @ weights[f"{layer}/below_to_gates"]
            after.append(cell(a, state, *recurrent(weights, layer)))
            below = after[-1][0]
            Y = Y + below @ weights[f"output/{layer}_to_output"]
            if "chords/bias" in weights:
                units = units + below @ weights[f"chords/{layer}_to_chords"]
        return after, (Y, units)

    def step(carried, uniform):
        x, states = carried
        states, outputs = read(states, x)
        x, y = draw(*outputs, uniform, weights)
        return (x, states), (x, y)

    states = [tuple(vector[None] for vector in state) for state in states]
    states, _ = lax.scan(lambda states, x: (read(states, x[None])[0], None), states, start[:-1])
    wide = jax.tree.map(lambda row: jnp.repeat(row, n_tunes, axis=0), (start[-1:], states))
    uniform = jax.random.uniform(key, (n, n_tunes, start.shape[1]))
    _, (tunes, probabilities) = lax.scan(step, wide, uniform)
    return tunes.swapaxes(0, 1), probabilities.swapaxes(0, 1)


def draw(Y, units, uniform, weights):
    """Return a sample (B, P) and its probabilities; with chords, pitch after pitch."""
    if "chords/pitches_to_output" not in weights:
        y = jax.nn.sigmoid(Y)
        return (uniform < y).astype(Y.dtype), y
    P = Y.shape[1]
    K = 0 if isinstance(units, int) else units.shape[1]
    filled = -K % (P - 1)  # so that there are equally many units of each degree
    V, U = (weights.get(f"chords/{name}") for name in ("pitches_to_chords", "chords_to_output"))
    if K:
        units, V = (jnp.pad(array, ((0, 0), (0, filled))) for array in (units, V))
        U = jnp.pad(U, ((0, filled), (0, 0))).reshape(-1, P - 1, P)

    def step(carried, k):
        Y, units = carried
        y = jax.nn.sigmoid(Y[:, k])
        x = (uniform[:, k] < y).astype(Y.dtype)
        Y = Y + x[:, None] * weights["chords/pitches_to_output"][k]
        if K:
            units = units + x[:, None] * V[k]
            degree = k % (P - 1)
            Y = Y + jnp.tanh(units.reshape(len(Y), -1, P - 1)[:, :, degree]) @ U[:, degree]
        return (Y, units), (x, y)

    _, (sample, probabilities) = lax.scan(step, (Y, units), jnp.arange(P))
    return sample.T, probabilities.T


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
