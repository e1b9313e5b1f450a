"""Statistics of tunes, the comparison of two sets by their statistics, and the longest copy."""

from dataclasses import fields
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from midi import canonical_onsets, onset_notes
from rnn4music.data.dataset import Dataset
from rnn4music.evaluation.music_metrics import (
    TuneStatistics,
    describe,
    longest_copy,
    mean_overlap,
    mean_statistics,
    overlap,
    passage_hashes,
)

NAMES = [field.name for field in fields(TuneStatistics)]
HISTOGRAMS = [name for name in NAMES if name.endswith("histogram")]
small_rolls = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 6)))
narrow_rolls = arrays(bool, st.tuples(st.integers(1, 7), st.just(4)))
pairs = st.tuples(st.just(2), st.integers(1, 12), st.integers(1, 5)).flatmap(
    lambda shape: arrays(bool, shape)
)  # sounding, struck


def roll_of(*steps, n_pitches=24):
    """Return a roll, given the pitches that sound at each step."""
    roll = np.zeros((len(steps), n_pitches), bool)
    for step, keys in enumerate(steps):
        roll[step, list(keys)] = True
    return roll


def melody(*keys, n_pitches=60):
    return roll_of(*([key] for key in keys), n_pitches=n_pitches)


def with_onsets(roll, struck=None):
    return np.hstack([roll, canonical_onsets(roll, struck)])


def nonzero(histogram, first=0):
    return {first + k: share for k, share in enumerate(histogram) if share}


def assert_same(one, other, names=NAMES):
    for name in names:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), err_msg=name)


# One tune


def test_a_small_tune_by_hand():
    found = describe(roll_of([0, 4], [0, 4], [0, 7], [], [12], [12]), lowest_pitch=61)
    assert nonzero(found.pitch_class_histogram) == {1: 5 / 8, 5: 2 / 8, 8: 1 / 8}
    assert nonzero(found.interval_histogram, -13) == {3: 1 / 2, 5: 1 / 2}
    assert nonzero(found.note_length_histogram, 1) == {1: 1 / 4, 2: 2 / 4, 3: 1 / 4}
    assert (found.pitch_range, found.n_pitches) == (12, 4)
    assert (found.polyphony, found.note_density, found.mean_note_length) == (8 / 5, 4 / 6, 2)
    assert (found.silent_share, found.repeated_share, found.longest_held) == (1 / 6, 2 / 5, 2)
    assert np.isnan(found.self_similarity)


@pytest.mark.parametrize(
    ("length", "place"),
    [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (8, 4), (9, 5), (16, 5), (17, 6), (90, 6)],
)
def test_the_bins_of_note_lengths(length, place):
    found = describe(roll_of(*[[3]] * length, []))
    assert nonzero(found.note_length_histogram) == {place: 1}
    assert found.mean_note_length == found.longest_held == length


def test_the_bins_of_intervals():
    found = describe(melody(0, 12, 0, 13, 0, 50, 49))
    sixths = np.round(6 * found.interval_histogram, 9)
    assert nonzero(sixths, -13) == {-13: 1, -12: 1, -1: 1, 12: 1, 13: 2}


def test_the_highest_voice_is_made_of_onsets_that_nothing_covers():
    def intervals(*steps):
        return nonzero(describe(roll_of(*steps)).interval_histogram, -13)

    assert intervals([5], [5, 9], [9], [2, 9], [9], [7]) == {4: 0.5, -2: 0.5}
    assert intervals([5, 1], [5, 2], [5, 3], [6, 3]) == {1: 1}  # a held note covers the others
    assert intervals([5, 9], [5], [], [5]) == {-4: 1}  # a held note has no onset; rests are skipped
    assert np.isnan(describe(roll_of([5], [3, 5])).interval_histogram).all()


