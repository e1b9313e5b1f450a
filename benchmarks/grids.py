"""Steps that `load_midi` chooses for folders of MIDI files with ``steps_per_beat="auto"``.

    python -m benchmarks.grids FOLDER             for a folder
    python -m benchmarks.grids FOLDER --by __     also for the files whose names agree before "__"
    python -m benchmarks.grids FOLDER --files     also for each file

Run it from the repository's root. `rnn4music.data.grid` has the rule.

Conventions
-----------
The table has the share of the note onsets on each grid of steps per quarter note, for scores, the
steps chosen, their number, and the share of the notes in the pitch range that have no frame then.
The last column has this share for four steps per quarter note.
"""

import argparse
import warnings
from pathlib import Path

from benchmarks.figures import markdown
from rnn4music.data import choose_grid, grid, load_midi
from rnn4music.data.dataset import TOO_SHORT, DatasetWarning
from rnn4music.data.midi_files import find_files


def main(words=None):
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.grids",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="a folder of MIDI files")
    parser.add_argument("--by", help="text that ends the name of a group in the files' names")
    parser.add_argument("--files", action="store_true", help="a row for each file")
    parser.add_argument("--enough", type=float, help=f"the share of onsets ({grid.ENOUGH})")
    arguments = parser.parse_args(words)
    grid.ENOUGH = arguments.enough or grid.ENOUGH
    groups = {"all": arguments.folder}
    for file in find_files(arguments.folder):
        if arguments.by:
            groups.setdefault(file.name.split(arguments.by)[0], []).append(file.path)
        if arguments.files:
            groups[file.name] = [file.path]
    head = [
        "",
        "files",
        "notes",
        *(f"on {n}" for n in grid.GRIDS),
        "chosen",
        "steps",
        "lost",
        "at 4",
    ]
    print("\n".join(markdown(head, [row(*group) for group in groups.items()])))


def row(name, source):
    """Return a row of the table."""
    found = choose_grid(source)
    shares = [f"{found.shares[n]:.1%}" if found.steps_per_beat else "—" for n in grid.GRIDS]
    chosen = f"{found.steps_per_beat}" if found.steps_per_beat else f"{found.time_step:g} s"
    steps = {"time_step": found.time_step, "steps_per_beat": found.steps_per_beat}
    n_steps, lost = read(source, **steps)
    size = f"{found.n_files:,}", f"{found.n_notes:,}"
    return [name, *size, *shares, chosen, n_steps, lost, read(source, steps_per_beat=4)[1]]


def read(source, **steps):
    """Return the number of steps, and the share of the notes that have no frame."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DatasetWarning)
            tunes = load_midi(source, **steps, progress=False)
    except ValueError:  # no file can be used
        return "—", "—"
    n_steps = int(tunes.lengths.sum())
    return f"{n_steps:,}", f"{tunes.dropped_notes[TOO_SHORT] / tunes.n_notes:.1%}"


if __name__ == "__main__":
    main()
