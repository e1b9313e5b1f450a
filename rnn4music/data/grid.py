"""Choosing steps that fit the music: parts of a quarter note, or seconds.

Conventions
-----------
A file's onsets lie on the *grid* of n steps per quarter note if they are at most an eighth of a
step from lines that are a step apart, wherever the first line is. (A file that begins with a grace
note has all lines later by its length.) By chance a quarter of the onsets do. A file is a *score*
if at least 70 % of its onsets lie on one of `GRIDS`, and otherwise a *performance*, whose notes do
not follow its quarter notes. Each file counts by its number of notes, at most by twice the median.

If scores have the greater part of this weight, the grid is the coarsest of `GRIDS` that at least
95 % as many onsets lie on as on the best of them. Ornaments, which lie on none, therefore do not
turn scores into performances. If performances have the greater part, the step is the longest of
`TIME_STEPS` at which at least 95 % of their notes have a frame and an onset of their own. With
`keep_short` a note between two frames has the earlier one.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from midi import MidiError
from midi.reading import read_bytes
from midi.text import count

GRIDS = (1, 2, 3, 4, 6, 8, 12)
TIME_STEPS = (0.3, 0.2, 0.15, 0.1, 0.05)
ENOUGH = 0.95
MOST_FILES = 500  # that are read to choose
_SCORE = 0.7
_WIDTH = 1 / 4  # of a step: a line and an eighth on both sides
_ROUNDING = 1e-9


class Grid(NamedTuple):
    """The steps chosen for a collection, and the reasons.

    Attributes
    ----------
    steps_per_beat : int or None
        Steps per quarter note; None for performances.
    time_step : float or None
        Seconds per step; None for scores.
    shares : dict of int to float
        Share of the onsets that lie on each grid, in the files of the chosen kind.
    kept : dict of float to float
        Share of the notes with a frame and an onset of their own, by time step; empty for scores.
    n_scores, n_performances : int
        Numbers of files by kind.
    n_notes : int
        Notes of the files of the chosen kind.
    n_files, n_measured : int
        Numbers of files in the collection, and of those that were read to choose.
    """

    steps_per_beat: int | None
    time_step: float | None
    shares: dict
    kept: dict
    n_scores: int
    n_performances: int
    n_notes: int
    n_files: int
    n_measured: int

    def sentence(self):
        """Return what was chosen and why."""
        if not self.n_notes:
            return f"steps of {self.time_step:g} s: no file has notes to choose by"
        if self.steps_per_beat:
            chosen, shares, unit = self.steps_per_beat, self.shares, "per beat"
            step, why = f"{count(chosen, 'step')} per beat", "of the note onsets lie on them"
            n_chosen, others = self.n_scores, count(self.n_performances, "performance")
        else:
            chosen, shares, unit = self.time_step, self.kept, "s"
            step, why = f"steps of {chosen:g} s", "of the notes have a step of their own"
            n_chosen, others = self.n_performances, count(self.n_scores, "score")
        coarser = [*shares][: [*shares].index(chosen)]
        best = [max(coarser, key=shares.__getitem__)] if coarser else []
        parts = [f"{value:g} {unit}: {shares[value]:.0%}" for value in best]
        kind = "score" if self.steps_per_beat else "performance"
        parts.append(f"{count(self.n_notes, 'note')} in {count(n_chosen, kind)}")
        if self.n_scores and self.n_performances:
            parts.append(f"{others} in the same folder")
        if self.n_measured < self.n_files:
            parts.append(f"from {self.n_measured:,} of {self.n_files:,} files")
        return f"{step}: {shares[chosen]:.0%} {why} ({'; '.join(parts)})"


class Onsets(NamedTuple):
    """How a file's notes lie on grids, or in seconds if it is a performance."""

    n_notes: int
    shares: tuple  # on each of `GRIDS`; zeros if it has no quarter notes
    kept: tuple  # at each of `TIME_STEPS`; zeros for a score

    @property
    def is_score(self):
        """Whether the notes follow the quarter notes."""
        return max(self.shares) >= _SCORE


def choose(measured, n_files):
    """Return the `Grid` for the `Onsets` of files; None stands for a file without notes."""
    files = [each for each in measured if each is not None]
    if not files:
        return Grid(None, TIME_STEPS[0], {}, {}, 0, 0, 0, n_files, len(measured))
    n_notes = np.array([each.n_notes for each in files])
    weight = np.minimum(n_notes, 2 * np.median(n_notes))
    is_score = np.array([each.is_score for each in files])
    in_beats = weight[is_score].sum() >= weight[~is_score].sum()
    chosen = is_score if in_beats else ~is_score
    shares = _means(GRIDS, [each.shares for each in files], weight * chosen)
    steps = time_step = None
    kept = {}
    if in_beats:
        enough = ENOUGH * max(shares.values())
        steps = next(grid for grid in GRIDS if shares[grid] >= enough)
    else:
        kept = _means(TIME_STEPS, [each.kept for each in files], weight * chosen)
        time_step = next((step for step in TIME_STEPS if kept[step] >= ENOUGH), TIME_STEPS[-1])
    n_scores, n_chosen = int(is_score.sum()), int(n_notes[chosen].sum())
    n_performances = len(files) - n_scores
    found = n_scores, n_performances, n_chosen, n_files, len(measured)
    return Grid(steps, time_step, shares, kept, *found)


def _means(values, shares, weight):
    return dict(zip(values, (weight @ np.array(shares) / weight.sum()).tolist()))


def measure(data, options):
    """Return the `Onsets` of a MIDI file's bytes, or None if it has no notes or cannot be read.

    `options` are those of `midi.reading`, of which the steps are not used.
    """
    plain = options._replace(step=Fraction(1), in_beats=False, most_silence=None)
    shares = (0.0,) * len(GRIDS)
    try:
        beats = plain._replace(tempo=Fraction(60))  # a quarter note lasts a second
        notes = read_bytes(data, beats, bool).notes
        start = np.array([note.start for note in notes])
        if notes:
            shares = tuple(share_on_grid(start, grid) for grid in GRIDS)
    except MidiError:
        notes = []  # perhaps it has no quarter notes
    found = Onsets(len(notes), shares, (0.0,) * len(TIME_STEPS))
    if notes and found.is_score:
        return found
    try:
        notes = read_bytes(data, plain, bool).notes
    except MidiError:
        return None
    if not notes:
        return None
    kept = tuple(share_kept(notes, step, options.keep_short) for step in TIME_STEPS)
    return Onsets(len(notes), shares, kept)


def share_on_grid(onsets, steps_per_beat):
    """Return the share of onsets, in quarter notes, that lie on a grid wherever it begins."""
    place = np.sort(onsets * steps_per_beat % 1)
    around = np.concatenate([place, place + 1])  # the place before a line is next to 0
    behind = np.searchsorted(around, place + _WIDTH - _ROUNDING)
    return float((behind - np.arange(len(place))).max() / len(place))


def share_kept(notes, time_step, keep_short=False):
    """Return the share of the notes with a frame and an onset of their own in a roll.

    Notes of one pitch that begin together count once.
    """
    pitch, start, end = np.array(notes).T
    first, stop = (np.ceil(each / time_step - _ROUNDING) for each in (start, end))
    if keep_short:
        first = np.where(first < stop, first, np.floor(start / time_step + _ROUNDING))
    is_on = (first < stop) & (start < end)
    own = set(zip(pitch[is_on].tolist(), first[is_on].tolist()))
    return len(own) / len(set(zip(pitch.tolist(), start.tolist())))
