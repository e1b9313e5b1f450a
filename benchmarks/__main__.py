"""Speed and memory of rnn4music compared with the programs one would use instead.

    python -m benchmarks                         all parts, on one core and on all cores
    python -m benchmarks updates --threads 1     one part, on one core
    python -m benchmarks --quick                 all parts at tiny sizes, as a trial
    python -m benchmarks updates --grid          a grid of sizes, as one table
    python -m benchmarks updates --grid --avx2   the same with the instructions of most laptops
    python -m benchmarks --json r.json --plot r.png

Run it from the repository's root. The parts:

    updates       time of an update, and its rate beside that of a matrix product
    start         time from process start to the end of the first update, cold and warm caches
    memory        peak memory as a function of the numbers of steps and tunes
    generation    time of composing, compared with the peers
    evaluation    time of predicting and scoring long tunes
    folder        time from a folder of MIDI files to the end of the first update

Peers that are not installed are reported and skipped. The extra "benchmark" installs all of
them. `python -m benchmarks.midi` measures the reading of MIDI files.

Conventions
-----------
Figures are medians, with the quartiles in brackets. Programs alternate in rounds; a ratio is
computed from two medians of the same round. Sizes are H units in each of three layers, B tunes and
T predictions. Tables are in Markdown.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import machine, peers
from benchmarks.processes import ROOT
from benchmarks.settings import GRID, SUBSET, Settings, Size

PARTS = ("updates", "start", "memory", "generation", "evaluation", "folder")

AVX2 = {
    "RNN4MUSIC_WITHOUT": "avx512 avx10 amx",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "DNNL_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""Variables that keep rnn4music, JAX, PyTorch and NumPy to AVX2."""

BUSY = 0.5  # load above which other processes disturb the measurement


def main():
    """Measure and print; exit with 1 if a part failed or a peer gave other results."""
    arguments = parse_arguments()
    settings = chosen_settings(arguments)
    if arguments.avx2:
        os.environ.update(AVX2)
    limits = {name: os.environ[name] for name in AVX2 if name in os.environ}
    host = {**machine.describe(), "versions": versions()}
    print_machine(host)
    if limits:
        print(f"limited by {' '.join(f'{name}={value!r}' for name, value in limits.items())}")
    runs = []
    for threads in ("1", "all") if arguments.threads == "both" else (arguments.threads,):
        runs.append(run_parts(arguments.parts, threads, settings))
    if arguments.json:
        settings = {**settings.to_dict(), "variables": limits}
        report = {"machine": host, "settings": settings, "runs": runs}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    if arguments.grid and any(run["parts"] for run in runs):
        from benchmarks import updates

        print(f"\nTime of an update in ms, and that of the peers:\n\n{updates.grid_report(runs)}")
    if arguments.plot:
        plotted = [run for run in runs if "updates" in run["parts"]]
        if plotted:
            from benchmarks import picture

            picture.draw(plotted, arguments.plot)
        else:
            print("no picture was drawn: it needs the part updates, which was not measured")
    if any(run["failed"] or refused(run) for run in runs):
        raise SystemExit(1)


def parse_arguments():
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all)")
    add(
        "--threads",
        choices=("1", "all", "both"),
        default="both",
        help="number of cores (%(default)s)",
    )
    add(
        "--sizes",
        nargs="+",
        type=size,
        metavar="H,B,T",
        help=f"sizes of the updates ({shown(SUBSET)})",
    )
    add(
        "--grid",
        action="store_true",
        help="time updates over a grid of sizes, beside the fastest peers, in at least three "
        "rounds and three seconds instead of five and ten, and print one table of all medians",
    )
    add(
        "--avx2",
        action="store_true",
        help="let all programs use AVX2 and no later vector instructions (x86)",
    )
    add(
        "--chord-units",
        type=int,
        metavar="K",
        help="give the networks of the part updates a chord output of K units, and time rnn4music "
        "without it too",
    )
    add("--peers", nargs="*", choices=peers.PEERS, help="peers (all)")
    add("--rounds", type=positive, help="number of rounds (10)")
    add(
        "--quick",
        action="store_true",
        help="use tiny sizes, as a trial; the figures are meaningless",
    )
    chorales = ROOT / "data" / "chorales"
    add(
        "--data",
        type=Path,
        default=chorales,
        help="folder of .mid files for the memory of the example",
    )
    add("--json", type=Path, help="write the figures to this file")
    add("--plot", type=Path, help="draw the table of ratios to this .png file")
    arguments = parser.parse_args()
    if arguments.grid:
        arguments.parts = arguments.parts or ["updates"]
    if arguments.grid and list(arguments.parts) != ["updates"]:
        parser.error("--grid measures the part updates only")
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    arguments.parts = arguments.parts or PARTS
    return arguments


