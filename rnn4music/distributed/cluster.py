"""Connections to Dask, whose workers run the trials of a search and convert files.

Dask pickles what it sends to workers and back: anyone who can reach a scheduler can run any
program on its workers and on this machine. On a shared network pass a `distributed.Client` with
TLS (its ``security=``).
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from rnn4music._utils import version
from rnn4music._utils.console import log

SECONDS_TO_BEGIN = 60
"""Seconds to wait for workers at the start, and again when all of them are lost."""

SECONDS_TO_ANSWER = 10
"""Seconds to wait for an answer from a scheduler before it counts as gone."""

_SECONDS_TO_CONNECT = 10
_SECONDS_TO_LOOK = 2  # for results, between two checks that there are workers


class ClusterLost(ConnectionError):
    """The scheduler is gone, or all workers are and no new one appears."""


def parsed(text):
    """Return what ``--cluster`` names: an address, or None; raise ValueError for anything else."""
    if text is None or ":" in text:
        return text
    raise ValueError(
        f"--cluster {text} is not a scheduler's address, such as tcp://192.168.0.10:8786; for "
        "processes of this machine give --workers"
    )


@contextlib.contextmanager
def connected(cluster) -> Iterator[Any]:
    """Connect to the workers of a scheduler.

    Parameters
    ----------
    cluster : str, distributed.Client, Dask cluster, or None
        The address of a scheduler, such as ``"tcp://host:8786"``; a client, which stays open; or a
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
            if not isinstance(cluster, str) and not hasattr(cluster, "scheduler_address"):
                raise TypeError(
                    "cluster must be a scheduler's address, a distributed.Client, or a Dask "
                    f"cluster, not {cluster!r}; for processes of this machine give workers"
                )
            client = at_the_end.enter_context(_client(cluster))
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
                "scheduler` and give the address that it prints"
            ) from error
        at_the_end.callback(client.close)
        yield client


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
