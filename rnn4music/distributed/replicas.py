"""Devices that compute each update together: of this process, or of several processes.

Every process runs the same program on its devices; XLA sums over them (NCCL on GPUs, gloo on
processors). The first process decides what is computed. The others do it; see
`training.replicated`.

    with replicas(devices="all") as them: ...     all devices of this machine, or of a launcher's
    with replicas(cluster=2) as them: ...         two processes on this machine
    with replicas(cluster=client) as them: ...    this process and one on each Dask worker

Everyone who reaches the port of the first process can disturb a training, and read its music and
weights: neither JAX nor gloo asks who is there. Nothing that arrives is executed.
"""

import contextlib
import functools
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import numpy as np

from rnn4music import backend
from rnn4music._utils import checks
from rnn4music._utils.processes import share_of_cores
from rnn4music.distributed import cluster as dask

SECONDS_TO_BEGIN = 60
"""Seconds to wait until all processes are there."""

SILENCE = 20
"""Seconds without a sign of life after which a process counts as lost."""

LAUNCHERS = {
    "torchrun": ("WORLD_SIZE", "RANK"),
    "SLURM": ("SLURM_NTASKS", "SLURM_PROCID"),
    "Open MPI": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
}
"""The variables in which launchers give the number of processes, and which one this is."""

MODULE = "rnn4music.training.replicated"  # what another process runs


class PeersLost(ConnectionError):
    """Another process that computes the updates has ended or cannot be reached."""


class Replicas:
    """The devices, and the connection to the processes that have them.

    Parameters
    ----------
    devices : list of jax.Device
        Of all processes.

    Attributes
    ----------
    mesh : jax.sharding.Mesh
    n_processes : int
    is_first : bool
        Whether this is the process that decides.
    """

    def __init__(self, devices):
        import jax

        from rnn4music.backend import xla

        self.mesh, self.n_processes = xla.mesh_of(devices), jax.process_count()
        self.is_first = jax.process_index() == 0
        if self.n_processes == 1:
            return
        own = {device.process_index: device for device in reversed(devices)}
        self._processes = xla.mesh_of([own[k] for k in sorted(own)])
        self._n_words, self._lost = 64, set()
        self._asked, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        for loop in (self._work, self._watch):
            threading.Thread(target=loop, daemon=True).start()

    def run(self, function, *arguments):
        """Return function(*arguments), which waits for the other processes.

        Raises
        ------
        PeersLost
            If one of them has ended, or there is no sign of life for `SILENCE` seconds.
        """
        if self.n_processes == 1:
            return function(*arguments)
        import jax

        self._asked.put((function, arguments))
        while True:
            with contextlib.suppress(queue.Empty):
                result, error = self._answers.get(timeout=1)
                break
            if self._lost:
                raise PeersLost(f"process {min(self._lost)} of {self.n_processes} is lost")
        if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            reason = str(error).splitlines()[0]
            raise PeersLost(f"another of {self.n_processes} processes is lost ({reason})")
        if error is not None:
            raise error
        return result

    def send(self, what, *arrays):
        """Send a text and arrays to the other processes, which `receive` them."""
        if self.n_processes == 1:
            return
        arrays = [np.asarray(array) for array in arrays]
        head = json.dumps([what, [[a.dtype.str, a.shape] for a in arrays]]).encode()
        body = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        self.run(self._exchange, len(head).to_bytes(8, "little") + head + body)

    def receive(self):
        """Return the text and the arrays that the first process sends next."""
        message = self.run(self._exchange, b"")
        start = 8 + int.from_bytes(message[:8], "little")
        what, kinds = json.loads(message[8:start])
        arrays = []
        for dtype, shape in kinds:
            array = np.frombuffer(message, dtype, np.prod(shape, dtype=int), start).reshape(shape)
            arrays.append(array)
            start += array.nbytes
        return what, arrays

    def _exchange(self, message):
        """Return the first process's message; the messages of others are empty.

        It travels as a sum with zeros. Messages of a training have few sizes, so that the length of
        the one before usually suffices; else the message is sent again at its own length.
        """
        words = np.frombuffer(message + bytes(-len(message) % 4), "<u4")
        while True:
            given = np.zeros(1 + self._n_words, "<u4")
            given[0] = len(words)
            given[1 : 1 + len(words)] = words[: self._n_words]
            summed, room = self._summed(given), self._n_words
            self._n_words = int(summed[0])
            if summed[0] <= room:
                return summed[1 : 1 + summed[0]].tobytes()

    def _summed(self, array):
        import jax

        from rnn4music.backend import xla

        place = jax.sharding.NamedSharding(self._processes, jax.sharding.PartitionSpec(xla.TUNES))
        rows = jax.make_array_from_process_local_data(place, array[None])
        return np.asarray(_sum_over(self._processes)(rows))[0]

    def _work(self):
        """Run what is asked in a thread of its own, which may have to wait forever."""
        while True:
            function, arguments = self._asked.get()
            try:
                self._answers.put((function(*arguments), None))
            except BaseException as error:
                self._answers.put((None, error))

    def _watch(self):
        """Note processes that give no sign of life: a dead machine closes no connection."""
        client, everyone = _client(), range(self.n_processes)
        while client is not None and not self._lost:
            try:
                alive = set(client.get_live_nodes([*everyone]))
            except Exception:  # the first process, which coordinates, is gone
                alive = {k for k in everyone if k}
            self._lost = {*everyone} - alive
            time.sleep(SILENCE / 4)


