"""Standard error, as long as it exists: a message that cannot be shown does not end a training.

A terminal may be closed, a pipe broken, in the middle of a long run.
"""

import contextlib
import sys

from tqdm import tqdm


class StandardError:
    """A file for progress bars that drops what cannot be written."""

    def write(self, text):
        """Write to standard error, if it exists."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)

    def flush(self):
        """See `write`."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()

    def __getattr__(self, name):
        return getattr(sys.stderr, name)


STDERR = StandardError()


def log(message):
    """Print a line on standard error, above the progress bars; may be called by signal handlers."""
    with contextlib.suppress(RuntimeError):  # the handler interrupted a write
        tqdm.write(message, file=STDERR)
