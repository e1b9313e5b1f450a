"""The notation of composed tunes: tempo, metre, key and accents, from the start or the metadata.

Conventions
-----------
``metadata`` are those of a model; a file may hold anything in them. `reading` is its
`experiment.music.ReadingOptions`, and `start` the `experiment.music.Start` of a tune, or None.
"""

import numpy as np

from midi.beats import DENOMINATORS, LONGEST_BAR, Beats, checked_beats
from rnn4music._utils.console import log
from rnn4music.data.accents import Accents, velocities
from rnn4music.data.keys import find_key, key_signature, name_of_signature, transpose
from rnn4music.data.notation import bar_columns
from rnn4music.saving.metadata import ACCENTS, BEATS


def beats_of(metadata, reading, start=None, tempo=None, meter=None):
    """Return the `Beats` of a tune that is composed; None for a model that reads in seconds.

    Tempo and metre are those given, or those of the start, or those of the music that the model was
    trained on, as its metadata have them. The key is that of the start, None without one.

    Parameters
    ----------
    metadata : dict
        Of the model.
    reading : ReadingOptions
    start : Start, optional
    tempo : float, optional
        Quarter notes per minute.
    meter : (int, int), optional
    """
    steps_per_beat = reading.steps_per_beat
    if not steps_per_beat:
        return None
    learned = metadata.get(BEATS)
    learned = learned if isinstance(learned, dict) else {}
    beats = Beats(steps_per_beat, 60 / (reading.time_step * steps_per_beat))
    known = {name: learned[name] for name in ("tempo", "meter", "first_step") if name in learned}
    try:
        beats = checked_beats(beats._replace(**known))
    except (TypeError, ValueError) as error:
        raise ValueError(f"the model's metadata have invalid beats: {error}") from None
    if start is not None and start.beats is not None:
        beats = start.beats
    first_step, given = beats.first_step, {"tempo": tempo, "meter": meter}
    beats = beats._replace(**{name: value for name, value in given.items() if value is not None})
    beats = checked_beats(beats._replace(meter=tuple(beats.meter), first_step=0))
    return beats._replace(first_step=int(first_step % beats.steps_per_bar))


def with_bars(roll, beats, n_more=0):
    """Return a roll with the columns of `bar_columns`, and those of the `n_more` steps after it.

    Parameters
    ----------
    roll : (T, P)
    beats : Beats
        Of the roll.
    n_more : int

    Returns
    -------
    rows : (T, P + BAR_COLUMNS)
    conditions : (n_more, BAR_COLUMNS)
    """
    columns = bar_columns(beats, len(roll) + n_more)
    return np.hstack([roll, columns[: len(roll)]]), columns[len(roll) :]


def log_other_meter(metadata, beats):
    """Log that a tune is not in the metre of the music that the model learned, if it is not."""
    learned = metadata.get(BEATS)
    meter = learned.get("meter") if beats and isinstance(learned, dict) else None
    if meter and [*meter] != [*beats.meter]:
        was, now = (f"{n}/{unit}" for n, unit in (meter, beats.meter))
        log(f"the tune is in {now}; most of the music that the model learned is in {was}")


def learned_accents(metadata):
    """Return the `data.accents.Accents` in a model's metadata, or None."""
    facts = metadata.get(ACCENTS)
    try:
        mean, positions, heights = (np.array(facts[name], float) for name in Accents._fields[:3])
    except (KeyError, TypeError, ValueError):  # a file may hold anything
        return None
    is_whole = mean.ndim == 0 and positions.ndim == 1 and heights.shape == (3,)
    if not is_whole or not all(map(np.all, map(np.isfinite, (mean, positions, heights)))):
        return None
    meter = facts.get("meter")
    meter = meter if isinstance(meter, list) else None
    return Accents(float(mean), positions.tolist(), heights.tolist(), meter)


def with_key(beats, roll, reading):
    """Return beats with the key that is found in a composed roll, unless the start gave one."""
    if beats is None or beats.key is not None:
        return beats
    key = find_key(roll, reading.pitch_range[0], onsets=reading.onsets)
    return beats._replace(key=key and key_signature(key))


def velocities_of(metadata, reading, beats, roll, start=None):
    """Return the velocities of the start, as played, and of a roll, as in the model's music."""
    accents = learned_accents(metadata)
    if start is None:
        return velocities(roll, beats, accents, onsets=reading.onsets)
    given, played = (
        transpose(each, -start.semitones, onsets=has_onsets)
        for each, has_onsets in ((start.roll, reading.onsets), (start.velocity, False))
    )
    whole = velocities(np.vstack([given, roll]), beats, accents, onsets=reading.onsets)
    whole[: len(played)] = np.where(played > 0, played, whole[: len(played)])
    return whole


def parsed_meter(text):
    """Return the time signature that ``--meter`` gives, or None."""
    if text is None:
        return None
    numbers = [int(part) if part.isdecimal() else 0 for part in text.split("/")]
    if len(numbers) != 2 or not 1 <= numbers[0] <= LONGEST_BAR or numbers[1] not in DENOMINATORS:
        allowed = ", ".join(map(str, DENOMINATORS))
        raise ValueError(
            f"--meter must be a time signature such as 3/4, with 1 to {LONGEST_BAR} of {allowed}, "
            f"but is {text!r}"
        )
    return tuple(numbers)


def in_words(beats):
    """Return the tempo, the metre and the key for people."""
    key = f", {name_of_signature(beats.key)}" if beats.key else ""
    return f"{beats.tempo:.4g} quarter notes per minute, {beats.meter[0]}/{beats.meter[1]}{key}"
