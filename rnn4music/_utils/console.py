"""Standard error, which may go away in the middle of a long run: a closed terminal, a broken pipe.

A message that cannot be shown does not end a training.
"""

import contextlib
import sys

from tqdm import tqdm


class StandardError:
    """File for progress bars, which drops text that cannot be written."""

    def write(self, text):
        """Write to standard error, if it exists."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)

    def flush(self):
        """Flush standard error, if it exists."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()

    def __getattr__(self, name):
        return getattr(sys.stderr, name)


STDERR = StandardError()


def log(message):
    """Print a line on standard error, above the progress bars; signal handlers may call it."""
    with contextlib.suppress(RuntimeError):  # a signal handler interrupted a write
        tqdm.write(message, file=STDERR)
