"""A search: who runs its trials, and where: this process, others of this machine, or Dask."""

import contextlib
import functools
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from tqdm import tqdm

from midi.files import opened
from rnn4music._utils import checks
from rnn4music._utils.console import STDERR, log
from rnn4music._utils.processes import share_of_cores
from rnn4music.data.store import RollStore, is_store
from rnn4music.distributed.cluster import SECONDS_TO_BEGIN, ClusterLost, addresses, connected
from rnn4music.saving import model_file
from rnn4music.training import checkpoints
from rnn4music.tuning import results
from rnn4music.tuning.space import read
from rnn4music.tuning.trials import (
    FINISHED,
    MAX_RETRIES,
    POLL,
    SECONDS_TO_END,
    STUDY,
    Job,
    Runner,
    open_study,
    quiet,
    read_music,
    shown,
    sqlite_url,
    storage_file,
)

_WORK = "from rnn4music.tuning.trials import work; work()"


class Found(NamedTuple):
    """Results of a search."""

    trials: list  # of dict; see `results`
    best: dict | None  # of them
    settings: dict | None  # of the best, for `train`
    text: str  # the best ten as a table
    plots: list  # of their paths
    interrupted: bool  # by Ctrl-C


def search(
    space,
    data=None,
    trials=20,
    output="search",
    *,
    storage=None,
    workers=1,
    cluster=None,
    seed=None,
    progress=True,
):
    """Try settings until a number of trials is finished, and write what was found.

    The same call again, after any interruption, goes on; so do calls on other machines that
    have the storage, at the same time.

    Parameters
    ----------
    space : path or dict
        A TOML file as for `train`, or its content; see `space`.
    data : path, optional
        Music to learn from, as for `train`; None if the space has it.
    trials : int
        Number of finished trials to reach: complete, pruned, or diverged. Those of earlier calls
        and of other machines count.
    output : path
        A folder for ``trials.csv``, ``best.toml``, the plots and the storage; made if missing.
    storage : path or str, optional
        Optuna's storage, instead of the SQLite file ``search.db`` in that folder: the URL of a
        database, or the path of a journal, for machines that share a folder. A journal does not
        notice dead processes: their trials are not run again, others take their place, and each
        process that shares it may finish one trial too many.
    workers : int
        Number of processes, each bound to its share of the cores. One is this process.
    cluster : int, str, distributed.Client or a cluster of Dask's, optional
        Run each trial on a worker of Dask's instead; see `cluster.connected`. The workers need
        the storage and the music under the same names.
    seed : int, optional
        Seed of all random numbers. With one worker the same seed makes the same search.
    progress : bool
        Whether to show a progress bar on standard error.

    Returns
    -------
    Found

    Raises
    ------
    FileExistsError
        If a new search would replace files in `output`.
    ImportError
        Without Optuna.
    ValueError
        If something is wrong with the space, the search would write over what it reads, the
        storage is damaged or of another search, or no trial reached its end. An error in a trial,
        but for a training that diverges, ends the search.
    ChildProcessError
        If processes die again and again and no trial is finished.
    """
    source, space = space, read(space)
    data = space.fixed.get("data") if data is None else os.fspath(data)
    if data is None:
        raise ValueError("there is no music to learn from: name a folder, or data= in the file")
    n_trials = checks.integer("trials", trials, low=1)
    n_workers = checks.integer("workers", workers, low=1)
    if cluster is not None and n_workers > 1:
        raise ValueError("give workers or cluster, not both")
    seed = space.fixed.get("seed") if seed is None else checks.integer("seed", seed, low=0)
    folder = Path(output).expanduser()
    start_from = space.fixed.get("start_from")
    if start_from is None and "pitch_range" not in space.fixed and is_store(data):
        space.fixed["pitch_range"] = list(RollStore(data).options["pitch_range"])
    if storage is None:
        storage = sqlite_url(folder.absolute() / "search.db")
    elif "://" not in os.fspath(storage):
        storage = _absolute(storage)
    inputs = [data, source, start_from and model_file.npz_path(start_from)]
    _check_files(folder, storage, [each for each in inputs if isinstance(each, (str, os.PathLike))])
    folder.mkdir(parents=True, exist_ok=True)
    music = read_music(space, data)
    for name in ("cache", "start_from"):  # workers may be in another folder
        if name in space.fixed:
            space.fixed[name] = _absolute(space.fixed[name])
    study = open_study(storage, _about(space, music, seed))
    job = Job(space.content(), _absolute(data), storage, n_trials)
    with quiet(storage):
        interrupted, monitor = False, _Monitor(study, space, job, folder, data, progress)
        try:
            n_workers = min(n_workers, job.n_left(study, FINISHED))
            if cluster is not None and n_workers > 0:
                _on_dask(job, cluster, monitor)
            elif n_workers > 1:
                _in_processes(job, n_workers, monitor)
            else:
                Runner(job, music, monitor).run_all()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            monitor.bar.close()
        rows = monitor()
        results.write_tables(folder, space, rows, data)
        plots = results.write_plots(folder, study)
    best = results.best_of(rows)
    if best is None and not interrupted:
        raise ValueError(
            f"none of {len(rows)} trials reached its end, the last one since it "
            f"{rows[-1]['state']}: {rows[-1]['error']}"
        )
    settings = best and results.best_settings(space, best, data)
    return Found(rows, best, settings, results.table(space, rows), plots, interrupted)


