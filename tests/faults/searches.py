"""Searches that are killed, and storages of searches that are damaged."""

import functools
import time
import warnings
from types import SimpleNamespace

import numpy as np

from rnn4music import tuning
from rnn4music.experiment import music as experiment_music
from rnn4music.experiment import run as experiment_run
from rnn4music.training.history import History

from .damage import damaged
from .rounds import Child, Counts

SPACE = {"epochs": 6, "learning_rates": {"low": 1e-4, "high": 1e-1, "log": True}}
TRIALS = 12


class QuickModel:
    """Stand-in for a network: the score of a trial depends on its learning_rates alone."""

    def __init__(self, settings):
        self.badness = abs(np.log10(settings.learning_rates[0]) + 2)


def learn(model, settings, music, progress, callbacks):
    """Call the callbacks as a training does."""
    del music, progress
    history = History()
    for epoch in range(1, settings.epochs + 1):
        time.sleep(0.003)
        history.cost.append(1.0)
        is_over = any([each.on_update(model, history) for each in callbacks])
        history.validation.append(float(5 + model.badness + 10 / epoch))
        history.epochs += 1
        if any([each.on_epoch(model, history) for each in callbacks]) or is_over:
            break
    return history


def _trials():
    """Return the module of trials, set to detect dead processes after a second."""
    import optuna

    from rnn4music.tuning import results, trials

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    warnings.simplefilter("ignore")  # Optuna's, of short intervals and experimental features
    trials.HEARTBEAT, trials.GRACE = 1, 1
    trials.JournalFileOpenLock.__init__.__defaults__ = (1,)
    rolls = {"train": [np.ones((9, 88))], "validation": [np.ones((4, 88))]}
    experiment_music.read_music = lambda data, settings, model: SimpleNamespace(parts=rolls)
    experiment_run.new_model = QuickModel
    experiment_run.learn = learn
    results.write_plots = lambda folder, study: []
    return trials


def _finished(storage):
    """Return the finished trials of a storage: dict of number to its results."""
    trials = _trials()
    return {
        trial.number: (trial.state.name, trial.value, dict(trial.params), trial.user_attrs["seed"])
        for trial in trials.open_study(storage).get_trials(deepcopy=False, states=trials.FINISHED)
    }


def _search(say, output, storage):
    _trials()
    result = tuning.search(SPACE, "music", TRIALS, output, storage=storage, progress=False, seed=1)
    say(f"{result.best['number']} {result.settings['learning_rates'][0]!r}")


def searches(rounds, rng, folder):
    """One or two searches that share a storage, killed until enough trials are finished."""
    counts, number = Counts(), 0
    while counts["kills"] < rounds:
        number += 1
        outputs = [folder / f"{number}{letter}" for letter in "ab"]
        file = folder / (f"{number}.journal" if number % 2 else f"{number}.db")
        storage = str(file) if number % 2 else f"sqlite:///{file}"
        before, found, patience = {}, None, 2

        while found is None:
            patience *= 1.1  # or all time is spent waiting for locks of dead processes
            children = [
                Child(functools.partial(_search, output=output, storage=storage))
                for output in outputs[: rng.integers(1, 3)]
            ]
            for child in children:
                ended = child.wait(rng.uniform(0, patience))
                counts["kills"] += not ended
                if child.failed:
                    counts.violation("a search did not continue")
                    return counts
                found = child.said[-1].split() if ended else found
            if file.exists() and file.stat().st_size:
                try:
                    now = _finished(storage)
                except ValueError as error:
                    if before or not isinstance(error.__cause__, KeyError):
                        counts.violation(f"a storage after a kill: {error}")
                        return counts
                    now = {}  # killed before it had the study
                if any(now.get(n) != trial for n, trial in before.items()):
                    counts.violation("a finished trial is lost")
                before = now
        trials = _finished(storage)
        counts["searches finished"] += 1
        if not TRIALS <= len(trials) <= TRIALS + 1:
            counts.violation(f"{len(trials)} trials are finished")
        best = min((value, n) for n, (state, value, *_) in trials.items() if state == "COMPLETE")[1]
        if [str(best), repr(trials[best][2]["learning_rates"])] != found:
            counts.violation(f"the best is {best}, not {found}")
    return counts


def search_storage(rounds, rng, folder):
    """A search's storage, damaged: it is refused with a clear error, or Optuna can read it."""
    trials, counts = _trials(), Counts()
    wholes = {}
    for name in ("search.journal", "search.db"):
        storage = str(folder / name) if name.endswith("journal") else f"sqlite:///{folder / name}"
        study = trials.open_study(storage, {"seed": "1"})
        for k in range(5):
            trial = study.ask()
            trial.set_user_attr("seed", k)
            study.tell(trial, trial.suggest_float("learning_rates", 1e-4, 1e-1))
        wholes[storage] = trials.storage_file(storage).read_bytes()
    for number in range(rounds):
        storage = list(wholes)[number % 2]
        what, content = damaged(rng, wholes[storage])
        trials.storage_file(storage).write_bytes(content)
        counts["damaged"] += 1
        try:
            trials.open_study(storage, {"seed": None}).get_trials(deepcopy=False)
            counts["read"] += 1
        except ValueError:
            counts["refused"] += 1
        except Exception as error:
            counts.violation(f"{trials.storage_file(storage).name} with {what}: {error!r}")
    return counts
