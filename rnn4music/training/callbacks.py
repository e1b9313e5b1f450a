"""Callbacks of a training: the interface, the trainer's own callbacks, and a log in JSON Lines.

>>> from rnn4music.training import Callback
>>> class Listen(Callback):                                     # a tune after every epoch
...     def on_epoch(self, model, history):
...         tune, _ = model.genMusic(None, 100)
...         midiwrite(f"epoch{history.epochs}.mid", tune)
>>> model.train(dataset, 1, 30, 5, 100, callbacks=[Listen()])   # doctest: +SKIP

Callbacks do not affect what is learned: the model's random generator is restored after each call,
so a callback may compose with the model.
"""

import contextlib
import errno
import itertools
import json
import math
import time
import warnings
from datetime import datetime, timezone

from tqdm import tqdm

from midi.files import expanded, opened
from midi.text import count
from rnn4music._utils.console import STDERR, log, shows_bars

_EPOCHS_AHEAD, _TUNES_AHEAD = 1000, 10**6
"""At most this many epochs, and tunes in them, are planned before the first update."""
_MOST_LINES = 100  # epochs that have a line however short they are


class LogWarning(UserWarning):
    """Lines of a log could not be written; training continues."""


class Callback:
    """Base class of callbacks: `RNN4Music.train` calls its methods, which do nothing by default.

    `model` has the current weights, in `on_end` those that training returns. `history` is the
    `training.History` of this training so far. An error in a callback ends the training; the
    model keeps what was learned.
    """

    def on_start(self, model, history):
        """Called before the first update; a resumed `history` includes the earlier updates."""

    def on_update(self, model, history):
        """Called after an update of cost ``history.cost[-1]``; return True to end the training."""

    def on_epoch(self, model, history):
        """Called after an epoch and its ``history.validation[-1]``; True ends the training."""

    def on_end(self, model, history):
        """Called at the end, however the training ended."""


def checked_callbacks(callbacks):
    """Return a list of callbacks, given one, several or None.

    Raises
    ------
    TypeError
        For anything else.
    """
    callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(
                f"{callback!r} is not a callback: derive its class from "
                "rnn4music.training.Callback, and give an object of that class"
            )
    return callbacks


class CallbackList:
    """The callbacks of one training.

    At the start and at the end the trainer's own callbacks are called first. After an update or an
    epoch they are called last, so that a checkpoint includes what the user's callbacks did.

    Parameters
    ----------
    own, users : list of Callback
        The trainer's and the user's callbacks. The random generator is restored after each call
        of a user's callback.
    trainer : Trainer
    """

    def __init__(self, own, users, trainer):
        self.own, self.users, self.trainer = own, users, trainer

    def on_start(self):
        """Return whether nothing is left to train."""
        is_over = any(self._call_own("on_start"))
        self._call_users("on_start")
        return is_over

    def on_update(self):
        """Return whether a callback ends the training."""
        return any([*self._call_users("on_update"), *self._call_own("on_update")])

    def on_epoch(self):
        """Return whether a callback ends the training."""
        return any([*self._call_users("on_epoch"), *self._call_own("on_epoch")])

    @contextlib.contextmanager
    def ending(self):
        """Call `on_end` of all callbacks, even if the block or one of them raises."""
        with contextlib.ExitStack() as stack:  # calls the last one pushed first
            for callback in reversed(self.users):
                stack.callback(self._call, callback, "on_end")
            for callback in reversed(self.own):
                stack.callback(callback.on_end, self.trainer.model, self.trainer.history)
            try:
                yield
            except BaseException as error:
                self.trainer.ended_by = error
                raise

    def _call_own(self, event):
        model, history = self.trainer.model, self.trainer.history
        return [getattr(callback, event)(model, history) for callback in self.own]

    def _call_users(self, event):
        return [self._call(callback, event) for callback in self.users]

    def _call(self, callback, event):
        generator = self.trainer.rng.bit_generator
        state = generator.state
        try:
            return getattr(callback, event)(self.trainer.model, self.trainer.history)
        finally:
            generator.state = state