def _check_files(folder, storage, inputs):
    """Raise where a search would write over what it reads, or a new one over what is there."""
    file = storage_file(storage)
    written = [folder / name for name in results.FILES]
    for path in [*written, file] if file else written:
        if any(path.exists() and os.path.exists(each) and path.samefile(each) for each in inputs):
            raise ValueError(
                f"{path} is read, and the search would write over it: give another output folder, "
                "or give the file another name"
            )
    existing = [path for path in written if os.path.lexists(path)]
    # the storage is looked at last: another process may have begun just now
    if existing and not _is_begun(storage):
        raise FileExistsError(
            f"{existing[0]} is there already, and {shown(storage)}, with which a search would go "
            "on, is not: give another output folder, or move the file away"
        )


def _is_begun(storage):
    file = storage_file(storage)
    if file:
        return file.exists()
    with quiet(storage):
        return STUDY in optuna.get_all_study_names(storage)


def _absolute(path):
    return str(Path(path).expanduser().absolute())


def _about(space, music, seed):
    """Return what calls that share a storage have in common: dict of name to text."""
    about = {**space.about(), "seed": None if seed is None else str(seed)}
    if "start_from" in about:
        with opened(model_file.npz_path(space.fixed["start_from"])) as file:
            about["start_from"] = hashlib.sha256(file.read()).hexdigest()
    about["music"] = checkpoints.fingerprint(music.parts["train"])
    return {**about, "held-out music": checkpoints.fingerprint(music.parts["validation"])}


class _Monitor:
    """Keeps the progress bar and the tables up to date, whoever runs the trials."""

    def __init__(self, study, space, job, folder, data, progress):
        self.study, self.space, self.job, self.folder, self.data = study, space, job, folder, data
        self.n_finished, self.reported = 0, set()  # numbers of those that diverged
        self.bar = tqdm(
            total=job.n_trials, desc="search", unit="trial", disable=not progress, file=STDERR
        )
        self(report=False)

    def __call__(self, report=True):
        """Look at the storage; return the rows of `results`."""
        found = self.study.get_trials(deepcopy=False)
        rows = results.rows(self.space, found)
        n_finished = sum(trial.state in FINISHED for trial in found)
        if n_finished != self.n_finished:
            self.n_finished = n_finished
            results.write_tables(self.folder, self.space, rows, self.data)
        for row in rows:
            if row["state"] == "diverged" and row["number"] not in self.reported:
                self.reported.add(row["number"])
                if report:
                    log(f"trial {row['number']} diverged: {row['error']}")
        best = results.best_of(rows)
        shown = {"best": f"{best['value']:.3f}"} if best else {}
        running = [row for row in rows if row["state"] == "running"]
        if running:
            shown["trial:epoch"] = " ".join(f"{row['number']}:{row['epochs']}" for row in running)
        self.bar.n = min(n_finished, self.job.n_trials)
        self.bar.set_postfix(shown)
        return rows


def _in_processes(job, n_workers, monitor):
    """Run trials in processes, each bound to its share of the cores.

    Raises
    ------
    ValueError
        With the sentence of the error that ended one of them.
    ChildProcessError
        If they die and no trial is finished.
    """
    workers = [_start(job, k, n_workers) for k in range(n_workers)]
    n_deaths = n_finished = 0
    try:
        while any(worker.poll() != 0 for worker in workers):
            monitor()
            for k, worker in enumerate(workers):
                status = worker.poll()
                if status == 1:
                    raise ValueError(worker.stdout.read().strip() or "a process of the search died")
                if status:
                    n_deaths = n_deaths + 1 if monitor.n_finished == n_finished else 1
                    n_finished = monitor.n_finished
                    if n_deaths > (MAX_RETRIES + 1) * n_workers:
                        raise ChildProcessError(
                            f"{n_deaths} processes died, and no trial is finished since: is there "
                            "too little memory? Fewer workers, or smaller networks, need less"
                        )
                    log(f"a process ended with status {status}; another takes its place")
                    _end([worker])
                    workers[k] = _start(job, k, n_workers)
            time.sleep(POLL)
    finally:
        _end(workers)


def _start(job, k, n_workers):
    """Start process `k`."""
    worker: Any = subprocess.Popen(
        [sys.executable, "-c", _WORK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is the caller's affair
    )
    with contextlib.suppress(OSError):  # it may be dead
        cores = share_of_cores(k, n_workers)
        if cores is not None:
            os.sched_setaffinity(worker.pid, cores)
        worker.stdin.write(f"{json.dumps(job)}\n")
        worker.stdin.flush()
    return worker


def _end(workers):
    for worker in workers:
        with contextlib.suppress(OSError):
            worker.stdin.close()  # which ends it
    for worker in workers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(SECONDS_TO_END + 5)
        worker.kill()
        worker.wait()
        worker.stdout.close()


def _on_dask(job, cluster, monitor):
    """Run one trial at a time on each worker of Dask's.

    Raises
    ------
    ClusterLost
        If the scheduler is gone, or all workers are and none comes back.
    """
    text, futures, seen = json.dumps(job), {}, time.monotonic()
    client: Any
    with connected(cluster) as client:
        while monitor.n_finished < job.n_trials:
            present = set(addresses(client))
            for address, future in list(futures.items()):
                if address not in present or future.done():
                    del futures[address]
                    if future.status == "error":
                        raise future.exception()
            seen = time.monotonic() if present else seen
            if time.monotonic() - seen > SECONDS_TO_BEGIN:
                raise ClusterLost("all workers are gone; the same search again goes on")
            n_left = job.n_trials - monitor.n_finished - len(futures)
            for address in sorted(present - futures.keys())[: max(n_left, 0)]:
                # pinned: one trial to a process, whatever Dask thinks of its load
                futures[address] = client.submit(_run_one, text, workers=[address], pure=False)
            time.sleep(POLL)
            monitor()


@functools.lru_cache(maxsize=1)
def _runner(text):
    return Runner(Job(*json.loads(text)))


def _run_one(text):
    """Run one trial in a worker of Dask's, which keeps the music for the next."""
    _runner(text).run()