def _client():
    """Return JAX's client of the coordinating process, which has no public name."""
    try:
        from jax._src.distributed import global_state

        return global_state.client
    except (ImportError, AttributeError):
        return None


@functools.lru_cache
def _sum_over(mesh):
    """Return the compiled sum of the rows that the devices of a mesh have."""
    import jax

    from rnn4music.backend import xla

    spec = jax.sharding.PartitionSpec(xla.TUNES)
    by_device = jax.shard_map(
        lambda row: jax.lax.psum(row, xla.TUNES),
        mesh=mesh,
        in_specs=spec,
        out_specs=jax.sharding.PartitionSpec(),
    )
    return jax.jit(by_device)


# ---- where the devices come from


@contextlib.contextmanager
def replicas(devices=None, cluster=None):
    """Connect to the devices; processes that are started here end with the block.

    Parameters
    ----------
    devices : {"all"}, int or None
        All devices of this process and of those that have joined it (see `training.join`), or as
        many of them.
    cluster : int, str, distributed.Client, Dask cluster, or None
        The number of processes on this machine, this one included, each bound to its share of the
        cores; or a Dask scheduler, on each of whose workers a process is started.

    Yields
    ------
    Replicas
        None if there is only one device.

    Raises
    ------
    ConnectionError
        If processes do not start, or not within a minute.
    """
    if devices is None and cluster is None:
        yield None
        return
    if devices is not None and cluster is not None:
        raise ValueError(f"give devices={devices!r} or cluster={cluster!r}, not both")
    if backend.ENGINE != "jax":
        raise ValueError(
            f"the engine {backend.ENGINE!r} computes on one device: leave out devices and cluster, "
            "or install jax"
        )
    with contextlib.nullcontext() if cluster is None else _started(cluster):
        import jax

        found = jax.devices()
        if devices not in (None, "all"):
            n = checks.integer("devices", devices, low=1)
            if n > len(found) or jax.process_count() > 1:
                raise ValueError(
                    f"devices={n} must be 'all' or at most {len(found)}, all there are"
                )
            found = found[:n]
        them = Replicas(found) if len(found) > 1 else None
        try:
            yield them
        finally:
            if them is not None:
                with contextlib.suppress(PeersLost):
                    them.send("leave" if cluster is None else "end")


