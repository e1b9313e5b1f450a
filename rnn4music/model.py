"""`RNN4Music`: the network with training and composing, under the argument names of 2015."""

from functools import partial

import numpy as np

from midi.reading import checked_flag
from rnn4music import generation
from rnn4music._utils import checks
from rnn4music._utils.differences import differences
from rnn4music.data import pianoroll
from rnn4music.distributed.launch import replicas
from rnn4music.evaluation import scores
from rnn4music.graphs.compiled import NO_NOISE, CompiledNetwork
from rnn4music.graphs.parameters import WEIGHTS, ParameterStore, print_summary
from rnn4music.hyperparameters import Hyperparameters
from rnn4music.numpy_network import NumpyNetwork
from rnn4music.saving import metadata, model_file
from rnn4music.saving.legacy_2015 import OLD_NAMES
from rnn4music.training.callbacks import checked_callbacks
from rnn4music.training.checkpoints import AnotherTraining, checked_path
from rnn4music.training.config import TrainConfig
from rnn4music.training.history import History
from rnn4music.training.replicated import ReplicatedTrainer
from rnn4music.training.trainer import Trainer
from rnn4music.updates import OPTIMISERS


class RNN4Music(Hyperparameters):
    """Three LSTM layers that learn piano rolls and compose more of them.

    The equations and the hand-written backward pass are in `lstm`, `chords` and `network`. All
    randomness (weights, initial states, shuffling, samples) comes from one generator: the same seed
    on the same machine and engine gives the same results bit for bit.

    Parameters
    ----------
    h1_length, h2_length, h3_length : int
        Units of the three layers.
    io_length : int
        Columns of the piano rolls.
    chord_units : int or None
        None gives the pitches of a step independent probabilities, as in 2015. With 0 or more, the
        probability of each pitch depends on the pitches below it, directly and through this many
        hidden units; see `chords`.
    conditions : int
        Columns that follow the pitches in each row of a roll: what is known of the step, such as
        its place in the bar, in numbers from 0 to 1. The network reads those of the step that it
        predicts, and does not predict them; see `network`. Below, Q stands for this number, and P
        for `io_length`.
    R1, R2, R3, Rout : float
        Learning rates of the three layers and of the whole output layer.
    cost : {"cross_entropy", "squared_error"}
    epsilon : float
        Smallest mean square in RMSprop's division; larger than 0.
    gradClip : float
        Each element of the gradient is limited to [−gradClip, gradClip] before the optimiser's
        rule is applied.
    sigRand : float
        Standard deviation of the Gaussian initial weights and biases.
    muRand : float
        Hidden and cell states at t = −1 are drawn from U[0, muRand].
    genProbThreshold : float
        While composing, probabilities that do not exceed it are set to 0. The default is 0.1, and 0
        with chords.
    optimiser : {"rmsprop", "graves", "adam"}
        The rule of an update; see `updates`. With Adam, use rates of about 0.002.
    seed : int, optional
        Seed of the generator. Without one each object draws different numbers.
    dtype : {"float32", "float64"}
        Precision of all arrays, whatever the engine's global floatX is.

    Attributes
    ----------
    history : training.History
        History of all training so far; saved and loaded with the weights.
    metadata : dict
        Facts about the model for other users, as JSON values; saved and loaded with the weights.
        The command line uses ``time_step`` (seconds), ``lowest_pitch``, ``data`` and ``licence``;
        `train` adds to ``trained_on``, and the options with which a dataset was read, except those
        that are there already.

    Notes
    -----
    All parameters can be read as attributes. The rates, `epsilon`, `gradClip` and
    `genProbThreshold` can be set at any time and take effect at the next call; `muRand` takes
    effect at the next `resetStates`. Models can be copied and pickled; to keep a model, save it.
    """

    def __init__(
        self,
        h1_length=200,
        h2_length=200,
        h3_length=200,
        io_length=88,
        R1=1e-4,
        R2=1e-4,
        R3=1e-4,
        Rout=1e-4,
        *,
        chord_units=None,
        conditions=0,
        cost="cross_entropy",
        epsilon=1e-5,
        gradClip=30.0,
        sigRand=0.1,
        muRand=0.01,
        genProbThreshold=None,
        optimiser="rmsprop",
        seed=None,
        dtype="float32",
    ):
        if genProbThreshold is None:
            genProbThreshold = 0.1 if chord_units is None else 0
        super().__init__(locals())
        self._prepare()
        self._store.draw_weights(self._rng, self.sigRand)
        self.resetStates()

    def _prepare(self):
        self.history, self.metadata = History(), {}
        self._rng = np.random.default_rng(self.seed)
        self._connect(self._new_store(self.settings()), self.settings())
        self._last_gradients = None

    def __getstate__(self):
        """Return the content of a model file."""
        return {
            "settings": self.settings(),
            "history": self.history.to_dict(),
            "random_state": self._rng.bit_generator.state,
            "arrays": self._store.arrays(),
            "metadata": metadata.validate(self.metadata),
        }

    def __setstate__(self, content):
        super().__init__(content["settings"])
        self._prepare()
        self._take(content)

    def __repr__(self):
        sizes = {name: getattr(self, name) for name in self.SIZES}
        sizes = {name: size for name, size in sizes.items() if size}
        sizes = ", ".join(f"{name}={value}" for name, value in sizes.items())
        return f"RNN4Music({sizes}, dtype={self.dtype!r}, updates={len(self.history.cost)})"

    # ---- training

    def train(
        self,
        dataset,
        noOfEpochPerMB,
        noOfEpoch,
        sizeOfMiniBatch,
        lengthOfMB,
        sparseParam=0.0,
        *,
        windows="start",
        beginnings=False,
        validation=None,
        patience=None,
        decay_patience=None,
        rate_decay=0.5,
        dropout=0.0,
        weight_noise=0.0,
        output_noise=None,
        averaging=0.0,
        minutes=None,
        steps_at_once=None,
        checkpoint=None,
        checkpoint_every=None,
        resume=False,
        progress=True,
        callbacks=None,
        devices=None,
        cluster=None,
    ):
        """Learn to predict each step of the tunes from the steps before it.

        For the best music pass ``windows="random"`` for up to a few hundred tunes or
        ``windows="all"`` for more, ``dropout=0.2``, ``weight_noise=0.075`` (more for fewer tunes),
        and ``validation=`` with ``patience=``, so that the best weights are kept; build the model
        with ``optimiser="adam"`` and rates of 0.002 to 0.004. The defaults are those of 2015, which
        learn only from the start of each tune.

        One epoch visits every tune once, in shuffled minibatches. Ctrl-C ends training after the
        current update; the model keeps what it has learned by then.

        Parameters
        ----------
        dataset : list of (length, P + Q), 3-D array, or rnn4music.data.RollStore
            Piano rolls of zeros and ones. The rolls of a store are read when they are needed. The
            options with which `load_midi` read them go into `metadata`.
        noOfEpochPerMB : int
            Updates on each minibatch.
        noOfEpoch : int
            Visits to the whole dataset, unless `patience` ends training earlier.
        sizeOfMiniBatch : int
            Tunes in a minibatch; the last, smaller one is padded and masked.
        lengthOfMB : int
            Steps of a window, at least 2.
        sparseParam : float
            Strength of the L1 penalty on all weights except the biases.
        windows : {"start", "random", "all"}
            The part of each tune that a visit learns from. "start": the first `lengthOfMB` steps; a
            shorter tune is repeated. "random": as many steps from a random place; a shorter tune is
            padded with steps that do not count. "all": the whole tune, in consecutive windows, with
            the states carried from one to the next.
        beginnings : bool
            Whether a silent step precedes each tune, so that its first step is learned too, and
            composing from silence begins as the tunes do. Scores leave the first step out.
        validation : list of (length, P + Q) or rnn4music.data.RollStore, optional
            Tunes to score with `evaluate` after every epoch. The scores go into the history, and
            training leaves the weights that scored best.
        patience : int, optional
            Training ends after this many epochs without a better validation score.
        decay_patience : int, optional
            Each time this many epochs pass without a better validation score, the learning rates
            are multiplied by `rate_decay`. The attributes R1 … Rout do not change.
        rate_decay : float
            In (0, 1).
        dropout : float
            Probability, in [0, 1), that a unit is hidden from the layer above and the output;
            drawn for each tune of a minibatch.
        weight_noise : float
            Standard deviation of Gaussian noise added to the weight matrices while the gradient is
            computed; drawn for each update.
        output_noise : float, optional
            The standard deviation on the matrices of the output layer, chords included, if not
            `weight_noise`. 0 is a good value.
        averaging : float
            In [0, 1). Above 0, training leaves the exponential moving average of the weights over
            the updates, with this decay: 0.998 averages over about 500 updates.
        minutes : float, optional
            Training ends after the epoch in which this time is over, or amid the first one.
        steps_at_once : int, optional
            Process longer windows in segments of this many steps. The gradient stays exact, memory
            is that of one segment, and an update takes a third longer.
        checkpoint : path, optional
            A file, with or without ``.npz``, written at intervals, when training ends, and after
            Ctrl-C or SIGTERM. It loads like any saved model, with the result so far.
        checkpoint_every : int, optional
            Updates between two checkpoints; default one checkpoint a minute.
        resume : bool
            Continue from the checkpoint, bit for bit as if training had not been interrupted, or
            start if there is no such file yet. The model takes over the file's content. Data,
            settings and arguments must be as before, except `noOfEpoch`, `patience`,
            `checkpoint_every` and `genProbThreshold`. If False, an existing file is an error.
        progress : bool
            Whether to show a progress bar on standard error.
        callbacks : callbacks.Callback, or list of them, optional
            Called at the start, after each update and each epoch, and at the end.
        devices : {"all"} or int, optional
            Spread each minibatch over all devices of this process, or as many of them; after
            `training.join`, over those of all processes of a launcher. The gradients
            are those of one device.
        cluster : int, str, distributed.Client or a Dask cluster, optional
            Spread each minibatch over this many processes on this machine, of which this is one;
            or over this process and one on each worker of a Dask scheduler.

        Returns
        -------
        training.History
            History of this training, including the part before an interruption. The attribute
            `history` covers all training.

        Raises
        ------
        training.TrainingDiverged
            If the cost becomes NaN or infinite. The model has the best weights, or without
            validation the last good ones.
        ConnectionError
            If processes do not start, or one is lost. The model keeps what it has learned by then.
        ValueError
            If `resume` finds a checkpoint that is damaged or belongs to another training.
        FileExistsError
            If the checkpoint exists and `resume` is False.
        OSError
            If the first checkpoint, before the first update, cannot be written. If a later one
            cannot be written, a `CheckpointWarning` is issued and training continues.
        """
        tunes = self._tunes("dataset", dataset)
        if validation is not None:
            validation = self._tunes("validation", validation, scorable=True)
        resume, progress = checked_flag("resume", resume), checked_flag("progress", progress)
        config = TrainConfig.validate(
            {
                "epochs": noOfEpoch,
                "batch_size": sizeOfMiniBatch,
                "window": lengthOfMB,
                "updates_per_minibatch": noOfEpochPerMB,
                "windows": windows,
                "beginnings": beginnings,
                "l1": sparseParam,
                "dropout": dropout,
                "weight_noise": weight_noise,
                "output_noise": output_noise,
                "averaging": averaging,
                "segment": steps_at_once,
                "patience": patience,
                "decay_patience": decay_patience,
                "rate_decay": rate_decay,
            },
            OLD_NAMES,
        ).fitted(tunes, validation)
        every = checks.optional_integer("checkpoint_every", checkpoint_every)
        if minutes is not None:
            minutes = checks.number("minutes", minutes, above=0)
        path = checked_path(checkpoint, every, resume)
        callbacks = checked_callbacks(callbacks)
        with replicas(devices, cluster) as found:
            kind = Trainer if found is None else partial(ReplicatedTrainer, replicas=found)
            trainer = kind(self, tunes, validation, config)
            trainer.reading = metadata.of_reading(dataset)
            if path and resume and path.exists():
                try:
                    trainer.resume(path)
                except AnotherTraining as error:
                    raise error.named(OLD_NAMES) from None
            return trainer.run(callbacks, progress, path, every, minutes)

    def resetStates(self):
        """Draw new hidden and cell states for t = −1, from U[0, muRand]."""
        self._store.draw_initial(self._rng, self.muRand)

    def resetRMSgrads(self):
        """Set the optimiser's running averages to zero."""
        self._store.zero_averages()

    def setNewRates(self, R1, R2, R3, Rout):
        """Set the learning rates of the three layers and of the output layer."""
        rates = {"R1": R1, "R2": R2, "R3": R3, "Rout": Rout}
        vars(self).update(self.checked_settings(rates))

    # ---- composing and predicting

    def genMusic(
        self,
        start,
        n,
        count=None,
        *,
        temperature=1.0,
        sampling="independent",
        threshold=None,
        seed=None,
        conditions=None,
        around=0.0,
        density=1.0,
    ):
        """Compose: read `start`, then feed back what was sampled, for `n` steps.

        For the best music use a model with chords, which draws the pitches of a step from the
        lowest to the highest, each given those below it; and pass the first 16 to 50 steps of a
        real tune as `start`. Without chords pass ``sampling="systematic", threshold=0.02``: the
        defaults, independent sampling and a threshold of 0.1, are those of 2015; they make tunes
        thin, and some of them fall silent.

        Parameters
        ----------
        start : (steps, P + Q) or None
            A piano roll of at least one step; None stands for one silent step.
        n : int
            Steps to compose.
        count : int, optional
            Compose this many tunes together, each continuing `start` in its own way.
        temperature : float
            From 0.01 to 100. The network's pre-activations, the log-odds of the notes, are divided
            by it. Below 1, likely notes become likelier and unlikely ones rarer; above 1, the other
            way round.
        sampling : {"independent", "systematic"}
            "independent" samples each note of a step by itself. "systematic" samples them together:
            each note has the same probability as before, but the number of notes is the expected
            one, rounded up or down, and where a voice may go to one of several pitches exactly one
            sounds; see `generation`. It is an error with chords.
        threshold : float, optional
            Overrides `genProbThreshold` for this call.
        seed : int, optional
            Seed of a generator for this call. The same seed composes the same tune, and the
            model's own generator does not advance.
        conditions : (n, Q), optional
            What is known of each step that is composed; required if Q is not 0.
        around : float
            The log-odds that the temperature leaves as they are. Around 0, fewer notes sound at a
            low temperature. Around the `log_odds` that `evaluate` returns, about as many do.
        density : float
            From 0.001 to 1000. The odds of all notes are multiplied by it: 2 makes a tune denser.

        Returns
        -------
        tune : (n, P), or (count, n, P)
            Zeros and ones, without `start`.
        probabilities : same shape
            The probability with which each note was sampled; 0 where it did not exceed the
            threshold.
        """
        if start is None:
            start = np.zeros((1, self.io_length + self.conditions))
        start = pianoroll.validate("start", start, self.io_length, conditions=self.conditions)
        n = checks.integer("n", n, low=0)
        known = np.zeros((n, 0)) if conditions is None else np.asarray(conditions, self.dtype)
        if known.shape != (n, self.conditions) or not ((known >= 0) & (known <= 1)).all():
            raise ValueError(
                f"conditions must hold numbers from 0 to 1, with the shape {(n, self.conditions)}: "
                f"a row for each step that is composed; but their shape is {known.shape}"
            )
        temperature = checks.number("temperature", temperature, low=0.01, high=100)
        sampling = checks.choice("sampling", sampling, generation.SAMPLINGS)
        if sampling == "systematic" and self.chord_units is not None:
            raise ValueError(
                "sampling must be 'independent' with chord_units: a model with chords draws each "
                "pitch given those below it, and systematic sampling would draw them all at once"
            )
        around = checks.number("around", around, low=-100, high=100)
        density = checks.number("density", density, low=0.001, high=1000)
        n_tunes = 1 if count is None else checks.integer("count", count, low=1)
        if threshold is None:
            threshold = self.genProbThreshold
        threshold = checks.number("threshold", threshold, low=0, high=1)
        rng = self._rng
        if seed is not None:
            rng = np.random.default_rng(checks.integer("seed", seed, low=0))
        tunes, probabilities = generation.compose(
            self._network,
            self._array(start),
            n,
            n_tunes,
            threshold,
            temperature,
            sampling == "systematic",
            rng,
            self._array(known),
            around,
            density,
        )
        return (tunes[0], probabilities[0]) if count is None else (tunes, probabilities)

    def predict(self, inputs, following=None, samples=100):
        """Return the probabilities of the notes of each next step.

        With chords, the probability of a note depends on the lower notes of its step. Pass
        `following` to get it given those that sound there: this is exact, and what `evaluate`
        scores. Without `following` it is the probability of the note whatever else sounds. That is
        estimated: steps are drawn, and the probabilities with which the note was drawn are
        averaged. The standard error is at most 0.5 / √samples, 0.05 for 100. The same call returns
        the same estimate.

        Parameters
        ----------
        inputs : (T, P + Q) or (T, B, P + Q)
            One tune, or B tunes of equal length.
        following : array of the same shape, optional
            Row t is the step after row t of the inputs. Its pitches matter with chords. Its
            conditions have to be known: if Q is not 0, this argument is required.
        samples : int
            Steps to draw for the estimate after each row.

        Returns
        -------
        (T, P) or (T, B, P)
            Row t holds the probabilities for step t + 1.
        """
        if self.conditions and following is None:
            raise ValueError(
                "predict needs following with this model: conditions are known of each step that "
                "is predicted. Pass tune[:-1] and tune[1:]"
            )
        rolls, samples = {"inputs": inputs}, checks.integer("samples", samples, low=1)
        if following is not None:
            rolls["following"] = following
        rolls = self._rolls(rolls)
        Y = self._run(*rolls)
        if self.chord_units is None or following is not None:
            probabilities = scores.sigmoid(Y)
        else:
            known = Y.reshape(-1, Y.shape[2])
            probabilities = generation.marginals(self._network, known, samples)
        return probabilities.reshape(*np.shape(inputs)[:-1], self.io_length)

    def evaluate(self, dataset, threshold=scores.THRESHOLD):
        """Score the predictions on whole tunes, without repeating or truncating them.

        With chords each note is predicted given the lower notes of its step. `nats_per_step` is
        then the exact score of whole steps. `accuracy` and the others cannot be compared with those
        of a model without chords, which does not read these notes.

        Parameters
        ----------
        dataset : list of (length, P + Q) or 3-D array
        threshold : float
            A note counts as predicted where its probability is at least this.

        Returns
        -------
        evaluation.Evaluation
            `nats_per_step` (negative log-likelihood), `accuracy`, `precision`, `recall`,
            `f_measure`, `n_steps`, `per_tune`, and `log_odds`, for the `around` of `genMusic`.
        """
        tunes = self._tunes("dataset", dataset)
        threshold = checks.number("threshold", threshold, low=0, high=1)
        return scores.evaluate(self._run, tunes, threshold, self.dtype)

    def gradients(self, inputs, targets):
        """Return the cost and its hand-written gradients, before clipping.

        Parameters
        ----------
        inputs, targets : (T, P + Q) or (T, B, P + Q)
            Each step that the network reads, and the step after it, which it should predict.

        Returns
        -------
        cost : float
            Sum over steps and pitches, mean over the tunes.
        gradients : dict of name to array
            Under the names of `get_parameters`.
        """
        pair = self._rolls({"inputs": inputs, "targets": targets})
        shape = pair[0].shape
        n_tunes = shape[1]
        mask = np.full(shape[:2], 1 / n_tunes, self.dtype)
        states = [np.tile(vector, (n_tunes, 1)) for vector in self._store.initial_states()]
        d_after = [np.zeros_like(state) for state in states]
        compute = self._network.cost_and_gradients(shape, NO_NOISE)
        cost, *results = compute(*pair, mask, *states, *d_after)
        self._last_gradients = arrays = results[: len(self._store.weights)]
        return float(cost), dict(zip(self._store.weights, map(np.array, arrays)))

    # ---- weights, files, summaries

    def get_parameters(self):
        """Return copies of all weights: a dict from names such as ``layer1/bias`` to arrays."""
        weights = self._store.weights.items()
        return {name: np.array(v.get_value(borrow=True)) for name, v in weights}

    def set_parameters(self, mapping):
        """Set all weights, or none if anything does not fit.

        Raises
        ------
        ValueError
            If a name is missing or unknown, a shape differs, or a value is not finite.
        """
        arrays = {f"{WEIGHTS}/{name}": array for name, array in dict(mapping).items()}
        self._store.assign(self._store.check(arrays, weights_only=True))

    def saveParameters(self, name):
        """Save everything: weights, averages, states, settings, history, random generator.

        Parameters
        ----------
        name : path
            The suffix ``.npz`` is added if it is missing. The file is written whole or not at all.

        Returns
        -------
        pathlib.Path
            The path of the file.
        """
        content = self.__getstate__()
        self._store.check(content["arrays"])  # nothing is saved that could not be loaded
        return model_file.write(name, **content)

    def loadParameters(self, name):
        """Load everything from a file of `saveParameters` or of the 2015 program.

        Training and composing continue as if the model had never been saved.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing, damaged, or of a network of other sizes. The object does not
            change.
        """
        self._load(model_file.read(name), model_file.npz_path(name))

    @classmethod
    def from_file(cls, name):
        """Build a model from a file; see `loadParameters`."""
        content, path = model_file.read(name), model_file.npz_path(name)
        try:
            model = cls(**{size: content["settings"][size] for size in cls.SIZES})
        except Exception as error:
            raise ValueError(f"{path} is damaged: its sizes are wrong: {error}") from error
        model._load(content, path)
        return model

    def to_numpy(self):
        """Return a copy as a `NumpyNetwork`, whose `activations` returns gates and cell states."""
        state = self._rng.bit_generator.state
        return NumpyNetwork.from_arrays(self._store.arrays(), self.settings(), state)

    def printWeights(self):
        """Print each weight's shape, mean size and extremes."""
        print_summary(self.get_parameters())

    def printDerivatives(self):
        """Print the shape, mean size and extremes of each array of the last gradient, unclipped."""
        if self._last_gradients is None:
            print("no gradient yet: call train or gradients first")
            return
        print_summary(dict(zip(self._store.weights, self._last_gradients)))

    # ---- inside

    def _load(self, content, path):
        """Apply `_take`, and turn every error into a ValueError that names the file."""
        try:
            self._take(content)
        except Exception as error:
            reason = model_file.reason(error)
            raise ValueError(f"{path} does not fit or is damaged: {reason}") from error

    def _take(self, content):
        """Take over the content that `model_file.read` returned, or raise and change nothing."""
        from_2015 = content["random_state"] is None  # such files have little but the weights
        if not from_2015:
            missing = [name for name in self.settings() if name not in content["settings"]]
            if missing:
                raise ValueError(f"the settings lack {', '.join(missing)}")
        settings = self.checked_settings(content["settings"])
        if different := differences(settings, {size: getattr(self, size) for size in self.SIZES}):
            raise ValueError(
                f"it holds another network: {'; '.join(different)}. "
                "RNN4Music.from_file builds the one that the file describes"
            )
        history = History.from_dict(content["history"])
        store, rng = self._store, self._rng
        if (settings["dtype"], settings["optimiser"]) != (self.dtype, self.optimiser):
            store = self._new_store(settings)
        if from_2015:
            initial = {k: v for k, v in self._store.arrays().items() if k.startswith("initial/")}
            arrays = {**self._new_store(settings).arrays(), **initial, **content["arrays"]}
        else:
            arrays = content["arrays"]
            rng = np.random.default_rng()
            try:
                rng.bit_generator.state = content["random_state"]
            except Exception:  # of many kinds
                raise ValueError("its random_state is not that of a PCG64 generator") from None
        checked = store.check(arrays)

        if store is not self._store or settings["cost"] != self.cost:
            self._connect(store, settings)
        vars(self).update(settings)
        store.assign(checked)
        self._rng, self.history, self._last_gradients = rng, history, None
        self.metadata = content["metadata"]

    def _run(self, inputs, following=None):
        """Return the pre-activations (T, B, P) of inputs and the rows after them, (T, B, P)."""
        return scores.run(self._network, inputs, following)

    def _new_store(self, settings):
        """Return a store of zero weights and averages for these settings."""
        sizes = self.h1_length, self.h2_length, self.h3_length
        averages = OPTIMISERS[settings["optimiser"]].averages
        output = self.chord_units, self.conditions
        return ParameterStore(sizes, self.io_length, settings["dtype"], averages, *output)

    def _connect(self, store, settings):
        self._store = store
        self._network = CompiledNetwork(store, settings["cost"], settings["optimiser"])

    def _tunes(self, name, dataset, scorable=False):
        """Return the tunes of a dataset, or raise an error that names it."""
        return pianoroll.validate_dataset(
            name, dataset, self.io_length, scorable=scorable, conditions=self.conditions
        )

    def _rolls(self, named):
        """Return rolls of the same shape as (T, B, P), or raise an error that names them."""
        rolls = []
        for name, value in named.items():
            width = {"n_pitches": self.io_length, "conditions": self.conditions}
            array = pianoroll.validate(name, value, **width, ndims=(2, 3))
            rolls.append(self._array(array[:, None] if array.ndim == 2 else array))
        if len({roll.shape for roll in rolls}) > 1:
            shapes = " and ".join(str(np.shape(value)) for value in named.values())
            raise ValueError(f"{' and '.join(named)} must have the same shape, but have {shapes}")
        return rolls

    def _array(self, value):
        return np.asarray(value, self.dtype)
