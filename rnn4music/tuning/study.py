"""Search over settings: trials run in this process, in others of this machine, or on Dask."""

import concurrent.futures
import contextlib
import functools
import hashlib
import itertools
import json
import os
from typing import NamedTuple

import sqlalchemy
from optuna.distributions import distribution_to_json

from midi.files import expanded
from rnn4music._utils import checks
from rnn4music._utils.console import Bar
from rnn4music._utils.processes import can_start_processes, in_processes, share_of_cores
from rnn4music.distributed.cluster import connected, in_cluster
from rnn4music.evaluation import scores
from rnn4music.evaluation.baselines import markov_probabilities
from rnn4music.experiment.inputs import check_outputs, files_of
from rnn4music.saving.model_file import npz_path
from rnn4music.training import checkpoints
from rnn4music.training.history import warn_of_baseline
from rnn4music.tuning import results
from rnn4music.tuning.space import FILES, read
from rnn4music.tuning.trials import (
    Job,
    open_study,
    quiet,
    read_music,
    run_elsewhere,
    run_trial,
    shown,
    storage_file,
)


class Found(NamedTuple):
    """Results of a search."""

    trials: list  # of dict; see `results`
    best: dict | None  # one of `trials`
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
    """Try settings until a number of trials is finished, and write the results.

    After any interruption the same call continues the search. Calls on other machines with the
    same storage take part in it at the same time.

    Parameters
    ----------
    space : path or dict
        A TOML file as for `train`, or its content; see `space`.
    data : path, optional
        Music to learn from, as for `train`; None if the space names it.
    trials : int
        Number of finished trials to reach: complete, pruned, or diverged. It includes those of
        earlier calls and other machines. Each process of another machine may finish one more.
    output : path
        A folder for ``trials.csv``, ``best.toml``, the plots and the storage; made if missing.
    storage : path or str, optional
        Optuna's storage, instead of the SQLite file ``search.db`` in that folder: the URL of a
        database, or the path of a journal, for machines that share a folder. A journal does not
        detect dead processes: their trials are replaced by others instead of being run again.
    workers : int
        Number of processes, each bound to its share of the cores. One is this process.
    cluster : str, distributed.Client or Dask cluster, optional
        Run each trial on a Dask worker instead; see `cluster.connected`. The workers need the
        storage and the music under the same names.
    seed : int, optional
        Seed of all random numbers. With one worker the same seed gives the same search.
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
        If the space is invalid, the search would overwrite a file that it reads, the storage is
        damaged or of another search, or no trial was completed. An error in a trial, other than
        a training that diverges, ends the search.
    ChildProcessError
        If one of the local processes died.
    """
    source, space = space, read(space)
    if data is not None:
        space.fixed["data"] = os.fspath(data)
    if "data" not in space.fixed:
        raise ValueError(
            "there is no music to learn from: give a folder of music, or data = … in the file"
        )
    n_trials = checks.integer("trials", trials, low=1)
    n_workers = checks.integer("workers", workers, low=1)
    if cluster is not None and n_workers > 1:
        raise ValueError("give workers or cluster, not both")
    seed = space.fixed.get("seed") if seed is None else checks.integer("seed", seed, low=0)
    for name in space.fixed.keys() & {"data", "cache", "start_from"}:  # workers may be elsewhere
        space.fixed[name] = _absolute(space.fixed[name])
    folder = expanded(output)
    folder.mkdir(parents=True, exist_ok=True)
    if storage is None:
        url = sqlalchemy.URL.create("sqlite", database=_absolute(folder / "search.db"))
        storage = url.render_as_string()
    elif "://" not in os.fspath(storage):
        storage = _absolute(storage)
    written, file = [folder / name for name in results.FILES], storage_file(storage)
    read_files = [] if isinstance(source, dict) else [source]
    if "start_from" in space.fixed:
        read_files.append(npz_path(space.fixed["start_from"]))
    outputs = [*written, file] if file else written
    check_outputs(outputs, itertools.chain(read_files, files_of(space.fixed["data"])))
    music = read_music(space)
    description = _about(space, music, seed)
    study, job = open_study(storage, description), Job(space, storage, n_trials, description)
    with quiet(storage):
        existing = [path for path in written if os.path.lexists(path)]
        if existing and not study.get_trials(deepcopy=False):
            raise FileExistsError(
                f"{existing[0]} already exists, and {shown(storage)} has no trials to continue: "
                "choose another output folder, or move the file away"
            )
        interrupted = _run(study, job, folder, music, n_workers, cluster, progress)
        rows = results.rows(space, study.get_trials(deepcopy=False))
        results.write_tables(folder, space, rows)
        plots = results.write_plots(folder, study)
    best = results.best_of(rows)
    if best is None and not interrupted:
        raise ValueError(
            f"none of {len(rows)} trials was completed; the last one is {rows[-1]['state']}: "
            f"{rows[-1]['error']}"
        )
    baseline = scores.score(markov_probabilities(music.parts["train"]), music.parts["validation"])
    if best and best["value"] > baseline:
        warn_of_baseline(best["value"], baseline, stacklevel=3)
    settings = best and results.best_settings(space, best)
    return Found(rows, best, settings, results.table(space, rows), plots, interrupted)


