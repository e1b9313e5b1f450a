"""Peak memory of a process that makes one update, by number of steps and of tunes.

Each point is a separate process. The growth per step is the slope of a line fitted to the points;
it should be below the bound of `bytes_per_step`.
"""

import os
import statistics

from benchmarks import processes
from benchmarks.figures import markdown
from benchmarks.settings import N_PITCHES

WIDE_ARRAYS = 8  # arrays of P columns that the bound allows: windows, Y, d_Y and similar


def measure(settings):
    """Measure the peaks, and that of the example if a folder of .mid files is given."""
    if not hasattr(os, "wait4"):
        return {"skipped": "this system does not report the peak memory of a process"}
    hidden, batch, steps = settings.main
    processes.peak_of_update(settings.main)  # fills the caches
    before = processes.peak(["-c", "from benchmarks import job"])
    by_steps = [[n, processes.peak_of_update((hidden, batch, n))] for n in settings.memory_steps]
    by_batch = [[n, processes.peak_of_update((hidden, n, steps))] for n in settings.memory_batches]
    slope = statistics.linear_regression(*zip(*by_steps)).slope
    results = {
        "hidden": hidden,
        "batch": batch,
        "steps": steps,
        "imported_mb": before,
        "peak_mb_by_steps": by_steps,
        "peak_mb_by_batch": by_batch,
        "bytes_per_step": slope * 1e6,
        "bound_bytes_per_step": bytes_per_step(hidden, batch),
    }
    if settings.data:
        results["example_peak_mb"] = processes.example_peak(settings.data)
    return results


def bytes_per_step(hidden, batch):
    """Return 64 B · 3H + 8 · 4 P B, a bound of the memory of an update per step.

    In float32 this allows sixteen numbers per tune and unit (four gates, cell and hidden state,
    their derivatives, and copies) and eight per tune and pitch.
    """
    return 64 * batch * 3 * hidden + WIDE_ARRAYS * 4 * N_PITCHES * batch


def report(results):
    """Return the tables in Markdown."""
    if "skipped" in results:
        return f"- skipped: {results['skipped']}"
    hidden, batch, steps = results["hidden"], results["batch"], results["steps"]
    by_steps, by_batch = results["peak_mb_by_steps"], results["peak_mb_by_batch"]
    lines = [
        f"Peak memory in MB of a process that makes one update, H {hidden}:",
        "",
        *markdown(
            [f"B {batch}, T", *(n for n, _ in by_steps)],
            [["MB", *(f"{peak:.0f}" for _, peak in by_steps)]],
        ),
        "",
        *markdown(
            [f"T {steps}, B", *(n for n, _ in by_batch)],
            [["MB", *(f"{peak:.0f}" for _, peak in by_batch)]],
        ),
        "",
        f"With the package imported but no model built: {results['imported_mb']:.0f} MB.",
        f"Growth per step at B {batch}: {results['bytes_per_step']:,.0f} bytes. "
        f"The bound 64 B · 3H + 8 · 4 · 88 B is {results['bound_bytes_per_step']:,} bytes.",
    ]
    if "example_peak_mb" in results:
        lines.append(f"The example, one epoch: {results['example_peak_mb']:.0f} MB.")
    return "\n".join(lines)
