"""Checkpoints: files from which an interrupted training goes on as if it never had been.

A checkpoint is a model's file (see `saving.model_file`) with the weights that training would leave
if it ended now, and beside them what only a training in progress has: the weights under way,
carried states, and where the training stands.
"""

import hashlib
import os
import time
import warnings
from pathlib import Path

import numpy as np

from rnn4music._utils.console import tell
from rnn4music.data import pianoroll
from rnn4music.saving import model_file

SECONDS_BETWEEN = 60
"""Unless a number of updates is asked for."""

FREE = ("epochs", "patience", "genProbThreshold")
"""What may be otherwise when a training goes on."""


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

    def write(self, last=False, stopped=False):
        """Write; where that fails, warn, and let the training go on.

        Parameters
        ----------
        last : bool
            Whether training ends here: then a failure is told in any case.
        stopped : bool
            Whether it was stopped: then it is told where the file is.
        """
        self.written_at = time.monotonic()
        try:
            self._write()
        except OSError as error:
            advice = "save the model elsewhere with saveParameters"
            if not last:
                advice = f"training goes on, and tries again; make room, or stop and {advice}"
            if last or not self.failed:  # not again each minute of the night
                warnings.warn(
                    f"the checkpoint {self.path} could not be written ({error}), and stays as it "
                    f"was before; {advice}",
                    CheckpointWarning,
                    stacklevel=2,
                )
            self.failed = True
        else:
            self.failed = False
            if stopped:
                tell(f"saved in {self.path}; resume=True goes on there")


def checked_path(checkpoint, every, resume):
    """Return the checkpoint's file, or None; raise for what does not go together."""
    for name, value in {"checkpoint_every": every, "resume": resume or None}.items():
        if value is not None and checkpoint is None:
            raise ValueError(f"{name}={value} needs a file: give checkpoint=")
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, (str, os.PathLike)):
        raise TypeError(f"checkpoint must be a file's name, not {checkpoint!r}")
    if not Path(checkpoint).name:
        raise ValueError(f"checkpoint={str(checkpoint)!r} names no file; give such as 'night.npz'")
    path = model_file.npz_path(checkpoint)
    if path.is_dir():
        raise IsADirectoryError(f"the checkpoint {path} is a folder; choose another name")
    if path.exists() and not resume:
        raise FileExistsError(
            f"the checkpoint {path} is there already: resume=True goes on with it; to begin anew "
            "delete it, or choose another name"
        )
    return path


def fingerprint(tunes):
    """Return a text that tells whether two datasets are the same; None for none."""
    if tunes is None:
        return None
    if pianoroll.is_stored(tunes):
        return tunes.fingerprint
    digest = hashlib.sha256()
    for tune in tunes:
        digest.update(repr(tune.shape).encode())
        digest.update(np.ascontiguousarray(tune, np.float32).tobytes())
    n_steps = sum(map(len, tunes))
    return f"{len(tunes)} tunes, {n_steps} steps ({digest.hexdigest()[:16]})"


def extent(tunes):
    """Return how much music there is, as a text; None for none."""
    if tunes is None:
        return None
    return f"{len(tunes)} tune{'s' * (len(tunes) != 1)}, {pianoroll.lengths(tunes).sum()} steps"


def description(tunes, validation, plan, options, of=fingerprint):
    """Return all that a training must have in common with the checkpoint that it goes on from.

    With `extent` for the last argument the music itself is left out.
    """
    about = {**options._asdict(), **plan._asdict()}
    return {**about, "dataset": of(tunes), "validation": of(validation)}


def check_same(path, saved, asked):
    """Raise `AnotherTraining` that tells what is asked for otherwise than in a checkpoint."""
    different = [
        f"{name} is {saved.get(name)!r} there and {asked[name]!r} here"
        for name in asked
        if name not in FREE and saved.get(name) != asked[name]
    ]
    if different:
        raise AnotherTraining(
            f"{path} is the checkpoint of another training: {'; '.join(different)}. Go on with "
            "what it was begun with, or give another checkpoint=: RNN4Music.from_file(...) takes "
            "what was learned, to train it on otherwise"
        )
