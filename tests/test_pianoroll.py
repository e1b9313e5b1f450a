"""Validating piano rolls."""

import numpy as np
import pytest

from rnn4music.data import pianoroll


def test_a_roll_of_zeros_and_ones_is_returned_unchanged():
    for dtype in (bool, np.uint8, np.float32):
        assert pianoroll.validate("roll", np.eye(3, dtype=dtype), 3).dtype == dtype
    np.testing.assert_array_equal(pianoroll.validate("roll", [[0, 1]]), [[0, 1]])


@pytest.mark.parametrize(
    "value, error, message",
    [
        (np.zeros((2, 12, 20)), ValueError, r"tune must have the shape .*; give one tune at a"),
        (np.zeros(20), ValueError, r"tune must have the shape \(steps, pitches\), but has \(20,\)"),
        (7, ValueError, r"tune must have the shape \(steps, pitches\), but has \(\)"),
        (np.zeros((0, 20)), ValueError, "tune is empty"),
        (np.zeros((5, 0)), ValueError, "tune is empty"),
        ([[0, 0.5]], ValueError, r"tune holds 0.5; .* roll >= 0.5"),
        ([[0, 90]], ValueError, r"tune holds values from 0 to 90; .* take \(roll > 0\)"),
        ([[0, np.nan]], ValueError, "tune holds NaN"),
        ([[0, 1], [0]], ValueError, "tune must have rows of equal length"),
        ("tune.mid", TypeError, "tune must be an array of numbers"),
    ],
)
def test_invalid_rolls(value, error, message):
    with pytest.raises(error, match=message):
        pianoroll.validate("tune", value, binary=True)


def test_another_width_is_refused():
    with pytest.raises(ValueError, match=r"roll must have the shape \(steps, 4\)"):
        pianoroll.validate("roll", np.eye(3), 4)


@pytest.mark.parametrize(("columns", "n_pitches", "remedy"), (
    (88, 176, "onsets=True, which doubles the width"),
    (176, 88, "onsets=False, since the roll has twice as many columns"),
    (80, 88, "a pitch range of that width"),
))  # fmt: skip
def test_rolls_of_the_other_kind_are_named(columns, n_pitches, remedy):
    with pytest.raises(ValueError, match=f"with {remedy}$"):
        pianoroll.validate("roll", np.zeros((4, columns)), n_pitches)
