"""Checkpoints: files from which an interrupted training goes on as if it never had been.

A checkpoint is a model's file (see `archive`) with the weights that training would leave
if it ended now, and beside them what only a training in progress has: the weights under way,
their running mean, carried states, and where the training stands.
"""

import hashlib
import sys
import time
import warnings

import numpy as np
from tqdm import tqdm

from rnn4music.runs import PUBLIC_NAMES

SECONDS_BETWEEN = 60
"""Unless a number of updates is asked for."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; training goes on."""


class AnotherTraining(ValueError):
    """A checkpoint is there, but of a training with other data or options."""


class Checkpoint:
    """Writes checkpoints when they are due.

    Parameters
    ----------
    path : path
    every : int or None
        Updates between two; None for once a minute.
    write : callable
        Writes the file at `path`, whole or not at all, or raises OSError.
    """

    def __init__(self, path, every, write):
        self.path, self.every, self._write = path, every, write
        self.n_updates = 0
        self.written_at = time.monotonic()
        self.failed = False

    def first(self):
        """Write before anything is learned: what cannot be written is told before it matters."""
        self._write()

    def is_due(self):
        """Count an update; return whether it is time to write."""
        self.n_updates += 1
        if self.every is not None:
            return self.n_updates % self.every == 0
        return time.monotonic() - self.written_at >= SECONDS_BETWEEN

    def write(self, told=False):
        """Write; where that fails, warn, and let the training go on.

        Parameters
        ----------
        told : bool
            Whether to tell on standard error where the file is.
        """
        self.written_at = time.monotonic()
        try:
            self._write()
        except OSError as error:
            if not self.failed:  # not again each minute of the night
                warnings.warn(
                    f"the checkpoint {self.path} could not be written ({error}); training goes on, "
                    "and tries again. An earlier checkpoint there is untouched. Make room, or "
                    "stop with Ctrl-C and save the model elsewhere with saveParameters",
                    CheckpointWarning,
                    stacklevel=2,
                )
            self.failed = True
        else:
            self.failed = False
            if told:
                tqdm.write(f"saved in {self.path}; resume=True goes on there", file=sys.stderr)


def fingerprint(tunes):
    """Return a text that tells whether two datasets are the same."""
    digest = hashlib.sha256()
    for tune in tunes:
        digest.update(repr(tune.shape).encode())
        digest.update(np.ascontiguousarray(tune, np.float32).tobytes())
    return digest.hexdigest()[:16]


def description(tunes, validation, plan, options, settings):
    """Return all that a training must have in common with the checkpoint that it goes on from."""
    about = {**options, **plan._asdict(), **settings}
    about = {PUBLIC_NAMES.get(name, name): value for name, value in about.items()}
    for free in ("noOfEpoch", "genProbThreshold"):
        del about[free]
    about["dataset"] = fingerprint(tunes)
    about["validation"] = None if validation is None else fingerprint(validation)
    return about


def check_same(path, saved, asked):
    """Raise `AnotherTraining` that tells what is asked for otherwise than in a checkpoint."""
    different = [
        f"{name} is {saved.get(name)!r} there and {asked[name]!r} here"
        for name in asked
        if saved.get(name) != asked[name]
    ]
    if different:
        raise AnotherTraining(
            f"{path} is the checkpoint of another training: {'; '.join(different)}. Go on with "
            "what it was begun with, give another checkpoint=, or leave resume=True out to "
            "begin anew (the file is then overwritten)"
        )
