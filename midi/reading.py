"""`midiread`: a MIDI file as a piano roll.

Conventions
-----------
T is the number of frames, P the number of pitches of the half-open pitch range. All
times are exact.

By seconds, a note that sounds from `start` to `end` is on in every frame k with
start <= k dt < end. By the beat, its start and its end are rounded to the nearest frames,
from halfway between two to the later one, and it is on from the first of these to the
one before the other: a note that is played a few ticks early or late is in its place.
If both are the same frame, the note is on in it if it begins on the grid: at most an
eighth of a step before that frame, or less after it. Short notes on the beat are
therefore heard, and ornaments between two frames are not.
"""

from __future__ import annotations

import operator
import os
import warnings
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from .beats import Beats, Score, signatures
from .errors import MidiError, MidiWarning
from .events import read_events
from .files import expanded, read_whole
from .notes import Note, pair_notes, sustained_ends
from .sending import Order
from .timing import (
    Number,
    clock_in_beats,
    clock_in_seconds,
    exact_number,
    exact_time_step,
    lay_out,
    scaled_ceil,
    scaled_floor,
    scaled_round,
    tempo_map,
)

PIANO = (21, 109)
MOST_CELLS = 10**8
RULES = 3  # by which files are read: another number where any file is read differently
_SENTENCES_IN_A_WARNING = 3
_SLOWEST, _FASTEST = Fraction(1, 1000), Fraction(10**9)


