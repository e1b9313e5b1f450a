"""SIGKILL at random moments: trainings, saves, cache writes, several concurrent writers."""

import itertools
import os
import subprocess
import sys
import textwrap
import time

import numpy as np

from rnn4music import RNN4Music
from rnn4music.data import shards
from rnn4music.saving import model_file

from . import quick
from .rounds import Child, Counts, is_same, left_behind


def content_of(path):
    """Return the content of a model file without the durations of updates."""
    content = model_file.read(path)
    content["history"].pop("seconds")
    return content


def n_kept(path, done, counts):
    """Return the number of updates in a checkpoint after a kill, at least the `done` before."""
    found = len(model_file.read(path)["history"]["cost"]) if path.exists() else 0
    if found < done:
        counts.violation(f"the checkpoint has {found} updates, an earlier one had {done}")
    return found


def count_finished(whole, path, counts):
    """Count a finished training, compare its file with the undisturbed one's, and delete it."""
    counts["trainings finished"] += 1
    if not is_same(content_of(whole), content_of(path)):
        counts.violation("a training ended differently from the undisturbed one")
    path.unlink()


def training(rounds, rng, folder):
    """Trainings with checkpoints, killed repeatedly until they finish nevertheless."""
    counts, tunes = Counts(), quick.tunes(np.random.default_rng(0))
    kinds = itertools.cycle(quick.OPTIONS.items())
    while counts["kills"] < rounds:
        kind, options = next(kinds)
        seed = int(rng.integers(1000))
        whole, path = folder / "whole.npz", folder / "killed.npz"
        for each in (whole, path):
            each.unlink(missing_ok=True)
        started = time.monotonic()
        undisturbed = quick.train(quick.model(seed), tunes, options, checkpoint=whole)
        seconds = time.monotonic() - started
        done = 0  # updates in the last checkpoint that was complete

        def work(say, seed=seed, options=options, path=path):
            write = model_file.write

            def heard(*arguments, **named):
                write(*arguments, **named)
                say(len(named["history"]["cost"]))

            model_file.write = heard
            quick.train(quick.model(seed), tunes, options, checkpoint=path, checkpoint_every=2,
                        resume=True)  # fmt: skip

        ended = False
        while not ended:
            child = Child(work)
            ended = child.wait(rng.uniform(0, 2 * seconds + 0.05))
            if child.failed:
                counts.violation(f"training ({kind}, seed {seed}) did not continue")
                break
            counts["kills"] += not ended
            done = max([done, *map(int, child.said)])
            if path.exists():
                try:
                    found = len(model_file.read(path)["history"]["cost"])
                except ValueError as error:
                    counts.violation(f"a checkpoint after a kill: {error}")
                    break
                counts["checkpoints read after a kill"] += not ended
                if found < done:
                    counts.violation(f"the checkpoint has {found} updates, an earlier {done}")
            elif done:
                counts.violation("the checkpoint is gone")
        counts["trainings finished"] += 1
        if len(undisturbed.cost) != done or not is_same(content_of(whole), content_of(path)):
            counts.violation(f"training ({kind}, seed {seed}) differs from the undisturbed one")
    counts["temporary files left"] += len(left_behind(folder))
    return counts


SCRIPT = """
    import sys
    import numpy as np
    from rnn4music import RNN4Music
    rng = np.random.default_rng(0)
    tunes = [(rng.random((n, 8)) < 0.3).astype(float) for n in (20, 31, 17, 40, 25, 12)]
    model = RNN4Music(9, 8, 7, 8, R1=0.01, R2=0.01, R3=0.01, Rout=0.01, seed=1, optimiser="adam")
    print("ready", flush=True)
    model.train(
        tunes, 1, 60, 2, 11, windows="random", dropout=0.2, weight_noise=0.05, averaging=0.9,
        validation=tunes[:2], checkpoint=sys.argv[1], checkpoint_every=5, resume=True,
        progress=False,
    )
"""


