"""``rnn4music train`` and ``evaluate``."""

import math
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from rnn4music._utils.console import tell
from rnn4music.cli._common import (
    TIME_STEP,
    Result,
    check_outputs,
    pitch_range,
    reading_options,
    seconds_per_step,
    tell_losses,
    without_nan,
)
from rnn4music.data import pianoroll
from rnn4music.data.dataset import load_midi
from rnn4music.data.standard_sets import load_standard_set
from rnn4music.data.store import RollStore, is_store
from rnn4music.distributed.cluster import parsed
from rnn4music.model import RNN4Music
from rnn4music.saving import model_file
from rnn4music.training.callbacks import Callback, JsonLines
from rnn4music.training.tensorboard import TensorBoard

STANDARD_SETS = (".mat", ".pickle", ".pkl", ".json", ".npz")
BEATS_A_MINUTE = 120  # of music whose steps are parts of a beat


def train(settings, progress=True):
    """Learn from music, and save the model."""
    output = _check_files(settings)
    if settings.data is None:
        raise ValueError("there is no music to learn from: name a folder, or data= in the file")
    parsed(settings.cluster)  # what is wrong with it is told now, not when the music is read
    model = new_model(settings)
    music = read_music(settings.data, settings, model)
    learned, validation = music.parts["train"], music.parts["validation"]
    model.metadata |= music.metadata
    tell(f"learning from {_extent(learned)}, validating on {_extent(validation)}")
    n_before = len(model.history.cost)
    try:
        history = learn(model, settings, music, progress, _logs(settings, music))
    except Exception:  # it diverged, or a log could not be written
        if len(model.history.cost) > n_before:
            tell(f"what was learned until then is in {model.saveParameters(output)}")
        raise
    if settings.licence is not None:  # after a checkpoint has brought its own metadata
        model.metadata["licence"] = settings.licence
    model.saveParameters(output)
    return _trained(history, output)


def learn(model, settings, music, progress, callbacks):
    """Train a model on `music` as `settings` say; return the history."""
    return model.train(
        music.parts["train"],
        settings.updates_per_minibatch,
        settings.epochs,
        settings.batch,
        settings.length,
        settings.sparsity,
        windows=settings.windows,
        validation=music.parts["validation"] or None,
        patience=settings.patience,
        decay_patience=settings.decay_patience,
        rate_decay=settings.rate_decay,
        dropout=settings.dropout,
        weight_noise=settings.weight_noise,
        averaging=settings.averaging,
        steps_at_once=settings.steps_at_once,
        checkpoint=settings.checkpoint,
        checkpoint_every=settings.checkpoint_every,
        resume=settings.resume,
        progress=progress,
        callbacks=callbacks,
        cluster=parsed(settings.cluster),
    )


def _check_files(settings):
    """Return where the model will be saved, once nothing is in the way of any file."""
    output = model_file.npz_path(settings.output)
    checkpoint = settings.checkpoint and model_file.npz_path(settings.checkpoint)
    inputs = [each for each in (settings.data, settings.start_from) if each]
    others = [each for each in (checkpoint, settings.log) if each]
    check_outputs(others, inputs)
    trains_on = (
        settings.start_from is not None and model_file.npz_path(settings.start_from) == output
    )
    check_outputs([output, *others], [settings.data] if settings.data else [])
    with tempfile.TemporaryFile(dir=output.parent):  # told now, not after a night
        pass
    resumes = settings.resume and checkpoint is not None and checkpoint.exists()
    if output.exists() and not (settings.force or trains_on or resumes):
        raise FileExistsError(
            f"{output} is there already: give another --output, or --force to replace it; "
            f"--start-from {output} trains it on"
        )
    return output


FIXED = ("units", "pitch_range", "optimiser", "cost", "seed", "dtype")
SETTABLE = {"clip": "gradClip", "epsilon": "epsilon", "threshold": "genProbThreshold"}
"""What a model that is trained on keeps, and what of it may change."""


