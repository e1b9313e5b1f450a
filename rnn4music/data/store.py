"""Large collections of MIDI files: converted once to a store of piano rolls, and learned from.

>>> from rnn4music.data import RollStore, convert
>>> store = convert("my collection", "my rolls", workers=8)    # doctest: +SKIP
>>> train, validation, test = RollStore("my rolls").split()    # doctest: +SKIP
>>> model.train(train, 1, 30, 64, 100, windows="random")       # doctest: +SKIP

Conventions
-----------
What a store is on disk is said in `rnn4music.data.stored_rolls`. A conversion may be stopped at any
time, also by SIGKILL: what is there is whole, and the next goes on with it. Several may work on
the same folder at once.
"""

import asyncio
import concurrent.futures
import contextlib
import hashlib
import os
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from midi.reading import checked_flag
from rnn4music._utils import version
from rnn4music._utils.console import SCREEN
from rnn4music._utils.processes import in_processes
from rnn4music.data import shards
from rnn4music.data.dataset import (
    MOST_CELLS,
    Reading,
    find_files,
    forget_zips,
    n_workers,
    read_file,
)
from rnn4music.data.roll_cache import Tune
from rnn4music.data.shards import StoreError
from rnn4music.data.stored_rolls import (
    MANIFEST,
    SHARDS,
    RollStore,
    is_store,
    read_manifest,
    shard_path,
    write_manifest,
)
from rnn4music.distributed.cluster import SECONDS_TO_BEGIN, ClusterLost, addresses, connected

__all__ = ["RollStore", "StoreError", "convert", "is_store"]

FILES_OF_A_SHARD = 256
_SECONDS_TO_LOOK = 2  # for results, before it is asked whether there are workers


def convert(
    source,
    folder,
    pitch_range=(21, 109),
    time_step=None,
    *,
    steps_per_beat=None,
    tempo=None,
    sustain=False,
    drums=False,
    keep_short=False,
    to_c=False,
    strict=False,
    most_cells=MOST_CELLS,
    workers=None,
    cluster=None,
    progress=True,
):
    """Convert MIDI files to a store of piano rolls, or what is missing of it.

    Parameters
    ----------
    source : path or list of paths
        As for `datasets.load_midi`; so are the options from `pitch_range` to `most_cells`.
    folder : path
        Made if it is not there. A store that was not finished, or is damaged, must be of the same
        files and options; what is whole of it is kept.
    workers : int
        Processes on this machine; by default one, and as many as there are cores from 16 MiB on.
    cluster : int, str, distributed.Client or a cluster of Dask's, optional
        Convert on these workers instead; see `cluster.connected`. All machines need `source` and
        `folder` under the same paths: a shared file system.
    progress : bool
        Show a progress bar.

    Returns
    -------
    RollStore

    Raises
    ------
    FileNotFoundError
        If there is no such source, or no MIDI file in it.
    ValueError
        If the folder holds something else, or a store of other files or options: nothing of it
        is changed. Also if no file can be used; the message has the reasons.
    OSError
        If a file cannot be written, or a process or the cluster is lost. What is done is kept.

    Warns
    -----
    DatasetWarning
        With a table, if files were left out or read in part.
    """
    reading = Reading.checked(
        pitch_range, time_step, steps_per_beat, tempo, sustain, drums, keep_short, to_c, strict,
        most_cells,
    )  # fmt: skip
    progress = checked_flag("progress", progress)
    if workers is not None and cluster is not None:
        raise ValueError(f"give workers={workers} or cluster={cluster!r}, not both")
    if not os.fspath(folder):
        raise ValueError('the folder of the store is ""; give a name')
    folder = Path(folder).expanduser().absolute()
    # from the root, since each process may work in a folder of its own
    files = [file._replace(path=os.path.abspath(file.path)) for file in find_files(source)]
    workers = n_workers(workers, files)
    manifest, jobs = _planned(folder, files, reading)
    with contextlib.ExitStack() as at_the_end:
        client = at_the_end.enter_context(connected(cluster))
        _claim(folder, manifest)  # not before: without workers nothing is left behind
        bar = at_the_end.enter_context(
            tqdm(
                desc="converting", total=len(files), unit="file", disable=not progress, file=SCREEN
            )
        )
        made = in_processes(_make, jobs, workers) if client is None else _on_cluster(client, jobs)
        try:
            for number, facts in made:
                manifest["shards"][number] |= facts
                bar.update(len(jobs[number].files))
        except concurrent.futures.BrokenExecutor as error:
            raise OSError(
                "a process that converted was ended from outside, perhaps for want of memory; what "
                "is done is kept: convert again, and it goes on"
            ) from error
    _claim(folder, manifest)
    write_manifest(folder, manifest)
    store = RollStore(folder)
    store.tell(len(files))
    return store


# ---- what there is to do


class _Job(NamedTuple):
    """A shard to make."""

    number: int
    folder: Path
    digest: str
    reading: Reading
    files: list

    @property
    def path(self):
        return shard_path(self.folder, self.number, self.digest)


