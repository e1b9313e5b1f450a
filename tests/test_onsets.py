"""Rolls with onsets, (T, 2P), in datasets and stores."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_silence import END, smf, tune

from midi import canonical_onsets, midiwrite, onset_notes
from rnn4music import load_midi
from rnn4music.data import RollStore, convert, find_key, pianoroll, transpose
from rnn4music.data.dataset import Dataset
from rnn4music.data.keys import semitones_to_c
from rnn4music.data.store import read_manifest, write_manifest
from rnn4music.saving.metadata import with_reading

MERGED = "struck in the same step as another of their pitch"
STRUCK_AGAIN = "struck while sounding and lost in the note before"
DATA = Path(os.environ.get("RNN4MUSIC_TEST_DATA") or Path(__file__).parents[2] / "shared")
PIANO = DATA / "midi" / "piano"
OUTSIDE, SHORT = "outside the pitch range", "too short for a step"
P = 5
pairs = st.integers(1, 20).flatmap(lambda n: arrays(bool, (2, n, P)))  # sounding, struck


def with_onsets(roll, struck):
    return np.hstack([roll, canonical_onsets(roll, struck)])


def n_struck(dataset):
    return sum(len(onset_notes(*pianoroll.halves(roll, dataset.onsets))) for roll in dataset)


def random_events(rng, n_notes=120):
    """Return a file of short, long, simultaneous and repeated notes on two channels, and drums."""
    events = []
    for channel, pitch in zip(rng.choice([0, 1, 9], n_notes), rng.integers(50, 70, n_notes)):
        start, length = int(rng.integers(0, 12000)), int(rng.choice([5, 90, 480, 2000]))
        events += [(start, 0x90 | channel, pitch), (start + length, 0x80 | channel, pitch)]
    begins = np.diff([each[0] for each in sorted(events)], prepend=0)
    messages = (bytes([status, pitch, 80]) for _, status, pitch in sorted(events))
    return smf([*zip(begins.tolist(), messages), (0, END)])


@pytest.fixture
def folder(tmp_path, rng):
    """Three random files, one of them twice."""
    (tmp_path / "music").mkdir()
    data = [random_events(rng) for _ in range(3)]
    for name, content in zip(("a.mid", "b.mid", "c.mid", "d.mid"), (*data, data[0])):
        (tmp_path / "music" / name).write_bytes(content)
    return tmp_path / "music"


# ---- reading


@settings(deadline=None)
@given(pairs)
def test_what_is_written_with_onsets_is_loaded_with_onsets(tmp_path_factory, pair):
    assume(pair[0].any())
    path = tmp_path_factory.mktemp("written") / "a.mid"
    midiwrite(path, np.hstack(pair), (60, 60 + P), onsets=True)
    options = {"keep_silence": True, "onsets": True, "progress": False}
    dataset = load_midi(path, (60, 60 + P), **options)
    np.testing.assert_array_equal(dataset[0], with_onsets(*pair))
    assert dataset[0].dtype == bool and not any(dataset.dropped_notes.values())
    midiwrite(path, dataset[0], (60, 60 + P), onsets=dataset.onsets)
    np.testing.assert_array_equal(load_midi(path, (60, 60 + P), **options)[0], dataset[0])


@pytest.mark.parametrize(
    "options",
    [
        {}, {"steps_per_beat": 4}, {"keep_short": True}, {"pitch_range": (55, 64)},
        {"to_c": True}, {"to_c": True, "pitch_range": (55, 64), "keep_short": True},
        {"drums": True, "keep_silence": True},
    ],
)  # fmt: skip
def test_no_note_is_lost_without_a_number(folder, options):
    with_them, without = load_midi(folder, onsets=True, **options), load_midi(folder, **options)
    assert (with_them.onsets, without.onsets) == (True, False)
    assert with_them.names == without.names and with_them.n_notes == without.n_notes
    for one, other in zip(with_them, without):
        np.testing.assert_array_equal(pianoroll.halves(one, True)[0], other)
        np.testing.assert_array_equal(one, with_onsets(*pianoroll.halves(one, True)))
    for dataset in (with_them, without):
        n_lost = {reason: dataset.dropped_notes[reason] for reason in (SHORT, MERGED, STRUCK_AGAIN)}
        assert n_struck(dataset) == dataset.n_notes - sum(n_lost.values())
        assert (n_lost[SHORT] > 0) == ("keep_short" not in options)
        assert n_lost[MERGED] > 0 and (n_lost[STRUCK_AGAIN] > 0) == (not dataset.onsets)
        for reason, n in n_lost.items():
            assert (f"{n:,} {reason}" in dataset.summary()) == (n > 0)
    assert with_them.dropped_notes == {**without.dropped_notes, STRUCK_AGAIN: 0}


def test_silence_is_left_out_of_both_halves(tmp_path):
    (tmp_path / "a.mid").write_bytes(tune(200, 4, 400))
    (roll,) = load_midi(tmp_path, time_step=0.25, onsets=True)
    sounding, struck = pianoroll.halves(roll, True)
    assert roll.shape == (8 + 4, 2 * 88) and roll.sum() == 8 + 4
    assert np.flatnonzero(sounding[:, 60 - 21]).tolist() == list(range(8))
    assert np.flatnonzero(struck[:, 60 - 21]).tolist() == [0, 2, 4, 6]


def test_short_tunes_have_both_halves(tmp_path):
    (tmp_path / "a.mid").write_bytes(tune(0, 4, 0))
    (whole,) = load_midi(tmp_path, time_step=0.25, onsets=True)
    for short_tunes, expected in (
        ("repeat", np.concatenate([whole, whole[:3]])), ("pad", np.pad(whole, ((0, 3), (0, 0)))),
    ):  # fmt: skip
        options = {"min_steps": len(whole) + 3, "short_tunes": short_tunes}
        (roll,) = load_midi(tmp_path, time_step=0.25, onsets=True, **options)
        np.testing.assert_array_equal(roll, expected)


def test_onsets_are_true_or_false(folder):
    with pytest.raises(TypeError, match="onsets must be True or False, not 1"):
        load_midi(folder, onsets=1)


def test_the_cache_tells_rolls_with_onsets_from_those_without(folder, tmp_path):
    cache = tmp_path / "cache"
    for onsets in (True, False, True, False):
        found = load_midi(folder, onsets=onsets, cache=cache)
        plain = load_midi(folder, onsets=onsets)
        assert found.summary() == plain.summary() and found.onsets == onsets
        for one, other in zip(found, plain, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("options", [{}, {"steps_per_beat": 4}, {"to_c": True}])
def test_no_note_of_the_real_files_is_lost_without_a_number(options):
    if not any(PIANO.glob("*.mid")):
        pytest.skip(f"no .mid files in {PIANO}; RNN4MUSIC_TEST_DATA may name another folder")
    with_them, without = (load_midi(PIANO, onsets=onsets, **options) for onsets in (True, False))
    for dataset in (with_them, without):
        n_lost = sum(dataset.dropped_notes[reason] for reason in (SHORT, MERGED, STRUCK_AGAIN))
        assert n_struck(dataset) == dataset.n_notes - n_lost > 0
    assert with_them.dropped_notes == {**without.dropped_notes, STRUCK_AGAIN: 0}
    assert without.dropped_notes[STRUCK_AGAIN] > 10_000


# ---- keys


@given(pairs, st.integers(-P - 2, P + 2))
def test_both_halves_are_transposed_within_their_columns(pair, semitones):
    roll = with_onsets(*pair)
    moved = transpose(roll, semitones, onsets=True)
    expected = np.hstack([transpose(half, semitones) for half in pianoroll.halves(roll, True)])
    np.testing.assert_array_equal(moved, expected)
    np.testing.assert_array_equal(moved, with_onsets(*pianoroll.halves(moved, True)))
    stays = (np.arange(P) + semitones >= 0) & (np.arange(P) + semitones < P)
    back = transpose(moved, -semitones, onsets=True)
    np.testing.assert_array_equal(back, roll & np.tile(stays, 2))


@settings(deadline=None)
@given(pairs, st.integers(1 - P, P - 1))
def test_in_keys_is_reading_in_that_key(tmp_path_factory, pair, semitones):
    """A pitch range that is moved down moves the music up."""
    path = tmp_path_factory.mktemp("written") / "a.mid"
    assume(transpose(pair[0], semitones).any())
    midiwrite(path, np.hstack(pair), (60, 60 + P), onsets=True)
    options = {"keep_silence": True, "onsets": True, "progress": False}
    expected = load_midi(path, (60 - semitones, 60 + P - semitones), **options)
    moved = load_midi(path, (60, 60 + P), **options).in_keys([semitones])
    assert moved.onsets and moved.names == [f"{expected.names[0]} {semitones:+d}"]
    np.testing.assert_array_equal(moved[0], expected[0])
    assert moved.n_notes == expected.n_notes == n_struck(moved)
    assert moved.dropped_notes[OUTSIDE] == expected.dropped_notes[OUTSIDE]


def test_moving_to_c_is_reading_the_pitches_that_arrive_in_the_range(folder):
    for path in sorted(folder.iterdir()):
        (whole,) = load_midi(path, (0, 128))
        semitones = semitones_to_c(find_key(whole, 0))
        for onsets in (True, False):
            moved = load_midi(path, (57, 63), onsets=onsets, to_c=True)
            expected = load_midi(path, (57 - semitones, 63 - semitones), onsets=onsets)
            np.testing.assert_array_equal(moved[0], expected[0])
            assert moved.dropped_notes == expected.dropped_notes
            assert moved.n_notes == expected.n_notes


def test_the_key_is_that_of_the_sounding_half(folder):
    for roll in load_midi(folder, onsets=True):
        assert find_key(roll, onsets=True) == find_key(roll[:, :88])


# ---- splits and stores


def test_near_duplicates_do_not_depend_on_onsets(folder):
    with_them, without = load_midi(folder, onsets=True), load_midi(folder)
    assert with_them.near_duplicates() == without.near_duplicates() == [0, 1, 2, 0]
    moved = with_them.in_keys([0, 3])
    assert moved.near_duplicates() == [0, 0, 2, 2, 4, 4, 0, 0]
    for part, other in zip(with_them.split(0.25, 0.25), without.split(0.25, 0.25)):
        assert part.names == other.names and part.onsets and part[:1].onsets


def test_copies_that_are_struck_again_are_near_duplicates(tmp_path, rng):
    (tmp_path / "music").mkdir()
    roll = np.repeat(rng.random((60, 88)) < 0.03, 3, axis=0)
    for name, shift, share in (("a.mid", 0, 0), ("b.mid", 2, 0.8), ("c.mid", 0, 0.4)):
        moved = transpose(roll, shift)
        midiwrite(tmp_path / "music" / name, moved, onset_roll=rng.random(roll.shape) < share)
    other = rng.random(roll.shape) < 0.03
    midiwrite(tmp_path / "music" / "d.mid", other)
    dataset = load_midi(tmp_path / "music", onsets=True)
    store = convert(tmp_path / "music", tmp_path / "rolls", onsets=True, progress=False)
    assert dataset.near_duplicates() == store.near_duplicates() == [0, 0, 0, 3]


@pytest.mark.parametrize("options", [{}, {"to_c": True, "pitch_range": (52, 67)}])
def test_a_store_holds_rolls_with_onsets(folder, tmp_path, options):
    store = convert(folder, tmp_path / "rolls", onsets=True, progress=False, **options)
    dataset = load_midi(folder, onsets=True, **options)
    assert store.options == dataset.options and store.onsets and store[1:].onsets
    assert (store.width, 2 * store.n_pitches) == (dataset[0].shape[1],) * 2
    assert store.summary() == dataset.summary()
    assert store.near_duplicates() == dataset.near_duplicates()
    keys = (-4, 0, 6)
    for one, other in itertools.chain(
        zip(store, dataset, strict=True), zip(store.in_keys(keys), dataset.in_keys(keys))
    ):
        np.testing.assert_array_equal(one, other)
    assert pianoroll.validate_dataset("dataset", store, store.width) is store
    with pytest.raises(ValueError, match=f"have {store.width} columns, but the model's io_length"):
        pianoroll.validate_dataset("dataset", store, store.n_pitches)


@pytest.mark.parametrize("onsets", [True, False])
def test_a_store_is_not_read_as_one_of_the_other_kind(folder, tmp_path, onsets):
    convert(folder, tmp_path / "rolls", onsets=onsets, progress=False)
    before = RollStore(tmp_path / "rolls").fingerprint
    with pytest.raises(ValueError, match=f"another conversion: onsets {onsets}, not {not onsets}"):
        convert(folder, tmp_path / "rolls", onsets=not onsets, progress=False)
    assert RollStore(tmp_path / "rolls").fingerprint == before


def test_a_store_made_before_there_were_onsets_is_read_and_not_completed(folder, tmp_path):
    before = convert(folder, tmp_path / "rolls", progress=False)
    manifest = read_manifest(tmp_path / "rolls")
    del manifest["options"]["onsets"]
    write_manifest(tmp_path / "rolls", {**manifest, "format": 2})
    store = RollStore(tmp_path / "rolls")
    assert (store.options, store.fingerprint) == (before.options, before.fingerprint)
    with pytest.raises(ValueError, match=r"made by an earlier version .* another folder"):
        convert(folder, tmp_path / "rolls", progress=False)


# ---- what remembers them


def test_a_model_remembers_that_its_music_has_onsets(folder):
    for onsets in (True, False):
        assert with_reading({}, load_midi(folder, onsets=onsets).options)["onsets"] is onsets
    assert not Dataset([np.eye(4)], ["a"]).onsets  # no width tells
