"""The command ``rnn4music``, also ``python -m rnn4music``: what there is to type.

What the commands do is in the modules of `COMMANDS`, each loaded once its command is called: for
``--help`` neither an engine nor NumPy is. Results go to standard output, progress and warnings
to standard error. The exit code is 0; 1 after an error, told in one sentence; 2 for a command
line that is wrong; 130 after Ctrl-C.
"""

import argparse
import importlib
import io
import json
import os
import sys
import warnings

from rnn4music import __version__
from rnn4music.experiment import config

COMMANDS = {
    "train": "rnn4music.cli.learn",
    "convert": "rnn4music.cli.convert",
    "evaluate": "rnn4music.cli.learn",
    "search": "rnn4music.cli.search",
    "compose": "rnn4music.cli.compose",
    "render": "rnn4music.cli.compose",
    "info": "rnn4music.cli.look",
    "plot": "rnn4music.cli.look",
    "demo": "rnn4music.cli.demo",
}
"""Where each is."""

EPILOG = """\
examples:
  rnn4music demo                                   learn from Bach's chorales, make a page
  rnn4music train "my music" -o model.npz          a folder or .zip of MIDI files
  rnn4music compose model.npz -o tune.mid --wav tune.wav --html tune.html
  rnn4music compose model.npz --start bach.mid --start-steps 50 --steps 300
  rnn4music evaluate model.npz JSB_Chorales.mat
  rnn4music info model.npz
"""
TRAIN_EPILOG = """\
examples:
  rnn4music train music -o model.npz --epochs 50 --patience 5
  rnn4music train music.zip --steps-per-beat 4 --units 200 200 200 --keys all
  rnn4music train music --checkpoint night --resume       again after any interruption
  rnn4music train --config run.toml --epochs 100          flags win over the file
  rnn4music train JSB_Chorales.mat --windows random --dropout 0.3 --weight-noise 0.1

A TOML file has the flags' names without the dashes: units = [200, 200, 200].
"""
COMPOSE_EPILOG = """\
examples:
  rnn4music compose model.npz                               300 steps from silence: tune.mid
  rnn4music compose model.npz --count 5 --seed 1 --html five.html
  rnn4music compose model.npz --start bach.mid --with-start --wav bach.wav --png bach.png

Needs no engine: it computes with NumPy alone.
"""
EXAMPLES = {
    "convert": """\
  rnn4music convert "my collection" rolls --workers 8
  rnn4music convert "my collection" rolls --cluster tcp://host:8786
  rnn4music train rolls -o model.npz --windows random --batch 64

For collections that are too large for the memory, or take long to read. Stopped at any time, the
same command goes on. A cluster's machines need both folders in a shared file system.
""",
    "evaluate": """\
  rnn4music evaluate model.npz "other music"
  rnn4music evaluate model.npz JSB_Chorales.mat --part validation --json
""",
    "search": """\
  rnn4music search space.toml music --trials 30
  rnn4music search space.toml music --trials 60        the same search, 30 trials further
  rnn4music search space.toml music --trials 60 --workers 4
  rnn4music search space.toml music --trials 60 --cluster tcp://host:8786
  rnn4music train --config search/best.toml

A space is a TOML file as for train, in which values may be tables:
  epochs = 30
  rate = {low = 1e-4, high = 1e-2, log = true}
  batch = {low = 4, high = 32, step = 4}
  units = {choices = [[100, 100, 100], [200, 200, 200]]}
""",
    "info": """\
  rnn4music info model.npz
  rnn4music info model.npz --markdown > CARD.md
  rnn4music info tune.mid
""",
    "plot": """\
  rnn4music plot roll tune.mid -o tune.png
  rnn4music plot learning model.npz -o learning.pdf
  rnn4music plot probabilities model.npz --tune tune.mid -o odds.png
  rnn4music plot activations model.npz --tune tune.mid --layer 2 --part forget
""",
    "render": """\
  rnn4music render tune.mid -o tune.wav
  rnn4music render tune.mid -o tune.mp3 --soundfont piano.sf2
""",
    "demo": """\
  rnn4music demo
  rnn4music demo --data "my music" --epochs 20 -o mine
""",
}


