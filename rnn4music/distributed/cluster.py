"""Connections to Dask: to workers on this machine, or to an existing cluster.

>>> from rnn4music.distributed.cluster import connected
>>> with connected(2) as client:                                        # doctest: +SKIP
...     model.train(dataset, 1, 30, 64, 100, cluster=client)
...     model.train(dataset, 1, 30, 64, 100, windows="all", cluster=client)

Dask pickles what it sends to workers and back: anyone who can reach a scheduler can run any
program on its workers and on this machine. On a shared network pass a `distributed.Client` with
TLS (its ``security=``).
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnn4music._utils import version
from rnn4music._utils.console import log
from rnn4music._utils.processes import share_of_cores

SECONDS_TO_BEGIN = 60
"""Seconds to wait for workers at the start, and again when all of them are lost."""

SECONDS_TO_ANSWER = 10
"""Seconds to wait for an answer from a scheduler before it counts as gone."""

_SECONDS_TO_CONNECT = 10
_SECONDS_TO_LOOK = 2  # for results, between two checks that there are workers
_SECONDS_TO_END = 5
_SECONDS_ALONE = 15  # until a worker without a scheduler ends


class ClusterLost(ConnectionError):
    """The scheduler is gone, or all workers are and no new one appears."""


def parsed(text):
    """Parse ``--cluster``: a number of local workers, an address, or None."""
    if text is None:
        return None
    if text.strip().lstrip("+-").isdecimal() and int(text) > 0:
        return int(text)
    if ":" not in text:
        raise ValueError(
            f"--cluster {text} is neither a number of workers on this machine, at least 1, nor a "
            "scheduler's address, such as tcp://192.168.0.10:8786"
        )
    return text


def _checked(cluster):
    """Return `cluster`, or raise if `connected` does not accept it."""
    if isinstance(cluster, int) and not isinstance(cluster, bool):
        if cluster < 1:
            raise ValueError(f"cluster={cluster} must be at least 1: the number of local workers")
    elif not isinstance(cluster, str) and not hasattr(cluster, "scheduler_address"):
        raise TypeError(
            "cluster must be a number of workers on this machine, a scheduler's address, "
            f"a distributed.Client, or a Dask cluster, not {cluster!r}"
        )
    return cluster


@contextlib.contextmanager
def connected(cluster) -> Iterator[Any]:
    """Connect to workers; workers that are started here end with the block.

    Parameters
    ----------
    cluster : int, str, distributed.Client, Dask cluster, or None
        The number of workers to start on this machine, each bound to its share of the cores; the
        address of a scheduler, such as ``"tcp://host:8786"``; a client, which stays open; or a
        cluster object of Dask or dask-jobqueue, such as a ``SLURMCluster``.

    Yields
    ------
    distributed.Client
        None for None.

    Raises
    ------
    ImportError
        Without `distributed`.
    ConnectionError
        If there is no scheduler or no worker, or one with another version of this package.
    """
    if cluster is None:
        yield None
        return
    try:
        import distributed
    except ImportError:
        raise ImportError(
            "a cluster needs Dask; run: python -m pip install 'rnn4music[cluster]'"
        ) from None
    with contextlib.ExitStack() as at_the_end:
        client = cluster
        if not isinstance(cluster, distributed.Client):
            address = _checked(cluster)
            if isinstance(address, int):
                address = at_the_end.enter_context(_local(address))
            client = at_the_end.enter_context(_client(address))
        _wait_for_workers(client)
        _check_versions(client)
        with client.as_current():  # so that actors belong to it even if there are other clients
            yield client


@contextlib.contextmanager
def _client(address):
    """Connect to a scheduler; this module reports its loss, so Dask's log is silenced."""
    import distributed

    logger = logging.getLogger("distributed.client")
    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL)
        try:
            # results do not have to pass through the scheduler
            client = distributed.Client(
                address, timeout=_SECONDS_TO_CONNECT, direct_to_workers=True
            )
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"there is no Dask scheduler at {address} ({error}); start one with `dask "
                "scheduler` and give the address that it prints, or give a number of workers to "
                "start on this machine"
            ) from error
        at_the_end.callback(client.close)
        yield client


