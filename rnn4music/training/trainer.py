"""One training: its data, its progress, and its result.

Conventions
-----------
The *current* weights (`under_way` in checkpoints) are those that updates change. The *result* is
what training returns: the weights with the best validation so far; without validation their
running mean, if one is kept, or else the current weights.
"""

import copy
import functools
import math
import threading
import time
import warnings

import numpy as np

from rnn4music._utils import checks
from rnn4music.data import pianoroll
from rnn4music.evaluation import scores
from rnn4music.evaluation.baselines import markov_probabilities
from rnn4music.graphs.parameters import WEIGHTS
from rnn4music.saving import metadata, model_file
from rnn4music.training import checkpoints, minibatches
from rnn4music.training.averaging import AveragedWeights
from rnn4music.training.callbacks import (
    CallbackList,
    EarlyStopping,
    ProgressBar,
    ResultInPlace,
    TimeLimit,
)
from rnn4music.training.history import BaselineWarning, History, divergence, warn_of_baseline
from rnn4music.training.loop import TrainingDiverged, train
from rnn4music.training.state import TrainingState
from rnn4music.training.update import Updater

AHEAD = 4
"""Number of minibatches that are read ahead if tunes are on disk."""


class Trainer:
    """A training of a model, from its first update to its result; `loop.train` runs it.

    Parameters
    ----------
    model : RNN4Music
    tunes, validation : list of (length, P)
        `validation` may be None.
    config : TrainConfig

    Attributes
    ----------
    state : TrainingState
        Position of the training.
    history : History
        Of this training so far, including the updates before an interruption.
    before : History
        Of all earlier trainings of the model.
    interrupted : threading.Event
        Set when Ctrl-C or SIGTERM asks training to stop.
    ended_by : BaseException or None
        Exception that ended the training early.
    reading : dict or None
        How the tunes were read, for the metadata; see `metadata.of_reading`.
    """

    def __init__(self, model, tunes, validation, config):
        self.model, self.network, self.store = model, model._network, model._store
        self.tunes, self.validation, self.config = tunes, validation, config
        self.updater = Updater(self.network, config)
        self.interrupted, self.ended_by = threading.Event(), None
        self.reading: dict | None = None
        self._begin()

    def _begin(self):
        """Begin again, with the model as it is now."""
        self.rng, self.before = self.model._rng, self.model.history
        self.state, self.history = TrainingState(), History()
        self.mean = AveragedWeights(self.config.averaging, self._under_way())
        self.best = self.last_gradients = None  # weights with the best validation
        vectors = self.store.initial_states()
        self.initial = [np.tile(vector, (self.config.batch_size, 1)) for vector in vectors]
        self.states_before = self.states_after = self.initial  # the current minibatch
        self._good = self._checked = self.store.snapshot()  # by the cost; by every weight

    def run(self, callbacks, progress, path=None, every=None, minutes=None):
        """Train to the end; return the history.

        The model holds the result, however the training ends.

        Parameters
        ----------
        callbacks : list of Callback
        progress : bool
            Whether to show a progress bar.
        path : pathlib.Path, optional
            File of the checkpoint.
        every : int, optional
            Updates between two checkpoints.
        minutes : float, optional
            See `TimeLimit`.
        """
        limit = TimeLimit(minutes)
        if self.validation is None:
            self.history.baseline = None  # not that of an earlier training
        elif self.history.baseline is None:  # a checkpoint has it
            chain = markov_probabilities(self.tunes, n_pitches=self.store.n_pitches)
            self.history.baseline = scores.score(chain, self.validation)
        own = [limit, *([ProgressBar(self, limit)] if progress else [])]
        own += [checkpoints.CheckpointWriter(path, every, self)] if path else []
        own += [ResultInPlace(self), EarlyStopping(self.config.patience)]
        try:
            train(self, CallbackList(own, callbacks, self), catch_sigterm=path is not None)
        finally:
            self.ended_by = None  # its frames refer to the trainer
            self.model.history = self.before.followed_by(self.history)
            if self.history.cost:
                self.model.metadata = self.metadata()
            self.model._last_gradients = self.last_gradients or self.model._last_gradients
        history, model = self.history, self.model
        rates = model.R1, model.R2, model.R3, model.Rout
        if problem := divergence(history, model.io_length, self.config.window, rates):
            warnings.warn(problem, BaselineWarning, stacklevel=3)
        elif history.is_worse_than_baseline:
            is_improving = history.best_epoch == history.epochs
            warn_of_baseline(self.state.best, history.baseline, 4, is_improving)
        return self.history

    # ---- for the loop

    def compiles(self):
        """Return whether the first update has to compile."""
        return not self.updater.is_compiled()

    def is_over(self):
        """Return whether all epochs are done."""
        return self.state.epoch >= self.config.epochs

    def updates_per_epoch(self):
        """Yield the number of updates of the current epoch and of each later one.

        They follow from the seeds that the epochs will draw; a copy of the generator draws them.
        """
        config, rng, seed = self.config, copy.deepcopy(self.rng), self.state.seed
        cut = config.batch_size, config.window, config.windows
        for _ in range(self.state.epoch, config.epochs):
            seed = int(rng.integers(2**62)) if seed is None else seed
            n_minibatches = minibatches.n_minibatches(self.tunes, *cut, seed, config.beginnings)
            yield config.updates_per_minibatch * n_minibatches
            seed = None

    def updates(self):
        """Yield the epoch's minibatches, each with the number of updates it has had.

        Updates made before an interruption are skipped. Their minibatches are cut nevertheless; if
        training is interrupted meanwhile, the next one is yielded, so that the loop can end.
        """
        if self.state.seed is None:
            self.state.seed = int(self.rng.integers(2**62))
        n_visits = self.config.updates_per_minibatch
        for index, minibatch in enumerate(self.minibatches(self.state.seed), start=1):
            passed_over = self.state.update > index * n_visits
            while self.state.update < index * n_visits or (
                passed_over and self.interrupted.is_set()
            ):
                yield minibatch, self.state.update % n_visits

    def minibatches(self, seed):
        """Return the minibatches of the epoch with this seed."""
        config, rng = self.config, np.random.default_rng(seed)
        cut = config.batch_size, config.window, self.store.dtype, rng, config.windows
        epoch = minibatches.epoch(self.tunes, *cut, config.beginnings)
        if pianoroll.is_stored(self.tunes):
            return minibatches.prefetched(epoch, AHEAD)
        return epoch

    def update(self, minibatch, visit):
        """Update the weights once, and record the cost before the update.

        Parameters
        ----------
        minibatch : minibatches.Minibatch
        visit : int
            Number of updates that it has had.
        """
        started, before = time.perf_counter(), self.store.snapshot()
        if visit == 0:
            self.states_before = self.states_after
        states = self.initial
        if not minibatch.is_first.all():
            first = minibatch.is_first[:, None]
            pairs = zip(self.initial, self.states_before)
            states = [np.where(first, initial, carried) for initial, carried in pairs]
        try:
            key = self.state.seed, self.state.update
            cost = self._change(minibatch.windows, minibatch.mask, states, key)
            if self.config.averaging:
                self.mean.add(self._under_way())
        except BaseException:  # such as a second Ctrl-C: leave nothing half updated
            self.store.restore(before)
            raise
        if not math.isfinite(cost):
            raise self._diverged(f"the cost became {cost}")
        self._good = before
        self.state.update += 1
        self.history.cost.append(cost)
        self.history.seconds.append(time.perf_counter() - started)

    def complete_epoch(self):
        """Score the validation tunes, if there are any, and count the epoch."""
        self.ensure_finite()
        self._checked = self.store.snapshot()
        nats = None if self.validation is None else self.validate()
        if nats is not None and not math.isfinite(nats):
            raise self._diverged(f"the validation became {nats}")
        self.history.validation.append(nats)
        self.history.rate_factor.append(self.state.rate_factor)
        self.history.epochs += 1
        if self.state.complete_epoch(nats, self.config):
            self._keep(self._latest())

    def ensure_finite(self):
        """Raise `TrainingDiverged` unless all weights and averages are finite."""
        if not self.store.is_finite():
            raise self._diverged("a weight or an average is no longer finite")

    # ---- an update

    def _change(self, windows, mask, states, key):
        """Change the weights; return the cost before, and leave the states after."""
        changed = self.updater(windows, mask, states, key, self._settings())
        cost, self.last_gradients, self.states_after = changed
        return cost

    def _settings(self):
        """Return what `CompiledNetwork.update` takes as settings, as they are now."""
        model, factor = self.model, self.state.rate_factor
        rates = [factor * rate for rate in (model.R1, model.R2, model.R3, model.Rout)]
        settings = [*rates, model.gradClip, model.epsilon, self.config.l1]
        return [np.asarray(value, self.store.dtype) for value in settings]

    def _diverged(self, what):
        """Restore the last good weights; return the error."""
        self.store.restore(self._good)
        if not self.store.is_finite():  # an average had overflowed without effect on the cost
            self.store.restore(self._checked)
        if self.best is None:  # the mean includes the updates that led here
            self._keep(self._under_way())
        return TrainingDiverged(
            f"{what} at update {len(self.history.cost) + 1}; the last good weights are restored. "
            "Try lower learning rates, a lower bound on the gradient, a weaker L1 penalty, or "
            "smaller initial weights. If there is a checkpoint, choose another file for it"
        )

    # ---- the result

    def validate(self):
        """Return the nats per step on the validation set, of the mean if one is kept."""
        under_way = self.store.snapshot()
        try:
            if self.config.averaging:
                self.store.set_weights(self.mean.weights)
            return scores.score(self._run_network, self.validation, self.store.dtype)
        finally:
            self.store.restore(under_way)

    def _run_network(self, inputs, following):
        return scores.run(self.network, inputs, following)

    def result(self):
        """Return the weights that training would return if it ended now: dict of name to array."""
        return self._latest() if self.best is None else self.best

    def leave_result(self):
        """Replace the current weights with the result, unless that overflowed."""
        result = self.result()
        if all(np.isfinite(array).all() for array in result.values()):
            self.store.set_weights(result)

    def _keep(self, weights):
        """Keep a copy of these weights as the result."""
        self.best = {name: np.array(array) for name, array in weights.items()}

    def _latest(self):
        return self.mean.weights if self.config.averaging else self._under_way()

    def _under_way(self):
        weights = self.store.weights.items()
        return {name: np.asarray(variable.get_value(borrow=True)) for name, variable in weights}

    def metadata(self):
        """Return the model's metadata with this training added."""
        first_epoch, epochs = self.before.epochs + 1, self.history.epochs
        facts = metadata.with_reading(self.model.metadata, self.reading)
        return metadata.with_training(facts, self._extent, first_epoch, epochs)

    @functools.cached_property
    def _extent(self):
        music = self.tunes, self.validation
        return checkpoints.description(*music, self.config, of=checkpoints.extent)

    # ---- checkpoints

    @functools.cached_property
    def _description(self):
        return checkpoints.description(self.tunes, self.validation, self.config)

    def content(self):
        """Return the content of a checkpoint: the model with the result, and the training."""
        content = self.model.__getstate__()
        content["history"] = self.before.followed_by(self.history).to_dict()
        content["metadata"] = metadata.validate(self.metadata())
        content["arrays"] |= {f"{WEIGHTS}/{name}": array for name, array in self.result().items()}
        checkpoint = {
            "training": self._description,
            "state": self.state.to_dict(),
            "before": self.before.lengths(),
            "before_baseline": self.before.baseline,
        }
        return {**content, "checkpoint": checkpoint, "under_way": self._arrays()}

    def resume(self, path):
        """Resume from a checkpoint; the model takes its settings and weights from the file.

        Raises
        ------
        ValueError
            If the file is damaged or of another training; the model is then unchanged.
        """
        model, content = self.model, model_file.read(path)
        earlier, gradients, saved = (
            model.__getstate__(),
            model._last_gradients,
            content["checkpoint"],
        )
        if saved is None:
            raise ValueError(
                f"{path} is a saved model, not a checkpoint: load it to train it further, and "
                "choose another file for the checkpoint"
            )
        try:
            existing = {**saved["training"], **content["settings"]}
            expected = {**self._description, **model.settings()}
            keeps_silence = "keep_silence" not in content["metadata"]
            checkpoints.check_same(path, existing, expected, keeps_silence)
            content["settings"]["genProbThreshold"] = model.genProbThreshold  # no training option
            model._take(content)
            self._begin()
            self.state = TrainingState.from_dict(saved["state"])
            self.before, self.history = model.history.cut(saved["before"])
            baseline = saved["before_baseline"]
            self.before.baseline = baseline and checks.number("baseline", baseline)
            self._take(content["under_way"])
        except checkpoints.AnotherTraining:
            raise
        except BaseException as error:
            model._take(earlier)
            model._last_gradients = gradients
            if not isinstance(error, Exception):
                raise
            reason = model_file.reason(error)
            raise ValueError(f"{path} does not fit or is damaged: {reason}") from error

    def _arrays(self):
        """Return the arrays of a checkpoint besides the model's."""
        arrays = {f"under_way/{name}": array for name, array in self._under_way().items()}
        if self.config.averaging:
            arrays |= {f"mean/{name}": array for name, array in self.mean.weights.items()}
            arrays["mean/n_updates"] = np.array(self.mean.n_updates)
        if self.config.windows == "all":
            for group, states in {"before": self.states_before, "after": self.states_after}.items():
                for name, state in zip(self.store.state_sizes, states):
                    arrays[f"{group}/{name}"] = np.asarray(state)
        return arrays

    def _take(self, arrays):
        """Restore what `_arrays` returned; the store's weights are the result at that time."""
        expected = {key: array.shape for key, array in self._arrays().items()}
        different = sorted(arrays.keys() ^ expected.keys())
        if different:
            raise ValueError(f"its arrays are not those of this training: {', '.join(different)}")
        groups = {"under_way": {}, "mean": {}, "before": {}, "after": {}}
        for key, shape in expected.items():
            group, name = key.split("/", 1)
            groups[group][name] = self.store.validate(key, arrays[key], shape)
        if self.state.best is not None:
            self._keep(self._under_way())
        self.store.set_weights(groups["under_way"])
        self._good = self._checked = self.store.snapshot()
        if self.config.averaging:
            self.mean.n_updates = int(groups["mean"].pop("n_updates"))
            self.mean.weights = groups["mean"]
        if self.config.windows == "all":
            self.states_before = list(groups["before"].values())
            self.states_after = list(groups["after"].values())
