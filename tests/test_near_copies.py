"""Which tunes are copies of each other, or nearly."""

import numpy as np
import pytest

from rnn4music import near_copies
from rnn4music.near_copies import PASSAGE, group_near_copies, passages_of


@pytest.fixture
def tune(rng):
    """A hundred different chords."""
    return rng.random((100, 88)) < 0.04


def together(*rolls):
    return len(set(group_near_copies(rolls))) == 1


def shift(roll, semitones):
    return np.roll(roll, semitones, axis=1)


def test_copies_of_all_kinds_are_found(rng):
    tune = np.zeros((100, 88), bool)
    tune[:, 20:60] = rng.random((100, 40)) < 0.08
    silence = np.zeros((7, 88), bool)
    changed = tune.copy()
    changed[[10, 50, 90]] = False
    copies = {
        "itself": tune.copy(),
        "another key": shift(tune, 5),
        "a lower key": shift(tune, -20),
        "slower": np.repeat(tune, 3, axis=0),
        "silence around": np.concatenate((silence, tune, silence)),
        "a few notes changed": changed,
        "another start and end": tune[20:75],
        "as numbers": tune.astype(float),
        "one high note more": np.concatenate((tune, np.eye(1, 88, 87) > 0)),
        "one low note more": np.concatenate((np.eye(1, 88, 0) > 0, tune)),
    }
    for name, copy in copies.items():
        assert together(tune, copy), name
    assert together(*copies.values())


def test_different_tunes_are_apart(rng):
    rolls = [rng.random((60, 88)) < 0.05 for _ in range(40)]
    assert group_near_copies(rolls) == list(range(40))


def test_half_of_the_shorter_tune_is_the_limit(rng):
    one, other = (rng.random((200, 88)) < 0.05 for _ in range(2))
    n_passages = 200 - PASSAGE + 1
    for n_shared, expected in ((n_passages // 2 + 1, True), (n_passages // 2 - 2, False)):
        mixed = np.concatenate((one[: n_shared + PASSAGE - 1], other))[:200]
        assert together(one, mixed) == expected


def test_many_tunes_are_compared_some_at_a_time(rng, monkeypatch):
    long, other = (rng.random((n, 88)) < 0.05 for n in (200, 60))
    tunes = [other, long, *(rng.random((60, 88)) < 0.05 for _ in range(5)), long[:40]]
    whole = group_near_copies(tunes)
    assert whole == [0, 1, 2, 3, 4, 5, 6, 1]
    monkeypatch.setattr(near_copies, "_TUNES_AT_ONCE", 1)
    assert group_near_copies(tunes) == whole
    half = [rng.random((9, 88)) < 0.05, other, np.concatenate((other[:20], long))]
    assert group_near_copies(half) == [0, 1, 2]


def test_copies_of_copies_are_one_group(rng):
    long = rng.random((140, 88)) < 0.05
    overlapping = [long[start : start + 60] for start in (60, 20, 80, 0, 40)]
    assert group_near_copies(overlapping) == [0, 0, 0, 0, 0]
    assert group_near_copies(overlapping[2:4]) == [0, 1]


def test_very_many_copies_are_one_group(tune):
    assert together(*[tune] * 120)


def test_copies_made_of_passages_that_very_many_tunes_have(rng):
    parts = [rng.random((20, 88)) < 0.05 for _ in range(4)]
    tunes = [rng.random((60, 88)) < 0.05 for _ in range(60)]
    tunes = [np.concatenate((parts[k % 4], tune)) for k, tune in enumerate(tunes)]
    common = [np.concatenate(parts), np.concatenate(parts)]
    common[1][30:32] = False
    groups = group_near_copies(tunes + common)
    assert groups[:60] == list(range(60)) and groups[60] == groups[61] == 60


def test_exact_copies_are_found_however_common_their_passages(tune, monkeypatch):
    monkeypatch.setattr(near_copies, "_COMMON", 3)
    longer = [np.concatenate((tune, np.eye(88, dtype=bool)[k : k + 9])) for k in range(5)]
    assert group_near_copies([*longer, longer[3].copy()]) == [0, 1, 2, 3, 4, 3]


def test_the_chords_matter_and_not_the_intervals_between_lowest_keys_alone(rng):
    low = rng.integers(10, 30, 100)
    one, other = np.zeros((2, 100, 88), bool)
    one[np.arange(100), low] = other[np.arange(100), low] = True
    other[np.arange(100), low + rng.integers(1, 30, 100)] = True
    assert not together(one, other)


def test_short_and_silent_tunes(rng):
    silent, short = np.zeros((5, 88), bool), rng.random((3, 88)) < 0.1
    assert group_near_copies([]) == []
    assert group_near_copies([silent, short, silent[:1], short.copy()]) == [0, 1, 0, 1]
    assert len(passages_of(short)) == 1
