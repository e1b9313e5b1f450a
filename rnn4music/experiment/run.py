"""A run of ``rnn4music train``: build a model, read music, train, save."""

import itertools
import os
import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from midi.files import expanded
from rnn4music import hyperparameters
from rnn4music._utils.console import log
from rnn4music._utils.paths import PAGES, check_suffix
from rnn4music.data.notation import BAR_COLUMNS, bar_columns
from rnn4music.data.store import is_store, options_of
from rnn4music.distributed.launch import parsed
from rnn4music.experiment import inputs, recipe, training_music
from rnn4music.experiment.music import Music, read_music
from rnn4music.model import RNN4Music
from rnn4music.render import synthesizer
from rnn4music.saving import model_card, model_file
from rnn4music.saving.legacy_2015 import OLD_NAMES
from rnn4music.saving.metadata import LOG_ODDS
from rnn4music.saving.model_file import npz_path
from rnn4music.training import config as training
from rnn4music.training.callbacks import Callback, JsonLines
from rnn4music.training.checkpoints import checked_path, extent
from rnn4music.training.history import BaselineWarning, History, divergence
from rnn4music.training.tensorboard import TensorBoard

NO_MUSIC = "there is no music to learn from: name a folder, or set data= in the TOML file"
OTHER_SUFFIXES = (
    ".mid", ".midi", ".kar", ".rmi", ".wav", ".mp3", ".png", ".pdf", ".svg", ".html", ".htm",
    ".zip", ".toml", ".json", ".jsonl", ".csv", ".mat", ".pickle", ".pkl", ".sf2",
)  # fmt: skip
"""Suffixes of files that are not models."""

MANY_STEPS = 10_000
"""Steps of the training music to evaluate after training, if no tunes are held out."""

FIXED = ("units", "chord_units", "pitch_range", "optimiser", "cost", "seed", "dtype")
CHANGEABLE = ("clip", "epsilon", "threshold")
"""Settings that a model keeps when it is trained further, and settings that may change then.

The learning rates may change too.
"""


class Untrained(NamedTuple):
    """What reading music asks of a model that is not built yet."""

    metadata: dict
    io_length: int


class Trained(NamedTuple):
    """Result of a run."""

    output: str  # path of the model
    history: History
    music: Music
    problem: str = ""  # a sentence, if the training diverged


def train(settings, progress=True):
    """Train a model as the settings of `config.complete` describe, and save it."""
    output = _check(settings)
    settings = recipe.for_reading(settings)
    model = new_model(settings, {}) if settings.start_from else None
    callbacks: list[Callback] = [JsonLines(settings.log)] if settings.log else []
    tensorboard = TensorBoard(settings.tensorboard) if settings.tensorboard else None
    callbacks += [tensorboard] if tensorboard else []
    music = read_music(settings.data, settings, model or Untrained({}, n_columns(settings)))
    settings = recipe.for_training(settings, music)
    if model is None:
        model = new_model(settings, music.metadata)
    _warn_of_other_steps(settings, model.metadata, music.metadata)
    learned, validation = (music.parts[part] for part in ("train", "validation"))
    if not len(learned):
        raise ValueError(
            f"--validation {settings.validation:g} leaves no tune to learn from: give a smaller "
            "fraction, or more tunes"
        )
    resumes, record = settings.resume and npz_path(settings.checkpoint).exists(), {}
    if not resumes:  # the checkpoint has it
        further = bool(settings.start_from)
        record = training_music.record(model.metadata, learned, further, progress)
    model.metadata |= {**music.metadata, **record}
    validated = "no tune is held out"
    if len(validation):
        validated = f"validating on {model_card.music(extent(validation))}"
    learned_from = model_card.music(extent(learned), music.metadata["keys"])
    if music.metadata["bars"]:
        learned_from += ", told the place of each step in its bar"
    log(f"learning from {learned_from}, {validated}")
    if tensorboard:
        for name in ("time_step", "lowest_pitch", "onsets"):
            setattr(tensorboard, name, music.metadata[name])
        if music.metadata["bars"]:
            tensorboard.conditions = bar_columns(learned.beats, tensorboard.n)
    n_before = len(model.history.cost)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BaselineWarning)  # the result says so
            history = learn(model, settings, music, progress, callbacks)
    except Exception:  # it diverged, or a log could not be written
        if len(model.history.cost) > n_before:
            log(f"saved what was learned before the error: {model.saveParameters(output)}")
        raise
    if not training_music.is_recorded(model.metadata):  # an earlier version's checkpoint
        model.metadata |= training_music.record(model.metadata, learned, bool(settings.start_from))
    if settings.licence is not None:
        model.metadata["licence"] = settings.licence
    try:
        model.metadata[LOG_ODDS] = round(_log_odds(model, music), 3)
    finally:  # whatever happens, what was learned is saved
        model.saveParameters(output)
    rates = model.R1, model.R2, model.R3, model.Rout
    problem = divergence(history, model.io_length, settings.window, rates)
    return Trained(str(output), history, music, problem)


