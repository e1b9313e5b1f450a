"""The recipe of ``rnn4music train``: settings that suit the music, where none are given.

``--classic`` takes the defaults of the options instead, which are those of 2015 and earlier
versions. How the values were chosen is in docs/learning.md.

Conventions
-----------
`settings` come from `config.complete`. The music counts by its steps, before it is transposed.
"""

import copy

from rnn4music._utils.console import log
from rnn4music.data.pianoroll import lengths
from rnn4music.data.store import is_store, options_of
from rnn4music.experiment.config import EVERYTHING
from rnn4music.experiment.inputs import is_standard_set

READING = {"onsets": True, "keys": "all"}
"""How MIDI files are read."""

SMALL = 100_000
"""Steps below which music counts as little."""

UPDATES, DECAY_AFTER, END_AFTER = 20_000, 700, 2000
"""Updates in all, and without a better score until rates are lowered, and until training ends.

All three are rounded up to whole epochs.
"""

UNVALIDATED = 4000
"""Updates in all if no tunes are held out, since no score then shows when tunes are memorised."""

OF_THE_MODEL = {"units", "chord_units", "optimiser", "learning_rates"}
"""Settings that a model keeps when it is trained further."""

TRAINING = {
    "chord_units": 264,
    "optimiser": "adam",
    "windows": "random",
    "beginnings": True,
    "window": 65,
    "batch_size": 8,
    "learning_rates": (0.004,),
    "output_noise": 0.0,
    "averaging": 0.995,
}
"""Settings for any amount of music."""


def for_reading(settings):
    """Return the settings, with those of `READING` that are not given."""
    if settings.classic or settings.start_from:
        return settings
    suited = dict(READING)
    if is_store(settings.data):
        suited = {} if options_of(settings.data)["to_c"] else {"keys": "all"}
    elif is_standard_set(settings.data):
        del suited["onsets"]
    return _completed(settings, suited)


def for_training(settings, music):
    """Return the settings, with those that suit the `Music` and are not given."""
    if settings.classic:
        return settings
    tunes, is_validated = music.parts["train"], bool(music.parts["validation"])
    n_keys = 12 if music.metadata["keys"] == "all" else 1
    suited = by_amount(int(lengths(tunes).sum()) // n_keys, len(tunes), is_validated)
    suited = {**TRAINING, **suited}
    dropped = set(OF_THE_MODEL) if settings.start_from else set()  # the model keeps what it is
    if settings.cost != "cross_entropy":
        dropped.add("chord_units")  # which learn a probability
    if settings.optimiser != "adam" and "optimiser" in settings.given:
        dropped.add("learning_rates")
    suited = {name: value for name, value in suited.items() if name not in dropped}
    completed = _completed(settings, suited)
    flags = [_flag(completed, name) for name in suited if name not in settings.given]
    log(f"chosen to suit the music: {' '.join(flags)}")
    return completed


def _flag(settings, name):
    """Return the flag that gives a setting."""
    value = getattr(settings, name)
    values = dict.fromkeys(value) if isinstance(value, (tuple, list)) else [value]
    words = [f"{each:g}" if isinstance(each, float) else str(each) for each in values]
    return " ".join([EVERYTHING[name].flag, *(words if value is not True else [])])


def by_amount(n_steps, n_rolls, is_validated=True):
    """Return the settings that depend on the amount of music.

    Parameters
    ----------
    n_steps : int
        Steps to learn from, before they are transposed.
    n_rolls : int
        Tunes, in all their keys.
    is_validated : bool
        Whether tunes are held out.
    """
    is_small = n_steps < SMALL
    per_epoch = max(1, n_rolls // TRAINING["batch_size"])  # updates
    n_updates = UPDATES if is_validated else UNVALIDATED
    patience = {
        "decay_patience": -(-DECAY_AFTER // per_epoch),
        "patience": -(-END_AFTER // per_epoch),
    }
    return {
        "units": (100, 100, 100) if is_small else (150, 150, 150),
        "dropout": 0.4 if is_small else 0.3,
        "weight_noise": 0.15 if is_small else 0.1,
        "epochs": -(-n_updates // per_epoch),
        **(patience if is_validated else {}),
    }


def _completed(settings, suited):
    completed = copy.copy(settings)
    suited = {name: value for name, value in suited.items() if name not in settings.given}
    vars(completed).update(suited, given=settings.given | suited.keys())
    return completed