@dataclass(frozen=True, eq=False)
class MidiContent:
    """The content of a MIDI file, as `midiread` returns it.

    Attributes
    ----------
    piano_roll : (T, P) float32
        1 where a note is on, 0 elsewhere.
    onset_roll : (T, P) float32
        1 in the first frame in which a note is on, 0 elsewhere. All of it is on in the
        piano roll, and every cell that is on after a silent one, or in the first row, is
        struck. Its sum is the number of `notes` less `n_too_short` and `n_merged`.
    notes : list of Note
        Pitch, start and end in seconds of each note in the range, by start, then pitch;
        also of those too short for the roll.
    velocities : list of int
        The velocity of each of the `notes`, 1 to 127.
    velocity_roll : (T, P) uint8
        The velocity in each struck cell, the greatest of notes that are one there; 0 elsewhere.
    strikes : three (number of struck cells,) int arrays
        The frames, columns and velocities of the struck cells, by column, then frame.
    pitches : (number of notes,) int
        The pitch of each of the notes, in the order of the file's tracks and channels.
    is_too_short : (number of notes,) bool
        Whether each of `pitches` is of a note that is on in no frame.
    n_out_of_range, n_never_ended, n_drums : int
        Numbers of notes left out: with a pitch outside the range, without an end, on drums.
        A note counts once, for the last of these reasons that applies.
    n_cut : int
        Number of `notes` whose note-off is missing and that end where their pitch is struck
        next.
    n_too_short : int
        Number of `notes` that are on in no frame.
    n_merged : int
        Number of `notes` that are struck in the same frame as another note of their pitch,
        which stands for both in the onset roll.
    tempo : float or None
        The tempo in force for most of the music, in quarter notes per minute: by quarter notes,
        the median where no tempo has more than half of them. The argument `tempo` overrides it.
        None if the file counts seconds (SMPTE).
    meter : (int, int) or None
        The time signature in force for most of the music, from the first note to the end of
        the last; None without one.
    n_meter_changes : int
        The number of times that the metre changes in the music, not counting an upbeat.
    key : (int, bool) or None
        The key signature in force for most of the music: the number of sharps, or of flats as
        a negative number, and whether the key is minor; None without a valid one.
    bars : (number of bars,) float or None
        The seconds at which bars 1, 2, … begin, before the end of the last note, with all tempos
        and time signatures; an upbeat is before bar 1. None without a time signature.
    beats : Beats or None
        How the roll's steps lie in beats and bars (`midi.beats`). In 4/4 from the beginning of
        the file if it has no time signature. None if the roll is not read by the beat.
    damage : tuple of str
        Violations of the standard, with their positions and how they were read; empty for
        a valid file.
    """

    piano_roll: np.ndarray
    n_out_of_range: int
    n_never_ended: int
    n_drums: int
    n_cut: int
    n_too_short: int
    n_merged: int
    damage: tuple[str, ...]
    pitches: np.ndarray = field(repr=False)
    is_too_short: np.ndarray = field(repr=False)
    strikes: tuple[np.ndarray, np.ndarray, np.ndarray] = field(repr=False)
    _velocity: np.ndarray = field(repr=False)
    _start: np.ndarray = field(repr=False)
    _end: np.ndarray = field(repr=False)
    _score: Score = field(repr=False)
    _in_beats: bool = field(repr=False)
    n_silent: int = 0  # frames left out before and after the notes

    @cached_property
    def onset_roll(self) -> np.ndarray:
        """The onset roll, made at the first access."""
        onset_roll = np.zeros_like(self.piano_roll)
        onset_roll[self.strikes[:2]] = 1
        return onset_roll

    @cached_property
    def notes(self) -> list[Note]:
        """The notes, made at the first access because that takes longer than the roll."""
        columns = self.pitches[self._order], self._start[self._order], self._end[self._order]
        return list(map(Note, *(column.tolist() for column in columns)))

    @property
    def velocities(self) -> list[int]:
        """The velocities of the notes."""
        return self._velocity[self._order].tolist()

    @cached_property
    def velocity_roll(self) -> np.ndarray:
        """The velocities of the struck cells, made at the first access."""
        roll = np.zeros(self.piano_roll.shape, np.uint8)
        frame, column, velocity = self.strikes
        roll[frame, column] = velocity
        return roll

    @property
    def tempo(self) -> float | None:
        """The tempo of most of the music."""
        return self._score.tempo

    @property
    def meter(self) -> tuple[int, int] | None:
        """The time signature of most of the music."""
        return self._score.meter

    @property
    def n_meter_changes(self) -> int:
        """The number of changes of the metre."""
        return self._score.n_meter_changes

    @property
    def key(self) -> tuple[int, bool] | None:
        """The key signature of most of the music."""
        return self._score.key

    @property
    def bars(self) -> np.ndarray | None:
        """The seconds at which bars begin."""
        return self._score.bars

    @property
    def beats(self) -> Beats | None:
        """The beats of a roll that is read by the beat."""
        return self._score.beats if self._in_beats else None

    @cached_property
    def _order(self) -> np.ndarray:
        """The indices of the notes by start, then pitch."""
        return np.lexsort((self.pitches, self._start))


class Options(NamedTuple):
    """The validated arguments of `midiread`."""

    pitch_range: tuple[int, int]
    step: Fraction  # in seconds, or in quarter notes
    in_beats: bool
    tempo: Fraction | None
    drums: bool
    sustain: bool
    keep_short: bool
    strict: bool
    most_cells: int
    most_silence: int | None = None  # frames kept before and after the notes; None keeps all


