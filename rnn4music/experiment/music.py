"""The music of an experiment: tunes to train on, to score, and to continue.

Conventions
-----------
``settings`` come from `config.complete`. A model's metadata contain the options with which its
tunes were read, ``time_step`` in seconds, and ``lowest_pitch``; ``to_c`` means ``keys="c"``.
Options that the settings leave out are taken from the metadata. This module loads no engine.
"""

import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from midi.beats import Beats
from midi.files import expanded
from midi.reading import MOST_CELLS, PIANO, read_path
from midi.text import count
from rnn4music._utils import checks
from rnn4music._utils.console import log
from rnn4music._utils.differences import OtherOptions, differences
from rnn4music.data.dataset import OUTSIDE, STRUCK_AGAIN, TOO_SHORT
from rnn4music.data.keys import find_key, semitones_to_c, transpose
from rnn4music.data.midi_files import SamplingOptions, choose_grid, load_midi
from rnn4music.data.notation import BAR_COLUMNS
from rnn4music.data.standard_sets import load_standard_set
from rnn4music.data.store import RollStore, is_store
from rnn4music.experiment.inputs import is_standard_set
from rnn4music.saving.metadata import of_music, step_in_seconds

TIME_STEP = 0.3
"""Seconds, if a model's metadata have no time step."""

READING = ("steps_per_beat", "tempo", "sustain", "keep_short", "keep_silence", "onsets")
"""Options that determine which notes a step has, besides its length."""

_MANY = 0.05  # warn if more than this share of the notes is dropped


class Music(NamedTuple):
    """Tunes, and the metadata of a model that is trained on them."""

    parts: dict  # "train" and "validation": Dataset or RollStore
    metadata: dict
    remarks: tuple = ()  # sentences on tunes that are missing


class Start(NamedTuple):
    """The beginning of a MIDI file, as a model reads it."""

    roll: np.ndarray  # (T, P), or with onsets (T, 2P)
    velocity: np.ndarray  # (T, P), of the struck cells; 0 elsewhere
    semitones: int  # of its transposition
    beats: Beats | None  # of the file; None for a model that reads in seconds


