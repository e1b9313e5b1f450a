"""Summaries of a model file: facts for a page, text for a terminal, a model card in Markdown.

The functions take the file's name and the content that `model_file.read` returned. They load no
engine.
"""

import re
from pathlib import Path

from midi.beats import Beats, checked_beats
from midi.pitches import pitch_name
from midi.text import count, printable
from rnn4music.saving.metadata import ACCENTS, BEATS, LOG_ODDS, TRAINED_ON, trainings

KNOWN = (
    "time_step", "steps_per_beat", "tempo", "sustain", "keep_short", "keep_silence", "keys", "to_c",
    "lowest_pitch", "onsets", BEATS, ACCENTS, "data", "licence", "training_tunes", "baseline",
    "training_statistics", "training_passages", "bars", LOG_ODDS, TRAINED_ON,
)  # fmt: skip
"""Metadata that are shown under another name, or not at all."""

_BEST, _BASELINE = "Best validation", "Each pitch's own Markov chain"
_KEYS = {"all": "each tune in all twelve keys", "c": "transposed to C major or A minor"}


def facts(name, content):
    """Return the most important properties: a dict of names to values."""
    settings, history, metadata = (content[part] for part in ("settings", "history", "metadata"))
    arrays = content["arrays"].items()
    n_weights = sum(array.size for key, array in arrays if key.startswith("parameters/"))
    units = ", ".join(str(settings[f"h{n}_length"]) for n in (1, 2, 3))
    chords = settings.get("chord_units")
    output = "independent pitches" if chords is None else f"chords, {count(chords, 'chord unit')}"
    keys = _keys(metadata)
    trained_on = [
        f"{music(training.get('dataset'), keys)}, "
        f"validated on {music(training.get('validation') or 'nothing')}"
        for training in trainings(metadata)
    ]
    cost, epochs = history.get("cost", []), history.get("epochs", 0)
    seconds = sum(s or 0 for s in history.get("seconds", []))
    duration = f", {_time(seconds)}" if seconds else ""
    best, epoch, baseline = best_validation(content)
    properties = {
        "File": Path(name).name,
        "Network": f"three LSTM layers with peepholes and skip connections: {units} units",
        "Output": output,
        "Pitches": _pitches(settings["io_length"], metadata),
        "Told of a step": "its place in the bar" if metadata.get("bars") else None,
        "Weights": f"{n_weights:,}",
        "Time step": _step(metadata),
        "Music": metadata.get("data"),
        "Read with": _reading(metadata, keys) or None,
        "Trained on": "; then ".join(trained_on) or None,
        "Training": f"{count(len(cost), 'update')}, {count(epochs, 'epoch')}{duration}",
        _BEST: f"{best:.3f} nats per step, after epoch {epoch}" if best else None,
        _BASELINE: f"{baseline:.3f} nats per step" if baseline else None,
        "Licence": metadata.get("licence") or "not given",
    }
    return {name: value for name, value in properties.items() if value is not None}


def best_validation(content):
    """Return the best validation of the last training, its epoch, and the baseline, or None each.

    Scores of earlier trainings, on other tunes, cannot be compared.
    """
    history, past = content["history"], trainings(content["metadata"])
    first = past[-1].get("first_epoch") if past else None
    first = first if isinstance(first, int) else 1
    validation = enumerate(history.get("validation", []), start=1)
    best, epoch = min(((n, k) for k, n in validation if n and k >= first), default=(None, None))
    return best, epoch, history.get("baseline")


def music(extent, keys="own"):
    """Return the extent of some music, such as "24 tunes, 2400 steps", for people.

    With the keys "all", a tune that was read once counts once.
    """
    found = re.fullmatch(r"(\d+) tunes?, (\d+) steps?", str(extent))
    if not found:
        return str(extent)
    n_tunes, n_steps = map(int, found.groups())
    if keys == "all" and n_tunes % 12 == 0:
        return f"{count(n_tunes // 12, 'tune')} in twelve keys, {count(n_steps, 'step')} in all"
    return f"{count(n_tunes, 'tune')}, {count(n_steps, 'step')}"


