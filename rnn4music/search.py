"""Searches for good settings, with Optuna: here, in processes of this machine, or on Dask.

>>> from rnn4music import search
>>> found = search.search(                                              # doctest: +SKIP
...     {"epochs": 30, "rate": {"low": 1e-4, "high": 1e-2, "log": True}}, "my music", 20)
>>> found.settings["rate"]                                              # doctest: +SKIP

Conventions
-----------
`search_space` says what is tried, `search_trials` how a trial is run, `search_journal` where all
that is known is kept, `search_results` what is made of it. Here is who runs trials, and where.
"""

import hashlib
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from midi.files import opened
from rnn4music import search_fleets, search_journal, search_results, search_space, search_trials
from rnn4music._utils import checks
from rnn4music.data.store import RollStore, is_store
from rnn4music.saving import model_file
from rnn4music.search_fleets import Watch
from rnn4music.search_results import best_of, best_settings, write_tables
from rnn4music.training import checkpoints


class Found(NamedTuple):
    """What a search has found."""

    trials: list  # of dict; see `search_results`
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
    """Try settings until so many trials are finished, and write what was found.

    The same call again, after any interruption, goes on; so do calls on other machines that
    have the journal, at the same time.

    Parameters
    ----------
    space : path or dict
        A TOML file as for `train`, or its content; see `search_space`.
    data : path, optional
        What is learned from, as for `train`; None if the space has it.
    trials : int
        How many trials are to be finished in the end, those of earlier calls and of other
        machines included: complete, pruned, or diverged.
    output : path
        A folder for ``trials.csv``, ``best.toml``, the plots and the journal; made if missing.
    storage : path, optional
        The journal, if it is not to be ``search.journal`` in that folder: a file that other
        machines have too.
    workers : int
        Processes, each bound to its share of the cores. One is this process.
    cluster : int, str, distributed.Client or a cluster of Dask's, optional
        Run each trial on a worker of Dask's instead; see `cluster.connected`. The workers need
        the journal and the music under the same names.
    seed : int, optional
        Of all that is random. With one worker the same seed makes the same search.
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
        journal is damaged or of another search, or no trial reached its end. An error in a trial,
        but for a training that diverges, ends the search.
    """
    try:
        import optuna
    except ImportError:
        raise ImportError(
            "a search needs Optuna; run: python -m pip install 'rnn4music[search]'"
        ) from None
    source, space = space, search_space.read(space)
    data = space.fixed.get("data") if data is None else os.fspath(data)
    if data is None:
        raise ValueError("there is no music to learn from: name a folder, or data= in the file")
    n_trials = checks.integer("trials", trials, low=1)
    n_workers = checks.integer("workers", workers, low=1)
    if cluster is not None and n_workers > 1:
        raise ValueError("give workers or cluster, not both")
    seed = space.fixed.get("seed") if seed is None else checks.integer("seed", seed, low=0)

    folder = Path(output).expanduser()
    journal = Path(storage or folder / "search.journal").expanduser().absolute()
    start_from = space.fixed.get("start_from")
    if start_from is None and "pitch_range" not in space.fixed and is_store(data):
        space.fixed["pitch_range"] = list(RollStore(data).options["pitch_range"])
    inputs = [data, source, start_from and model_file.npz_path(start_from)]
    _check_files(folder, journal, [each for each in inputs if isinstance(each, (str, os.PathLike))])
    folder.mkdir(parents=True, exist_ok=True)
    music = search_trials.read_music(space, data)
    for name in ("cache", "start_from"):  # workers may be in another folder
        if name in space.fixed:
            space.fixed[name] = _absolute(space.fixed[name])
    job = search_trials.Job(
        space.content(), _absolute(data), str(journal), n_trials, secrets.token_hex(8)
    )
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = search_journal.open_study(journal, _about(space, music, seed))
        watch = Watch(study, job, lambda found: write_tables(folder, space, found, data), progress)
        with watch:
            if cluster is not None:
                search_fleets.on_dask(job, cluster, watch)
            elif n_workers > 1:
                search_fleets.in_processes(job, n_workers, watch)
            else:
                search_fleets.here(job, music, watch)
        found = search_results.rows(space, watch.look())
        write_tables(folder, space, found, data)
        plots = search_results.write_plots(folder, study)
    finally:
        optuna.logging.set_verbosity(verbosity)
    best = best_of(found)
    if best is None and not watch.interrupted:
        raise ValueError(
            f"none of {len(found)} trials reached its end, the last one since it "
            f"{found[-1]['state']}: {found[-1]['error']}"
        )
    settings = best and best_settings(space, best, data)
    text = search_results.table(space, found)
    return Found(found, best, settings, text, plots, watch.interrupted)


def _check_files(folder, journal, inputs):
    """Raise where a search would write over what it reads, or a new one over what is there."""
    written = [folder / name for name in search_results.FILES]
    for path in [*written, journal]:
        if any(path.exists() and os.path.exists(each) and path.samefile(each) for each in inputs):
            raise ValueError(
                f"{path} is read, and the search would write over it: give another output folder, "
                "or give the file another name"
            )
    there = [path for path in written if os.path.lexists(path)]
    if there and not journal.exists():  # asked last: another process may have begun just now
        raise FileExistsError(
            f"{there[0]} is there already, and {journal}, with which a search would go on, is not: "
            "give another output folder, or move the file away"
        )


def _absolute(path):
    return str(Path(path).expanduser().absolute())


def _about(space, music, seed):
    """Return what calls that share a journal have to have in common."""
    about = {**space.about(), "seed": None if seed is None else str(seed)}
    if "start_from" in about:
        with opened(model_file.npz_path(space.fixed["start_from"])) as file:
            about["start_from"] = hashlib.sha256(file.read()).hexdigest()
    about["music"] = checkpoints.fingerprint(music.parts["train"])
    return {**about, "held-out music": checkpoints.fingerprint(music.parts["validation"])}