class ReadingOptions(NamedTuple):
    """Options with which a model reads music; `time_step` is always in seconds."""

    pitch_range: tuple[int, int]
    time_step: float
    steps_per_beat: float | None
    tempo: float | None
    sustain: bool
    keep_short: bool
    keep_silence: bool
    onsets: bool
    bars: bool
    to_c: bool

    @classmethod
    def of_model(cls, metadata, width, dt=None, n_conditions=None):
        """Return the options in the metadata of a model that predicts rolls of `width` columns.

        `dt` overrides the length of a step. `n_conditions` are the model's, to be checked.
        """
        metadata = _of_this_version(metadata)
        n_bars = BAR_COLUMNS if metadata.get("bars") and metadata.get("steps_per_beat") else 0
        if n_conditions not in (None, n_bars):
            raise ValueError(_conditions_unknown(n_conditions))
        metadata = {**metadata, "bars": n_bars > 0}
        n_pitches, rest = divmod(width, 2) if metadata.get("onsets") else (width, 0)
        if rest:
            raise ValueError(
                f"the model's metadata say that its rolls have onsets, but it has {width} columns; "
                "rolls with onsets have an even number, two for each pitch"
            )
        if dt is not None and metadata.get("bars"):
            raise ValueError(
                "the model reads where bars begin, so its steps are parts of a beat: leave out --dt"
            )
        if dt is not None:
            metadata = {**metadata, "time_step": dt, "steps_per_beat": None}
        lowest = metadata.get("lowest_pitch", PIANO[0])
        lowest = checks.integer("the model's lowest_pitch", lowest, low=0)
        return cls(
            (lowest, lowest + n_pitches),
            checks.number("dt", metadata.get("time_step", TIME_STEP), above=0),
            metadata.get("steps_per_beat") or None,
            metadata.get("tempo") or None,
            *(bool(metadata.get(name)) for name in cls._fields[4:]),
        )

    def arguments(self):
        """Return the keyword arguments of `load_midi`."""
        time_step = None if self.steps_per_beat else self.time_step
        arguments = {**self._asdict(), "time_step": time_step}
        del arguments["bars"]  # which are added to what is read
        return arguments

    def sampling(self):
        """Return the `SamplingOptions` of all pitches; raise an error for invalid metadata."""
        options = self.arguments()
        for name in ("pitch_range", "to_c", "onsets"):
            del options[name]
        return SamplingOptions.validate((0, 128), **options, most_cells=MOST_CELLS)

    def read_tune(self, path, n_steps=None):
        """Return the first steps of a MIDI file, as a `Start`.

        Tunes are transposed for a model that was trained in C major and A minor only.
        """
        pitches = self.pitch_range
        content = read_path(path, self.sampling().options)
        key = find_key(content.piano_roll, lowest_pitch=0) if self.to_c else None
        semitones = semitones_to_c(key) if key else 0
        halves = [content.piano_roll, content.onset_roll][: 1 + self.onsets]
        whole, velocity = (
            np.hstack([transpose(roll, semitones)[:, slice(*pitches)] for roll in rolls])
            for rolls in (halves, [content.velocity_roll])
        )
        if not whole.any():
            dropped = {"on drums": content.n_drums, TOO_SHORT: content.n_too_short}
            dropped = "".join(f"; {n:,} {why}" for why, n in dropped.items() if n)
            raise ValueError(
                f"{path} has no notes to read from pitch {pitches[0]} to {pitches[1] - 1}{dropped}"
            )
        roll = whole[:n_steps]
        if not roll.any():
            raise ValueError(
                f"the first {len(roll)} steps of {path} have no notes that the model reads; give "
                "more steps, or another tune"
            )
        return Start(roll, velocity[:n_steps], semitones, content.beats)

    def read_scored(self, source, part="test"):
        """Read the tunes that a model is scored on; `part` is the part of a standard set."""
        if is_standard_set(source):
            _check_set(source, self.onsets, self.bars)
            return getattr(load_standard_set(source, self.pitch_range), part)
        if not is_store(source):
            tunes = load_midi(source, **self.arguments())
            log_silence(tunes)
            return tunes
        store, expected = RollStore(source), self.arguments()
        del expected["keep_silence"]  # scores with either can be compared
        _check_store(store, {**expected, "pitch_range": list(self.pitch_range)})
        return store


