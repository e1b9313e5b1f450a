"""Say what MIDI files contain: `python -m midi FILE`."""

from __future__ import annotations

import argparse
import sys
import warnings

import numpy as np

from . import MidiError, MidiWarning, midiread
from .contents import describe


def main(arguments: list[str] | None = None) -> int:
    """Print a report on each file; return 1 if one could not be read."""
    parser = argparse.ArgumentParser(
        prog="python -m midi", description="Say what MIDI files contain."
    )
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--picture", metavar="PNG", help="draw the piano roll of the (one) file")
    parser.add_argument("--dt", type=float, default=0.1, help="seconds a column (%(default)s)")
    settings = parser.parse_args(arguments)
    if settings.picture and len(settings.files) > 1:
        parser.error("--picture takes one file")
    status = 0
    for number, name in enumerate(settings.files):
        try:
            report = str(describe(name))
            print("\n" * (number > 0) + report)
            if settings.picture:
                draw(name, settings.dt, settings.picture)
                print(f"picture  {settings.picture}")
        except OSError as error:
            print(f"{error.filename}: {error.strerror}", file=sys.stderr)
            status = 1
        except (MidiError, ValueError, ImportError) as error:
            print(error, file=sys.stderr)
            status = 1
    return status


def draw(name: str, dt: float, picture: str) -> None:
    """Draw a file's piano roll to a picture file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MidiWarning)  # the report has it
        roll = midiread(name, (0, 128), dt, keep_short=True).piano_roll
    pitches = np.flatnonzero(roll.any(axis=0))
    lowest, highest = (pitches[0], pitches[-1]) if len(pitches) else (48, 72)
    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(
        roll.T,
        aspect="auto",
        origin="lower",
        cmap="Greys",
        interpolation="nearest",
        extent=(0, len(roll) * dt, -0.5, 127.5),
        vmin=0,
        vmax=1,
    )
    axes.set(ylim=(lowest - 2.5, highest + 2.5), xlabel="seconds", ylabel="pitch", title=name)
    axes.yaxis.set_major_locator(MultipleLocator(12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda pitch, _: f"C{int(pitch) // 12 - 1}"))
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
