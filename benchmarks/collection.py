"""A large collection from end to end: MIDI files, a store of piano rolls, training.

    python -m benchmarks.collection                    20,000 generated files
    python -m benchmarks.collection --files 2000 --updates 10
    python -m benchmarks.collection --folder scratch   keep the files, and reuse them next time

Run it from the repository's root. Each generated tune has four random voices and 100 to 1,000 steps
of 0.3 s. Every fiftieth tune is its predecessor in another key, with some steps changed. A quarter
of the files, and then all files, are converted with one and two processes. Peak memory is that of a
process, or of the largest process that it started.

Conventions
-----------
Each figure comes from a separate process. 1 MB is 10^6 bytes. Files may still be in the system's
page cache. "In memory" is a dataset of `load_midi`, made of the quarter.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.processes import ROOT

BATCH, LENGTH, UNITS = 32, 100, 120
TIME_STEP = 0.3
COPY_EVERY = 50
SECONDS_OF_WORK = 0.02


def main():
    """Measure and print the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.collection",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--files", type=int, default=20_000, metavar="N", help="files (%(default)s)"
    )
    parser.add_argument(
        "--updates", type=int, default=50, metavar="N", help="updates (%(default)s)"
    )
    parser.add_argument(
        "--folder", type=Path, help="folder in which files and stores are made and kept"
    )
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "JSON"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, values = arguments.measure
        print(json.dumps(globals()[what](**json.loads(values))))
        return
    host = machine.describe()
    print(f"{host['processor']}, {host['cores_used']} of {host['cores']} cores")
    print(f"load before: {host['load_before']}")
    with tempfile.TemporaryDirectory() as scratch:
        report(arguments.folder or Path(scratch), arguments.files, arguments.updates)


def report(folder, n_files, updates):
    """Make the files and stores in a folder, measure, and print the results."""
    tunes, quarter = folder / "tunes", folder / "quarter"
    seconds = measured("generate", folder=str(folder), n_files=n_files)["seconds"]
    print(f"{n_files} MIDI files written in {seconds:.0f} s")
    for source, workers in ((quarter, 1), (tunes, 1), (tunes, 2)):
        store = folder / f"store of {source.name}, {workers}"
        made = measured("convert", source=str(source), store=str(store), workers=workers)
        print(
            f"converting {made['files']} files, {workers} process{'es' * (workers > 1)}: "
            f"{made['seconds']:.1f} s, {made['files'] / made['seconds']:.0f} files/s; peak "
            f"{made['peak_mb']:.0f} MB (workers {made['peak_of_workers_mb']:.0f} MB); "
            f"{made['mb']:.0f} MB on disk (MIDI {made['midi_mb']:.0f} MB)"
        )
    for name in (f"store of {quarter.name}, 1", f"store of {tunes.name}, 2"):
        store = str(folder / name)
        result = measured("look", store=store)
        print(
            f"{result['tunes']} tunes: opened in {result['open_seconds']:.2f} s, split in "
            f"{result['split_seconds']:.1f} s, peak {result['peak_mb']:.0f} MB "
            f"({result['before_mb']:.0f} MB before); {result['copies']} of "
            f"{result['made_copies']} copies found"
        )
        trained = measured("train", store=store, updates=updates)
        print(
            f"training on them: {trained['ms']:.1f} ms per update, peak {trained['peak_mb']:.0f} MB"
        )
    loaded = measured("train", source=str(quarter), updates=updates)
    print(
        f"training on the quarter in memory: {loaded['ms']:.1f} ms per update, peak "
        f"{loaded['peak_mb']:.0f} MB"
    )
    places = {"ahead": 0, "store": store}, {"ahead": 4, "store": store}
    places += ({"ahead": 0, "source": str(quarter)},)
    for windows in ("start", "random", "all"):
        results = [measured("wait", windows=windows, updates=200, **where) for where in places]
        stored, ahead, loaded = (f"{result['ms']:.2f} ms" for result in results)
        print(
            f"waiting for a minibatch, windows {windows!r}: {stored} from the store, {ahead} with "
            f"prefetching, {loaded} from memory"
        )