def read_music(source, settings, model):
    """Read `Music` as the settings describe, and hold out some of the tunes for validation.

    The source is what ``rnn4music train`` reads: MIDI files, a store, or a standard set. The
    model's ``metadata`` and ``io_length`` are used. A ValueError reports settings that contradict
    each other, the store or the model.
    """
    tunes, remarks = RollStore(source) if is_store(source) else None, ()
    is_set = tunes is None and is_standard_set(source)
    steps = chosen_steps(source, settings, model.metadata) if tunes is None and not is_set else {}
    reading, keys = _reading(settings, model, tunes, steps)
    if is_set:
        _check_set(source, reading.onsets, reading.bars or settings.bar_positions)
        has_bars = False
        split = load_standard_set(source, reading.pitch_range)
        warn_of_dropped_notes(split.train)
        known = {"dt", "steps_per_beat"} & settings.given
        if not known and "time_step" not in model.metadata:
            warnings.warn(
                f"{source} does not give the length of a step: composed tunes will have steps of "
                f"{TIME_STEP} s. --steps-per-beat sets its part of a beat, --dt its seconds",
                stacklevel=2,
            )
    else:
        if tunes is None:
            tunes = load_midi(source, **reading.arguments(), cache=settings.cache)
            warn_of_dropped_notes(tunes)
            log_silence(tunes)
        has_bars = _has_bars(settings, model, tunes)
        share = settings.validation
        if share and len(tunes) < 2:
            warnings.warn(
                "there is only one tune, so none is held out for validation", stacklevel=2
            )
            share = 0
        split = tunes.split(max(share, 1 / len(tunes)) if share else 0, 0)
        if share and not len(split.validation):
            warnings.warn(
                f"--validation {share:g} of {count(len(tunes), 'tune')} holds out none: near "
                "duplicates stay together, and each group of them is larger. There is no "
                "validation; give a larger fraction, or remove duplicates",
                stacklevel=2,
            )
        if tunes.skipped:
            n_files = len(tunes) + len(tunes.skipped)
            extent = f"{len(tunes):,} of {n_files:,} files could be used, with {{:,}} steps in all"
            remarks = (extent.format(tunes.lengths.sum()),)
    if not len(split.validation):
        remarks += ("no tune was held out, so nobody knows how good the model is",)
    learned = split.train
    if keys == "all":
        learned = learned.in_keys()
        warn_of_dropped_notes(learned)
    metadata = {**reading._asdict(), **of_music(split.train)}
    metadata |= {"keys": keys, "data": _name_of(source), "bars": has_bars}
    metadata["lowest_pitch"], _ = metadata.pop("pitch_range")
    metadata["time_step"] = step_in_seconds(metadata)
    return Music({"train": learned, "validation": split.validation}, metadata, remarks)


def _check_set(source, onsets, bars):
    """Raise a ValueError if a standard set has to have onsets or bars."""
    for name, is_asked, what in (
        ("onsets", onsets, "where notes are struck"), ("bars", bars, "where bars begin")
    ):  # fmt: skip
        if is_asked:
            raise ValueError(
                f"{source} is a standard set, which does not say {what}: {name} need MIDI files"
            )


def _conditions_unknown(n_conditions):
    """Return an error on metadata that do not describe the model's conditions."""
    if not n_conditions:
        return "the model's metadata say that it is told the place in the bar, but it is not"
    return (
        f"the model is told {count(n_conditions, 'condition')} of each step, and its metadata do "
        "not say which: use it in Python, where they can be given"
    )


def _has_bars(settings, model, tunes):
    """Return whether the network is told where bars begin, as given or as the model before was."""
    has_bars = settings.bar_positions
    if settings.start_from:
        has_bars = bool(model.metadata.get("bars"))
        if model.conditions != (BAR_COLUMNS if has_bars else 0):
            raise ValueError(_conditions_unknown(model.conditions))
    if has_bars and tunes.tune_beats is None:
        remedy = "give --steps-per-beat and no --dt, or leave out --bar-positions"
        if settings.start_from:
            remedy = f"{settings.start_from} needs them, since it was told where bars begin"
        raise ValueError(
            f"the bars of this music are unknown, since its steps are no parts of a beat: {remedy}"
        )
    return has_bars


def _name_of(source):
    """Return the name of a file or folder, and of the folder where a pattern is looked for."""
    path = Path(os.path.abspath(expanded(source)))
    return next(each for each in (path, *path.parents) if os.path.exists(each)).name


def check_steps(settings):
    """Raise ValueError if the length of a step is given twice."""
    if {"dt", "steps_per_beat"} <= settings.given:
        raise ValueError("--dt and --steps-per-beat exclude each other: give one of them")


def chosen_steps(source, settings, metadata=()):
    """Return options that fit the steps to the notes, and log why.

    Empty with ``--classic``, and if the settings, or the metadata of the model that is trained
    further, give the steps.
    """
    known = {"dt", "steps_per_beat"} & settings.given or {"time_step", "steps_per_beat"} & {
        *metadata
    }
    if known or getattr(settings, "classic", False):
        return {}
    names = ("tempo", "sustain", "keep_short")
    options = {name: getattr(settings, name) for name in names}
    grid = choose_grid(source, settings.pitch_range, to_c=settings.keys == "c", **options)
    if not grid.n_notes:  # reading the files reports it
        return {}
    log(f"{grid.sentence()}. --steps-per-beat or --dt sets another length")
    return {"time_step": grid.time_step, "steps_per_beat": grid.steps_per_beat}