def _planned(folder, files, reading):
    """Return the manifest of a store that is to be made, and a job for each shard."""
    options, pitch_range, to_c = reading
    about = {
        "pitch_range": list(pitch_range),
        "time_step": None if options.in_beats else float(options.step),
        "steps_per_beat": float(1 / options.step) if options.in_beats else None,
        "tempo": None if options.tempo is None else float(options.tempo),
        **{name: getattr(options, name) for name in ("sustain", "drums", "keep_short")},
        "to_c": to_c,
        **{name: getattr(options, name) for name in ("strict", "most_cells")},
    }
    jobs = []
    for start in range(0, len(files), FILES_OF_A_SHARD):
        of_shard = files[start : start + FILES_OF_A_SHARD]
        what = [(file.name, file.size, file.stamp) for file in of_shard]
        text = repr((shards.FORMAT, version.__version__, reading, what))
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
        jobs.append(_Job(len(jobs), folder, digest, reading, of_shard))
    listed = [{"digest": job.digest, "n_files": len(job.files)} for job in jobs]
    return {"version": version.__version__, "options": about, "shards": listed}, jobs


def _claim(folder, manifest):
    """Make a folder the store that `manifest` tells of, or see that it is; or raise ValueError."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is not a folder; give another name for the store")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        there = read_manifest(folder)
    except (FileNotFoundError, StoreError):  # what shards there are have names of their own
        ours = MANIFEST, SHARDS
        strange = [each.name for each in folder.iterdir() if each.name not in ours]
        strange = [name for name in strange if not name.startswith(".")]  # the system's, or ours
        if strange:
            raise FileExistsError(
                f"{folder} holds something else, such as {min(strange)}; give a new or an empty "
                "folder"
            ) from None
        (folder / SHARDS).mkdir(exist_ok=True)
        write_manifest(folder, manifest)
        return
    remedy = f"convert into another folder, or delete {folder} if the store is not needed"
    old, new = there["options"], manifest["options"]
    different = [f"{key} is {old.get(key)} there and {new[key]} here" for key in new
                 if old.get(key) != new[key]]  # fmt: skip
    if different:
        raise ValueError(f"{folder} is a store of other options: {'; '.join(different)}; {remedy}")
    if there["version"] != manifest["version"]:
        raise ValueError(
            f"{folder} was begun by rnn4music {there['version']}, this is {manifest['version']}: a "
            f"finished store can be used as it is, this version cannot go on with it; {remedy}"
        )
    plans = [[shard["digest"] for shard in each["shards"]] for each in (there, manifest)]
    if plans[0] != plans[1]:
        sizes = [sum(shard["n_files"] for shard in each["shards"]) for each in (there, manifest)]
        raise ValueError(
            f"{folder} is a store of other files ({sizes[0]} there, {sizes[1]} here), or some were "
            f"changed since; {remedy}"
        )
    (folder / SHARDS).mkdir(exist_ok=True)


# ---- doing it, in whatever process


def _make(job):
    """Make a shard, unless it is there and whole; return its number and facts."""
    try:
        index = shards.verify(job.path)
    except StoreError:
        index = None
    if index is None or index.digest != job.digest:
        here = f"on {socket.gethostname()}"
        if not job.path.parent.is_dir():
            raise FileNotFoundError(
                f"there is no folder {job.path.parent} {here}; all machines need the store's "
                "folder under the same path: put it into a shared file system"
            )
        if not any(os.path.lexists(file.path) for file in job.files):
            raise FileNotFoundError(
                f"there is no {job.files[0].path} {here}, nor the other files of the shard; all "
                "machines need the MIDI files under the same path, and until the end"
            )
        low, high = job.reading.pitch_range
        tunes = (_read(job.reading, file) for file in job.files)
        try:
            shards.write(job.path, job.digest, high - low, tunes)
        finally:
            forget_zips()
        index = shards.read_index(job.path)
    tunes = [entry for entry in index.entries if not entry.reason]
    n_steps = sum(entry.n_steps for entry in tunes)
    return job.number, {"crc": index.crc, "n_tunes": len(tunes), "n_steps": n_steps}


def _read(reading, file):
    """Read one file, and see that it is still that of which the shard has its name."""
    tune = read_file(reading, file)
    if not tune.reason and file.member is None:
        with contextlib.suppress(OSError):
            about = os.stat(file.path)
            if (about.st_size, about.st_mtime_ns) == (file.size, file.stamp):
                return tune
        return Tune(file.name, reason="it was changed while files were converted")
    return tune


def _on_cluster(client, jobs):
    """Yield what `_make` returns of each of the jobs, as soon as it is there."""
    import distributed

    futures = [client.submit(_make, job, pure=False) for job in jobs]
    try:
        pending, seen = futures, time.monotonic()
        while pending:
            try:
                state: Any = distributed.wait(
                    pending, timeout=_SECONDS_TO_LOOK, return_when="FIRST_COMPLETED"
                )
                done, pending = state
            except TimeoutError:
                done = ()
            for future in done:
                yield future.result()
            if done or addresses(client):
                seen = time.monotonic()
            elif time.monotonic() - seen > SECONDS_TO_BEGIN:
                raise ClusterLost(
                    f"no worker is left, and none came in {SECONDS_TO_BEGIN} s; what is done is "
                    "kept: convert again, and it goes on"
                )
    except distributed.KilledWorker as error:
        raise ClusterLost(
            f"workers died while they converted, perhaps for want of memory ({error}); what is "
            "done is kept: convert again, and it goes on"
        ) from error
    except (concurrent.futures.CancelledError, asyncio.CancelledError) as error:
        raise ClusterLost(
            "the scheduler was lost; what is done is kept: convert again, and it goes on"
        ) from error
    finally:
        client.cancel(futures)
