"""Time of reading MIDI files as piano rolls, compared with mido and pretty_midi if installed.

    python -m benchmarks.midi                    generated files
    python -m benchmarks.midi --data FOLDER      your own files
    python -m benchmarks.midi --json midi.json   also write the figures to a file

Run it from the repository's root. The extra "benchmark" installs the peers. Each makes a piano roll
with steps of 0.3 s in its idiomatic way: pretty_midi with `get_piano_roll`, mido with a loop over
its messages in seconds. The notes are compared before anything is timed.

Conventions
-----------
Programs alternate in rounds. Figures are medians, with the quartiles in brackets. A ratio is
computed from two times of the same round.
"""

# pyright: reportMissingImports=false

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.figures import print_row, summary, timed
from midi import midiread, midiwrite
from rnn4music import load_midi

TIME_STEP = 0.3
OURS = "midiread"


def main():
    """Measure and print the results."""
    settings = parse_arguments()
    host = machine.describe()
    host["versions"] = machine.versions(("numpy", "mido", "pretty_midi"))
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        folder = settings.data or generate(scratch / "tunes", settings.files)
        files = sorted(folder.rglob("*.mid"))
        single = scratch / "5000.mid"
        write_tune(single, n_notes=5000, seed=0)
        results = {
            "one_file_ms": compare([single], settings.rounds * 5),
            "files_ms": compare(files[:: max(len(files) // 40, 1)][:40], settings.rounds),
            "folder_s": folder_times(folder, scratch / "cache", settings.rounds),
            "n_files": len(files),
        }
        if settings.memory:
            results["memory"] = memory(generate(scratch / "many", settings.memory))
    print_report(host, results)
    if settings.json:
        report = {"machine": host, "settings": vars(settings), "results": results}
        settings.json.write_text(json.dumps(report, indent=2, default=str) + "\n")


def parse_arguments():
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.midi",
        description="Time of reading MIDI files, compared with mido and pretty_midi.",
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder of .mid files (default: generated files)")
    add("--files", type=int, default=1000, help="number of files to generate (%(default)s)")
    add("--rounds", type=int, default=5, help="number of rounds (%(default)s)")
    add(
        "--memory",
        type=int,
        default=10_000,
        help="files to load for the peak memory, or 0 (%(default)s)",
    )
    add("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


# ---- files


def write_tune(path, n_notes, seed):
    """Write a tune like a recorded performance: two hands, notes of all lengths, off the grid."""
    rng = np.random.default_rng(seed)
    hold = rng.geometric(0.1, n_notes)
    start = np.cumsum(rng.geometric(0.15, n_notes)) // 2
    roll = np.zeros((int((start + hold).max()) + 1, 88), dtype=bool)
    hand = rng.random(n_notes) < 0.5
    pitch = np.clip(np.where(hand, 28, 50) + rng.normal(0, 6, n_notes), 0, 87).astype(int)
    for one, begin, length in zip(pitch, start, hold):
        roll[begin : begin + length, one] = True
    midiwrite(path, roll, dt=0.05, velocity=rng.integers(30, 120, roll.shape), format=1)


def generate(folder, n_files):
    """Write tunes of 300 to 2,500 notes."""
    folder.mkdir()
    for seed in range(n_files):
        write_tune(folder / f"{seed:05}.mid", 300 + seed * 137 % 2200, seed)
    return folder


# ---- programs


def ours(path):
    """Read a roll with midiread."""
    return midiread(path, (0, 128), TIME_STEP).piano_roll


def read_all(program, files):
    """Read the files one after the other."""
    for path in files:
        program(path)


def mido_notes(path):
    """Return the notes read by mido, (pitch, start, end) in seconds, and the end of the file."""
    import mido

    notes, sounding, now = [], {}, 0.0
    for message in mido.MidiFile(path):
        now += message.time
        if message.type in ("note_on", "note_off"):
            voice = message.channel, message.note
            if message.type == "note_on" and message.velocity > 0:
                sounding.setdefault(voice, []).append(now)
            elif sounding.get(voice):
                notes.append((message.note, sounding[voice].pop(0), now))
    return notes, now


def with_mido(path):
    """Read a roll with mido."""
    notes, end = mido_notes(path)
    roll = np.zeros((int(np.ceil(end / TIME_STEP)), 128), dtype=np.float32)
    for pitch, start, stop in notes:
        roll[int(np.ceil(start / TIME_STEP)) : int(np.ceil(stop / TIME_STEP)), pitch] = 1
    return roll


def with_pretty_midi(path):
    """Read a roll with pretty_midi, which rounds times down and returns (128, T)."""
    import pretty_midi

    return pretty_midi.PrettyMIDI(str(path)).get_piano_roll(fs=1 / TIME_STEP).T > 0  # pyright: ignore[reportArgumentType]


def programs():
    """Return the installed programs by name."""
    installed = {OURS: ours}
    for package, program in (("mido", with_mido), ("pretty_midi", with_pretty_midi)):
        if machine.installed(package):
            installed[package] = program
        else:
            print(f"skipped {package}: python -m pip install '.[benchmark]'")
    return installed


# ---- measuring


def compare(files, n_rounds):
    """Time the reading of all files as rolls, by each program in turn."""
    contestants = programs()
    if "mido" in contestants:
        check_agreement(files)
    times = {name: [] for name in contestants}
    for _ in range(n_rounds):
        for name, program in contestants.items():
            times[name].append(1000 * timed(partial(read_all, program, files)))
    n_notes = sum(len(midiread(path, (0, 128)).pitches) for path in files)
    return {
        "n_files": len(files),
        "n_notes": n_notes,
        "times": {name: summary(values) for name, values in times.items()},
        "notes_per_second": {
            name: 1000 * n_notes / statistics.median(values) for name, values in times.items()
        },
        "times_as_fast": {
            name: summary([theirs / ours for ours, theirs in zip(times[OURS], values)])
            for name, values in times.items()
            if name != OURS
        },
    }


def check_agreement(files):
    """Exit unless mido finds the same notes at the same times."""
    for path in files:
        content = midiread(path, (0, 128))
        if content.n_cut:  # mido pairs strikes and ends in order even where ends are missing
            continue
        ours = sorted(content.notes)
        theirs = sorted(mido_notes(path)[0])
        if len(ours) != len(theirs) or not np.allclose(ours, theirs, atol=1e-6):
            raise SystemExit(f"{path}: mido reads other notes; nothing was timed")


def folder_times(folder, cache, n_rounds):
    """Time `load_midi`: with one process, on all cores, writing the cache, from the cache."""
    cores = machine.available_cores()
    ways = {
        "one process": {"workers": 1},
        f"{cores} processes": {"workers": cores},
        "one process, writing the cache": {"workers": 1, "cache": cache},
        "from the cache": {"workers": 1, "cache": cache},
    }
    times = {name: [] for name in ways}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_midi(folder)
        for _ in range(n_rounds):
            for path in cache.glob("*") if cache.exists() else ():
                path.unlink()
            for name, keywords in ways.items():
                times[name].append(timed(partial(load_midi, folder, progress=False, **keywords)))
    return {name: summary(values) for name, values in times.items()}


def memory(folder):
    """Return the peak memory in MB of a new process before and after it loads a folder."""
    script = (
        "import resource, sys, warnings; from rnn4music import load_midi\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); dataset = load_midi(sys.argv[1], workers=1, progress=False)\n"
        "print(before, peak(), sum(roll.nbytes for roll in dataset), len(dataset))"
    )
    command = [sys.executable, "-c", script, str(folder)]
    before, after, rolls, n_tunes = map(int, subprocess.check_output(command).split())
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return {"n_tunes": n_tunes, "before_mb": before * unit / 1e6, "peak_mb": after * unit / 1e6,
            "rolls_mb": rolls / 1e6, "started_from_mb": own}  # fmt: skip


# ---- printing


def print_report(host, results):
    """Print the machine and the tables."""
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    print(f"\n{host['processor']}, {host['cores_used']} of {host['cores']} cores used")
    print(f"{host['platform']}, Python {host['python']}, {versions}")
    for title in ("one_file_ms", "files_ms"):
        part = results[title]
        print(f"\n{part['n_files']} file(s), {part['n_notes']} notes, to rolls of {TIME_STEP} s")
        for name, figures in part["times"].items():
            print_row(name, figures, f"ms, {part['notes_per_second'][name]:,.0f} notes/s")
        for name, figures in part["times_as_fast"].items():
            print_row(f"  midiread vs. {name}", figures, "times as fast")
    print(f"\nload_midi of {results['n_files']} files")
    for name, figures in results["folder_s"].items():
        rate = results["n_files"] / figures["median"]
        print_row(name, figures, f"s, {rate:,.0f} files/s")
    if "memory" in results:
        figures = results["memory"]
        print(
            f"\nloading {figures['n_tunes']} files: peak {figures['peak_mb']:.0f} MB "
            f"({figures['before_mb']:.0f} MB before, rolls {figures['rolls_mb']:.0f} MB)"
        )


if __name__ == "__main__":
    main()
