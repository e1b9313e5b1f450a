"""The training loop: progress, history, early stopping, interruptions, exploding costs."""

import contextlib
import math
import time
from dataclasses import dataclass
from typing import NamedTuple

from tqdm import tqdm

from rnn4music._utils import checks
from rnn4music._utils.console import STDERR, log
from rnn4music._utils.signals import interruptible


class TrainingDiverged(FloatingPointError):
    """The cost or a weight became NaN or infinite; the weights are the last good ones."""


class Plan(NamedTuple):
    """How long to train, and what to do when the validation stops falling."""

    epochs: int
    updates_per_minibatch: int = 1
    patience: int | None = None  # epochs without a better validation until training ends
    decay_patience: int | None = None  # until the learning rates are lowered
    rate_decay: float = 0.5  # factor that lowers them


@dataclass
class Standing:
    """Where a training stands: all that decides how it goes on, beside the weights."""

    epoch: int = 0  # completed
    update: int = 0  # made in the epoch under way
    seed: int | None = None  # of the epoch under way
    rate_factor: float = 1.0
    best: float | None = None  # nats per step of the best validation
    waited: int = 0  # epochs since then
    since_decay: int = 0  # epochs since then, or since the rates were lowered

    def is_over(self, plan):
        """Return whether no epoch is left."""
        waited = plan.patience is not None and self.waited >= plan.patience
        return waited or self.epoch >= plan.epochs

    def complete_epoch(self, nats, plan):
        """Count an epoch with its validation (or None); return whether it is the best."""
        self.epoch, self.update, self.seed = self.epoch + 1, 0, None
        if nats is None:
            return False
        if self.best is None or nats < self.best:
            self.best, self.waited, self.since_decay = nats, 0, 0
            return True
        self.waited, self.since_decay = self.waited + 1, self.since_decay + 1
        if plan.decay_patience is not None and self.since_decay >= plan.decay_patience:
            self.rate_factor, self.since_decay = self.rate_factor * plan.rate_decay, 0
        return False

    @classmethod
    def from_dict(cls, values):
        """Return the standing of a dict such as `vars` gives, checked."""
        if values.keys() != vars(cls()).keys():
            raise ValueError(f"the training stands at {values!r}")
        for name in ("epoch", "update", "waited", "since_decay"):
            checks.integer(name, values[name], low=0)
        if values["seed"] is not None:
            checks.integer("seed", values["seed"], low=0)
        if values["best"] is not None:
            checks.number("best", values["best"])
        checks.number("rate_factor", values["rate_factor"], above=0, high=1)
        return cls(**values)


