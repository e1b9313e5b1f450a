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
    parser.add_argument("--picture", metavar="PNG", help="draw the file's notes (one FILE only)")
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
                draw(name, settings.picture)
                print(f"picture  {settings.picture}")
        except OSError as error:
            print(f"{error.filename}: {error.strerror}", file=sys.stderr)
            status = 1
        except (MidiError, ValueError, ImportError) as error:
            print(error, file=sys.stderr)
            status = 1
    return status


def draw(name: str, picture: str) -> None:
    """Draw the notes of a file at their own times to a picture file."""
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MidiWarning)  # the report lists the damage
        content = midiread(name, (0, 128), dt=60)
    notes = np.array(content.notes, float).reshape(-1, 3)
    pitch, start, end = notes.T
    lowest, highest = (pitch.min(), pitch.max()) if len(pitch) else (48, 72)
    low, high = pitch - 0.5, pitch + 0.5
    last = end.max(initial=0) or 1
    head = start + np.minimum(0.3 * (end - start), last / 200)  # shows where a note is struck
    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.add_subplot()
    for right, colour in ((end, "#6c97b8"), (head, "#16354d")):
        corners = np.stack([start, low, right, low, right, high, start, high], axis=1)
        axes.add_collection(PolyCollection(list(corners.reshape(-1, 4, 2)), color=colour, lw=0.4))
    bars = content.bars if content.bars is not None else []
    for bar in bars[:: len(bars) // 60 + 1]:
        axes.axvline(bar, color="0.35", alpha=0.6, linewidth=0.7)
    axes.set(xlim=(0, last), ylim=(lowest - 2.5, highest + 2.5))
    axes.set(xlabel="seconds", ylabel="pitch")
    axes.set_title(name.encode("utf-8", "replace").decode(), parse_math=False)
    axes.yaxis.set_major_locator(MultipleLocator(12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda pitch, _: pitch_name(int(pitch))))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the font may lack a character of the name
        figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
