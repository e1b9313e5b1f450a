"""`Beats`: how the steps of a piano roll lie in beats and bars."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple


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