def measured(what, **values):
    """Call a function of this module in a separate process and return its result."""
    command = [sys.executable, "-m", "benchmarks.collection"]
    command += ["--measure", what, json.dumps(values)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak_mb(of_children=False):
    """Return the peak memory of this process, or the largest of its finished children."""
    import resource

    who = resource.RUSAGE_CHILDREN if of_children else resource.RUSAGE_SELF
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(who).ru_maxrss * unit / 1e6


# ---- run in separate processes


def generate(folder, n_files):
    """Write the files; those of the quarter are hard links."""
    from functools import partial

    from rnn4music._utils.processes import in_processes, n_cores

    started = time.perf_counter()
    folder = Path(folder)
    for _ in in_processes(partial(write, folder), range(n_files), n_cores()):
        pass
    for k in range(n_files // 4):
        link = folder / "quarter" / f"{k // 1000:03}" / f"{k:06}.mid"
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(folder / "tunes" / link.parent.name / link.name, link)
    return {"seconds": time.perf_counter() - started}


def write(folder, k):
    """Write tune number `k` unless it exists."""
    import numpy as np

    from midi import midiwrite

    path = Path(folder) / "tunes" / f"{k // 1000:03}" / f"{k:06}.mid"
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    is_copy = k % COPY_EVERY == COPY_EVERY - 1
    rng = np.random.default_rng(k - 1 if is_copy else k)
    n_steps = int(rng.integers(100, 1001))
    roll = np.zeros((n_steps, 88), bool)
    for lowest in (8, 20, 32, 44):
        moves = rng.integers(-3, 4, n_steps) * (rng.random(n_steps) < 0.5)
        roll[np.arange(n_steps), lowest + np.abs(np.cumsum(moves) % 48 - 24)] = True
    if is_copy:
        roll = np.roll(roll, 3, axis=1)
        roll[rng.integers(0, n_steps, n_steps // 60)] = False
    midiwrite(path, roll, (21, 109), TIME_STEP)


def convert(source, store, workers):
    """Convert a folder to a store, and return the time, memory and sizes."""
    from rnn4music.data import convert

    started = time.perf_counter()
    made = convert(source, store, workers=workers, progress=False)
    seconds = time.perf_counter() - started
    return {
        "files": len(made),
        "seconds": seconds,
        "peak_mb": peak_mb(),
        "peak_of_workers_mb": peak_mb(of_children=True),
        "mb": size_of(store),
        "midi_mb": size_of(source),
    }


def size_of(folder):
    """Return the total size of the files in a folder in MB."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6


def look(store):
    """Open and split a store, and return the times, memory and copies found."""
    from rnn4music.data import RollStore
    from rnn4music.data.duplicates import group_near_duplicates

    group_near_duplicates([])  # imports SciPy
    before = peak_mb()
    started = time.perf_counter()
    tunes = RollStore(store)
    opened = time.perf_counter()
    tunes.split()
    split = time.perf_counter()
    return {
        "tunes": len(tunes),
        "open_seconds": opened - started,
        "split_seconds": split - opened,
        "before_mb": before,
        "peak_mb": peak_mb(),
        "copies": len(tunes) - len(set(tunes.near_duplicates())),
        "made_copies": len(tunes) // COPY_EVERY,
    }


def read(source, store):
    """Return a dataset in memory, or a store."""
    from rnn4music import load_midi
    from rnn4music.data import RollStore

    return load_midi(source, progress=False) if store is None else RollStore(store)


def train(updates, source=None, store=None):
    """Return the median time between two updates, including the making of minibatches."""
    import statistics

    from rnn4music import RNN4Music
    from rnn4music.training import Callback

    times = []

    class Clock(Callback):
        def on_update(self, model, history):
            times.append(time.perf_counter())
            return len(times) > updates

    tunes = read(source, store)
    model = RNN4Music(UNITS, UNITS, UNITS, 88, seed=1)
    model.train(tunes, 1, 1000, BATCH, LENGTH, windows="random", progress=False, callbacks=Clock())
    gaps = [after - before for before, after in zip(times, times[1:])]
    return {"ms": 1e3 * statistics.median(gaps), "peak_mb": peak_mb()}


def wait(windows, updates, ahead, source=None, store=None):
    """Return the median wait for a minibatch, with the work of an update between two."""
    import statistics

    import numpy as np

    from rnn4music.training import minibatches

    tunes = read(source, store)
    made = minibatches.epoch(tunes, BATCH, LENGTH, "float32", np.random.default_rng(1), windows)
    if ahead:
        made = minibatches.prefetched(made, ahead)
    times, matrix = [], np.ones((300, 300), np.float32)
    for _ in range(updates):
        until = time.perf_counter() + SECONDS_OF_WORK
        while time.perf_counter() < until:  # matrix products, as in an update
            np.dot(matrix, matrix)
        started = time.perf_counter()
        if next(made, None) is None:
            break
        times.append(time.perf_counter() - started)
    return {"ms": 1e3 * statistics.median(times)}


if __name__ == "__main__":
    main()
