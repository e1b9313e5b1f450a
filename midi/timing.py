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
from typing import NamedTuple, Union

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

TimeStep = Union[float, Fraction, Decimal]


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
    changes = [(0, DEFAULT_TEMPO)]
    tick = events.tick
    if header.format == 2:
        starts = np.cumsum(ends) - ends
        tick = tick + starts[events.track]
        ends = ends + starts
        is_start = np.zeros(len(tick), dtype=bool)
        is_start[1:] = events.status[:-1] == TRACK_END
        tempo_at = np.flatnonzero((events.status == TEMPO) | is_start)
        tempos = iter(events.tempos)
        for at in tempo_at.tolist():
            if is_start[at]:
                changes.append((int(starts[events.track[at]]), DEFAULT_TEMPO))
            if events.status[at] == TEMPO:
                changes.append((int(tick[at]), next(tempos)))
    else:
        changes += zip(tick[events.status == TEMPO].tolist(), events.tempos)
    last_tick = int(ends.max()) if len(ends) else 0
    if header.division & 0x8000:
        return tick, last_tick, _smpte_clock(header.division, last_tick)
    if header.division == 0:
        raise MidiError("its division is 0: a quarter note of 0 ticks has no length")
    return tick, last_tick, _clock(changes, header.division * 1_000_000, last_tick)


def _clock(changes: list[tuple[int, int]], units_per_second: int, last_tick: int) -> Clock:
    """Build a clock from (tick, units per tick), the first at tick 0.

    Of changes at the same tick the last one in file order holds.
    """
    segments: list[tuple[int, int, int]] = []
    for tick, per_tick in sorted(changes, key=lambda change: change[0]):
        units = 0
        if segments:
            tick_before, units_before, per_tick_before = segments[-1]
            units = units_before + (tick - tick_before) * per_tick_before
        segments.append((tick, units, per_tick))
    tick, units, per_tick = segments[-1]
    last_units = units + max(last_tick - tick, 0) * per_tick
    dtype = np.int64 if last_units < _INT64_END else object
    ticks, units, per_tick = (np.array(column, dtype=dtype) for column in zip(*segments))
    return Clock(ticks.astype(np.int64), units, per_tick, units_per_second)


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