class TimeLimit(Callback):
    """Ends a training after the epoch in which a time is over, or amid the first epoch.

    Parameters
    ----------
    minutes : float or None
        Of this call of `train`, compilation and scoring included; None never ends it.
    """

    def __init__(self, minutes):
        self.minutes, self.end, self.n_before = minutes, math.inf, 0

    def on_start(self, model, history):
        """Start the clock."""
        self.n_before = history.epochs
        if self.minutes is not None:
            self.end = time.monotonic() + 60 * self.minutes

    def on_update(self, model, history):
        """End a training whose first epoch takes longer."""
        return history.epochs == self.n_before and self.is_over()

    def on_epoch(self, model, history):
        """End the training when the time is over."""
        return self.is_over()

    def is_over(self):
        """Return whether the time is over."""
        return time.monotonic() >= self.end


class EarlyStopping(Callback):
    """Ends a training whose validation no longer improves.

    Parameters
    ----------
    patience : int or None
        Epochs without improvement after which training ends; None never ends it.
    """

    def __init__(self, patience):
        self.patience = patience

    def on_start(self, model, history):
        """End a resumed training whose patience is used up."""
        return self.on_epoch(model, history)

    def on_epoch(self, model, history):
        """Count the epochs since the best one."""
        if self.patience is None or history.best_epoch is None:
            return False
        return history.epochs - history.best_epoch >= self.patience


class ResultInPlace(Callback):
    """Replaces the current weights with the training's result."""

    def __init__(self, trainer):
        self.trainer = trainer

    def on_end(self, model, history):
        """See `Trainer.leave_result`."""
        self.trainer.leave_result()


