"""A file system that fills up."""

import contextlib
import errno
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from rnn4music.data import shards
from rnn4music.saving import model_file
from rnn4music.training.callbacks import Callback, JsonLines
from rnn4music.training.checkpoints import CheckpointWarning

from . import kills, quick, stores
from .rounds import Counts, is_same, left_behind

SIZE = 2**20  # of the small file system


@contextlib.contextmanager
def small_file_system(folder):
    """Mount a small file system on a folder; this needs root, and fails in some containers."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder, leave=0):
    """Fill a file system except for some bytes."""
    with open(folder / "filler", "ab", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        file.truncate(max(file.tell() - int(leave), 0))


def make_room(folder):
    """Undo `fill`."""
    (folder / "filler").unlink(missing_ok=True)


def full_disk(rounds, rng, folder):
    """A file system that fills up: saves, trainings with a log, the cache, conversions."""
    counts = Counts()
    unraisable, sys.unraisablehook = sys.unraisablehook, lambda what: counts.violation(str(what))
    try:
        with small_file_system(folder):
            for _, work in zip(range(rounds), itertools.cycle((_save, _train, _cache, _convert))):
                work(rng, folder, counts)
                for each in left_behind(folder):
                    counts.violation(f"{each} was left on the full disk")
                for each in folder.iterdir():
                    shutil.rmtree(each) if each.is_dir() else each.unlink()
    except (subprocess.CalledProcessError, FileNotFoundError):
        counts["SKIPPED: nothing can be mounted here"] += 1
    finally:
        sys.unraisablehook = unraisable
    return counts


def _save(rng, folder, counts):
    model, path = quick.model(units=60), folder / "model.npz"
    model.saveParameters(path)
    before = path.read_bytes()
    model.metadata = {"version": 2}
    fill(folder, leave=rng.uniform(0, 1.1 * len(before)))
    try:
        model.saveParameters(path)
    except OSError as error:
        counts["saves that failed"] += 1
        if error.errno != errno.ENOSPC or path.read_bytes() != before:
            counts.violation(f"a full disk changed a model, or an unexpected error: {error}")
    else:
        counts["saves that still fitted"] += 1
    make_room(folder)
    model.saveParameters(path)
    if model_file.read(path)["metadata"] != {"version": 2}:
        counts.violation("saving failed after room was made")


class Filling(Callback):
    """Fills the disk after some updates, and makes room after some more."""

    def __init__(self, folder, leave, full_at, room_at):
        self.folder, self.leave, self.at = folder, leave, {full_at: "full", room_at: "room"}

    def on_update(self, model, history):
        """See the class."""
        what = self.at.get(len(history.cost))
        if what == "full":
            # a log takes a new page of the disk only rarely; the padding makes the next line do so
            log = self.folder / "log.jsonl"
            padding = b'{"": "' + bytes(-(log.stat().st_size + 100) % 4096).replace(b"\0", b" ")
            log.write_bytes(log.read_bytes() + padding + b'"}\n')
            fill(self.folder, self.leave)
        elif what == "room":
            make_room(self.folder)


def _train(rng, folder, counts):
    tunes, options = quick.tunes(np.random.default_rng(0)), quick.OPTIONS["random"]
    whole = quick.model()
    n_updates = len(quick.train(whole, tunes, options).cost)
    model, path, log = quick.model(), folder / "checkpoint.npz", folder / "log.jsonl"
    full_at, room_at = sorted(rng.integers(1, n_updates + 30, size=2))
    filling = Filling(folder, rng.choice([0, 40_000, 120_000]), full_at, room_at)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            quick.train(model, tunes, options, checkpoint=path, checkpoint_every=3,
                        callbacks=[filling, JsonLines(log)])  # fmt: skip
        except OSError as error:
            counts.violation(f"a full disk ended a training: {error}")
            return
    counts["trainings"] += 1
    for kind in {w.category.__name__ for w in warned}:
        counts[f"trainings with a {kind}"] += 1
    others = [w for w in warned if w.category.__name__ not in ("CheckpointWarning", "LogWarning")]
    if others:
        counts.violation(f"warned of {others[0].message}")
    if not is_same(model._store.arrays(), whole._store.arrays()):
        counts.violation("a full disk changed the weights")
    make_room(folder)
    again = quick.model()
    quick.train(again, tunes, options, checkpoint=path, resume=True, callbacks=JsonLines(log))
    if not is_same(again._store.arrays(), whole._store.arrays()):
        counts.violation("a training resumed after a full disk ended differently")
    if not any(issubclass(w.category, CheckpointWarning) for w in warned):
        n_found = len(model_file.read(path)["history"]["cost"])
        if n_found != n_updates:
            counts.violation(f"without a warning the checkpoint has {n_found} of {n_updates}")
    for line in log.read_text().splitlines():
        try:
            json.loads(line)
        except ValueError:
            counts.violation(f"a line of the log is {line!r}")


def _cache(rng, folder, counts):
    expected = kills.some_tunes(0)[-20:]
    fill(folder, leave=rng.uniform(0, 200_000))

    def through():
        def read():
            counts["read anew"] += 1
            return expected

        return shards.cached(folder, ("key",), [kills.Music()], 88, read)

    for expected_reads in (1, None, 0):
        before = counts["read anew"]
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            found = through()
        if not kills.is_tunes(found, expected):
            counts.violation("a full disk changed the tunes that were read")
        n_reads = counts["read anew"] - before
        if expected_reads is not None and n_reads != expected_reads:
            counts.violation(f"{n_reads} readings where there should be {expected_reads}")
        if expected_reads == 1:
            counts["caches that could not be written"] += bool(warned)
            make_room(folder)


def _convert(rng, folder, counts):
    with tempfile.TemporaryDirectory() as elsewhere:
        source = stores.written_tunes(Path(elsewhere) / "music", 20)
        stores.made(source, Path(elsewhere) / "store")
        expected = stores.content(Path(elsewhere) / "store")
        store = folder / "store"
        fill(folder, leave=rng.uniform(0, 60_000))
        try:
            stores.made(source, store)
        except OSError as error:
            counts["conversions that failed"] += 1
            if error.errno != errno.ENOSPC:
                counts.violation(f"a conversion to a full disk: {error}")
        else:
            counts["conversions that still fitted"] += 1
        make_room(folder)
        stores.made(source, store)
        if not is_same(stores.content(store), expected):
            counts.violation("a conversion continued after a full disk ended differently")
