"""Devices that make each update together: of this process, or of several processes.

    with replicas(devices="all") as them: ...     this machine's, or those of a launcher's processes
    with replicas(cluster=2) as them: ...         of two processes on this machine
    with replicas(cluster=client) as them: ...    of this process and one on each Dask worker

All processes run the same program, in which XLA sums over the devices (NCCL on GPUs, gloo on
processors). The first process decides what is run, and sends it to the others; see
`training.replicated`. Whoever reaches its port can disturb a training and read its music and
weights, since neither JAX nor gloo asks who is there. Nothing that arrives is executed.
"""

import atexit
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
import warnings
from typing import Any

import numpy as np

from rnn4music import backend
from rnn4music._utils import checks
from rnn4music._utils.console import log
from rnn4music._utils.processes import can_start_processes, share_of_cores
from rnn4music.distributed import cluster as dask

SECONDS_TO_BEGIN = 60
"""Seconds to wait until all processes are there."""

SILENCE = 20
"""Seconds without a sign of life after which a process counts as lost."""

SECONDS_TO_FINISH = 5
"""Seconds to wait for the rest of a call that is interrupted."""

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


REMEDY = "with a checkpoint, the same call resumes there (--checkpoint FILE --resume)"


class PeersLost(ConnectionError):
    """Another process that makes the updates has ended, or cannot be reached."""


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
        from rnn4music.backend import devices as jax_devices

        self.jax, self.mesh = jax_devices, jax_devices.mesh_of(devices)
        self.n_processes, k = jax_devices.n_processes()
        self.is_first = k == 0
        if self.n_processes == 1:
            return
        self._processes = jax_devices.first_of_each_process(devices)
        self._n_words, self._loss = 0, None  # words of the last message; a sentence
        self._asked, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        self._worker, watch = (
            threading.Thread(target=loop, daemon=True) for loop in (self._work, self._watch)
        )
        self._worker.start()
        watch.start()
        with jax_devices.silenced(1):  # gloo prints that it has connected
            for mesh in (self._processes, self.mesh):
                self.run(jax_devices.summed, np.zeros(1, "<u4"), mesh)

    def run(self, function, *arguments):
        """Return function(*arguments), which all processes call.

        Raises
        ------
        PeersLost
            If one of them has ended, or there is no sign of life for `SILENCE` seconds.
        """
        if self.n_processes == 1:
            return function(*arguments)
        if self._loss is not None:
            raise PeersLost(self._loss)
        ticket = object()
        self._asked.put((ticket, function, arguments))
        answered: Any = (None, None, None)
        try:
            while self._loss is None and answered[0] is not ticket:  # that of an interrupted call
                with contextlib.suppress(queue.Empty):
                    answered = self._answers.get(timeout=1)
        except BaseException:  # Ctrl-C: what is under way must change nothing afterwards
            with contextlib.suppress(queue.Empty):
                self._answers.get(timeout=SECONDS_TO_FINISH)
            raise
        if answered[0] is not ticket:  # the end would not survive a thread that waits forever
            atexit.register(lambda: self._worker.is_alive() and leave(1))
        _, result, error = answered
        if error is not None and self.jax.is_loss(error):
            self._loss = f"one of {self.n_processes} processes is lost; {REMEDY}"
        if self._loss is not None:
            raise PeersLost(self._loss) from error
        if error is not None:
            raise error
        return result

    def send(self, what, task=None, arrays=(), then=None, given=()):
        """Send a text, plain values and arrays to the other processes, which `receive` them.

        Return then(*given). The others call it, too: Ctrl-C does not come between.
        """
        if self.n_processes == 1:
            return then and self.run(then, *given)
        arrays = [np.asarray(array) for array in arrays]
        kinds = [(array.dtype.str, array.shape) for array in arrays]
        head = json.dumps([what, task, kinds]).encode()
        parts = [len(head).to_bytes(8, "little"), head, *(array.tobytes() for array in arrays)]
        try:
            return self.run(self._exchange_and_call, b"".join(parts), then, given)
        except PeersLost:
            raise
        except Exception as error:  # the others wait for what did not happen here
            self._loss = f"an error ended the work of {self.n_processes} processes ({error})"
            raise

    def _exchange_and_call(self, message, then, given):
        self._exchange(message)
        return then and then(*given)

    def receive(self):
        """Return the text, the values and the arrays that the first process sends next."""
        message = self.run(self._exchange, b"")
        start = 8 + int.from_bytes(message[:8], "little")
        what, task, kinds = json.loads(message[8:start])
        arrays = []
        for dtype, shape in kinds:
            size = np.prod(shape, dtype=int)
            arrays.append(np.frombuffer(message, dtype, size, start).reshape(shape))
            start += arrays[-1].nbytes
        return what, task, arrays

    def close(self):
        """Let the other processes end, and the threads of this one."""
        with contextlib.suppress(PeersLost):
            self.send("end")
        self._loss = self._loss or "the connection is closed"
        self._asked.put(None)

    def _exchange(self, message):
        """Return the message of the first process; those of the others are empty.

        It travels as a sum with zeros, first of the length of the message before: those of a
        training are alike. A longer one is sent again.
        """
        words = np.frombuffer(message + bytes(-len(message) % 4), "<u4")
        while True:
            n, given = self._n_words, np.zeros(1 + self._n_words, "<u4")
            given[0], given[1 : 1 + len(words)] = len(words), words[:n]
            summed = self.jax.summed(given, self._processes)
            self._n_words = int(summed[0])
            if self._n_words <= n:
                return summed[1 : 1 + self._n_words].tobytes()

    def _work(self):
        """Run what is asked in a thread of its own, which may have to wait forever."""
        while asked := self._asked.get():
            ticket, function, arguments = asked
            try:
                self._answers.put((ticket, function(*arguments), None))
            except BaseException as error:
                self._answers.put((ticket, None, error))

    def _watch(self):
        """Note processes that give no sign of life: a dead machine closes no connection."""
        everyone = range(self.n_processes)
        while self._loss is None and (alive := self.jax.alive(everyone)) is not None:
            if lost := {*everyone} - {*alive}:
                lost = f"process {min(lost)} of {self.n_processes}"
                self._loss = f"{lost} gives no sign of life; {REMEDY}"
            time.sleep(SILENCE / 4)