@contextlib.contextmanager
def _local(n_workers):
    """Start a scheduler in this process and workers on this machine; yield Dask's cluster."""
    import distributed

    if getattr(sys, "frozen", False) or not sys.executable:
        raise ConnectionError(
            f"cluster={n_workers} starts Python processes, which a frozen program cannot do: start "
            "workers with `dask worker`, and give the scheduler's address"
        )
    options: Any = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with (
        tempfile.TemporaryDirectory(prefix="rnn4music-", ignore_cleanup_errors=True) as folder,
        contextlib.closing(distributed.LocalCluster(n_workers=0, **options)) as scheduler,
    ):
        logs, workers = Path(folder) / "workers.log", []
        try:
            for k in range(n_workers):
                workers.append(_start(str(scheduler.scheduler_address), folder, logs))
                cores = share_of_cores(k, n_workers)
                if cores is not None:
                    os.sched_setaffinity(workers[-1].pid, cores)
            try:
                scheduler.wait_for_workers(n_workers, timeout=SECONDS_TO_BEGIN)
            except TimeoutError:
                reasons = logs.read_text()[-1000:]
                raise ConnectionError(f"the local workers did not start: {reasons}") from None
            yield scheduler
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                _end(worker)


def _start(address, folder, logs):
    """Start a worker: a process that restarts the actual worker whenever that dies."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
    # a worker runs whatever it receives, so it listens on this machine alone
    command += ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    command += ["--nthreads", "1", "--death-timeout", str(_SECONDS_ALONE)]
    command += ["--local-directory", folder]
    with open(logs, "ab") as log:
        # in a session of its own, so that Ctrl-C reaches the caller alone
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _end(worker):
    """Wait a few seconds for a process that was asked to end, then kill it."""
    try:
        worker.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.kill()
        worker.wait()


def in_cluster(client, function, items):
    """Yield function(item) for each of the items, as soon as a worker has computed it.

    Raises
    ------
    ClusterLost
        If the scheduler is gone, workers die repeatedly, or none is left.
    """
    import distributed

    futures = [client.submit(function, item, pure=False) for item in items]
    try:
        pending, seen = futures, time.monotonic()
        while pending:
            try:
                state: Any = distributed.wait(
                    pending, timeout=_SECONDS_TO_LOOK, return_when="FIRST_COMPLETED"
                )
                done, pending = state
            except TimeoutError:
                done = ()
            for future in done:
                yield future.result()
            if done or addresses(client):
                seen = time.monotonic()
            elif time.monotonic() - seen > SECONDS_TO_BEGIN:
                raise ClusterLost(
                    f"no worker is left, and no new one appeared within {SECONDS_TO_BEGIN} s; "
                    "finished work is kept, and the same call continues it"
                )
    except distributed.KilledWorker as error:
        raise ClusterLost(
            f"workers died at work, perhaps for lack of memory ({error}); finished work is kept, "
            "and the same call continues it"
        ) from error
    except (concurrent.futures.CancelledError, asyncio.CancelledError) as error:
        raise ClusterLost(
            "the scheduler was lost; finished work is kept, and the same call continues it"
        ) from error
    finally:
        client.cancel(futures)


def addresses(client):
    """Return the addresses of the workers of a client's scheduler.

    Raises
    ------
    ClusterLost
        If the scheduler does not answer.
    """
    try:
        scheduler = client.sync(
            client.scheduler.identity, n_workers=-1, callback_timeout=SECONDS_TO_ANSWER
        )
    except Exception as error:  # Dask raises various ones
        raise ClusterLost(
            f"the scheduler no longer answers ({type(error).__name__}); finished work is kept: "
            "continue when there is another scheduler"
        ) from error
    return list(scheduler["workers"])


def n_requested(client):
    """Return the number of workers, including queued jobs of a cluster object."""
    requested = getattr(client.cluster, "requested", ())
    return max(1, len(requested), len(addresses(client)))


def _wait_for_workers(client):
    if addresses(client):
        return
    may_queue = bool(getattr(client.cluster, "requested", ()))
    log(f"waiting for workers of {client.scheduler.address}" + " (Ctrl-C stops)" * may_queue)
    try:
        client.wait_for_workers(1, timeout=None if may_queue else SECONDS_TO_BEGIN)
    except TimeoutError:
        raise ConnectionError(
            f"the scheduler {client.scheduler.address} has no workers after {SECONDS_TO_BEGIN} s; "
            "start some with `dask worker ADDRESS --nthreads 1`"
        ) from None


def _check_versions(client):
    for worker, answer in client.run(_version, on_error="return").items():
        if answer != version.__version__:
            has = f"rnn4music {answer}" if isinstance(answer, str) else f"no rnn4music ({answer})"
            raise ConnectionError(
                f"the worker {worker} has {has}, but this process has {version.__version__}; "
                "install the same version on all machines"
            )


def _version():
    return version.__version__
