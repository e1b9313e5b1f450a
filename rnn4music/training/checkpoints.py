"""Checkpoints: files from which an interrupted training resumes, bit for bit.

A checkpoint is a model file (see `saving.model_file`) with the weights that training would return
if it ended now. It also holds what only a training in progress has: the current weights, carried
states, and the position in the training.
"""

import hashlib
import os
import time
import warnings
from pathlib import Path

import numpy as np

from midi.text import count
from rnn4music._utils.console import log
from rnn4music._utils.differences import OtherOptions, differences
from rnn4music.data import pianoroll
from rnn4music.distributed.replicas import PeersLost
from rnn4music.saving import model_file
from rnn4music.training.callbacks import Callback

SECONDS_BETWEEN = 60
"""Seconds between two checkpoints, unless a number of updates is given."""

FREE = ("epochs", "patience", "genProbThreshold")
"""Options that may change when a training is resumed."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; training continues."""


class AnotherTraining(OtherOptions):
    """A checkpoint belongs to a training with other data or options."""


class CheckpointWriter(Callback):
    """Writes a training's checkpoint before the first update, when it is due, and at the end.

    Parameters
    ----------
    path : pathlib.Path
    every : int or None
        Updates between two checkpoints; None for once a minute.
    trainer : Trainer
    """

    def __init__(self, path, every, trainer):
        self.path, self.every, self.trainer = path, every, trainer
        self.n_updates, self.written_at, self.failed = 0, time.monotonic(), False

    def on_start(self, model, history):
        """Write before the first update, so that a file that cannot be written is an error."""
        self._write()

    def on_update(self, model, history):
        """Write if a checkpoint is due."""
        self.n_updates += 1
        is_due = time.monotonic() - self.written_at >= SECONDS_BETWEEN
        if self.n_updates % self.every == 0 if self.every else is_due:
            self._try_to_write()

    def on_end(self, model, history):
        """Write what was learned, unless an error other than lost processes ended the training."""
        error = self.trainer.ended_by
        stopped = error is not None or self.trainer.interrupted.is_set()
        if error is None or isinstance(error, PeersLost):
            self._try_to_write(is_last=True, stopped=stopped)

    def _write(self):
        model_file.write(self.path, **self.trainer.content())

    def _try_to_write(self, is_last=False, stopped=False):
        """Write; on failure warn and let training continue."""
        self.trainer.ensure_finite()
        self.written_at = time.monotonic()
        try:
            self._write()
        except OSError as error:
            advice = "save the model elsewhere"
            if not is_last:
                advice = f"training continues and will try again; make room, or stop and {advice}"
            if is_last or not self.failed:  # not again every minute
                warnings.warn(
                    f"the checkpoint {self.path} could not be written ({error}) and is unchanged; "
                    f"{advice}",
                    CheckpointWarning,
                    stacklevel=2,
                )
            self.failed = True
        else:
            self.failed = False
            if stopped:
                log(f"saved in {self.path}; resume the training to continue from there")


def checked_path(checkpoint, every, resume):
    """Return the checkpoint's path, or None; raise if the arguments do not fit together."""
    for name, value in {"checkpoint_every": every, "resume": resume or None}.items():
        if value is not None and checkpoint is None:
            raise ValueError(f"{name}={value} needs a checkpoint file: give checkpoint")
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, (str, os.PathLike)):
        raise TypeError(f"checkpoint must be a file name, not {checkpoint!r}")
    if not Path(checkpoint).name:
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} does not name a file; give, for example, 'night.npz'"
        )
    path = model_file.npz_path(checkpoint)
    if path.is_dir():
        raise IsADirectoryError(f"the checkpoint {path} is a folder; choose another name")
    if path.exists() and not resume:
        raise FileExistsError(
            f"the checkpoint {path} already exists: resume it, delete it, or choose another name"
        )
    return path


def fingerprint(tunes):
    """Return a text that identifies a dataset; None for None."""
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
    """Return the numbers of tunes and steps as a text; None for None."""
    if tunes is None:
        return None
    counts = (len(tunes), "tune"), (pianoroll.lengths(tunes).sum(), "step")
    return ", ".join(count(*each).replace(",", "") for each in counts)  # as in earlier files


def description(tunes, validation, config, of=fingerprint):
    """Return everything that a training must share with the checkpoint it resumes from.

    With `extent` as the last argument the music counts by its amount alone.
    """
    return {**config.to_dict(), "dataset": of(tunes), "validation": of(validation)}


def check_same(path, existing, expected, keeps_silence=False):
    """Raise `AnotherTraining` if a checkpoint does not match what is expected."""
    existing = {"beginnings": False, **existing}  # which earlier versions did not have
    expected = {name: value for name, value in expected.items() if name not in FREE}
    if differences(existing, expected):
        end, music = "", {"dataset", "validation"} & expected.keys()
        if keeps_silence and differences(existing, {name: expected[name] for name in music}):
            end = (
                ". If an earlier version wrote it, its music keeps silence: give --keep-silence "
                "(in Python keep_silence=True)"
            )
        raise AnotherTraining(
            f"{path} is the checkpoint of another training: it was trained with ",
            existing,
            expected,
            f"{end}. Resume it with its own options, or choose another checkpoint. A new training "
            "can start from the model in this file",
        )
