"""The music of an experiment: tunes to learn from, to score, and to continue.

Conventions
-----------
``settings`` are those of `config.complete`. A model's metadata have the options by which its
tunes were read, ``time_step`` in seconds, and ``lowest_pitch``; ``to_c`` stands for ``keys="c"``.
Where settings give none of them, a model reads on as it has read before. No engine is loaded.
"""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

from midi import midiread
from midi.reading import PIANO
from rnn4music._utils import checks
from rnn4music.data import pianoroll
from rnn4music.data.keys import find_key, semitones_to_c, transpose
from rnn4music.data.midi_files import load_midi
from rnn4music.data.standard_sets import load_standard_set
from rnn4music.data.store import RollStore, is_store
from rnn4music.experiment import config

TIME_STEP = 0.3
"""Seconds, where a model's metadata lack it."""

STANDARD_SETS = (".mat", ".pickle", ".pkl", ".json", ".npz")
READING = ("steps_per_beat", "tempo", "sustain", "keep_short")
"""Options that decide which notes a step has, beside its length."""

_BEATS_PER_MINUTE = 120  # of music whose steps are parts of a beat
_MANY = 0.05  # of the notes; from this share on a warning says that they are dropped


class Music(NamedTuple):
    """Tunes, and what a model that learns from them keeps in its metadata."""

    parts: dict  # "train" and "validation": Dataset or RollStore
    metadata: dict


# ---- what a model's metadata say of reading


def pitch_range(metadata, n_pitches):
    """Return the half-open range of a model's pitches."""
    lowest = metadata.get("lowest_pitch", PIANO[0])
    lowest = checks.integer("the model's lowest_pitch", lowest, low=0)
    return lowest, lowest + n_pitches


def seconds_per_step(metadata, dt=None):
    """Return the length of a step: `dt`, or that of the model."""
    seconds = metadata.get("time_step", TIME_STEP) if dt is None else dt
    return checks.number("dt", seconds, above=0)


def reading_options(metadata) -> dict[str, Any]:
    """Return the options with which `load_midi` reads as the model has read."""
    options: dict[str, Any] = {
        name: metadata.get(name) or None for name in ("steps_per_beat", "tempo")
    }
    options |= {name: bool(metadata.get(name)) for name in ("sustain", "keep_short", "to_c")}
    options["time_step"] = None if options["steps_per_beat"] else seconds_per_step(metadata)
    return options


# ---- tunes


def read_music(source, settings, model):
    """Read tunes as settings describe, and hold some out for validation.

    Parameters
    ----------
    source : path
        MIDI files, a store, or a standard set, as for ``rnn4music train``.
    settings : SimpleNamespace
    model : object
        With ``metadata`` and ``io_length``.

    Returns
    -------
    Music

    Raises
    ------
    ValueError
        If settings contradict each other, the store, or the model.
    """
    if {"dt", "steps_per_beat"} <= settings.given:
        raise ValueError("give dt or steps_per_beat, not both")
    tunes = RollStore(source) if is_store(source) else None
    metadata = (
        _reading(settings, model) if tunes is None else _reading_of_store(tunes, settings, model)
    )
    if metadata["steps_per_beat"]:
        beat = 60 / (metadata["tempo"] or _BEATS_PER_MINUTE)
        metadata["time_step"] = beat / metadata["steps_per_beat"]
    metadata["data"] = Path(source).name
    pitches = pitch_range(metadata, model.io_length)
    if tunes is None and _is_standard_set(source):
        split = load_standard_set(source, pitches)
        if "dt" not in settings.given and "time_step" not in model.metadata:
            warnings.warn(
                f"{source} does not say how long a step is: composed tunes will have steps of "
                f"{TIME_STEP} s; --dt sets another length",
                stacklevel=2,
            )
    else:
        if tunes is None:
            tunes = load_midi(source, pitches, **reading_options(metadata), cache=settings.cache)
            warn_of_dropped_notes(tunes)
        share = settings.validation
        if share and len(tunes) < 2:
            warnings.warn("there is only one tune: none is held out for validation", stacklevel=2)
            share = 0
        split = tunes.split(max(share, 1 / len(tunes)) if share else 0, 0)
    learned = split.train.in_keys() if settings.keys == "all" else split.train
    return Music({"train": learned, "validation": split.validation}, metadata)


