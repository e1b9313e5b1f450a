"""The settings of a model: one table of names, checks and bounds, for every way in.

The constructor, assignments such as ``model.gradClip = 10`` and loaded files all pass the
same checks.
"""

from typing import Any

from rnn4music._utils import checks
from rnn4music.costs import COSTS
from rnn4music.optimisers import OPTIMISERS


class Setting:
    """An attribute that is checked whenever it is set.

    Parameters
    ----------
    check : callable
        ``check(name, value, **bounds)`` returns the value to keep, or raises.
    fixed : bool
        Whether the attribute can only be set once, by the constructor.
    """

    def __init__(self, check, fixed=False, **bounds):
        self.check = check
        self.fixed = fixed
        self.bounds = bounds

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, model, owner=None) -> Any:
        return self if model is None else vars(model)[self.name]

    def __set__(self, model, value):
        if self.fixed and self.name in vars(model):
            raise AttributeError(f"{self.name} is fixed; build a new {type(model).__name__}")
        vars(model)[self.name] = self.checked(value)

    def checked(self, value):
        """Return the value to keep, or raise TypeError or ValueError."""
        return self.check(self.name, value, **self.bounds)


def _seed(name, value):
    return None if value is None else checks.integer(name, value, low=0)


class Settings:
    """What `RNN4Music` is built with; see there."""

    h1_length = Setting(checks.integer, low=1, fixed=True)
    h2_length = Setting(checks.integer, low=1, fixed=True)
    h3_length = Setting(checks.integer, low=1, fixed=True)
    io_length = Setting(checks.integer, low=1, fixed=True)
    R1 = Setting(checks.number, low=0)
    R2 = Setting(checks.number, low=0)
    R3 = Setting(checks.number, low=0)
    Rout = Setting(checks.number, low=0)
    cost = Setting(checks.choice, allowed=tuple(COSTS), fixed=True)
    epsilon = Setting(checks.number, above=0)
    gradClip = Setting(checks.number, above=0)
    sigRand = Setting(checks.number, low=0, fixed=True)
    muRand = Setting(checks.number, low=0)
    genProbThreshold = Setting(checks.number, low=0, high=1)
    optimiser = Setting(checks.choice, allowed=tuple(OPTIMISERS), fixed=True)
    seed = Setting(_seed, fixed=True)
    dtype = Setting(checks.choice, allowed=("float32", "float64"), fixed=True)

    SIZES = ("h1_length", "h2_length", "h3_length", "io_length")

    def __init__(self, settings):
        for name in self._names():
            setattr(self, name, settings[name])

    @classmethod
    def _names(cls):
        return [name for name, value in vars(Settings).items() if isinstance(value, Setting)]

    def settings(self):
        """Return all settings as a dict of numbers and names."""
        return {name: getattr(self, name) for name in self._names()}

    def checked_settings(self, changes):
        """Return all settings with these changes, checked; names that are none are left out."""
        merged = {**self.settings(), **changes}
        return {name: getattr(Settings, name).checked(merged[name]) for name in self._names()}
