"""Searches, killed; and their journal, damaged."""

import functools
import time
import warnings
from types import SimpleNamespace

import numpy as np

from rnn4music import search, search_journal, search_trials
from rnn4music.training.history import History

from .damage import check
from .rounds import Child, Counts

SPACE = {"epochs": 6, "rate": {"low": 1e-4, "high": 1e-1, "log": True}}
TRIALS = 12


class QuickModel:
    """In the place of a network: what a trial finds depends on its rate alone."""

    def __init__(self, settings):
        self.badness = abs(np.log10(settings.rate[0]) + 2)


def learn(model, settings, music, progress, callbacks):
    """Follow the callbacks as a training does."""
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


def _without_patience():
    """Take the lock of a dead process after half a second, and let nothing be read or drawn."""
    import optuna.storages.journal as journal

    lock = functools.partial(journal.JournalFileOpenLock, grace_period=0.5)
    journal.JournalFileOpenLock = lock
    rolls = {"train": [np.ones((9, 88))], "validation": [np.ones((4, 88))]}
    search_trials.read_music = lambda space, data: SimpleNamespace(parts=rolls)
    search_trials.commands_learn.new_model = QuickModel
    search_trials.commands_learn.learn = learn
    search.search_results.write_plots = lambda folder, study: []


def _finished(path):
    """Return the finished trials of a journal: dict of number to what is known of it."""
    trials = search_journal.open_study(path).get_trials(deepcopy=False)
    return {
        trial.number: (trial.state.name, trial.value, dict(trial.params), trial.user_attrs["seed"])
        for trial in trials
        if search_trials.is_finished(trial)
    }


def _search(say, output, journal):
    _without_patience()
    warnings.simplefilter("ignore")  # Optuna's, of a short patience
    result = search.search(SPACE, "music", TRIALS, output, storage=journal, progress=False, seed=1)
    say(f"{result.best['number']} {result.settings['rate'][0]!r}")


def searches(rounds, rng, folder):
    """One or two searches with one journal, killed until enough trials are finished."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    counts, number = Counts(), 0
    while counts["kills"] < rounds:
        number += 1
        outputs = [folder / f"{number}{letter}" for letter in "ab"]
        journal, before, found, patience = folder / f"{number}.journal", {}, None, 1

        while found is None:
            patience *= 1.1  # or all the time goes by waiting for locks of dead processes
            children = [
                Child(functools.partial(_search, output=output, journal=journal))
                for output in outputs[: rng.integers(1, 3)]
            ]
            for child in children:
                ended = child.wait(rng.uniform(0, patience))
                counts["kills"] += not ended
                if child.failed:
                    counts.violation("a search did not go on")
                    return counts
                found = child.said[-1].split() if ended else found
            if journal.exists() and journal.stat().st_size:
                try:
                    now = _finished(journal)
                except KeyError:  # killed before it had the study
                    now = {}
                except ValueError as error:
                    counts.violation(f"a journal after a kill: {error}")
                    return counts
                if any(now.get(n) != trial for n, trial in before.items()):
                    counts.violation("a finished trial is lost")
                before = now
        trials = _finished(journal)
        counts["searches finished"] += 1
        if not TRIALS <= len(trials) <= TRIALS + 1:
            counts.violation(f"{len(trials)} trials are finished")
        best = min((value, n) for n, (state, value, *_) in trials.items() if state == "COMPLETE")[1]
        if [str(best), repr(trials[best][2]["rate"])] != found:
            counts.violation(f"the best is {best}, not {found}")
    return counts


def journal(rounds, rng, folder):
    """A journal, damaged: it is refused, or only the line goes that was written last."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = folder / "search.journal"
    study = search_journal.open_study(path, {"seed": 1})
    for k in range(20):
        trial = study.ask()
        trial.set_user_attr("seed", k)
        study.tell(trial, trial.suggest_float("rate", 1e-4, 1e-1))
    lines = path.read_bytes().splitlines(keepends=True)
    expected = {}  # of each state that the journal was in when a line had been written

    def read(path):
        content = path.read_bytes()
        n_whole = content[: content.rfind(b"\n") + 1].count(b"\n")
        found = list(search_journal.Journal(path).read_logs(0))
        whole = b"".join(lines[:n_whole])
        if n_whole < len(lines) and content.startswith(whole) and len(found) == n_whole:
            return expected["whole"]  # the end of a torn journal may go
        return found

    expected["whole"] = read(path)
    return check(rounds, rng, path, read, (ValueError,), "journal")
