"""Connections to Dask: to workers on this machine, or to a cluster that is there already.

>>> from rnn4music.distributed.cluster import connected
>>> with connected(2) as client:                                        # doctest: +SKIP
...     model.train(dataset, 1, 30, 64, 100, cluster=client)
...     model.train(dataset, 1, 30, 64, 100, windows="all", cluster=client)

What is sent to workers and back is pickled by Dask: whoever can reach a scheduler can run any
program on its workers and on this machine. Where the network is not yours alone, give a
`distributed.Client` made with TLS (its ``security=``).
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
"""Seconds that workers may take to appear, and again if all of them are lost."""

SECONDS_TO_ANSWER = 10
"""Seconds without an answer after which a scheduler counts as gone."""

_SECONDS_TO_CONNECT = 10
_SECONDS_TO_LOOK = 2  # for results, before it is asked whether there are workers
_SECONDS_TO_END = 5
_SECONDS_ALONE = 15  # until a worker ends whose scheduler is gone


class ClusterLost(ConnectionError):
    """The scheduler is gone, or all workers are and none comes back."""


def parsed(text):
    """Return the value of ``--cluster``: a number of local workers, an address, or None."""
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
    """Return what `connected` takes, if it is that."""
    if isinstance(cluster, int) and not isinstance(cluster, bool):
        if cluster < 1:
            raise ValueError(f"cluster={cluster} must be at least 1: the number of local workers")
    elif not isinstance(cluster, str) and not hasattr(cluster, "scheduler_address"):
        raise TypeError(
            "cluster must be a number of workers on this machine, a scheduler's address, "
            f"a distributed.Client, or a cluster of Dask's, not {cluster!r}"
        )
    return cluster


@contextlib.contextmanager
def connected(cluster) -> Iterator[Any]:
    """Connect to workers; those that are started here end with the block.

    Parameters
    ----------
    cluster : int, str, distributed.Client, a cluster of Dask's, or None
        This many workers on this machine, each bound to its share of the cores; the address of
        a scheduler, such as ``"tcp://host:8786"``; a client, which stays open; or what Dask,
        dask-jobqueue and the like start workers with, such as a ``SLURMCluster``.

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
        with client.as_current():  # actors belong to it then, whatever other client there is
            yield client


@contextlib.contextmanager
def _client(address):
    """Connect to a scheduler; its loss is reported by this module, and not by Dask's log."""
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
                "scheduler`, give its address as it prints it, or a number for workers on this "
                "machine"
            ) from error
        at_the_end.callback(client.close)
        yield client


@contextlib.contextmanager
def _local(n_workers):
    """Start a scheduler in this process and workers on this machine; yield Dask's cluster."""
    import distributed

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
    """Start a worker: a process that keeps another one running, whoever ends that."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
    # a worker runs whatever it is sent: nobody else's machine may send it anything
    command += ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    command += ["--nthreads", "1", "--death-timeout", str(_SECONDS_ALONE)]
    command += ["--local-directory", folder]
    with open(logs, "ab") as log:
        # not in our session: Ctrl-C is the caller's affair
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _end(worker):
    """Wait for a process that was asked to end, but not for long."""
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
        If the scheduler is gone, workers die again and again, or none is left.
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
                    f"no worker is left, and none came in {SECONDS_TO_BEGIN} s; what is done is "
                    "kept: the same call again goes on"
                )
    except distributed.KilledWorker as error:
        raise ClusterLost(
            f"workers died at their work, perhaps for want of memory ({error}); what is done is "
            "kept: the same call again goes on"
        ) from error
    except (concurrent.futures.CancelledError, asyncio.CancelledError) as error:
        raise ClusterLost(
            "the scheduler was lost; what is done is kept: the same call again goes on"
        ) from error
    finally:
        client.cancel(futures)


def addresses(client):
    """Return the addresses of the workers that are there.

    Raises
    ------
    ClusterLost
        If the scheduler does not answer.
    """
    try:
        scheduler = client.sync(
            client.scheduler.identity, n_workers=-1, callback_timeout=SECONDS_TO_ANSWER
        )
    except Exception as error:  # Dask has several for this
        raise ClusterLost(
            f"the scheduler does not answer any more ({type(error).__name__}); what was done until "
            "then is kept: go on when there is another"
        ) from error
    return list(scheduler["workers"])


def n_requested(client):
    """Return how many workers there are, or will be: jobs of a cluster object may be queued."""
    requested = getattr(client.cluster, "requested", ())
    return max(1, len(requested), len(addresses(client)))


def _wait_for_workers(client):
    if addresses(client):
        return
    may_queue = bool(getattr(client.cluster, "requested", ()))
    log(f"waiting for workers of {client.scheduler.address}" + " (Ctrl-C ends)" * may_queue)
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
            problem = f"has version {answer}" if isinstance(answer, str) else f"lacks it: {answer}"
            raise ConnectionError(
                f"the worker {worker} {problem}, here runs rnn4music {version.__version__}; "
                "install the same version on all machines"
            )


def _version():
    return version.__version__
