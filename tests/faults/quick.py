"""A model that trains without compiling: `RNN4Music` with the arithmetic of its network replaced.

Compiling takes seconds, and an engine's threads do not survive a fork. The result of an update does
not matter here, only its dependencies: like the compiled one, this update depends on weights,
averages, windows, carried states, noise and settings. Everything else (minibatches, random
numbers, checkpoints, files) is the package's own. The kind `training_processes` kills the real
network.
"""

import warnings

import numpy as np

from rnn4music import RNN4Music
from rnn4music.training import BaselineWarning


class QuickNetwork:
    """Stand-in for `graphs.compiled.CompiledNetwork`, with the methods that training calls."""

    def __init__(self, store):
        self.store, self.mesh, self.n_devices = store, None, 1

    def is_compiled(self, *_):
        """Return True, since nothing is compiled."""
        return True

    def update(self, shape, kind):
        """Return a function with the inputs and outputs of the compiled update."""
        del shape, kind
        n_states = len(self.store.state_sizes)

        def update(windows, mask, *rest):
            states, noise = rest[:n_states], rest[n_states:-7]
            rates, l1 = rest[-7:-3], rest[-1]
            heard = np.tanh(windows[:-1].mean(axis=(0, 2)) + mask.sum(axis=0))  # (B,)
            signal = float(heard.sum() + sum(map(np.sum, states)) + sum(map(np.mean, noise)))
            cost, gradients = 0.0, []
            count = float(self.store.n_updates.get_value()) + 1
            self.store.n_updates.set_value(np.asarray(count, self.store.dtype))
            for k, (name, variable) in enumerate(self.store.weights.items()):
                weight = np.array(variable.get_value())
                gradient = np.tanh(weight + np.sin(k + signal)) + l1 * np.sign(weight)
                for kind, variables in self.store.averages.items():
                    power = 1 if kind == "means" else 2
                    average = np.array(variables[name].get_value())
                    average = (average * 0.9 + 0.1 * gradient**power).astype(self.store.dtype)
                    variables[name].set_value(average)
                    gradient = gradient + 0.1 * average / count
                variable.set_value((weight - rates[k % 4] * gradient).astype(self.store.dtype))
                cost += float(np.square(weight).sum())
                gradients.append(gradient)
            after = [np.tanh(state + heard[:, None]).astype(state.dtype) for state in states]
            return [cost + abs(signal), *gradients, *after]

        return update

    def forward(self, shape):
        """Return a function with the inputs and outputs of the compiled forward pass."""
        del shape
        total = sum(float(v.get_value().sum()) for v in self.store.weights.values())

        def forward(inputs, *states):
            return [np.sin(total + inputs).astype(inputs.dtype), *states]

        return forward


class QuickModel(RNN4Music):
    """See the module."""

    def _connect(self, store, settings):
        self._store, self._network = store, QuickNetwork(store)


def model(seed=1, units=9, **changes):
    """Return a small model."""
    rates = dict.fromkeys(("R1", "R2", "R3", "Rout"), 0.01)
    return QuickModel(units, 8, 7, 11, **{**rates, "seed": seed, "optimiser": "adam", **changes})


def tunes(rng, lengths=(20, 31, 17, 40, 25, 12)):
    """Return tunes of these lengths."""
    return [(rng.random((n, 11)) < 0.3).astype("float32") for n in lengths]


OPTIONS = {  # of `train`; each has its own state that must survive
    "start": {},
    "random": {"windows": "random", "dropout": 0.3, "weight_noise": 0.1, "averaging": 0.9},
    "all": {"windows": "all", "dropout": 0.2, "decay_patience": 1},
}


def train(model, tunes, options, **others):
    """Train the model for some dozens of updates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BaselineWarning)  # it learns nothing
        return model.train(
            tunes, 2, 6, 2, 11, validation=tunes[:2], progress=False, **options, **others
        )
