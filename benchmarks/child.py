"""Measure one part in this process, on the given number of cores.

    python -m benchmarks.child updates 1 settings.json results.json

Engines choose their number of threads when they start, so that each number needs its own process.
"""

import importlib
import json
import sys
from pathlib import Path

from benchmarks import machine
from benchmarks.settings import Settings


def main():
    """Choose the cores, measure, print the tables and write the results."""
    part, threads, settings_file, results_file = sys.argv[1:]
    if threads == "1" and not machine.pin_to_one_core():
        print("this system cannot pin a process to one core, so that programs may use more cores")
    settings = Settings.from_dict(json.loads(Path(settings_file).read_text()))
    host = machine.describe()
    module = importlib.import_module(f"benchmarks.{part}")
    results = module.measure(settings)
    print(f"\n{module.report(results)}\n", flush=True)
    report = {"machine": host, "results": results}
    Path(results_file).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
