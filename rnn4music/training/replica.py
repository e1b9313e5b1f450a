"""Worker side of `data_parallel`: the gradient of some columns of a minibatch.

Conventions
-----------
T steps, B columns of a part, P pitches, H units, as in `graphs.compiled`. Weights and gradients
are sent as one flat array (N,) in the model's dtype, the parameters concatenated in the order of
`parameters.named`. Rolls of zeros and ones are sent as bits.
"""

import functools
import math
import threading
import time
from typing import Any, NamedTuple

import numpy as np

from rnn4music.graphs.compiled import CompiledNetwork
from rnn4music.graphs.parameters import ParameterStore
from rnn4music.training.noise import Noise
from rnn4music.training.segments import segment_cost_and_gradients


class Part(NamedTuple):
    """Some columns of a minibatch, padded with columns of weight 0."""

    columns: slice
    roll: Any  # (T + 1, columns, P), as `packed` returns it
    mask: Any  # (T, columns)
    states: list  # of (columns, H)
    key: tuple  # of the update


class Gradient(NamedTuple):
    """A worker's result for a part."""

    cost: float
    flat: Any  # (N,): the gradients of all parameters, concatenated
    after: list  # of (columns, H): the states after the part
    seconds: float


def packed(roll):
    """Return a roll of zeros and ones packed into bits, any other unchanged."""
    cells = roll.astype(bool)
    return np.packbits(cells, axis=-1) if np.array_equal(cells, roll) else roll


def unpacked(roll, n_columns):
    """Undo `packed`."""
    return roll if roll.dtype != np.uint8 else np.unpackbits(roll, axis=-1, count=n_columns)


def flattened(arrays):
    """Concatenate arrays into one of a single axis."""
    return np.concatenate([np.ravel(array) for array in arrays])


def split(flat, shapes):
    """Undo `flattened`; return views."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes)]


def widened(array, n_columns, axis):
    """Pad an array with zeros to at least this many columns."""
    missing = [(0, 0)] * array.ndim
    missing[axis] = (0, max(0, n_columns - array.shape[axis]))
    return np.pad(array, missing)


_ALONE = threading.Lock()
"""Lock on the networks, which the replicas of a process share: Dask may make one replica while
another computes."""


@functools.lru_cache(maxsize=4)
def _compiled(layer_sizes, n_pitches, dtype, cost, *others):
    """Return a network with its own weights; a process keeps the last four."""
    store = ParameterStore(layer_sizes, n_pitches, dtype, (), *others)
    return CompiledNetwork(store, cost)


class Replica:
    """Dask actor that runs in a worker.

    Parameters
    ----------
    network : tuple
        The arguments of `_compiled`.
    config : TrainConfig
    n_tunes : int
        Tunes of a part.
    """

    def __init__(self, network, config, n_tunes):
        with _ALONE:
            self.network = _compiled(*network)
        self.config, self.store = config, self.network.store
        self.dtype, self.n_columns = (
            self.store.dtype,
            self.store.n_pitches + self.store.n_conditions,
        )
        self.noise = Noise.of(config, self.store)
        roll = np.zeros((config.window, n_tunes, self.n_columns), self.dtype)
        states = [np.zeros((n_tunes, H), self.dtype) for H in self.store.state_sizes.values()]
        nothing = Part(slice(0, n_tunes), roll, roll[1:, :, 0], states, (0,))
        weights = flattened(np.zeros(shape, self.dtype) for shape in self.store.shapes.values())
        answer = self.gradient(weights, nothing)  # which compiles
        if isinstance(answer, Exception):
            raise answer

    def gradient(self, weights, part):
        """Return the `Gradient` of a part at these weights, or the exception that was raised."""
        try:
            with _ALONE:
                return self._gradient(weights, part)
        except Exception as error:  # returned, so that errors raised are the connection's
            return error

    def _gradient(self, weights, part):
        started, shapes = time.perf_counter(), self.store.shapes
        self.store.set_weights(dict(zip(shapes, split(weights, shapes.values()))))
        noise = self.noise.draw(*part.key)
        if self.noise.kind.dropout:
            n = len(part.states) // 2  # masks, one for each layer
            masks = [widened(mask, part.columns.stop, 0)[part.columns] for mask in noise[:n]]
            noise = [*masks, *noise[n:]]
        windows = unpacked(part.roll, self.n_columns).astype(self.dtype)
        cost, gradients, after = segment_cost_and_gradients(
            self.network, part.states, windows, part.mask, self.config.n_steps,
            self.noise.kind, noise,
        )  # fmt: skip
        after, seconds = [np.asarray(state) for state in after], time.perf_counter() - started
        return Gradient(cost, flattened(gradients), after, seconds)