def test_passages_that_recur():
    scale = [0, 2, 4, 5, 7, 9, 11, 12]
    assert describe(melody(*scale)).self_similarity == 0
    assert describe(melody(*scale, 14, 16, 17)).self_similarity == 0
    assert describe(melody(*scale[:7])).self_similarity is np.nan
    # of the 12 n-grams the first and the last are the same
    twice = melody(*scale, 1, 3, 6, *scale)
    assert describe(twice).self_similarity == pytest.approx(2 / 12)
    moved = melody(*scale, 1, 3, 6, *(key + 1 for key in scale))
    assert describe(moved).self_similarity == 0
    assert describe(melody(*[0, 1] * 10)).self_similarity == 1
    # n-grams without a change do not count; none of the 25 others recurs
    held = describe(melody(*[3] * 20, *[5] * 20, *[3] * 5, *range(10, 18)))
    assert held.self_similarity == 0


@settings(deadline=None)
@given(roll=small_rolls)
def test_notes_are_runs_of_their_key(roll):
    runs = [(on, len(list(run))) for key in roll.T for on, run in groupby(key)]
    lengths = [length for on, length in runs if on]
    found = describe(roll)
    assert found.note_density == len(lengths) / len(roll)
    np.testing.assert_allclose(found.mean_note_length, np.mean(lengths) if lengths else np.nan)
    if lengths:
        places = [min(length - 1, 4) + (length > 8) for length in lengths]
        shares = np.bincount(places, minlength=7) / len(lengths)
        np.testing.assert_allclose(found.note_length_histogram, shares)


@settings(deadline=None)
@given(roll=arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 2))))
def test_recurrence_and_held_steps_against_their_definitions(roll):
    passages = [roll[k : k + 8].tolist() for k in range(len(roll) - 7)]
    moving = [each for each in passages if any(step != each[0] for step in each)]
    recur = [moving.count(each) > 1 for each in moving]
    found = describe(roll)
    np.testing.assert_allclose(found.self_similarity, np.mean(recur) if recur else np.nan)
    same = [(one == other).all() for one, other in zip(roll[1:], roll[:-1])]
    np.testing.assert_allclose(found.repeated_share, np.mean(same) if same else np.nan)
    longest = run = 1
    for each in same:
        run = run + 1 if each else 1
        longest = max(longest, run)
    assert found.longest_held == longest


def test_a_small_tune_with_onsets_by_hand():
    """C four times, E held over them, and G over the last two of them."""
    roll = roll_of(*[[0, 4]] * 4, *[[0, 4, 7]] * 3, [0, 4, 7], [], [0])
    struck = roll_of([0], [], [0], [], [0], [], [0], [7], [9], [], n_pitches=24)  # 9 is silent
    found = describe(np.hstack([roll, struck]), onsets=True)
    assert (found.note_density, found.mean_note_length) == (8 / 10, (4 * 2 + 8 + 3 + 1 + 1) / 8)
    assert found.repeated_notes == 4 / 8
    assert nonzero(found.note_length_histogram, 1) == {1: 2 / 8, 2: 4 / 8, 3: 1 / 8, 5: 1 / 8}
    # the highest voice: E, G, G, C
    assert nonzero(found.interval_histogram, -13) == {3: 1 / 3, 0: 1 / 3, -7: 1 / 3}
    assert (found.repeated_share, found.longest_held) == (3 / 9, 2)
    plain = describe(roll)
    assert (plain.note_density, plain.mean_note_length) == (4 / 10, (8 + 8 + 4 + 1) / 4)
    assert (plain.repeated_share, plain.longest_held) == (6 / 9, 4)
    same = ["pitch_class_histogram", "pitch_range", "n_pitches", "polyphony", "silent_share"]
    assert_same(found, plain, same)


@settings(deadline=None)
@given(roll=small_rolls)
def test_without_repeated_notes_onsets_change_nothing(roll):
    same = set(NAMES) - {"repeated_notes", "self_similarity"}
    plain = describe(roll)
    assert np.isnan(plain.repeated_notes)
    for struck in (canonical_onsets(roll), np.zeros_like(roll), ~roll):
        found = describe(np.hstack([roll, struck]), onsets=True)
        assert_same(found, plain, same)
        np.testing.assert_equal(found.repeated_notes, 0.0 if roll.any() else np.nan)


