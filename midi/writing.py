"""`midiwrite`: a piano roll as a MIDI file.

The file has an explicit tempo. The tick is chosen so that a frame is a whole number of
ticks and lasts exactly dt. A quarter note has 2^e frames, or dt's denominator times as
many, and lasts about half a second. If 24 bits of tempo and 15 bits of division cannot
express such a dt, the tick is a fine one, and frame k starts on the last tick at or before
k dt. It is early by less than a tick (at most 16 microseconds), the error does not
accumulate, and `midiread` finds every frame in its place.

With beats, a quarter note is a quarter note, and has 480 ticks or as many more as make a frame
a whole number of them; if these are too many, each frame starts on the tick nearest to it. Its
tempo is rounded to a microsecond per quarter note: at 120 quarter notes per minute by at most one
part in a million, 4 ms in an hour, and in proportion to the tempo.
"""

from __future__ import annotations

import heapq
import itertools
import math
import operator
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from .beats import DENOMINATORS, LONGEST_BAR, Beats, checked_beats, is_compound
from .events import META_KEY_SIGNATURE, META_TEMPO, META_TIME_SIGNATURE
from .files import written_whole
from .onsets import canonical_onsets, checked_onsets, onset_notes, split_onsets
from .reading import checked_flag, checked_pitch_range
from .timing import DEFAULT_TEMPO, Number, exact_number, exact_time_step, scaled_floor, scaled_round

USUAL_VELOCITY = 90
_GREATEST_TEMPO = 2**24 - 1
_GREATEST_DIVISION = 2**15 - 1
_GREATEST_DELTA = 2**28 - 1
_USUAL_DIVISION = 480
_FINE_DIVISION = 32_000
_END_OF_TRACK = b"\xff\x2f\x00"
_SHORTEST_STEP, _LONGEST_STEP = Fraction(1, 10**6), Fraction(3600)


class Grid(NamedTuple):
    """Microseconds per quarter note, and ticks per quarter note."""

    tempo: int
    division: int

    @property
    def tick(self) -> Fraction:
        """The length of a tick in seconds."""
        return Fraction(self.tempo, self.division * 10**6)


