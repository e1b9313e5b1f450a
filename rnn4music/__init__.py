"""A three-layer LSTM that learns polyphonic music and composes more of it.

Forward and backward pass are written out by hand; `rnn4music.lstm` is the place to start
reading, `RNN4Music` the class to use. The names below are loaded when they are first
used, so that ``import rnn4music`` loads no engine.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rnn4music.evaluation.scores import Evaluation
    from rnn4music.model import RNN4Music
    from rnn4music.render.tune import Tune
    from rnn4music.training.loop import History, TrainingDiverged
    from rnn4music.training.minibatches import mark_silence

_MODULES = {
    "Evaluation": "evaluation",
    "History": "training",
    "RNN4Music": "model",
    "TrainingDiverged": "training",
    "Tune": "tune",
    "mark_silence": "minibatches",
}

__all__ = ["Evaluation", "History", "RNN4Music", "TrainingDiverged", "Tune", "mark_silence"]


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module 'rnn4music' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"rnn4music.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *_MODULES])
