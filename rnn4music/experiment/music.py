"""The music of an experiment: tunes to learn from, to score, and to continue.

Conventions
-----------
``settings`` are those of `config.complete`. A model's metadata have the options by which its
tunes were read, ``time_step`` in seconds, and ``lowest_pitch``; ``to_c`` stands for ``keys="c"``.
Where settings give none of them, a model reads as it has read before. No engine is loaded.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

from midi import midiread
from midi.reading import PIANO
from rnn4music._utils import checks
from rnn4music._utils.differences import differences
from rnn4music.data.keys import find_key, semitones_to_c, transpose
from rnn4music.data.midi_files import load_midi
from rnn4music.data.standard_sets import load_standard_set
from rnn4music.data.store import RollStore, is_store
from rnn4music.experiment.inputs import is_standard_set

TIME_STEP = 0.3
"""Seconds, where a model's metadata lack it."""

READING = ("steps_per_beat", "tempo", "sustain", "keep_short")
"""Options that decide which notes a step has, besides its length."""

_BEATS_PER_MINUTE = 120  # of music whose steps are parts of a beat
_MANY = 0.05  # share of the notes; a warning says if at least this many are dropped


class Music(NamedTuple):
    """Tunes, and what a model that learns from them keeps in its metadata."""

    parts: dict  # "train" and "validation": Dataset or RollStore
    metadata: dict


class ReadingOptions(NamedTuple):
    """How a model reads music; `time_step` is in seconds, also where steps are parts of a beat."""

    pitch_range: tuple[int, int]
    time_step: float
    steps_per_beat: float | None
    tempo: float | None
    sustain: bool
    keep_short: bool
    to_c: bool

    @classmethod
    def of_model(cls, metadata, n_pitches, dt=None):
        """Return how a model with these metadata reads; with `dt`, in steps of this length."""
        if dt is not None:
            metadata = {**metadata, "time_step": dt, "steps_per_beat": None}
        lowest = metadata.get("lowest_pitch", PIANO[0])
        lowest = checks.integer("the model's lowest_pitch", lowest, low=0)
        return cls(
            (lowest, lowest + n_pitches),
            checks.number("dt", metadata.get("time_step", TIME_STEP), above=0),
            metadata.get("steps_per_beat") or None,
            metadata.get("tempo") or None,
            *(bool(metadata.get(name)) for name in ("sustain", "keep_short", "to_c")),
        )

    def arguments(self):
        """Return the keyword arguments of `load_midi`."""
        time_step = None if self.steps_per_beat else self.time_step
        return {**self._asdict(), "time_step": time_step}

    def read_tune(self, path, n_steps=None):
        """Return the first steps of a MIDI file, (T, P), and by how many semitones they were moved.

        They are moved for a model that knows only C major and A minor.
        """
        options = self.arguments()
        pitches, to_c = options.pop("pitch_range"), options.pop("to_c")
        roll = midiread(path, (0, 128), options.pop("time_step"), **options).piano_roll
        key = find_key(roll, lowest_pitch=0) if to_c else None
        semitones = semitones_to_c(key) if key else 0
        roll = transpose(roll, semitones)[:n_steps, slice(*pitches)]
        if not roll.any():
            raise ValueError(
                f"the first {len(roll)} steps of {path} have no notes in the pitch range "
                f"{pitches}; give more steps, or another tune"
            )
        return roll, semitones

    def read_scored(self, source, part="test"):
        """Read tunes to score a model on; of a standard set this part."""
        if is_standard_set(source):
            return getattr(load_standard_set(source, self.pitch_range), part)
        if not is_store(source):
            return load_midi(source, **self.arguments())
        store = RollStore(source)
        _check_store(store, {**self.arguments(), "pitch_range": list(self.pitch_range)})
        return store


def read_music(source, settings, model):
    """Read `Music` as settings describe, and hold some of the tunes out for validation.

    The source is what ``rnn4music train`` reads: MIDI files, a store, or a standard set. Of the
    model ``metadata`` and ``io_length`` are used. Settings that contradict each other, the store or
    the model are a ValueError.
    """
    tunes = RollStore(source) if is_store(source) else None
    reading, keys = _reading(settings, model, tunes)
    if tunes is None and is_standard_set(source):
        split = load_standard_set(source, reading.pitch_range)
        if "dt" not in settings.given and "time_step" not in model.metadata:
            warnings.warn(
                f"{source} does not say how long a step is: composed tunes will have steps of "
                f"{TIME_STEP} s; --dt sets another length",
                stacklevel=2,
            )
    else:
        if tunes is None:
            tunes = load_midi(source, **reading.arguments(), cache=settings.cache)
            warn_of_dropped_notes(tunes)
        share = settings.validation
        if share and len(tunes) < 2:
            warnings.warn("there is only one tune: none is held out for validation", stacklevel=2)
            share = 0
        split = tunes.split(max(share, 1 / len(tunes)) if share else 0, 0)
    learned = split.train.in_keys() if keys == "all" else split.train
    metadata = {**reading._asdict(), "keys": keys, "data": Path(source).name}
    metadata["lowest_pitch"], _ = metadata.pop("pitch_range")
    return Music({"train": learned, "validation": split.validation}, metadata)


def check_steps(settings):
    """Raise ValueError if the length of a step is given twice."""
    if {"dt", "steps_per_beat"} <= settings.given:
        raise ValueError("--dt and --steps-per-beat exclude each other: give one of them")


def _reading(settings, model, store):
    """Return how music is read, and in which keys.

    Settings decide; then the store, if there is one; then how the model has read before.
    """
    given, before = settings.given, model.metadata
    check_steps(settings)
    chosen = {name: getattr(settings, name) for name in READING if name in given}
    if "dt" in given:
        chosen |= {"time_step": settings.dt, "steps_per_beat": None}
    if "keys" in given and settings.keys != "all":
        chosen["to_c"] = settings.keys == "c"
    lowest, _ = settings.pitch_range
    if store is not None and "pitch_range" not in given:
        lowest, _ = store.options["pitch_range"]
    if "pitch_range" not in given:
        lowest = checks.integer("the model's lowest_pitch", before.get("lowest_pitch", lowest), 0)
    if store is not None:
        _check_store(store, {"pitch_range": [lowest, lowest + model.io_length], **chosen})
        before = store.options
    options = {**before, **chosen, "lowest_pitch": lowest}
    keys = settings.keys if "keys" in given else "c" if options.get("to_c") else "own"
    options["to_c"] = keys == "c"
    if options.get("steps_per_beat"):
        beat = 60 / (options.get("tempo") or _BEATS_PER_MINUTE)
        options["time_step"] = beat / options["steps_per_beat"]
    return ReadingOptions.of_model(options, model.io_length), keys


def _check_store(store, expected):
    """Raise ValueError that names the options which a store was not converted with."""
    if different := differences(store.options, expected):
        raise ValueError(
            f"the store {store.folder} was converted with other options: {'; '.join(different)}. "
            "Leave out the flags that differ, or convert the MIDI files into another folder with "
            "what is expected"
        )


def warn_of_dropped_notes(collection):
    """Warn where many notes of MIDI files are not in the rolls, and say what keeps more."""
    if sum(collection.dropped_notes.values()) > _MANY * collection.n_notes:
        warnings.warn(
            f"{collection.summary().splitlines()[-1]}. A shorter step (a smaller --dt, or a larger "
            "--steps-per-beat) keeps more notes too short for a step; --keep-short keeps all",
            stacklevel=3,
        )
