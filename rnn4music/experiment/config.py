"""The options of ``rnn4music train``, as flags and in TOML files.

A TOML file holds any of them, under the flags' names without the leading dashes:

    data = "my folder"
    units = [120, 120, 120]
    steps_per_beat = 4
    checkpoint = "night"

Flags override the file, and the file overrides the defaults. Within a name, - and _ are
equivalent. This module loads neither NumPy nor an engine.
"""

import difflib
import json
import reprlib
from types import SimpleNamespace

from rnn4music import hyperparameters
from rnn4music._utils.options import Option, by_name
from rnn4music.training import config as training

MUSIC = (
    Option("dt", float, None, "length of a step in seconds; without it and --steps-per-beat the "
           "steps are chosen to fit the notes", "SECONDS", above=0),
    Option("steps_per_beat", float, None, "steps per quarter note", "N", above=0),
    Option("tempo", float, None, "read all files at this tempo, in quarter notes per minute",
           "BPM", low=0.001, high=1e9),
    Option("pitch_range", int, (21, 109), "lowest MIDI pitch, and one more than the highest",
           ("LOW", "HIGH"), 2, low=0),
    Option("sustain", bool, False, "let the sustain pedal lengthen notes"),
    Option("onsets", bool, False, "tell notes that are struck again from notes that are held"),
    Option("bar_positions", bool, False, "let the network read the place of each step in its bar"),
    Option("keep_short", bool, False, "keep notes that begin and end between two steps"),
    Option("keep_silence", bool, False, "keep silence longer than a second before the first note "
           "and after the last"),
    Option("keys", str, "own", "own: tunes as written; all: each tune in all twelve keys; c: each "
           "tune transposed to C major or A minor", choices=("own", "all", "c")),
    Option("cache", str, None, "folder for the piano rolls, so that the next run need not read "
           "the MIDI files", "DIR"),
)  # fmt: skip
"""Options for reading tunes."""

RECIPE = (
    Option("minutes", float, None, "end training after this many minutes, if it has not ended by "
           "itself", "N", above=0),
    Option("classic", bool, False, "take the defaults shown here for what is not given, as in "
           "earlier versions, instead of settings that suit the music"),
)  # fmt: skip
"""Options on the choice of all others, and on their use of time."""

FILES = (
    Option("output", str, "model.npz", "file for the model", "FILE"),
    Option("start_from", str, None, "model to train further; its settings, and how it reads music, "
           "are kept", "FILE"),
    Option("checkpoint", str, None, "file for the state of the training, written once a minute, "
           "from which --resume continues", "FILE"),
    Option("checkpoint_every", int, None, "write the checkpoint every N updates, instead of once "
           "a minute", "N", low=1),
    Option("resume", bool, False, "continue from the checkpoint, if it exists"),
    Option("html", str, None, "web page with three tunes that the trained model composes", "FILE"),
    Option("log", str, None, "file for a log in JSON Lines", "FILE"),
    Option("tensorboard", str, None, "folder for a TensorBoard log", "DIR"),
    Option("licence", str, None, "licence of the model, saved in its metadata", "TEXT"),
    Option("force", bool, False, "replace --output and --html if they exist"),
)  # fmt: skip
"""Files that a run writes or continues from."""

GROUPS = {
    "music": MUSIC,
    "network": hyperparameters.OPTIONS,
    "training": (*RECIPE, *training.OPTIONS),
    "files": FILES,
}
OPTIONS = by_name(option for group in GROUPS.values() for option in group)
DATA = Option("data", str, None, "MIDI files (a folder, a .zip, a pattern such as \"*.mid\"), a "
              "store made by convert, or a standard set (.mat, .pickle, .json, .npz)",
              "MUSIC")  # fmt: skip
EVERYTHING = {**OPTIONS, "data": DATA}
"""All options that a file may hold."""

MAX_BYTES = 2**20  # of a file


