"""Describe MIDI files: `python -m midi FILE`."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings

import numpy as np

from . import MidiError, MidiWarning, midiread
from .contents import describe
from .pitches import pitch_name


def main(arguments: list[str] | None = None) -> int:
    """Print a report on each file; return 1 if one could not be read."""
    parser = argparse.ArgumentParser(prog="python -m midi", description="Describe MIDI files.")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument(
        "--picture", metavar="PNG", help="draw the file's piano roll (one FILE only)"
    )
    parser.add_argument(
        "--dt",
        type=float,
        default=0.1,
        help="seconds per column of the picture (default: %(default)s)",
    )
    settings = parser.parse_args(arguments)
    if settings.picture and len(settings.files) > 1:
        parser.error(f"--picture takes one FILE, not {len(settings.files)}")
    if settings.picture and not os.path.splitext(settings.picture)[1]:
        parser.error(f"--picture needs the name of a .png file, not {settings.picture}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that are not UTF-8
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
        warnings.simplefilter("ignore", MidiWarning)  # the report lists the damage
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
        extent=(0, max(len(roll), 1) * dt, -0.5, 127.5),
        vmin=0,
        vmax=1,
    )
    axes.set(ylim=(lowest - 2.5, highest + 2.5), xlabel="seconds", ylabel="pitch")
    axes.set_title(name.encode("utf-8", "replace").decode(), parse_math=False)
    axes.yaxis.set_major_locator(MultipleLocator(12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda pitch, _: pitch_name(int(pitch))))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the font may lack a character of the name
        figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
