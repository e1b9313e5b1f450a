"""Start-up time and peak memory, measured on new processes.

The peak memory of a process includes that of its parent up to `exec`. This module therefore imports
only the standard library, and its functions must be called before anything large is loaded.
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
    """A measured process failed; the message is its output."""


def seconds_until_said(command, word, changes=None):
    """Return the seconds from the start of a Python command until it prints `word`.

    `changes` are changes to the environment; the value None removes a variable.
    """
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", command],
            cwd=ROOT,
            env=_changed(changes),
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


def seconds_of(arguments, changes=None):
    """Return the seconds from the start of Python with these arguments until it ends."""
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=_changed(changes),
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - started
    if ended.returncode:
        raise Failed(ended.stderr)
    return seconds


def _changed(changes):
    environment = {**os.environ, **(changes or {})}
    return {name: value for name, value in environment.items() if value is not None}


def caches_in(folder):
    """Return changes to the environment that move all caches to a folder.

    Python's own are kept elsewhere: modules are compiled to bytecode when they are installed.
    """
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    return {
        "HOME": folder,
        "XDG_CACHE_HOME": None,
        "XDG_CONFIG_HOME": None,
        "XDG_DATA_HOME": None,
        "MPLCONFIGDIR": None,
        "JAX_COMPILATION_CACHE_DIR": None,
        "RNN4MUSIC_CODE_CACHE": None,
        "PYTHONDONTWRITEBYTECODE": None,
        "PYTENSOR_FLAGS": ",".join(filter(None, [flags, f"base_compiledir={folder}/pytensor"])),
        "PYTHONUSERBASE": site.getuserbase(),  # packages of the user
    }


def first_update(size, changes=None):
    """Return the seconds from the start of a process to the end of its first update."""
    command = f"from benchmarks import job; job.update_once{tuple(size)}"
    return seconds_until_said(command, "updated", changes)


def first_peer_update(name, size, changes=None):
    """Return the seconds from the start of a process to the end of a peer's first update."""
    arguments = name, *size
    command = f"from benchmarks import peers; peers.update_once{arguments}"
    return seconds_until_said(command, "updated", changes)


def update_from_folder(folder, cache, size):
    """Return the seconds to the end of the first update with the MIDI files of a folder."""
    arguments = str(folder), None if cache is None else str(cache), *size
    command = (
        f"from benchmarks import job\nif __name__ == '__main__': job.update_from_folder{arguments}"
    )
    return seconds_until_said(command, "updated")


def save_model(path, size):
    """Save an untrained model."""
    arguments = str(path), *size
    seconds_until_said(f"from benchmarks import job; job.save_model{arguments}", "saved")


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
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return usage.ru_maxrss * unit / 1e6
