"""What only a process of its own can show: how long a start takes, and how much memory.

A process's peak memory counts that of the process that started it, up to the moment of
`exec`. So this module imports the standard library alone, and its functions are to be called
before anything large is loaded.
"""

import os
import site
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failed(RuntimeError):
    """A process did not do what was to be measured; the message has what it said."""


def seconds_until_said(command, word, changes=None):
    """Return the seconds from the start of a Python command to its printing `word`.

    `changes` to the environment may be given; None for a value removes a variable.
    """
    environment = {**os.environ, **(changes or {})}
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", command],
            cwd=ROOT,
            env={name: value for name, value in environment.items() if value is not None},
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


def caches_in(folder):
    """Return the changes to the environment that put all caches into a folder."""
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    return {
        "HOME": folder,
        "XDG_CACHE_HOME": None,
        "XDG_CONFIG_HOME": None,
        "XDG_DATA_HOME": None,
        "MPLCONFIGDIR": None,
        "JAX_COMPILATION_CACHE_DIR": None,
        "PYTENSOR_FLAGS": ",".join(filter(None, [flags, f"base_compiledir={folder}/pytensor"])),
        "PYTHONUSERBASE": site.getuserbase(),  # packages that were installed for the user alone
    }


def first_update(size, changes=None):
    """Return the seconds from a process's start to the end of its first update."""
    command = f"from benchmarks import job; job.update_once{tuple(size)}"
    return seconds_until_said(command, "updated", changes)


def first_peer_update(name, size, changes=None):
    """Return the same of a peer."""
    arguments = name, *size
    command = f"from benchmarks import peers; peers.update_once{arguments}"
    return seconds_until_said(command, "updated", changes)


def update_from_folder(folder, cache, size):
    """Return the seconds to the end of an update with the MIDI files of a folder."""
    arguments = str(folder), None if cache is None else str(cache), *size
    command = (
        f"from benchmarks import job\nif __name__ == '__main__': job.update_from_folder{arguments}"
    )
    return seconds_until_said(command, "updated")


def generate_tunes(folder, n_files):
    """Write a folder of MIDI files."""
    path = str(folder)
    command = (
        "from pathlib import Path; from benchmarks import midi\n"
        f"midi.generate(Path({path!r}), {n_files}); print('written')"
    )
    seconds_until_said(command, "written")


def peak_of_update(size):
    """Return the peak memory in MB of a process that makes one update."""
    command = f"from benchmarks import job; job.update_once{tuple(size)}"
    return peak(["-c", command])


def example_peak(folder):
    """Return the peak memory in MB of `examples/main.py`, one epoch on a folder of .mid files."""
    folder = Path(folder).resolve()
    with tempfile.TemporaryDirectory() as output:
        return peak(
            ["examples/main.py", "--epochs", "1", "--data", str(folder), "--output", output]
        )


def peak(arguments):
    """Return the peak memory in MB of Python with these arguments."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, *arguments],
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
