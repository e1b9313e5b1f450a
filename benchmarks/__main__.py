"""Speed and memory of everything that takes time, beside the programs one would use instead.

    python -m benchmarks                         all parts, on one core and on all
    python -m benchmarks updates --threads 1     one part, on one core
    python -m benchmarks --quick                 tries everything at tiny sizes
    python -m benchmarks --json r.json --plot r.png

Run it from the repository's root. The parts:

    updates       the time of an update, and its share of the machine's limit
    start         from process start to the end of the first update, cold and warm caches
    memory        peak memory against the steps and the tunes
    generation    composing
    evaluation    predicting and scoring long tunes
    folder        from a folder of MIDI files to the end of the first update

Peers that are not installed are skipped, and named; the extra "benchmark" brings all of them.
Reading MIDI files has a suite of its own, `python -m benchmarks.midi`.

Conventions
-----------
Figures are medians with the quartiles in brackets. Programs alternate in rounds, and a ratio
is that of two medians of one round. Sizes are H units in each of three layers, B tunes, T
predictions. Tables are printed in Markdown.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import machine, peers
from benchmarks.processes import ROOT
from benchmarks.settings import GRID, SUBSET, Settings, Size

PARTS = ("updates", "start", "memory", "generation", "evaluation", "folder")

BUSY = 0.5  # load at which what is measured has to share the cores


def main():
    """Measure and print; end with 1 if a part failed or a peer computed something else."""
    arguments = parse_arguments()
    settings = chosen_settings(arguments)
    host = {**machine.describe(), "versions": versions()}
    print_machine(host)
    runs = []
    for threads in ("1", "all") if arguments.threads == "both" else (arguments.threads,):
        runs.append(run_parts(arguments.parts, threads, settings))
    if arguments.json:
        report = {"machine": host, "settings": settings.to_dict(), "runs": runs}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    if arguments.plot:
        plotted = [run for run in runs if "updates" in run["parts"]]
        if plotted:
            from benchmarks import picture

            picture.draw(plotted, arguments.plot)
        else:
            print("no picture: it shows the part updates, which was not measured")
    if any(run["failed"] or refused(run) for run in runs):
        raise SystemExit(1)


def parse_arguments():
    """Return the command line's settings."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all)")
    add("--threads", choices=("1", "all", "both"), default="both", help="cores (%(default)s)")
    add("--sizes", nargs="+", type=size, metavar="H,B,T", help=f"of updates ({shown(SUBSET)})")
    add("--all-sizes", action="store_true", help="the full grid of sizes: hours")
    add("--peers", nargs="*", choices=peers.PEERS, default=list(peers.PEERS), help="(all)")
    add("--rounds", type=positive, help="in which programs alternate (10)")
    add("--quick", action="store_true", help="tiny sizes, to try it out; figures mean nothing")
    chorales = ROOT / "data" / "chorales"
    add("--data", type=Path, default=chorales, help=".mid files for the example's memory")
    add("--json", type=Path, help="a file to write the figures to")
    add("--plot", type=Path, help="a .png file for the table of ratios")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part is called {unknown[0]!r}; choose from {', '.join(PARTS)}")
    arguments.parts = arguments.parts or PARTS
    return arguments


def size(text):
    """Return the size of an argument."""
    try:
        return Size.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text):
    """Return the whole number of an argument, above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number above 0")
    return int(text)


def shown(sizes):
    """Return sizes as the command line takes them."""
    return " ".join(",".join(map(str, one)) for one in sizes)


def chosen_settings(arguments):
    """Return the settings that the command line asks for."""
    settings = Settings.quick() if arguments.quick else Settings()
    settings.peers = arguments.peers
    if arguments.all_sizes:
        settings.sizes = list(GRID)
    if arguments.sizes:
        settings.sizes = arguments.sizes
    if arguments.rounds:
        settings.rounds = arguments.rounds
    if "memory" in arguments.parts and not arguments.quick:
        if arguments.data.is_dir():
            settings.data = str(arguments.data.resolve())
        else:
            print(f"skipped the example's memory: no {arguments.data}; give --data FOLDER")
    return settings


def versions():
    """Return the versions of all that is measured."""
    return machine.versions(("numpy", "pytensor", "jax", "jaxlib", "llvmlite", "torch"))


def print_machine(host):
    """Print what the figures are of."""
    load = "" if host["load_before"] is None else f"; load before: {host['load_before']:.1f}"
    print(f"{host['processor']}, {host['cores_used']} of {host['cores']} cores{load}")
    print(host["platform"])
    if (host["load_before"] or 0) > BUSY:
        print("the machine is busy: figures on all cores suffer, those of OpenMP (PyTorch) most")
    print(f"Python {host['python']}, {', '.join(map(' '.join, host['versions'].items()))}")


def run_parts(parts, threads, settings):
    """Run each part in a process of its own.

    Returns
    -------
    dict
        ``threads``; ``machine``, as the last process found it; ``parts``, the results by part;
        ``failed``, the exit status of each part that failed.
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
    """Return whether a peer was refused because it computed something else."""
    updates = run["parts"].get("updates", {"sizes": []})
    evaluation = run["parts"].get("evaluation", {"refused": {}})
    return any(one["refused"] for one in updates["sizes"]) or bool(evaluation["refused"])


if __name__ == "__main__":
    main()
