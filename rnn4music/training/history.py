"""History of a training: costs, validation, times."""

import math
import statistics
import warnings
from dataclasses import dataclass, field
from typing import ClassVar

_FAR = 2  # times the score of an untrained network


class BaselineWarning(UserWarning):
    """A training ended with a validation above the baseline, or diverged."""


def worse_than_baseline(nats, baseline, score="the best validation", is_improving=False):
    """Return a sentence on a score above the baseline, both in nats per step, and the remedies.

    Parameters
    ----------
    nats, baseline : float
    score : str
        What the score is.
    is_improving : bool
        Whether its last epoch was the best.
    """
    epochs = "more epochs, since the last one was the best, or " * is_improving
    return (
        f"{score} is {nats:.3f} nats per step, worse than the baseline of {baseline:.3f}, which "
        "predicts each pitch from that pitch alone: the model has not learned the music. Try "
        f"{epochs}more music; where they are not in use, also all twelve keys (--keys all, or "
        "dataset.in_keys()), Adam (rates of 0.002 to 0.004) and dropout (0.4)"
    )


def warn_of_baseline(nats, baseline, stacklevel, is_improving=False):
    """Warn of a validation above the baseline."""
    text = worse_than_baseline(nats, baseline, is_improving=is_improving)
    warnings.warn(text, BaselineWarning, stacklevel=stacklevel)


def divergence(history, n_pitches, window, rates):
    """Return a sentence if a training ended far above an untrained network, or "".

    The validation decides, or without one the cost of the last updates. An untrained network gives
    every note the probability 1/2.
    """
    what, untrained = "the best validation", n_pitches * math.log(2)
    if history.best_epoch is not None:
        nats = history.validation[history.best_epoch - 1]
    else:
        what, costs = "the cost of the last updates", history.cost[-10:]
        nats = statistics.median(costs) / (window - 1) if costs else 0
    if nats <= _FAR * untrained:
        return ""
    shown = ", ".join(f"{rate:g}" for rate in dict.fromkeys(rates))
    return (
        f"{what} is {nats:.1f} nats per step, far above the {untrained:.1f} of an untrained "
        f"network: the training diverged at learning rates of {shown}. Try much lower ones, such "
        "as 0.001"
    )


@dataclass(repr=False)
class History:
    """Record of a training; all lists are in chronological order."""

    cost: list = field(default_factory=list)  # of each update: nats per tune and window
    seconds: list = field(default_factory=list)  # of each update, including compilation
    validation: list = field(default_factory=list)  # nats per step after each epoch, or None
    rate_factor: list = field(default_factory=list)  # on the learning rates in each epoch
    baseline: float | None = None  # nats per step of each pitch's Markov chain, fit to the tunes
    epochs: int = 0  # completed
    interrupted: bool = False  # by Ctrl-C

    def __repr__(self):
        best = ""
        if self.best_epoch:
            nats = self.validation[self.best_epoch - 1]
            best = f", best validation {nats:.3f} after epoch {self.best_epoch}"
        if self.is_worse_than_baseline:
            best += f", worse than the baseline of {self.baseline:.3f}"
        updates, epochs = (
            f"{n} {noun}{'s' * (n != 1)}"
            for n, noun in ((len(self.cost), "update"), (self.epochs, "epoch"))
        )
        return f"History({updates}, {epochs}{best})"

    LISTS: ClassVar = ("cost", "seconds", "validation", "rate_factor")

    @property
    def best_epoch(self):
        """The epoch (counted from 1) with the lowest validation; None without any."""
        scored = [
            (nats, epoch) for epoch, nats in enumerate(self.validation, 1) if nats is not None
        ]
        return min(scored)[1] if scored else None

    @property
    def is_worse_than_baseline(self):
        """Whether the best validation is above the baseline; False if either is missing."""
        if self.best_epoch is None or self.baseline is None:
            return False
        return self.validation[self.best_epoch - 1] > self.baseline

    def followed_by(self, later):
        """Return this history joined with a later one."""
        lists = {name: getattr(self, name) + getattr(later, name) for name in self.LISTS}
        baseline = self.baseline if later.baseline is None else later.baseline
        epochs = self.epochs + later.epochs
        return History(**lists, baseline=baseline, epochs=epochs, interrupted=later.interrupted)

    def cut(self, lengths):
        """Split the history where it had these `lengths`; return the part before and after.

        Raises
        ------
        ValueError
            If it never had these lengths.
        """
        now = self.lengths()
        if lengths.keys() != now.keys() or not all(
            type(n) is int and 0 <= n <= now[name] for name, n in lengths.items()
        ):
            raise ValueError(f"a history of the lengths {now} cannot have had {lengths}")
        before, after = History(epochs=lengths["epochs"]), History(baseline=self.baseline)
        after.epochs = self.epochs - before.epochs
        for name in self.LISTS:
            entries = getattr(self, name)
            setattr(before, name, entries[: lengths[name]])
            setattr(after, name, entries[lengths[name] :])
        return before, after

    def lengths(self):
        """Return the length of each list, and the epochs."""
        return {**{name: len(getattr(self, name)) for name in self.LISTS}, "epochs": self.epochs}

    def to_dict(self):
        """Return plain lists and numbers."""
        return {**vars(self), **{name: list(getattr(self, name)) for name in self.LISTS}}

    @classmethod
    def from_dict(cls, values):
        """Return the history of a dict from `to_dict`, which is checked."""
        for name in cls.LISTS:
            kind = (float, type(None)) if name == "validation" else float
            entries = values.get(name, [])
            if not isinstance(entries, list) or not all(isinstance(e, kind) for e in entries):
                raise ValueError(f"the history's {name} must be a list of numbers")
        if not isinstance(values.get("baseline"), (float, type(None))):
            raise ValueError("the history's baseline must be a number")
        if type(values.get("epochs", 0)) is not int:
            raise ValueError("the history's epochs must be a whole number")
        if type(values.get("interrupted", False)) is not bool:
            raise ValueError("the history's interrupted must be true or false")
        return cls(**values)
