"""Training of a network: configuration, trainer, loop, minibatches, noise, checkpoints."""

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
    },
)
