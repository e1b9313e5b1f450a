"""What a model's file says of itself: as facts for a page, as text, as a model card.

The functions take the file's name and what `model_file.read` returned, and load no engine.
"""

import re
from pathlib import Path

from rnn4music.saving.metadata import trainings

KNOWN = ("time_step", "lowest_pitch", "data", "licence", "trained_on")
_SIZES = ("h1_length", "h2_length", "h3_length")


def facts(name, content):
    """Return what is most worth knowing: dict of names to values."""
    settings, history, metadata = (content[part] for part in ("settings", "history", "metadata"))
    arrays = content["arrays"].items()
    n_weights = sum(array.size for key, array in arrays if key.startswith("parameters/"))
    units = ", ".join(str(settings[size]) for size in _SIZES)
    lowest = f" from MIDI pitch {metadata['lowest_pitch']} on" if "lowest_pitch" in metadata else ""
    found = {
        "File": Path(name).name,
        "Network": f"three LSTM layers with peepholes and skip connections: {units} units",
        "Keys": f"{settings['io_length']}{lowest}",
        "Weights": f"{n_weights:,}",
    }
    if "time_step" in metadata:
        found["Time step"] = f"{metadata['time_step']} s"
    if "data" in metadata:
        found["Data"] = metadata["data"]
    learned = [
        f"{training.get('dataset')}, validated on {training.get('validation') or 'nothing'}"
        for training in trainings(metadata)
    ]
    if learned:
        found["Learned from"] = "; then ".join(learned)
    cost, seconds = history.get("cost", []), history.get("seconds", [])
    found["Training"] = f"{len(cost):,} updates, {history.get('epochs', 0)} epochs"
    if seconds:
        found["Training"] += f", {_time(sum(seconds))}"
    validation = history.get("validation", [])
    begun = trainings(metadata)[-1].get("first_epoch") if learned else None
    first = begun if isinstance(begun, int) else 1  # scores of earlier data are of another kind
    scored = [(nats, k) for k, nats in enumerate(validation, 1) if nats and k >= first]
    if scored:
        nats, epoch = min(scored)
        found["Best validation"] = f"{nats:.3f} nats per step, after epoch {epoch}"
    if history.get("baseline"):
        found["Each key's own Markov chain"] = f"{history['baseline']:.3f} nats per step"
    found["Licence"] = metadata.get("licence") or "not given"
    return found


def text(name, content):
    """Return some lines for a terminal."""
    shown = {**facts(name, content), **_user_metadata(content), "": ""}
    shown |= content["settings"]
    if content["checkpoint"]:
        standing = content["checkpoint"]["standing"]
        shown |= {" ": "", "checkpoint": f"of a training: {standing['epoch']} epochs complete"}
    width = max(map(len, shown))
    lines = (f"{key:<{width}}  {value}".rstrip() for key, value in shown.items())
    return "\n".join(map(_printable, lines))


def markdown(name, content):
    """Return a model card: what it is, data, training, results, use, limits, licence."""
    found = facts(name, content)
    licence = found.pop("Licence")
    nats = [each for each in ("Best validation", "Each key's own Markov chain") if each in found]
    results = {each: found.pop(each) for each in nats}
    noted = trainings(content["metadata"])
    file, stem = found["File"], Path(name).stem
    parts = [
        f"# {_inline(stem)}",
        "A recurrent network that composes polyphonic music, made with rnn4music: it predicts "
        "which keys sound in the next time step from all steps before.",
        "## Model",
        _table({**found, **_user_metadata(content)}),
        "## Settings",
        _table(content["settings"]),
    ]
    for number, training in enumerate(noted, start=1):
        parts += [
            f"## Training {number}" if len(noted) > 1 else "## Training",
            _table(training),
        ]
    parts += [
        "## Results",
        _table(results) if results else "It was not validated while it was trained.",
        "Nats per step: the negative log-likelihood of the next step's keys, summed over the keys; "
        "lower is better. The tunes of the validation were not learned from, but the weights were "
        "chosen by them.",
        "## Use",
        f"```python\nfrom rnn4music.numpy_network import NumpyNetwork\n\n"
        f"network = NumpyNetwork.from_file({file!r})\n"
        f'tune, probabilities = network.gen_music(None, 300, sampling="systematic")\n```',
        "## Limits",
        "It knows the music that it learned from, and may repeat passages of it: compare with "
        "`rnn4music.evaluation.longest_copy` before you call a tune new. It knows no form beyond "
        "some bars, no loudness, and no notes shorter than its time step.",
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
    """Return a text that stays in its place in Markdown, and is no HTML."""
    value = " ".join(str(value).split())
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", value)


def _printable(line):
    """Return a line without what would move a terminal's cursor, or worse."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)


def _time(seconds):
    """Return seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
