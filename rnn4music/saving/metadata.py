"""The metadata of a model: facts for other users, saved with the weights.

Conventions
-----------
Metadata are a dict of JSON values. ``trained_on`` is a list with a dict for each training: its
options, the size of the data, ``first_epoch``, the position of its first epoch in the model's
history, counted from 1, and ``n_epochs``, the number of epochs that it ran. (The option ``epochs``
is the number that was requested.) A file may hold anything under that name; anything but a list of
dicts is ignored.
"""

import json

TRAINED_ON = "trained_on"
READING = (
    "time_step", "steps_per_beat", "tempo", "sustain", "keep_short", "keep_silence", "to_c",
    "onsets", "bars",
)  # fmt: skip
"""Options that determine how music is read, besides the pitch range."""

BEATS, ACCENTS = "beats", "accents"
"""Tempo, metre and usual upbeat of the music, and how hard its notes are struck; for composing."""

LOG_ODDS = "log_odds"
"""The log-odds that a temperature leaves as they are when composing; see `generation`."""

_BEATS_PER_MINUTE = 120  # assumed where steps are parts of a beat and no tempo is given


def validate(metadata):
    """Return a copy of the metadata, or raise if they cannot be saved."""
    if not isinstance(metadata, dict):
        raise TypeError(f"metadata must be a dict, not {type(metadata).__name__}")
    try:
        return json.loads(json.dumps(metadata, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"metadata must hold text, finite numbers, lists and dicts: {error}"
        ) from None


def trainings(metadata):
    """Return the dicts of all trainings, the earliest first."""
    entries = metadata.get(TRAINED_ON)
    entries = entries if isinstance(entries, list) else []
    return [training for training in entries if isinstance(training, dict)]


def with_training(metadata, training, first_epoch, n_epochs):
    """Return the metadata with a training added.

    It replaces the last training if that has the same first epoch, as after an interruption, and
    extends the last training if that has the same options and data.
    """
    earlier = trainings(metadata)
    if earlier and earlier[-1].get("first_epoch") == first_epoch:
        earlier.pop()
    if earlier and {**earlier[-1], **training} == earlier[-1]:
        first = earlier.pop().get("first_epoch")
        if isinstance(first, int):
            first_epoch, n_epochs = first, n_epochs + first_epoch - first
    training = {**training, "first_epoch": first_epoch, "n_epochs": n_epochs}
    return {**metadata, TRAINED_ON: [*earlier, training]}


def step_in_seconds(options):
    """Return the length of a step, or None if the options give none."""
    if options.get("steps_per_beat"):
        beats = options.get(BEATS)
        tempo = beats.get("tempo") if isinstance(beats, dict) else None
        tempo = tempo or options.get("tempo") or _BEATS_PER_MINUTE
        return 60 / tempo / options["steps_per_beat"]
    return options.get("time_step")


def log_odds(metadata):
    """Return the log-odds that a temperature leaves as they are; 0 if the metadata lack them."""
    value = metadata.get(LOG_ODDS)
    return value if isinstance(value, (int, float)) and abs(value) <= 100 else 0.0


def of_music(music):
    """Return what composing takes over from a `data.Collection`: tempo, metre and accents.

    Empty for other music, and where its files do not say.
    """
    beats, accents = getattr(music, BEATS, None), getattr(music, ACCENTS, None)
    facts = {}
    if beats is not None:
        facts[BEATS] = {
            "tempo": round(beats.tempo, 3),
            "meter": [*beats.meter],
            "first_step": beats.first_step,
        }
    if accents is not None:
        facts[ACCENTS] = accents._asdict()
    return facts


def of_reading(music):
    """Return how a `data.Collection` was read, and `of_music`; None for other music."""
    options = getattr(music, "options", None)
    if options is None:
        return None
    facts = {name: options.get(name) for name in READING}
    facts |= {**of_music(music), "lowest_pitch": options["pitch_range"][0]}
    return {**facts, "time_step": step_in_seconds(facts)}


def with_reading(metadata, reading):
    """Return the metadata with what `of_reading` returned, where they say nothing themselves."""
    if reading is None:
        return metadata
    facts = dict(reading)
    if metadata.keys() & {"time_step", "steps_per_beat"}:
        for name in ("time_step", "steps_per_beat", BEATS):
            facts.pop(name, None)
    if "keep_short" in metadata:  # without keep_silence: an earlier version kept silence
        del facts["keep_silence"]
    return {**facts, **metadata}