def _keys(metadata):
    return metadata.get("keys") or ("c" if metadata.get("to_c") else "own")


def _pitches(width, metadata):
    lowest, has_onsets = metadata.get("lowest_pitch"), bool(metadata.get("onsets"))
    n_pitches, onsets = width // (1 + has_onsets), ", sounding and struck" * has_onsets
    if not isinstance(lowest, int) or not 0 <= lowest <= 128 - n_pitches:
        return f"{n_pitches}{onsets}"
    highest = lowest + n_pitches - 1
    return (
        f"{n_pitches}, {pitch_name(lowest)} ({lowest}) to {pitch_name(highest)} ({highest}){onsets}"
    )


def _step(metadata):
    """Return the length of a step: a part of a beat, where it is one, and seconds."""
    per_beat, seconds = metadata.get("steps_per_beat"), metadata.get("time_step")
    if isinstance(per_beat, (int, float)) and per_beat:
        return f"{per_beat:g} steps per beat (quarter note){_beats(metadata.get(BEATS))}"
    return None if seconds is None else f"{seconds} s"


def _beats(beats):
    """Return the tempo and the metre of the music, after a comma."""
    try:
        beats = checked_beats(Beats(1, beats["tempo"], tuple(beats["meter"])))
    except (TypeError, ValueError, KeyError):  # a file may hold anything
        return ""
    return f", at {beats.tempo:g} quarter notes per minute in {beats.meter[0]}/{beats.meter[1]}"


def _reading(metadata, keys):
    """Return how tunes were read, where that differs from the defaults."""
    tempo = metadata.get("tempo")
    parts = [
        f"all tunes at {tempo} beats a minute" if tempo else "",
        "the sustain pedal" if metadata.get("sustain") else "",
        "short notes kept" if metadata.get("keep_short") else "",
        "silence kept" if metadata.get("keep_silence") else "",
        _KEYS.get(str(keys), ""),
    ]
    return ", ".join(part for part in parts if part)


def text(name, content):
    """Return lines for a terminal, with control characters escaped."""
    shown = {**facts(name, content), **_user_metadata(content)}
    shown |= {"": "", "Arguments of RNN4Music": "", **content["settings"]}
    if content["checkpoint"] is not None:
        n_epochs = content["checkpoint"]["state"]["epoch"]
        complete = f"{count(n_epochs, 'epoch')} complete"
        shown |= {" ": "", "Checkpoint": f"of a training: {complete}"}
    width = max(map(len, shown))
    lines = [f"{key:<{width}}  {value}".rstrip() for key, value in shown.items()]
    return "\n".join(map(printable, lines))


def markdown(name, content):
    """Return a model card: model, settings, training, results, use, limits, licence."""
    properties, past = facts(name, content), trainings(content["metadata"])
    licence, keys = properties.pop("Licence"), _keys(content["metadata"])
    results = {key: properties.pop(key) for key in (_BEST, _BASELINE) if key in properties}
    has_chords = content["settings"].get("chord_units") is not None
    options = "" if has_chords else ', sampling="systematic"'
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
        extents = {k: music(training[k], keys) for k in ("dataset", "validation") if k in training}
        parts += [f"## Training{f' {number}' if len(past) > 1 else ''}"]
        parts += [_table({**training, **extents})]
    parts += [
        "## Results",
        _table(results) if results else "Training had no validation set.",
        "Nats per step: the negative log-likelihood of the next step's pitches, summed over the "
        "pitches; lower is better. The validation set was not used for training, but for choosing "
        "the weights.",
        "## Use",
        "```python\nfrom rnn4music import NumpyNetwork\n\n"
        f"network = NumpyNetwork.from_file({properties['File']!r})\n"
        f"tune, probabilities = network.gen_music(None, 300{options})\n```\n\n"
        "Notes of a probability up to the threshold in the settings never sound; the argument "
        "`threshold` overrides it.",
        "## Limits",
        "It may repeat passages of its training set: check a tune with "
        "`rnn4music.evaluation.longest_copy` before you call it new. It has learned no form "
        "beyond a few bars, no dynamics but accents, and no notes shorter than its time step.",
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
