"""What a worker of `data_parallel` does: the gradient of some columns of a minibatch.

Conventions
-----------
T steps, B columns of a part, P pitches, H units, as in `graphs.compiled`. Weights and gradients
travel as one flat array (N,) in the model's dtype, the parameters one after the other in the order
of `parameters.named`; rolls of zeros and ones in eight cells a byte.
"""

import functools
import math
import threading
import time
from typing import Any, NamedTuple

import numpy as np

from rnn4music.graphs.compiled import CompiledNetwork
from rnn4music.graphs.parameters import ParameterStore
from rnn4music.training.config import TrainConfig
from rnn4music.training.noise import Noise
from rnn4music.training.segments import segment_cost_and_gradients


class Task(NamedTuple):
    """All that a worker has to know to compile its part of an update."""

    layer_sizes: tuple
    n_pitches: int
    dtype: str
    cost: str
    config: TrainConfig
    n_columns: int  # of a part


class Part(NamedTuple):
    """Some columns of a minibatch."""

    columns: slice
    roll: Any  # what `packed` returned of (T + 1, columns, P)
    mask: Any  # (T, columns)
    states: list  # of (columns, H)
    key: tuple  # of the update


class Gradient(NamedTuple):
    """What a worker returns of a part."""

    cost: float
    flat: Any  # (N,): the gradients of all parameters, one after the other
    after: list  # of (columns, H): the states after the part
    seconds: float


def packed(roll):
    """Return a roll of zeros and ones in eight cells a byte, any other as it is."""
    cells = roll.astype(bool)
    return np.packbits(cells, axis=-1) if np.array_equal(cells, roll) else roll


def unpacked(roll, n_pitches):
    """Return what `packed` was given."""
    return roll if roll.dtype != np.uint8 else np.unpackbits(roll, axis=-1, count=n_pitches)


def flattened(arrays):
    """Return arrays as one of a single axis."""
    return np.concatenate([np.ravel(array) for array in arrays])


def split(flat, shapes):
    """Return views on what `flattened` put together."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes)]


def widened(array, n_columns, axis):
    """Return an array with columns of zeros in the place of those that are missing."""
    missing = [(0, 0)] * array.ndim
    missing[axis] = (0, n_columns - array.shape[axis])
    return np.pad(array, missing)


_ALONE = threading.Lock()
"""Replicas of one process share networks, and Dask makes one while another computes."""


@functools.lru_cache(maxsize=4)
def _compiled(layer_sizes, n_pitches, dtype, cost):
    """Return a network with weights of its own; a process keeps the last four."""
    return CompiledNetwork(ParameterStore(layer_sizes, n_pitches, dtype, averages=()), cost)


class Replica:
    """What runs in a worker (an actor of Dask's)."""

    def __init__(self, task):
        self.task = task
        with _ALONE:
            self.network = _compiled(task.layer_sizes, task.n_pitches, task.dtype, task.cost)
        self.store = self.network.store
        self.noise = Noise.of(task.config, self.store)
        self._compile()

    def _compile(self):
        """Compute the gradient of nothing, which compiles."""
        T, B, dtype = self.task.config.window, self.task.n_columns, self.task.dtype
        roll, mask = np.zeros((T, B, self.task.n_pitches), bool), np.zeros((T - 1, B), dtype)
        states = [np.zeros((B, H), dtype) for H in self.store.state_sizes.values()]
        weights = flattened(np.zeros(shape, dtype) for shape in self.store.shapes.values())
        answer = self.gradient(weights, Part(slice(0, B), packed(roll), mask, states, (0,)))
        if isinstance(answer, Exception):
            raise answer

    def gradient(self, weights, part):
        """Return the `Gradient` of a part at these weights, or the exception that was raised."""
        try:
            with _ALONE:
                return self._gradient(weights, part)
        except Exception as error:  # so that what is raised is the connection's
            return error

    def _gradient(self, weights, part):
        started = time.perf_counter()
        B, P, config = self.task.n_columns, self.task.n_pitches, self.task.config
        shapes = self.store.shapes
        self.store.set_weights(dict(zip(shapes, split(weights, shapes.values()))))
        noise = self.noise.draw(*part.key)
        if self.noise.kind.dropout:
            n = len(self.task.layer_sizes)
            masks = [widened(mask[part.columns], B, 0) for mask in noise[:n]]
            noise = [*masks, *noise[n:]]
        windows = widened(unpacked(part.roll, P).astype(self.task.dtype), B, 1)
        mask = widened(part.mask, B, 1)
        states = [widened(state, B, 0) for state in part.states]
        cost, gradients, after = segment_cost_and_gradients(
            self.network, states, windows, mask, config.n_steps, self.noise.kind, noise
        )
        n_columns = part.mask.shape[1]
        after = [np.asarray(state)[:n_columns] for state in after]
        return Gradient(cost, flattened(gradients), after, time.perf_counter() - started)
