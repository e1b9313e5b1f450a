"""Messages and progress on standard error; one that cannot be written does not end a training.

A terminal may be closed or a pipe broken in the middle of a long run.
"""

import contextlib
import math
import sys

from tqdm import tqdm


class StandardError:
    """A file for progress bars that drops text which cannot be written."""

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


def shows_bars():
    """Return whether standard error can redraw a line: in a terminal or a notebook."""
    stream = sys.stderr
    if type(stream).__module__.startswith("ipykernel."):
        return True
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


_LINE = "{desc}: {n_fmt} of {total_fmt} {unit}s; {elapsed} elapsed, {remaining} left{postfix}"


class Bar(tqdm):
    """A progress bar on standard error; without a terminal, lines at most at each tenth.

    Parameters
    ----------
    *arguments, **options
        Those of tqdm.
    share : float
        Share of the total from one line to the next; 0 for a line after each item.
    """

    def __init__(self, *arguments, share=0.1, **options):
        self.has_lines, self.share, self.n_shown = not shows_bars(), share, 0
        if self.has_lines:
            options["bar_format"] = _LINE
        super().__init__(*arguments, file=STDERR, **options)

    def display(self, msg=None, pos=None):
        """Draw the bar, or print a line if one is due."""
        if not self.has_lines:
            return super().display(msg, pos)
        if self.n - self.n_shown >= max(1, self.share * (self.total or math.inf)):
            self._print_line()
        return True

    def clear(self, nolock=False):
        """Clear the bar; lines stay."""
        if not self.has_lines:
            super().clear(nolock)

    def close(self):
        """Leave the bar at its end, or print the last line."""
        if self.has_lines and not self.disable:
            if self.n > self.n_shown and self.last_print_t >= self.start_t + self.delay:
                self._print_line()
            self.sp = None  # tqdm itself writes nothing then
        super().close()

    def _print_line(self):
        self.n_shown = self.n
        STDERR.write(f"{self}\n")
        STDERR.flush()
