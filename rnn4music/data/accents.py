"""Accents: how hard notes are struck by their place in the bar and in the chord, counted in files.

Conventions
-----------
The *position* of a note is the step of its bar in which it is struck. Without bars, as in rolls in
seconds or where a bar is not a whole number of steps, all notes have position 0. Its *height* is
its place among the pitches that sound then: 0 the lowest, 1 inner, 2 the highest or the only one.

A velocity is taken as the mean of its bar (without bars, of 16 steps), a deviation by position,
and one by height. Loud and soft passages thus do not count as accents. The deviations are least
squares over the notes of all files, each with a penalty as if `SHRINK` more notes had none, so that
places with few notes stay near the mean. A file in which more than 90 % of the notes have one
velocity says nothing of accents and is not counted.
"""

from typing import NamedTuple

import numpy as np

from midi.writing import USUAL_VELOCITY
from rnn4music.data.pianoroll import halves

SHRINK = 500  # notes; with fewer, other pieces of the same composer fit worse
_HEIGHTS = 3
_NO_BAR = 16  # steps that are compared without bars
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
    """

    mean: float
    positions: list
    heights: list


def velocities(roll, beats=None, accents=None, *, onsets=False):
    """Return a velocity for each cell of a roll, for `midiwrite`.

    Parameters
    ----------
    roll : (T, P), or (T, 2P) with `onsets`
    beats : midi.Beats, optional
        How the steps lie in bars. Bars of another number of steps than those of the accents have
        no deviations by position.
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
    if len(by_position) != period:
        by_position = np.zeros(period)
    first_step = beats.first_step if beats else 0
    position = (first_step + np.arange(len(sounding))) % period
    height = np.array(accents.heights)[_heights(sounding)]
    value = accents.mean + by_position[position, np.newaxis] + height
    return np.clip(np.rint(value), 1, 127).astype(int)


def period_of(beats):
    """Return the number of positions: the steps of a bar, or 1."""
    steps = beats.steps_per_bar if beats else 1
    return int(steps) if steps == int(steps) else 1


def counted(sounding, velocity_roll, beats=None):
    """Count a file's velocities by position and height.

    Parameters
    ----------
    sounding : (T, P)
    velocity_roll : (T, P)
        The velocities of the struck cells, 0 elsewhere.
    beats : midi.Beats, optional

    Returns
    -------
    tuple of int
        The sum of the velocities, then for each position and each height the number of notes and
        the sum of their deviations from the means of their bars, in tenths. Empty if the velocities
        are too much alike.
    """
    step, column = np.nonzero(velocity_roll)
    velocity = velocity_roll[step, column].astype(int)
    if not len(velocity) or np.bincount(velocity).max() > _MOST_ALIKE * len(velocity):
        return ()
    height, period = _heights(sounding)[step, column], period_of(beats)
    step += beats.first_step if beats else 0
    bar = step // (period if period > 1 else _NO_BAR)
    of_bar = np.bincount(bar, velocity) / np.maximum(np.bincount(bar), 1)
    place, n_places = step % period * _HEIGHTS + height, period * _HEIGHTS
    n_notes = np.bincount(place, minlength=n_places)
    deviation = _PARTS * np.bincount(place, velocity - of_bar[bar], n_places)
    pairs = np.stack([n_notes, np.rint(deviation).astype(int)], axis=1)
    return int(velocity.sum()), *pairs.ravel().tolist()


def learned(counts, period):
    """Return the `Accents` of files from what `counted` returned, or None if none has accents."""
    counts = [each for each in counts if len(each) == 1 + 2 * _HEIGHTS * period]
    if not counts:
        return None
    total, *pairs = np.sum(counts, axis=0, dtype=float)
    weight, deviation = np.moveaxis(np.reshape(pairs, (period, _HEIGHTS, 2)), -1, 0)
    deviation = deviation / _PARTS
    system = np.block([
        [np.diag(weight.sum(1) + SHRINK), weight],
        [weight.T, np.diag(weight.sum(0) + SHRINK)],
    ])  # fmt: skip
    solution = np.linalg.solve(system, np.concatenate([deviation.sum(1), deviation.sum(0)]))
    rounded = np.round(solution, 2).tolist()
    return Accents(round(float(total / weight.sum()), 2), rounded[:period], rounded[period:])


def _heights(sounding):
    """Return the height of each cell (T, P) among the sounding ones of its row."""
    is_on = np.asarray(sounding) > 0
    n_lower, n_on = np.cumsum(is_on, axis=1) - is_on, is_on.sum(axis=1, keepdims=True)
    return np.where(n_lower >= n_on - 1, 2, np.where(n_lower == 0, 0, 1))
