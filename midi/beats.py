"""`Beats`: how the steps of a piano roll lie in beats and bars, and what a file says of it.

Conventions
-----------
A signature acts from its tick on, on all tracks; in format 2 those of the first track count.
Signatures that are too short, or have values that no music has, are ignored. Of several at one
tick those of the lowest track count, and among these the last, since the first track of a file is
its conductor and others may be written for transposing instruments.

Each time signature begins a bar. A first one that lasts at most one bar of its own, and less than a
bar of the next, such as a quarter of 1/4 or 3/4 before 3/4, is an upbeat: the bars are those of the
next. Before the first time signature the metre is 4/4, as the standard says.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .events import META, META_KEY_SIGNATURE, META_TIME_SIGNATURE, Events, Header
from .timing import Clock, exact_number

_MOST_BARS = 100_000
LONGEST_BAR, DENOMINATORS = 255, (1, 2, 4, 8, 16, 32, 64)  # of a time signature
_MOST_SHARPS = 7


class Beats(NamedTuple):
    """The beats, bars and tempo of a piano roll whose steps are parts of a quarter note.

    Attributes
    ----------
    steps_per_beat : int, float or Fraction
        Steps per quarter note.
    tempo : float
        Quarter notes per minute.
    meter : (int, int)
        The time signature, such as (3, 4); the second number is a power of 2.
    first_step : int
        The place in its bar of the roll's first step: 0 if the roll begins with a bar, and
        otherwise less than `steps_per_bar`, as where a tune begins with an upbeat.
    key : (int, bool), optional
        The key signature: the number of sharps, or of flats as a negative number, from -7
        to 7, and whether the key is minor.
    """

    steps_per_beat: int | float | Fraction
    tempo: float = 120.0
    meter: tuple[int, int] = (4, 4)
    first_step: int = 0
    key: tuple[int, bool] | None = None

    @property
    def step(self) -> Fraction:
        """The length of a step in quarter notes, as the caller wrote it."""
        return 1 / Fraction(str(self.steps_per_beat))

    @property
    def time_step(self) -> float:
        """The length of a step in seconds."""
        return float(60 * self.step / Fraction(str(self.tempo)))

    @property
    def steps_per_bar(self) -> Fraction:
        """The number of steps of a bar; not whole if a bar is not a multiple of a step."""
        return Fraction(4 * self.meter[0], self.meter[1]) / self.step

    @property
    def counts_per_bar(self) -> int:
        """The beats that musicians count in a bar: two in 6/8, three in 3/4 and 9/8."""
        return self.meter[0] // (3 if is_compound(self.meter) else 1)


def is_compound(meter: tuple[int, int]) -> bool:
    """Return whether three notes make a beat of a metre, as in 6/8, 9/8 and 12/8."""
    number, unit = meter
    return unit >= 8 and number > 3 and number % 3 == 0


class Signature(NamedTuple):
    """A time or key signature of a file, as it stands there."""

    tick: int
    track: int
    kind: int
    data: bytes


def signatures(header: Header, events: Events, tick: np.ndarray) -> list[Signature]:
    """Return the signatures of a file, in the order in which they act."""
    meta = np.flatnonzero(events.status == META)
    if header.format == 2:
        meta = meta[events.track[meta] == 0]
    kinds = events.first[meta]
    chosen = np.flatnonzero((kinds == META_TIME_SIGNATURE) | (kinds == META_KEY_SIGNATURE))
    at = meta[chosen]
    columns = (tick[at], events.track[at], kinds[chosen])
    data = [events.meta[k] for k in chosen.tolist()]
    found = list(map(Signature, *(column.tolist() for column in columns), data))
    return sorted(found, key=lambda signature: (signature.tick, -signature.track))


def meters(found: Iterable[Signature]) -> list[tuple[int, tuple[int, int]]]:
    """Return the ticks and values of the valid time signatures, the last at each tick."""
    values = {
        s.tick: (s.data[0], 2 ** s.data[1])
        for s in found
        if s.kind == META_TIME_SIGNATURE
        and len(s.data) >= 2
        and s.data[0] > 0
        and s.data[1] < len(DENOMINATORS)
    }
    return list(values.items())


def keys(found: Iterable[Signature]) -> list[tuple[int, tuple[int, bool]]]:
    """Return the ticks and values of the valid key signatures, the last at each tick."""
    values = {
        s.tick: (int.from_bytes(s.data[:1], "big", signed=True), s.data[1] == 1)
        for s in found
        if s.kind == META_KEY_SIGNATURE
        and len(s.data) >= 2
        and s.data[1] <= 1
        and not _MOST_SHARPS < s.data[0] < 256 - _MOST_SHARPS
    }
    return list(values.items())


def counted_meters(found: Iterable[Signature], division: int) -> list[tuple[int, tuple[int, int]]]:
    """Return the ticks and values of the time signatures from which bars are counted.

    The first is 4/4 where the file has none at tick 0. What is before the first is an upbeat.
    """
    counted = meters(found)
    if not counted or counted[0][0] > 0:
        counted.insert(0, (0, (4, 4)))
    if len(counted) > 1:
        tick = counted[1][0]
        own, following = (_ticks_per_bar(meter, division) for _, meter in counted[:2])
        if tick <= own and tick < following:
            del counted[0]  # an upbeat
    return counted


def _ticks_per_bar(meter: tuple[int, int], division: int) -> Fraction:
    """Return the length of a bar; 0 if the file counts seconds (SMPTE)."""
    return Fraction(0 if division & 0x8000 else 4 * division * meter[0], meter[1])


@dataclass(frozen=True, eq=False)
class Score:
    """What a file says of its tempo, metre and key; computed when asked for.

    Attributes
    ----------
    division : int
        As in the file's header.
    signatures : list of Signature
    tempos : list of (int, int)
        Ticks, and microseconds per quarter note.
    first, last : int
        The ticks at which the first note begins and the last one ends, or the file if it has
        none; `last` is greater.
    tempo_given : Fraction or None
        Quarter notes per minute that override the file's.
    step : Fraction
        The length of the roll's steps in quarter notes.
    n_skipped : int
        Steps that the roll leaves out at its beginning.
    clock : Clock
        The file's time in seconds.
    """

    division: int
    signatures: list[Signature]
    tempos: list[tuple[int, int]]
    first: int
    last: int
    tempo_given: Fraction | None
    step: Fraction
    n_skipped: int
    clock: Clock

    @property
    def in_smpte(self) -> bool:
        """Whether the file counts seconds, and has no quarter notes."""
        return self.division & 0x8000 > 0

    @cached_property
    def tempo(self) -> float | None:
        """The median of the tempos, each as often as it has quarter notes of the music.

        This is the tempo in force for most of the music, if one is. In quarter notes per minute,
        with at most three decimals if that stands for the same microseconds in a file;
        None if the file counts seconds.
        """
        if self.tempo_given is not None:
            return float(self.tempo_given)
        if self.in_smpte:
            return None
        lengths = self._lengths(self.tempos)
        n_ticks, half = 0, sum(lengths.values()) / 2
        for microseconds in sorted(lengths):
            n_ticks += lengths[microseconds]
            if n_ticks >= half:
                break
        exact = 60e6 / microseconds
        shorter = (round(exact, n_decimals) for n_decimals in range(4))  # as 90 for 666,667
        return next((tempo for tempo in shorter if round(60e6 / tempo) == microseconds), exact)

    @cached_property
    def meter(self) -> tuple[int, int] | None:
        """The time signature in force for most of the music; None if the file has none."""
        return self._most(self._bars) if meters(self.signatures) else None

    @cached_property
    def key(self) -> tuple[int, bool] | None:
        """The key signature in force for most of the music; None if the file has none."""
        found = keys(self.signatures)
        return self._most(found) if found else None

    @cached_property
    def n_meter_changes(self) -> int:
        """The number of times that the metre changes in the music, not counting an upbeat."""
        changes = zip(self._bars, self._bars[1:])
        return sum(
            before != after and self.first < tick < self.last
            for (_, before), (tick, after) in changes
        )

    @cached_property
    def bars(self) -> np.ndarray | None:
        """The seconds at which bars begin before the end of the music; None if unknown.

        Bars that are shorter than a tick, and begin together, count as one.
        """
        if self.meter is None or self.in_smpte:
            return None
        ticks, ends = [], [*(tick for tick, _ in self._bars[1:]), self.last]
        for (tick, meter), end in zip(self._bars, ends):
            length = self._ticks_per_bar(meter)
            n_bars = math.ceil((min(end, self.last) - tick) / length)  # below 1 after the music
            if len(ticks) + n_bars > _MOST_BARS:
                return None
            ticks += [tick + int(k * length) for k in range(n_bars)]
        seconds = self.clock.at(np.array(ticks)) / self.clock.units_per_second
        return np.unique(seconds.astype(np.float64))

    @cached_property
    def beats(self) -> Beats:
        """The beats of the roll.

        The bars are counted from the time signature in force at the roll's first step, or from
        the next one of the metre of most of the music. A bar that begins between two steps
        begins with the nearest, from halfway on with the later one.
        """
        meter = self._most(self._bars)
        length = self.step * self.division
        begin = self.n_skipped * length
        ends = [*(tick for tick, _ in self._bars[1:]), self.last]
        spans = [(tick, end) for (tick, value), end in zip(self._bars, ends) if value == meter]
        # Bars begin in the steps nearest to their ticks, as notes do.
        bar = next((tick for tick, end in spans if begin + length / 2 <= end), spans[-1][0])
        steps_per_bar = self._ticks_per_bar(meter) / length
        place = (begin - bar) / length % steps_per_bar
        first_step = math.ceil(place - Fraction(1, 2))
        if first_step >= steps_per_bar:
            first_step = 0  # of the next bar
        return Beats(_plain(1 / self.step), self.tempo or 120.0, meter, first_step, self.key)

    @cached_property
    def _bars(self) -> list[tuple[int, tuple[int, int]]]:
        """The ticks and values of the time signatures from which bars are counted."""
        return counted_meters(self.signatures, self.division)

    def _ticks_per_bar(self, meter: tuple[int, int]) -> Fraction:
        return _ticks_per_bar(meter, self.division)

    def _most(self, changes: list[tuple[int, Any]]) -> Any:
        """Return the value that is in force for most of the music."""
        lengths = self._lengths(changes)
        return max(lengths, key=lengths.__getitem__)

    def _lengths(self, changes: list[tuple[int, Any]]) -> dict[Any, int]:
        """Return the number of ticks of the music for which each value is in force."""
        lengths = dict.fromkeys((value for _, value in changes), 0)
        ends = [*(tick for tick, _ in changes[1:]), self.last]
        for (tick, value), end in zip(changes, ends):
            lengths[value] += max(0, min(end, self.last) - max(tick, self.first))
        return lengths


def checked_beats(beats: Any) -> Beats:
    """Return beats that a MIDI file can hold, as plain numbers; raise an error for others."""
    if not isinstance(beats, Beats):
        raise TypeError(f"beats must be midi.Beats(steps_per_beat=4, tempo=120.0), not {beats!r}")
    steps = exact_number("steps_per_beat", beats.steps_per_beat, "steps such as 4")
    tempo = exact_number("tempo", beats.tempo, "quarter notes per minute such as 120")
    try:
        numerator, denominator = map(operator.index, beats.meter)
        first_step = operator.index(beats.first_step)
        sharps, is_minor = (0, False) if beats.key is None else beats.key
        sharps = operator.index(sharps)
    except (TypeError, ValueError):
        raise TypeError(
            "beats need a meter such as (3, 4), a whole first_step, and a key such as "
            f"(-1, False) or None, not {beats!r}"
        ) from None
    if not 1 <= numerator <= LONGEST_BAR or denominator not in DENOMINATORS:
        raise ValueError(
            f"meter={beats.meter} must be 1 to {LONGEST_BAR}, and one of "
            f"{', '.join(map(str, DENOMINATORS))}, such as (3, 4)"
        )
    if not 0 <= first_step < beats.steps_per_bar:
        raise ValueError(
            f"first_step={first_step} must be from 0 to below {float(beats.steps_per_bar):g}, "
            f"the steps of a bar of {numerator}/{denominator}"
        )
    if not -_MOST_SHARPS <= sharps <= _MOST_SHARPS or not isinstance(is_minor, (bool, np.bool_)):
        raise ValueError(
            f"key={beats.key} must be -7 (flats) to 7 (sharps), and whether the key is minor"
        )
    key = None if beats.key is None else (sharps, bool(is_minor))
    return Beats(_plain(steps), float(tempo), (numerator, denominator), first_step, key)


def _plain(number: Fraction) -> int | float | Fraction:
    """Return a number as an integer or a float where that is the same."""
    if number.denominator == 1:
        return int(number)
    return float(number) if Fraction(str(float(number))) == number else number
