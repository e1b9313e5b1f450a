"""Work spread over processes."""

import os
import signal
import threading
import time
from collections import deque

_PORTIONS = 32  # of the work of each process
_MOST_AT_ONCE = 32  # items of a portion


def n_cores():
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_of_cores(k, n):
    """Return the cores of process `k` of `n` that run side by side; None where none can be chosen.

    Where there are fewer cores than processes, some have one in common.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return cores[k::n] if n <= len(cores) else [cores[k % len(cores)]]


def in_processes(function, items, workers):
    """Yield function(item) for each of the items, in their order, computed by `workers` processes.

    With one worker it happens here. The processes need nothing from the caller's script (no
    ``if __name__ == "__main__"``), and are gone afterwards. Ctrl-C is the caller's affair: a
    process that it ended in the middle of an answer would be waited for without end.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    from loky import ProcessPoolExecutor

    at_once = max(1, min(_MOST_AT_ONCE, len(items) // (_PORTIONS * workers)))
    portions = (items[start : start + at_once] for start in range(0, len(items), at_once))
    pool = ProcessPoolExecutor(workers, initializer=_prepare, initargs=(os.getpid(),))
    try:
        waiting = deque(pool.submit(_each, function, portion) for portion in portions)
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _each(function, items):
    return [function(item) for item in items]


def _prepare(parent):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent):
    """End this process once its parent is gone: killed, it could not end it."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