@settings(deadline=None)
@given(pair=pairs)
def test_statistics_of_struck_notes_against_their_definitions(pair):
    roll, struck = pair
    found = describe(np.hstack(pair), onsets=True)
    notes = onset_notes(roll, struck)
    again = [first > 0 and roll[first - 1, column] for column, first, _ in notes]
    np.testing.assert_equal(found.repeated_notes, np.mean(again) if again else np.nan)
    assert found.note_density == len(notes) / len(roll)
    lengths = [end - first for _, first, end in notes]
    np.testing.assert_allclose(found.mean_note_length, np.mean(lengths) if lengths else np.nan)
    strikes = {first for _, first, _ in notes}
    same = [t not in strikes and (roll[t] == roll[t - 1]).all() for t in range(1, len(roll))]
    np.testing.assert_allclose(found.repeated_share, np.mean(same) if same else np.nan)


@settings(deadline=None)
@given(pair=st.integers(8, 30).flatmap(lambda n: arrays(bool, (2, n, 1))))
def test_recurrence_of_strikes_against_its_definition(pair):
    roll = with_onsets(*pair)
    passages = [roll[k : k + 8].tolist() for k in range(len(roll) - 7)]
    moving = [
        each
        for each in passages
        if any(step[0] != before[0] or step[1] for before, step in zip(each, each[1:]))
    ]
    recur = [moving.count(each) > 1 for each in moving]
    found = describe(roll, onsets=True).self_similarity
    np.testing.assert_allclose(found, np.mean(recur) if recur else np.nan)


def test_a_repeated_rhythm_is_similar_to_itself(rng):
    roll = np.ones((32, 1), bool)
    rhythm = rng.random((16, 1)) < 0.5
    rhythm[0] = True
    twice = np.hstack([roll, np.concatenate([rhythm, rhythm])])
    assert 0.5 < describe(twice, onsets=True).self_similarity < 1
    assert np.isnan(describe(with_onsets(roll), onsets=True).self_similarity)


def test_a_silent_tune():
    found = describe(np.zeros((9, 5)))
    assert (found.n_pitches, found.note_density) == (0, 0)
    assert (found.silent_share, found.repeated_share, found.longest_held) == (1, 1, 9)
    undefined = {name for name in NAMES if np.isnan(getattr(found, name)).all()}
    assert undefined == {
        *HISTOGRAMS, "pitch_range", "polyphony", "mean_note_length", "repeated_notes",
        "self_similarity",
    }  # fmt: skip


def test_a_tune_of_one_step():
    found = describe([[0, 1, 1]])
    assert (found.n_pitches, found.pitch_range, found.polyphony, found.note_density) == (2, 1, 2, 2)
    assert (found.mean_note_length, found.longest_held, found.silent_share) == (1, 1, 0)
    assert np.isnan(found.repeated_share) and np.isnan(found.interval_histogram).all()


@settings(deadline=None)
@given(roll=small_rolls)
def test_histograms_sum_to_one(roll):
    found = describe(roll)
    for name in HISTOGRAMS:
        histogram = getattr(found, name)
        assert np.isnan(histogram).all() or histogram.sum() == pytest.approx(1)
    assert np.isnan(found.pitch_class_histogram).all() == (not roll.any())


@settings(deadline=None)
@given(roll=small_rolls, semitones=st.integers(0, 15))
def test_only_the_pitch_classes_depend_on_the_key(roll, semitones):
    one = describe(roll, lowest_pitch=40)
    higher = np.pad(roll, ((0, 0), (semitones, 3)))
    for other in (describe(higher, lowest_pitch=40), describe(roll, lowest_pitch=40 + semitones)):
        assert_same(one, other, set(NAMES) - {"pitch_class_histogram"})
        rotated = np.roll(one.pitch_class_histogram, semitones)
        np.testing.assert_allclose(other.pitch_class_histogram, rotated)


@settings(deadline=None)
@given(roll=small_rolls)
def test_backwards_only_the_melody_changes(roll):
    assert_same(describe(roll), describe(roll[::-1]), set(NAMES) - {"interval_histogram"})


