"""One call of `RNN4Music.train`: what is learned from, how, and what is kept of it.

Conventions
-----------
The weights *under way* are those that updates change. The *result* is what training leaves: the
weights with the best validation so far; without validation their running mean, where one is
kept, or else the weights under way.
"""

import math
from typing import NamedTuple

import numpy as np

from rnn4music.data import pianoroll
from rnn4music.evaluation import scores
from rnn4music.evaluation.baselines import markov_probabilities
from rnn4music.training import minibatches, segments
from rnn4music.training.averaging import AveragedWeights
from rnn4music.training.noise import Regularisation

AHEAD = 4
"""Minibatches that are read ahead, where tunes are on the disk."""


class Options(NamedTuple):
    """How an update is made; `RNN4Music.train` says what they mean, and has checked them."""

    batch_size: int
    window: int
    l1: float
    windows: str
    dropout: float
    weight_noise: float
    averaging: float
    segment: int | None

    @property
    def n_steps(self):
        """Predictions that are worked through at once."""
        return min(self.segment or self.window, self.window - 1)

    @property
    def in_pieces(self):
        """Whether a window has more."""
        return self.n_steps < self.window - 1


def regularisation(options, store):
    """Return what draws the disturbances of whole minibatches."""
    return Regularisation(
        options.dropout,
        options.weight_noise,
        list(store.state_sizes.values())[::2],
        store.n_in_matrices(),
        options.batch_size,
        store.dtype,
    )


def check_together(tunes, validation, plan, options):
    """Raise a ValueError for arguments of `train` that do not go together."""
    for name in ("patience", "decay_patience"):
        if getattr(plan, name) is not None and validation is None:
            raise ValueError(f"{name}={getattr(plan, name)} needs tunes to score: give validation=")
    if options.windows != "start" and pianoroll.lengths(tunes).max() < 2:
        raise ValueError(
            "the dataset has nothing to learn from: every tune has one step; give longer tunes, "
            'or windows="start", which repeats them'
        )
    at_once, n_steps = options.segment, options.window - 1
    if options.windows == "all" and at_once and at_once < n_steps and n_steps % at_once:
        raise ValueError(
            f'with windows="all" steps_at_once must divide lengthOfMB - 1 = {n_steps}, '
            f"but is {at_once}"
        )


