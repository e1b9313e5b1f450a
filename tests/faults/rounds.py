"""What all kinds of faults share: counts, violations, and children that are killed.

Conventions
-----------
A kind is a function of (rounds, rng, folder) that returns `Counts`; the folder is empty and its
own. A round is one fault: one kill, one damaged file. Children are forked, so that a round takes
milliseconds: nothing here may have started the engine before.
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

# Its own lock is shared by forked processes, and stays taken for ever by one that was killed.
tqdm.set_lock(threading.RLock())
tqdm.monitor_interval = 0  # no thread, which would not survive a fork


class Counts(collections.Counter):
    """How often what happened, in the order in which it first did."""

    VIOLATIONS = "VIOLATIONS"

    def violation(self, message):
        """Count a broken promise, and say which."""
        self[self.VIOLATIONS] += 1
        print(f"VIOLATION: {message}", file=sys.stderr, flush=True)


class Child:
    """A forked child that calls `work(say)`; what it says in one go arrives whole, or not at all.

    Parameters
    ----------
    work : callable
        Takes a function of one text. An error in it is printed, and `failed` tells of it.
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
        """Wait until it ends or the time is over, and kill it then; return whether it ended."""
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
        """The texts that it said."""
        return self._said.decode().splitlines()

    @property
    def failed(self):
        """Whether it ended by an error."""
        return os.WIFEXITED(self.status) and os.WEXITSTATUS(self.status) != 0


def left_behind(folder):
    """Return the names of temporary files in a folder."""
    return [name for name in os.listdir(folder) if name.endswith(".tmp")]


def is_same(first, second):
    """Say whether two things of dicts, lists, arrays and numbers are the same bit for bit."""
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