def build_parser():
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="rnn4music",
        description="Learn polyphonic music from MIDI files with a three-layer LSTM, and compose.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"rnn4music {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")

    def command(name, summary, epilog=None):
        if epilog is None:
            epilog = f"examples:\n{EXAMPLES[name]}"
        new = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        new.add_argument("--json", action="store_true", help="print the result as JSON")
        new.add_argument("--debug", action="store_true", help="show an error's whole traceback")
        return new

    train = command("train", "learn from MIDI files, or a standard set", TRAIN_EPILOG)
    train.usage = "rnn4music train FOLDER [-o MODEL] [options]"
    train.add_argument(
        "data",
        nargs="?",
        metavar="FOLDER",
        help="MIDI files: a folder, a .zip, a pattern; a store made by convert; or a standard set "
        "(.mat, .pickle, .json, .npz)",
    )
    train.add_argument("--config", metavar="TOML", help="a file with any of the options below")
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    config.add_options(train)

    convert = command("convert", "convert a large collection, to learn from it on the disk")
    convert.add_argument("data", metavar="FOLDER", help="MIDI files: a folder, a .zip, a pattern")
    convert.add_argument("store", metavar="STORE", help="folder for the piano rolls")
    config.add_group(convert, config.CONVERSION)
    where = convert.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="processes on this machine")
    where.add_argument(
        "--cluster",
        metavar="ADDRESS|N",
        help="convert on a Dask cluster, or on so many local workers of Dask's",
    )
    convert.add_argument("--quiet", action="store_true", help="no progress bar")

    compose = command("compose", "compose with a trained model", COMPOSE_EPILOG)
    compose.usage = "rnn4music compose MODEL [-o MID] [options]"
    compose.add_argument("model", metavar="MODEL")
    compose.add_argument(
        "--start",
        metavar="FILE",
        default="none",
        help="MIDI file that is continued; none: begin from silence",
    )
    compose.add_argument(
        "--start-steps", type=int, default=50, metavar="N", help="steps of it that are heard (50)"
    )
    compose.add_argument("--steps", type=int, default=300, metavar="N", help="to compose (300)")
    compose.add_argument(
        "-o", "--output", metavar="MID", help="the tune (tune.mid, or tune_2.mid, … if it is there)"
    )
    compose.add_argument("--wav", metavar="FILE", help="its sound")
    compose.add_argument("--png", metavar="FILE", help="its piano roll and probabilities")
    compose.add_argument("--html", metavar="FILE", help="a page with all of it, to share")
    compose.add_argument("--soundfont", metavar="SF2", help="an instrument for --wav and --html")
    compose.add_argument(
        "--count", type=int, metavar="K", help="compose K tunes: tune-1.mid, tune-2.mid, …"
    )
    compose.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="notes less probable than this never sound (the model's)",
    )
    compose.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="X",
        help="below 1 the likely becomes likelier, above 1 rarer (1)",
    )
    compose.add_argument(
        "--sampling",
        choices=("systematic", "independent"),
        default="systematic",
        help="notes of a step together, or each by itself (systematic)",
    )
    compose.add_argument("--seed", type=int, metavar="S", help="the same seed, the same tune")
    compose.add_argument(
        "--with-start", action="store_true", help="put the start before the tune, in all files"
    )
    compose.add_argument(
        "--dt",
        type=float,
        metavar="SECONDS",
        help="length of a step (the model's, or 0.3)",
    )

    evaluate = command("evaluate", "score a model on tunes that it has not learned from")
    evaluate.add_argument("model", metavar="MODEL")
    evaluate.add_argument("data", metavar="DATA", help="as for train")
    evaluate.add_argument(
        "--part",
        choices=("train", "validation", "test"),
        default="test",
        help="of a standard set (test)",
    )
    evaluate.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="from what probability on a note counts as predicted (0.5)",
    )

    search = command("search", "try settings, and find those that learn best")
    search.add_argument("space", metavar="SPACE", help="a TOML file as below")
    search.add_argument("data", metavar="DATA", help="as for train")
    search.add_argument(
        "--trials",
        type=int,
        required=True,
        metavar="N",
        help="to be finished in the end, earlier ones and those of other machines included",
    )
    search.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default="search",
        help="folder for the table, the plots, best.toml and the journal (search)",
    )
    search.add_argument(
        "--storage",
        metavar="FILE",
        help="the journal, which other machines may share (search.journal in DIR)",
    )
    where = search.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=int, default=1, metavar="N", help="trials at once, on this machine (1)"
    )
    where.add_argument(
        "--cluster",
        metavar="ADDRESS|N",
        help="run trials on a Dask cluster, or on so many local workers of Dask's",
    )
    search.add_argument("--seed", type=int, metavar="S", help="makes the search repeatable")
    search.add_argument("--quiet", action="store_true", help="no progress bar")

    info = command("info", "say what is in a model, or in a MIDI file")
    info.add_argument("file", metavar="FILE")
    info.add_argument("--markdown", action="store_true", help="a model card")

    plot = command("plot", "draw a tune, or a model's inside")
    plot.add_argument(
        "what", choices=("roll", "learning", "weights", "probabilities", "activations")
    )
    plot.add_argument("file", metavar="FILE", help="a MIDI file for roll, otherwise a model")
    plot.add_argument("--tune", metavar="MID", help="what the model reads, for the last two")
    plot.add_argument("--layer", type=int, default=1, choices=(1, 2, 3), help="of the network (1)")
    plot.add_argument(
        "--part",
        default="cell",
        help="of activations: cell, hidden, input, forget, candidate or output (cell)",
    )
    plot.add_argument("--dt", type=float, metavar="SECONDS", help="length of a step (0.3)")
    plot.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=".png, .pdf or .svg (picture.png)",
        default="picture.png",
    )

    render = command("render", "make a sound of a MIDI file")
    render.add_argument("tune", metavar="MID")
    render.add_argument("-o", "--output", metavar="FILE", help=".wav or .mp3", required=True)
    render.add_argument("--soundfont", metavar="SF2", help="an instrument of yours")

    demo = command("demo", "the whole way, on Bach's chorales, to a page that can be opened")
    demo.add_argument("-o", "--output", metavar="DIR", default="demo", help="folder (demo)")
    demo.add_argument("--epochs", type=int, default=5, metavar="N", help="visits to all tunes (5)")
    demo.add_argument("--data", metavar="FOLDER", help="MIDI files instead of the chorales")
    return parser


