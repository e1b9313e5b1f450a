"""Peer of whole trainings: the recipe with the network of `jax_scan`, differentiated by JAX.

One `jax.jit` contains the whole update with its noise. Weights and averages are donated. The noise
comes from XLA's own generator, which is faster than JAX's default.
"""

# pyright: reportMissingImports=false

import functools

import jax
import jax.numpy as jnp

from benchmarks.jax_scan import forward


class JaxTraining:
    """The peer; `trainings` describes its methods."""

    def __init__(self, recipe, initial, weights, bound):
        states = [
            tuple(jnp.asarray(initial[f"layer{n}/{field}"]) for field in ("hidden", "cell"))
            for n in (1, 2, 3)
        ]
        weights = {name: jnp.asarray(array) for name, array in weights.items()}
        zeros = jax.tree.map(jnp.zeros_like, weights)
        self.training = (
            weights,
            zeros,
            jax.tree.map(jnp.copy, zeros),
            jax.tree.map(jnp.copy, weights),
        )
        self.key, self.n_updates, self.best = jax.random.key(1, impl="unsafe_rbg"), 0, {}
        self._update = jax.jit(
            functools.partial(update, states, recipe, bound), donate_argnums=(0,)
        )
        self._nats = jax.jit(lambda weights, *batch: cost(states, weights, *batch))

    def update(self, windows, mask, rate):
        """Update once with windows (T + 1, B, P); return the cost before, an array."""
        self.n_updates += 1
        value, self.training = self._update(
            self.training, windows, mask, rate, self.key, self.n_updates
        )
        return value

    def nats(self, rolls, mask):
        """Return the nats of the mean weights on whole tunes (T + 1, B, P), with mask (T, B)."""
        return float(self._nats(self.training[3], rolls, mask))

    def keep(self):
        """Keep a copy of the mean weights."""
        self.best = jax.tree.map(jnp.copy, self.training[3])


def cost(states, weights, rolls, mask, dropout=None):
    """Return the cross-entropy of rolls (T + 1, B, P), with the mask (T, B) as weights."""
    Y = forward(states, weights, rolls[:-1], rolls[1:], dropout)
    return jnp.sum((jax.nn.softplus(Y) - rolls[1:] * Y) * mask[:, :, None])


def noisy(recipe, weights, key):
    """Return the weights with noise on all matrices."""
    output = recipe.weight_noise if recipe.output_noise is None else recipe.output_noise
    drawn = {}
    for n, (name, weight) in enumerate(weights.items()):
        deviation = recipe.weight_noise if name.startswith("layer") else output
        drawn[name] = weight
        if weight.ndim == 2 and deviation:
            own = jax.random.fold_in(key, n)
            drawn[name] += deviation * jax.random.normal(own, weight.shape)
    return drawn


def update(states, recipe, bound, training, windows, mask, rate, key, n):
    """Return the cost, and weights, averages of Adam and mean weights after update number `n`."""
    weights, squares, means, averaged = training
    key, kept = jax.random.fold_in(key, n), 1.0 - recipe.dropout
    shape = 3, windows.shape[1], recipe.units
    dropout = jax.random.bernoulli(key, kept, shape).astype(jnp.float32) / kept
    value, gradients = jax.value_and_grad(
        lambda weights: cost(states, weights, windows, mask, dropout)
    )(noisy(recipe, weights, key))
    gradients = jax.tree.map(lambda g: jnp.clip(g, -bound, bound), gradients)
    squares = jax.tree.map(lambda m, g: 0.999 * m + 0.001 * g * g, squares, gradients)
    means = jax.tree.map(lambda a, g: 0.9 * a + 0.1 * g, means, gradients)
    started = 1 - 0.9**n, 1 - 0.999**n
    weights = jax.tree.map(
        lambda w, m, a: w - rate * (a / started[0]) / (jnp.sqrt(m / started[1]) + 1e-8),
        weights,
        squares,
        means,
    )
    decay = jnp.minimum(recipe.averaging, (1 + n) / (10 + n))
    averaged = jax.tree.map(lambda old, new: old + (1 - decay) * (new - old), averaged, weights)
    return value, (weights, squares, means, averaged)