def _check(settings):
    """Return the path of the model, after checking settings and files."""
    if settings.data is None:
        raise ValueError(NO_MUSIC)
    for option in ("output", "checkpoint"):
        _check_name(option, getattr(settings, option))
    flags = {option.name: option.flag for option in training.OPTIONS}
    options = {field.name: getattr(settings, field.name) for field in fields(training.TrainConfig)}
    training.TrainConfig.validate(options, flags)
    holds_out = settings.validation > 0 or inputs.is_standard_set(settings.data)
    for option in ("patience", "decay_patience"):
        if getattr(settings, option) is not None and not holds_out:
            raise ValueError(
                f"--{option.replace('_', '-')} needs tunes that are held out: --validation must be "
                "larger than 0"
            )
    for option, is_asked in (
        ("--resume", settings.resume),
        ("--checkpoint-every", settings.checkpoint_every),
    ):
        if is_asked and not settings.checkpoint:
            raise ValueError(f"{option} needs a file: give --checkpoint")

    parsed(settings.devices, settings.cluster)
    output = npz_path(settings.output)
    checkpoint = settings.checkpoint and npz_path(settings.checkpoint)
    start_from = settings.start_from and Path(
        inputs.model_path(settings.start_from, "--start-from")
    )
    trains_on = start_from and start_from.resolve() == output.resolve()
    log, page = (name and expanded(name) for name in (settings.log, settings.html))
    if page:
        check_suffix(settings.html, PAGES)
        synthesizer.check_format("MP3")  # the page's sound
    outputs = [path for path in (output, checkpoint, log, page) if path]
    read = [getattr(settings, "config", None), not trains_on and start_from]
    read = [path for path in read if path]
    inputs.check_outputs(outputs, itertools.chain(read, inputs.files_of(settings.data)))
    checked_path(settings.checkpoint, settings.checkpoint_every, settings.resume)
    inputs.check_music(settings.data, inputs.MUSIC, "train needs music")  # before the model's file
    for path in outputs:  # fail now, not after hours of training
        _check_place(path, path.parent)
    if log and log.exists():
        with open(log, "ab"):
            pass
    if settings.tensorboard:
        folder = expanded(settings.tensorboard)
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        _check_place(settings.tensorboard, folder)
    resumes = settings.resume and checkpoint.exists() and _is_of_training(output, checkpoint)
    if output.exists() and not (settings.force or trains_on or resumes):
        raise FileExistsError(
            f"{output} exists already: give another --output, or --force to replace it; "
            f"--start-from {output} trains it further"
        )
    if page and page.exists() and not (settings.force or resumes):
        raise FileExistsError(
            f"{page} exists already: give another --html, or --force to replace it"
        )
    return output


def _check_name(option, name):
    """Raise ValueError if the name of a model, which may lack .npz, is that of something else."""
    if name is None:
        return
    if name.endswith(("/", os.sep)) or expanded(name).is_dir():
        raise ValueError(f"--{option} {name} names a folder; give the name of a file")
    if Path(name).suffix.lower() in OTHER_SUFFIXES:
        raise ValueError(f"--{option} {name} must end in .npz, or have no suffix: it is a model")