def train(
    run, plan, standing, history, checkpoint=None, compiling=None, progress=True, callbacks=None
):
    """Run the updates and record them in `history`.

    Parameters
    ----------
    run : object
        Has `draw_seed()`, for an epoch; `minibatches(seed)`, those of the epoch, and
        `n_minibatches()`, about how many; `update(minibatch, visit, seed, number,
        rate_factor=)`, which returns the cost before the update; `validates`, and if so
        `validate()`, nats per step, and `keep_best()`, called after the best; `leave_result()`,
        called at the end; and `store`, with `snapshot()`, `restore(snapshot)`, `is_finite()`.
    plan : Plan
    standing : Standing
        Where to go on; changed in place.
    history : History
        Changed in place, so that it is complete whatever ends the training.
    checkpoint : object, optional
        Has `first()`, `is_due()`, asked after each update, and `write(last=, stopped=)`.
    compiling : str, optional
        What to say before the first update, which compiles.
    progress : bool
        Whether to show a progress bar on standard error.
    callbacks : callbacks.Following, optional

    Raises
    ------
    ConnectionError
        If the cluster that updates are made on is lost; a checkpoint is written then.
    TrainingDiverged
        If the cost or the weights stop being finite. The weights with the best validation are
        in place then, or, where there was none yet, those with which the cost was last finite.
    """
    store = run.store
    good = checked = store.snapshot()

    def diverged(what):
        store.restore(good)
        if not store.is_finite():  # an average had overflowed, unseen in the cost
            store.restore(checked)
        again = " (and give another checkpoint=)" if checkpoint else ""
        return TrainingDiverged(
            f"{what} at update {len(history.cost) + 1}; the last good weights are in place. "
            "Try lower learning rates (setNewRates), a lower gradClip or sparseParam, or smaller "
            f"initial weights (sigRand){again}"
        )

    def ensure_finite():
        if not store.is_finite():
            raise diverged("a weight or an average is no longer finite")

    visits = plan.updates_per_minibatch
    shown = {}  # beside the cost
    if history.validation and history.validation[-1] is not None:
        shown["validation"] = f"{history.validation[-1]:.3f}"
    is_enough = False  # for a callback
    bar = tqdm(
        total=plan.epochs * visits * run.n_minibatches(),
        initial=len(history.cost),
        desc="training",
        unit="update",
        disable=not progress,
        file=STDERR,
    )

    def update(minibatch, visit):
        nonlocal good, compiling
        if compiling:
            bar.set_description(compiling)
        started = time.perf_counter()
        before = store.snapshot()
        try:
            cost = run.update(
                minibatch,
                visit,
                standing.seed,
                standing.update,
                rate_factor=standing.rate_factor,
            )
        except BaseException as error:  # such as a second Ctrl-C: leave nothing half updated
            store.restore(before)
            if checkpoint and isinstance(error, ConnectionError):  # a cluster is lost
                checkpoint.write(last=True, stopped=True)
            raise
        if not math.isfinite(cost):
            raise diverged(f"the cost became {cost}")
        good = before
        standing.update += 1
        history.cost.append(cost)
        history.seconds.append(time.perf_counter() - started)
        if compiling:
            bar.set_description("training")
            bar.unpause()  # keeps compiling out of the estimate
            compiling = None
        bar.update()
        bar.set_postfix({"cost": f"{cost:.1f}", **shown}, refresh=False)

    def finish_epoch():
        """Make the updates that the epoch lacks; return whether all of them are made."""
        nonlocal is_enough
        for index, minibatch in enumerate(run.minibatches(standing.seed), start=1):
            if is_enough or interrupted.is_set():  # also while those already done are read over
                return False
            while standing.update < index * visits:  # not for those before an interruption
                if is_enough or interrupted.is_set():
                    return False
                update(minibatch, standing.update % visits)
                if callbacks:
                    is_enough = callbacks.call("on_update", history)
                if checkpoint and checkpoint.is_due():
                    ensure_finite()
                    checkpoint.write()
        return True

    with (
        bar,
        interruptible(history, catch_sigterm=checkpoint is not None) as interrupted,
        contextlib.ExitStack() as at_the_end,
    ):
        if callbacks:
            at_the_end.callback(callbacks.call, "on_end", history)
        at_the_end.callback(run.leave_result)  # whatever ends the training
        if checkpoint:
            checkpoint.first()
        if callbacks:
            callbacks.call("on_start", history)
        if standing.is_over(plan):
            log(f"nothing is left to train: {standing.epoch} epochs are done")
        while not (is_enough or interrupted.is_set() or standing.is_over(plan)):
            if standing.seed is None:
                standing.seed = run.draw_seed()
            if not finish_epoch() or (run.validates and interrupted.is_set()):
                break  # the epoch is complete when it is scored, which may take long
            ensure_finite()
            checked = store.snapshot()
            nats = run.validate() if run.validates else None
            if nats is not None and not math.isfinite(nats):
                raise diverged(f"the validation became {nats}")
            history.validation.append(nats)
            history.rate_factor.append(standing.rate_factor)
            history.epochs += 1
            if standing.complete_epoch(nats, plan):
                run.keep_best()
            if nats is not None:
                shown["validation"] = f"{nats:.3f}"
            if callbacks:
                is_enough = callbacks.call("on_epoch", history) or is_enough
        if interrupted.is_set():
            bar.set_description("stopped, keeping what was learned")
        if checkpoint:
            ensure_finite()
            checkpoint.write(last=True, stopped=interrupted.is_set())
