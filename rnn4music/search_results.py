"""What a search leaves: tables, the best configuration, and Optuna's plots.

Conventions
-----------
A trial is a dict here: ``number``, ``state``, ``value`` (the best validation, nats per step),
``best_epoch`` and ``epochs``, ``cores``, ``seconds``, its settings under their names, ``seed``,
``error``.
"""

import csv
import io
import warnings
from typing import Any

import numpy as np

from midi.files import written_whole
from rnn4music.experiment import config
from rnn4music.search_trials import trial_settings

_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "RUNNING": "running", "FAIL": "failed"}
_MOST_ROWS, _MOST_NAMES = 10, 15
_NATS = "nats per step"


def rows(space, trials):
    """Return a dict for each trial of Optuna's that has begun."""
    found = []
    for trial in trials:
        if trial.state.name not in _STATES or trial.params.keys() != space.searched.keys():
            continue
        state, result = _STATES[trial.state.name], trial.user_attrs.get("result", {})
        if "error" in trial.user_attrs and state == "pruned":
            state = "diverged"
        elif state == "failed" and "error" not in trial.user_attrs:
            state = "given back"
        settings = trial_settings(space, trial) if "seed" in trial.user_attrs else {}
        row = {"number": trial.number, "state": state, "value": trial.value}
        row["best_epoch"] = result.get("best_epoch")
        row["cores"] = result.get("cores")
        row["epochs"] = len(trial.intermediate_values)
        row["seconds"] = trial.duration and round(trial.duration.total_seconds(), 1)
        row |= {name: settings.get(name) for name in [*space.searched, "seed"]}
        found.append({**row, "error": trial.user_attrs.get("error")})
    return found


def best_of(found):
    """Return the complete trial with the lowest value, or None."""
    complete = [row for row in found if row["state"] == "complete"]
    return min(complete, key=lambda row: (row["value"], row["number"]), default=None)


def best_settings(space, best, data):
    """Return what `train` needs for the best trial: dict of name to value."""
    drawn = {name: best[name] for name in [*space.searched, "seed"]}
    return {**space.fixed, "data": str(data), **drawn, "epochs": best["best_epoch"]}


def write_tables(folder, space, found, data):
    """Write ``trials.csv`` and, where a trial is complete, ``best.toml``."""
    if not found:
        return
    table = io.StringIO()
    lines = csv.DictWriter(table, found[0].keys())
    lines.writeheader()
    lines.writerows({name: _text(each) for name, each in row.items()} for row in found)
    _write(folder / "trials.csv", table.getvalue())
    best = best_of(found)
    if best:
        settings = config.as_toml(best_settings(space, best, data))
        cores = f"{best['cores']} core{'s' * (best['cores'] != 1)}"
        about = f"# Trial {best['number']} of a search, on {cores}: {best['value']} nats per step\n"
        _write(folder / "best.toml", about + settings)


def _write(path, text):
    with written_whole(path) as file:
        file.write(text.encode())


def _text(value):
    return " ".join(map(str, value)) if isinstance(value, list) else value


def table(space, found):
    """Return the best trials as a text of aligned columns, "" for none."""
    order = {"complete": 0, "pruned": 1}
    shown = [row for row in found if row["state"] in order]
    shown.sort(key=lambda row: (order[row["state"]], row["value"], row["number"]))
    if not shown:
        return ""
    names = ["number", "state", "value", "best_epoch", "epochs", "seconds", *space.searched]
    cells = [[name.replace("_", " ") for name in names]]
    for row in shown[:_MOST_ROWS]:
        cells.append([_short(row[name]) for name in names])
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths)) for row in cells)
    return "\n".join(lines)


def _short(value):
    if isinstance(value, list):
        return " ".join(map(_short, value))
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def write_plots(folder, study):
    """Draw Optuna's plots into PNG files, once two trials are complete; return their paths."""
    import matplotlib.pyplot as plt

    complete = study.get_trials(deepcopy=False, states=_complete())
    paths = []
    for name, draw in _PLOTS.items() if len(complete) > 1 else ():
        with plt.rc_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental, Optuna says
            figure: Any = draw(study)
            picture = io.BytesIO()
            figure.savefig(picture, format="png", dpi=120, bbox_inches="tight")
            plt.close(figure)
        paths.append(folder / f"{name}.png")
        with written_whole(paths[-1]) as file:
            file.write(picture.getvalue())
    return paths


def _complete():
    from optuna.trial import TrialState

    return (TrialState.COMPLETE,)


def _history(study):
    from optuna.visualization.matplotlib import plot_optimization_history

    return plot_optimization_history(study, target_name=_NATS).figure


def _importances(study):
    from optuna.visualization.matplotlib import plot_param_importances

    axes: Any = plot_param_importances(study)
    axes.get_legend().remove()  # of one thing
    return axes.figure


def _slice(study):
    from optuna.visualization.matplotlib import plot_slice

    axes: Any = plot_slice(study, target_name=_NATS)
    return np.ravel(axes)[0].figure


def _learning(study):
    from optuna.visualization.matplotlib import plot_intermediate_values

    axes: Any = plot_intermediate_values(study)
    axes.set(title="Best validation so far", xlabel="epoch", ylabel=_NATS)
    if len(axes.lines) > _MOST_NAMES:
        axes.get_legend().remove()
    return axes.figure


_PLOTS = {
    "history": _history,
    "importances": _importances,
    "slice": _slice,
    "learning": _learning,
}
FILES = ("trials.csv", "best.toml", *(f"{name}.png" for name in _PLOTS))
"""The names of all that is written here."""
