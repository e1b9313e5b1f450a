"""Space of a search: a file for ``rnn4music train`` in which values may be tables.

    epochs = 30
    learning_rates = {low = 1e-4, high = 1e-2, log = true}
    batch_size = {low = 4, high = 32, step = 4}
    units = {choices = [[100, 100, 100], [200, 200, 200]]}

Conventions
-----------
Names, kinds and checks are those of `experiment.config`. ``low`` and ``high`` belong to the range.
What is searched is a distribution of Optuna's, in which a choice that is a list is a JSON text.
"""

import json
import math
import warnings
from typing import Any, NamedTuple

from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from midi.files import opened
from rnn4music._utils import checks
from rnn4music.experiment import config

_SAME_MUSIC = "music that is read otherwise has other scores, which cannot be compared"
_NO_EFFECT = "it changes nothing about what is learned"
UNSEARCHABLE = {
    "data": _SAME_MUSIC,
    **{option.name: _SAME_MUSIC for option in config.MUSIC},
    "validation": "scores on other tunes cannot be compared",
    "seed": "each trial has one of its own",
    "epochs": "the score is that of the best epoch; give the most that a trial may have",
    "threshold": _NO_EFFECT,
    "segment": _NO_EFFECT,
    **{option.name: _NO_EFFECT for option in config.FILES},
    "start_from": "trials begin with the same model, or with a new one",
    "cluster": _NO_EFFECT,
}
"""Names whose value has to be one, and why."""

FILES = {option.name for option in config.FILES} - {"start_from"} | {"cluster"}
"""Settings of the best configuration alone, for `train`; no trial writes files."""

_UNBOUNDED = {"low": -math.inf, "high": math.inf, "above": -math.inf, "below": math.inf}
_TOO_LARGE = 2**53
"""For a whole number: Optuna counts in floats, which have no more digits."""


class Space(NamedTuple):
    """Settings of which some are searched."""

    fixed: dict  # name to value
    tables: dict  # name to what the file has for a searched setting
    searched: dict  # name to Optuna's distribution

    def content(self):
        """Return a dict of which `read` makes this space, and which JSON can hold."""
        return {**self.fixed, **self.tables}

    def draw(self, trial):
        """Let a trial draw all its parameters."""
        for name, each in self.searched.items():
            if isinstance(each, CategoricalDistribution):
                trial.suggest_categorical(name, each.choices)
            else:
                is_int = isinstance(each, IntDistribution)
                suggest = trial.suggest_int if is_int else trial.suggest_float
                suggest(name, each.low, each.high, step=each.step, log=each.log)

    def settings(self, parameters, seed=None):
        """Return the settings of a trial, given its parameters: dict of name to value."""
        drawn = dict(parameters)
        for name in drawn:
            if config.OPTIONS[name].n:
                is_text = isinstance(drawn[name], str)
                drawn[name] = json.loads(drawn[name]) if is_text else [drawn[name]]
        settings = {**self.fixed, **drawn, **({} if seed is None else {"seed": seed})}
        if "start_from" in settings:
            settings.pop("seed", None)  # the model has one
        return settings

    def about(self):
        """Return all on which a trial's score depends, beside the music: dict of name to text."""
        ignored = {*FILES, "data", "cache", "threshold", "seed"}
        fixed = {name: json.dumps(each) for name, each in self.fixed.items() if name not in ignored}
        return fixed | {name: distribution_to_json(each) for name, each in self.searched.items()}


def read(source):
    """Return the `Space` of a TOML file, or of a dict with the same content.

    Raises
    ------
    ValueError
        For what `experiment.config.read` refuses, an impossible range or choices, and a name that
        cannot be searched.
    """
    if isinstance(source, dict):
        where = "the space"
        try:
            content = json.loads(json.dumps(source))
        except (TypeError, ValueError) as error:
            raise TypeError(f"{where} must hold numbers, texts, lists and dicts: {error}") from None
    else:
        opened(source).close()  # a FIFO would be waited for
        where, content = source, config.table(source)
    fixed, tables, searched = {}, {}, {}
    for key, value, option in config.known(where, content):
        if isinstance(value, dict):
            tables[option.name] = value
            searched[option.name] = _distribution(where, key, value, option)
        else:
            fixed[option.name] = config.checked(where, key, value, option)
    if not searched:
        raise ValueError(
            f"{where}: there is nothing to search for; give at least one setting a range, such as "
            "learning_rates = {low = 1e-4, high = 1e-2, log = true}"
        )
    return Space(fixed, tables, searched)


def _distribution(where, key, table, option):
    """Return Optuna's distribution for a table."""
    if option.name in UNSEARCHABLE:
        raise ValueError(f"{where}: {key} cannot be searched: {UNSEARCHABLE[option.name]}")
    if table.keys() == {"choices"}:
        return _choices(where, key, table["choices"], option)
    if not {"low", "high"} <= table.keys() <= {"low", "high", "step", "log"}:
        raise ValueError(
            f"{where}: {key} must be a value, {{low = …, high = …}} with or without step = … or "
            f"log = true, or {{choices = […]}}, but has {', '.join(table) or 'nothing'}"
        )
    if option.kind not in (int, float) or isinstance(option.n, int):
        raise ValueError(f"{where}: {key} has no range: give {{choices = […]}}")
    if not isinstance(table.get("log", False), bool):
        raise ValueError(f"{where}: {key}.log must be true or false, but is {table['log']!r}")
    given: dict[str, Any] = dict(table)
    for name in given.keys() - {"log"}:
        single = option._replace(n=None, **(_UNBOUNDED if name == "step" else {}))
        given[name] = config.checked(where, f"{key}.{name}", given[name], single)
        _check_countable(f"{where}: {key}.{name}", given[name])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that steps do not lead to high
            kind = IntDistribution if option.kind is int else FloatDistribution
            distribution = kind(**given)
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"{where}: {key} is no range: {error}") from None
    if distribution.high != given["high"]:
        raise ValueError(
            f"{where}: from {key}.low = {given['low']} steps of {given['step']} do not lead to "
            f"high = {given['high']}"
        )
    return distribution


def _choices(where, key, values, option):
    if not isinstance(values, list) or not values:
        raise ValueError(f"{where}: {key}.choices must be a list of values, but is {values!r}")
    values = [config.checked(where, f"{key}.choices", each, option) for each in values]
    for value in values:
        if option.name == "learning_rates" and len(value) not in (1, 4):
            raise ValueError(f"{where}: {key}.choices must be one number or four, but has {value}")
        for each in value if isinstance(value, list) else [value]:
            _check_countable(f"{where}: {key}.choices", each)
    choices = [json.dumps(value) if isinstance(value, list) else value for value in values]
    if len(set(choices)) < len(choices):
        raise ValueError(f"{where}: {key}.choices has a value twice: {values}")
    return CategoricalDistribution(choices)


def _check_countable(name, value):
    """Raise ValueError for a whole number that Optuna cannot count to."""
    if isinstance(value, int):
        checks.number(name, value, below=_TOO_LARGE)
