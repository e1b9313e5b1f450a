"""Common parts of all kinds of faults: counts, violations, and children that are killed.

Conventions
-----------
A kind is a function of (rounds, rng, folder) that returns `Counts`; it gets an empty folder. A
round is one fault, such as one kill or one damaged file. Children are forked, so that a round takes
milliseconds. The engine must not have run before a fork.
"""

import collections
import os
import select
import signal
import sys
import threading
import time
import traceback

from tqdm import tqdm

# tqdm's own lock is shared by forked processes, and a killed one would hold it forever.
tqdm.set_lock(threading.RLock())
tqdm.monitor_interval = 0  # no thread, which would not survive a fork


class Counts(collections.Counter):
    """Numbers of events, in the order in which they first happened."""

    VIOLATIONS = "VIOLATIONS"

    def violation(self, message):
        """Count a broken promise, and print it."""
        self[self.VIOLATIONS] += 1
        print(f"VIOLATION: {message}", file=sys.stderr, flush=True)


class Child:
    """A forked child that calls `work(say)`; each text arrives completely or not at all.

    Parameters
    ----------
    work : callable
        Its argument is a function that sends a text to this process. An error in `work` is printed
        and sets `failed`.
    """

    def __init__(self, work):
        self._reading, writing = os.pipe()
        sys.stdout.flush(), sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            os.close(writing)
            self._said, self.status = b"", None
            return
        code = 1
        try:
            os.close(self._reading)
            work(lambda text: os.write(writing, f"{text}\n".encode()))
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def wait(self, seconds, kill=True):
        """Wait until the child ends; kill it after `seconds`. Return whether it ended by itself."""
        deadline = time.monotonic() + seconds
        ended = False
        while not ended:
            left = max(deadline - time.monotonic(), 0)
            if not select.select([self._reading], [], [], left)[0]:
                break
            part = os.read(self._reading, 1 << 16)
            ended, self._said = not part, self._said + part
        if not ended:
            if not kill:
                return False
            os.kill(self.pid, signal.SIGKILL)
            while part := os.read(self._reading, 1 << 16):
                self._said += part
        os.close(self._reading)
        _, self.status = os.waitpid(self.pid, 0)
        return ended

    @property
    def said(self):
        """The texts that the child sent."""
        return self._said.decode().splitlines()

    @property
    def failed(self):
        """Whether the child ended with an error."""
        return os.WIFEXITED(self.status) and os.WEXITSTATUS(self.status) != 0


def left_behind(folder):
    """Return the names of temporary files in a folder."""
    return [name for name in os.listdir(folder) if name.endswith(".tmp")]


def is_same(first, second):
    """Return whether two objects of dicts, lists, arrays and numbers are the same bit for bit."""
    if hasattr(first, "dtype") or hasattr(second, "dtype"):
        kinds = [(getattr(x, "dtype", None), getattr(x, "shape", None)) for x in (first, second)]
        return kinds[0] == kinds[1] and first.tobytes() == second.tobytes()
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(is_same(first[k], second[k]) for k in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(is_same, first, second))
    return first == second
