"""The phrases on values that are not as expected."""

from rnn4music._utils.differences import differences


def test_only_what_differs_is_named_in_the_order_of_what_is_expected():
    existing = {"seed": 1, "windows": "all", "batch_size": 5, "other": 3}
    expected = {"windows": "start", "seed": 1, "batch_size": 6}
    phrases = ["windows is 'all', expected 'start'", "batch_size is 5, expected 6"]
    assert differences(existing, expected) == phrases
    assert differences(existing, existing) == []


def test_what_is_missing_counts_as_none():
    assert differences({}, {"patience": None}) == []
    assert differences({}, {"patience": 3}) == ["patience is None, expected 3"]