def training_processes(rounds, rng, folder):
    """Complete processes with the real network, killed until the training is finished."""
    counts = Counts()

    def start(path):
        command = [sys.executable, "-c", textwrap.dedent(SCRIPT), path]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        return process

    whole, path = folder / "whole.npz", folder / "killed.npz"
    with start(whole) as process:
        started = time.monotonic()
        process.communicate()
        seconds = time.monotonic() - started
    done = 0
    while counts["kills"] < rounds:
        with start(path) as process:
            try:
                process.communicate(timeout=rng.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        if process.returncode > 0:
            counts.violation("a training did not continue")
            return counts
        counts["kills"] += process.returncode < 0
        done = n_kept(path, done, counts)
        if process.returncode == 0 or counts["kills"] == rounds:
            if process.returncode:
                with start(path) as process:
                    process.communicate()
            count_finished(whole, path, counts)
            done = 0
    counts["temporary files left"] += len(left_behind(folder))
    return counts


def saving(rounds, rng, folder):
    """`saveParameters` over an existing file, in a loop: it always is one complete version."""
    counts = Counts()
    model = quick.model(units=200)
    versions = []
    for version in range(7):
        model.metadata = {"version": version}
        model.set_parameters({k: 0 * w + version for k, w in model.get_parameters().items()})
        versions.append(model.__getstate__())
    path = model.saveParameters(folder / "model")
    versions_seen = set()

    def work(say):
        for version in itertools.cycle(range(7)):
            model._take(versions[version])
            model.saveParameters(path)
            say(version)

    for _ in range(rounds):
        child = Child(work)
        child.wait(rng.uniform(0, 0.1))
        counts["kills"] += 1
        if child.failed:
            counts.violation("saving failed")
        counts["saves that were complete"] += len(child.said)
        try:
            found = model_file.read(path)
        except (ValueError, OSError) as error:
            counts.violation(f"a model after a kill: {error}")
            continue
        version = found["metadata"]["version"]
        versions_seen.add(version)
        last = int(child.said[-1]) if child.said else version
        if not is_same(found["arrays"], versions[version]["arrays"]):
            counts.violation("a model is a mixture of versions")
        if version not in (last, (last + 1) % 7):
            counts.violation(f"version {version} after {last} was complete")
    counts["versions seen"] = len(versions_seen)
    counts["temporary files left"] += len(left_behind(folder))
    return counts


class Music:
    """A file with the interface that `shards.cached` needs."""

    name = "music"

    def read(self):
        """Return its bytes."""
        return b"music"


def some_tunes(seed):
    """Return the result of reading MIDI files: a megabyte of cells, packed."""
    rng = np.random.default_rng(seed)
    tunes = [shards.Tune(f"{k}.mid", rng.random((n, 88)) < 0.1, counts={"n_notes": n})
             for k, n in enumerate(rng.integers(1, 4000, size=40).tolist())]  # fmt: skip
    return [*tunes, shards.Tune("none.mid", reason="it has no notes")]


def is_tunes(found, expected):
    """Return whether two lists of `shards.Tune` are the same."""
    return found is not None and is_same([*map(tuple, found)], [*map(tuple, expected)])


def cache(rounds, rng, folder):
    """Cache writes, killed: the next reading is correct, from the cache or read anew."""
    counts, expected = Counts(), some_tunes(0)

    def through():
        def read():
            counts["read anew"] += 1
            return expected

        return shards.cached(folder, ("key",), [Music()], 88, read)

    for _ in range(rounds):
        for file in folder.glob("*.rolls"):
            file.unlink()
        child = Child(lambda say: through())
        ended = child.wait(rng.uniform(0, 0.06))
        counts["kills"] += not ended
        if child.failed:
            counts.violation("the cache failed")
        before = counts["read anew"]
        if not is_tunes(through(), expected):
            counts.violation("the cache holds different tunes")
        counts["found complete"] += counts["read anew"] == before
    counts["temporary files left"] += len(left_behind(folder))
    return counts


def writers(rounds, rng, folder):
    """Three processes that write the same model and cache, killed and restarted; two that read."""
    counts, tunes = Counts(), some_tunes(0)
    model = quick.model(units=100)
    model_path, cache_path = folder / "model.npz", folder / "shard.rolls"
    weights = model.get_parameters()

    def write(say):
        for version in itertools.count(os.getpid() % 1000):
            model.metadata = {"version": version}
            model.set_parameters({name: 0 * w + version for name, w in weights.items()})
            model.saveParameters(model_path)
            shards.write(cache_path, "digest", 88, tunes)
            say("w")

    def read(say):
        while True:
            content = model_file.read(model_path)
            version = np.float32(content["metadata"]["version"])
            for name, array in content["arrays"].items():
                if name.startswith("parameters/") and not (array == version).all():
                    raise ValueError("a model is a mixture of versions")
            found = [*shards.read_tunes(cache_path, shards.verify(cache_path))]
            if not is_tunes(found, tunes):
                raise ValueError("a cache is damaged")
            say("r")

    model.metadata = {"version": 0}
    model.set_parameters({name: 0 * w for name, w in weights.items()})
    model.saveParameters(model_path)
    shards.write(cache_path, "digest", 88, tunes)
    children = [Child(work) for work in (write, write, write, read, read)]
    for _ in range(rounds):
        k = int(rng.integers(3))
        if children[k].wait(rng.uniform(0, 0.2)):
            counts.violation("a writer ended by itself")
        counts["kills"] += 1
        counts["writes"] += len(children[k].said)
        children[k] = Child(write)
    for k, child in enumerate(children):
        if child.wait(0) or child.failed:
            counts.violation("a reader or writer ended by itself")
        counts["writes" if k < 3 else "reads"] += len(child.said)
    RNN4Music.from_file(model_path)
    counts["temporary files left"] += len(left_behind(folder))
    return counts