class Run:
    """See `training.train` for what it asks of a run.

    Parameters
    ----------
    network : functions.CompiledNetwork
    settings : callable
        Returns R1, R2, R3, Rout, gradClip, epsilon as they are now.
    rng : numpy.random.Generator
        Gives each epoch its seed, from which all that is random in it follows.
    tunes, validation : list of (length, P)
        `validation` may be None.
    options : Options
    """

    def __init__(self, network, settings, rng, tunes, validation, options):
        self.network, self.store = network, network.store
        self.settings, self.rng = settings, rng
        self.tunes, self.validation = tunes, validation
        self.options = options
        self.n_steps = options.n_steps
        self.in_pieces = options.in_pieces
        self.shape = (self.n_steps, options.batch_size, tunes[0].shape[1])
        self.regularisation = regularisation(options, self.store)
        self.mean = AveragedWeights(options.averaging, self._under_way())
        self.best = None  # weights with the best validation
        vectors = self.store.initial_states()
        self.initial = [np.tile(vector, (options.batch_size, 1)) for vector in vectors]
        self.before = self.after = self.initial  # the minibatch under way
        self.last_gradients = None

    @property
    def validates(self):
        """Whether there is something to validate with."""
        return self.validation is not None

    def compiles(self):
        """Return whether the first update has something to compile."""
        name = "piece" if self.in_pieces else "update"
        return not self.network.is_compiled(name, self.shape, self.regularisation.kind)

    def baseline(self):
        """Return what each pitch's Markov chain scores on the validation set, or None."""
        if not self.validates:
            return None
        return scores.score(markov_probabilities(self.tunes), self.validation)

    def draw_seed(self):
        """Return the seed of an epoch."""
        return int(self.rng.integers(2**62))

    def n_minibatches(self):
        """Return about how many minibatches an epoch has."""
        size, length, windows = self.options.batch_size, self.options.window, self.options.windows
        return minibatches.n_minibatches(self.tunes, size, length, windows)

    def minibatches(self, seed):
        """Return the minibatches of the epoch with this seed."""
        size, length, windows = self.options.batch_size, self.options.window, self.options.windows
        rng = np.random.default_rng(seed)
        made = minibatches.epoch(self.tunes, size, length, self.store.dtype, rng, windows)
        return minibatches.prefetched(made, AHEAD) if pianoroll.is_stored(self.tunes) else made

    def update(self, minibatch, visit, *key, rate_factor=1.0):
        """Update the weights once; return the cost before.

        Parameters
        ----------
        minibatch : minibatches.Minibatch
        visit : int
            How many updates it has had already.
        *key : int
            What no other update has; see `Regularisation.draw`.
        rate_factor : float
        """
        windows, weights, begins = minibatch
        if visit == 0:
            self.before = self.after
        states = self.initial
        if not begins.all():
            pairs = zip(self.initial, self.before)
            states = [np.where(begins[:, None], first, carried) for first, carried in pairs]
        *rates, bound, epsilon = self.settings()
        settings = [*(rate_factor * rate for rate in rates), bound, epsilon, self.options.l1]
        settings = [np.asarray(value, self.store.dtype) for value in settings]
        cost = self._change(windows, weights, states, key, settings)
        if self.options.averaging:
            self.mean.add(self._under_way())
        return cost

    def _change(self, windows, weights, states, key, settings):
        """Change the weights; return the cost before, and leave the states after in `after`."""
        kind, disturbances = self.regularisation.kind, self.regularisation.draw(*key)
        if not self.in_pieces:
            update = self.network.update(self.shape, kind)
            cost, *results = update(windows, weights, *states, *disturbances, *settings)
            self.last_gradients = results[: -len(states)]
            self.after = results[-len(states) :]
            return float(cost)
        cost, self.last_gradients, self.after = segments.cost_and_gradients(
            self.network,
            states,
            windows,
            weights,
            self.n_steps,
            kind,
            disturbances,
            carry=self.options.windows == "all",
        )
        if math.isfinite(cost):
            self.network.change(())(*self.last_gradients, *settings)
        return cost

    def validate(self):
        """Return the nats per step on the validation set, of the mean where one is kept."""
        under_way = self.store.snapshot()
        try:
            if self.options.averaging:
                self.store.set_weights(self.mean.weights)
            return scores.score(self._run_network, self.validation, self.store.dtype)
        finally:
            self.store.restore(under_way)

    def _run_network(self, inputs):
        return scores.run(self.network.forward, self.store.initial_states(), inputs)

    def keep_best(self):
        """Keep the weights that were validated last."""
        self.best = {name: np.array(array) for name, array in self._latest().items()}

    def result(self):
        """Return what training would leave if it ended now: dict of name to array."""
        return self._latest() if self.best is None else self.best

    def leave_result(self):
        """Put the result in the place of the weights under way, unless their mean overflowed."""
        result = self.result()
        if all(np.isfinite(array).all() for array in result.values()):
            self.store.set_weights(result)

    def _latest(self):
        return self.mean.weights if self.options.averaging else self._under_way()

    def _under_way(self):
        weights = self.store.weights.items()
        return {name: np.asarray(variable.get_value(borrow=True)) for name, variable in weights}

    # ---- checkpoints

    def arrays(self):
        """Return what a checkpoint has to hold beside the model."""
        arrays = {f"under_way/{name}": array for name, array in self._under_way().items()}
        if self.options.averaging:
            arrays |= {f"mean/{name}": array for name, array in self.mean.weights.items()}
            arrays["mean/n_updates"] = np.array(self.mean.n_updates)
        if self.options.windows == "all":
            for group, states in {"before": self.before, "after": self.after}.items():
                for name, state in zip(self.store.state_sizes, states):
                    arrays[f"{group}/{name}"] = np.asarray(state)
        return arrays

    def take(self, arrays, has_best):
        """Take over what `arrays` returned; the store's weights are the result then.

        Raises
        ------
        ValueError
            If something is missing or does not fit.
        """
        expected = {key: array.shape for key, array in self.arrays().items()}
        different = sorted(arrays.keys() ^ expected.keys())
        if different:
            raise ValueError(f"its arrays are not those of this training: {', '.join(different)}")
        groups = {"under_way": {}, "mean": {}, "before": {}, "after": {}}
        for key, shape in expected.items():
            group, name = key.split("/", 1)
            groups[group][name] = self.store.checked(key, arrays[key], shape)
        if has_best:
            self.best = {name: np.array(array) for name, array in self._under_way().items()}
        self.store.set_weights(groups["under_way"])
        if self.options.averaging:
            self.mean.n_updates = int(groups["mean"].pop("n_updates"))
            self.mean.weights = groups["mean"]
        if self.options.windows == "all":
            self.before, self.after = (list(groups[name].values()) for name in ("before", "after"))
