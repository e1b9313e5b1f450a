"""One call of `RNN4Music.train`: what is learned from, how, and what is kept of it.

Conventions
-----------
The weights *under way* are those that updates change. The *result* is what training leaves: the
weights with the best validation so far; without validation their running mean, where one is
kept, or else the weights under way.
"""

import math

import numpy as np

from rnn4music import evaluation, minibatches, pieces
from rnn4music.regularisation import AveragedWeights, Regularisation

PUBLIC_NAMES = {
    "size": "sizeOfMiniBatch",
    "length": "lengthOfMB",
    "sparsity": "sparseParam",
    "updates_per_minibatch": "noOfEpochPerMB",
    "n_epochs": "noOfEpoch",
}
"""What users call an option, where they call it otherwise."""


def check_options(tunes, validation, plan, options, checkpoint, checkpoint_every, resume):
    """Raise a ValueError for options that do not go together."""
    for name in ("patience", "decay_patience"):
        if getattr(plan, name) is not None and validation is None:
            raise ValueError(f"{name}={getattr(plan, name)} needs tunes to score: give validation=")
    for name, value in {"checkpoint_every": checkpoint_every, "resume": resume or None}.items():
        if value is not None and checkpoint is None:
            raise ValueError(f"{name}={value} needs a file: give checkpoint=")
    if options["windows"] != "start" and max(map(len, tunes)) < 2:
        raise ValueError(
            "the dataset has nothing to learn from: every tune has one step; give longer tunes, "
            'or windows="start", which repeats them'
        )
    at_once, n_steps = options["steps_at_once"], options["length"] - 1
    if options["windows"] == "all" and at_once and at_once < n_steps and n_steps % at_once:
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
    size, length, sparsity, windows, dropout, weight_noise, averaging, steps_at_once
        As `RNN4Music.train` takes them, checked; see `PUBLIC_NAMES`.
    """

    def __init__(
        self,
        network,
        settings,
        rng,
        tunes,
        validation,
        *,
        size,
        length,
        sparsity,
        windows,
        dropout,
        weight_noise,
        averaging,
        steps_at_once,
    ):
        self.network, self.store = network, network.store
        self.settings, self.rng = settings, rng
        self.tunes, self.validation = tunes, validation
        self.size, self.length, self.sparsity = size, length, sparsity
        self.windows = windows
        self.n_steps = min(steps_at_once or length, length - 1)
        self.in_pieces = self.n_steps < length - 1
        self.shape = (self.n_steps, size, tunes[0].shape[1])
        dtype = self.store.dtype
        self.regularisation = Regularisation(
            dropout,
            weight_noise,
            list(self.store.state_sizes.values())[::2],
            self.store.n_in_matrices(),
            size,
            dtype,
        )
        self.mean = AveragedWeights(averaging, self.weights()) if averaging else None
        self.best = None  # weights with the best validation
        self.initial = [np.tile(vector, (size, 1)) for vector in self.store.initial_states()]
        self.carried = self.initial
        self.last_gradients = None

    @property
    def validates(self):
        """Whether there is something to validate with."""
        return self.validation is not None

    def compiles(self):
        """Return whether the first update has something to compile."""
        name = "piece" if self.in_pieces else "update"
        return not self.network.is_compiled(name, self.shape, self.regularisation.kind)

    def floor(self):
        """Return what each key's Markov chain scores on the validation set, or None."""
        if not self.validates:
            return None
        fit = evaluation.BASELINES["each key's Markov chain"]
        return evaluation.score(fit(self.tunes), self.validation)

    def draw_seed(self):
        """Return the seed of an epoch."""
        return int(self.rng.integers(2**62))

    def n_minibatches(self):
        """Return about how many minibatches an epoch has."""
        return minibatches.n_minibatches(self.tunes, self.size, self.length, self.windows)

    def minibatches(self, seed):
        """Return the minibatches of the epoch with this seed."""
        rng = np.random.default_rng(seed)
        return minibatches.epoch(
            self.tunes, self.size, self.length, self.store.dtype, rng, self.windows
        )

    def update(self, minibatch, standing):
        """Update the weights once; return the cost before."""
        windows, weights, begins = minibatch
        states = self.initial
        if not begins.all():
            pairs = zip(self.initial, self.carried)
            states = [np.where(begins[:, None], first, after) for first, after in pairs]
        *rates, bound, epsilon = self.settings()
        rates = [standing.rate_factor * rate for rate in rates]
        settings = [
            np.asarray(x, self.store.dtype) for x in (*rates, bound, epsilon, self.sparsity)
        ]
        disturbances = self.regularisation.draw(standing.seed, standing.update)
        kind = self.regularisation.kind
        if self.in_pieces:
            cost, self.last_gradients, after = pieces.cost_and_gradients(
                self.network,
                states,
                windows,
                weights,
                self.n_steps,
                kind,
                disturbances,
                carry=self.windows == "all",
            )
            if math.isfinite(cost):
                self.network.change(())(*self.last_gradients, *settings)
        else:
            update = self.network.update(self.shape, kind)
            cost, *results = update(windows, weights, *states, *disturbances, *settings)
            self.last_gradients, after = results[: -len(states)], results[-len(states) :]
        self.carried = after
        if self.mean:
            self.mean.add(self.weights())
        return float(cost)

    def validate(self):
        """Return the nats per step of the result without the best, on the validation set."""
        before = self.store.snapshot()
        try:
            if self.mean:
                self.store.set_weights(self.mean.weights)
            return evaluation.score(self.run_network, self.validation, self.store.dtype)
        finally:
            self.store.restore(before)

    def run_network(self, inputs):
        """Return the pre-activations (T, B, P) of inputs (T, B, P)."""
        return evaluation.run(self.network.forward, self.store.initial_states(), inputs)

    def keep_best(self):
        """Keep the weights that were validated last."""
        self.best = {name: np.array(a) for name, a in self._without_best().items()}

    def result(self):
        """Return what training would leave if it ended now: dict of name to array."""
        return self._without_best() if self.best is None else self.best

    def leave_result(self):
        """Put the result in the place of the weights under way."""
        self.store.set_weights(self.result())

    def _without_best(self):
        return self.mean.weights if self.mean else self.weights()

    def weights(self):
        """Return the weights under way: dict of name to array, not to be changed."""
        return {
            name: np.asarray(v.get_value(borrow=True)) for name, v in self.store.weights.items()
        }

    # ---- checkpoints

    def arrays(self):
        """Return what a checkpoint has to hold beside the model."""
        arrays = {f"under_way/{name}": array for name, array in self.weights().items()}
        if self.mean:
            arrays |= {f"mean/{name}": array for name, array in self.mean.weights.items()}
            arrays["mean/n_updates"] = np.array(self.mean.n_updates)
        if self.windows == "all":
            names = self.store.state_sizes
            arrays |= {f"carried/{n}": np.asarray(a) for n, a in zip(names, self.carried)}
        return arrays

    def take(self, arrays, has_best):
        """Take over what `arrays` returned; the store's weights are the result then.

        Raises
        ------
        ValueError
            If something is missing or does not fit.
        """
        expected = {key: array.shape for key, array in self.arrays().items()}
        if arrays.keys() != expected.keys():
            different = sorted(arrays.keys() ^ expected.keys())
            raise ValueError(f"its arrays are not those of this training: {', '.join(different)}")
        checked = {key: self.store.checked(key, arrays[key], shape)
                   for key, shape in expected.items()}  # fmt: skip

        def group(name):
            return {
                key[len(name) + 1 :]: array
                for key, array in checked.items()
                if key.startswith(f"{name}/")
            }

        if has_best:
            self.best = {name: np.array(array) for name, array in self.weights().items()}
        self.store.set_weights(group("under_way"))
        if self.mean:
            self.mean.weights = group("mean")
            self.mean.n_updates = int(self.mean.weights.pop("n_updates"))
        if self.windows == "all":
            self.carried = list(group("carried").values())
