"""``rnn4music search``."""

from pathlib import Path

from rnn4music._utils.options import Option
from rnn4music.cli._common import CLUSTER, QUIET, Result

SUMMARY = "search for the settings with the best validation score"
EXAMPLES = """\
  rnn4music search space.toml music --trials 30
  rnn4music search space.toml music --trials 60        continue the search to 60 trials
  rnn4music search space.toml music --trials 60 --workers 4
  rnn4music search space.toml music --trials 60 --cluster tcp://host:8786
  rnn4music train --config search/best.toml

A space is a TOML file as for train, in which a value may be a table of values to try:
  epochs = 30
  learning_rates = {low = 1e-4, high = 1e-2, log = true}
  batch_size = {low = 4, high = 32, step = 4}
  units = {choices = [[100, 100, 100], [200, 200, 200]]}
"""
ARGUMENTS = (
    Option("space", str, ..., "TOML file with the settings to try; see below", "SPACE"),
    Option("data", str, ..., "MIDI files, a store, or a standard set, as for train", "MUSIC"),
)
OPTIONS = (
    Option("trials", int, ..., "number of finished trials to reach, counting those of earlier "
           "calls and other machines", "N", low=1),
    Option("output", str, "search", "folder for the table, the plots, best.toml and the storage",
           "DIR"),
    Option("storage", str, None, "journal file or database URL, which machines can share; default "
           "search.db in DIR", "FILE|URL"),
    Option("seed", int, None, "random seed; with one worker, the same seed repeats the search",
           "S", low=0),
    Option("workers", int, 1, "number of processes on this machine, each running one trial", "N",
           low=1),
    CLUSTER,
    QUIET,
)  # fmt: skip


def run(args):
    """Search for settings, and report the best."""
    from midi.text import count
    from rnn4music.distributed.cluster import parsed
    from rnn4music.experiment import inputs
    from rnn4music.tuning import search

    inputs.check_input(args.space, (inputs.TOML, "a text file"), "search needs a TOML file")
    inputs.check_music(args.data, inputs.MUSIC, "search needs music")
    if args.storage is not None and "://" in args.storage:
        _check_url(args.storage)
    result = search(
        args.space,
        args.data,
        args.trials,
        args.output,
        storage=args.storage,
        workers=args.workers,
        cluster=parsed(args.cluster),
        seed=args.seed,
        progress=not args.quiet,
    )
    folder, best = Path(args.output), result.best
    states = [row["state"] for row in result.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    lines = [
        result.text,
        f"{count(len(states), 'trial')}: {counts}" if states else "no trial was started",
        best and f"best: trial {best['number']}, {best['value']:.3f} nats per step",
        result.interrupted and "stopped by Ctrl-C; the same command continues",
        result.plots and f"plots: {', '.join(map(str, result.plots))}",
        best and f"train it: rnn4music train --config {folder / 'best.toml'}",
    ]
    values = {name: getattr(result, name) for name in ("trials", "best", "settings", "interrupted")}
    text = "\n".join(line for line in lines if line)
    return Result({"output": str(folder), **values}, text, 130 if result.interrupted else 0)


def _check_url(storage):
    """Raise ValueError unless SQLAlchemy has a dialect for the URL of a database."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(storage).get_dialect()
    except ArgumentError as error:
        raise ValueError(
            f"--storage is not the URL of a database ({error}): give one such as "
            "postgresql://host/name, or the name of a file for a journal"
        ) from None