def size(text):
    """Return the `Size` in an argument."""
    try:
        return Size.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text):
    """Return the positive integer in an argument."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number above 0")
    return int(text)


def shown(sizes):
    """Return sizes in the form that the command line accepts."""
    return " ".join(",".join(map(str, one)) for one in sizes)


def chosen_settings(arguments):
    """Return the settings given by the command line."""
    settings = Settings.quick() if arguments.quick else Settings()
    settings.peers, settings.chord_units = list(peers.PEERS), arguments.chord_units
    if arguments.grid and not arguments.quick:
        settings.sizes, settings.peers = list(GRID), list(peers.FASTEST)
        settings.fewest_rounds, settings.seconds = 3, 3.0
    if arguments.peers is not None:
        settings.peers = arguments.peers
    if arguments.sizes:
        settings.sizes = arguments.sizes
    if arguments.rounds:
        settings.rounds = arguments.rounds
    if "memory" in arguments.parts and not arguments.quick:
        if arguments.data.is_dir():
            settings.data = str(arguments.data.resolve())
        else:
            print(f"skipped the memory of the example: there is no {arguments.data}; give --data")
    return settings


def versions():
    """Return the versions of the packages measured."""
    return machine.versions(("numpy", "pytensor", "jax", "jaxlib", "llvmlite", "torch"))


def print_machine(host):
    """Print the machine, its load and the versions."""
    load = "" if host["load_before"] is None else f"; load before: {host['load_before']:.1f}"
    print(f"{host['processor']}, {host['cores_used']} of {host['cores']} cores{load}")
    print(host["platform"])
    if (host["load_before"] or 0) > BUSY:
        print(
            "the machine is busy, which slows programs on all cores, most of all OpenMP (PyTorch)"
        )
    print(f"Python {host['python']}, {', '.join(map(' '.join, host['versions'].items()))}")


def run_parts(parts, threads, settings):
    """Run each part in a separate process.

    Returns
    -------
    dict
        ``threads``; ``machine``, as described by the last process; ``parts``, the results by part;
        ``failed``, the exit status of each failed part.
    """
    run = {"threads": threads, "machine": machine.describe(), "parts": {}, "failed": {}}
    with tempfile.TemporaryDirectory() as scratch:
        settings_file, results_file = Path(scratch) / "settings", Path(scratch) / "results"
        settings_file.write_text(json.dumps(settings.to_dict()))
        for part in parts:
            print(f"\n### {part}, threads: {threads}\n", flush=True)
            command = ["-m", "benchmarks.child", part, threads, settings_file, results_file]
            status = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT).returncode
            if status:
                print(f"{part} failed: see above", flush=True)
                run["failed"][part] = status
            else:
                report = json.loads(results_file.read_text())
                run["machine"] = report["machine"]
                run["parts"][part] = report["results"]
    return run


def refused(run):
    """Return whether a peer was refused because its results differ."""
    updates = run["parts"].get("updates", {"sizes": []})
    others = (run["parts"].get(part, {"refused": {}}) for part in ("evaluation", "generation"))
    refusals = [one["refused"] for one in (*updates["sizes"], *others)]
    return any(refusals)


if __name__ == "__main__":
    main()
