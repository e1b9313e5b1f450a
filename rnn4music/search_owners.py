"""Who runs a trial of a search, and what becomes of it when its process is gone.

Conventions
-----------
All that processes know of each other stands in the journal: ``owner`` (see `owner`), ``pulse``
(grows as long as the process lives) and ``deaths`` (of processes, in this trial) are user
attributes of a trial. One that is given back has failed, and its parameters are enqueued.
"""

import contextlib
import functools
import os
import platform
import threading
import time
from pathlib import Path

from rnn4music import search_journal

PULSE, LOST = 60, 180
"""Seconds between two signs of life in the journal; without any, until a trial counts as lost."""

MOST_DEATHS = 3
"""So often a trial may take its process with it."""


def running(trials):
    """Return those of the trials that run, or ran when their process ended."""
    return [trial for trial in trials if trial.state.name == "RUNNING"]


@contextlib.contextmanager
def pulse(trial):
    """Leave signs of life of a trial in the journal."""
    ended = threading.Event()

    def beat():
        n = 0
        while not ended.wait(PULSE):
            n += 1
            try:
                trial.set_user_attr("pulse", n)
            except OSError:  # it may come back
                continue
            except (RuntimeError, ValueError):  # taken from us, or damaged: training will notice
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def owner():
    """Return what tells this process from all others."""
    pid = os.getpid()
    return {"host": platform.node(), "machine": _machine(), "pid": pid, "begun": _begun(pid)}


@functools.lru_cache(maxsize=1)
def _machine():
    """Return a text for this boot of this machine and its process numbers; None but on Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _begun(pid):
    """Return when a process of this machine began, in ticks; None if it is gone."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])


class Lost:
    """Finds the trials whose process is gone.

    Of processes of this machine the system tells; of others the journal, in which each has to
    leave a sign of life every now and then.
    """

    def __init__(self):
        self._seen = {}  # number of a trial to the last sign of life, and when it was seen

    def among(self, trials):
        """Return the numbers of those."""
        now, lost = time.monotonic(), []
        for trial in running(trials):
            owner = trial.user_attrs.get("owner", {})
            if owner.get("machine") and owner["machine"] == _machine():
                if _begun(owner["pid"]) != owner["begun"]:
                    lost.append(trial.number)
                continue
            sign = trial.user_attrs.get("pulse"), len(trial.intermediate_values)
            before, when = self._seen.setdefault(trial.number, (sign, now))
            if sign != before:
                self._seen[trial.number] = sign, now
            elif now - when > LOST:
                lost.append(trial.number)
        return lost


def give_back(study, journal, number, died=False):
    """End a running trial in the place of its process, and enqueue its parameters for another.

    Parameters
    ----------
    study : optuna.Study
    journal : pathlib.Path
    number : int
    died : bool
        Whether its process died in it, which may be its own doing: not more than `MOST_DEATHS`
        times.

    Returns
    -------
    str or None
        What is to tell: None where it had come to an end meanwhile.
    """
    from optuna.trial import TrialState

    with search_journal.alone(journal):
        trial = study.get_trials(deepcopy=False)[number]
        if trial.state.name != "RUNNING":
            return None
        deaths = trial.user_attrs.get("deaths", 0) + died
        host = trial.user_attrs.get("owner", {}).get("host", "a machine unknown")
        try:
            study.tell(number, state=TrialState.FAIL)
        except (ValueError, RuntimeError):  # it came to its end just now
            return None
        if deaths >= MOST_DEATHS:
            return f"trial {number} is given up: its process died {deaths} times, now on {host}"
        if trial.params:
            kept = {"deaths": deaths, "seed": trial.user_attrs.get("seed")}
            study.enqueue_trial(
                trial.params, {name: each for name, each in kept.items() if each is not None}
            )
    return f"trial {number}, begun on {host}, is given back" + ": its process is gone" * died