@settings(deadline=None)
@given(roll=small_rolls)
def test_half_as_fast(roll):
    fast, slow = describe(roll), describe(np.repeat(roll, 2, axis=0))
    np.testing.assert_allclose(slow.mean_note_length, 2 * fast.mean_note_length)
    assert slow.longest_held == 2 * fast.longest_held
    assert slow.note_density == fast.note_density / 2
    same = ["pitch_class_histogram", "interval_histogram", "n_pitches", "polyphony", "silent_share"]
    assert_same(fast, slow, same)


def test_the_form_of_the_roll_does_not_matter(rng):
    roll = rng.random((40, 30)) < 0.1
    for form in (roll.astype(np.uint8), roll.astype(float), roll.tolist(), np.asfortranarray(roll)):
        assert_same(describe(roll), describe(form))


# Sets of tunes


def test_means_leave_out_what_is_undefined():
    tunes = [melody(0, 2), melody(0, 12, 0), np.zeros((4, 60))]
    found = mean_statistics(tunes, lowest_pitch=60)
    assert found.n_pitches == pytest.approx((2 + 2 + 0) / 3)
    assert found.pitch_range == pytest.approx((2 + 12) / 2)
    assert nonzero(found.interval_histogram, -13) == {-12: 0.25, 2: 0.5, 12: 0.25}
    assert nonzero(found.pitch_class_histogram) == {0: 0.75, 2: 0.25}
    assert isinstance(found.silent_share, float) and np.isnan(found.self_similarity)
    silent = mean_statistics([np.zeros((4, 60))])
    assert silent.pitch_class_histogram.shape == (12,) and np.isnan(silent.polyphony)
    assert np.isnan(silent.pitch_class_histogram).all()


def random_tunes(rng, n_tunes, density=0.08, n_steps=60):
    """Return tunes of various density with chords that are held for one to four steps."""
    tunes = []
    for _ in range(n_tunes):
        chords = rng.random((n_steps, 40)) < density * rng.uniform(0.5, 1.5)
        tunes.append(np.repeat(chords, rng.integers(1, 5, n_steps), axis=0)[:n_steps])
    return tunes


def test_sets_of_the_same_kind_overlap_and_different_ones_do_not(rng):
    real, same = random_tunes(rng, 30), random_tunes(rng, 30)
    alike, other = overlap(same, real), overlap(random_tunes(rng, 30, density=0.5), real)
    assert alike == overlap(same, real)
    assert list(alike) == NAMES
    assert mean_overlap(alike) > 0.85 and mean_overlap(other) < 0.65
    for name in ("polyphony", "note_density"):
        assert alike[name].overlapping_area > 0.85 and alike[name].kl_divergence < 0.1, name
        assert other[name].overlapping_area < 0.2 and other[name].kl_divergence > 1, name


def test_overlap_against_scipy(rng):
    from scipy.stats import gaussian_kde

    generated, real = random_tunes(rng, 12, density=0.16), random_tunes(rng, 15)
    found = overlap(generated, real, lowest_pitch=30)
    for name in ("polyphony", "pitch_class_histogram"):
        a, b = ([getattr(describe(x, 30), name) for x in tunes] for tunes in (generated, real))
        between = [np.linalg.norm(one - other) for one in a for other in b]
        within = [np.linalg.norm(b[i] - b[j]) for i in range(15) for j in range(i)]
        p, q = gaussian_kde(within), gaussian_kde(between)
        longest = max(within + between)
        x, dx = np.linspace(-longest, 2 * longest, 5000, retstep=True)
        area = np.minimum(p(x), q(x)).sum() * dx
        divergence = (p(x) * (p.logpdf(x) - q.logpdf(x))).sum() * dx
        assert found[name].overlapping_area == pytest.approx(area, abs=1e-3)
        assert found[name].kl_divergence == pytest.approx(divergence, rel=0.01)
        assert 0.05 < area < 0.95 and divergence > 0.02


