"""Experiments as TOML files and command lines describe them: settings, music, a run."""

from rnn4music._utils.lazy import lazy_modules

__getattr__ = lazy_modules(__name__, ("config", "inputs", "music", "run", "training_music"))
