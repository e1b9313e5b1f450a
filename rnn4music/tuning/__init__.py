"""Search for good settings with Optuna (extra ``search``).

>>> from rnn4music import tuning
>>> found = tuning.search(                                              # doctest: +SKIP
...     {"epochs": 30, "rate": {"low": 1e-4, "high": 1e-2, "log": True}}, "my music", 20)
>>> found.settings["rate"]                                              # doctest: +SKIP

`space` reads what is tried, `trials` runs trials, `study` decides where, `results` writes what
they found. Names are loaded when they are first used, and Optuna with them.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnn4music.tuning.space import Space, read
    from rnn4music.tuning.study import Found, search
    from rnn4music.tuning.trials import PruningCallback

_MODULES = {
    "Found": "study",
    "PruningCallback": "trials",
    "Space": "space",
    "read": "space",
    "search": "study",
}
__all__ = ["Found", "PruningCallback", "Space", "read", "search"]


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module 'rnn4music.tuning' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"rnn4music.tuning.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "optuna":
            raise
        raise ImportError(
            "a search needs Optuna; run: python -m pip install 'rnn4music[search]'"
        ) from None


def __dir__():
    return sorted([*globals(), *_MODULES])
