"""What the commands of `command_line` share; each group of them has a module of its own.

A command takes the arguments that were typed, and returns a `Result`. What a model has learned
from, and how, is in its notes (see `RNN4Music`), and says how tunes are read for it.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

from midi import midiread
from midi.reading import PIANO
from rnn4music import archive, checks
from rnn4music.numpy_network import NumpyNetwork

TIME_STEP = 0.3
"""Seconds, where a model does not tell."""


class Result(NamedTuple):
    """What a command tells on standard output."""

    values: dict  # for --json
    text: str
    status: int = 0


def read_network(name):
    """Return the network of a model's file, and what `archive.read` returned."""
    content = archive.read(name)
    try:
        return NumpyNetwork.from_arrays(content["arrays"], content["settings"]), content
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name} is damaged: {error!r}") from error


def pitch_range(notes, n_pitches):
    """Return the half-open range of a model's pitches."""
    lowest = checks.integer("the model's lowest_pitch", notes.get("lowest_pitch", PIANO[0]), low=0)
    return lowest, lowest + n_pitches


def seconds_per_step(notes, asked=None):
    """Return the length of a step: what was asked for, or what the model has learned."""
    seconds = notes.get("time_step", TIME_STEP) if asked is None else asked
    return checks.number("dt", seconds, above=0)


def reading_options(notes):
    """Return how `load_midi` and `midiread` read what a model has learned from."""
    names = ("steps_per_beat", "tempo", "sustain", "keep_short")
    return {name: notes[name] for name in names if notes.get(name)}


def read_tune(path, notes, pitch_range, dt=None):
    """Return the roll of a MIDI file, read as the model has learned to read.

    Parameters
    ----------
    path : path
    notes : dict
        The model's.
    pitch_range : (int, int)
    dt : float, optional
        Seconds of a step, in place of the model's.
    """
    options = reading_options(notes)
    if dt is not None or "steps_per_beat" not in options:
        options |= {"steps_per_beat": None, "dt": seconds_per_step(notes, dt)}
    return midiread(path, pitch_range, **options).piano_roll


def check_outputs(outputs, inputs):
    """Raise where a file would overwrite what is read, or another one, or has no folder."""
    seen = {Path(name).resolve() for name in inputs}
    for name in filter(None, outputs):
        path = Path(name)
        if path.resolve() in seen:
            raise ValueError(f"{name} is read or written twice: give each file a name of its own")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent} for {name}; make it first")
        seen.add(path.resolve())


def without_nan(value) -> Any:
    """Return lists and dicts with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
