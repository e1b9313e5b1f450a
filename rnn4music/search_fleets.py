"""Who runs the trials of a search: this process, others of this machine, or workers of Dask's.

Conventions
-----------
A `Watch` looks at the journal every now and then, whoever writes it. Processes and workers that
die are replaced, and their trials given back; each runs one trial at a time.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from rnn4music import search_results, search_space
from rnn4music._utils.console import STDERR, log
from rnn4music._utils.processes import share_of_cores
from rnn4music.distributed.cluster import SECONDS_TO_BEGIN, ClusterLost, addresses, connected
from rnn4music.search_owners import MOST_DEATHS, Lost, give_back, running
from rnn4music.search_trials import ENOUGH, WAIT, Runner, is_finished, run_on_dask
from rnn4music.search_worker import POLL

_SECONDS_TO_END = 20
"""So long a worker has to end its update and give its trial back."""


class Watch:
    """What is seen of a search while it goes on; as a context, what is left at its end.

    Parameters
    ----------
    study : optuna.Study
    job : search_trials.Job
    write : callable
        Called with the rows of `search_results` when another trial is finished.
    progress : bool
        Whether to show a progress bar on standard error.

    Attributes
    ----------
    interrupted : bool
        Whether Ctrl-C ended it.
    """

    def __init__(self, study, job, write, progress):
        self.study, self.job, self.write = study, job, write
        self.journal = Path(job.journal)
        self.space = search_space.read(job.space)
        self.interrupted = False
        self._lost, self._told = Lost(), set()  # numbers of those that diverged
        self._n_finished, self._deaths, self._replaced = None, 0, 0
        self._bar = tqdm(
            total=job.n_trials, desc="search", unit="trial", disable=not progress, file=STDERR
        )

    def __enter__(self):
        rows = search_results.rows(self.space, self.study.get_trials(deepcopy=False))
        self._told = {row["number"] for row in rows if row["state"] == "diverged"}
        self.look()
        return self

    def __exit__(self, kind, error, traceback):
        """Give our trials back; Ctrl-C is no error."""
        self._bar.close()
        self.interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        for trial in running(self.study.get_trials(deepcopy=False)):
            if self._is_ours(trial):
                give_back(self.study, self.journal, trial.number)
        return self.interrupted

    def look(self, workers=None):
        """Give back what is lost, write what is new; return the trials.

        Parameters
        ----------
        workers : set of str, optional
            The names of Dask's workers that are there.

        Raises
        ------
        ChildProcessError
            If processes die and no trial is finished.
        """
        trials = self.study.get_trials(deepcopy=False)
        lost = set(self._lost.among(trials))
        if workers is not None:
            ours = filter(self._is_ours, running(trials))
            lost |= {t.number for t in ours if t.user_attrs["owner"]["worker"] not in workers}
        for number in sorted(lost):
            text = give_back(self.study, self.journal, number, died=True)
            if text:
                log(text)
                self._deaths += self._is_ours(trials[number])
        n_finished = sum(map(is_finished, trials))
        if n_finished != self._n_finished:
            self._n_finished, self._deaths, self._replaced = n_finished, 0, 0
            self._tell_of(trials)
        _check_deaths(self._deaths, MOST_DEATHS)
        self._show(trials)
        return trials

    def replace(self, n_workers):
        """Count a process whose place another takes, whether or not it had begun a trial.

        Raises
        ------
        ChildProcessError
            If that goes on and no trial is finished.
        """
        self._replaced += 1
        _check_deaths(self._replaced, MOST_DEATHS * n_workers)

    def is_over(self, trials):
        """Return whether enough trials are finished."""
        return sum(map(is_finished, trials)) >= self.job.n_trials

    def has_more(self, trials):
        """Return whether there is a trial to begin."""
        return sum(map(is_finished, trials)) + len(running(trials)) < self.job.n_trials

    def _is_ours(self, trial):
        return trial.user_attrs.get("owner", {}).get("search") == self.job.search

    def _tell_of(self, trials):
        found = search_results.rows(self.space, trials)
        self.write(found)
        for row in found:
            if row["state"] == "diverged" and row["number"] not in self._told:
                self._told.add(row["number"])
                log(f"trial {row['number']} diverged: {row['error']}")

    def _show(self, trials):
        best = search_results.best_of(search_results.rows(self.space, trials))
        shown = {} if best is None else {"best": f"{best['value']:.3f}"}
        now = [f"{trial.number}:{trial.last_step or 0}" for trial in running(trials)]
        if now:
            shown["trial:epoch"] = " ".join(now)
        self._bar.n = min(self._n_finished or 0, self.job.n_trials)
        self._bar.set_postfix(shown)


def _check_deaths(n_deaths, most):
    if n_deaths > most:
        raise ChildProcessError(
            f"{n_deaths} processes died, and no trial is finished since: is there too little "
            "memory? Fewer workers at once, or smaller networks, need less"
        )


def here(job, music, watch):
    """Run trials in this process."""
    runner = Runner(job, music)
    while True:
        outcome = runner.run(look=watch.look)
        watch.look()
        if outcome == ENOUGH:
            return
        if outcome == WAIT:
            time.sleep(POLL)


def in_processes(job, n_workers, watch):
    """Run trials in so many processes, each bound to its share of the cores.

    Raises
    ------
    ValueError
        With the sentence of the error that ended one of them.
    ChildProcessError
        If they die and no trial is finished.
    """
    with tempfile.TemporaryDirectory(prefix="rnn4music-") as folder:
        logs = [Path(folder) / f"{k}.log" for k in range(n_workers)]
        workers = [_start(job, k, n_workers, log) for k, log in enumerate(logs)]
        try:
            while not watch.is_over(watch.look()):
                for k, worker in enumerate(workers):
                    status = worker.poll()
                    if status == 1:
                        said = worker.stdout.read().strip()
                        raise ValueError(said or logs[k].read_text(errors="replace")[-1000:])
                    if status:
                        watch.replace(n_workers)
                        log(f"a process ended with status {status}; another takes its place")
                        workers[k] = _start(job, k, n_workers, logs[k])
                time.sleep(POLL)
        finally:
            for worker in workers:
                with contextlib.suppress(OSError):
                    worker.stdin.close()  # which tells it to end
            for worker in workers:
                try:
                    worker.wait(_SECONDS_TO_END)
                except subprocess.TimeoutExpired:
                    worker.kill()
                    worker.wait()
                worker.stdout.close()


def _start(job, k, n_workers, log):
    """Start process `k`."""
    cores = share_of_cores(k, n_workers)
    with open(log, "ab") as file:
        worker: Any = subprocess.Popen(
            [sys.executable, "-m", "rnn4music.search_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,  # Ctrl-C is the caller's affair
        )
    with contextlib.suppress(OSError):  # it may be dead
        worker.stdin.write(json.dumps({**job._asdict(), "cores": cores}) + "\n")
        worker.stdin.flush()
    return worker


def on_dask(job, cluster, watch):
    """Run each trial on a worker of Dask's.

    Raises
    ------
    ClusterLost
        If the scheduler is gone, or all workers are and none comes back.
    """
    text, futures, seen = json.dumps(job._asdict()), {}, time.monotonic()
    client: Any
    with connected(cluster) as client:
        while True:
            there = _addresses(client)
            trials = watch.look(there)
            if watch.is_over(trials):
                return
            for address, future in list(futures.items()):
                if address not in there or future.done():
                    del futures[address]
                    if future.status == "error":
                        raise future.exception()
                    future.cancel()
            seen = time.monotonic() if there else seen
            if time.monotonic() - seen > SECONDS_TO_BEGIN:
                raise ClusterLost("all workers are gone; the same search again goes on")
            for address in there - futures.keys():
                if watch.has_more(trials):
                    # to one process one trial: pinned, whatever Dask thinks of its load
                    futures[address] = client.submit(
                        run_on_dask, text, workers=[address], pure=False
                    )
            time.sleep(POLL)


def _addresses(client):
    """Return the addresses of all workers, or say how a search goes on without a scheduler."""
    try:
        return set(addresses(client))
    except ClusterLost as error:
        raise ClusterLost(
            "the scheduler is gone; what is finished is kept, and the same search goes on with it"
        ) from error
