"""Where the devices of a training come from, and the processes that have them.

    with replicas(devices="all") as them: ...     this machine's, or those of a launcher's processes
    with replicas(cluster=2) as them: ...         of two processes on this machine
    with replicas(cluster=client) as them: ...    of this process and one on each Dask worker

Whoever reaches the ports can disturb a training and read its music and weights, since neither JAX
nor gloo authenticates.
"""

import contextlib
import functools
import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from typing import Any

from rnn4music import backend
from rnn4music._utils import checks
from rnn4music._utils.console import log
from rnn4music._utils.processes import can_start_processes, share_of_cores
from rnn4music.distributed import cluster as dask
from rnn4music.distributed.replicas import SILENCE, PeersLost, Replicas

SECONDS_TO_BEGIN = 60
"""Seconds to wait until all processes are there."""

LAUNCHERS = (
    ("WORLD_SIZE", "RANK"),  # torchrun
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),  # srun; a batch script has SLURM_NTASKS, too
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),  # Open MPI
)
"""The variables with the number of processes that a launcher has started, and which this is."""

PROGRAM = (
    "import sys; sys.path[:] = sys.argv[4:]; from rnn4music.training.replicated import main; main()"
)
"""What another process runs, with the arguments of `follow` and where Python finds modules."""


_joined = []  # the `Replicas` of the processes to which this one is connected


def parsed(devices, cluster):
    """Return the arguments of `replicas` that ``--devices`` and ``--cluster`` mean, as a dict."""
    if devices is not None and cluster is not None:
        raise ValueError("give --devices or --cluster, not both")
    if devices not in (None, "all"):
        devices = _number("--devices", devices, "'all' nor a number of devices")
    if cluster is not None and ":" not in cluster:
        what = "a number of processes nor a scheduler's address, such as tcp://192.168.0.10:8786"
        cluster = _number("--cluster", cluster, what)
    return {"devices": devices, "cluster": cluster}


def _number(flag, text, what):
    if text.strip().isdecimal() and int(text) > 0:
        return int(text)
    raise ValueError(f"{flag} {text} is neither {what}")


@contextlib.contextmanager
def replicas(devices=None, cluster=None):
    """Yield `Replicas`, or None if there is one device; processes started here end with the block.

    Parameters
    ----------
    devices : {"all"}, int or None
        All devices of this process and of those that have joined it (see `training.join`), or the
        number of devices of this process to use.
    cluster : int, str, distributed.Client, Dask cluster, or None
        The number of processes on this machine, this one included, each bound to its share of the
        cores. Or a Dask scheduler, which starts a process on each of its workers.

    Raises
    ------
    ConnectionError
        If not all processes are there within a minute.
    """
    if devices is None and cluster is None:
        yield None
        return
    if devices is not None and cluster is not None:
        raise ValueError(f"give devices={devices!r} or cluster={cluster!r}, not both")
    _check_engine()
    if n_launched() > 1 and not _joined and devices is not None:
        warnings.warn(
            f"this is one of {n_launched()} processes, each of which trains a model of its own; "
            "after rnn4music.training.join() they train one together",
            stacklevel=4,
        )
    if cluster is not None:
        with _started(cluster):
            yield joined()
        return
    from rnn4music.backend import devices as jax_devices

    found = jax_devices.devices()
    if devices != "all":
        n = checks.integer("devices", devices, low=1)
        if _joined:
            raise ValueError(f"devices={n} must be 'all' in processes that have joined")
        if n > len(found):
            raise ValueError(f"devices={n} must be at most {len(found)}, which JAX has here")
        found = found[:n]
    yield joined() or (Replicas(found) if len(found) > 1 else None)


def _check_engine():
    if backend.ENGINE != "jax":
        raise ValueError(
            f"devices and cluster need the engine 'jax', but the engine is {backend.ENGINE!r}"
        )


