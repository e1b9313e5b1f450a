"""Work in several processes, and work in a separate process that may crash."""

import contextlib
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from typing import Any

import numpy as np

from rnn4music._utils import npz

_CHUNKS = 32  # of the work of each process
_LARGEST_CHUNK = 32  # items


def n_cores():
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_of_cores(k, n):
    """Return the cores for process `k` of `n`, or None where the system cannot bind processes.

    With fewer cores than processes, several processes share a core.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return cores[k::n] if n <= len(cores) else [cores[k % len(cores)]]


def in_processes(function, items, workers):
    """Yield function(item) for each item, in order, computed by `workers` processes.

    With one worker, or if `can_start_processes` is false, the current process does the work. Other
    processes need nothing from the caller's script (no ``if __name__ == "__main__"``), and end
    afterwards. They ignore Ctrl-C: the caller would wait forever for one that was interrupted in
    the middle of an answer.
    """
    if workers <= 1 or not can_start_processes():
        for item in items:  # not map, which a StopIteration of the function would end
            yield function(item)
        return
    from loky import ProcessPoolExecutor

    size = max(1, min(_LARGEST_CHUNK, len(items) // (_CHUNKS * workers)))
    chunks = (items[start : start + size] for start in range(0, len(items), size))
    pool = ProcessPoolExecutor(workers, initializer=_prepare, initargs=(os.getpid(),))
    try:
        # not pool.map: on Ctrl-C it cancels, and loky's thread prints a traceback
        waiting = deque(pool.submit(_each, function, chunk) for chunk in chunks)
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def can_start_processes():
    """Return whether this process can start worker processes.

    A daemonic process, such as a worker of a multiprocessing.Pool or of a DataLoader, may not. A
    frozen program has no Python interpreter to start.
    """
    return not (multiprocessing.current_process().daemon or _is_frozen())


def _is_frozen():
    return bool(getattr(sys, "frozen", False)) or not sys.executable


def _each(function, items):
    return [function(item) for item in items]


def _prepare(parent):
    """Ignore Ctrl-C, and end this process when its parent has ended, or was killed."""

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()


# ---- in a separate process


class ProcessCrashed(ValueError):
    """A process crashed or exceeded a limit because of its input."""


_ERRORS = {error.__name__: error for error in (ProcessCrashed, ValueError, ImportError, OSError)}


def in_limited_process(function, arguments, file=None, *, most_memory, most_bytes, seconds):
    """Return the arrays that a function computes in a process with limited memory and time.

    The process may crash. It is a new interpreter, not a fork, so that daemonic processes and
    processes with threads can start it. Its answer is read as a file that may be hostile.

    Parameters
    ----------
    function : function of a module
        Called with `file` and the arguments; returns a dict of str to array.
    arguments : list
        Text, numbers and None.
    file : binary file, optional
        Open for reading.
    most_memory : int
        Bytes of address space; no limit on Windows.
    most_bytes : int
        Bytes of all arrays together.
    seconds : int
        Time limit.

    Raises
    ------
    ValueError, ImportError, OSError
        If the function raises it; OSError also if the function is never called.
    ProcessCrashed
        If the process crashes or exceeds a limit.
    """
    if _is_frozen():
        raise OSError(
            f"{function.__name__} needs a process of its own, which a frozen program without a "
            "Python interpreter cannot start; run it with Python"
        )
    limits = most_memory, most_bytes, seconds
    job = json.dumps([function.__module__, function.__name__, arguments, limits, bool(file)])
    begin = f"import sys; sys.path[:] = sys.argv[2:]; from {__name__} import _serve; _serve()"
    with tempfile.TemporaryFile() as answer:
        try:
            status = subprocess.run(
                [sys.executable, "-c", begin, job, *map(str, sys.path)],
                stdin=file or subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each takes address space
                timeout=seconds,
            ).returncode
        except subprocess.TimeoutExpired:
            raise ProcessCrashed(f"it takes more than {seconds} seconds") from None
        if status == 1:
            raise OSError(f"the process for {function.__name__} failed before it could answer")
        if status:
            raise ProcessCrashed(f"reading it crashes a process (exit status {status})")
        answer.seek(0)
        return _arrays(answer, most_bytes)


def _arrays(answer, most_bytes):
    """Return the arrays of an answer, or raise the error that it holds."""
    try:
        arrays = npz.read(answer, most_bytes)
        kind, message = map(str, arrays.get("error", ("", "")))
        error = _ERRORS[kind](message) if kind else None
    except Exception:
        raise ProcessCrashed("the process that read it gave no usable answer") from None
    if error is not None:
        raise error
    return arrays


def _serve():
    """Do the work of `in_limited_process` in the new process, and write the answer."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output that a library prints is not part of the answer
    module, name, arguments, limits, has_file = json.loads(sys.argv[1])
    function = getattr(importlib.import_module(module), name)
    _limit(*limits)
    try:
        arrays: Any = function(sys.stdin.buffer if has_file else None, *arguments)
        if sum(array.nbytes for array in arrays.values()) > limits[1]:
            raise ProcessCrashed(f"it holds more than {limits[1]} bytes")
    except MemoryError:
        message = f"it takes more than {limits[0] >> 20} MiB of memory"
        arrays = {"error": np.array([ProcessCrashed.__name__, message])}
    except tuple(_ERRORS.values()) as error:
        kind = next(kind for kind in _ERRORS if isinstance(error, _ERRORS[kind]))
        arrays = {"error": np.array([kind, str(error)[:1000]])}
    np.savez(answer, **arrays)
    answer.flush()


def _limit(most_memory, most_bytes, seconds):
    with contextlib.suppress(ImportError):  # on Windows
        import resource

        for kind, most in (
            (resource.RLIMIT_AS, most_memory),
            (resource.RLIMIT_FSIZE, most_bytes + 2**16),
            (resource.RLIMIT_CPU, 2 * seconds),
        ):
            with contextlib.suppress(ValueError, OSError):  # a lower limit exists; macOS
                resource.setrlimit(kind, (most, most))
