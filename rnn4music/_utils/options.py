"""Options: what each is called, which values it takes, and what it does.

One table serves the class, TOML files, the command line and searches: `hyperparameters` holds the
options of a network, `training.config` those of a training, `experiment.config` those of reading
music and of files. Nothing here loads NumPy or an engine, so that ``--help`` answers immediately.
"""

import math
from typing import Any, NamedTuple

from rnn4music._utils import checks


class Option(NamedTuple):
    """One option; the same bounds hold however it is given.

    Where the default is None, None is a value too: it switches the option off.
    """

    name: str  # as an attribute, and in TOML files; the flag has - for _
    kind: type  # int, float, str or bool
    default: Any  # of the command line
    help: str
    metavar: Any = None
    n: Any = None  # how many values, as argparse's nargs
    choices: tuple | None = None
    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    @property
    def flag(self):
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")

    def check(self, value, name=None) -> Any:
        """Return one of the option's values in its kind, or raise TypeError or ValueError.

        The error calls the option `name`, if given.
        """
        name = name or self.name
        if value is None and self.default is None:
            return None
        if self.choices is not None:
            return checks.choice(name, value, self.choices)
        if self.kind is int:
            return checks.integer(name, value, low=self.low)
        if self.kind is float:
            return checks.number(name, value, self.low, self.high, self.above, self.below)
        if not isinstance(value, self.kind):
            what = "True or False" if self.kind is bool else "text"
            raise TypeError(f"{name} must be {what}, not {type(value).__name__} {value!r}")
        return value


def by_name(options):
    """Return a dict from name to option."""
    return {option.name: option for option in options}