def test_distances_without_variance():
    one, two, six = (melody(*range(n), *[0] * (6 - n)) for n in (1, 2, 6))
    assert overlap([one, one], [one, one])["n_pitches"] == (1, 0)
    assert overlap([two, two], [one, one])["n_pitches"] == (0, np.inf)
    # the real tunes are all the same: the bandwidth is that of the distances to them, 0, 1 and 5
    found = overlap([one, two, six], [one, one, one])["n_pitches"]
    between = np.repeat([0, 1, 5], 3)
    bandwidth = between.std(ddof=1) * 9**-0.2
    x = np.linspace(-15, 20, 10000)
    p = np.exp(-((x / bandwidth) ** 2) / 2)
    q = np.exp(-(((x - between[:, None]) / bandwidth) ** 2) / 2).mean(axis=0)
    area = np.minimum(p, q).sum() / p.sum()
    assert found.overlapping_area == pytest.approx(area, abs=2e-3)
    # two real tunes have one distance
    assert 0 < overlap([one, two, six], [one, two])["n_pitches"].overlapping_area < 1


def test_distances_that_never_occur_between_the_sets_make_the_divergence_infinite():
    real = [melody(*range(n), *[0] * (21 - n)) for n in [1, 21] * 10]
    generated = [melody(*range(n), *[0] * (21 - n)) for n in [11] * 9 + [12]]
    found = overlap(generated, real)["n_pitches"]
    assert found.kl_divergence == np.inf and found.overlapping_area < 0.2


def test_sets_with_onsets_are_compared_by_their_struck_notes(rng):
    rolls = random_tunes(rng, 12)
    plain, often = (
        [with_onsets(roll, rng.random(roll.shape) < share) for roll in rolls] for share in (0, 0.7)
    )
    found = overlap(often, plain, onsets=True)
    assert found["polyphony"] == overlap(plain, plain, onsets=True)["polyphony"]
    assert found["repeated_notes"].overlapping_area < 0.1
    assert found["mean_note_length"].overlapping_area < 0.5
    # without onsets the share is undefined, and does not take part in the mean
    without = overlap(rolls, rolls)
    assert np.isnan(without["repeated_notes"]).all() and np.isfinite(mean_overlap(without))
    means = mean_statistics(often, onsets=True)
    shares = [describe(roll, onsets=True).repeated_notes for roll in often]
    assert means.repeated_notes == pytest.approx(np.mean(shares)) and means.repeated_notes > 0.2


def test_tunes_that_lack_a_statistic_are_left_out():
    silent = np.zeros((5, 60))
    tunes = [melody(0, 2, 5, 2), melody(0, 1, 2, 3), melody(4, 4, 9, 2)]
    whole, found = overlap(tunes, tunes[:2]), overlap([silent, *tunes], [*tunes[:2], silent])
    assert found["polyphony"] == whole["polyphony"]
    assert found["silent_share"] != whole["silent_share"]
    lacking = overlap([silent, tunes[0]], tunes)
    assert np.isnan(lacking["pitch_range"]).all() and not np.isnan(lacking["n_pitches"]).any()
    defined = [each.overlapping_area for each in lacking.values() if each == each]
    assert mean_overlap(lacking) == np.nanmean(defined)


# Copies


def copies_by_definition(tune, training, any_key, onsets=False):
    """Find the longest copy by comparing every passage with every other, in every key."""
    best, result = (0, 0), (0, 0, None, None, None, None)
    P = tune.shape[1] // (1 + onsets)
    changes = np.any(tune[1:] != tune[:-1], axis=1)
    if onsets:
        changes = (tune[1:, :P] != tune[:-1, :P]).any(axis=1) | tune[1:, P:].any(axis=1)
    for length in range(1, len(tune) + 1):
        for start in range(len(tune) - length + 1):
            passage = tune[start : start + length]
            if not (passage[0, :P].any() and passage[-1, :P].any()):
                continue
            n_changes = int(changes[start : start + length - 1].sum())
            if (n_changes, length) <= best:
                continue
            for k, roll in enumerate(training):
                for other in range(len(roll) - length + 1):
                    for semitones in range(1 - P, P) if any_key else [0]:
                        same = True
                        for half in range(0, passage.shape[1], P):
                            wide = np.zeros((length, 3 * P), bool)
                            columns = slice(P + semitones, 2 * P + semitones)
                            wide[:, columns] = roll[other : other + length, half : half + P]
                            cells = passage[:, half : half + P]
                            same &= (wide[:, P : 2 * P] == cells).all()
                            same &= wide.sum() == cells.sum()
                        if same and (n_changes, length) > best:
                            best = (n_changes, length)
                            result = (length, n_changes, k, start, other, semitones)
    return result