@contextlib.contextmanager
def _started(cluster):
    """Start the other processes, and connect to them as the first."""
    from rnn4music.backend.machine_code import runs_on_processor

    if _joined:
        raise ValueError("this process has joined others already: give devices='all', no cluster")
    with contextlib.ExitStack() as at_the_end:
        if isinstance(cluster, int) and not isinstance(cluster, bool):
            n = checks.integer("cluster", cluster, low=1)
            if n > 1 and not can_start_processes():
                raise ValueError(
                    f"cluster={n} starts Python processes, which a frozen program or a daemonic "
                    "process cannot do: leave it out"
                )
            if n > 1 and not runs_on_processor():
                raise ValueError(
                    f"cluster={n} would give {n} processes the same accelerators: give "
                    "devices='all' instead"
                )
            host, start = "127.0.0.1", _on_this_machine
        elif isinstance(cluster, bool | float) or (isinstance(cluster, str) and ":" not in cluster):
            raise TypeError(
                "cluster must be a number of processes, a scheduler's address (tcp://host:8786), "
                f"a distributed.Client or a Dask cluster, not {cluster!r}"
            )
        else:
            client = at_the_end.enter_context(dask.connected(cluster))
            n = 1 + len(dask.addresses(client))
            host, start = _own_address(client), functools.partial(_on_workers, client)
        if n == 1:
            yield
            return
        with socket.create_server((host, 0)) as listener:
            address = f"{host}:{listener.getsockname()[1]}"
            ended = at_the_end.enter_context(start(address, n))
            address = f"{host}:{_met(listener, n, ended)}"
        at_the_end.callback(disconnect)
        connect(address, n, 0)
        try:
            yield
        except PeersLost as error:
            text = ended()
            raise PeersLost(f"{error}; it wrote: {text}" if text else str(error)) from error


def _met(listener, n, ended):
    """Send the others the port at which JAX's coordinator will listen; return it.

    `ended` returns a text once one of them has ended, and None before.
    """
    until, asking = time.monotonic() + SECONDS_TO_BEGIN, []
    listener.settimeout(0.2)
    while len(asking) < n - 1:
        with contextlib.suppress(TimeoutError):
            asking.append(listener.accept()[0])
        text = ended()
        if text is not None or time.monotonic() > until:
            text = text or f"{len(asking) + 1} are here after {SECONDS_TO_BEGIN} s"
            raise ConnectionError(f"not all of {n} processes have started: {text}")
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    for other in asking:
        other.sendall(str(port).encode())
        other.close()
    return port


def follow(address, n, k):
    """Become process `k` of `n`, whose first one is `_met` at an address."""
    from rnn4music.backend import devices  # noqa: F401  takes long, and the first now waits

    (host, port), until = address.rsplit(":", 1), time.monotonic() + SECONDS_TO_BEGIN
    while True:
        try:
            with socket.create_connection((host, int(port)), SECONDS_TO_BEGIN) as first:
                port = first.recv(8).decode()
            break
        except OSError as error:
            if time.monotonic() > until:
                raise ConnectionError(
                    f"the first of {n} processes does not answer at {address} within "
                    f"{SECONDS_TO_BEGIN} s ({error})"
                ) from None
            time.sleep(0.5)
    connect(f"{host}:{port}", n, k)


def connect(address, n, k):
    """Become process `k` of `n`; the first listens at an address. None comes from a launcher.

    JAX ends the process if the others do not come within `SECONDS_TO_BEGIN`.
    """
    from rnn4music.backend import devices as jax_devices

    try:
        jax_devices.connect(address, n, k, SECONDS_TO_BEGIN, SILENCE)
        _joined.append(Replicas(jax_devices.devices()))
    except Exception as error:
        disconnect()
        raise ConnectionError(f"the processes cannot connect: {error}") from error


def disconnect():
    """Undo `connect`; the others end."""
    from rnn4music.backend import devices as jax_devices

    if _joined:
        _joined.pop().close()
    jax_devices.disconnect()


