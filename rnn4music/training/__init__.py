"""The training of a network: its history, callbacks, errors and warnings.

`RNN4Music.train` trains a network and returns a `History`. A `Callback` follows the training, and
`JsonLines` and `TensorBoard` write logs. `join` lets the processes of a launcher train together.
The other modules of this package are the training itself: configuration, trainer, loop,
minibatches, noise, checkpoints.
"""

from rnn4music._utils.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BaselineWarning": "history",
        "Callback": "callbacks",
        "CheckpointWarning": "checkpoints",
        "History": "history",
        "JsonLines": "callbacks",
        "TensorBoard": "tensorboard",
        "TrainingDiverged": "loop",
        "join": "replicated",
    },
)
