"""What a TOML file or a command line describes: settings, music, a run."""

from rnn4music._utils.lazy import lazy_modules

__getattr__ = lazy_modules(__name__, ("config", "music", "run"))
