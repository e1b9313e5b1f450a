"""Trials of a search: Optuna's storage, and what each process does with it.

Conventions
-----------
A storage is the URL of a database, which notices dead processes by their missing heartbeats, or
the absolute path of a journal, which does not. A trial's score is its best validation, in nats per
step. Pruned trials and those that diverged are finished, as complete ones are. ``seed``,
``result`` and ``error`` are user attributes of a trial, ``about`` is one of the study.
"""

import contextlib
import json
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from midi.files import opened
from rnn4music._utils.processes import n_cores
from rnn4music.experiment import config
from rnn4music.experiment import music as experiment_music
from rnn4music.experiment import run as experiment_run
from rnn4music.saving import model_file
from rnn4music.training.callbacks import Callback
from rnn4music.training.loop import TrainingDiverged
from rnn4music.tuning.space import FILES, read

STUDY = "rnn4music"
HEARTBEAT, GRACE = 20, 120
"""Seconds between two heartbeats of a trial; without any, until its process counts as dead."""

MAX_RETRIES = 2
"""How often a trial is run again whose process died."""

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
POLL = 0.5  # seconds between two looks at the storage
SECONDS_TO_END = 20  # for the update under way, when a process has to end
_STORAGE_ERRORS = (SQLAlchemyError, StorageInternalError, json.JSONDecodeError)


class Job(NamedTuple):
    """Description of a search for the processes that run its trials."""

    space: dict  # as in the file
    data: str
    storage: str
    n_trials: int

    def n_left(self, study, states=(*FINISHED, TrialState.RUNNING)):
        """Return how many trials are missing in these states."""
        if "://" not in self.storage:  # any of those that run may be dead
            states = FINISHED
        return self.n_trials - len(study.get_trials(deepcopy=False, states=states))


# ---- the storage


@contextlib.contextmanager
def quiet(storage):
    """Silence Optuna, and raise ValueError for what is wrong with its storage."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except (*_STORAGE_ERRORS, UnboundLocalError) as error:
        # Optuna raises the last one while it handles one of the others
        cause = error.__context__ if isinstance(error, UnboundLocalError) else error
        if not isinstance(cause, _STORAGE_ERRORS):
            raise
        cause = cause.__cause__ or cause
        raise ValueError(
            f"{shown(storage)} cannot be used as the storage of a search "
            f"({getattr(cause, 'orig', None) or cause}): make room if the disk is full; if it is "
            "damaged, or of another program, give another"
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


class _Database(optuna.storages.RDBStorage):
    """Optuna's database, in which a process may also die before the first heartbeat of a trial."""

    def _get_stale_trial_ids(self, study_id):
        with contextlib.suppress(IntegrityError), self.engine.begin() as connection:
            connection.execute(
                sqlalchemy.text(
                    "INSERT INTO trial_heartbeats (trial_id, heartbeat) "
                    "SELECT trial_id, CURRENT_TIMESTAMP FROM trials WHERE state = 'RUNNING' "
                    "AND trial_id NOT IN (SELECT trial_id FROM trial_heartbeats)"
                )
            )
        return super()._get_stale_trial_ids(study_id)


class _Lock(JournalFileOpenLock):
    """Lock of a journal; the holder cuts off what a killed process left of a last line."""

    def __init__(self, path):
        super().__init__(path)
        self._path = Path(path)

    def acquire(self):
        """Wait for the lock."""
        super().acquire()
        with open(self._path, "rb+") as file:
            if file.seek(0, 2) and file.seek(-1, 2) is not None and file.read() != b"\n":
                file.truncate(self._path.read_bytes().rfind(b"\n") + 1)
        return True


def _make_database(file):
    """Make Optuna's tables in a new SQLite file, whole or not at all.

    Made in place, they lack their indices for ever if the process is killed, or another one is
    about to make them.
    """
    with tempfile.TemporaryDirectory(prefix=".", dir=file.parent) as folder:
        temporary = Path(folder) / file.name
        optuna.storages.RDBStorage(sqlite_url(temporary)).engine.dispose()
        try:
            os.link(temporary, file)  # which replaces nothing
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            temporary.rename(file)


def sqlite_url(file):
    """Return the URL of an SQLite file."""
    return sqlalchemy.URL.create("sqlite", database=str(file)).render_as_string()


def _backend(storage) -> Any:
    """Return Optuna's storage."""
    file = storage_file(storage)
    start = b"SQLite format 3" if "://" in storage else b'{"op_code":'
    if file and file.exists():
        with opened(file) as content:
            if content.read(len(start)) not in (b"", start):
                raise ValueError("it is no database of SQLite's, or no journal of Optuna's")
    if "://" not in storage:
        return optuna.storages.JournalStorage(JournalFileBackend(storage, _Lock(storage)))
    if file and not file.exists():
        _make_database(file)
    return _Database(
        storage,
        {"connect_args": {"timeout": 60}} if file else {},
        heartbeat_interval=HEARTBEAT,
        grace_period=GRACE,
        heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
            MAX_RETRIES
        ),
    )


