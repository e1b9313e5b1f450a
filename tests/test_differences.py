"""The phrases on values that are not as expected."""

import copy

from rnn4music._utils.differences import OtherOptions, differences


def test_only_what_differs_is_named_in_the_order_of_what_is_expected():
    existing = {"seed": 1, "windows": "all", "batch_size": 5, "other": 3}
    expected = {"windows": "start", "seed": 1, "batch_size": 6}
    assert differences(existing, expected) == ["windows 'all', not 'start'", "batch_size 5, not 6"]
    assert differences(existing, existing) == []


def test_what_is_missing_counts_as_none():
    assert differences({}, {"patience": None}) == []
    assert differences({}, {"patience": 3}) == ["patience None, not 3"]


def test_flags_are_shown_as_they_are_typed():
    names = {"h1": "--units", "h2": "--units", "range": "--pitch-range", "sustain": "--sustain"}
    existing = {"h1": 50, "h2": 50, "range": [21, 109], "sustain": False}
    expected = {"h1": 50, "h2": 60, "range": [30, 100], "sustain": True}
    assert differences(existing, expected, names) == [
        "--units 50 50, not 50 60",
        "--pitch-range 21 109, not 30 100",
        "--sustain off, not on",
    ]


def test_an_error_can_be_renamed_and_cross_to_another_process():
    error = OtherOptions("{x} has ", {"a": 1}, {"a": 2}, ". Stop")
    assert str(copy.copy(error)) == str(error) == "{x} has a 1, not 2. Stop"
    renamed = copy.copy(error.named({"a": "--all"}))
    assert str(renamed) == "{x} has --all 1, not 2. Stop"
