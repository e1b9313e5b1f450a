"""Options of a training, with their bounds and defaults.

`TrainConfig` holds the options of one training. `RNN4Music.train` takes the same options under the
names of 2015; `saving.legacy_2015` maps them.
"""

import warnings
from dataclasses import asdict, dataclass, replace

from rnn4music._utils.options import Option, by_name

OPTIONS = (
    Option("epochs", int, 30, "number of passes over the tunes", "N", low=1),
    Option("updates_per_minibatch", int, 1, "number of updates for each minibatch", "N", low=1),
    Option("batch_size", int, 5, "number of tunes in a minibatch", "N", low=1),
    Option("window", int, 100, "number of steps in a window", "N", low=2),
    Option("windows", str, "all", "windows of each tune that an epoch learns from: all of them, "
           "one at random, or the first", choices=("all", "random", "start")),
    Option("beginnings", bool, False, "learn the first step of each tune too, after a silent one, "
           "so that composing from silence begins as the tunes do"),
    Option("validation", float, 0.1, "fraction of the tunes that is held out; the weights that "
           "score best on it are kept", "FRACTION", low=0, below=1),
    Option("patience", int, None, "stop after this many epochs without a better validation score",
           "N", low=1),
    Option("decay_patience", int, None, "lower the learning rates after this many epochs without "
           "a better validation score", "N", low=1),
    Option("rate_decay", float, 0.5, "factor by which --decay-patience multiplies the learning "
           "rates", "FACTOR", above=0, below=1),
    Option("dropout", float, 0.0, "probability that a unit is hidden from the layers above", "P",
           low=0, below=1),
    Option("weight_noise", float, 0.0, "standard deviation of the noise added to the weights",
           "SIGMA", low=0),
    Option("output_noise", float, None, "the same for the output layer's weights; without it they "
           "have the noise of the others", "SIGMA", low=0),
    Option("averaging", float, 0.0, "keep an exponential average of the weights; 0.998 averages "
           "about 500 updates", "A", low=0, below=1),
    Option("l1", float, 0.0, "strength of the L1 penalty on the weights", "L1", low=0),
    Option("segment", int, None, "process a window in segments of this many steps: less memory, "
           "the same gradient", "N", low=1),
    Option("devices", str, None, "share each minibatch among all devices: this machine's, or those "
           "of all processes that srun, mpirun or torchrun started", "all|N"),
    Option("cluster", str, None, "share each minibatch among this many processes on this machine, "
           "or this one and one on each worker of a Dask scheduler", "N|ADDRESS"),
)  # fmt: skip
"""Options of a training. Not part of a `TrainConfig` are ``validation``, the share of the tunes,
and `PLACES`."""

PLACES = "devices", "cluster"
"""The options of where a training computes."""

_BY_NAME = by_name(OPTIONS)


@dataclass(frozen=True)
class TrainConfig:
    """Options of one training; `RNN4Music.train` documents each."""

    epochs: int
    batch_size: int
    window: int
    updates_per_minibatch: int = 1
    windows: str = "start"
    beginnings: bool = False
    l1: float = 0.0
    dropout: float = 0.0
    weight_noise: float = 0.0
    output_noise: float | None = None
    averaging: float = 0.0
    segment: int | None = None
    patience: int | None = None
    decay_patience: int | None = None
    rate_decay: float = 0.5

    @classmethod
    def validate(cls, values, names=None):
        """Return the config with these values; check them one by one and together.

        Parameters
        ----------
        values : dict
            Value of each option, by name.
        names : dict, optional
            Names of options in errors, where they differ from their own.
        """
        names = names or {}
        config = cls(**{
            name: _BY_NAME[name].check(value, names.get(name)) for name, value in values.items()
        })  # fmt: skip
        n_steps = config.window - 1
        if config.windows == "all" and config.in_segments and n_steps % config.n_steps:
            windows, segment, window = (names.get(n, n) for n in ("windows", "segment", "window"))
            divisors = ", ".join(str(n) for n in range(1, n_steps) if n_steps % n == 0)
            raise ValueError(
                f"with {windows} all, {segment} must divide {window} - 1 = {n_steps}, but is "
                f"{config.segment}: choose one of {divisors}, or another {window}"
            )
        return config

    def fitted(self, tunes, validation):
        """Return the config for these tunes, with at most as many columns as there are tunes.

        Raises
        ------
        ValueError
            If options do not fit the tunes.
        """
        from rnn4music.data import pianoroll

        for name in ("patience", "decay_patience"):
            if getattr(self, name) is not None and validation is None:
                raise ValueError(
                    f"{name}={getattr(self, name)} needs tunes to score: give validation"
                )
        if pianoroll.lengths(tunes).max() < 2 and not self.beginnings:
            if self.windows != "start":
                raise ValueError(
                    "there is nothing to learn from: every tune has one step; give longer tunes, "
                    'or choose the windows "start", which repeats them'
                )
            _warn("every tune in dataset has one step, and the model can only learn to repeat it")
        for name, music in (("dataset", tunes), ("validation", validation)):
            if music is not None and not any(tune.any() for tune in music):
                _warn(f"no note sounds in {name}")
        return replace(self, batch_size=min(self.batch_size, len(tunes)))

    def to_dict(self):
        """Return plain names and numbers."""
        return asdict(self)

    @property
    def n_steps(self):
        """Predictions in a segment, or in a window that is not divided."""
        return min(self.segment or self.window, self.window - 1)

    @property
    def in_segments(self):
        """Whether a window has several segments."""
        return self.n_steps < self.window - 1


def _warn(problem):
    """Warn where `train` is called."""
    warnings.warn(f"{problem}: check how the tunes were read", stacklevel=4)