@settings(deadline=None)
@given(tune=narrow_rolls, training=st.lists(narrow_rolls, min_size=1, max_size=3))
def test_the_longest_copy_against_its_definition(tune, training):
    for any_key in (True, False):
        assert longest_copy(tune, training, any_key) == copies_by_definition(
            tune, training, any_key
        )


@settings(deadline=None)
@given(data=st.data())
def test_the_longest_copy_with_onsets_against_its_definition(data):
    pair = st.integers(1, 6).flatmap(lambda n: arrays(bool, (2, n, 3)))
    tune, *training = (
        with_onsets(*each) for each in data.draw(st.lists(pair, min_size=2, max_size=3))
    )
    for any_key in (True, False):
        assert longest_copy(tune, training, any_key, onsets=True) == copies_by_definition(
            tune, training, any_key, onsets=True
        )


def test_a_copied_rhythm_on_one_pitch_is_found(rng):
    rhythm, others = rng.random((30, 1)) < 0.5, rng.random((30, 1)) < 0.5
    held = np.zeros((30, 60), bool)
    held[:, 20] = True
    lower = np.roll(held, -9, axis=1)
    training = [with_onsets(lower, lower & each) for each in (others, rhythm)]
    found = longest_copy(with_onsets(held, held & rhythm), training, onsets=True)
    assert (found.length, found.n_changes, found[2:]) == (30, rhythm[1:].sum(), (1, 0, 0, 9))
    assert longest_copy(held, [lower]).n_changes == 0


def test_longer_copies_against_their_definition(rng):
    chords = roll_of([], [0], [1], [0, 2], [1, 3], n_pitches=4)
    found = set()
    for _ in range(100):
        tune, *training = (chords[rng.integers(0, 5, rng.integers(1, 13))] for _ in range(4))
        for any_key in (True, False):
            copy = longest_copy(tune, training, any_key)
            assert copy == copies_by_definition(tune, training, any_key)
            found.add(copy.n_changes)
    assert found >= {0, 1, 2, 3}


def test_a_planted_passage_is_found_in_another_key(rng):
    training = [rng.random((50, 88)) < 0.05 for _ in range(5)]
    for roll in training:
        roll[:, :10] = roll[:, -10:] = False
    training[3][20:22] = False  # the passage rests for a while
    tune = rng.random((60, 88)) < 0.05
    tune[9:39] = np.roll(training[3][12:42], -7, axis=1)
    assert longest_copy(tune, training) == (30, 29 - 1, 3, 9, 12, -7)
    assert longest_copy(tune, training, any_key=False).n_changes < 3
    tune[9:39] = training[3][12:42]
    assert longest_copy(tune, training, any_key=False) == (30, 29 - 1, 3, 9, 12, 0)
    assert longest_copy(tune.astype(float).tolist(), training).length == 30


def test_a_passage_changes_its_key_neither_in_a_rest_nor_between_tunes():
    tune = melody(10, 12, 14, 15)
    rest = np.zeros((1, 60), bool)
    training = [np.concatenate((tune[:2], rest, np.roll(tune[2:], 1, axis=1)))]
    assert longest_copy(np.concatenate((tune[:2], rest, tune[2:])), training).length == 2
    assert longest_copy(tune, [tune[:2], tune[2:]]).length == 2
    assert longest_copy(tune, [tune[:1], tune[1:]]) == (3, 2, 1, 1, 0, 0)


def test_changes_count_more_than_steps():
    tune = melody(*[5] * 40, 9, 8, 1, 7, 30, 8, 20)
    held, moving = melody(*[7] * 45), melody(3, 3, 8, 1, 7, 30, 22, 3)
    assert longest_copy(tune, [held, moving]) == (4, 3, 1, 41, 2, 0)
    assert longest_copy(tune, [held]) == (40, 0, 0, 0, 0, -2)


