"""Test for leaks: an hour of training, composing, saving and loading in one process.

    python -m benchmarks.soak                       an hour
    python -m benchmarks.soak --minutes 2           a short trial
    python -m benchmarks.soak --json soak.json      also write every sample

Each round trains four models, one for each kind of windows, on new tunes, with validation,
checkpoints and a resumed training. It composes, predicts and evaluates, saves and loads, and builds
models from files, one of which composes and thereby compiles its own function. After the first
rounds (`WARM_UP`) the resources of the process are counted once a minute.

The exit status is 1 if memory grew by more than 2 % and more than 20 MB, or if the number of open
files, threads, compiled functions or files in the folder grew at all.

Conventions
-----------
Growth is the difference between the medians of the last and the first third of the samples. The
table also gives the slope of a line fitted to all samples, per hour. Memory is the resident memory
in MB, after a garbage collection. Files are those in the working folder.
"""

import argparse
import collections
import gc
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.figures import markdown
from rnn4music import RNN4Music, backend

HIDDEN, PITCHES = 120, 88
LENGTHS = (140, 90, 61, 200, 110, 75, 130, 101, 88, 170)  # steps of the tunes of a round
KINDS = {  # differing arguments of `train`
    "start": {"windows": "start"},
    "random": {"windows": "random", "dropout": 0.2, "weight_noise": 0.05, "averaging": 0.9},
    "all": {"windows": "all"},
    "pieces": {"windows": "random", "steps_at_once": 25},
}
COUNTS, STEPS = (1, 2, 3, 4), 32  # numbers of tunes composed together, and their steps
SAVES = 8  # per round
WARM_UP = 0.1  # fraction of the time
MOST_MB, MOST_SHARE = 20, 0.02
MAY_GROW = ("Python objects",)  # the histories of the models record each update


class Soak:
    """The models, the folder, and counts of the operations."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.rng = np.random.default_rng(1)
        rates = dict.fromkeys(("R1", "R2", "R3", "Rout"), 0.002)
        self.models = {
            kind: RNN4Music(HIDDEN, HIDDEN, HIDDEN, PITCHES, seed=1, optimiser="adam", **rates)
            for kind in KINDS
        }
        self.done = collections.Counter()

    def tunes(self, lengths=LENGTHS):
        """Return new random tunes."""
        return [(self.rng.random((n, PITCHES)) < 0.04).astype("float32") for n in lengths]

    def round(self):
        """Run one round."""
        for kind, model in self.models.items():
            self.train(kind, model)
            self.compose(model)
            self.score(model)
            self.save_and_load(model)
        self.build()
        self.done["rounds"] += 1

    def train(self, kind, model):
        """Train on new tunes, stop, and resume from the checkpoint."""
        tunes, validation = self.tunes(), self.tunes(LENGTHS[:3])
        checkpoint = self.folder / f"{kind}.npz"
        options = {
            "validation": validation,
            "checkpoint": checkpoint,
            "checkpoint_every": 3,
            "progress": False,
            **KINDS[kind],
        }
        model.train(tunes, 1, 1, 5, 101, **options)
        history = model.train(tunes, 1, 2, 5, 101, **options, resume=True)
        checkpoint.unlink()
        self.done["updates"] += len(history.cost)
        self.done["calls of train"] += 2

    def compose(self, model):
        """Compose several tunes together, with both kinds of sampling."""
        for count in COUNTS:
            for sampling in ("independent", "systematic"):
                start = self.tunes((7,))[0]
                model.genMusic(start, STEPS, count, sampling=sampling)
                self.done["calls of genMusic"] += 1

    def score(self, model):
        """Predict and evaluate tunes of random lengths."""
        model.evaluate(self.tunes(self.rng.integers(2, 300, size=4)))
        model.predict(self.tunes(self.rng.integers(1, 300, size=1))[0])
        self.done["calls of evaluate and predict"] += 2

    def save_and_load(self, model):
        """Save, load into the same model, and build other models from the file."""
        for _ in range(SAVES):
            path = model.saveParameters(self.folder / "model")
            model.loadParameters(path)
            RNN4Music.from_file(path)
            self.done["saved, loaded and built"] += 1

    def build(self):
        """Build a model from the file, and compose with it, which compiles a function."""
        RNN4Music.from_file(self.folder / "model").genMusic(None, STEPS)
        self.done["models built that compiled"] += 1

    def held(self):
        """Return the current resources of the process: dict of name to number."""
        gc.collect()
        compiled = sum(len(model._network.compiled) for model in self.models.values())
        return {
            "memory (MB)": resident_mb(),
            "Python objects": len(gc.get_objects()),
            "open files": len(os.listdir("/proc/self/fd")),
            "threads": len(os.listdir("/proc/self/task")),
            "Python threads": threading.active_count(),
            "functions compiled by the models": compiled,
            "programs held by the engine": engine_programs(),
            "files in the folder": sum(1 for _ in self.folder.rglob("*")),
        }


def resident_mb():
    """Return the resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def engine_programs():
    """Return the number of compiled programs that JAX keeps alive, 0 with other engines."""
    if backend.ENGINE != "jax":
        return 0
    from jax.extend.backend import get_backend

    return len(get_backend().live_executables())