def main(arguments=None):
    """Run a command; return the exit code."""
    for stream in (sys.stdout, sys.stderr):  # names that a terminal cannot show end nothing
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = build_parser()
    asked = parser.parse_args(arguments)
    if asked.command is None:
        parser.print_help()
        return 0
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            result = _run(asked)
        print(json.dumps(result.values, allow_nan=False) if asked.json else result.text)
        if sys.stdout is not None:  # it may have been closed
            sys.stdout.flush()
        return result.status
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        print("rnn4music: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if asked.debug:
            raise
        sentence = _sentence(error)
        if asked.command in ("train", "demo", "search", "convert"):
            sentence = config.in_flags(sentence)
        print(f"rnn4music: error: {sentence}", file=sys.stderr)
        return 1


def _run(asked):
    command = getattr(importlib.import_module(COMMANDS[asked.command]), asked.command)
    if asked.command != "train":
        return command(asked)
    return command(config.merged(asked, asked.config), progress=not asked.quiet)


def _sentence(error):
    """Return what an error says; one that nobody foresaw with its name and what to do."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, (ValueError, TypeError, OSError, ImportError, ArithmeticError)):
        return str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error}"
    return f"unexpected {type(error).__name__}: {error}; please report it, with what --debug shows"


def _show_warning(message, category, filename, lineno, file=None, line=None):
    from rnn4music._utils.console import tell

    tell(f"rnn4music: warning: {message}")
