"""Trials of a search: Optuna's storage, and how a process runs trials from it.

Conventions
-----------
A storage is the URL of a database, which detects dead processes by their missing heartbeats, or
the path of a journal, which does not. A trial's score is its best validation, in nats per step.
Complete, pruned and diverged trials are finished. ``seed``, ``result`` and ``error`` are user
attributes of a trial, ``about`` is one of the study.
"""

import contextlib
import functools
import io
import json
import multiprocessing
import os
import re
import secrets
import threading
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError
from tqdm import tqdm

from midi.files import opened
from rnn4music._utils.console import log
from rnn4music._utils.differences import differences
from rnn4music._utils.processes import n_cores
from rnn4music.experiment import config
from rnn4music.experiment import music as experiment_music
from rnn4music.experiment import run as experiment_run
from rnn4music.training.callbacks import Callback
from rnn4music.training.history import BaselineWarning
from rnn4music.training.loop import TrainingDiverged
from rnn4music.tuning.space import FILES, Space

STUDY = "rnn4music"
HEARTBEAT, GRACE = 20, 120
"""Seconds between two heartbeats of a trial, and without any until its process counts as dead."""

MAX_RETRIES = 2
"""Number of times that a trial is run again if its process dies."""

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_STORAGE_ERRORS = (SQLAlchemyError, StorageInternalError, json.JSONDecodeError)


# ---- the storage


@contextlib.contextmanager
def quiet(storage, errors=_STORAGE_ERRORS):
    """Silence Optuna, and raise ValueError for errors of its storage."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", BaselineWarning)  # the search compares the best trial
            yield
    except Exception as error:
        # Optuna raises UnboundLocalError while it handles one of the others
        cause = error.__context__ if isinstance(error, UnboundLocalError) else error
        if isinstance(cause, (OSError, ImportError)) or not isinstance(cause, errors):
            raise
        cause = getattr(cause, "__cause__", None) or cause
        raise ValueError(
            f"{shown(storage)} cannot be used as the storage of a search "
            f"({getattr(cause, 'orig', None) or cause}): make room if the disk is full; if it is "
            "damaged or of another program, choose another storage"
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)


def storage_file(storage):
    """Return the file of a storage; None for a database on a server."""
    if "://" not in storage:
        return Path(storage)
    url = sqlalchemy.make_url(storage)
    return Path(url.database) if url.database and url.get_backend_name() == "sqlite" else None


def shown(storage):
    """Return the name of a storage, without a password."""
    return storage_file(storage) or storage.rpartition("@")[2]


class _Lock(JournalFileOpenLock):
    """Lock of a journal; the holder cuts off an incomplete last line of a killed process."""

    def __init__(self, path):
        super().__init__(path)
        self._path = Path(path)

    def acquire(self):
        """Wait for the lock."""
        super().acquire()
        os.truncate(self._path, self._path.read_bytes().rfind(b"\n") + 1)
        return True


def _backend(storage):
    """Return Optuna's object for a storage, which is created if it is missing."""
    file = storage_file(storage)
    start = b"SQLite format 3" if "://" in storage else b'{"op_code":'
    if file and file.exists():
        with opened(file) as content:
            if content.read(len(start)) not in (b"", start):
                kind = "an SQLite database" if "://" in storage else "an Optuna journal"
                raise ValueError(f"it is not {kind}")
    if "://" not in storage:
        return JournalStorage(JournalFileBackend(storage, _Lock(storage)))
    options = {"connect_args": {"timeout": 60}} if file else {}
    dead = {
        "heartbeat_interval": HEARTBEAT,
        "grace_period": GRACE,
        "heartbeat_stale_trial_callback": RetryHeartbeatStaleTrialCallback(MAX_RETRIES),
    }
    try:
        return RDBStorage(storage, options, **dead)
    except (IntegrityError, OperationalError):
        time.sleep(1)  # another process is creating the tables
        return RDBStorage(storage, options, **dead)


def open_study(storage, description=None):
    """Return the Optuna study in a storage.

    Raises ValueError if the storage is damaged or of another search. `description` is a dict of
    str to str on which all calls that share the study must agree: it is written to a new study and
    compared with that of an existing one. A ``seed`` of None becomes that of the existing study,
    or is drawn.
    """
    with quiet(storage, Exception):  # Optuna has no error class for damage
        backend = _backend(storage)
        if description and STUDY not in optuna.get_all_study_names(backend):
            optuna.create_study(study_name=STUDY, storage=backend, load_if_exists=True)
        study = optuna.load_study(study_name=STUDY, storage=backend)
        if description is None:
            return study
        study.get_trials(deepcopy=False)  # raises if any is unreadable
        existing = study.user_attrs.get("about")
        if description["seed"] is None:
            description["seed"] = (existing or {}).get("seed", str(secrets.randbelow(2**32)))
        if existing is None:
            study.set_user_attr("about", existing := description)
    expected = {name: description.get(name) for name in existing | description}
    expected.pop("keep_silence", None)  # the music shows its effect
    different = differences(existing, expected)
    if different:
        if "keep_silence" not in existing and existing.get("music") != description.get("music"):
            different[-1] += (
                ". If an earlier version began the search, its music keeps silence: set "
                "keep_silence = true in the TOML file"
            )
        raise ValueError(
            f"{shown(storage)} is the storage of another search: {'; '.join(different)}. Continue "
            "it with its own settings, or choose another output folder or storage"
        )
    return study


