"""An hour of training, composing, saving and loading in one process: does anything grow?

    python -m benchmarks.soak                       an hour
    python -m benchmarks.soak --minutes 2           tries whether it works
    python -m benchmarks.soak --json soak.json      every sample too

A round trains four models, one for each way of taking windows, on tunes that no round before had,
with validation, checkpoints and a resume; composes; predicts and evaluates; saves, loads, and
builds models from files, one of which then composes and so compiles a function of its own. After
the first rounds (`WARM_UP`) what the process holds is counted once a minute.

It ends with 1 if something grew: memory by more than 2 % or 20 MB, whichever is more, open files,
threads, compiled functions or files in the folder by anything.

Conventions
-----------
Growth is that between the median of the first and that of the last third of the samples; beside
it stands the slope of the straight line through all of them, for an hour. Memory is what is
resident, in MB, after a garbage collection. The files are those below the working folder.
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
LENGTHS = (140, 90, 61, 200, 110, 75, 130, 101, 88, 170)  # of a round's tunes
KINDS = {  # the arguments of `train` that differ
    "start": {"windows": "start"},
    "random": {"windows": "random", "dropout": 0.2, "weight_noise": 0.05, "averaging": 0.9},
    "all": {"windows": "all"},
    "pieces": {"windows": "random", "steps_at_once": 25},
}
COUNTS, STEPS = (1, 2, 3, 4), 32  # tunes that are composed at once, and their steps
SAVES = 8  # in a round
WARM_UP = 0.1  # of the time
MOST_MB, MOST_SHARE = 20, 0.02
MAY_GROW = ("Python objects",)  # by the histories of the models, which keep each update


class Soak:
    """The models, the folder, and what has been done with them."""

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
        """Return tunes that nobody has seen."""
        return [(self.rng.random((n, PITCHES)) < 0.04).astype("float32") for n in lengths]

    def round(self):
        """Do some of everything."""
        for kind, model in self.models.items():
            self.train(kind, model)
            self.compose(model)
            self.score(model)
            self.save_and_load(model)
        self.build()
        self.done["rounds"] += 1

    def train(self, kind, model):
        """Train on new tunes, stop, and go on from the checkpoint."""
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
        """Compose some tunes at once, in both ways."""
        for count in COUNTS:
            for sampling in ("independent", "systematic"):
                start = self.tunes((7,))[0]
                model.genMusic(start, STEPS, count, sampling=sampling)
                self.done["calls of genMusic"] += 1

    def score(self, model):
        """Predict and evaluate tunes of any length."""
        model.evaluate(self.tunes(self.rng.integers(2, 300, size=4)))
        model.predict(self.tunes(self.rng.integers(1, 300, size=1))[0])
        self.done["calls of evaluate and predict"] += 2

    def save_and_load(self, model):
        """Save, load into the same object, and build others from the file."""
        for _ in range(SAVES):
            path = model.saveParameters(self.folder / "model")
            model.loadParameters(path)
            RNN4Music.from_file(path)
            self.done["saved, loaded and built"] += 1

    def build(self):
        """Build a model from the file, and let it compile a function of its own."""
        RNN4Music.from_file(self.folder / "model").genMusic(None, STEPS)
        self.done["models built that compiled"] += 1

    def held(self):
        """Return what the process holds now: dict of name to number."""
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
    """Return the memory that is resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def engine_programs():
    """Return how many compiled programs JAX keeps alive; 0 with other engines."""
    if backend.ENGINE != "jax":
        return 0
    from jax.extend.backend import get_backend

    return len(get_backend().live_executables())


def soak(minutes, every_s=60):
    """Go on for so many minutes; return the samples and what was done."""
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
    """Return for each count its start, middle, end, growth, growth an hour, and whether too much.

    Parameters
    ----------
    samples : list of dict
        In the order of time, the ``minutes`` among them.
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
    head = ["", "start", "middle", "end", "growth of the medians", "line, an hour"]
    rows = []
    for name, row in results.items():
        digits = 1 if name == "memory (MB)" else 0
        figures = [f"{row[key]:,.{digits}f}" for key in ("start", "middle", "end")]
        changes = [f"{row[key]:+,.1f}" for key in ("growth", "growth_an_hour")]
        rows.append([name + " **grows**" * row["too_much"], *figures, *changes])
    return markdown(head, rows)


def main():
    """Soak, print the table, and end with 1 if something grew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", type=Path, help="write all samples there")
    arguments = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        parser.error("this system has no /proc, from which memory and open files are read")
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
