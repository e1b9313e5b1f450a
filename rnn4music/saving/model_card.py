"""Summaries of a model file: facts for a page, text for a terminal, a model card in Markdown.

The functions take the file's name and the content that `model_file.read` returned. They load no
engine.
"""

import re
from pathlib import Path

from rnn4music.saving.metadata import TRAINED_ON, trainings

KNOWN = ("time_step", "lowest_pitch", "data", "licence", TRAINED_ON)
_BEST, _BASELINE = "Best validation", "Each pitch's own Markov chain"


def facts(name, content):
    """Return the most important properties: a dict of names to values."""
    settings, history, metadata = (content[part] for part in ("settings", "history", "metadata"))
    arrays = content["arrays"].items()
    n_weights = sum(array.size for key, array in arrays if key.startswith("parameters/"))
    units = ", ".join(str(settings[f"h{n}_length"]) for n in (1, 2, 3))
    lowest = f" from MIDI pitch {metadata['lowest_pitch']} on" if "lowest_pitch" in metadata else ""
    past = trainings(metadata)
    trained_on = (
        f"{training.get('dataset')}, validated on {training.get('validation') or 'nothing'}"
        for training in past
    )
    cost, seconds = history.get("cost", []), sum(s or 0 for s in history.get("seconds", []))
    duration = f", {_time(seconds)}" if seconds else ""
    first = past[-1].get("first_epoch") if past else None
    first = first if isinstance(first, int) else 1  # scores on other data cannot be compared
    validation = enumerate(history.get("validation", []), start=1)
    best, epoch = min(((n, k) for k, n in validation if n and k >= first), default=(None, None))
    baseline = history.get("baseline")
    properties = {
        "File": Path(name).name,
        "Network": f"three LSTM layers with peepholes and skip connections: {units} units",
        "Pitches": f"{settings['io_length']}{lowest}",
        "Weights": f"{n_weights:,}",
        "Time step": f"{metadata['time_step']} s" if "time_step" in metadata else None,
        "Data": metadata.get("data"),
        "Trained on": "; then ".join(trained_on) or None,
        "Training": f"{len(cost):,} updates, {history.get('epochs', 0)} epochs{duration}",
        _BEST: f"{best:.3f} nats per step, after epoch {epoch}" if best else None,
        _BASELINE: f"{baseline:.3f} nats per step" if baseline else None,
        "Licence": metadata.get("licence") or "not given",
    }
    return {name: value for name, value in properties.items() if value is not None}


def text(name, content):
    """Return lines for a terminal, with control characters escaped."""
    shown = {**facts(name, content), **_user_metadata(content), "": "", **content["settings"]}
    if content["checkpoint"]:
        n_epochs = content["checkpoint"]["state"]["epoch"]
        shown |= {" ": "", "checkpoint": f"of a training: {n_epochs} epochs complete"}
    width = max(map(len, shown))
    lines = [f"{key:<{width}}  {value}".rstrip() for key, value in shown.items()]
    return "\n".join(
        "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line) for line in lines
    )


def markdown(name, content):
    """Return a model card: model, settings, training, results, use, limits, licence."""
    properties, past = facts(name, content), trainings(content["metadata"])
    licence = properties.pop("Licence")
    results = {key: properties.pop(key) for key in (_BEST, _BASELINE) if key in properties}
    parts = [
        f"# {_inline(Path(name).stem)}",
        "A recurrent network that composes polyphonic music, made with rnn4music: it predicts "
        "which pitches sound in the next time step from all steps before.",
        "## Model",
        _table({**properties, **_user_metadata(content)}),
        "## Settings",
        _table(content["settings"]),
    ]
    for number, training in enumerate(past, start=1):
        parts += [f"## Training{f' {number}' if len(past) > 1 else ''}", _table(training)]
    parts += [
        "## Results",
        _table(results) if results else "Training had no validation set.",
        "Nats per step: the negative log-likelihood of the next step's pitches, summed over the "
        "pitches; lower is better. The validation set was not used for training, but for choosing "
        "the weights.",
        "## Use",
        "```python\nfrom rnn4music import NumpyNetwork\n\n"
        f"network = NumpyNetwork.from_file({properties['File']!r})\n"
        "tune, probabilities = network.gen_music(\n"
        '    None, 300, sampling="systematic", threshold=0.02\n)\n```',
        "## Limits",
        "It may repeat passages of its training set: check a tune with "
        "`rnn4music.evaluation.longest_copy` before you call it new. It has learned no form "
        "beyond a few bars, no dynamics, and no notes shorter than its time step.",
        "## Licence",
        _inline(licence),
    ]
    return "\n\n".join(parts)


def _user_metadata(content):
    metadata = content["metadata"].items()
    return {
        key: value for key, value in metadata if key not in KNOWN and value not in (None, False)
    }


def _table(rows):
    lines = [f"| {_inline(key)} | {_inline(value)} |" for key, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _inline(value):
    """Return a value as one line of Markdown, with Markdown and HTML escaped."""
    value = " ".join(str(value).split())
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", value)


def _time(seconds):
    """Return a duration in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