def test_silence_is_no_copy():
    silent, tune = np.zeros((20, 60)), melody(3, 5)
    nothing = (0, 0, None, None, None, None)
    assert longest_copy(silent, [silent, tune]) == nothing
    assert longest_copy(tune, [silent]) == nothing
    framed = np.concatenate((silent, tune, silent))
    assert longest_copy(framed, [tune, framed]) == (2, 1, 0, 20, 0, 0)
    assert longest_copy(tune, [silent, framed]) == (2, 1, 1, 0, 20, 0)


# What is refused

ROLL = np.eye(3)
WITH_ONSETS = Dataset([np.eye(4)], ["a"], options={"onsets": True})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: describe(np.zeros((0, 88))), ValueError, r"is empty.*\(0, 88\)"),
        (lambda: describe(np.zeros((5, 0))), ValueError, r"is empty.*\(5, 0\)"),
        (lambda: describe([0, 1]), ValueError, r"\(steps, pitches\).*\(2,\)"),
        (
            lambda: describe(ROLL / 4),
            ValueError,
            r"holds 0.25; a piano roll holds 0 .off. and 1 .on.*roll >= 0.5",
        ),
        (lambda: describe(ROLL * np.nan), ValueError, "holds NaN"),
        (lambda: describe("tune"), TypeError, "numbers, not 'tune'"),
        (lambda: describe(ROLL, -1), ValueError, "lowest_pitch must be at least 0"),
        (lambda: mean_statistics([]), ValueError, "rolls is empty; give at least one piano roll"),
        (lambda: mean_statistics(ROLL), ValueError, r"give a list.*\[roll\]"),
        (lambda: mean_statistics(3), TypeError, "list of piano rolls, not int"),
        (
            lambda: mean_statistics([ROLL, ROLL * 2]),
            ValueError,
            r"rolls\[1\] holds values from 0 to 2",
        ),
        (lambda: overlap([ROLL], [ROLL] * 2), ValueError, "generated must be at least 2.*but 1"),
        (lambda: overlap([ROLL] * 2, [ROLL]), ValueError, "real must be at least 2.*but 1"),
        (lambda: longest_copy(ROLL, []), ValueError, "training is empty"),
        (lambda: describe(ROLL, onsets=True), ValueError, r"\(3, 3\).*has an even width"),
        (
            lambda: mean_statistics(WITH_ONSETS),
            ValueError,
            "rolls is a collection with onsets; give onsets=True",
        ),
        (
            lambda: overlap([ROLL] * 2, Dataset([ROLL], ["a"]), onsets=True),
            ValueError,
            "even width",
        ),
        (
            lambda: longest_copy(np.eye(4), Dataset([np.eye(4)], ["a"]), onsets=True),
            ValueError,
            "training is a collection without onsets; give onsets=False",
        ),
        (lambda: longest_copy(ROLL[0], [ROLL]), ValueError, r"the tune must have the shape"),
        (
            lambda: longest_copy(ROLL, [ROLL, np.eye(4)]),
            ValueError,
            r"training\[1\] has 4 pitches, but the tune has 3; give all of them the same",
        ),
    ],
)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_hashes_of_passages_depend_on_intervals_and_rhythm_but_not_on_the_key():
    """Nine notes have two passages of eight."""
    notes = [20, 22, 24, 25, 24, 22, 20, 27, 20]
    hashes = passage_hashes(melody(*notes))
    assert len(hashes) == 2 and len(passage_hashes(melody(*notes[:7]))) == 0
    np.testing.assert_array_equal(passage_hashes(melody(*(note + 5 for note in notes))), hashes)
    other_interval, other_rhythm = notes.copy(), [*notes[:3], *notes[2:]]
    other_interval[2] = 23
    held_longer_at_the_end = [*notes[:8], *notes[7:]]
    same = [
        (passage_hashes(melody(*each)) == hashes).tolist()
        for each in (other_interval, other_rhythm, held_longer_at_the_end)
    ]
    assert same == [[False, False], [False, False], [True, False]]


def test_strikes_are_changes_of_passages():
    roll = melody(*range(20, 28))
    struck = with_onsets(np.repeat(roll, 2, axis=0))
    again = struck.copy()
    again[3] = again[2]  # the second note is struck twice
    (whole,), divided = (passage_hashes(each, onsets=True) for each in (struck, again))
    assert len(divided) == 2 and whole not in divided