def midiwrite(
    path: str | os.PathLike[str],
    roll: Any,
    r: tuple[SupportsIndex, SupportsIndex] = (21, 109),
    dt: Number | None = None,
    patch: SupportsIndex = 0,
    velocity: Any = USUAL_VELOCITY,
    name: str = "",
    *,
    format: SupportsIndex = 0,
    restrike: bool = False,
    onset_roll: Any = None,
    onsets: bool = False,
    beats: Beats | None = None,
) -> None:
    """Write a piano roll as a Standard MIDI File.

    `midiread` with the same `r`, and the same `dt` or `steps_per_beat`, returns the same roll,
    including the silent rows at its beginning and end, the same onset roll, as
    `canonical_onsets` returns it, and the same beats, but for the rounded tempo. The file is
    written whole or not at all: until it is complete, an existing file at `path` stays
    unchanged.

    Parameters
    ----------
    path : str or path
        The file to write; its folder must exist.
    roll : (T, P) array, or (T, 2P) with `onsets`
        Booleans, integers or floats; 0 is off and 1 or more is on. Values between them,
        such as probabilities, have to be turned into notes first.
    r : (int, int)
        The pitch range, half-open; column 0 is pitch `r[0]`, and P = r[1] - r[0].
    dt : float or Fraction
        The time step in seconds, from 1e-6 to 3600, taken as the decimal number that
        the caller wrote; 0.3 unless `beats` is given.
    patch : int
        The program (instrument), 0 to 127; 0 is a grand piano.
    velocity : int or (T, P) array of int
        How hard the notes are struck, 1 to 127: one value for all notes, or one per cell,
        where a note takes the value of the cell in which it begins. Other cells may have any
        value, such as the 0 that `midiread(…).velocity_roll` has there.
    name : str
        The track's name; an empty name is not written.
    format : int
        0 for one track, 1 for a tempo track and a track of notes.
    restrike : bool
        Strike a note again in each frame in which it is on. Otherwise adjacent on-cells
        of a column are one held note, unless an onset roll divides them.
    onset_roll : (T, P) array
        1 where a note is struck, 0 elsewhere: the note before it ends there. A strike of a
        silent cell is dropped (`n_dropped_onsets` counts these), and an on-cell after a
        silent one is struck in any case.
    onsets : bool
        Whether the roll has its onset roll beside it: first the P sounding columns, then
        the P struck ones.
    beats : Beats
        The length of a time step, instead of `dt`, with the tempo, the time signature and the
        key signature that the file gets. An upbeat (`first_step`) is a first bar that is
        shorter; a roll that ends before its first bar line has none.

    Raises
    ------
    TypeError, ValueError
        The roll or another argument is invalid; the message says what to change.
    FileNotFoundError
        The folder does not exist.
    """
    pitch_range = checked_pitch_range(r)
    is_on, struck = _checked_rolls(roll, pitch_range, onset_roll, onsets, restrike)
    if beats is None:
        frame = time_step = exact_time_step(0.3 if dt is None else dt)
        what = f"dt={dt}"
    elif dt is not None:
        raise ValueError(f"give either dt or beats, not both: dt={dt}, beats={beats}")
    else:
        beats = checked_beats(beats)
        frame = beats.step
        time_step = 60 * frame / exact_number("tempo", beats.tempo, "")
        what = f"a step of {beats}"
    if not _SHORTEST_STEP <= time_step <= _LONGEST_STEP:
        raise ValueError(f"{what} must be from 1e-6 to 3600 seconds to be written as MIDI")
    program = _checked_integer("patch", patch, 0, 127)
    loudness = checked_velocity(velocity, canonical_onsets(is_on, struck))
    n_tracks = 1 + _checked_integer("format", format, 0, 1)
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, not {name!r}")

    frames = np.arange(len(is_on) + 1)
    if beats is None:
        grid = choose_grid(time_step)
        tick = scaled_floor(frames, time_step / grid.tick)
    else:
        grid = _grid_of_beats(beats)
        tick = scaled_round(frames, frame * grid.division)
    text = name.encode("utf-8")
    title = [(0, _meta(0x03, text))] if text else []
    times = [(0, tempo_message(grid.tempo))]
    if beats is not None:
        times += _signatures(beats, grid.division, int(tick[-1]))
    messages = _messages(onset_notes(is_on, struck), loudness, pitch_range[0], tick)
    notes = itertools.chain([(0, bytes((0xC0, program)))], messages)
    if n_tracks == 1:
        tracks = [heapq.merge(title + times, notes, key=lambda event: event[0])]
    else:
        tracks = [times, itertools.chain(title, notes)]
    write_messages(path, tracks, grid.division, int(tick[-1]))


def write_messages(
    path: str | os.PathLike[str],
    tracks: Sequence[Iterable[tuple[int, bytes]]],
    division: int,
    end: int,
) -> None:
    """Write tracks of (tick, message), in order of their ticks, which end at tick `end`."""
    chunks = [_track(track, end) for track in tracks]
    header = struct.pack(">4sIHHH", b"MThd", 6, min(len(tracks) - 1, 1), len(tracks), division)
    with written_whole(path) as file:
        file.write(header + b"".join(chunks))


