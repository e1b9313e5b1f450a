"""Finding duplicates and near duplicates."""

import numpy as np
import pytest

from midi import midiwrite
from rnn4music.data import duplicates
from rnn4music.data.duplicates import (
    N,
    group_near_duplicates,
    group_sketches,
    ngrams_of,
    sketch_of,
)
from rnn4music.data.midi_files import load_midi


@pytest.fixture
def tune(rng):
    """Return a roll of a hundred different chords."""
    return rng.random((100, 88)) < 0.04


def together(*rolls):
    return len(set(group_near_duplicates(rolls))) == 1


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
    assert group_near_duplicates(rolls) == list(range(40))


def test_half_of_the_shorter_tune_is_the_limit(rng):
    one, other = (rng.random((200, 88)) < 0.05 for _ in range(2))
    n_ngrams = 200 - N + 1
    for n_shared, expected in ((n_ngrams // 2 + 1, True), (n_ngrams // 2 - 2, False)):
        mixed = np.concatenate((one[: n_shared + N - 1], other))[:200]
        assert together(one, mixed) == expected


def test_many_tunes_are_compared_some_at_a_time(rng, monkeypatch):
    long, other = (rng.random((n, 88)) < 0.05 for n in (200, 60))
    tunes = [other, long, *(rng.random((60, 88)) < 0.05 for _ in range(5)), long[:40]]
    whole = group_near_duplicates(tunes)
    assert whole == [0, 1, 2, 3, 4, 5, 6, 1]
    monkeypatch.setattr(duplicates, "_BATCH", 1)
    assert group_near_duplicates(tunes) == whole
    half = [rng.random((9, 88)) < 0.05, other, np.concatenate((other[:20], long))]
    assert group_near_duplicates(half) == [0, 1, 2]


def test_copies_of_copies_are_one_group(rng):
    long = rng.random((140, 88)) < 0.05
    overlapping = [long[start : start + 60] for start in (60, 20, 80, 0, 40)]
    assert group_near_duplicates(overlapping) == [0, 0, 0, 0, 0]
    assert group_near_duplicates(overlapping[2:4]) == [0, 1]


def test_very_many_copies_are_one_group(tune):
    assert together(*[tune] * 120)


def test_copies_made_of_ngrams_that_many_other_tunes_share(rng):
    parts = [rng.random((20, 88)) < 0.05 for _ in range(4)]
    tunes = [rng.random((60, 88)) < 0.05 for _ in range(60)]
    tunes = [np.concatenate((parts[k % 4], tune)) for k, tune in enumerate(tunes)]
    common = [np.concatenate(parts), np.concatenate(parts)]
    common[1][30:32] = False
    groups = group_near_duplicates(tunes + common)
    assert groups[:60] == list(range(60)) and groups[60] == groups[61] == 60


def test_exact_copies_are_found_however_common_their_ngrams(tune, monkeypatch):
    monkeypatch.setattr(duplicates, "_COMMON", 3)
    longer = [np.concatenate((tune, np.eye(88, dtype=bool)[k : k + 9])) for k in range(5)]
    assert group_near_duplicates([*longer, longer[3].copy()]) == [0, 1, 2, 3, 4, 3]


def test_chords_matter_and_not_only_the_lowest_pitches(rng):
    low = rng.integers(10, 30, 100)
    one, other = np.zeros((2, 100, 88), bool)
    one[np.arange(100), low] = other[np.arange(100), low] = True
    other[np.arange(100), low + rng.integers(1, 30, 100)] = True
    assert not together(one, other)


def test_short_and_silent_tunes(rng):
    silent, short = np.zeros((5, 88), bool), rng.random((3, 88)) < 0.1
    assert group_near_duplicates([]) == []
    assert group_near_duplicates([silent, short, silent[:1], short.copy()]) == [0, 1, 0, 1]
    assert len(ngrams_of(short)) == 1


# ---- sketches


def test_a_sketch_has_all_ngrams_of_a_short_tune_and_a_sample_of_a_long_one(rng):
    for n_ngrams, level in ((1, 0), (64, 0), (65, 1), (128, 1), (129, 2), (257, 3), (5000, 3)):
        roll = rng.random((n_ngrams + N - 1, 88)) < 0.05
        roll[:, 40] = True  # no step is silent
        sketch, whole = sketch_of(roll), ngrams_of(roll)
        assert sketch.level == level and set(sketch.ngrams) <= set(whole)
        expected = n_ngrams / 2**level
        assert abs(len(sketch.ngrams) - expected) <= 5 * np.sqrt(expected) * (level > 0)


def test_sketches_of_short_tunes_group_them_as_all_their_ngrams_do(rng):
    long = rng.random((140, 88)) < 0.05
    rolls = [long[start : start + 70] for start in (60, 20, 70, 0, 40)]
    rolls += [rng.random((n, 88)) < 0.05 for n in (1, 3, 70)] + [np.zeros((5, 88), bool)] * 2
    assert group_sketches([sketch_of(roll) for roll in rolls]) == group_near_duplicates(rolls)


def test_sketches_find_copies_of_long_tunes_and_parts_of_them(rng):
    def sketched(n_steps):
        roll = rng.random((n_steps, 88)) < 0.05
        roll[:, :20] = False
        changed = shift(roll, -7)
        changed[rng.integers(0, n_steps, n_steps // 80)] = False
        part = roll[n_steps // 4 : 3 * n_steps // 4]
        return [sketch_of(each) for each in (roll, changed, np.repeat(part, 2, axis=0))]

    lengths = (100, 200, 300, 700, 3000, 150, 400)
    sketches = [sketch for n_steps in lengths for sketch in sketched(n_steps)]
    assert group_sketches(sketches) == [k - k % 3 for k in range(len(sketches))]
    order = rng.permutation(len(sketches)).tolist()
    groups = group_sketches([sketches[k] for k in order])
    assert len(set(groups)) == len(lengths)
    assert all(groups[groups[k]] == groups[k] <= k for k in range(len(groups)))
    assert len({(order[k] // 3, group) for k, group in enumerate(groups)}) == len(lengths)


def test_an_ngram_that_a_short_and_a_long_tune_share_does_not_make_them_copies(rng):
    """The sketch of a long tune may leave one n-gram of a short one, which both contain."""
    tunes = [rng.random((3000, 88)) < 0.05]
    tunes += [np.concatenate((tunes[0][k : k + 10], rng.random((50, 88)) < 0.05))
              for k in range(0, 2900, 30)]  # fmt: skip
    assert len(set(group_sketches([sketch_of(tune) for tune in tunes]))) == len(tunes)


def test_a_copy_at_another_tempo_is_found_only_in_steps_of_a_beat(tune, tmp_path):
    for k, frame in enumerate((0.3, 0.24)):  # both are half a quarter note
        midiwrite(tmp_path / f"{k}.mid", tune, (21, 109), frame)
    assert together(*load_midi(tmp_path, steps_per_beat=2).rolls)
    assert not together(*load_midi(tmp_path, time_step=0.3).rolls)