# ---- where the devices come from

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
        All devices of this process and of those that have joined it (see
        `training.join`), or as many of this process.
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
            yield _joined[0] if _joined else None
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
    yield _joined[0] if _joined else Replicas(found) if len(found) > 1 else None


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
    """Wait until the others ask for the port at which JAX's coordinator will listen; return it."""
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
    """Become process `k` of `n`, whose first listens at an address; JAX asks a launcher for None.

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


def leave(status):
    """End this process at once; some of its threads may wait forever for a lost one."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)


@contextlib.contextmanager
def _on_this_machine(address, n):
    """Start n - 1 processes, each on its share of the cores, as is then this one.

    The context is a function that returns what they wrote once one has ended, and None before.
    """
    with tempfile.TemporaryFile() as log, contextlib.ExitStack() as at_the_end:
        others = []
        for k in range(1, n):
            command = _command(address, n, k)
            # in a session of its own, so that Ctrl-C reaches the caller alone
            other = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            others.append(other)
            at_the_end.callback(_end, other)
            _bind(other.pid, share_of_cores(k, n))
        own = share_of_cores(0, 1)
        _bind(0, share_of_cores(0, n))
        at_the_end.callback(_bind, 0, own)

        def ended():
            if all(other.poll() is None for other in others):
                return None
            log.seek(0)
            return log.read()[-1000:].decode(errors="replace").strip()

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
        if not 0 <= k < n:
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
    """Return the `Replicas` of the processes to which this one is connected."""
    return _joined[0]