def new_model(settings):
    """Return a new model, or the one that is trained on."""
    rates = list(settings.rate)
    if len(rates) not in (1, 4):
        raise ValueError(f"rate must be one number or four, but is {rates}")
    R1, R2, R3, Rout = rates * (4 // len(rates))
    if settings.start_from is None:
        low, high = settings.pitch_range
        if "pitch_range" not in settings.given and settings.data and is_store(settings.data):
            low, high = RollStore(settings.data).options["pitch_range"]
        return RNN4Music(
            *settings.units,
            io_length=high - low,
            R1=R1,
            R2=R2,
            R3=R3,
            Rout=Rout,
            cost=settings.cost,
            epsilon=settings.epsilon,
            gradClip=settings.clip,
            genProbThreshold=settings.threshold,
            optimiser=settings.optimiser,
            seed=settings.seed,
            dtype=settings.dtype,
        )
    fixed = [name for name in FIXED if name in settings.given]
    if fixed:
        raise ValueError(
            f"{', '.join(fixed)} cannot change in a model that is trained on: leave it out, or "
            "begin a new model without --start-from"
        )
    model = RNN4Music.from_file(settings.start_from)
    if "rate" in settings.given:
        model.setNewRates(R1, R2, R3, Rout)
    for name, attribute in SETTABLE.items():
        if name in settings.given:
            setattr(model, attribute, getattr(settings, name))
    return model


def _logs(settings, music):
    """Return the callbacks that were asked for."""
    logs: list[Callback] = []
    if settings.log:
        logs.append(JsonLines(settings.log))
    if settings.tensorboard:
        where = {name: music.metadata[name] for name in ("time_step", "lowest_pitch")}
        logs.append(TensorBoard(settings.tensorboard, **where))
    return logs


def _trained(history, output):
    best = history.best_epoch
    values = {
        "output": str(output),
        "updates": len(history.cost),
        "epochs": history.epochs,
        "seconds": round(sum(history.seconds), 3),
        "interrupted": history.interrupted,
        "validation": None if best is None else history.validation[best - 1],
        "best_epoch": best,
        "baseline": history.baseline,
    }
    lines = [f"{values['updates']} updates in {values['epochs']} whole epochs"]
    if best is not None:
        lines.append(
            f"best validation {values['validation']:.3f} nats per step, after epoch {best} "
            f"(each pitch's own Markov chain: {history.baseline:.3f})"
        )
    if history.interrupted:
        lines.append("stopped by Ctrl-C")
    lines.append(f"wrote {output}")
    return Result(values, "\n".join(lines), 130 if history.interrupted else 0)


def evaluate(asked):
    """Score a model."""
    model = RNN4Music.from_file(asked.model)
    keys = pitch_range(model.metadata, model.io_length)
    if _is_standard_set(asked.data):
        tunes = getattr(load_standard_set(asked.data, keys), asked.part)
    elif is_store(asked.data):
        tunes = RollStore(asked.data)
        asks = {"pitch_range": list(keys), **reading_options(model.metadata)}
        different = [name for name in asks if asks[name] != tunes.options[name]]
        if different:
            raise ValueError(
                f"the model has learned with another {', '.join(different)} than the store "
                f"{asked.data} has: convert the MIDI files as the model has read, or give their "
                "folder"
            )
    else:
        tunes = load_midi(asked.data, keys, **reading_options(model.metadata))
    scores = asdict(model.evaluate(tunes, asked.threshold))
    per_tune = [
        {"name": name, "nats_per_step": tune["nats_per_step"], "n_steps": tune["n_steps"]}
        for name, tune in zip(tunes.names, scores.pop("per_tune"))
    ]
    values = {"model": str(asked.model), "data": str(asked.data), **scores, "tunes": per_tune}
    text = f"{scores['nats_per_step']:.3f} nats per step on {_extent(tunes)}\n" + ", ".join(
        f"{name.replace('_', ' ')} {'undefined' if math.isnan(share) else f'{share:.3f}'}"
        for name, share in scores.items()
        if name not in ("nats_per_step", "n_steps")
    )
    return Result(without_nan(values), text)


class Music(NamedTuple):
    """What is learned from, and what a model should know of it."""

    parts: dict  # "train" and "validation": Dataset
    metadata: dict


def read_music(source, settings, model):
    """Read tunes as `settings` say; where they say nothing, as `model` has read before."""
    given = settings.given
    if {"dt", "steps_per_beat"} <= given:
        raise ValueError("give dt or steps_per_beat, not both")
    if not 0 <= settings.validation < 1:
        raise ValueError(
            f"validation={settings.validation} must be at least 0 and smaller than 1: the share of "
            "the tunes that is kept apart"
        )
    if is_store(source):
        return _read_store(source, settings, model)
    keys = pitch_range(model.metadata, model.io_length)
    if "pitch_range" in given:
        keys = tuple(settings.pitch_range)
    metadata = {name: getattr(settings, name) for name in READ_SO if name in given}
    metadata = {**{name: model.metadata.get(name) for name in READ_SO}, **metadata}
    if "dt" in given:
        metadata["steps_per_beat"] = None
    if "keys" in given:
        metadata["to_c"] = settings.keys == "c"
    if metadata["steps_per_beat"]:
        metadata["time_step"] = _seconds_of_beats(metadata)
    else:
        metadata["time_step"] = seconds_per_step(model.metadata, settings.dt)
    metadata |= {"data": Path(source).name, "keys": settings.keys, "lowest_pitch": keys[0]}
    if _is_standard_set(source):
        split = load_standard_set(source, keys)
        if "dt" not in given and "time_step" not in model.metadata:
            tell(f"a step of {source} is a note's length; played as {TIME_STEP} s: --dt says else")
    else:
        dataset = load_midi(source, keys, **reading_options(metadata), cache=settings.cache)
        tell_losses(dataset)
        split = dataset.split(_share(settings.validation, len(dataset)), 0)
    return _music(split, settings, metadata)


def _read_store(source, settings, model):
    """Open a store of piano rolls; how it was made is how the model will read."""
    store = RollStore(source)
    asked = [name for name in (*CONVERTED_SO, "dt", "cache") if name in settings.given]
    if asked:
        flags = ", ".join("--" + name.replace("_", "-") for name in asked)
        raise ValueError(
            f"{source} is a store of piano rolls, in which the time step and what goes with it are "
            f"chosen already: leave out {flags}, or convert the MIDI files once more, with other "
            "options into another folder"
        )
    low, high = store.options["pitch_range"]
    keys = pitch_range({"lowest_pitch": low, **model.metadata}, model.io_length)
    if keys != (low, high):
        raise ValueError(
            f"the store {source} has the pitches from {low} up to {high}, the model those from "
            f"{keys[0]} up to {keys[1]}: convert the MIDI files with --pitch-range {keys[0]} "
            f"{keys[1]} into another folder, or begin a model with --pitch-range {low} {high}"
        )
    kept = "c" if store.options["to_c"] else "own"
    if "keys" in settings.given and settings.keys not in (kept, "all"):
        raise ValueError(
            f"the store {source} was converted with --keys {kept}: leave out --keys "
            f"{settings.keys}, or convert the MIDI files with it into another folder"
        )
    in_keys = "all" if settings.keys == "all" else kept
    metadata = {name: store.options[name] for name in (*CONVERTED_SO, "time_step")}
    if metadata["steps_per_beat"]:
        metadata["time_step"] = _seconds_of_beats(metadata)
    metadata |= {"data": Path(source).name, "keys": in_keys, "to_c": in_keys == "c"}
    metadata["lowest_pitch"] = low
    return _music(store.split(_share(settings.validation, len(store)), 0), settings, metadata)


def _music(split, settings, metadata):
    learned = split.train.in_keys() if settings.keys == "all" else split.train
    return Music({"train": learned, "validation": split.validation}, metadata)


def _seconds_of_beats(metadata):
    return 60 / (metadata["tempo"] or BEATS_A_MINUTE) / metadata["steps_per_beat"]


CONVERTED_SO = ("steps_per_beat", "tempo", "sustain", "keep_short")
READ_SO = (*CONVERTED_SO, "to_c")
"""What a model's metadata tell of how its tunes are read, beside ``time_step``."""


def _share(share, n_tunes):
    """Return a share that is at least one tune, where there are two or more."""
    if share == 0:
        return 0
    if n_tunes < 2:
        tell("there is one tune only: nothing is kept apart for validation")
        return 0
    return max(share, 1 / n_tunes)


def _is_standard_set(source):
    return Path(source).suffix.lower() in STANDARD_SETS


def _extent(tunes):
    n_tunes = f"{len(tunes)} tune{'s' * (len(tunes) != 1)}"
    return f"{n_tunes}, {pianoroll.lengths(tunes).sum()} steps" if len(tunes) else "nothing"