# ---- the trials


class Job(NamedTuple):
    """Description of a search for the processes that run its trials."""

    space: Space
    storage: str
    n_trials: int
    description: dict  # as in the study

    def __hash__(self):
        return hash(self.storage)

    def n_left(self, study):
        """Return how many trials are not finished yet."""
        return self.n_trials - len(study.get_trials(deepcopy=False, states=FINISHED))


def read_music(space):
    """Return the `Music` of a search; raise ValueError if no tunes are held out."""
    settings = config.complete(space.settings({}))
    model = experiment_run.new_model(settings, {})
    music = experiment_music.read_music(settings.data, settings, model)
    if not music.parts["validation"]:
        raise ValueError(
            "a search compares scores on tunes that are not learned from, but "
            f"validation = {settings.validation:g} holds out none of {settings.data}: give more "
            "tunes, or a larger share"
        )
    return music


class _Sampler(optuna.samplers.TPESampler):
    """TPE whose draws for a trial depend on its number, not on the process that runs it."""

    def before_trial(self, study, trial):
        """Seed the random numbers of a trial."""
        _, seed = _seeds(study, trial)
        self.__init__(multivariate=True, constant_liar=True, seed=seed)
        super().before_trial(study, trial)


def _seeds(study, trial):
    """Return the seeds of a trial's model and of its sampler."""
    search_seed = int(study.user_attrs["about"]["seed"])
    return np.random.SeedSequence([search_seed, trial.number]).generate_state(2).tolist()


def run_trial(job, study, music, monitor=lambda: None):
    """Run a trial, unless enough are finished; call `monitor` after each epoch."""
    with quiet(job.storage):
        if job.n_left(study) <= 0:
            return
        study.sampler = _Sampler()
        # learning curves cross at first: regularised networks start slowly
        n_epochs = max(2, config.complete(job.space.fixed).epochs // 5)
        study.pruner = optuna.pruners.MedianPruner(5, n_epochs)
        try:
            study.optimize(lambda trial: _score(job.space, music, trial, monitor), n_trials=1)
        except ValueError as error:  # this process counted as dead, and another has the trial
            if "Cannot tell a" not in str(error):
                raise


def _score(space, music, trial, monitor):
    """Train with the settings of a trial, and return the score."""
    study, seed = trial.study, trial.user_attrs.get("seed")
    if seed is None:
        seed, _ = _seeds(study, trial)
        trial.set_user_attr("seed", seed)
    try:
        space.draw(trial)
        drawn = space.settings(trial.params, seed)
        settings = config.complete({name: drawn[name] for name in drawn.keys() - FILES})
        callback = PruningCallback(trial, settings.epochs, monitor)
        model = experiment_run.new_model(settings, music.metadata)
        history = experiment_run.learn(model, settings, music, False, [callback])
        if history.interrupted:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        study.enqueue_trial(trial.params, {"seed": seed})
        raise
    except TrainingDiverged as error:
        log(f"trial {trial.number} diverged: {error}")
        trial.set_user_attr("error", str(error))
        raise optuna.TrialPruned from error
    except Exception as error:
        trial.set_user_attr("error", f"{type(error).__name__}: {error}")
        raise
    trial.set_user_attr("result", {"best_epoch": history.best_epoch, "cores": n_cores()})
    if callback.is_pruned:
        raise optuna.TrialPruned
    return min(history.validation)


class PruningCallback(Callback):
    """Reports a trial's best validation so far, and ends the training if Optuna prunes it."""

    def __init__(self, trial, n_epochs, monitor=lambda: None):
        self.trial, self.n_epochs, self.monitor = trial, n_epochs, monitor
        self.is_pruned = False

    def on_epoch(self, model, history):
        """Report the best validation; True prunes."""
        self.trial.report(min(history.validation), history.epochs)
        self.is_pruned = history.epochs != self.n_epochs and self.trial.should_prune()
        self.monitor()
        return self.is_pruned


# ---- in another process

_ONE_AT_A_TIME = threading.Lock()


@functools.lru_cache(maxsize=1)
def _begun(job):
    with contextlib.redirect_stderr(io.StringIO()):  # the caller has reported the same
        return open_study(job.storage), read_music(job.space)


def run_elsewhere(job, shares=None):
    """Run a trial in another process, which keeps study and music for its next trial.

    On this machine each process binds itself to one of the `shares` of the cores.
    """
    with _ONE_AT_A_TIME:
        name = multiprocessing.current_process().name
        if shares and name.startswith("LokyProcess"):  # not where a daemon runs trials itself
            number = int(re.findall(r"\d+", name)[-1])  # LokyProcess-3, LokyProcess-1:3
            os.sched_setaffinity(0, shares[number % len(shares)])
            tqdm.set_lock(threading.RLock())  # a killed process would keep a shared one forever
        run_trial(job, *_begun(job))
