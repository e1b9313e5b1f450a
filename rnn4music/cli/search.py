"""``rnn4music search``."""

from pathlib import Path

from rnn4music.cli._common import Result, without_nan
from rnn4music.distributed.cluster import parsed
from rnn4music.tuning import search as find


def search(asked):
    """Try settings, and report which learn best."""
    found = find(
        asked.space,
        asked.data,
        asked.trials,
        asked.output,
        storage=asked.storage,
        workers=asked.workers,
        cluster=parsed(asked.cluster),
        seed=asked.seed,
        progress=not asked.quiet,
    )
    folder, best = Path(asked.output), found.best
    values = {
        "output": str(folder),
        "trials": found.trials,
        "best": best,
        "settings": found.settings,
        "interrupted": found.interrupted,
    }
    lines = [found.text] if found.text else []
    counts = [row["state"] for row in found.trials]
    each = ", ".join(f"{counts.count(state)} {state}" for state in dict.fromkeys(sorted(counts)))
    lines.append(f"{len(counts)} trials: {each}" if counts else "no trial was begun")
    if best:
        lines.append(f"best: trial {best['number']}, {best['value']:.3f} nats per step")
    if found.interrupted:
        lines.append("stopped by Ctrl-C; the same command goes on")
    if found.plots:
        lines.append(f"plots: {', '.join(map(str, found.plots))}")
    if best:
        lines.append(f"train it: rnn4music train --config {folder / 'best.toml'}")
    return Result(without_nan(values), "\n".join(lines), 130 if found.interrupted else 0)
