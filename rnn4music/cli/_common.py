"""Shared by the commands: arguments from tables of options, results, error messages.

Conventions
-----------
An `Option` whose default is ``...`` must be given.
"""

import argparse
import difflib
import json
from typing import Any, NamedTuple

import rnn4music
from rnn4music import experiment, saving
from rnn4music._utils.options import Option
from rnn4music.experiment import config
from rnn4music.hyperparameters import Hyperparameters

TERMINAL = (
    Option("json", bool, False, "print the result as JSON"),
    Option("debug", bool, False, "show the traceback of an error"),
)
QUIET = Option("quiet", bool, False, "show no progress bar")
CLUSTER = Option("cluster", str, None, "run on the workers of a Dask scheduler", "ADDRESS")
SOUNDFONT = Option("soundfont", str, None, "SoundFont to play with, instead of the built-in "
                   "synthesiser", "SF2")  # fmt: skip

BASELINE = "each pitch's own Markov chain"
ABOVE_BASELINE = 3  # exit code of a training whose model is worse than the baseline

PICTURES = (".png", ".pdf", ".svg")
SOUNDS = (".wav", ".mp3")


class Result(NamedTuple):
    """Output of a command."""

    values: dict  # for --json
    text: str
    status: int = 0


def usage(name, module):
    """Return the usage line of a command."""
    required = [f"{o.flag} {o.metavar}" for o in module.OPTIONS if o.default is ...]
    positional = [option.metavar for option in module.ARGUMENTS]
    return " ".join(["rnn4music", name, *positional, *required, "[options]"])


def add_arguments(parser, module):
    """Add a command's arguments to its parser; an argument that is not given has no attribute."""
    for option in module.ARGUMENTS:
        n = None if option.default is ... else "?"
        kind = {"choices": option.choices, "metavar": option.metavar, "help": option.help}
        parser.add_argument(option.name, nargs=n, default=argparse.SUPPRESS, **kind)
    _add_options(parser, (*TERMINAL, *module.OPTIONS))
    for title, options in getattr(module, "GROUPS", {}).items():
        _add_options(parser.add_argument_group(title), options, may_be_undone=True)


def _add_options(parser, options, may_be_undone=False):
    """Add flags; with `may_be_undone`, each switch has an opposite, ``--no-…``."""
    exclusive = parser.add_mutually_exclusive_group()
    for option in options:
        kind: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": option.name}
        if option.kind is not bool:
            kind |= {"type": option.kind, "nargs": option.n, "choices": option.choices}
            kind |= {"metavar": option.metavar, "required": option.default is ...}
        elif may_be_undone:
            kind["action"] = argparse.BooleanOptionalAction
        else:
            kind |= {"action": "store_true", "default": False}
        values = option.default if isinstance(option.default, tuple) else (option.default,)
        default = "" if values[0] in (None, False, ...) else f" ({' '.join(map(str, values))})"
        short = ["-o"] if option.name == "output" else []
        flags = exclusive if option.name in ("workers", "cluster") else parser
        flags.add_argument(option.flag, *short, help=option.help + default, **kind)


def refuse(unknown, parser):
    """Print the usage and the unknown arguments of a command, and exit with code 2."""
    flags = [flag for action in parser._actions for flag in action.option_strings]
    close = difflib.get_close_matches(unknown[0].partition("=")[0], flags, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    parser.error(f"unknown arguments: {' '.join(unknown)}{hint}")


def refuse_command(name, commands, parser):
    """Print the usage and what is wrong with a command's name, and exit with code 2."""
    close = difflib.get_close_matches(name, commands, 1)
    hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(commands)}"
    parser.error(f"there is no command {name!r}; {hint}")


def check_effect(args, name, has_effect, needs):
    """Raise ValueError if an option is given, and has no effect for want of what it needs."""
    if name in args.given and getattr(args, name) is not False and not has_effect:
        raise ValueError(f"--{name.replace('_', '-')} has no effect without {needs}")


def check_soundfont(args):
    """Raise ValueError if ``--soundfont`` is a file of another kind."""
    if args.soundfont is not None:
        experiment.inputs.check_input(
            args.soundfont, (experiment.inputs.SOUNDFONT,), "--soundfont needs a SoundFont (.sf2)"
        )


def read_network(name):
    """Return the network in a model's file, and the content of the file."""
    content = saving.model_file.read(name)
    try:
        network = rnn4music.NumpyNetwork.from_arrays(content["arrays"], content["settings"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name} is damaged: {error!r}") from error
    return network, content


def as_json(values):
    """Return a dict as JSON, with null for NaN and infinity, which JSON lacks."""
    finite = json.loads(json.dumps(values), parse_constant=lambda name: None)
    return json.dumps(finite)


def sentence(error):
    """Return the message of an error; if the error is unexpected, ask for a report."""
    if hasattr(error, "named"):  # for example `AnotherTraining`
        flags = {name: option.flag for name, option in config.OPTIONS.items()}
        flags |= {name: setting.option.flag for name, setting in Hyperparameters.settings_by_name()}
        flags |= {"dataset": "the training music", "validation": "the validation music"}
        flags |= {"time_step": "--dt", "to_c": "--keys c", "n_files": "the number of files"}
        error = error.named(flags)
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"there is no file {error.filename}"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, (ValueError, TypeError, OSError, ImportError, ArithmeticError)):
        return str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}"
    return (
        f"unexpected {type(error).__name__}: {error}; please report it, with the output of --debug"
    )
