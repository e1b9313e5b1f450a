"""Accents: how hard notes are struck by their place in the bar and in the chord, counted in files.

Conventions
-----------
The *position* of a note is the step of its bar in which it is struck. Without bars, as in rolls in
seconds or where a bar is not a whole number of steps from 1 to 500, all notes have position 0. Its
*height* is its place among the pitches that sound then: 0 the lowest, 1 inner, 2 the highest or the
only one.

A velocity is taken as the mean of its bar (without bars, of 16 steps), a deviation by position,
and one by height. Loud and soft passages thus do not count as accents. The deviations are least
squares over the notes of all files, each with a penalty as if `SHRINK` more notes had none, so that
places with few notes stay near the mean. A file in which more than 90 % of the notes have one
velocity says nothing of accents and is not counted.
"""

from typing import NamedTuple

import numpy as np

from midi.onsets import are_sounding
from midi.writing import USUAL_VELOCITY
from rnn4music.data.pianoroll import halves

SHRINK = 500  # notes; with fewer, other pieces of the same composer fit worse
_HEIGHTS = 3
_NO_BAR = 16  # steps that are compared without bars
_MOST_POSITIONS = 500  # 4/4 with 125 steps per beat; each file has six numbers for each
_PARTS = 10  # of a unit of velocity
_MOST_ALIKE = 0.9  # of the notes of a file that has accents


class Accents(NamedTuple):
    """The mean velocity and the deviations from it; as a dict it can be written as JSON.

    Attributes
    ----------
    mean : float
    positions : list of float
        Deviation at each step of a bar.
    heights : list of float
        Deviation of the lowest, the inner, and the highest notes of a chord.
    meter : list of int, or None
        The metre of the bars, such as [3, 4]; None without bars.
    """

    mean: float
    positions: list
    heights: list
    meter: list | None = None


def velocities(roll, beats=None, accents=None, *, onsets=False):
    """Return a velocity for each cell of a roll, for `midiwrite`.

    Parameters
    ----------
    roll : (T, P), or (T, 2P) with `onsets`
    beats : midi.Beats, optional
        How the steps lie in bars. Bars of another metre or number of steps than those of the
        accents have no deviations by position.
    accents : Accents, optional
        By default all velocities are 90.

    Returns
    -------
    (T, P) int
        From 1 to 127.
    """
    sounding, _ = halves(np.asarray(roll), onsets)
    if accents is None:
        return np.full(sounding.shape, USUAL_VELOCITY)
    period = period_of(beats)
    by_position = np.array(accents.positions)
    is_other = beats and period > 1 and accents.meter and [*beats.meter] != [*accents.meter]
    if is_other or len(by_position) != period:
        by_position = np.zeros(period)
    first_step = beats.first_step if beats else 0
    position = (first_step + np.arange(len(sounding))) % period
    height = np.array(accents.heights)[_heights(sounding, *np.indices(sounding.shape))]
    value = accents.mean + by_position[position, np.newaxis] + height
    return np.clip(np.rint(value), 1, 127).astype(int)


def period_of(beats):
    """Return the number of positions: the steps of a bar, or 1."""
    steps = beats.steps_per_bar if beats else 1
    return int(steps) if steps == int(steps) and steps <= _MOST_POSITIONS else 1


def counted(sounding, step, column, velocity, beats=None):
    """Count a file's velocities by position and height.

    Parameters
    ----------
    sounding : (T, P) bool
    step, column, velocity : (number of struck cells,) int
    beats : midi.Beats, optional

    Returns
    -------
    tuple of int
        The sum of the velocities, then for each position and each height the number of notes and
        the sum of their deviations from the means of their bars, in tenths. Empty if the velocities
        are too much alike.
    """
    if not len(velocity) or np.bincount(velocity).max() > _MOST_ALIKE * len(velocity):
        return ()
    height, period = _heights(sounding, step, column), period_of(beats)
    step = step + (beats.first_step if beats else 0)
    bar = step // (period if period > 1 else _NO_BAR)
    of_bar = np.bincount(bar, velocity) / np.maximum(np.bincount(bar), 1)
    place, n_places = step % period * _HEIGHTS + height, period * _HEIGHTS
    n_notes = np.bincount(place, minlength=n_places)
    deviation = _PARTS * np.bincount(place, velocity - of_bar[bar], n_places)
    pairs = np.stack([n_notes, np.rint(deviation).astype(int)], axis=1)
    return int(velocity.sum()), *pairs.ravel().tolist()


def learned(counts, beats=None):
    """Return the `Accents` of files from what `counted` returned, or None if none has accents."""
    period = period_of(beats)
    counts = [each for each in counts if len(each) == 1 + 2 * _HEIGHTS * period]
    if not counts:
        return None
    total, *pairs = np.sum(counts, axis=0, dtype=float)
    weight, deviation = np.moveaxis(np.reshape(pairs, (period, _HEIGHTS, 2)), -1, 0)
    deviation = deviation / _PARTS
    # the normal equations of the positions give these in terms of the heights
    share = (weight / (weight.sum(1, keepdims=True) + SHRINK)).T
    system = np.diag(weight.sum(0) + SHRINK) - share @ weight
    heights = np.linalg.solve(system, deviation.sum(0) - share @ deviation.sum(1))
    positions = (deviation.sum(1) - weight @ heights) / (weight.sum(1) + SHRINK)
    positions, heights = (np.round(each, 2).tolist() for each in (positions, heights))
    mean = round(float(total / weight.sum()), 2)
    return Accents(mean, positions, heights, [*beats.meter] if beats and period > 1 else None)


def _heights(roll, step, column):
    """Return the heights of cells of a roll (T, P) that sound; any value for others."""
    is_on = are_sounding(roll)
    lowest, highest = is_on.argmax(axis=1), is_on.shape[1] - 1 - is_on[:, ::-1].argmax(axis=1)
    return np.where(column == highest[step], 2, np.where(column == lowest[step], 0, 1))
