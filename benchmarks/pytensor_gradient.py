"""Peer: the plain forward graph of rnn4music, differentiated by PyTensor and compiled by JAX.

The comparison shows the gain of the hand-written backward pass and the kernels over PyTensor's
gradient of the same equations. JAX uses its default precision here, because PyTensor's gradient of
a loop otherwise accumulates in float64, which the float32 types of the loop do not allow.
"""

# pyright: reportMissingImports=false, reportPrivateImportUsage=false

import warnings
from typing import Any

import jax
import numpy as np
import pytensor

from benchmarks.peers import EPSILON
from rnn4music import backend, network, updates
from rnn4music.costs import cross_entropy
from rnn4music.graphs.compiled import paired
from rnn4music.graphs.parameters import ParameterStore, unnamed
from rnn4music.kernels import dispatch


class PyTensorGradient:
    """The peer; `peers` describes its methods."""

    def __init__(self, n_pitches, n_units, initial, rate, bound, chord_units=None):
        sizes = (n_units,) * 3, n_pitches, "float32"
        self.store = ParameterStore(*sizes, chord_units=chord_units)
        for name, array in initial.items():
            self.store.initial[name].set_value(np.asarray(array, "float32"))
        self.rate, self.bound = (backend.constant(value, "float32") for value in (rate, bound))
        self._compiled = {}

    def set_parameters(self, mapping):
        """Set the weights and reset the averages of RMSprop."""
        for name, variable in self.store.weights.items():
            variable.set_value(np.asarray(mapping[name], "float32"))
        self.store.zero_averages()

    def gradients(self, windows):
        """Return the cost and the gradients by name."""
        cost, *gradients = self._call(self._gradients, windows)
        return float(cost), dict(zip(self.store.weights, map(np.asarray, gradients)))

    def update(self, windows):
        """Update the weights once, and return the cost before the update."""
        (cost,) = self._call(self._update, windows)
        return float(cost)

    def probabilities(self, inputs, following=None):
        """Return the probabilities of the notes at each next step, (T, B, P)."""
        last = inputs[-1:] if following is None else following[-1:]
        return np.asarray(self._call(self._forward, np.concatenate([inputs, last]))[0])

    def _call(self, build, array) -> Any:
        """Call `build`, compiled for the shape of the array on first use."""
        key = build.__name__, array.shape
        with jax.enable_x64(False), dispatch.plain_graphs():
            if key not in self._compiled:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about float64 becoming float32
                    compiled = build(backend.tensor("input", "float32", array.shape))
                    first = compiled(array)  # tracing warns
                self._compiled[key] = compiled
                return first
            return self._compiled[key](array)

    def _pre_activations(self, windows):
        inputs, following = windows[:-1], windows[1:]
        n_tunes = backend.shape_of(inputs)[1]
        vectors = self.store.initial.values()
        row = backend.zeros((n_tunes, 1), dtype="float32")
        initial = paired([row + vector for vector in vectors])
        weights = unnamed(self.store.weights)
        return network.forward(inputs, initial, weights, following=following)[0]

    def _cost_and_gradients(self, windows):
        Y = self._pre_activations(windows)
        costs = cross_entropy(Y, windows[1:]).flatten()
        share = backend.constant(1 / backend.shape_of(windows)[1], "float32")
        cost = backend.column_sums(costs) * share
        gradients: Any = pytensor.grad(cost, list(self.store.weights.values()))
        return cost, gradients

    def _gradients(self, windows):
        cost, gradients = self._cost_and_gradients(windows)
        return pytensor.function([windows], [cost, *gradients], mode="JAX")

    def _update(self, windows):
        cost, gradients = self._cost_and_gradients(windows)
        epsilon = backend.constant(EPSILON, "float32")
        changes = []
        for (name, weight), gradient in zip(self.store.weights.items(), gradients):
            mean_square = self.store.averages["mean_squares"][name]
            after, averages = updates.rmsprop(
                weight, updates.clip(gradient, self.bound), [mean_square], self.rate, epsilon, None
            )
            changes += [(weight, after), (mean_square, *averages)]
        return pytensor.function([windows], [cost], updates=changes, mode="JAX")

    def _forward(self, windows):
        outputs = [backend.sigmoid(self._pre_activations(windows))]
        return pytensor.function([windows], outputs, mode="JAX")
