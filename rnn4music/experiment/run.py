"""A run of ``rnn4music train``: a model learns from music as settings describe, and is saved."""

import tempfile
from typing import Any, NamedTuple

from rnn4music import hyperparameters
from rnn4music._utils.paths import check_outputs
from rnn4music.data.store import RollStore, is_store
from rnn4music.distributed.cluster import parsed
from rnn4music.experiment.config import OPTIONS
from rnn4music.experiment.music import Music, extent, read_music
from rnn4music.model import RNN4Music
from rnn4music.saving.legacy_2015 import MODERN_NAMES
from rnn4music.saving.model_file import npz_path
from rnn4music.training import config as training
from rnn4music.training.callbacks import Callback, JsonLines
from rnn4music.training.history import History
from rnn4music.training.tensorboard import TensorBoard

FIXED = ("units", "pitch_range", "optimiser", "cost", "seed", "dtype")
CHANGEABLE = ("clip", "epsilon", "threshold")
"""What a model that is trained on keeps, and what may change beside its learning rates."""

_KEYWORDS = {name: name for name in OPTIONS}
_KEYWORDS |= {modern: name for name, modern in MODERN_NAMES.items()}
"""What `RNN4Music` calls each option."""


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
    output = npz_path(settings.output)
    checkpoint = settings.checkpoint and npz_path(settings.checkpoint)
    start_from = settings.start_from and npz_path(settings.start_from)
    trains_on = start_from and start_from.resolve() == output.resolve()
    outputs = [output, *(path for path in (checkpoint, settings.log) if path)]
    inputs = [path for path in (settings.data, not trains_on and start_from) if path]
    check_outputs(outputs, inputs)
    with tempfile.TemporaryFile(dir=output.parent):  # an error now, not after a night
        pass
    resumes = settings.resume and checkpoint and checkpoint.exists()
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
        sizes = [*settings.units, high - low]
        others = _keywords(settings, hyperparameters.OPTIONS, without=("units", "learning_rates"))
        return RNN4Music(*sizes, *rates, **others)
    fixed = [name for name in FIXED if name in settings.given]
    if fixed:
        raise ValueError(
            f"{', '.join(fixed)} cannot change in a model that is trained on: leave it out, or "
            "begin a new model without --start-from"
        )
    model = RNN4Music.from_file(settings.start_from)
    if "learning_rates" in settings.given:
        model.setNewRates(*rates)
    for name in settings.given.intersection(CHANGEABLE):
        setattr(model, _KEYWORDS[name], getattr(settings, name))
    return model


def learn(model, settings, music, progress, callbacks):
    """Train a model on music as settings describe; return the history."""
    return model.train(
        music.parts["train"],
        **_keywords(settings, training.OPTIONS, without=("validation", "cluster")),
        validation=music.parts["validation"] or None,
        checkpoint=settings.checkpoint,
        checkpoint_every=settings.checkpoint_every,
        resume=settings.resume,
        progress=progress,
        callbacks=callbacks,
        cluster=parsed(settings.cluster),
    )


def _keywords(settings, options, without) -> dict[str, Any]:
    """Return the values of options under the names that `RNN4Music` has for them."""
    names = [option.name for option in options if option.name not in without]
    return {_KEYWORDS[name]: getattr(settings, name) for name in names}


def _callbacks(settings, music):
    callbacks: list[Callback] = []
    if settings.log:
        callbacks.append(JsonLines(settings.log))
    if settings.tensorboard:
        options = {name: music.metadata[name] for name in ("time_step", "lowest_pitch")}
        callbacks.append(TensorBoard(settings.tensorboard, **options))
    return callbacks