def merged(flags, path=None):
    """Return the settings of a run: defaults, overridden by a TOML file, overridden by flags.

    Entries of `flags` that are not options are ignored. Raises ValueError for a file that is not
    TOML, or has an unknown or invalid entry.
    """
    given = {name: flags[name] for name in EVERYTHING if name in flags}
    from_file = read(path) if path else {}
    if given.keys() & {"dt", "steps_per_beat"}:  # a flag for one overrides both
        for name in ("dt", "steps_per_beat"):
            from_file.pop(name, None)
    return complete({**from_file, **given, "config": path})


def complete(given, options=None):
    """Return the checked values of a dict, and the defaults of the other options, as attributes.

    The options are by default `EVERYTHING`. Entries of the dict that are not options become
    attributes too. The attribute ``given`` is the set of names in the dict. Raises ValueError for
    an invalid value, with the option's flag.
    """
    settings = SimpleNamespace(**given, given=set(given))
    for option in EVERYTHING.values() if options is None else options:
        value = option.default
        if option.name in given:
            is_positional = option.default is ... and option.kind is str
            name = option.metavar if is_positional else option.flag
            value = _checked(name, given[option.name], option)
        setattr(settings, option.name, value)
    return settings


def read(path):
    """Return the settings in a TOML file: dict of name to value."""
    options = known(path, table(path))
    return {option.name: validate(path, key, value, option) for key, value, option in options}


def table(path):
    """Return the content of a TOML file, unchecked."""
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib  # pyright: ignore[reportMissingImports]
    from midi.files import opened

    with opened(path) as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ValueError(f"{path} has more than {MAX_BYTES} bytes; a configuration has fewer")
    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:  # a number of many digits, lists in lists
        raise ValueError(f"{path} is not a TOML file: {error}") from None


def known(path, content):
    """Yield key, value and `Option` of each entry; raise ValueError for an unknown name."""
    seen = set()
    for key, value in content.items():
        name = key.replace("-", "_")
        if name in seen:
            raise ValueError(f"{path}: {name} occurs twice, with - and with _")
        seen.add(name)
        if name not in EVERYTHING:
            close = difflib.get_close_matches(name, EVERYTHING, 1)
            hint = f"did you mean {close[0]}?" if close else "`rnn4music train --help` lists all"
            raise ValueError(f"{path}: there is no setting {reprlib.repr(key)}; {hint}")
        yield key, value, EVERYTHING[name]


def validate(path, key, value, option):
    """Return a value from a file, checked like that of a flag, or raise ValueError."""
    if option.name in training.PLACES and type(value) is int:  # a number without quotes
        value = str(value)
    return _checked(f"{path}: {key}", value, option)


def _checked(name, value, option):
    """Return the value or values of an option, or raise a ValueError that begins with `name`."""
    values = [*value] if option.n and isinstance(value, (list, tuple)) else [value]
    lengths = {None: (1,), "+": (1, 3 if option.name == "units" else 4)}.get(option.n, (option.n,))
    is_list = option.n == "+" and option.kind is str  # of any length
    if len(values) not in lengths and not is_list:
        n_values = " or ".join(map(str, lengths))
        raise ValueError(f"{name} must have {n_values} values, but is {reprlib.repr(value)}")
    if any(isinstance(each, int) and abs(each) > 1e300 for each in values):  # too large for a float
        raise ValueError(f"{name} is too large a number")
    if option.kind is str and "" in values and option.name not in ("title", "by", "licence"):
        raise ValueError(f"{name} is empty; give a name")
    try:
        values = [option.check(each, name) for each in values]
    except TypeError as error:
        raise ValueError(str(error)) from None
    if option.name == "pitch_range" and not values[0] < values[1] <= 128:
        raise ValueError(f"{name} must be two pitches, low < high <= 128, but is {values}")
    if option.name == "units":
        values *= 3 // len(values)
    return values if option.n else values[0]


def as_toml(settings):
    """Return the text of a TOML file with these settings, without those that are None."""
    texts = {
        name: json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # required by TOML
        for name, value in settings.items()
        if value is not None
    }
    return "".join(f"{name} = {text}\n" for name, text in texts.items())
