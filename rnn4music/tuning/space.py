"""Space of a search: a file for ``rnn4music train`` in which values may be tables.

    epochs = 30
    learning_rates = {low = 1e-4, high = 1e-2, log = true}
    batch_size = {low = 4, high = 32, step = 4}
    units = {choices = [[100, 100, 100], [200, 200, 200]]}

Conventions
-----------
Names, kinds and checks are those of `experiment.config`. A range includes ``low`` and ``high``. A
searched setting is one of Optuna's distributions, with lists among its choices as JSON texts.
"""

import json
from typing import Any, NamedTuple

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from midi.files import opened
from rnn4music._utils.options import Option
from rnn4music.experiment import config
from rnn4music.training.config import PLACES

UNSEARCHABLE = {
    **dict.fromkeys(
        ["data", *(option.name for option in config.MUSIC)],
        "scores on music that is read differently cannot be compared",
    ),
    **dict.fromkeys(
        ["threshold", "segment", *PLACES, *(option.name for option in config.FILES)],
        "it has no effect on what is learned",
    ),
    "validation": "scores on different tunes cannot be compared",
    "seed": "each trial has its own",
    "epochs": "the score is that of the best epoch; give the largest number that a trial may run",
    "start_from": "all trials start from the same model, or each from a new one",
}
"""Settings that must have a single value, with the reason."""

FILES = {option.name for option in config.FILES} - {"start_from"} | {*PLACES}
"""Settings that only the best configuration has, for `train`; trials write no files."""

_SUGGEST = {
    CategoricalDistribution: "suggest_categorical",
    FloatDistribution: "suggest_float",
    IntDistribution: "suggest_int",
}


class Space(NamedTuple):
    """Settings, some of which are searched."""

    fixed: dict  # name to value
    searched: dict  # name to Optuna's distribution

    def draw(self, trial):
        """Let a trial draw all its parameters."""
        for name, each in self.searched.items():
            getattr(trial, _SUGGEST[type(each)])(name, **vars(each))

    def settings(self, parameters, seed=None):
        """Return the settings of a trial, given its parameters: dict of name to value.

        Those that the file does not give are those of ``--classic``: what suits the music best is
        what a search is to find.
        """
        settings = {"classic": True, **self.fixed, **parameters}
        for name, value in parameters.items():
            if config.OPTIONS[name].n:
                settings[name] = json.loads(value) if isinstance(value, str) else [value]
        if seed is not None:
            settings["seed"] = seed
        if "start_from" in settings:
            settings.pop("seed", None)  # the model has one
        return settings


def read(source):
    """Return the `Space` of a TOML file, or of a dict with the same content.

    Raises
    ------
    ValueError
        For anything that `experiment.config.read` refuses, an impossible range or choice, and a
        name that cannot be searched.
    """
    if isinstance(source, dict):
        where, content = "the space", source
    else:
        opened(source).close()  # refuses a FIFO, which would block
        where, content = source, config.table(source)
    space = Space({}, {})
    for key, value, option in config.known(where, content):
        if option in config.RECIPE:
            raise ValueError(f"{where}: {key} has no effect on a search: leave it out")
        if isinstance(value, dict):
            space.searched[option.name] = _distribution(where, key, value, option)
        else:
            space.fixed[option.name] = config.validate(where, key, value, option)
    cost = space.searched.get("cost")
    costs = cost.choices if cost else [space.fixed.get("cost", "cross_entropy")]
    if set(costs) != {"cross_entropy"} and "chord_units" in {**space.fixed, **space.searched}:
        raise ValueError(f"{where}: cost must be 'cross_entropy' with chord_units")
    if not space.searched:
        raise ValueError(
            f"{where}: there is nothing to search; give at least one setting a range, such as "
            "learning_rates = {low = 1e-4, high = 1e-2, log = true}"
        )
    return space


def _distribution(where, key, table, option):
    """Return Optuna's distribution for a table."""
    if option.name in UNSEARCHABLE:
        raise ValueError(f"{where}: {key} cannot be searched: {UNSEARCHABLE[option.name]}")
    if table.keys() == {"choices"}:
        values = table["choices"]
        if not isinstance(values, list) or not values:
            raise ValueError(f"{where}: {key}.choices must be a list of values, but is {values!r}")
        values = [config.validate(where, f"{key}.choices", each, option) for each in values]
        return CategoricalDistribution(
            [json.dumps(value) if isinstance(value, list) else value for value in values]
        )
    if not {"low", "high"} <= table.keys() <= {"low", "high", "step", "log"}:
        raise ValueError(
            f"{where}: {key} must be a value, {{low = …, high = …}} with or without step = … or "
            f"log = true, or {{choices = […]}}, but has {', '.join(table) or 'nothing'}"
        )
    if option.kind not in (int, float) or isinstance(option.n, int):
        raise ValueError(f"{where}: {key} cannot have a range: give {{choices = […]}}")
    options = dict.fromkeys(("low", "high"), option._replace(n=None))
    options |= {"step": Option("step", option.kind, ..., ""), "log": Option("log", bool, ..., "")}
    given: dict[str, Any] = {
        name: config.validate(where, f"{key}.{name}", value, options[name])
        for name, value in table.items()
    }
    try:
        return (IntDistribution if option.kind is int else FloatDistribution)(**given)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{where}: {key} is not a valid range: {error}") from None
