"""Timing, medians and quartiles, and tables."""

import statistics
import time


def timed(call):
    """Return the duration of a call in seconds."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def summary(values):
    """Return the median and the quartiles."""
    values = [*values, *values[:1]] if len(values) == 1 else values
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "quartiles": [low, high]}


def print_row(label, figures, unit):
    """Print a median with its quartiles."""
    low, high = figures["quartiles"]
    print(f"{label:<34}{figures['median']:>8.2f} {unit} ({low:.2f} to {high:.2f})")


def cell(figures, unit="", digits=2):
    """Return a median with its quartiles as a table cell; a dash for None."""
    if figures is None:
        return "—"
    low, high = figures["quartiles"]
    return f"{figures['median']:,.{digits}f}{unit} ({low:,.{digits}f}–{high:,.{digits}f})"


def markdown(head, rows):
    """Return the lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]
