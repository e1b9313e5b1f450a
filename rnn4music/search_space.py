"""What a search tries: a file for ``rnn4music train`` in which values may be tables.

    epochs = 30
    learning_rates = {low = 1e-4, high = 1e-2, log = true}
    batch_size = {low = 4, high = 32, step = 4}
    units = {choices = [[100, 100, 100], [200, 200, 200]]}

Conventions
-----------
Names, kinds and checks are those of `configuration`. ``low`` and ``high`` belong to the range.
A choice that is a list is a text for Optuna, which knows numbers and texts alone.
"""

import json
import math
from typing import Any, NamedTuple

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
"""What only the best configuration has, for `train`; no trial writes files."""

_SHARE: dict[str, float] = {"low": 0, "below": 1}
_LIMITS: dict[str, dict[str, float]] = {
    "learning_rates": {"low": 0},
    "clip": {"above": 0},
    "epsilon": {"above": 0},
    "dropout": _SHARE,
    "averaging": _SHARE,
    "rate_decay": {"above": 0, "below": 1},
    "weight_noise": {"low": 0},
    "l1": {"low": 0},
    "units": {"low": 1},
    "updates_per_minibatch": {"low": 1},
    "batch_size": {"low": 1},
    "window": {"low": 2},
    "patience": {"low": 1},
    "decay_patience": {"low": 1},
}
"""What `checks.number` asks of the numbers that are tried, before hours have gone by."""

_TOO_LARGE = 2**53
"""For a whole number: Optuna counts in floats, which have no more digits."""


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included."""

    kind: type  # int or float
    low: Any
    high: Any
    step: Any = None
    log: bool = False

    def draw(self, trial, name):
        """Let a trial of Optuna's choose its parameter."""
        if self.kind is int:
            trial.suggest_int(name, self.low, self.high, step=self.step or 1, log=self.log)
        else:
            trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def value(self, parameter):
        """Return the value of a parameter of Optuna's."""
        return parameter

    def content(self):
        """Return it as in a file."""
        step = {} if self.step is None else {"step": self.step}
        return {"low": self.low, "high": self.high, "log": self.log, **step}


class Choices(NamedTuple):
    """Some values."""

    values: list

    def draw(self, trial, name):
        """Let a trial of Optuna's choose its parameter."""
        trial.suggest_categorical(name, [_name(value) for value in self.values])

    def value(self, parameter):
        """Return the value of a parameter of Optuna's."""
        return next(value for value in self.values if _name(value) == parameter)

    def content(self):
        """Return it as in a file."""
        return {"choices": self.values}


def _name(value):
    return " ".join(map(str, value)) if isinstance(value, list) else value


class Space(NamedTuple):
    """Settings of which some are searched."""

    fixed: dict  # name to value
    searched: dict  # name to Range or Choices

    def draw(self, trial):
        """Let a trial of Optuna's choose all its parameters."""
        for name, each in self.searched.items():
            each.draw(trial, name)

    def settings(self, parameters):
        """Return the settings of a trial, given its parameters: dict of name to value."""
        drawn = {name: each.value(parameters[name]) for name, each in self.searched.items()}
        if "learning_rates" in drawn and isinstance(self.searched["learning_rates"], Range):
            drawn["learning_rates"] = [drawn["learning_rates"]]
        return {**self.fixed, **drawn}

    def content(self):
        """Return what `read` makes this of: a dict that JSON can hold."""
        return {**self.fixed, **{name: each.content() for name, each in self.searched.items()}}

    def about(self):
        """Return all on which a trial's score depends, beside the music: dict of name to text."""
        fixed = {name: each for name, each in self.fixed.items() if name not in FILES}
        for name in ("data", "cache", "threshold", "seed"):
            fixed.pop(name, None)
        searched = {name: each.content() for name, each in self.searched.items()}
        return {name: json.dumps(value) for name, value in {**fixed, **searched}.items()}


def read(source):
    """Return the `Space` of a TOML file, or of a dict with the same content.

    Raises
    ------
    ValueError
        For what `configuration.read` refuses, a range or choices that cannot be, and a name that
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
    fixed, searched = {}, {}
    for key, value, option in config.known(where, content):
        if isinstance(value, dict):
            searched[option.name] = _table(where, key, value, option)
        else:
            fixed[option.name] = config.checked(where, key, value, option)
    if not searched:
        raise ValueError(
            f"{where}: there is nothing to search for; give at least one setting a range, such as "
            "learning_rates = {low = 1e-4, high = 1e-2, log = true}"
        )
    return Space(fixed, searched)


def _table(where, key, table, option):
    """Return the `Range` or the `Choices` that a table stands for."""
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
    return _range(where, key, table, option._replace(n=None))


def _choices(where, key, values, option):
    if not isinstance(values, list) or not values:
        raise ValueError(f"{where}: {key}.choices must be a list of values, but is {values!r}")
    values = [config.checked(where, f"{key}.choices", each, option) for each in values]
    for value in values:
        for each in value if isinstance(value, list) else [value]:
            _check_limits(f"{where}: {key}.choices", each, option)
    if len(set(map(_name, values))) < len(values):
        raise ValueError(f"{where}: {key}.choices has a value twice: {values}")
    return Choices(values)


def _check_limits(name, value, option, is_tried=True):
    """Raise ValueError for a number that no training takes."""
    if option.kind in (int, float):
        below = {"below": _TOO_LARGE} if option.kind is int else {}
        checks.number(name, value, **below, **(_LIMITS.get(option.name, {}) if is_tried else {}))


def _range(where, key, table, option):
    log = table.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"{where}: {key}.log must be true or false, but is {log!r}")
    numbers: dict[str, Any] = {"step": None}
    free = {"low": -math.inf, "high": math.inf, "above": -math.inf, "below": math.inf}
    for name in table.keys() - {"log"}:
        bounds = free if name == "step" else {}
        numbers[name] = config.checked(
            where, f"{key}.{name}", table[name], option._replace(**bounds)
        )
        _check_limits(f"{where}: {key}.{name}", numbers[name], option, name != "step")
    low, high, step = (numbers[name] for name in ("low", "high", "step"))
    if low >= high:
        raise ValueError(f"{where}: {key}.low is {low} and must be smaller than high, {high}")
    if log and (low <= 0 or step is not None):
        raise ValueError(
            f"{where}: {key} with log = true needs a low above 0, and has no step; low is {low}"
        )
    if step is not None:
        n_steps = (high - low) / step if step > 0 else 0
        if (
            not math.isfinite(n_steps)
            or n_steps < 0.5
            or not math.isclose(n_steps, round(n_steps), rel_tol=1e-9)
        ):
            raise ValueError(
                f"{where}: from {key}.low = {low} steps of {step} do not lead to high = {high}"
            )
    return Range(option.kind, low, high, step, log)
