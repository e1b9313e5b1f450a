"""The options of ``rnn4music train``: one table for the command line and for TOML files.

A TOML file holds, under the flags' names without the dashes in front, any of them:

    data = "my folder"
    units = [120, 120, 120]
    steps_per_beat = 4
    checkpoint = "night"

Flags win over the file, the file over the defaults. Within a name - and _ are the same.
"""

import argparse
import difflib
import json
import re
import reprlib
from typing import Any, NamedTuple


class Option(NamedTuple):
    """A flag, and a name in a file."""

    flag: str
    kind: type  # int, float, str or bool
    default: Any
    help: str
    metavar: Any = None
    n: Any = None  # how many values, as argparse's nargs
    choices: tuple | None = None

    @property
    def name(self):
        """The flag as an attribute."""
        return self.flag.lstrip("-").replace("-", "_")


WINDOWS = ("all", "random", "start")
OPTIMISERS = ("rmsprop", "graves", "adam")
COSTS = ("cross_entropy", "squared_error")
"""As in `minibatches`, `optimisers` and `costs`, which are not loaded for ``--help``."""

MUSIC = (
    Option("--dt", float, None, "seconds of a time step (0.3)", "SECONDS"),
    Option("--steps-per-beat", float, None, "steps of a quarter note, instead of --dt", "N"),
    Option("--tempo", float, None, "quarter notes a minute, instead of the files' own", "BPM"),
    Option("--pitch-range", int, (21, 109), "lowest pitch, and the first above the highest",
           ("LOW", "HIGH"), 2),
    Option("--sustain", bool, False, "let the sustain pedal lengthen notes"),
    Option("--keep-short", bool, False, "keep notes that lie between two steps"),
    Option("--keys", str, "own", "own: as written; all: each tune in all twelve keys; c: moved to "
           "C major or A minor", choices=("own", "all", "c")),
    Option("--cache", str, None, "folder in which what was read is kept", "DIR"),
)  # fmt: skip
NETWORK = (
    Option("--units", int, (120, 120, 120), "units of the three layers", ("H1", "H2", "H3"), 3),
    Option("--rate", float, (0.001,), "learning rate, or four: three layers and the output",
           "R", "+"),
    Option("--optimiser", str, "rmsprop", "rule of an update", choices=OPTIMISERS),
    Option("--cost", str, "cross_entropy", "what is made small", choices=COSTS),
    Option("--clip", float, 30.0, "bound on each element of the gradient", "G"),
    Option("--epsilon", float, 1e-5, "floor of RMSprop's mean square", "E"),
    Option("--threshold", float, 0.02, "notes less probable than this never sound when composing",
           "P"),
    Option("--seed", int, None, "makes the whole run repeatable", "S"),
    Option("--dtype", str, "float32", "precision", choices=("float32", "float64")),
)  # fmt: skip
TRAINING = (
    Option("--epochs", int, 30, "visits to every tune", "N"),
    Option("--updates-per-minibatch", int, 1, "updates on each minibatch", "N"),
    Option("--batch", int, 5, "tunes of a minibatch", "N"),
    Option("--length", int, 100, "steps of a window", "N"),
    Option("--windows", str, "all", "learn from all of each tune, a random window of it, or its "
           "start", choices=WINDOWS),
    Option("--validation", float, 0.1, "share of the tunes that is not learned from; the weights "
           "that score best on it are kept", "FRACTION"),
    Option("--patience", int, None, "end after so many epochs without a better validation", "N"),
    Option("--decay-patience", int, None, "lower the rates after so many", "N"),
    Option("--rate-decay", float, 0.5, "what they are multiplied by then", "FACTOR"),
    Option("--dropout", float, 0.0, "share of the units hidden from the layers above", "P"),
    Option("--weight-noise", float, 0.0, "deviation of the noise on the weights", "SIGMA"),
    Option("--averaging", float, 0.0, "keep the mean of the weights: 0.998 of some 500 updates",
           "A"),
    Option("--sparsity", float, 0.0, "strength of the L1 penalty", "L1"),
    Option("--steps-at-once", int, None, "work through windows in pieces, to save memory", "N"),
    Option("--cluster", str, None, "spread minibatches over the workers of a Dask scheduler, or "
           "over so many on this machine", "ADDRESS|N"),
)  # fmt: skip
FILES = (
    Option("--output", str, "model.npz", "the model's file", "FILE"),
    Option("--start-from", str, None, "a model that is trained on, with its settings and "
           "its way of reading", "FILE"),
    Option("--checkpoint", str, None, "written once a minute, to go on from with --resume", "FILE"),
    Option("--checkpoint-every", int, None, "updates, instead of once a minute", "N"),
    Option("--resume", bool, False, "go on from the checkpoint, if there is one"),
    Option("--log", str, None, "log in JSON lines", "FILE"),
    Option("--tensorboard", str, None, "log for TensorBoard", "DIR"),
    Option("--licence", str, None, "noted in the model", "TEXT"),
    Option("--force", bool, False, "replace --output if it is there"),
)  # fmt: skip
GROUPS = {"music": MUSIC, "network": NETWORK, "training": TRAINING, "files": FILES}
_CONVERTED_KEYS = "own: as written (train can take all twelve); c: moved to C major or A minor"
CONVERSION = tuple(
    option._replace(help=_CONVERTED_KEYS, choices=("own", "c")) if option.name == "keys" else option
    for option in MUSIC
    if option.name != "cache"
)
OPTIONS = {option.name: option for group in GROUPS.values() for option in group}
DATA = Option("data", str, None, "")
MOST_BYTES = 2**20  # of a file