def midiread(
    path: str | os.PathLike[str],
    r: tuple[SupportsIndex, SupportsIndex] = PIANO,
    dt: Number | None = None,
    *,
    steps_per_beat: Number | None = None,
    tempo: Number | None = None,
    drums: bool = False,
    sustain: bool = False,
    keep_short: bool = False,
    strict: bool = False,
    most_cells: SupportsIndex = MOST_CELLS,
) -> MidiContent:
    """Read a Standard MIDI File and sample it.

    The roll lasts to the end of the longest track: it has one row for each frame k >= 0
    with k dt before that end, which by the beat is rounded like the notes. Tempo events on
    any track act on all tracks. Before the first of them the tempo is 500,000 microseconds
    per quarter note. The tracks of a format 2 file, which are independent, follow one
    another, each with its own tempos. A note whose note-off is missing ends where its pitch
    is struck next, or is left out; both are counted.

    Parameters
    ----------
    path : str or path
        The file: .mid, .midi, .kar, or .rmi (a MIDI file wrapped in RIFF).
    r : (int, int)
        The pitch range, half-open: `lowest <= pitch < highest`; (21, 109) is the piano.
        Notes outside are left out and counted.
    dt : float or Fraction
        The time step in seconds, taken as the decimal number that the caller wrote; 0.3
        unless `steps_per_beat` is given.
    steps_per_beat : int, float or Fraction
        Frames per quarter note, instead of `dt`; the roll then does not depend on the tempo,
        and notes begin and end in the frames nearest to their times (`midi.reading`).
    tempo : float or Fraction
        Quarter notes per minute, instead of the tempos in the file.
    drums : bool
        Read the strokes of drums as if they were pitches. Otherwise they are left out and
        counted. Drums are on channel 10, and where XG, GS or General MIDI 2 put them
        (`midi.drums`).
    sustain : bool
        Let the sustain pedal (controller 64) lengthen notes until it is lifted
        (`midi.notes`).
    keep_short : bool
        Let a note that is on in no frame be on in the one before it, or by the beat in the
        one nearest to its start, so that every note longer than 0 is heard.
    strict : bool
        Refuse a damaged file. Otherwise its complete parts are read, with a warning.
    most_cells : int
        Largest number of cells (frames times pitches); a larger roll is refused.

    Returns
    -------
    MidiContent
        `piano_roll` (T, P) with column 0 for the lowest pitch, `notes`, the numbers of
        notes left out, and the file's damage.

    Raises
    ------
    MidiError
        The file is not a MIDI file, or too damaged to be read; a ValueError.
    FileNotFoundError
        The file does not exist.

    Warns
    -----
    MidiWarning
        The file is damaged, and only its complete parts were read.
    """
    options = check_options(
        r, dt, steps_per_beat, tempo, drums, sustain, keep_short, strict, most_cells
    )
    return read_path(path, options)


def read_path(path: str | os.PathLike[str], options: Options) -> MidiContent:
    """Read a file as `midiread` does, which calls this function."""
    name = str(expanded(path))
    try:
        content = read_bytes(read_whole(name), options)
    except MidiError as error:
        raise MidiError(error.reason, os.fsdecode(name)) from None
    if content.damage:
        warnings.warn(f"{os.fsdecode(name)}: {summary(content.damage)}", MidiWarning, stacklevel=3)
    return content


def check_options(
    r: Any = PIANO,
    dt: Number | None = None,
    steps_per_beat: Number | None = None,
    tempo: Number | None = None,
    drums: bool = False,
    sustain: bool = False,
    keep_short: bool = False,
    strict: bool = False,
    most_cells: SupportsIndex = MOST_CELLS,
    *,
    r_name: str = "r",
    dt_name: str = "dt",
) -> Options:
    """Validate the arguments of `midiread`; errors call `r` and `dt` by the names given."""
    pitch_range = checked_pitch_range(r, r_name)
    if steps_per_beat is None:
        step = exact_time_step(0.3 if dt is None else dt, dt_name)
    elif dt is not None:
        raise ValueError(
            f"give either {dt_name} or steps_per_beat, not both: "
            f"{dt_name}={dt}, steps_per_beat={steps_per_beat}"
        )
    else:
        step = 1 / exact_number("steps_per_beat", steps_per_beat, "frames such as 4")
    if tempo is not None:
        given, tempo = tempo, exact_number("tempo", tempo, "quarter notes per minute such as 120")
        if not _SLOWEST <= tempo <= _FASTEST:
            raise ValueError(f"tempo={given} must be from 0.001 to 1e9 quarter notes per minute")
    flags = {"drums": drums, "sustain": sustain, "keep_short": keep_short, "strict": strict}
    for name, value in flags.items():
        checked_flag(name, value)
    try:
        limit = operator.index(most_cells)
    except TypeError:
        raise TypeError(f"most_cells must be a whole number, not {most_cells!r}") from None
    if limit < 1:
        raise ValueError(f"most_cells={limit} must be at least 1, such as {MOST_CELLS}")
    return Options(pitch_range, step, steps_per_beat is not None, tempo, **flags, most_cells=limit)


