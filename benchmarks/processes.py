"""What only a process of its own can show: how long a start takes, and how much memory.

A process's peak memory counts that of the process that started it, up to the moment of
`exec`. So this module imports the standard library alone, and its functions are to be called
before anything large is loaded.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failed(RuntimeError):
    """A process did not do what was to be measured; the message has what it said."""


def seconds_until_said(command, word):
    """Return the seconds from the start of a Python command to its printing `word`."""
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        line = process.stdout.readline() if process.stdout else ""
        seconds = time.perf_counter() - started
        process.communicate()
        if line.strip() != word:
            errors.seek(0)
            raise Failed(errors.read())
    return seconds


def first_update(size):
    """Return the seconds from a process's start to the end of its first update."""
    return seconds_until_said(f"from benchmarks import job; job.update_once{size}", "updated")


def example_peak(folder):
    """Return the peak memory in MB of `examples/main.py`, one epoch on a folder of .mid files."""
    with tempfile.TemporaryDirectory() as output, tempfile.TemporaryFile("w+") as said:
        arguments = ["--epochs", "1", "--data", folder.resolve(), "--output", output]
        process = subprocess.Popen(
            [sys.executable, "examples/main.py", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=said,
            stderr=said,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            raise Failed(said.read())
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return usage.ru_maxrss * unit / 1e6