LIBRARY_NAMES = {
    "noOfEpochPerMB": "updates-per-minibatch",
    "noOfEpoch": "epochs",
    "sizeOfMiniBatch": "batch",
    "lengthOfMB": "length",
    "sparseParam": "sparsity",
    "h1_length": "units",
    "h2_length": "units",
    "h3_length": "units",
    "io_length": "pitch-range",
    "R1": "rate",
    "R2": "rate",
    "R3": "rate",
    "Rout": "rate",
    "gradClip": "clip",
    "genProbThreshold": "threshold",
    "pitch_range": "pitch-range",
    "time_step": "dt",
    "steps_per_beat": "steps-per-beat",
    "resume=True": "--resume",
    "checkpoint=": "--checkpoint",
    "setNewRates": "--rate",
}
"""What the library's messages speak of, and what stands in its place on the command line."""


def in_flags(message):
    """Return a message of the library in the words of the command line."""
    names = "|".join(map(re.escape, LIBRARY_NAMES))
    return re.sub(rf"\b({names})(?!\w)", lambda match: LIBRARY_NAMES[match[1]], message)


def add_options(parser):
    """Add the flags of all groups to a parser; what is not given is no attribute then."""
    for title, group in GROUPS.items():
        add_group(parser.add_argument_group(title), group)


def add_group(flags, group):
    """Add the flags of a group to a parser, or a part of one."""
    for option in group:
        names = [option.flag] + ["-o"] * (option.flag == "--output")
        text = option.help + default_text(option)
        if option.kind is bool:
            kind: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        else:
            kind = {"type": option.kind, "nargs": option.n, "choices": option.choices}
            kind["metavar"] = option.metavar
        flags.add_argument(*names, dest=option.name, default=argparse.SUPPRESS, help=text, **kind)


def default_text(option):
    """Return what ``--help`` says of the default."""
    if option.default in (None, False):
        return ""
    values = option.default if isinstance(option.default, tuple) else (option.default,)
    return f" ({' '.join(f'{value}' for value in values)})"


def merged(arguments, path=None):
    """Return the settings of a run: defaults, a file's, and the flags that were given.

    Parameters
    ----------
    arguments : argparse.Namespace
    path : path, optional
        A TOML file.

    Returns
    -------
    argparse.Namespace
        With ``given`` besides, the names of those that are no defaults.

    Raises
    ------
    FileNotFoundError, ValueError
        For a file that is not there, is no TOML, or holds something unknown.
    """
    given = {
        name: value
        for name, value in vars(arguments).items()
        if value is not None and name in {**OPTIONS, "data": DATA}
    }
    from_file = read(path) if path else {}
    for one, other in (("dt", "steps_per_beat"), ("steps_per_beat", "dt")):
        if one in given and other not in given:
            from_file.pop(other, None)  # a flag wins over the other in the file
    return complete({**from_file, **given})


def complete(given):
    """Return the settings of a run: those that were given, a dict, and defaults for the others."""
    defaults = {option.name: option.default for option in [*OPTIONS.values(), DATA]}
    return argparse.Namespace(**{**defaults, **given}, given=set(given))


def read(path):
    """Return the settings in a TOML file: dict of name to value."""
    options = known(path, table(path))
    return {o.name: checked(path, key, value, o) for key, value, o in options}


def table(path):
    """Return what is in a TOML file, unchecked."""
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib  # pyright: ignore[reportMissingImports]
    with open(path, "rb") as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES} bytes, which are not read")
    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:  # a number of many digits, lists in lists
        raise ValueError(f"{path} is no TOML file: {error}") from None


def known(path, content):
    """Yield key, value and `Option` of each entry; raise ValueError for what is no option."""
    seen = set()
    for key, value in content.items():
        name = key.replace("-", "_")
        if name in seen:
            raise ValueError(f"{path}: {name} stands there twice, with - and with _")
        seen.add(name)
        option = {**OPTIONS, "data": DATA}.get(name)
        if option is None:
            close = difflib.get_close_matches(name, [*OPTIONS, "data"], 1)
            hint = f"; did you mean {close[0]}?" if close else "; `rnn4music train --help` has all"
            raise ValueError(f"{path}: there is no setting {reprlib.repr(key)}{hint}")
        yield key, value, option


def checked(path, key, value, option):
    """Return a file's value in the form that the flag gives, or raise ValueError."""
    if option.name == "cluster" and type(value) is int:  # as in Python, without quotes
        value = str(value)
    values: list[Any] = value if isinstance(value, list) and option.n else [value]
    kinds = (int, float) if option.kind is float else option.kind
    is_right = (
        values
        and (option.n in (None, "+") or len(values) == option.n)
        and all(isinstance(each, kinds) for each in values)
        and any(isinstance(each, bool) for each in values) == (option.kind is bool)
        and (option.choices is None or value in option.choices)
    )
    if not is_right:
        what = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
        what = f"one of {', '.join(option.choices)}" if option.choices else what[option.kind]
        what = f"a list of {option.n}, each {what}" if isinstance(option.n, int) else what
        raise ValueError(f"{path}: {key} must be {what}, but is {reprlib.repr(value)}")
    try:
        values = [option.kind(each) for each in values]
    except OverflowError:
        raise ValueError(f"{path}: {key} is too large a number") from None
    return values if option.n else values[0]


def as_toml(settings):
    """Return the text of a file from which `read` gets these settings; None is left out."""
    lines = [f"{name} = {_written(each)}" for name, each in settings.items() if each is not None]
    return "\n".join(lines) + "\n"


def _written(value):
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)
