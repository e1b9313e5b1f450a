"""Following a training: an interface, a log in JSON lines, and TensorBoard.

>>> from rnn4music.training import Callback
>>> class Listen(Callback):                                     # a tune after every epoch
...     def on_epoch(self, model, history):
...         tune, _ = model.genMusic(None, 100)
...         midiwrite(f"epoch{history.epochs}.mid", tune)
>>> model.train(dataset, 1, 30, 5, 100, callbacks=[Listen()])   # doctest: +SKIP

Callbacks look on: the random numbers that they draw from the model, to compose for example, are
not missed by the training, which learns the same with them and without.
"""

import errno
import json
import warnings
from datetime import datetime, timezone
from pathlib import Path

from midi.files import opened


class LogWarning(UserWarning):
    """Lines of a log could not be written; training goes on."""


class Callback:
    """What `RNN4Music.train` calls; each method does nothing unless you write it anew.

    `model` has the weights under way, and after `on_end` those that training leaves; `history`
    is the `training.History` of this training so far. An error in a callback ends the training,
    which keeps what was learned.
    """

    def on_start(self, model, history):
        """Before the first update; after an interruption `history` has what came before."""

    def on_update(self, model, history):
        """Follow an update: ``history.cost[-1]`` is the cost before it. True ends the training."""

    def on_epoch(self, model, history):
        """Follow an epoch: ``history.validation[-1]`` scores it. True ends the training."""

    def on_end(self, model, history):
        """Last of all, whatever ended the training."""


def checked_callbacks(callbacks):
    """Return a list of callbacks: of one, of several, of None.

    Raises
    ------
    TypeError
        For what is no callback.
    """
    callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(
                f"{callback!r} is no callback: derive its class from "
                "rnn4music.training.callbacks.Callback, and give an object of that class"
            )
    return callbacks


class Following:
    """The callbacks of one training, and the model that they look at.

    Parameters
    ----------
    callbacks : list of Callback
    model : RNN4Music
    rng : numpy.random.Generator
        The model's; each call finds it, and leaves it, as training does.
    """

    def __init__(self, callbacks, model, rng):
        self.callbacks, self.model, self.rng = callbacks, model, rng

    def call(self, event, history):
        """Call a method of each callback; return whether one of them answered True."""
        answers = []
        for callback in self.callbacks:
            state = self.rng.bit_generator.state
            try:
                answers.append(getattr(callback, event)(self.model, history))
            finally:
                self.rng.bit_generator.state = state
        return any(answers)


class JsonLines(Callback):
    """A log that programs read: one JSON object a line, added to a file.

    Each has ``event`` (start, update, epoch or end) and ``update``, how many were made. A
    training that goes on from a checkpoint makes the updates since then once more: of two
    lines with the same number the later one counts. Lines that cannot be written later than the
    first, since a disk is full, are left out with one `LogWarning`.

    Parameters
    ----------
    path : path
    every : int
        Updates from one line to the next.
    """

    def __init__(self, path, every=1):
        if every < 1:
            raise ValueError(f"every must be at least 1, but is {every}")
        self.path, self.every, self.failed = Path(path).expanduser(), every, False
        if self.path.exists():
            with opened(self.path) as file:
                if file.read(1) not in (b"", b"{"):
                    raise ValueError(
                        f"{path} is there, and is no log in JSON lines; choose another"
                    )

    def on_start(self, model, history):
        """Say when, with what settings, and with what baseline of the validation."""
        self._add("start", history, settings=model.settings(), baseline=history.baseline)

    def on_update(self, model, history):
        """Give the cost and the seconds of the update."""
        if len(history.cost) % self.every == 0:
            cost, seconds = history.cost[-1], history.seconds[-1]
            self._add("update", history, cost=cost, seconds=round(seconds, 6))

    def on_epoch(self, model, history):
        """Give the validation and the factor on the learning rates."""
        validation, rate_factor = history.validation[-1], history.rate_factor[-1]
        self._add("epoch", history, validation=validation, rate_factor=rate_factor)

    def on_end(self, model, history):
        """Say which epoch was the best."""
        self._add("end", history, best_epoch=history.best_epoch)

    def _add(self, event, history, **values):
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = {"event": event, "time": now, "update": len(history.cost), "epoch": history.epochs}
        try:
            self._write(json.dumps({**line, **values}).encode() + b"\n")
        except OSError as error:
            is_told, self.failed = self.failed, True
            if event == "start":
                raise
            if not is_told:
                warnings.warn(
                    f"{self.path} lacks lines from update {len(history.cost)} on ({error}); "
                    "training goes on",
                    LogWarning,
                    stacklevel=2,
                )
        else:
            self.failed = False

    def _write(self, line):
        # One write of a whole line in append mode: nothing stays open, or half written.
        with open(self.path, "ab", buffering=0) as file:
            before = file.tell()
            if file.write(line) != len(line):
                file.truncate(before)
                raise OSError(errno.ENOSPC, "no space left for a line")
