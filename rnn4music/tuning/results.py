"""Results of a search: tables, the best configuration, and Optuna's plots.

Conventions
-----------
A row is a dict that describes a trial: ``number``, ``state``, ``value`` (the best validation, nats
per step), ``best_epoch``, ``cores``, ``epochs``, ``seconds``, its settings under their names,
``seed``, ``error``.
"""

import csv
import io
import warnings
from typing import Any

import numpy as np

from midi.files import written_whole
from midi.text import count
from rnn4music.experiment import config

_MOST_ROWS, _MOST_NAMES = 10, 15
_NATS = "nats per step"
_PLOTS = {
    "history": "plot_optimization_history",
    "importances": "plot_param_importances",
    "slice": "plot_slice",
    "learning": "plot_intermediate_values",
}
FILES = ("trials.csv", "best.toml", *(f"{name}.png" for name in _PLOTS))
"""Names of all files that this module writes."""


def rows(space, trials):
    """Return a row for each of Optuna's trials that has begun."""
    rows = []
    for trial in trials:
        if trial.state.name == "WAITING" or trial.params.keys() != space.searched.keys():
            continue
        error, result = trial.user_attrs.get("error"), trial.user_attrs.get("result", {})
        state = trial.state.name.lower()
        if state == "fail":
            state = "failed" if error else "interrupted"
        elif state == "pruned" and error:
            state = "diverged"
        settings = space.settings(trial.params, trial.user_attrs.get("seed"))
        rows.append(
            {
                "number": trial.number,
                "state": state,
                "value": trial.value,
                "best_epoch": result.get("best_epoch"),
                "cores": result.get("cores"),
                "epochs": len(trial.intermediate_values),
                "seconds": trial.duration and round(trial.duration.total_seconds(), 1),
                **{name: settings.get(name) for name in [*space.searched, "seed"]},
                "error": error,
            }
        )
    return rows


def best_of(rows):
    """Return the complete trial with the lowest value, or None."""
    complete = [row for row in rows if row["state"] == "complete"]
    return min(complete, key=lambda row: (row["value"], row["number"]), default=None)


def best_settings(space, best):
    """Return the settings of the best trial, for `train`: dict of name to value."""
    drawn = {name: best[name] for name in [*space.searched, "seed"]}
    return {"classic": True, **space.fixed, **drawn, "epochs": best["best_epoch"]}


def write_tables(folder, space, rows):
    """Write ``trials.csv`` and, if a trial is complete, ``best.toml``."""
    if not rows:
        return
    table = io.StringIO()
    lines = csv.DictWriter(table, rows[0].keys())
    lines.writeheader()
    for row in rows:
        lines.writerow(
            {k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in row.items()}
        )
    _write(folder / "trials.csv", table.getvalue().encode())
    best = best_of(rows)
    if best:
        cores = count(best["cores"], "core")
        header = f"# Trial {best['number']} of a search, on {cores}: {best['value']} nats per step"
        text = f"{header}\n" + config.as_toml(best_settings(space, best))
        _write(folder / "best.toml", text.encode())


def _write(path, content):
    with written_whole(path) as file:
        file.write(content)


def table(space, rows):
    """Return the best trials as a text of aligned columns, or "" without any."""
    names = ["number", "state", "value", "best_epoch", "epochs", "seconds", *space.searched]
    shown = [row for row in rows if row["state"] in ("complete", "pruned")]
    shown.sort(key=lambda row: (row["state"], row["value"], row["number"]))
    cells = [[_short(row[name]) for name in names] for row in shown[:_MOST_ROWS]]
    cells.insert(0, [name.replace("_", " ") for name in names])
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(map(str.rjust, row, widths)) for row in cells) if shown else ""


def _short(value):
    if isinstance(value, list):
        return " ".join(map(_short, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _rotate_labels(panels):
    """Turn the labels below narrow panels upright, and thin out those of logarithmic axes."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for panel in panels:
        if panel.get_xscale() == "log":
            panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
            panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.xaxis.set_minor_formatter(NullFormatter())
        panel.tick_params(axis="x", labelrotation=90)
        panel.xaxis.label.set_size("small")


def write_plots(folder, study):
    """Draw Optuna's plots as PNG files, if a trial is complete; return their paths."""
    import matplotlib.pyplot as plt
    from optuna.visualization import matplotlib as drawing

    paths = []
    states = [trial.state.name for trial in study.get_trials(deepcopy=False)]
    for name, function in _PLOTS.items() if "COMPLETE" in states else ():
        options = {} if name == "learning" else {"target_name": _NATS}
        with plt.rc_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna's, of plots that are experimental
            try:
                axes: Any = getattr(drawing, function)(study, **options)
            except (ValueError, RuntimeError):  # importances need two trials that differ
                continue
            if name == "slice":
                _rotate_labels(np.ravel(axes))
            axes = np.ravel(axes)[0]
            if name == "learning":
                axes.set(title="Best validation so far", xlabel="epoch", ylabel=_NATS)
            if axes.get_legend() and len(axes.lines) > _MOST_NAMES:
                axes.get_legend().remove()
            picture = io.BytesIO()
            axes.figure.savefig(picture, format="png", dpi=120, bbox_inches="tight")
            plt.close(axes.figure)
        paths.append(folder / f"{name}.png")
        _write(paths[-1], picture.getvalue())
    return paths
