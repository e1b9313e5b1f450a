"""`midiread`: a MIDI file as a piano roll.

Conventions
-----------
T is the number of frames, P the number of pitches of the half-open pitch range. A note
that sounds from `start` to `end` seconds is on in every frame k with
start <= k dt < end, evaluated exactly.
"""

from __future__ import annotations

import operator
import os
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, SupportsIndex

import numpy as np

from .errors import MidiError
from .events import read_events
from .notes import Note, pair_notes
from .timing import TimeStep, exact_time_step, scaled_ceil, timeline

_MOST_CELLS = 10**9


@dataclass(frozen=True, eq=False)
class MidiContent:
    """What `midiread` found in a file.

    Attributes
    ----------
    piano_roll : (T, P) float32
        1 where a note is on, 0 elsewhere.
    notes : list of Note
        Pitch, start and end in seconds of each note of the roll, by start, then pitch.
    n_out_of_range, n_never_ended, n_drums : int
        How many notes were left out: with a pitch outside the range, without an end,
        on the drum channel (10). A note counts once, the last of these reasons first.
    """

    piano_roll: np.ndarray
    n_out_of_range: int
    n_never_ended: int
    n_drums: int
    _pitch: np.ndarray = field(repr=False)
    _start: np.ndarray = field(repr=False)
    _end: np.ndarray = field(repr=False)

    @cached_property
    def notes(self) -> list[Note]:
        """The notes of the roll, made when first asked for: it takes longer than the roll."""
        columns = (self._pitch.tolist(), self._start.tolist(), self._end.tolist())
        return sorted(map(Note, *columns), key=operator.attrgetter("start", "pitch"))


def midiread(
    path: str | os.PathLike[str],
    r: tuple[SupportsIndex, SupportsIndex] = (21, 109),
    dt: TimeStep = 0.3,
) -> MidiContent:
    """Read a Standard MIDI File and sample it.

    The roll lasts to the end of the longest track: it has as many rows as there are
    frames k >= 0 with k dt before that end. Tempo events on any track act on all
    tracks; before the first the tempo is 500,000 microseconds per quarter note. The
    tracks of a format 2 file, which are independent, follow one another. Drums
    (channel 10) and notes that never end are left out and counted.

    Parameters
    ----------
    path : str or path
        The file.
    r : (int, int)
        The pitch range, half-open: `lowest <= pitch < highest`; (21, 109) is the piano.
        Notes outside are left out and counted.
    dt : float or Fraction
        The time step in seconds, taken as the decimal number that was written.

    Returns
    -------
    MidiContent
        `piano_roll` (T, P) with column 0 for the lowest pitch, `notes`, and counts of
        what was left out.

    Raises
    ------
    MidiError
        The file is not a MIDI file, or damaged; a ValueError.
    FileNotFoundError
        There is no such file.
    """
    lowest_pitch, highest_pitch = checked_pitch_range(r)
    time_step = exact_time_step(dt)
    name = os.fspath(path)
    with open(name, "rb") as file:
        data = file.read()
    try:
        return _content(data, lowest_pitch, highest_pitch, time_step)
    except MidiError as error:
        raise MidiError(error.reason, os.fsdecode(name)) from None


def checked_pitch_range(r: Any) -> tuple[int, int]:
    """Return `r` as two integers, or say what it should have been."""
    try:
        lowest_pitch, highest_pitch = (operator.index(pitch) for pitch in r)
    except (TypeError, ValueError):
        raise TypeError(
            f"r must be two integers, the lowest pitch and the one above the highest, "
            f"such as (21, 109), not {r!r}"
        ) from None
    if not 0 <= lowest_pitch < highest_pitch <= 128:
        raise ValueError(
            f"r={r!r} must satisfy 0 <= lowest < highest <= 128; (21, 109) is the piano"
        )
    return lowest_pitch, highest_pitch


def _content(
    data: bytes, lowest_pitch: int, highest_pitch: int, time_step: Fraction
) -> MidiContent:
    header, events = read_events(data)
    tick, last_tick, clock = timeline(header, events)
    found = pair_notes(events)
    inside = (found.pitch >= lowest_pitch) & (found.pitch < highest_pitch)
    pitch = found.pitch[inside]
    start, end = clock.at(tick[found.start[inside]]), clock.at(tick[found.end[inside]])

    frames_per_unit = 1 / (time_step * clock.units_per_second)
    last_unit = int(clock.at(np.array([last_tick]))[0])
    n_frames = -(-last_unit * frames_per_unit.numerator // frames_per_unit.denominator)
    n_pitches = highest_pitch - lowest_pitch
    if n_frames * n_pitches > _MOST_CELLS:
        raise MidiError(
            f"it lasts {last_unit / clock.units_per_second:.0f} s, {n_frames} frames of "
            f"dt={float(time_step):g}: more than a roll of {_MOST_CELLS} cells holds; "
            "choose a larger dt"
        )
    # Frames k with k dt < t are those below ceil(t / dt).
    first_frame = scaled_ceil(start, frames_per_unit).astype(np.int64)
    end_frame = scaled_ceil(end, frames_per_unit).astype(np.int64)
    return MidiContent(
        piano_roll=_roll(first_frame, end_frame, pitch - lowest_pitch, n_frames, n_pitches),
        n_out_of_range=len(found.pitch) - len(pitch),
        n_never_ended=found.n_never_ended,
        n_drums=found.n_drums,
        _pitch=pitch,
        _start=(start / clock.units_per_second).astype(np.float64),
        _end=(end / clock.units_per_second).astype(np.float64),
    )


def _roll(
    first_frame: np.ndarray,
    end_frame: np.ndarray,
    column: np.ndarray,
    n_frames: int,
    n_pitches: int,
) -> np.ndarray:
    """Set the frames first <= k < end of each note in its column.

    The columns lie one behind the other on a line on which each note is an interval.
    Its part that no earlier note covers is set, so that each cell is set once and the
    work is bounded by the size of the roll.
    """
    order = np.argsort(column * n_frames + first_frame)
    begin = (column * n_frames + first_frame)[order]
    end = (column * n_frames + end_frame)[order]
    covered = np.maximum.accumulate(end)
    begin[1:] = np.maximum(begin[1:], covered[:-1])
    length = np.maximum(end - begin, 0)
    skipped = begin - (np.cumsum(length) - length)
    cell = np.repeat(skipped, length) + np.arange(length.sum())
    roll = np.zeros((n_frames, n_pitches), dtype=np.float32)
    roll[cell % n_frames, cell // n_frames] = 1
    return roll
