"""Trainings on two processes, of which either is killed."""

import subprocess
import sys
import textwrap
import time

from .kills import count_finished, n_kept
from .rounds import Counts, left_behind

LOST = 75  # exit status of a training that has lost the other process

SCRIPT = f"""
    import os, signal, subprocess, sys
    import numpy as np
    from rnn4music import RNN4Music
    from rnn4music.distributed.replicas import PeersLost
    from rnn4music.training.callbacks import Callback

    path, seed = sys.argv[1], int(sys.argv[2])
    rng = np.random.default_rng(0)
    tunes = [(rng.random((n, 7)) < 0.3).astype(float) for n in rng.integers(12, 40, 13)]
    luck = np.random.default_rng(seed)

    class Killing(Callback):
        def on_update(self, model, history):
            if seed and luck.random() < 0.05:
                listed = ["ps", "-o", "pid=", "--ppid", str(os.getpid())]
                victim = subprocess.run(listed, capture_output=True, check=True).stdout.split()[0]
                os.kill(int(victim), signal.SIGKILL)

    model = RNN4Music(5, 4, 6, 7, 0.01, 0.01, 0.01, 0.01, seed=3, dtype="float64")
    try:
        model.train(tunes, 1, 12, 5, 13, windows="all", dropout=0.3, averaging=0.9, cluster=2,
                    checkpoint=path, checkpoint_every=2, resume=True, progress=False,
                    callbacks=Killing())
    except PeersLost:
        sys.exit({LOST})
"""


def cluster(rounds, rng, folder):
    """Two processes that make updates together; now the first is killed, now the other."""
    counts = Counts()

    def run(path, seed, seconds=None):
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(SCRIPT), path, str(seed)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            return -1
        if ended.returncode not in (0, LOST):
            counts.violation(f"a training did not continue: {ended.stderr[-1000:]}")
        return ended.returncode

    whole, path = folder / "whole.npz", folder / "killed.npz"
    started = time.monotonic()
    run(whole, 0)
    seconds = time.monotonic() - started
    done = 0
    for number in range(1, rounds + 1):
        # the last round is undisturbed, so that a training ends
        code = run(path, number, rng.uniform(0, seconds)) if number < rounds else run(path, 0)
        if code not in (-1, 0, LOST):
            return counts
        counts["first process killed"] += code == -1
        counts["other process killed"] += code == LOST
        done = n_kept(path, done, counts)
        if code == 0:
            count_finished(whole, path, counts)
            done = 0
    counts["temporary files left"] += len(left_behind(folder))
    return counts
