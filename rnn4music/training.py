"""The training loop: progress, history, Ctrl-C, and what to do when the cost explodes."""

import contextlib
import math
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, field

from tqdm import tqdm


@dataclass
class History:
    """What happened in training; all lists grow in the order of time."""

    cost: list = field(default_factory=list)  # of each update: nats per tune and window
    seconds: list = field(default_factory=list)  # that each update took, compiling included
    validation: list = field(default_factory=list)  # nats per step after each epoch, or None
    epochs: int = 0  # completed
    interrupted: bool = False  # by Ctrl-C

    def extend(self, other):
        """Append a later history to this one."""
        self.cost += other.cost
        self.seconds += other.seconds
        self.validation += other.validation
        self.epochs += other.epochs
        self.interrupted = other.interrupted

    def to_dict(self):
        """Return plain lists and numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Return the history that `to_dict` gave, checked."""
        kinds = {"cost": float, "seconds": float, "validation": (float, type(None))}
        for name, kind in kinds.items():
            entries = values.get(name, [])
            if not isinstance(entries, list) or not all(isinstance(e, kind) for e in entries):
                raise ValueError(f"the history's {name} must be a list of numbers")
        if type(values.get("epochs", 0)) is not int:
            raise ValueError("the history's epochs must be a whole number")
        return cls(**values)


class TrainingDiverged(FloatingPointError):
    """The cost or a weight became NaN or infinite; the weights are the last good ones."""


def train(
    update,
    weights_store,
    minibatches,
    n_updates,
    updates_per_minibatch,
    n_epochs,
    history,
    validate=None,
    compiling=None,
    progress=True,
):
    """Run the updates and record them in `history`.

    Parameters
    ----------
    update : callable
        From a Minibatch to its cost before the update.
    weights_store : object
        Has `snapshot()`, `restore(snapshot)` and `is_finite()`.
    minibatches : callable
        Returns an iterable of the minibatches of one epoch.
    n_updates : int
        Updates in all, for the progress bar.
    updates_per_minibatch, n_epochs : int
    history : History
        Changed in place, so that it is complete whatever ends the training.
    validate : callable, optional
        Returns nats per step; called after each epoch.
    compiling : str, optional
        What to say before the first update, which compiles.
    progress : bool
        Whether to show a progress bar on standard error.

    Raises
    ------
    TrainingDiverged
        If the cost or the weights stop being finite. The weights with which the cost was
        last finite are restored first.
    """
    good = checked = weights_store.snapshot()

    def diverged(what):
        weights_store.restore(good)
        if not weights_store.is_finite():  # an average had overflowed, unseen in the cost
            weights_store.restore(checked)
        return TrainingDiverged(
            f"{what} at update {len(history.cost) + 1}; the last good weights are in place. "
            "Try lower learning rates (setNewRates), a lower gradClip or sparseParam, or smaller "
            "initial weights (sigRand)"
        )

    bar = tqdm(total=n_updates, desc="training", unit="update", disable=not progress)
    with bar, _interruptible(history) as interrupted:
        for _ in range(n_epochs):
            for minibatch in minibatches():
                for _ in range(updates_per_minibatch):
                    if interrupted.is_set():
                        bar.set_description("stopped by Ctrl-C, keeping what was learned")
                        return
                    if compiling:
                        bar.set_description(compiling)
                    started = time.perf_counter()
                    before = weights_store.snapshot()
                    try:
                        cost = update(minibatch)
                    except KeyboardInterrupt:  # the second one: leave nothing half updated
                        weights_store.restore(before)
                        raise
                    if not math.isfinite(cost):
                        raise diverged(f"the cost became {cost}")
                    good = before
                    history.cost.append(cost)
                    history.seconds.append(time.perf_counter() - started)
                    if compiling:
                        bar.set_description("training")
                        bar.unpause()  # keeps compiling out of the estimate
                        compiling = None
                    bar.update()
                    bar.set_postfix(cost=f"{cost:.1f}", refresh=False)
            if not weights_store.is_finite():
                raise diverged("a weight or an average is no longer finite")
            checked = weights_store.snapshot()
            nats = validate() if validate and not interrupted.is_set() else None
            history.validation.append(nats)
            history.epochs += 1


@contextlib.contextmanager
def _interruptible(history):
    """Let the first Ctrl-C finish the update under way; the second acts as ever.

    Whether there was one is recorded in the history, whatever happens after it.

    Yields
    ------
    threading.Event
        Set once Ctrl-C was pressed. Outside the main thread, where signals cannot be
        handled, and in a process that ignores Ctrl-C, it stays unset.
    """
    interrupted = threading.Event()
    in_main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.getsignal(signal.SIGINT)
    if not in_main_thread or previous in (None, signal.SIG_IGN):
        yield interrupted
        return

    def stop(number, frame):
        if interrupted.is_set():
            signal.signal(signal.SIGINT, previous)
            raise KeyboardInterrupt
        interrupted.set()
        tqdm.write("Ctrl-C: finishing what is under way (again: abort at once)", file=sys.stderr)

    signal.signal(signal.SIGINT, stop)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
        history.interrupted = interrupted.is_set()
