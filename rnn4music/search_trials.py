"""The trials of a search, in whatever process: claimed, run, told, and given back.

Conventions
-----------
``seed``, ``result`` and ``error`` are user attributes of a trial, beside those of
`search_owners`. Pruned trials and those that diverged are finished, as complete ones are. A
trial's score is the best validation, in nats per step.
"""

import contextlib
import functools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from rnn4music import search_journal, search_space
from rnn4music._utils.processes import n_cores
from rnn4music.experiment import config, run
from rnn4music.experiment import music as experiment_music
from rnn4music.saving import model_file
from rnn4music.search_owners import give_back, owner, pulse, running
from rnn4music.training.callbacks import Callback
from rnn4music.training.loop import TrainingDiverged

ENOUGH, WAIT = "enough", "wait"
"""Why there is no trial to claim: all are finished, or others are at the last ones."""


class Job(NamedTuple):
    """What a process that runs trials has to know."""

    space: dict  # as in the file
    data: str
    journal: str  # absolute
    n_trials: int
    search: str  # the name of one call of `search.search`


class Runner:
    """Runs trials, one after the other.

    Parameters
    ----------
    job : Job
    music : experiment.music.Music, optional
        Where it is read already.
    """

    def __init__(self, job, music=None):
        from optuna.pruners import MedianPruner

        self.job, self.journal = job, Path(job.journal)
        self.space = search_space.read(job.space)
        self.music = music or read_music(self.space, job.data)
        self.study = search_journal.open_study(self.journal)
        # learning curves cross at first: what is regularised begins slowly
        n_epochs = max(2, config.complete(self.space.fixed).epochs // 5)
        self.study.pruner = MedianPruner(n_startup_trials=5, n_warmup_steps=n_epochs)

    def run(self, should_stop=None, look=None, worker=None):
        """Claim a trial and run it.

        Parameters
        ----------
        should_stop : callable, optional
            Asked after each update; if it returns True, the trial is given back.
        look : callable, optional
            Called after each epoch.
        worker : str, optional
            Dask's name of this process.

        Returns
        -------
        ENOUGH, WAIT or None
            The first two if there was none to claim.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C, or if it should stop.
        """
        from optuna.trial import TrialState

        trial = self._claim(worker)
        if isinstance(trial, str):
            return trial
        try:
            with pulse(trial):
                self._train(trial, Following(trial, should_stop, look))
        except KeyboardInterrupt:
            give_back(self.study, self.journal, trial.number)
            raise
        except Exception as error:
            with contextlib.suppress(Exception):  # the journal may be what cannot be written
                if self.study.get_trials(deepcopy=False)[trial.number].state.name != "RUNNING":
                    return None  # we were taken for dead
                trial.set_user_attr("error", f"{type(error).__name__}: {error}")
                self.study.tell(trial, state=TrialState.FAIL)
            raise
        return None

    def _claim(self, worker):
        """Return a trial that no other process runs, with its parameters; or why there is none."""
        from optuna.samplers import TPESampler

        with search_journal.alone(self.journal):
            trials = self.study.get_trials(deepcopy=False)
            n_finished = sum(map(is_finished, trials))
            if n_finished >= self.job.n_trials:
                return ENOUGH
            if n_finished + len(running(trials)) >= self.job.n_trials:
                return WAIT
            waiting = [trial.number for trial in trials if trial.state.name == "WAITING"]
            number = waiting[0] if waiting else len(trials)
            key = [int(self.study.user_attrs["about"]["seed"]), number]
            model_seed, sampler_seed = np.random.SeedSequence(key).generate_state(2).tolist()
            self.study.sampler = TPESampler(
                seed=sampler_seed, multivariate=True, constant_liar=True
            )
            trial = self.study.ask()
            trial.set_user_attr("owner", {**owner(), "search": self.job.search, "worker": worker})
            if "seed" not in trial.user_attrs:
                trial.set_user_attr("seed", model_seed)
            self.space.draw(trial)
            return trial

    def _train(self, trial, following):
        from optuna.trial import TrialState

        settings = trial_settings(self.space, trial)
        settings = {name: each for name, each in settings.items() if name not in search_space.FILES}
        settings = config.complete(settings)
        following.n_epochs = settings.epochs
        model = run.new_model(settings)
        try:
            history = run.learn(model, settings, self.music, False, [following])
        except TrainingDiverged as error:
            trial.set_user_attr("error", str(error))
            self.study.tell(trial, state=TrialState.PRUNED)
            return
        if history.interrupted or following.stopped:
            raise KeyboardInterrupt
        result = {
            "best_epoch": history.best_epoch,
            "epochs": history.epochs,
            "baseline": history.baseline,
            "cores": n_cores(),
        }
        trial.set_user_attr("result", result)
        if following.pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, min(history.validation))


class Following(Callback):
    """Reports a trial's best validation so far, and ends it when it is pruned or has to stop."""

    def __init__(self, trial, should_stop, look):
        self.trial, self.should_stop, self.look = trial, should_stop, look
        self.n_epochs = None
        self.pruned = self.stopped = False

    def on_update(self, model, history):
        """Ask whether to stop."""
        self.stopped = self.should_stop is not None and self.should_stop()
        return self.stopped

    def on_epoch(self, model, history):
        """Report, and ask whether the trial is worth going on with."""
        self.trial.report(min(history.validation), history.epochs)
        self.pruned = history.epochs != self.n_epochs and self.trial.should_prune()
        if self.look is not None:
            self.look()
        return self.pruned


def trial_settings(space, trial):
    """Return all settings of a trial: dict of name to value."""
    settings = space.settings(trial.params)
    if "start_from" in settings:
        settings.pop("seed", None)  # the model has one
        return settings
    return {**settings, "seed": trial.user_attrs["seed"]}


def is_finished(trial):
    """Return whether a trial came to an end of its own."""
    return trial.state.name in ("COMPLETE", "PRUNED")


def read_music(space, data):
    """Read the tunes of a search.

    Raises
    ------
    ValueError
        Besides what reading raises, if no tunes are held out.
    """
    settings = config.complete(space.fixed)
    low, high = settings.pitch_range
    model = SimpleNamespace(metadata={}, io_length=high - low)
    if settings.start_from:
        content = model_file.read(settings.start_from)
        model = SimpleNamespace(
            metadata=content["metadata"], io_length=content["settings"]["io_length"]
        )
    music = experiment_music.read_music(data, settings, model)
    if not music.parts["validation"]:
        raise ValueError(
            f"a search compares scores of tunes that are not learned from, and of {data} "
            f"validation = {settings.validation:g} holds out none: give more tunes, or a larger "
            "share"
        )
    return music


@functools.lru_cache(maxsize=1)
def runner(text):
    """Return the `Runner` of a job, which is a `Job` as JSON text."""
    return Runner(Job(**json.loads(text)))


def run_on_dask(text):
    """Run one trial in a worker of Dask's, which keeps the music for the next."""
    import distributed

    return runner(text).run(worker=distributed.get_worker().address)