@contextlib.contextmanager
def _started(cluster):
    """Start the other processes, and connect to them as the first."""
    with contextlib.ExitStack() as at_the_end:
        port, host, check = _free_port(), "127.0.0.1", None
        if isinstance(cluster, int) and not isinstance(cluster, bool):
            n = checks.integer("cluster", cluster, low=1)
            start = functools.partial(_on_this_machine, n, f"{host}:{port}")
        else:
            client = at_the_end.enter_context(dask.connected(cluster))
            workers = dask.addresses(client)
            n, host = 1 + len(workers), _own_address(client.scheduler.address)
            start = functools.partial(_on_workers, client, workers, f"{host}:{port}")
        check = at_the_end.enter_context(start())
        connect(f"{host}:{port}", n, 0, check)
        at_the_end.callback(disconnect)
        yield


def connect(address, n, k, check=lambda: None):
    """Become process `k` of `n`; the first one listens at `address`. None: ask the launcher."""
    import jax
    from jax.extend.backend import clear_backends

    # so that this process goes on when another dies, and Ctrl-C and SIGTERM stay ours
    jax.config.update("jax_enable_recoverability", True)
    jax.config.update("jax_enable_preemption_service", False)
    clear_backends()  # JAX chooses its devices again
    bind = None if address is None else f"{address.rsplit(':', 1)[0]}:{address.rsplit(':', 1)[1]}"
    try:
        jax.distributed.initialize(
            address,
            n,
            k,
            coordinator_bind_address=bind,
            initialization_timeout=SECONDS_TO_BEGIN,
            heartbeat_timeout_seconds=SILENCE,
        )
        jax.devices()  # which waits for the others
    except Exception as error:
        disconnect()
        reason = check() or str(error).splitlines()[0]
        raise ConnectionError(f"the {n} processes did not all start: {reason}") from error


def disconnect():
    """Undo `connect`."""
    import jax
    from jax.extend.backend import clear_backends

    with contextlib.suppress(Exception):
        jax.distributed.shutdown()
    clear_backends()


def _free_port():
    with socket.socket() as listener:
        listener.bind(("", 0))
        return listener.getsockname()[1]


def _own_address(scheduler):
    """Return the address of this machine under which a Dask scheduler's machine sees it."""
    host = scheduler.split("://")[-1].rsplit(":", 1)[0].strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((host, 9))
        return s.getsockname()[0]


@contextlib.contextmanager
def _on_this_machine(n, address):
    """Start n - 1 processes, each on its share of the cores, as is then this one."""
    with tempfile.TemporaryFile() as log, contextlib.ExitStack() as at_the_end:
        shares = [share_of_cores(k, n) for k in range(n)]
        for k in range(1, n):
            command = [sys.executable, "-m", MODULE, address, str(n), str(k)]
            other = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            at_the_end.callback(_end, other)
            if shares[k] is not None:
                os.sched_setaffinity(other.pid, shares[k])
        if shares[0] is not None:
            at_the_end.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, shares[0])

        def said():
            log.seek(0)
            return log.read()[-1000:].decode(errors="replace")

        yield said


def _end(process):
    """Wait a few seconds for a process that was asked to end, then kill it."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _on_workers(client, workers, address):
    """Start a process on each worker of a Dask scheduler."""
    n = 1 + len(workers)
    runs = [
        client.submit(_run, address, n, k, workers=[worker], pure=False)
        for k, worker in enumerate(workers, start=1)
    ]
    try:
        yield lambda: "; ".join(run.result() for run in runs if run.done())
    finally:
        client.cancel(runs)


def _run(address, n, k):
    """Run process `k` on a Dask worker until it ends; return the end of what it said."""
    command = [sys.executable, "-m", MODULE, address, str(n), str(k)]
    run: Any = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return run.stderr[-1000:].decode(errors="replace")


def launched():
    """Return the number of processes that a launcher has started, this one included; else 1."""
    for n_name, k_name in LAUNCHERS.values():
        if n_name in os.environ and k_name in os.environ:
            return int(os.environ[n_name])
    return 1


def connect_to_launched():
    """Connect to the other processes of a launcher, which JAX finds by itself, or torchrun's."""
    here, address, n, k = os.environ, None, None, None
    if {"MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"} <= here.keys():
        address = f"{here['MASTER_ADDR']}:{here['MASTER_PORT']}"
        n, k = int(here["WORLD_SIZE"]), int(here["RANK"])
    connect(address, n, k)