@contextlib.contextmanager
def _on_this_machine(address, n):
    """Start n - 1 processes, each on its share of the cores, as is then this one.

    The context is a function that returns what they wrote once one has ended, and None before.
    """
    with tempfile.TemporaryFile() as wrote, contextlib.ExitStack() as at_the_end:
        others = []
        for k in range(1, n):
            command = _command(address, n, k)
            # in a session of its own, so that Ctrl-C reaches the caller alone
            streams: Any = {"stdin": subprocess.DEVNULL, "stdout": wrote, "stderr": wrote}
            other = subprocess.Popen(command, start_new_session=True, **streams)
            others.append(other)
            at_the_end.callback(_end, other)
            _bind(other.pid, share_of_cores(k, n))
        own = share_of_cores(0, 1)
        _bind(0, share_of_cores(0, n))
        at_the_end.callback(_bind, 0, own)

        def ended():
            if all(other.poll() is None for other in others):
                return None
            wrote.seek(0)
            return wrote.read()[-1000:].decode(errors="replace").strip()

        yield ended


def _command(address, n, k):
    return [sys.executable, "-c", PROGRAM, address, str(n), str(k), *map(str, sys.path)]


def _bind(process, cores):
    if cores is not None:
        os.sched_setaffinity(process, cores)


def _end(process):
    """Wait a few seconds for a process that was asked to end, then kill it."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _on_workers(client, address, n):
    """Start a process on each worker of a Dask scheduler."""
    workers = dask.addresses(client)[: n - 1]
    runs = [
        client.submit(_run, address, n, k, workers=[worker], pure=False)
        for k, worker in enumerate(workers, start=1)
    ]
    try:
        yield lambda: next((str(run.result()) for run in runs if run.done()), None)
    finally:
        client.cancel(runs)


def _run(address, n, k):
    """Run process `k` on a Dask worker until it ends; return the end of what it wrote."""
    command = _command(address, n, k)
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return ended.stderr[-1000:].decode(errors="replace").strip()


def _own_address(client):
    """Return the address of this machine towards the scheduler of a Dask client."""
    host = client.scheduler.address.split("://")[-1].rsplit(":", 1)[0].strip("[]")
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(kind, socket.SOCK_DGRAM) as towards:
        towards.connect((host, 9))
        return towards.getsockname()[0]


def n_launched():
    """Return the number of processes that a launcher has started, this one included; else 1."""
    counts = [_variable(n) for n, k in LAUNCHERS if {n, k} <= os.environ.keys()]
    return max(counts, default=1)


def _variable(name):
    """Return the number that an environment variable holds."""
    text = os.environ[name]
    if not text.isdecimal():
        raise ValueError(f"the environment variable {name}={text!r} must be a whole number")
    return int(text)


def connect_to_launched():
    """Connect to the other processes of a launcher, if it has started some; return whether."""
    here = os.environ
    if n_launched() == 1 or _joined:
        return False
    _check_engine()
    if {"MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"} <= here.keys():
        host, n, k = here["MASTER_ADDR"], _variable("WORLD_SIZE"), _variable("RANK")
        # torchrun itself listens at its port
        port = _variable("MASTER_PORT") + ("TORCHELASTIC_RUN_ID" in here)
        if k >= n:
            raise ValueError(f"RANK={k} must be below WORLD_SIZE={n}")
        if k > 0:
            follow(f"{host}:{port}", n, k)
            return True
        try:
            listener = socket.create_server(("", port))
        except OSError as error:
            raise ConnectionError(
                f"this machine cannot listen at the port {port} ({error.strerror}): set another "
                "MASTER_PORT"
            ) from None
        with listener:
            port = _met(listener, n, lambda: None)
        connect(f"{host}:{port}", n, 0)
    else:
        log(f"waiting for {n_launched()} processes, which JAX ends after {SECONDS_TO_BEGIN} s")
        connect(None, None, None)
    return True


def joined():
    """Return the `Replicas` of the processes to which this one is connected, or None."""
    return _joined[0] if _joined else None