def choose_grid(time_step: Fraction) -> Grid:
    """Choose tempo and division, exact for the time step if the format can express it."""
    microseconds = time_step * 10**6
    candidates = []
    for exponent in range(-32, 33):
        scale = Fraction(2) ** exponent
        tempo = microseconds.numerator * scale
        frames_per_quarter = microseconds.denominator * scale
        if tempo.denominator == 1 and tempo <= _GREATEST_TEMPO:
            # Any multiple of this division gives frames of whole ticks.
            least = frames_per_quarter.numerator
            if least <= _GREATEST_DIVISION:
                division = least * max(_USUAL_DIVISION // least, 1)
                candidates.append(Grid(int(tempo), division))
    if candidates:
        return min(candidates, key=lambda grid: abs(grid.tempo - DEFAULT_TEMPO))
    return Grid(min(DEFAULT_TEMPO, int(microseconds * _FINE_DIVISION)), _FINE_DIVISION)


def _grid_of_beats(beats: Beats) -> Grid:
    """Return the grid of a file with beats, in which a frame is a whole number of ticks."""
    tempo = round(60_000_000 / exact_number("tempo", beats.tempo, ""))
    if not 1 <= tempo <= _GREATEST_TEMPO:
        raise ValueError(
            f"tempo={beats.tempo} must be from 3.6 to 6e7 quarter notes per minute to be written "
            "as MIDI"
        )
    least = beats.step.denominator
    with_bars = math.lcm(least, (beats.steps_per_bar * beats.step).denominator)
    if with_bars <= _GREATEST_DIVISION:
        least = with_bars  # a bar and an upbeat are whole numbers of ticks too
    division = math.lcm(_USUAL_DIVISION, least)
    if division > _GREATEST_DIVISION:
        division = least * max(_USUAL_DIVISION // least, 1)
    if division > _GREATEST_DIVISION:
        division = _FINE_DIVISION  # frames begin on the nearest tick
    if beats.step * division < 1:
        raise ValueError(
            f"steps_per_beat={beats.steps_per_beat} must be at most {_FINE_DIVISION} to be "
            "written as MIDI"
        )
    return Grid(tempo, division)


def _signatures(beats: Beats, division: int, end: int) -> list[tuple[int, bytes]]:
    """Return the time and key signatures of a file that ends at tick `end`.

    An upbeat is a first bar that is shorter: a rest before it would add rows to the roll.
    An upbeat of triplets, whose length no time signature has, is a bar that the same time
    signature cuts short. `midiread` understands this; music21 puts the bar lines later.
    """
    upbeat = (beats.steps_per_bar - beats.first_step) * beats.step  # in quarter notes
    bar = math.floor(upbeat * division + Fraction(1, 2))
    events = [(0, meter_message(beats.meter))]
    if beats.first_step and bar <= end:
        events.append((bar, events[0][1]))
        denominator = max(beats.meter[1], (upbeat / 4).denominator)
        numerator = upbeat / 4 * denominator
        if denominator in DENOMINATORS and numerator in range(1, LONGEST_BAR + 1):
            events[0] = 0, meter_message((int(numerator), denominator))
    if beats.key is not None:
        events.insert(1, (0, key_message(beats.key)))
    return events


def tempo_message(microseconds: int) -> bytes:
    """Encode a tempo, in microseconds per quarter note."""
    return _meta(META_TEMPO, microseconds.to_bytes(3, "big"))


def meter_message(meter: tuple[int, int]) -> bytes:
    """Encode a time signature."""
    numerator, denominator = meter
    # the clicks of a metronome, 24 in a quarter note
    click = max(96 // denominator * (3 if is_compound(meter) else 1), 1)
    power = denominator.bit_length() - 1
    return _meta(META_TIME_SIGNATURE, bytes((numerator, power, click, 8)))


def key_message(key: tuple[int, bool]) -> bytes:
    """Encode a key signature: its sharps, or minus its flats, and whether it is minor."""
    sharps, is_minor = key
    return _meta(META_KEY_SIGNATURE, bytes((sharps % 256, is_minor)))


def _meta(kind: int, data: bytes) -> bytes:
    return bytes((0xFF, kind)) + variable_length(len(data)) + data


def _track(events: Iterable[tuple[int, bytes]], end: int) -> bytes:
    """Encode a track of messages, in order of their ticks."""
    track = bytearray()
    now = 0
    for tick, message in events:
        track += _wait(tick - now) + message
        now = tick
    track += _wait(end - now) + _END_OF_TRACK
    return struct.pack(">4sI", b"MTrk", len(track)) + track


def variable_length(value: int) -> bytes:
    """Encode a variable-length quantity: seven bits per byte, all bytes but the last above 127."""
    encoded = bytearray((value & 0x7F,))
    while value := value >> 7:
        encoded.insert(0, value & 0x7F | 0x80)
    return bytes(encoded)


def _wait(n_ticks: int) -> bytes:
    """Encode a delta time; one that is too long is divided by empty text events."""
    n_fillers, rest = divmod(n_ticks, _GREATEST_DELTA)
    return (variable_length(_GREATEST_DELTA) + b"\xff\x01\x00") * n_fillers + variable_length(rest)


def _messages(
    notes: np.ndarray, loudness: np.ndarray, lowest_pitch: int, tick: np.ndarray
) -> Iterator[tuple[int, bytes]]:
    """Yield (tick, message) for all starts and ends of notes, ends first in each frame."""
    column, first, end = notes.T
    frame = np.concatenate((end, first))
    velocity = np.concatenate((np.zeros_like(end), loudness[first, column]))
    order = np.argsort(frame, kind="stable")
    pitch = np.tile(column + lowest_pitch, 2)
    columns = (tick[frame[order]], pitch[order], velocity[order])
    for begin, pitch, struck in zip(*(column.tolist() for column in columns)):
        yield begin, bytes((0x90 if struck else 0x80, pitch, struck))


def _checked_rolls(
    roll: Any, pitch_range: tuple[int, int], onset_roll: Any, onsets: bool, restrike: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the roll and the onset roll, if one is given, as booleans (T, P)."""
    ways = {
        "onset_roll": onset_roll is not None,
        "onsets": checked_flag("onsets", onsets),
        "restrike": checked_flag("restrike", restrike),
    }
    if sum(ways.values()) > 1:
        given = " and ".join(name for name in ways if ways[name])
        raise ValueError(f"give one of onset_roll, onsets and restrike, not {given}")
    cells = np.asarray(roll)
    if cells.dtype.kind not in "biuf":
        raise TypeError(
            f"the roll must hold booleans, integers or floats, not {cells.dtype} values"
        )
    lowest_pitch, highest_pitch = pitch_range
    n_pitches = highest_pitch - lowest_pitch
    width = 2 * n_pitches if onsets else n_pitches
    if cells.ndim != 2 or cells.shape[1] != width or len(cells) == 0:
        remedy = f": the {n_pitches} sounding columns, then the struck ones" * bool(onsets)
        if not onsets and cells.shape[-1:] == (2 * n_pitches,):
            remedy = "; if half of its columns are struck ones, give onsets=True"
        raise ValueError(
            f"the roll has shape {cells.shape}; r=({lowest_pitch}, {highest_pitch}) requires "
            f"(T, {width}) with at least one row{remedy}"
        )
    if onsets:
        cells, onset_roll = split_onsets(cells)
    refused = ~((cells == 0) | (cells >= 1) & (cells < np.inf))
    if refused.any():
        row, column = np.argwhere(refused)[0].tolist()
        raise ValueError(
            f"the roll holds {cells[row, column]} at row {row}, column {column}; 0 is off and "
            "1 or more is on: turn probabilities into notes first, e.g. roll >= 0.5"
        )
    is_on = cells != 0
    if restrike:
        return is_on, is_on
    name = "the struck half of the roll" if onsets else "onset_roll"
    return is_on, None if onset_roll is None else checked_onsets(onset_roll, is_on, name)


def checked_velocity(velocity: Any, is_struck: np.ndarray) -> np.ndarray:
    """Return the velocity of each cell (T, P); raise unless those of struck cells are valid."""
    if np.ndim(velocity) == 0:
        return np.full(is_struck.shape, _checked_integer("velocity", velocity, 1, 127))
    array = np.asarray(velocity)
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"velocity must hold integers, not {array.dtype} values; use velocity.astype(int)"
        )
    if array.shape != is_struck.shape:
        raise ValueError(
            f"velocity has shape {array.shape}, the roll {is_struck.shape}: give one number, or "
            "one per cell"
        )
    refused = is_struck & ((array < 1) | (array > 127))
    if refused.any():
        row, column = np.argwhere(refused)[0].tolist()
        raise ValueError(
            f"velocity is {array[row, column]} at row {row}, column {column}, where a note "
            "begins; it must be from 1 to 127 there"
        )
    return array


def _checked_integer(name: str, value: Any, lowest: int, highest: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if not lowest <= operator.index(value) <= highest:
        raise ValueError(f"{name}={value} must be from {lowest} to {highest}")
    return operator.index(value)
