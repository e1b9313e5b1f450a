"""Hyperparameters of a network: one table of names, bounds and defaults.

The constructor, assignments such as ``model.gradClip = 10`` and loaded files all pass the
same checks.
"""

from typing import Any

from rnn4music._utils.options import Option, by_name

OPTIMISERS = ("rmsprop", "graves", "adam")
COSTS = ("cross_entropy", "squared_error")
"""Names in `updates` and `costs`, which ``--help`` does not load."""

OPTIONS = (
    Option("units", int, (120, 120, 120), "number of units: one for all layers, or three", "H", "+",
           low=1),
    Option("chord_units", int, None, "number of units through which the pitches of a chord depend "
           "on each other; by default they are independent", "K", low=0),
    Option("learning_rates", float, (0.001,), "one learning rate, or four: for the three layers "
           "and the output", "R", "+", low=0),
    Option("optimiser", str, "rmsprop", "rule that changes the weights", choices=OPTIMISERS),
    Option("cost", str, "cross_entropy", "cost function that training minimises", choices=COSTS),
    Option("clip", float, 30.0, "limit each element of the gradient to [-G, G]", "G", above=0),
    Option("epsilon", float, 1e-5, "lower bound of the mean square by which RMSprop divides", "E",
           above=0),
    Option("threshold", float, 0.02, "when composing, notes of at most this probability never "
           "sound; 0 with --chord-units", "P", low=0, high=1),
    Option("seed", int, None, "random seed; a run with the same seed gives the same model", "S",
           low=0),
    Option("dtype", str, "float32", "floating-point precision", choices=("float32", "float64")),
)  # fmt: skip
"""Options of a network on the command line."""

_FIXED = (
    Option("n_pitches", int, 88, "columns of a piano roll", low=1),
    Option("conditions", int, 0, "columns of a roll that are known and not predicted", low=0),
    Option("weight_deviation", float, 0.1, "standard deviation of the initial weights", low=0),
    Option("largest_state", float, 0.01, "upper end of the initial states", low=0),
)
_BY_NAME = by_name((*OPTIONS, *_FIXED))


class Setting:
    """Attribute of the class, checked whenever it is set.

    Parameters
    ----------
    option : str
        Name of the option that has its bounds.
    fixed : bool
        Whether the attribute can only be set once, by the constructor.
    """

    def __init__(self, option, fixed=False):
        self.option, self.fixed = _BY_NAME[option], fixed

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, model, owner=None) -> Any:
        return self if model is None else vars(model)[self.name]

    def __set__(self, model, value):
        if self.fixed and self.name in vars(model):
            raise AttributeError(f"{self.name} is fixed; build a new {type(model).__name__}")
        vars(model)[self.name] = self.validate(value)

    def validate(self, value):
        """Return the value to keep, or raise TypeError or ValueError."""
        return self.option.check(value, self.name)


class Hyperparameters:
    """Hyperparameters of `RNN4Music`, under the names of 2015; see there."""

    h1_length = Setting("units", fixed=True)
    h2_length = Setting("units", fixed=True)
    h3_length = Setting("units", fixed=True)
    io_length = Setting("n_pitches", fixed=True)
    chord_units = Setting("chord_units", fixed=True)
    conditions = Setting("conditions", fixed=True)
    R1 = Setting("learning_rates")
    R2 = Setting("learning_rates")
    R3 = Setting("learning_rates")
    Rout = Setting("learning_rates")
    cost = Setting("cost", fixed=True)
    epsilon = Setting("epsilon")
    gradClip = Setting("clip")
    sigRand = Setting("weight_deviation", fixed=True)
    muRand = Setting("largest_state")
    genProbThreshold = Setting("threshold")
    optimiser = Setting("optimiser", fixed=True)
    seed = Setting("seed", fixed=True)
    dtype = Setting("dtype", fixed=True)

    SIZES = ("h1_length", "h2_length", "h3_length", "io_length", "chord_units", "conditions")

    def __init__(self, settings):
        for name in self._names():
            setattr(self, name, settings[name])
        _check_chords(self.settings())

    @staticmethod
    def settings_by_name():
        """Return pairs of the name of a setting and the `Setting`."""
        attributes = vars(Hyperparameters).items()
        return [(name, value) for name, value in attributes if isinstance(value, Setting)]

    @classmethod
    def _names(cls):
        return [name for name, _ in cls.settings_by_name()]

    def settings(self):
        """Return all settings as a dict of numbers and names."""
        return {name: getattr(self, name) for name in self._names()}

    def checked_settings(self, changes):
        """Return all settings with these changes, checked; ignore unknown names."""
        merged = {**self.settings(), **changes}
        settings = {
            name: getattr(Hyperparameters, name).validate(merged[name]) for name in self._names()
        }
        _check_chords(settings)
        return settings


def _check_chords(settings):
    """Raise a ValueError if the other settings do not allow chords."""
    if settings["chord_units"] is None:
        return
    if settings["cost"] != "cross_entropy":
        raise ValueError(
            f"cost must be 'cross_entropy' with chord_units, not {settings['cost']!r}: the network "
            "learns the probability of whole chords, whose logarithm the cross-entropy is"
        )
    if settings["chord_units"] > 0 and settings["io_length"] < 2:
        raise ValueError("chord_units must be 0 or None with io_length 1: there is no other pitch")