def soak(minutes, every_s=60):
    """Run rounds for `minutes`, and return the samples and the counts of operations."""
    folder = tempfile.mkdtemp()
    samples = []
    try:
        subject = Soak(folder)
        started = time.monotonic()
        warm_at = started + WARM_UP * minutes * 60
        subject.round()
        while time.monotonic() < warm_at:
            subject.round()
        due = time.monotonic()
        while True:
            if time.monotonic() >= due:
                seconds = time.monotonic() - started
                samples.append({"minutes": seconds / 60, **subject.held()})
                done = ", ".join(f"{n} {what}" for what, n in subject.done.items())
                print(f"{seconds / 60:.1f} min: {samples[-1]['memory (MB)']:.1f} MB; {done}",
                      flush=True)  # fmt: skip
                if seconds >= minutes * 60:
                    return samples, dict(subject.done)
                due += every_s
            subject.round()
    finally:
        shutil.rmtree(folder)


def growth(samples):
    """Return start, middle, end and growth of each resource, and whether it grew too much.

    Parameters
    ----------
    samples : list of dict
        Samples in order of time, each with ``minutes``.
    """
    third = max(len(samples) // 3, 1)
    hours = [sample["minutes"] / 60 for sample in samples]
    results = {}
    for name in samples[0].keys() - {"minutes"}:
        values = [sample[name] for sample in samples]
        first, last = statistics.median(values[:third]), statistics.median(values[-third:])
        slope = statistics.linear_regression(hours, values).slope if len(hours) > 1 else 0.0
        allowed = max(MOST_MB, MOST_SHARE * first) if name == "memory (MB)" else 0
        results[name] = {
            "start": values[0],
            "middle": values[len(values) // 2],
            "end": values[-1],
            "growth": last - first,
            "growth_an_hour": slope,
            "too_much": name not in MAY_GROW and last - first > allowed,
        }
    return {name: results[name] for name in samples[0] if name in results}


def table(results):
    """Return the lines of the table in Markdown."""
    head = ["", "start", "middle", "end", "growth of medians", "slope per hour"]
    rows = []
    for name, row in results.items():
        digits = 1 if name == "memory (MB)" else 0
        figures = [f"{row[key]:,.{digits}f}" for key in ("start", "middle", "end")]
        changes = [f"{row[key]:+,.1f}" for key in ("growth", "growth_an_hour")]
        rows.append([name + " **grows**" * row["too_much"], *figures, *changes])
    return markdown(head, rows)


def main():
    """Run the test, print the table, and exit with 1 if something grew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60, help="duration (%(default)s)")
    parser.add_argument("--json", type=Path, help="write all samples to this file")
    arguments = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        parser.error("this system has no /proc, which is needed to count memory and open files")
    host = machine.describe()
    print(
        f"{host['processor']}, Python {host['python']}, engine {backend.ENGINE}",
        flush=True,
    )
    samples, done = soak(arguments.minutes)
    results = growth(samples)
    print("\n".join(["", *table(results), "", *(f"- {n:,} {what}" for what, n in done.items())]))
    if arguments.json:
        report = {"machine": host, "done": done, "results": results, "samples": samples}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    raise SystemExit(any(row["too_much"] for row in results.values()))


if __name__ == "__main__":
    main()
