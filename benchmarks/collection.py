"""A large collection from end to end: MIDI files, a store of piano rolls, training.

    python -m benchmarks.collection                    20,000 generated files
    python -m benchmarks.collection --files 2000 --updates 10
    python -m benchmarks.collection --folder scratch   keep the files, and reuse them next time
    python -m benchmarks.collection --files 100000 --minutes 60    also a long training

Run it from the repository's root. Each generated tune has four random voices and 100 to 1,000 steps
of 0.3 s. Every fiftieth tune is its predecessor in another key, with some steps changed. A quarter
of the files, and then all files, are converted with one and two processes. Another conversion is
killed with SIGKILL when half of the shards exist, and continued. Peak memory is that of a process,
or of the largest process that it started.

With ``--minutes``, the store is also trained on for that time, on one core, with validation and a
checkpoint every minute. The settings are those of `rnn4music.experiment.recipe`, but with windows
"all" and without transpositions. After a third of the time the process is killed with SIGKILL and
another one resumes.

Conventions
-----------
Each figure comes from a separate process. 1 MB is 10^6 bytes. Files may still be in the system's
page cache. "In memory" is a dataset of `load_midi`, made of the quarter. The wait between two
updates of the long training includes the writing of a checkpoint.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.figures import markdown
from benchmarks.processes import ROOT

BATCH, LENGTH, UNITS = 32, 100, 120
TIME_STEP = 0.3
COPY_EVERY = 50
SECONDS_OF_WORK = 0.02
FILES_OF_A_SHARD = 256  # as `rnn4music.data.store` has it
KILLED_AT = 1 / 3  # of the long training
MOMENTS = 12  # of the long training that are reported


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
    parser.add_argument("--minutes", type=float, help="duration of the long training (none)")
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
        folder = arguments.folder or Path(scratch)
        report(folder, arguments.files, arguments.updates)
        if arguments.minutes:
            report_long_training(folder, arguments.minutes)


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
    report_killed_conversion(tunes, folder / "store after a kill")
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


def report_killed_conversion(source, store):
    """Kill a conversion when half of the shards exist, continue it, and print the times."""
    shutil.rmtree(store, ignore_errors=True)
    n_shards = -(-sum(1 for _ in source.rglob("*.mid")) // FILES_OF_A_SHARD)
    values = {"source": str(source), "store": str(store), "workers": 2}
    started = time.perf_counter()
    process = start("convert", **values)
    while (n_made := sum(1 for _ in store.glob("shards/*.rolls"))) < n_shards / 2:
        if process.poll() is not None:
            raise RuntimeError("the conversion failed")
        time.sleep(0.05)
    process.kill()
    process.communicate()
    before = time.perf_counter() - started
    after, again = (measured("convert", **values)["seconds"] for _ in range(2))
    print(
        f"a conversion with 2 processes killed after {before:.1f} s, with {n_made} of {n_shards} "
        f"shards made: continued in {after:.1f} s; all verified by another one in {again:.1f} s",
        flush=True,
    )


def report_long_training(folder, minutes):
    """Train, kill the process, resume in another one, and print what was logged."""
    values = {
        "store": str(folder / "store of tunes, 2"),
        "log": str(folder / "updates.jsonl"),
        "checkpoint": str(folder / "checkpoint.npz"),
    }
    for made_before in (values["log"], values["checkpoint"]):
        Path(made_before).unlink(missing_ok=True)
    started = [time.time()]
    process = start("train_long", minutes=minutes, **values)
    while time.time() < started[0] + 60 * minutes * KILLED_AT:
        if process.poll() is not None:
            raise RuntimeError("the training ended before it was killed")
        time.sleep(0.1)
    process.kill()
    process.communicate()
    started.append(time.time())
    finished = measured("train_long", minutes=minutes * (1 - KILLED_AT), **values)
    print("\n".join(lines_of_long_training(values["log"], started)))
    print(f"{finished['history']}, peak {finished['peak_mb']:.0f} MB")


def lines_of_long_training(log, started):
    """Return lines on a long training.

    Parameters
    ----------
    log : path
        The lines that `train_long` wrote.
    started : pair of float
        Times at which its two processes were started.
    """
    rows = [json.loads(line) for line in Path(log).read_text().splitlines()]
    resumed_at = [k for k, row in enumerate(rows) if "opened" in row][1]
    parts, lines = (rows[:resumed_at], rows[resumed_at:]), []
    for part, since in zip(parts, started):
        opening, first = part[0], next(row for row in part if "cost" in row)
        lines.append(
            f"store opened and split {opening['opened'] - since:.1f} s after the start of the "
            f"process, training begun after {opening['begun'] - since:.1f} s, first update "
            f"({first['n']}) after {first['at'] - since:.1f} s"
        )
    before, after = ([row for row in part if "cost" in row] for part in parts)
    costs = {row["n"]: row["cost"] for row in before}
    again = [row for row in after if row["n"] in costs]
    n_equal = sum(row["cost"] == costs[row["n"]] for row in again)
    lines.append(
        f"killed after update {before[-1]['n']}: {len(again)} updates lost and repeated, "
        f"{n_equal} of them with the same cost to the last digit"
    )
    updates = before + after
    for row, previous in zip(updates, [updates[0], *updates]):
        row["passed"] = row["at"] - previous["at"]
        row["worked"] = row["cpu"] - previous["cpu"]
        row["wait"] = row["passed"] - row["seconds"]
        row["is_usual"] = row["update"] > 1  # not the first after a start or an epoch
    steps, begin, end = parts[1][0]["steps_per_update"], started[0], updates[-1]["at"]
    usual = [row for row in updates if row["is_usual"]]
    per_second, per_cpu = (len(usual) / sum(r[of] for r in usual) for of in ("passed", "worked"))
    lines.append(
        f"{len(updates)} updates of {steps:.0f} steps in {(end - begin) / 60:.1f} minutes; "
        f"without starts and ends of epochs {per_second:.1f} updates and {per_second * steps:.0f} "
        f"steps per second, {per_cpu:.1f} and {per_cpu * steps:.0f} per second of computing"
    )
    head = "minutes", "updates/s", "steps/s", "wait, ms: median", "99 %", "longest", "memory, MB"
    cells, length = [], (end - begin) / MOMENTS
    for k in range(MOMENTS):
        times = begin + k * length, begin + (k + 1) * length
        inside = [row for row in usual if times[0] < row["at"] <= times[1]]
        if inside:
            waits = sorted(1e3 * row["wait"] for row in inside)
            speed = len(inside) / sum(row["passed"] for row in inside)
            cells.append([
                "–".join(f"{(each - begin) / 60:.0f}" for each in times),
                f"{speed:.1f}",
                f"{speed * steps:,.0f}",
                f"{statistics.median(waits):.2f}",
                f"{waits[int(0.99 * len(waits))]:.2f}",
                f"{waits[-1]:.0f}",
                f"{inside[-1]['mb']:.0f}",
            ])  # fmt: skip
    lines += markdown(head, cells)
    for row in (row for row in rows if "validation" in row):
        last = max(each["at"] for each in updates if each["at"] < row["validated"])
        lines.append(
            f"epoch ended after {(row['validated'] - begin) / 60:.1f} minutes, scored in "
            f"{row['validated'] - last:.0f} s: {row['validation']:.3f} nats per step (each pitch's "
            f"Markov chain {row['baseline']:.3f})"
        )
    return lines


def measured(what, **values):
    """Call a function of this module in a separate process and return its result."""
    process = start(what, **values)
    output, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return json.loads(output.splitlines()[-1])


def start(what, **values):
    """Start a process that calls a function of this module."""
    command = [sys.executable, "-m", "benchmarks.collection"]
    command += ["--measure", what, json.dumps(values)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


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


def train_long(store, log, checkpoint, minutes):
    """Train, or resume, until a time is over; append a line for each update to a log."""
    from benchmarks.soak import resident_mb
    from rnn4music import RNN4Music
    from rnn4music.data import RollStore
    from rnn4music.experiment import recipe
    from rnn4music.training import Callback, minibatches

    machine.pin_to_one_core()
    tunes, validation, _ = RollStore(store).split()
    opened = time.time()
    given = {**recipe.TRAINING, **recipe.by_amount(int(tunes.lengths.sum()), len(tunes))}
    cut = given["batch_size"], given["window"], "all"
    n_updates = minibatches.n_minibatches(tunes, *cut, beginnings=given["beginnings"])
    steps_per_update = int(tunes.lengths.sum()) / n_updates

    class Log(Callback):
        def add(self, **values):
            file.write(json.dumps(values) + "\n")

        def on_start(self, model, history):
            self.end = time.monotonic() + 60 * minutes
            self.update = 0
            self.add(opened=opened, begun=time.time(), steps_per_update=steps_per_update)

        def on_update(self, model, history):
            self.update += 1
            n, seconds, cost = len(history.cost), history.seconds[-1], history.cost[-1]
            now = {"at": time.time(), "cpu": time.process_time(), "mb": resident_mb()}
            self.add(n=n, update=self.update, seconds=seconds, cost=cost, **now)
            return time.monotonic() > self.end

        def on_epoch(self, model, history):
            self.update = 0
            nats = history.validation[-1]
            self.add(validation=nats, baseline=history.baseline, validated=time.time())

    settings: Any = {f"h{k}_length": n for k, n in enumerate(given["units"], start=1)}
    settings |= dict.fromkeys(("R1", "R2", "R3", "Rout"), *given["learning_rates"])
    model = RNN4Music(
        **settings,
        io_length=tunes.width,
        chord_units=given["chord_units"],
        optimiser=given["optimiser"],
        seed=1,
    )
    names = "beginnings", "dropout", "weight_noise", "output_noise", "averaging"
    with open(log, "a", buffering=1) as file:  # a line is written at once
        history = model.train(
            tunes,
            1,
            1000,
            given["batch_size"],
            given["window"],
            windows="all",
            **{name: given[name] for name in names},
            validation=validation,
            checkpoint=checkpoint,
            resume=True,
            progress=False,
            callbacks=Log(),
        )
    return {"history": repr(history), "peak_mb": peak_mb()}


def wait(windows, updates, ahead, source=None, store=None):
    """Return the median wait for a minibatch, with the work of an update between two."""
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
