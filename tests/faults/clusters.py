"""Trainings on a Dask cluster whose processes are killed."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from .kills import count_finished, n_kept
from .rounds import Counts, left_behind

SCRIPT = """
    import os, signal, sys
    import numpy as np
    from rnn4music import RNN4Music
    from rnn4music.training.callbacks import Callback
    from rnn4music.distributed.cluster import connected

    path, seed = sys.argv[1], int(sys.argv[2])
    rng = np.random.default_rng(0)
    tunes = [(rng.random((n, 7)) < 0.3).astype(float) for n in rng.integers(12, 40, 13)]
    luck = np.random.default_rng(seed)

    class Killing(Callback):
        def on_update(self, model, history):
            if seed and luck.random() < 0.05:
                victim = luck.choice(list(client.run(os.getpid).values()))
                os.kill(int(victim), signal.SIGKILL)
                print("killed", flush=True)

    with connected(2) as client:
        print(*client.run(lambda: os.getppid()).values(), flush=True)
        model = RNN4Music(5, 4, 6, 7, 0.01, 0.01, 0.01, 0.01, seed=3, dtype="float64")
        model.train(tunes, 1, 12, 5, 13, windows="all", dropout=0.3, averaging=0.9, cluster=client,
                    checkpoint=path, checkpoint_every=2, resume=True, progress=False,
                    callbacks=Killing())
"""


def cluster(rounds, rng, folder):
    """Two Dask workers, killed while they compute, and the process that they work for."""
    counts = Counts()

    def run(path, seed, seconds=None):
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(SCRIPT)]
        with subprocess.Popen(
            [*command, path, str(seed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            keepers = process.stdout.readline().split()
            try:
                said, errors = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                said, errors = process.communicate()
                for keeper in keepers:  # otherwise they look for their scheduler for a while
                    _end(int(keeper))
        counts["workers killed"] += said.count("killed")
        if process.returncode > 0:
            counts.violation(f"a training on a cluster did not continue: {errors[-1000:]}")
        return process.returncode

    whole, path = folder / "whole.npz", folder / "killed.npz"
    started = time.monotonic()
    run(whole, 0)
    seconds = time.monotonic() - started
    done = 0
    for number in range(1, rounds + 1):
        limit = rng.uniform(0, seconds) if number < rounds else None
        code = run(path, number, limit)
        if code > 0:
            return counts
        counts["trainings killed"] += code < 0
        done = n_kept(path, done, counts)
        if code == 0:
            count_finished(whole, path, counts)
            done = 0
    counts["temporary files left"] += len(left_behind(folder))
    return counts


def _end(keeper):
    """End a process that keeps a worker running, and the worker; they are a separate session."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended by itself
        if b"dask_worker" in Path(f"/proc/{keeper}/cmdline").read_bytes():
            os.killpg(keeper, signal.SIGKILL)
