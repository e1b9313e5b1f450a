"""The command ``rnn4music``, also ``python -m rnn4music``.

Each command is a module with SUMMARY, EXAMPLES, tables of `Option` (ARGUMENTS, OPTIONS, and GROUPS
of those that a file may have), and ``run(args)``, which returns a `_common.Result`. The module
imports only packages that load their modules on first use, so that ``--help`` loads neither an
engine nor NumPy. Results go to standard output, progress and warnings to standard error.
The exit code is 0; 1 after an error, which is one sentence; 2 for a wrong command line; 3 after a
training whose model is worse than the baseline; 130 after Ctrl-C.
"""

import argparse
import importlib
import io
import os
import sys
import warnings

from rnn4music import __version__
from rnn4music.cli import _common
from rnn4music.experiment import config

COMMANDS = (
    "train", "convert", "evaluate", "search", "compose", "page", "render", "info", "plot", "demo",
)  # fmt: skip
EXAMPLES = """\
  rnn4music demo                              train on Bach's chorales, and compose a tune
  rnn4music train "my music" -o model.npz
  rnn4music compose model.npz -o tune.mid --wav tune.wav --html tune.html
  rnn4music compose model.npz --start bach.mid --start-steps 50 --steps 300
  rnn4music page model.npz -o page.html       the network itself, composing in a web page
  rnn4music evaluate model.npz JSB_Chorales.mat
  rnn4music info model.npz
"""


def build_parser():
    """Return the parser of all commands."""
    style = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = argparse.ArgumentParser(
        prog="rnn4music",
        description="Train a three-layer LSTM on polyphonic music, and compose with it.",
        epilog=f"examples:\n{EXAMPLES}",
        **style,
    )
    parser.add_argument("--version", action="version", version=f"rnn4music {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name in COMMANDS:
        module = _module(name)
        text = module.SUMMARY
        command = commands.add_parser(
            name,
            usage=_common.usage(name, module),
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=f"examples:\n{module.EXAMPLES}",
            **style,
        )
        command.set_defaults(parser=command)
        _common.add_arguments(command, module)
    return parser


def main(arguments=None):
    """Run a command; return the exit code."""
    for stream in (sys.stdout, sys.stderr):  # escape characters that a terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = build_parser()
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
        _common.refuse_command(arguments[0], COMMANDS, parser)
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        _common.refuse(unknown, vars(args).get("parser", parser))
    if args.command is None:
        parser.print_help()
        return 0
    from rnn4music._utils.console import log

    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: log(f"rnn4music: warning: {message}")
            command = _module(args.command)
            required = [option for option in command.ARGUMENTS if option.default is ...]
            options = (*required, *command.OPTIONS)
            result = command.run(config.complete(vars(args), options))
        print(_common.as_json(result.values) if args.json else result.text)
        if sys.stdout is not None:  # which a closed terminal is
            sys.stdout.flush()
        return result.status
    except BrokenPipeError:  # the reader of the output has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        print("rnn4music: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if args.debug:
            raise
        print(f"rnn4music: error: {_common.sentence(error)}", file=sys.stderr)
        return 1


def _module(name):
    return importlib.import_module(f"rnn4music.cli.{name}")