def checked_flag(name: str, value: Any) -> bool:
    """Return a boolean; raise TypeError for any other type."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def checked_pitch_range(r: Any, name: str = "r") -> tuple[int, int]:
    """Return `r` as two integers, validated."""
    try:
        lowest_pitch, highest_pitch = (operator.index(pitch) for pitch in r)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} must be two integers, the lowest pitch and the highest plus 1, "
            f"such as (21, 109), not {r!r}"
        ) from None
    if not 0 <= lowest_pitch < highest_pitch <= 128:
        raise ValueError(
            f"{name}={r!r} must satisfy 0 <= lowest < highest <= 128; (21, 109) is the piano"
        )
    return lowest_pitch, highest_pitch


def summary(damage: tuple[str, ...]) -> str:
    """Join the first sentences about a file's damage."""
    more = len(damage) - _SENTENCES_IN_A_WARNING
    sentences = [*damage[:_SENTENCES_IN_A_WARNING], *([f"and {more} more"] if more > 0 else [])]
    return "; ".join(sentences)


def read_bytes(data: bytes, options: Options, dtype: Any = np.float32) -> MidiContent:
    """Read a file's bytes as `midiread` does its file; the roll has the type `dtype`."""
    header, events = read_events(data)
    if options.strict and events.damage:
        raise MidiError(events.damage[0])
    tick, starts, last_tick = lay_out(header, events)
    order = Order(events, tick, tracks_follow=header.format == 2)
    every = pair_notes(events, order)
    is_drum = every.is_drum & (not options.drums)
    ended = every.end >= 0
    notes = every.select(ended & ~is_drum)
    start_tick, end_tick = tick[notes.start], tick[notes.end]
    if options.sustain:
        end_tick = sustained_ends(events, tick, order, notes)
    first_tick, end_of_music = 0, last_tick
    if len(start_tick):
        first_tick, end_of_music = int(start_tick.min()), int(end_tick.max())
    lowest_pitch, highest_pitch = options.pitch_range
    inside = (notes.pitch >= lowest_pitch) & (notes.pitch < highest_pitch)
    pitch = notes.pitch[inside]
    velocity = events.second[notes.start].astype(np.int64)

    tempos = tempo_map(header, events, tick, starts)
    seconds = clock_in_seconds(header, tempos, last_tick, options.tempo)
    clock = clock_in_beats(header, last_tick) if options.in_beats else seconds
    frames_per_unit = 1 / (options.step * clock.units_per_second)
    start, end = clock.at(start_tick), clock.at(end_tick)
    # Frames k with k dt < t are those below ceil(t / dt).
    frame_of = scaled_round if options.in_beats else scaled_ceil
    first_frame = frame_of(start, frames_per_unit)
    end_frame = frame_of(end, frames_per_unit)
    is_short = first_frame == end_frame
    is_kept = is_short & (start < end)
    if options.in_beats:
        if not options.keep_short:
            is_kept &= scaled_round(start, 4 * frames_per_unit) == 4 * first_frame
        end_frame = end_frame + is_kept
    else:
        is_kept &= options.keep_short
        first_frame = first_frame - is_kept
    is_short &= ~is_kept
    last = int(end_frame.max(initial=0))  # by the beat perhaps after the end of the track
    n_frames = max(int(frame_of(clock.at(np.array([last_tick])), frames_per_unit)[0]), last)
    begin = n_silent = 0
    if options.most_silence is not None and len(first_frame):
        first = int(first_frame.min())
        if options.keep_short and not options.in_beats:
            first = int(scaled_floor(start[[start.argmin()]], frames_per_unit)[0])
        begin = first if first > options.most_silence else 0
        n_silent = begin + max(0, n_frames - last - options.most_silence)
        n_frames -= n_silent
    n_pitches = highest_pitch - lowest_pitch
    if n_frames * n_pitches > options.most_cells:
        length = Decimal(int(seconds.at(np.array([last_tick]))[0])) / seconds.units_per_second
        raise MidiError(
            f"it lasts {length:,.0f} s, {n_frames:,} frames of {n_pitches} pitches: more than "
            f"most_cells={options.most_cells}; choose longer steps, or raise most_cells"
        )
    if options.in_beats:
        start, end = seconds.at(start_tick), seconds.at(end_tick)
    first_frame = first_frame[inside].astype(np.int64) - begin
    is_short = is_short[inside]
    velocity = velocity[inside]
    piano_roll, strikes = _roll(
        first_frame,
        end_frame[inside].astype(np.int64) - begin,
        pitch - lowest_pitch,
        velocity,
        (n_frames, n_pitches),
        dtype,
    )
    n_too_short = int(np.count_nonzero(is_short))
    score = Score(
        division=header.division,
        signatures=signatures(header, events, tick),
        tempos=tempos,
        first=first_tick,
        last=max(end_of_music, first_tick + 1),
        tempo_given=options.tempo,
        step=options.step,
        n_skipped=begin,
        clock=seconds,
    )
    return MidiContent(
        piano_roll=piano_roll,
        n_out_of_range=len(notes.pitch) - len(pitch),
        n_never_ended=int(np.count_nonzero(~ended & ~is_drum)),
        n_drums=int(np.count_nonzero(is_drum)),
        n_cut=int(np.count_nonzero(notes.is_cut & inside)),
        n_too_short=n_too_short,
        n_merged=len(pitch) - n_too_short - len(strikes[0]),
        damage=tuple(events.damage),
        pitches=pitch,
        is_too_short=is_short,
        strikes=strikes,
        _velocity=velocity,
        _start=(start[inside] / seconds.units_per_second).astype(np.float64),
        _end=(end[inside] / seconds.units_per_second).astype(np.float64),
        _score=score,
        _in_beats=options.in_beats,
        n_silent=n_silent,
    )


