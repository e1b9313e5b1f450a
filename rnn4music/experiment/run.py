"""A run of ``rnn4music train``: a model learns from music as settings describe, and is saved."""

import tempfile
from typing import NamedTuple

from rnn4music._utils.paths import check_outputs
from rnn4music.data.store import RollStore, is_store
from rnn4music.distributed.cluster import parsed
from rnn4music.experiment.config import OPTIONS
from rnn4music.experiment.music import Music, extent, read_music
from rnn4music.model import RNN4Music
from rnn4music.saving.model_file import npz_path
from rnn4music.training.callbacks import Callback, JsonLines
from rnn4music.training.history import History
from rnn4music.training.tensorboard import TensorBoard

FIXED = ("units", "pitch_range", "optimiser", "cost", "seed", "dtype")
CHANGEABLE = {"clip": "gradClip", "epsilon": "epsilon", "threshold": "genProbThreshold"}
"""What a model that is trained on keeps, and which of its attributes may change."""

KEYWORDS = (
    "windows", "patience", "decay_patience", "rate_decay", "dropout", "weight_noise", "averaging",
    "checkpoint", "checkpoint_every", "resume",
)  # fmt: skip
"""Options that `RNN4Music.train` has under the same names."""


class Trained(NamedTuple):
    """What a run leaves."""

    output: str  # path of the model
    history: History
    music: Music


def train(settings, progress=True, log=lambda message: None):
    """Learn from music, and save the model.

    Parameters
    ----------
    settings : SimpleNamespace
        See `config.complete`.
    progress : bool
        Whether to show a progress bar.
    log : callable
        Called with each message.

    Returns
    -------
    Trained
    """
    check_together(settings)
    output = _check_files(settings)
    model = new_model(settings)
    music = read_music(settings.data, settings, model)
    model.metadata |= music.metadata
    learned, validation = (extent(music.parts[part]) for part in ("train", "validation"))
    log(f"learning from {learned}, validating on {validation}")
    n_before = len(model.history.cost)
    try:
        history = learn(model, settings, music, progress, _callbacks(settings, music))
    except Exception:  # it diverged, or a log could not be written
        if len(model.history.cost) > n_before:
            log(f"what was learned until then is in {model.saveParameters(output)}")
        raise
    if settings.licence is not None:  # after a checkpoint has brought its own metadata
        model.metadata["licence"] = settings.licence
    model.saveParameters(output)
    return Trained(str(output), history, music)


def check_together(settings):
    """Raise ValueError for settings that contradict each other."""
    if settings.data is None:
        raise ValueError("there is no music to learn from: name a folder, or data= in the file")
    for name in ("resume", "checkpoint_every"):
        if getattr(settings, name) and settings.checkpoint is None:
            raise ValueError(f"{OPTIONS[name].flag} needs a file: give --checkpoint")
    n_steps, segment = settings.window - 1, settings.segment
    if settings.windows == "all" and segment and segment < n_steps and n_steps % segment:
        raise ValueError(
            f"with --windows all, --segment must divide --window - 1 = {n_steps}, but is {segment}"
        )
    parsed(settings.cluster)


def _check_files(settings):
    """Return the path of the model, once nothing is in the way of any file."""
    output, checkpoint, start_from = (
        None if name is None else npz_path(name)
        for name in (settings.output, settings.checkpoint, settings.start_from)
    )
    trains_on = start_from is not None and start_from.resolve() == output.resolve()
    outputs = [output, *(path for path in (checkpoint, settings.log) if path)]
    inputs = [path for path in (settings.data, None if trains_on else start_from) if path]
    check_outputs(outputs, inputs)
    with tempfile.TemporaryFile(dir=output.parent):  # an error now, not after a night
        pass
    resumes = settings.resume and checkpoint is not None and checkpoint.exists()
    if output.exists() and not (settings.force or trains_on or resumes):
        raise FileExistsError(
            f"{output} exists already: give another --output, or --force to replace it; "
            f"--start-from {output} trains it on"
        )
    return output


def new_model(settings):
    """Return a new model, or the one that is trained on."""
    rates = list(settings.learning_rates)
    rates *= 4 // len(rates)
    if settings.start_from is None:
        low, high = settings.pitch_range
        if "pitch_range" not in settings.given and settings.data and is_store(settings.data):
            low, high = RollStore(settings.data).options["pitch_range"]
        return RNN4Music(
            *settings.units,
            high - low,
            *rates,
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
    if "learning_rates" in settings.given:
        model.setNewRates(*rates)
    for name, attribute in CHANGEABLE.items():
        if name in settings.given:
            setattr(model, attribute, getattr(settings, name))
    return model


def learn(model, settings, music, progress, callbacks):
    """Train a model on music as settings describe; return the history."""
    return model.train(
        music.parts["train"],
        settings.updates_per_minibatch,
        settings.epochs,
        settings.batch_size,
        settings.window,
        settings.l1,
        **{name: getattr(settings, name) for name in KEYWORDS},
        steps_at_once=settings.segment,
        validation=music.parts["validation"] or None,
        progress=progress,
        callbacks=callbacks,
        cluster=parsed(settings.cluster),
    )


def _callbacks(settings, music):
    callbacks: list[Callback] = []
    if settings.log:
        callbacks.append(JsonLines(settings.log))
    if settings.tensorboard:
        options = {name: music.metadata[name] for name in ("time_step", "lowest_pitch")}
        callbacks.append(TensorBoard(settings.tensorboard, **options))
    return callbacks
