"""Tunes that are read when they are needed: how long they are, and reading ahead.

A dataset is a sequence of (T, P) rolls. Where it is a store on disk (`roll_store.RollStore`),
each access reads a roll; its lengths are known without that.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def is_stored(tunes):
    """Say whether tunes are read anew at each access."""
    return hasattr(tunes, "fingerprint")


def lengths(tunes):
    """Return the steps of each of the tunes, (number of tunes,), without reading any."""
    known = getattr(tunes, "lengths", None)
    return np.array([len(tune) for tune in tunes], np.int64) if known is None else known


def prefetched(iterator, n):
    """Yield what an iterator does, in its order, while a thread makes the next `n` items.

    What the iterator raises is raised here, in its place. Whoever stops before the end closes
    the generator (it is closed when nothing holds it any more), which ends the thread.
    """
    end = object()
    thread = ThreadPoolExecutor(1, "prefetch")
    try:
        ahead = deque(thread.submit(next, iterator, end) for _ in range(n))
        while (item := ahead.popleft().result()) is not end:
            ahead.append(thread.submit(next, iterator, end))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)
