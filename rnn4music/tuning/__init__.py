"""Search for good settings with Optuna (extra ``search``).

>>> from rnn4music import tuning
>>> space = {"epochs": 30, "learning_rates": {"low": 1e-4, "high": 1e-2, "log": True}}
>>> found = tuning.search(space, "my music", 20)                        # doctest: +SKIP
>>> found.settings["learning_rates"]                                    # doctest: +SKIP

`space` reads the settings to try, `trials` runs them and keeps them in Optuna's storage, `results`
writes tables and plots, and `study` has the search itself. Optuna is imported on first use.
"""

from rnn4music._utils.lazy import lazy_names

_get, __dir__ = lazy_names(
    __name__,
    {
        "Found": "study",
        "PruningCallback": "trials",
        "Space": "space",
        "read": "space",
        "search": "study",
    },
)


def __getattr__(name):
    try:
        return _get(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("optuna", "sqlalchemy"):
            raise
        raise ImportError(
            "a search needs Optuna; run: python -m pip install 'rnn4music[search]'"
        ) from None