def _roll(
    first_frame: np.ndarray,
    end_frame: np.ndarray,
    column: np.ndarray,
    velocity: np.ndarray,
    shape: tuple[int, int],
    dtype: Any,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Set the frames first <= k < end of each note in its column; find the struck cells.

    The columns are laid end to end on a line, on which each note is an interval. Only the
    part of it that no earlier note covers is set. Each cell is therefore set once, and the
    work is bounded by the size of the roll.

    Returns
    -------
    roll : (T, P)
    strikes : three arrays (number of struck cells,)
        The frames and columns in which notes begin, each cell once, by column, then frame, and
        the greatest velocity of the notes in each.
    """
    n_frames = shape[0]
    order = np.argsort(column * n_frames + first_frame)
    begin = (column * n_frames + first_frame)[order]
    end = (column * n_frames + end_frame)[order]
    struck, loudness = begin[begin < end], velocity[order][begin < end]
    is_first = np.diff(struck, prepend=-1) > 0
    loudness = np.maximum.reduceat(loudness, np.flatnonzero(is_first))
    struck = struck[is_first]
    covered = np.maximum.accumulate(end)
    begin[1:] = np.maximum(begin[1:], covered[:-1])
    length = np.maximum(end - begin, 0)
    skipped = begin - (np.cumsum(length) - length)
    cell = np.repeat(skipped, length) + np.arange(length.sum())
    roll = np.zeros(shape, dtype)
    roll[cell % n_frames, cell // n_frames] = 1
    return roll, (struck % n_frames, struck // n_frames, loudness)