def _absolute(path):
    return str(expanded(path).absolute())


def _about(space, music, seed):
    """Return everything that scores depend on, and the seed: dict of name to text."""
    ignored = {*FILES, "data", "cache", "threshold"}
    description = {
        name: json.dumps(each) for name, each in space.fixed.items() if name not in ignored
    }
    description |= {name: distribution_to_json(each) for name, each in space.searched.items()}
    if "start_from" in description:
        model = npz_path(space.fixed["start_from"]).read_bytes()
        description["start_from"] = hashlib.sha256(model).hexdigest()
    return {
        **description,
        "seed": None if seed is None else str(seed),
        "music": checkpoints.fingerprint(music.parts["train"]),
        "held-out music": checkpoints.fingerprint(music.parts["validation"]),
    }


def _run(study, job, folder, music, n_workers, cluster, progress):
    """Run trials until enough are finished; return whether Ctrl-C ended them before."""
    bar = Bar(total=job.n_trials, desc="search", unit="trial", disable=not progress, share=0)

    def show():
        rows = results.rows(job.space, study.get_trials(deepcopy=False))
        best = results.best_of(rows)
        running = [f"{row['number']}:{row['epochs']}" for row in rows if row["state"] == "running"]
        shown = {"best": best and f"{best['value']:.3f}", "trial:epoch": " ".join(running)}
        bar.n = min(job.n_trials - job.n_left(study), job.n_trials)
        bar.set_postfix({name: text for name, text in shown.items() if text})
        return rows

    with bar:
        try:
            while (n_left := job.n_left(study)) > 0:
                trials = _trials(job, n_left, n_workers, cluster, (study, music, show))
                with contextlib.closing(trials):
                    for _ in trials:
                        results.write_tables(folder, job.space, show())
        except KeyboardInterrupt:
            return True
    return False


def _trials(job, n_trials, n_workers, cluster, here):
    """Run trials on Dask, in processes, or `here`; yield after each."""
    n_workers = min(n_workers, n_trials)
    if cluster is not None:
        with connected(cluster) as client:
            yield from in_cluster(client, run_elsewhere, [job] * n_trials)
    elif n_workers > 1 and can_start_processes():
        shares = [share_of_cores(k, n_workers) for k in range(n_workers)]
        run = functools.partial(run_elsewhere, shares=shares if all(shares) else None)
        try:
            yield from in_processes(run, [job] * n_trials, n_workers)
        except concurrent.futures.BrokenExecutor as error:
            raise ChildProcessError(
                "a process of the search died, perhaps for lack of memory: fewer workers or "
                "smaller networks need less. The same search continues where it stopped"
            ) from error
    else:
        for _ in range(n_trials):
            yield run_trial(job, *here)