class ProgressBar(Callback):
    """Shows the progress of a training on standard error, with an estimate of the time left.

    A terminal shows a bar; anything else, such as a file, gets a line for each epoch, after the
    first hundred at most one a second.

    Parameters
    ----------
    trainer : Trainer
    limit : TimeLimit
    """

    def __init__(self, trainer, limit):
        self.trainer, self.limit, self.bar = trainer, limit, None
        self.is_compiling = trainer.compiles()

    def on_start(self, model, history):
        """Count the updates, and open the bar."""
        trainer, has_lines = self.trainer, not shows_bars()
        self.n_before = len(history.cost) - trainer.state.update  # in complete epochs
        self.n_epochs = max(0, trainer.config.epochs - trainer.state.epoch)
        self.plan = trainer.updates_per_epoch()
        n_planned = min(_EPOCHS_AHEAD, _TUNES_AHEAD // len(trainer.tunes))
        self.planned = list(itertools.islice(self.plan, max(1, n_planned)))
        self.measured_from = math.nan, len(history.cost)
        self.bar = tqdm(
            total=self._total(),
            initial=len(history.cost),
            desc="compiling (once for this size)" if self.is_compiling else "training",
            unit="update",
            file=STDERR,
            disable=has_lines,
        )
        self.started = self.printed = time.monotonic()
        self.measured_from = self.started, len(history.cost)
        if has_lines and self.n_epochs:
            compiling = ", compiling first" if self.is_compiling else ""
            log(
                f"training: epoch {history.epochs + 1} of {trainer.config.epochs}, "
                f"update {len(history.cost) + 1} of {self.bar.total}{compiling}"
            )

    def on_update(self, model, history):
        """Advance the bar; compiling, in the first update, does not count in the estimate."""
        assert self.bar is not None
        if self.is_compiling:
            self.is_compiling = False
            self.bar.set_description("training")
            self.bar.unpause()
            self.measured_from = time.monotonic(), len(history.cost)
        if self.limit.minutes is not None:
            self.bar.total = self._total()
        self.bar.update()
        self.bar.set_postfix(self._scores(history), refresh=False)

    def on_epoch(self, model, history):
        """Show the validation."""
        assert self.bar is not None
        self.planned += itertools.islice(self.plan, 1)
        self.bar.total = self._total()
        self.bar.set_postfix(self._scores(history))
        if not self.bar.disable:
            return
        is_due = time.monotonic() - self.printed >= 1 or self.trainer.is_over()
        if is_due or history.epochs <= _MOST_LINES:
            self.printed = time.monotonic()
            log(self._line(history))

    def on_end(self, model, history):
        """Close the bar."""
        if self.bar is None:
            return
        reason = self._reason(history)
        if reason and self.bar.disable:
            log(f"{reason}: update {len(history.cost)} of {self.bar.total}")
        self.bar.set_description(reason or "training")
        self.bar.close()

    def _reason(self, history):
        """Return why training ended before its last epoch, or ""."""
        if self.trainer.interrupted.is_set():
            return "stopped, keeping the result"
        if self.trainer.ended_by is not None or self.trainer.is_over():
            return ""
        if self.limit.is_over():
            return f"ended after {count(self.limit.minutes, 'minute')}"
        if EarlyStopping(self.trainer.config.patience).on_epoch(None, history):
            return f"ended after {count(self.trainer.config.patience, 'epoch')} without improvement"
        return "ended by a callback"

    def _total(self):
        """Return the number of updates; epochs beyond the planned ones count as their mean."""
        n = sum(self.planned)
        n_unplanned = self.n_epochs - len(self.planned)
        total = self.n_before + n + (round(n_unplanned * n / len(self.planned)) if n else 0)
        (since, n_then), n_now = self.measured_from, len(self.trainer.history.cost)
        if self.limit.minutes is None or n_now == n_then:
            return total
        now = time.monotonic()
        per_update = (now - since) / (n_now - n_then)
        return min(total, n_now + max(0, round((self.limit.end - now) / per_update)))

    def _scores(self, history):
        scores = {"cost": f"{history.cost[-1]:.1f}"} if history.cost else {}
        if history.validation and history.validation[-1] is not None:
            scores["validation"] = f"{history.validation[-1]:.3f}"
        return scores

    def _line(self, history):
        """Return the line for an epoch."""
        assert self.bar is not None
        now, n, total = time.monotonic(), len(history.cost), self.bar.total
        since, n_then = self.measured_from
        text = f"epoch {history.epochs} of {self.trainer.config.epochs}, update {n} of {total}: "
        text += ", ".join(f"{name} {value}" for name, value in self._scores(history).items())
        text += f"; {tqdm.format_interval(now - self.started)} elapsed"
        if n_then < n < total:
            left = (now - since) / (n - n_then) * (total - n)
            text += f", about {tqdm.format_interval(left)} left"
        return text


class JsonLines(Callback):
    """A log for programs: one JSON object per line, appended to a file.

    Each object has ``event`` (start, update, epoch or end) and ``update``, the number of updates
    so far. A training that is resumed repeats the updates since its checkpoint: of two lines with
    the same number the later one counts. If the first line cannot be written, an OSError is
    raised. Later lines that do not fit on the disk are dropped, with one `LogWarning`.

    Parameters
    ----------
    path : path
    every : int
        Number of updates from one line to the next.
    """

    def __init__(self, path, every=1):
        if every < 1:
            raise ValueError(f"every must be at least 1, but is {every}")
        self.path, self.every, self.failed = expanded(path), every, False
        if self.path.exists():
            with opened(self.path) as file:
                if file.read(1) not in (b"", b"{"):
                    raise ValueError(
                        f"{path} exists and is not a JSON Lines log; choose another file"
                    )

    def on_start(self, model, history):
        """Log the time, the settings, and the baseline of the validation."""
        self._add("start", history, settings=model.settings(), baseline=history.baseline)

    def on_update(self, model, history):
        """Log the cost and the duration of the update."""
        if len(history.cost) % self.every == 0:
            cost, seconds = history.cost[-1], history.seconds[-1]
            self._add("update", history, cost=cost, seconds=round(seconds, 6))

    def on_epoch(self, model, history):
        """Log the validation and the factor on the learning rates."""
        validation, rate_factor = history.validation[-1], history.rate_factor[-1]
        self._add("epoch", history, validation=validation, rate_factor=rate_factor)

    def on_end(self, model, history):
        """Log the best epoch."""
        self._add("end", history, best_epoch=history.best_epoch)

    def _add(self, event, history, **values):
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = {"event": event, "time": now, "update": len(history.cost), "epoch": history.epochs}
        try:
            self._write(json.dumps({**line, **values}).encode() + b"\n")
        except OSError as error:
            was_reported, self.failed = self.failed, True
            if event == "start":
                raise
            if not was_reported:
                warnings.warn(
                    f"{self.path} lacks lines from update {len(history.cost)} on ({error}); "
                    "training continues",
                    LogWarning,
                    stacklevel=2,
                )
        else:
            self.failed = False

    def _write(self, line):
        # One write of a whole line in append mode: no file stays open, no line is half written.
        with open(self.path, "ab", buffering=0) as file:
            before = file.tell()
            if file.write(line) != len(line):
                file.truncate(before)
                raise OSError(errno.ENOSPC, "no space left for a line")
