"""Model files, their metadata, and model cards."""

from rnn4music._utils.lazy import lazy_modules

__getattr__ = lazy_modules(__name__, ("legacy_2015", "metadata", "model_card", "model_file"))
