"""Options: their names, bounds, defaults and help.

The same tables serve the class, TOML files, the command line and searches. `hyperparameters` has
the options of a network, `training.config` those of a training, `experiment.config` those for music
and files. This module loads neither NumPy nor an engine, so that ``--help`` is quick.
"""

import math
from typing import Any, NamedTuple

from rnn4music._utils import checks


class Option(NamedTuple):
    """An option, with the same bounds in Python, in a file and on the command line.

    If the default is None, None is a valid value: it switches the option off.
    """

    name: str  # as an attribute and in TOML files; the flag has - for _
    kind: type  # int, float, str or bool
    default: Any  # on the command line
    help: str
    metavar: Any = None
    n: Any = None  # number of values, as argparse's nargs
    choices: tuple | None = None
    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    @property
    def flag(self):
        """Name of the option on the command line."""
        return "--" + self.name.replace("_", "-")

    def check(self, value, name=None) -> Any:
        """Return a value of the option, converted to its kind, or raise TypeError or ValueError.

        `name` replaces the option's name in the error.
        """
        name = name or self.name
        if value is None and self.default is None:
            return None
        if self.choices is not None:
            return checks.choice(name, value, self.choices)
        if self.kind is int:
            return checks.integer(name, value, low=self.low, high=self.high)
        if self.kind is float:
            return checks.number(name, value, self.low, self.high, self.above, self.below)
        if not isinstance(value, self.kind):
            what = "True or False" if self.kind is bool else "text"
            raise TypeError(f"{name} must be {what}, not {type(value).__name__} {value!r}")
        return value


def by_name(options):
    """Return a dict from name to option."""
    return {option.name: option for option in options}