def _reading(settings, model, store, steps):
    """Return the `ReadingOptions`, and the keys to train in.

    The settings come first, then `steps`, then the store, if any, then the model's metadata.
    """
    given, before = settings.given, _of_this_version(model.metadata)
    check_steps(settings)
    chosen = {**steps, **{name: getattr(settings, name) for name in READING if name in given}}
    if "dt" in given:
        chosen |= {"time_step": settings.dt, "steps_per_beat": None}
    if "keys" in given and settings.keys != "all":
        chosen["to_c"] = settings.keys == "c"
    lowest, _ = settings.pitch_range
    if store is not None and "pitch_range" not in given:
        lowest, _ = store.options["pitch_range"]
    if "pitch_range" not in given:
        lowest = checks.integer("the model's lowest_pitch", before.get("lowest_pitch", lowest), 0)
    if settings.start_from:
        chosen["onsets"] = bool(before.get("onsets"))
    if store is not None:
        has_onsets = chosen.get("onsets", store.onsets)
        pitch_range = [lowest, lowest + model.io_length // (1 + has_onsets)]
        _check_store(store, {"pitch_range": pitch_range, **chosen})
        before = store.options
    options = {**before, **chosen, "lowest_pitch": lowest}
    keys = settings.keys if "keys" in given else "c" if options.get("to_c") else "own"
    options["to_c"] = keys == "c"
    if step := step_in_seconds(options):
        options["time_step"] = step
    return ReadingOptions.of_model(options, model.io_length), keys


def _of_this_version(metadata):
    """Return metadata with ``keep_silence``: earlier versions lack it, and always kept silence."""
    return {"keep_silence": "keep_short" in metadata, **metadata}


def _check_store(store, expected):
    """Raise `OtherOptions` that names options with which the store was not converted."""
    if differences(store.options, expected):
        raise OtherOptions(
            f"the store {store.folder} was converted with other options: ",
            store.options,
            expected,
            ". Leave out the flags that differ, or convert the MIDI files into another folder with "
            "the expected options",
        )


def warn_of_dropped_notes(collection):
    """Warn if many notes of the MIDI files are not in the rolls, and name remedies."""
    dropped = collection.dropped_notes
    n_short, n_outside = dropped.get(TOO_SHORT, 0), dropped.get(OUTSIDE, 0)
    n_again = dropped.get(STRUCK_AGAIN, 0)
    if n_short + n_outside + n_again <= _MANY * (collection.n_notes + n_outside):
        return
    remedies = []
    if n_short:
        remedies.append(
            "a shorter step (a smaller --dt, or a larger --steps-per-beat) keeps more short notes, "
            "--keep-short keeps all"
        )
    if n_again:
        remedies.append("--onsets keeps those that are struck again")
    if n_outside:
        remedies.append("a wider --pitch-range keeps more pitches")
    warnings.warn(
        f"many notes are not in the rolls: {collection.summarise_notes()}. Remedies: "
        f"{'; '.join(remedies)}",
        stacklevel=3,
    )


def log_assumed_step(model, metadata, remedy):
    """Log that the time step of a model is assumed, if its metadata lack it."""
    if step_in_seconds(metadata) is None:
        log(f"{model} does not record its time step; {TIME_STEP} s is assumed ({remedy})")


def log_silence(collection):
    """Log how much silence was left out before and after the notes of MIDI files, if any."""
    n_tunes, n_steps = collection.silence
    if n_steps:
        log(
            f"left out {count(n_steps, 'step')} of silence before or after the notes of "
            f"{count(n_tunes, 'tune')}; train and convert keep it with --keep-silence"
        )
