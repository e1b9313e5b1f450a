"""A three-layer LSTM that learns polyphonic music from MIDI files and composes more of it.

The forward and the backward pass are written out by hand. Start reading at `rnn4music.lstm`;
the class to use is `RNN4Music`. The names below are loaded on first use, so that
``import rnn4music`` loads no engine.
"""

from typing import TYPE_CHECKING

from rnn4music._utils.lazy import lazy_names
from rnn4music._utils.version import __version__ as __version__

if TYPE_CHECKING:
    from rnn4music.data.midi_files import load_midi
    from rnn4music.data.pianoroll import mark_silence
    from rnn4music.evaluation.scores import Evaluation
    from rnn4music.model import RNN4Music
    from rnn4music.numpy_network import NumpyNetwork
    from rnn4music.render.tune import Tune
    from rnn4music.training.history import History
    from rnn4music.training.loop import TrainingDiverged

__all__ = [
    "Evaluation",
    "History",
    "NumpyNetwork",
    "RNN4Music",
    "TrainingDiverged",
    "Tune",
    "load_midi",
    "mark_silence",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Evaluation": "evaluation.scores",
        "History": "training.history",
        "NumpyNetwork": "numpy_network",
        "RNN4Music": "model",
        "TrainingDiverged": "training.loop",
        "Tune": "render.tune",
        "load_midi": "data.midi_files",
        "mark_silence": "data.pianoroll",
    },
)
