"""What MIDI files say about their music besides the notes: tempo, metre, key, bars and accents.

Conventions
-----------
A key is that of `midi.Beats`: sharps, or flats as a negative number, and whether it is minor.
"""

from collections import Counter
from statistics import median
from typing import NamedTuple

import numpy as np

from midi.beats import Beats, checked_beats
from midi.text import count
from rnn4music.data.keys import sharps_of

_USUAL_METER = (4, 4)
BAR_COLUMNS = 24


class Notation(NamedTuple):
    """What a file says about its music; None for what it does not say.

    Attributes
    ----------
    tempo : float or None
        Quarter notes per minute in most of the music.
    meter : (int, int) or None
        Time signature of most of the music.
    n_meter_changes : int
    key : (int, bool) or None
        Key signature of most of the music.
    first_step : int or None
        Place of the roll's first step in its bar; None if the roll is read in seconds.
    velocities : tuple of int
        See `rnn4music.data.accents.counted`; empty also if the metre changes.
    """

    tempo: float | None = None
    meter: tuple[int, int] | None = None
    n_meter_changes: int = 0
    key: tuple[int, bool] | None = None
    first_step: int | None = None
    velocities: tuple = ()

    @classmethod
    def parsed(
        cls, tempo=None, meter=None, n_meter_changes=0, key=None, first_step=None, velocities=()
    ):
        """Return the notation in JSON text; raise TypeError or ValueError if it is invalid."""
        meter, key = (None if each is None else tuple(each) for each in (meter, key))
        usual = Beats(1)
        checked_beats(Beats(
            1, usual.tempo if tempo is None else tempo, usual.meter if meter is None else meter,
            key=key,
        ))  # fmt: skip
        numbers = n_meter_changes, 0 if first_step is None else first_step
        if not all(type(number) is int for number in (*numbers, *velocities)) or min(numbers) < 0:
            raise ValueError("the numbers must be whole, and the first of them from 0")
        return cls(tempo, meter, n_meter_changes, key, first_step, tuple(velocities))

    def beats(self, steps_per_beat):
        """Return the `Beats` of the roll, or None if it is read in seconds."""
        if self.first_step is None:
            return None
        tempo, meter = self.tempo or 120.0, self.meter or _USUAL_METER
        return Beats(steps_per_beat, tempo, meter, self.first_step, self.key)

    def transposed(self, semitones):
        """Return the notation of the transposed tune, with at most six sharps or five flats."""
        if self.key is None or semitones % 12 == 0:
            return self
        sharps, is_minor = self.key
        return self._replace(key=(sharps_of(sharps + 7 * semitones), is_minor))


def common_beats(notations, lengths, steps_per_beat):
    """Return the `Beats` to compose with, from those of tunes and their numbers of steps.

    The tempo is the median. The metre is the one of most steps; a file without a time signature is
    in 4/4, as the standard says. The key is that of more than half of the steps, if there is one.
    `first_step` is the place in the bar at which most tunes of the metre begin, since what is
    composed from silence begins as they do.
    """
    tempos = [notation.tempo for notation in notations if notation.tempo]
    meters, keys = Counter(), Counter()
    for notation, length in zip(notations, lengths):
        meters[notation.meter or _USUAL_METER] += int(length)
        keys[notation.key] += int(length)
    n_steps = sum(keys.values())
    meter = max(meters, key=meters.__getitem__, default=_USUAL_METER)
    key = max(keys, key=keys.__getitem__, default=None)
    key = key if 2 * keys[key] > n_steps else None
    places = Counter(
        each.first_step or 0 for each in notations if (each.meter or _USUAL_METER) == meter
    )
    first_step = max(sorted(places), key=places.__getitem__, default=0)
    tempo = round(median(tempos), 3) if tempos else 120.0
    return Beats(steps_per_beat, tempo, meter, first_step, key)


def bar_columns(beats, n_steps):
    """Return the place of each step in its bar, as a network's conditions.

    Parameters
    ----------
    beats : midi.Beats
        Of the roll. The beats of a bar are those that musicians count: two in 6/8.
    n_steps : int

    Returns
    -------
    (n_steps, BAR_COLUMNS) bool
        One of the first twelve columns is on for the twelfth of a beat in which the step begins,
        and one of the others for the beat; the last stands for all beats from the twelfth on.
    """
    bar, step = beats.steps_per_bar, np.arange(n_steps)
    # in parts of a step, of which a bar has a whole number
    place = (beats.first_step + step) * bar.denominator % bar.numerator
    beat, twelfth = np.divmod(place * beats.counts_per_bar * 12 // bar.numerator, 12)
    columns = np.zeros((n_steps, BAR_COLUMNS), bool)
    columns[step, twelfth] = columns[step, 12 + np.minimum(beat, 11)] = True
    return columns


def sentences(notations, in_beats):
    """Return lines on the metres, and for rolls by the beat on the tempos."""
    lines = []
    meters = Counter(notation.meter for notation in notations)
    n_without = meters.pop(None, 0)
    if meters:
        parts = [", ".join(
            f"{beats}/{unit} in {count(n, 'tune')}" for (beats, unit), n in meters.most_common()
        )]  # fmt: skip
        if n_without:
            parts.append(f"{count(n_without, 'tune')} without a time signature")
        if n_changing := sum(notation.n_meter_changes > 0 for notation in notations):
            parts.append(f"{count(n_changing, 'tune')} with several metres")
        lines.append(f"metre: {'; '.join(parts)}")
    tempos = [notation.tempo for notation in notations if notation.tempo]
    if tempos and in_beats:
        span = f", from {min(tempos):.0f} to {max(tempos):.0f}" if min(tempos) < max(tempos) else ""
        lines.append(f"tempo: {median(tempos):.0f} quarter notes per minute (median{span})")
    return lines
