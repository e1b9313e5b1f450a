"""Work spread over processes."""

import contextlib
import os
import signal

_PORTIONS = 32  # of the work of each process
_MOST_AT_ONCE = 32  # items of a portion


def n_cores():
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    pool = ProcessPoolExecutor(workers)
    try:
        with _interrupts_wait():
            results = pool.map(function, items, chunksize=at_once)
        yield from results
    finally:
        pool.shutdown(wait=True, kill_workers=True)


@contextlib.contextmanager
def _interrupts_wait():
    """Put Ctrl-C off; processes that are started meanwhile never get it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
