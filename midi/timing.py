"""Exact time: ticks to seconds to frames, without rounding.

Conventions
-----------
A time is a whole number of units. The number of units per second depends on the file
(`Clock.units_per_second`). Frame k of a roll with time step dt lies at k dt seconds,
where dt is the decimal number that the caller wrote: 0.3 is 3/10, not the nearest binary
fraction. Arrays are int64 if every product fits, and Python integers (dtype object)
otherwise; the results are the same.
"""

from __future__ import annotations

import numbers
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .errors import MidiError
from .events import META, META_TEMPO, TRACK_END, Events, Header

DEFAULT_TEMPO = 500_000  # microseconds per quarter note
_INT64_END = 2**63
# Frames per second by the SMPTE code in the header; code 29 is 30000/1001.
_SMPTE_RATES = {
    24: Fraction(24),
    25: Fraction(25),
    29: Fraction(30_000, 1001),
    30: Fraction(30),
}

Number = float | Fraction | Decimal


def exact_number(name: str, value: Number, example: str) -> Fraction:
    """Return a number above 0 as the fraction that the caller wrote.

    A float counts as the shortest decimal number that denotes it in its own
    precision: 0.3 and numpy.float32(0.3) are both 3/10. Error messages name the unit
    and an example by `example`, such as "seconds such as 0.3".
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, Decimal)):
        raise TypeError(f"{name} must be a number of {example}, not {value!r}")
    try:
        written = value if isinstance(value, (Fraction, Decimal)) else str(value)
        number = Fraction(written)
    except (ValueError, OverflowError):
        number = Fraction(0)  # nan and infinity have no fraction
    if number <= 0:
        raise ValueError(f"{name}={value} must be a finite number above 0: {example}")
    return number


def exact_time_step(dt: Number, name: str = "dt") -> Fraction:
    """Return a number of seconds as the fraction that the caller wrote."""
    return exact_number(name, dt, "seconds such as 0.3")


class Clock(NamedTuple):
    """A tempo map: from tick `tick[j]`, at time `units[j]`, a tick lasts `per_tick[j]`."""

    tick: np.ndarray
    units: np.ndarray
    per_tick: np.ndarray
    units_per_second: int

    def at(self, ticks: np.ndarray) -> np.ndarray:
        """Return the times of `ticks` in units."""
        segment = np.searchsorted(self.tick, ticks, side="right") - 1
        return self.units[segment] + (ticks - self.tick[segment]) * self.per_tick[segment]


def lay_out(header: Header, events: Events) -> tuple[np.ndarray, np.ndarray, int]:
    """Lay a file's tracks on one line of ticks.

    The tracks of formats 0 and 1 start together. Those of format 2 are independent and
    follow one another.

    Returns
    -------
    tick : (N,)
        The events' ticks from the start of the file.
    starts : (number of tracks,)
        The ticks at which the tracks start.
    last_tick : int
        The end of the longest track (in format 2 of the last one); 0 without tracks.
    """
    ends = events.tick[events.status == TRACK_END]
    starts = np.cumsum(ends) - ends if header.format == 2 else np.zeros_like(ends)
    return events.tick + starts[events.track], starts, int((ends + starts).max(initial=0))


def tempo_map(
    header: Header, events: Events, tick: np.ndarray, starts: np.ndarray
) -> list[tuple[int, int]]:
    """List the tempo changes as (tick, microseconds per quarter note), in order.

    A tempo event acts on all tracks; in format 2 it acts on its own track, and each track
    starts at the default tempo.
    """
    meta = np.flatnonzero(events.status == META)
    chosen = np.flatnonzero(events.first[meta] == META_TEMPO)
    at = meta[chosen]
    tempos = (int.from_bytes(events.meta[k][:3], "big") for k in chosen.tolist())
    resets = starts.tolist() if header.format == 2 and len(starts) else [0]
    changes = [(start, track, DEFAULT_TEMPO) for track, start in enumerate(resets)]
    changes += zip(tick[at].tolist(), events.track[at].tolist(), tempos)
    # The sort is stable: changes at one tick stay in file order.
    changes.sort(key=lambda change: change[:2])
    return [(change_tick, tempo) for change_tick, _, tempo in changes]


def clock_in_seconds(
    header: Header, tempos: list[tuple[int, int]], last_tick: int, tempo: Fraction | None = None
) -> Clock:
    """Return the clock in seconds; `tempo`, in quarter notes per minute, overrides `tempos`."""
    if tempo is not None:
        seconds_per_tick = 60 / (tempo * _ticks_per_quarter(header, "tempo"))
        return _clock([(0, seconds_per_tick.numerator)], seconds_per_tick.denominator, last_tick)
    if header.division & 0x8000:
        return _smpte_clock(header.division, last_tick)
    return _clock(tempos, _ticks_per_quarter(header) * 1_000_000, last_tick)


def clock_in_beats(header: Header, last_tick: int) -> Clock:
    """Return the clock in quarter notes, counted as if each lasted one second."""
    return _clock([(0, 1)], _ticks_per_quarter(header, "steps_per_beat"), last_tick)


def _ticks_per_quarter(header: Header, option: str = "") -> int:
    if header.division & 0x8000:
        raise MidiError(f"its time is in SMPTE frames, so it has no quarter notes for {option}")
    if header.division == 0:
        raise MidiError("damaged header: a quarter note has 0 ticks")
    return header.division


def _clock(changes: list[tuple[int, int]], units_per_second: int, last_tick: int) -> Clock:
    """Build a clock from (tick, units per tick) in order, the first at tick 0.

    The last of several changes at one tick holds.
    """
    segments: list[tuple[int, int, int]] = []
    for tick, per_tick in changes:
        units = 0
        if segments:
            tick_before, units_before, per_tick_before = segments[-1]
            units = units_before + (tick - tick_before) * per_tick_before
        segments.append((tick, units, per_tick))
    last_change, units_there, per_tick_there = segments[-1]
    last_units = units_there + max(last_tick - last_change, 0) * per_tick_there
    greatest = max(last_units, *(per_tick for _, _, per_tick in segments))
    dtype = np.int64 if greatest < _INT64_END else object
    ticks = np.array([tick for tick, _, _ in segments], dtype=np.int64)
    units, per_tick = np.array([rest for _, *rest in segments], dtype=dtype).T
    return Clock(ticks, units, per_tick, units_per_second)


def _smpte_clock(division: int, last_tick: int) -> Clock:
    code, ticks_per_frame = 256 - (division >> 8), division & 0xFF
    if code not in _SMPTE_RATES or ticks_per_frame == 0:
        raise MidiError(f"damaged header: the time division 0x{division:04X} is not valid")
    ticks_per_second = _SMPTE_RATES[code] * ticks_per_frame
    return _clock([(0, ticks_per_second.denominator)], ticks_per_second.numerator, last_tick)


def scaled_floor(values: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Return floor(values * ratio) exactly; values are integers >= 0."""
    return _scalable(values, ratio) * ratio.numerator // ratio.denominator


def scaled_ceil(values: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Return ceil(values * ratio) exactly; values are integers >= 0."""
    return -(-_scalable(values, ratio) * ratio.numerator // ratio.denominator)


def scaled_round(values: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Return values * ratio rounded to whole numbers, halves up, exactly; values are >= 0."""
    return (scaled_floor(values, 2 * ratio) + 1) // 2


def _scalable(values: np.ndarray, ratio: Fraction) -> np.ndarray:
    greatest = max(int(values.max()), 1) if len(values) else 1
    fits = max(greatest * ratio.numerator, ratio.denominator) < _INT64_END
    return values if fits else values.astype(object)
