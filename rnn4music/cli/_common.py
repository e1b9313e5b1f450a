"""What the commands of `command_line` share; each group of them has a module of its own.

A command takes the arguments that were typed, and returns a `Result`. What a model has learned
from, and how, is in its metadata (see `RNN4Music`), and says how tunes are read for it.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

from midi import midiread
from midi.reading import PIANO
from rnn4music._utils import checks
from rnn4music._utils.console import tell
from rnn4music.data.keys import find_key, semitones_to_c, transpose
from rnn4music.numpy_network import NumpyNetwork
from rnn4music.saving import model_file

TIME_STEP = 0.3
"""Seconds, where a model does not tell."""

MANY = 0.05
"""Share of the notes from which on their loss is told."""

PICTURES = (".png", ".pdf", ".svg")
SOUNDS = (".wav", ".mp3")
TUNES = (".mid", ".midi")
PAGES = (".html", ".htm")


class Result(NamedTuple):
    """What a command tells on standard output."""

    values: dict  # for --json
    text: str
    status: int = 0


def read_network(name):
    """Return the network of a model's file, and what `model_file.read` returned."""
    content = model_file.read(name)
    try:
        return NumpyNetwork.from_arrays(content["arrays"], content["settings"]), content
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name} is damaged: {error!r}") from error


def pitch_range(metadata, n_pitches):
    """Return the half-open range of a model's pitches."""
    lowest = checks.integer(
        "the model's lowest_pitch", metadata.get("lowest_pitch", PIANO[0]), low=0
    )
    return lowest, lowest + n_pitches


def seconds_per_step(metadata, asked=None):
    """Return the length of a step: what was asked for, or what the model has learned."""
    seconds = metadata.get("time_step", TIME_STEP) if asked is None else asked
    return checks.number("dt", seconds, above=0)


def reading_options(metadata) -> dict[str, Any]:
    """Return how `load_midi` reads what a model has learned from."""
    options: dict[str, Any] = {
        "steps_per_beat": metadata.get("steps_per_beat") or None,
        "tempo": metadata.get("tempo") or None,
    }
    options |= {name: bool(metadata.get(name)) for name in ("sustain", "keep_short", "to_c")}
    options["time_step"] = None if options["steps_per_beat"] else seconds_per_step(metadata)
    return options


def read_tune(path, metadata, pitch_range, dt=None):
    """Read a MIDI file as the model has learned to read.

    Parameters
    ----------
    path : path
    metadata : dict
        The model's.
    pitch_range : (int, int)
    dt : float, optional
        Seconds of a step, in place of the model's.

    Returns
    -------
    roll : (T, P)
    semitones : int
        By which it was moved, for a model that knows C major and A minor alone.
    """
    options = reading_options(metadata)
    to_c, options["dt"] = options.pop("to_c"), options.pop("time_step")
    if dt is not None:
        options |= {"steps_per_beat": None, "dt": dt}
    roll = midiread(path, (0, 128), **options).piano_roll
    key = find_key(roll, lowest_pitch=0) if to_c else None
    semitones = semitones_to_c(key) if key else 0
    roll = transpose(roll, semitones)[:, slice(*pitch_range)]
    if not roll.any():
        raise ValueError(f"{path} has no notes in the model's pitch range {pitch_range}")
    return roll, semitones


def tell_losses(collection):
    """Tell, where many notes of MIDI files are not in the rolls, how many, and what keeps more."""
    if sum(collection.lost_notes.values()) > MANY * collection.n_notes:
        tell(collection.summary().splitlines()[-1])
        tell("of notes too short for a step a shorter one (--dt) keeps more, --keep-short all")


def check_outputs(outputs, inputs):
    """Raise where a file would overwrite what is read, or another one, or has no folder."""
    seen = {Path(name).resolve() for name in inputs}
    for name in outputs:
        if not str(name):
            raise ValueError("the name of a file is empty")
        path = Path(name)
        if path.resolve() in seen:
            raise ValueError(f"{name} is read or written twice: give each file a name of its own")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent} for {name}; make it first")
        if path.is_dir():
            raise IsADirectoryError(f"{name} is a folder; give the name of a file")
        seen.add(path.resolve())


def check_ending(name, endings):
    """Raise if a file's name does not end as what is written into it."""
    if Path(name).suffix.lower() not in endings:
        raise ValueError(f"{name} has to end in {' or '.join(endings)}")


def without_nan(value) -> Any:
    """Return lists and dicts with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