def open_study(storage, about=None):
    """Return the Optuna study in a storage.

    Parameters
    ----------
    storage : str
    about : dict, optional
        What all calls that share the study have in common: written into a new one, compared with
        an earlier one. Where ``seed`` is None it is the earlier one's, or drawn.

    Raises
    ------
    ValueError
        If the storage is damaged, or of another search.
    """
    with quiet(storage):
        try:
            if about is None:
                return optuna.load_study(study_name=STUDY, storage=_backend(storage))
            study = optuna.create_study(
                study_name=STUDY, storage=_backend(storage), load_if_exists=True
            )
            existing = study.user_attrs.get("about")
            study.get_trials(deepcopy=False)  # all of which has to be readable
        except (OSError, ImportError, *_STORAGE_ERRORS):
            raise
        except Exception as error:  # Optuna has no class of its own for what is damaged
            raise ValueError(
                f"{shown(storage)} is not the storage of a search, or is damaged: {error}; give "
                "another"
            ) from error
        if about["seed"] is None:
            about["seed"] = (existing or {}).get("seed", str(secrets.randbelow(2**32)))
        if existing is None:
            study.set_user_attr("about", existing := about)
    different = [
        f"{name} is {existing.get(name, 'missing')} there and {about.get(name, 'missing')} here"
        for name in sorted(existing.keys() | about.keys())
        if existing.get(name) != about.get(name)
    ]
    if different:
        raise ValueError(
            f"{shown(storage)} is the storage of another search: {'; '.join(different)}. Go on "
            "with what it was begun with, or give another output folder or storage"
        )
    return study


# ---- the trials


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


class _Sampler(optuna.samplers.TPESampler):
    """TPE that draws the same for a trial's number, whichever process runs it."""

    def __init__(self, search_seed, seed=None):
        self.search_seed = search_seed
        super().__init__(seed=seed, multivariate=True, constant_liar=True)

    def before_trial(self, study, trial):
        """Seed the random numbers of a trial."""
        self.__init__(self.search_seed, _seeds(self.search_seed, trial.number)[1])
        super().before_trial(study, trial)


def _seeds(search_seed, number):
    """Return the seeds of a trial's model and of what is drawn for it."""
    return np.random.SeedSequence([search_seed, number]).generate_state(2).tolist()


class Runner:
    """Runs trials of a search, one after the other.

    Parameters
    ----------
    job : Job
    music : experiment.music.Music, optional
        Where it is read already.
    monitor : callable, optional
        Called after each epoch and each trial.
    """

    def __init__(self, job, music=None, monitor=lambda: None):
        self.job, self.monitor, self.space = job, monitor, read(job.space)
        self.music = music or read_music(self.space, job.data)
        self.study = open_study(job.storage)
        with quiet(job.storage):
            self.seed = int(self.study.user_attrs["about"]["seed"])
            self.study.sampler = _Sampler(self.seed)
        # learning curves cross at first: what is regularised begins slowly
        n_epochs = max(2, config.complete(self.space.fixed).epochs // 5)
        self.study.pruner = optuna.pruners.MedianPruner(5, n_epochs)
        self.is_lost = False

    def run_all(self):
        """Run trials until enough are finished."""
        while self.job.n_left(self.study, FINISHED) > 0:
            if not self.run():
                time.sleep(POLL)
            self.monitor()

    def run(self):
        """Run a trial, if there is one to begin; return whether there was."""
        with quiet(self.job.storage):
            optuna.storages.fail_stale_trials(self.study)
            if self.job.n_left(self.study) <= 0:
                return False
            try:
                self.study.optimize(self._run, n_trials=1)
            except (UpdateFinishedTrialError, ValueError):
                if not self.is_lost:
                    raise
                self.is_lost = False
        return True

    def _run(self, trial):
        seed = trial.user_attrs.get("seed")
        if seed is None:
            trial.set_user_attr("seed", seed := _seeds(self.seed, trial.number)[0])
        try:
            self.space.draw(trial)
            return self._train(trial, self.space.settings(trial.params, seed))
        except KeyboardInterrupt:
            self.study.enqueue_trial(trial.params, {"seed": seed})
            raise
        except TrainingDiverged as error:
            trial.set_user_attr("error", str(error))
            raise optuna.TrialPruned from error
        except UpdateFinishedTrialError:  # this process was taken for dead: another has the trial
            self.is_lost = True
            raise
        except (optuna.TrialPruned, *_STORAGE_ERRORS):
            raise
        except Exception as error:
            trial.set_user_attr("error", f"{type(error).__name__}: {error}")
            raise

    def _train(self, trial, settings):
        settings = {name: each for name, each in settings.items() if name not in FILES}
        settings = config.complete(settings)
        callback = PruningCallback(trial, settings.epochs, self.monitor)
        model = experiment_run.new_model(settings)
        history = experiment_run.learn(model, settings, self.music, False, [callback])
        if history.interrupted:
            raise KeyboardInterrupt
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


# ---- a process of a search


def work():
    """Run trials of the `Job` on standard input; at its end, hand back the trial under way.

    It ends with the parent process too. Standard output has the sentence of the error that ended
    this process, if any.
    """
    job = Job(*json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        Runner(job).run_all()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        is_expected = isinstance(error, (ValueError, TypeError, OSError, ImportError))
        print(error if is_expected else f"{type(error).__name__}: {error}", flush=True)
        sys.exit(1)


def _end_with_stdin():
    sys.stdin.read()
    signal.raise_signal(signal.SIGINT)
    time.sleep(SECONDS_TO_END)
    os._exit(1)
