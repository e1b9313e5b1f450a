"""Synchronous data-parallel training on the workers of a Dask cluster.

The columns of each minibatch are divided into parts, one for each worker present at the start. An
update sends the weights and the columns of a part to each worker, which runs forward and backward
through them. The gradients come back, each in one flat array, and their sum changes the weights in
this process. A column has the weight 1 / number of tunes in the whole minibatch, so that the sum is
the gradient of the minibatch (Dean et al. 2012 and many since; here no worker is ever ahead or
behind).

A worker keeps only its compiled functions, so any worker can compute any part at any time. If one
dies, another computes its part, with the same bits on the same kind of processor. A new worker
takes part as soon as it has compiled.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter
from typing import Any

import numpy as np

from rnn4music._utils.console import log
from rnn4music.distributed.cluster import SECONDS_TO_BEGIN, ClusterLost, addresses, n_requested
from rnn4music.training.replica import Part, Replica, flattened, packed, split, widened
from rnn4music.training.trainer import Trainer

_SECONDS_BETWEEN_LOOKS = 2  # for workers, where some are missing
_MOST_ATTEMPTS = 4  # at a part


class Workers:
    """The workers that compute the parts of an update.

    Parameters
    ----------
    client : distributed.Client
    task : tuple
        The arguments of `Replica`.
    n_parts : int
    """

    def __init__(self, client, task, n_parts):
        self.client, self.task, self.n_parts = client, task, n_parts
        self.ready, self.coming = {}, {}  # actors, and futures of actors, by address
        self.n_used = 0
        self.looked_at = -math.inf

    def compute(self, weights, parts):
        """Return the `Gradient` of each part.

        Raises
        ------
        ClusterLost
            If no worker is left and none appears, or every worker dies that computes a part.
        """
        answers = {}
        for _ in range(_MOST_ATTEMPTS):
            self.wait()
            actors, futures = list(self.ready.items()), {}
            self.n_used = len(actors)
            for k in range(len(parts)):
                address, actor = actors[k % len(actors)]
                if k not in answers:
                    with self._losing(address):
                        futures[k] = address, actor.gradient(weights, parts[k])
            for k, (address, future) in futures.items():
                with self._losing(address):
                    answers[k] = self._result(address, future)
            if len(answers) == len(parts):
                break
        else:
            lost = min(set(range(len(parts))) - answers.keys())
            raise ClusterLost(
                f"part {lost} of an update was lost with its worker {_MOST_ATTEMPTS} times; "
                "the workers' logs may show the reason, such as too little memory"
            )
        for answer in answers.values():
            if isinstance(answer, Exception):
                raise answer
        return [answers[k] for k in range(len(parts))]

    @contextlib.contextmanager
    def _losing(self, address):
        """Drop a worker that cannot be reached; Dask raises various errors for this."""
        try:
            yield
        except Exception:
            if self.ready.pop(address, None):
                log(f"the worker {address} is lost")
            self.looked_at = -math.inf

    def _result(self, address, future):
        """Wait for an answer while the worker is alive; Dask would wait for a dead one, too."""
        while True:
            try:
                return future.result(timeout=_SECONDS_BETWEEN_LOOKS)
            except (TimeoutError, asyncio.TimeoutError):  # two classes in Python 3.10
                if address not in addresses(self.client):
                    raise ConnectionError("it is gone") from None

    def wait(self, for_all=False):
        """Wait until a worker is ready; with `for_all`, up to a minute for all that are compiling.

        Raises
        ------
        ClusterLost
            If there is no worker for a minute, not even one that is compiling.
        """
        begun = seen = time.monotonic()
        self._look()
        while not self.ready or (for_all and self.coming and seen - begun < SECONDS_TO_BEGIN):
            now = time.monotonic()
            seen = now if self.ready or self.coming else seen
            if now - seen > SECONDS_TO_BEGIN:
                raise ClusterLost(
                    f"all workers are lost, and no new one appeared within {SECONDS_TO_BEGIN} s"
                )
            time.sleep(0.01)
            self._look()
        if for_all and self.coming:
            log(f"not ready yet, may take part later: {', '.join(self.coming)}")

    def _look(self):
        """Let new workers compile, and include those that have finished."""
        n_missing = self.n_parts - len(self.ready) - len(self.coming)
        is_due = time.monotonic() - self.looked_at > _SECONDS_BETWEEN_LOOKS
        if is_due and (n_missing or self.coming):
            present = addresses(self.client)
            self.coming = {a: future for a, future in self.coming.items() if a in present}
            new = [a for a in present if a not in self.ready and a not in self.coming]
            for address in new[:n_missing]:
                self.coming[address] = self.client.submit(
                    Replica, *self.task, actor=True, workers=[address], pure=False
                )
            self.looked_at = time.monotonic()
        for address, future in list(self.coming.items()):
            if future.status != "pending":
                del self.coming[address]
                if future.status == "error":
                    raise future.exception()
                if future.status == "finished":
                    self.ready[address] = future.result()
                    if self.n_used:
                        log(f"the worker {address} has joined")


class ClusterTrainer(Trainer):
    """A `Trainer` whose gradients come from a cluster.

    Parameters
    ----------
    *arguments
        Those of `Trainer`.
    client : distributed.Client

    Attributes
    ----------
    traffic : collections.Counter
        Sums over all updates but the first: their number, bytes sent and received, seconds, and
        seconds that the slowest part took to compute.
    """

    def __init__(self, *arguments, client):
        super().__init__(*arguments)
        n_workers, batch_size = n_requested(client), self.config.batch_size
        n_parts = min(n_workers, batch_size)
        self.n_columns = -(-batch_size // n_parts)
        n_parts = -(-batch_size // self.n_columns)  # 5 columns on 4 workers: 2 + 2 + 1
        if n_parts < n_workers:
            log(f"using {n_parts} of {n_workers} workers: the batch size is {batch_size}")
        self.columns = [slice(k * self.n_columns, (k + 1) * self.n_columns) for k in range(n_parts)]
        sizes = tuple(self.store.state_sizes.values())[::2]
        network = sizes, self.store.n_pitches, self.store.dtype, self.network.cost_name
        network += self.store.chord_units, self.store.n_conditions
        self.workers = Workers(client, (network, self.config, self.n_columns), n_parts)
        self.is_first = True  # of its updates, which compiles
        self.traffic: Any = Counter()

    def compiles(self):
        """Return True, since workers may have to compile."""
        return True

    def leave_result(self):
        """See `Trainer`; also log the time and traffic of an update."""
        super().leave_result()
        n, totals = self.traffic["updates"], self.traffic
        if n:
            log(
                f"on {self.workers.n_used} workers: {n} updates after the first, "
                f"{1e3 * totals['seconds'] / n:.1f} ms each, of which "
                f"{1e3 * totals['computing'] / n:.1f} ms computing; "
                f"{totals['sent'] / n / 1e6:.2f} MB sent and "
                f"{totals['received'] / n / 1e6:.2f} MB received per update"
            )

    def _change(self, windows, mask, states, key):
        from dask.sizeof import sizeof

        if self.is_first:
            self.workers.wait(for_all=True)
        started = time.perf_counter()
        flat = flattened(self._under_way().values())
        B = self.columns[-1].stop  # the last part is padded
        windows, mask = widened(windows, B, 1), widened(mask, B, 1)
        states = [widened(state, B, 0) for state in states]
        parts = [
            Part(own, packed(windows[:, own]), mask[:, own], [state[own] for state in states], key)
            for own in self.columns
        ]
        gradients = self.workers.compute(flat, parts)
        cost = sum(gradient.cost for gradient in gradients)
        total = np.sum([gradient.flat for gradient in gradients], axis=0)
        after = (np.concatenate(each) for each in zip(*(g.after for g in gradients)))
        self.states_after = [state[: self.config.batch_size] for state in after]
        self._apply(split(total, self.store.shapes.values()), cost)
        if not self.is_first:
            self.traffic.update(
                updates=1,
                sent=len(parts) * flat.nbytes + sizeof(parts),
                received=sizeof(gradients),
                computing=max(gradient.seconds for gradient in gradients),
                seconds=time.perf_counter() - started,
            )
        self.is_first = False
        return cost