def _reading(settings, model):
    """Return how MIDI files are read: as settings say, otherwise as the model has read before."""
    given, before = settings.given, model.metadata
    pitches = pitch_range(before, model.io_length)
    if "pitch_range" in given:
        pitches = settings.pitch_range
    reading = {
        name: getattr(settings, name) if name in given else before.get(name) for name in READING
    }
    if "dt" in given:
        reading["steps_per_beat"] = None
    return reading | {
        "time_step": seconds_per_step(before, settings.dt),
        "keys": settings.keys,
        "to_c": settings.keys == "c" if "keys" in given else before.get("to_c"),
        "lowest_pitch": pitches[0],
    }


def _reading_of_store(store, settings, model):
    """Return how the rolls of a store were made, which is how the model will read."""
    chosen = [name for name in (*READING, "dt", "cache") if name in settings.given]
    if chosen:
        flags = ", ".join(config.OPTIONS[name].flag for name in chosen)
        raise ValueError(
            f"{store.folder} is a store of piano rolls, in which the time step and what goes with "
            f"it are chosen already: leave out {flags}, or convert the MIDI files again, with "
            "other options into another folder"
        )
    low, high = store.options["pitch_range"]
    first, end = pitch_range({"lowest_pitch": low, **model.metadata}, model.io_length)
    if (first, end) != (low, high):
        raise ValueError(
            f"the store {store.folder} has the pitches from {low} up to {high}, the model those "
            f"from {first} up to {end}: convert the MIDI files with --pitch-range {first} {end} "
            f"into another folder, or begin a model with --pitch-range {low} {high}"
        )
    converted = "c" if store.options["to_c"] else "own"
    keys = settings.keys if "keys" in settings.given else converted
    if keys not in (converted, "all"):
        raise ValueError(
            f"the store {store.folder} was converted with --keys {converted}: leave out --keys "
            f"{keys}, or convert the MIDI files with it into another folder"
        )
    reading = {name: store.options[name] for name in (*READING, "time_step")}
    return reading | {"keys": keys, "to_c": keys == "c", "lowest_pitch": low}


def _is_standard_set(source):
    return Path(source).suffix.lower() in STANDARD_SETS


def warn_of_dropped_notes(collection):
    """Warn where many notes of MIDI files are not in the rolls, and say what keeps more."""
    if sum(collection.dropped_notes.values()) > _MANY * collection.n_notes:
        warnings.warn(
            f"{collection.summary().splitlines()[-1]}. A shorter step (--dt) keeps more of the "
            "notes that are too short for a step, --keep-short keeps all of them",
            stacklevel=3,
        )


def read_scored(source, metadata, n_pitches, part="test"):
    """Read tunes to score a model on, as its metadata say; of a standard set this part."""
    pitches = pitch_range(metadata, n_pitches)
    if _is_standard_set(source):
        return getattr(load_standard_set(source, pitches), part)
    options = reading_options(metadata)
    if not is_store(source):
        return load_midi(source, pitches, **options)
    store = RollStore(source)
    expected = {"pitch_range": list(pitches), **options}
    different = [name for name in expected if expected[name] != store.options[name]]
    if different:
        raise ValueError(
            f"the store {source} was converted with another {', '.join(different)} than the model "
            "has learned with: convert the MIDI files as the model has read, or give their folder"
        )
    return store


def read_tune(path, metadata, pitches, dt=None):
    """Read a MIDI file as a model has read.

    Parameters
    ----------
    path : path
    metadata : dict
        The model's.
    pitches : (int, int)
        The range of its pitches.
    dt : float, optional
        Seconds of a step, instead of the model's.

    Returns
    -------
    roll : (T, P)
    semitones : int
        By which the tune was moved, for a model that knows only C major and A minor.
    """
    options = reading_options(metadata)
    to_c, options["dt"] = options.pop("to_c"), options.pop("time_step")
    if dt is not None:
        options |= {"steps_per_beat": None, "dt": dt}
    roll = midiread(path, (0, 128), **options).piano_roll
    key = find_key(roll, lowest_pitch=0) if to_c else None
    semitones = semitones_to_c(key) if key else 0
    roll = transpose(roll, semitones)[:, slice(*pitches)]
    if not roll.any():
        raise ValueError(f"{path} has no notes in the model's pitch range {pitches}")
    return roll, semitones


def extent(tunes):
    """Return how much music there is, as a text."""
    n_tunes = f"{len(tunes)} tune{'s' * (len(tunes) != 1)}"
    return f"{n_tunes}, {pianoroll.lengths(tunes).sum()} steps" if len(tunes) else "nothing"