def _check_place(name, folder):
    """Raise an OSError that names a file if it cannot be written into a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(f"{name} cannot be written: {error.strerror}") from None


def _is_of_training(output, checkpoint):
    """Return whether a model was saved by the training of a checkpoint: their costs are equal."""
    content = model_file.read(checkpoint)
    n_before = (content["checkpoint"] or {}).get("before", {}).get("cost", 0)  # of --start-from
    costs = content["history"].get("cost", ())
    try:
        others = model_file.read(output)["history"].get("cost", ())
    except (ValueError, FileNotFoundError):  # it is not a model, or was never written
        return False
    n = min(len(costs), len(others))
    return n > n_before and costs[:n] == others[:n]


def _warn_of_other_steps(settings, before, after):
    """Warn if a model is trained further on steps of another length."""
    names = ("time_step", "steps_per_beat")
    if settings.start_from and any(before.get(name) != after.get(name) for name in names):
        was, now = (
            f"{steps['steps_per_beat']:g} steps per beat"
            if steps.get("steps_per_beat")
            else f"steps of {steps['time_step']} s"
            if steps.get("time_step")
            else "steps of unknown length"
            for steps in (before, after)
        )
        warnings.warn(
            f"{settings.start_from} was trained on {was}, and is now trained further on {now}: the "
            "rhythms that it has learned change with them",
            stacklevel=2,
        )


def n_columns(settings):
    """Return the number of columns of the rolls that a new model reads."""
    (low, high), has_onsets = settings.pitch_range, settings.onsets
    if settings.data and is_store(settings.data):
        options = options_of(settings.data)
        if "pitch_range" not in settings.given:
            low, high = options["pitch_range"]
        if "onsets" not in settings.given:
            has_onsets = options["onsets"]
    return (high - low) * (1 + has_onsets)


def new_model(settings, metadata):
    """Return a new model for music with these metadata, or the one that is trained further."""
    rates = list(settings.learning_rates)
    rates *= 4 // len(rates)
    if settings.start_from is None:
        others = {option.name for option in hyperparameters.OPTIONS} - {"units", "learning_rates"}
        sizes = [*settings.units, n_columns(settings)]
        own = keywords(settings, others)
        if settings.chord_units is not None and "threshold" not in settings.given:
            del own["genProbThreshold"]  # the model's default
        n_conditions = BAR_COLUMNS if metadata.get("bars") else 0
        return RNN4Music(*sizes, *rates, **own, conditions=n_conditions)
    fixed = [name for name in FIXED if name in settings.given]
    if fixed:
        raise ValueError(
            f"{', '.join(fixed)} cannot change in a model that is trained further: leave out the "
            "option, or train a new model without --start-from"
        )
    model = RNN4Music.from_file(settings.start_from)
    for name, key in {"onsets": "onsets", "bar_positions": "bars"}.items():
        if name in settings.given and getattr(settings, name) != bool(model.metadata.get(key)):
            raise ValueError(
                f"{name} cannot change in a model that is trained further: {settings.start_from} "
                f"has {'some' if model.metadata.get(key) else 'none'}"
            )
    if "learning_rates" in settings.given:
        model.setNewRates(*rates)
    for name, value in keywords(settings, settings.given.intersection(CHANGEABLE)).items():
        setattr(model, name, value)
    return model


def learn(model, settings, music, progress, callbacks):
    """Train a model on music as settings describe; return the history."""
    names = {option.name for option in training.OPTIONS} - {"validation", *training.PLACES}
    learned, validation = (music.parts[part] for part in ("train", "validation"))
    if music.metadata["bars"]:
        learned = learned.with_bars()
        validation = validation.with_bars() if validation else None
    return model.train(
        learned,
        **keywords(settings, names),
        validation=validation or None,
        minutes=settings.minutes,
        checkpoint=settings.checkpoint,
        checkpoint_every=settings.checkpoint_every,
        resume=settings.resume,
        progress=progress,
        callbacks=callbacks,
        **parsed(settings.devices, settings.cluster),
    )


def _log_odds(model, music):
    """Return the log-odds that a temperature is to leave as they are; see `generation`."""
    tunes = music.parts["validation"]
    if not tunes:
        tunes = music.parts["train"]
        tunes = tunes.select(np.flatnonzero(np.cumsum(tunes.lengths) - tunes.lengths < MANY_STEPS))
    if max(tunes.lengths) < 2:
        return 0.0  # there is no step to predict
    found = model.evaluate(tunes.with_bars() if music.metadata["bars"] else tunes).log_odds
    return found if np.isfinite(found) else 0.0


def keywords(settings, names: Iterable[str]) -> dict[str, Any]:
    """Return the values of options under the names that `RNN4Music` has for them."""
    return {OLD_NAMES.get(name, name): getattr(settings, name) for name in names}
