"""Exact time: ticks to seconds to frames, without rounding.

Conventions
-----------
A time is a whole number of units; how many make a second depends on the file
(`Clock.units_per_second`). Frame k of a roll with time step dt lies at k dt seconds,
where dt is the decimal number that the caller wrote: 0.3 is 3/10, not the binary
fraction nearest to it. Arrays are int64 where every product fits, and Python integers
(dtype object) where one would not: the results are the same.
"""

from __future__ import annotations

import numbers
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .errors import MidiError
from .events import TEMPO, TRACK_END, Events, Header

DEFAULT_TEMPO = 500_000  # microseconds per quarter note
_INT64_END = 2**63
# Frames per second by the SMPTE code in the header; 29 stands for 30000/1001.
_SMPTE_RATES = {
    24: Fraction(24),
    25: Fraction(25),
    29: Fraction(30_000, 1001),
    30: Fraction(30),
}

TimeStep = float | Fraction | Decimal


def exact_time_step(dt: TimeStep) -> Fraction:
    """Return the number of seconds that the caller wrote, as a fraction.

    A float counts as the shortest decimal number that denotes it in its own
    precision: 0.3 and numpy.float32(0.3) are both 3/10.
    """
    if isinstance(dt, (bool, np.bool_)) or not isinstance(dt, (numbers.Real, Decimal)):
        raise TypeError(f"dt must be a number of seconds such as 0.3, not {dt!r}")
    try:
        seconds = Fraction(dt) if isinstance(dt, (Fraction, Decimal)) else Fraction(str(dt))
    except (ValueError, OverflowError):
        seconds = Fraction(0)  # nan and infinity have no fraction
    if seconds <= 0:
        raise ValueError(f"dt={dt} must be a finite number of seconds above 0, such as 0.3")
    return seconds


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


def timeline(header: Header, events: Events) -> tuple[np.ndarray, int, Clock]:
    """Lay a file's tracks on one time line.

    In formats 0 and 1 the tracks start together, and a tempo event acts on all of
    them. Those of format 2 are independent: they are laid one after the other, and each
    starts at the default tempo.

    Returns
    -------
    tick : (N,)
        The events' ticks from the start of the file.
    last_tick : int
        Where the longest track ends (in format 2 the last one); 0 without tracks.
    clock : Clock
        What turns those ticks into time.
    """
    ends = events.tick[events.status == TRACK_END]
    starts = np.cumsum(ends) - ends if header.format == 2 else np.zeros_like(ends)
    tick = events.tick + starts[events.track]
    ends = ends + starts
    is_tempo = events.status == TEMPO
    columns = (tick[is_tempo].tolist(), events.track[is_tempo].tolist(), events.tempos)
    resets = starts.tolist() if header.format == 2 and len(starts) else [0]
    changes = [(start, track, DEFAULT_TEMPO) for track, start in enumerate(resets)]
    changes += zip(*columns, strict=True)
    # The sort is stable: of changes at one tick the last in file order comes last.
    changes.sort(key=lambda change: change[:2])
    last_tick = int(ends.max()) if len(ends) else 0
    if header.division & 0x8000:
        return tick, last_tick, _smpte_clock(header.division, last_tick)
    if header.division == 0:
        raise MidiError("its division is 0: a quarter note of 0 ticks has no length")
    tempo_map = [(at, tempo) for at, _, tempo in changes]
    return tick, last_tick, _clock(tempo_map, header.division * 1_000_000, last_tick)


def _clock(changes: list[tuple[int, int]], units_per_second: int, last_tick: int) -> Clock:
    """Build a clock from (tick, units per tick) in order, the first at tick 0.

    Of changes at the same tick the last one holds.
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
    dtype = np.int64 if last_units < _INT64_END else object
    ticks = np.array([tick for tick, _, _ in segments], dtype=np.int64)
    units, per_tick = np.array([rest for _, *rest in segments], dtype=dtype).T
    return Clock(ticks, units, per_tick, units_per_second)


def _smpte_clock(division: int, last_tick: int) -> Clock:
    code, ticks_per_frame = 256 - (division >> 8), division & 0xFF
    if code not in _SMPTE_RATES or ticks_per_frame == 0:
        raise MidiError(
            f"its division 0x{division:04X} is no SMPTE division: {code} frames a second "
            f"of {ticks_per_frame} ticks; 24, 25, 29 or 30 of at least 1 are allowed"
        )
    ticks_per_second = _SMPTE_RATES[code] * ticks_per_frame
    return _clock([(0, ticks_per_second.denominator)], ticks_per_second.numerator, last_tick)


def scaled_floor(values: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Return floor(values * ratio) exactly; values are integers, not negative."""
    return _scalable(values, ratio) * ratio.numerator // ratio.denominator


def scaled_ceil(values: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Return ceil(values * ratio) exactly; values are integers, not negative."""
    return -(-_scalable(values, ratio) * ratio.numerator // ratio.denominator)


def _scalable(values: np.ndarray, ratio: Fraction) -> np.ndarray:
    greatest = max(int(values.max()), 1) if len(values) else 1
    fits = max(greatest * ratio.numerator, ratio.denominator) < _INT64_END
    return values if fits else values.astype(object)
