"""Onset rolls: read, written, and read again."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from player import play
from smf import decoded, note_off, note_on, sampled, smf, struck, to_nearest, track
from test_midi_note_ends import tracks_of_events
from test_midi_real_files import EVERY_PITCH, files

from midi import (
    Note,
    canonical_onsets,
    midiread,
    midiwrite,
    n_dropped_onsets,
    onset_notes,
    split_onsets,
)
from midi.reading import check_options, read_bytes
from midi.timing import exact_time_step
from midi.writing import choose_grid

SECOND = 960  # ticks, at the default tempo and division 480

rolls = st.integers(1, 30).flatmap(lambda n: arrays(bool, (2, n, 4)))
time_steps = st.floats(0.001, 10) | st.fractions(Fraction(1, 1000), 10) | st.decimals("0.001", 10)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tune.mid"


@pytest.fixture
def read(path):
    def read(*tracks, **keywords):
        path.write_bytes(smf(*tracks))
        return midiread(path, (60, 62), **keywords)

    return read


def by_hand(roll, onset_roll):
    """Return the canonical onset roll and the notes, cell by cell."""
    canonical = np.zeros_like(roll)
    notes = []
    for column in range(roll.shape[1]):
        before = 0
        for row, (is_on, is_struck) in enumerate(zip(roll[:, column], onset_roll[:, column])):
            if is_on and (is_struck or not before):
                canonical[row, column] = 1
                notes.append([column, row, row])
            if is_on:
                notes[-1][2] = row + 1
            before = is_on
    return canonical, notes


# Reading -------------------------------------------------------------------------------


def test_four_struck_quarters_are_four_strikes_of_one_long_run(read):
    quarters = [(0, note_on(60)), (480, note_off(60))] * 4
    content = read(track(*quarters), steps_per_beat=2)
    assert content.piano_roll.T.tolist() == [[1] * 8, [0] * 8]
    assert content.onset_roll.T.tolist() == [[1, 0] * 4, [0] * 8]
    assert content.onset_roll.dtype == content.piano_roll.dtype == np.float32
    assert content.onset_roll is content.onset_roll
    assert content.n_merged == 0


@pytest.mark.parametrize(
    ("start", "end", "frame", "kept"),
    [(960, 1920, 1, 1), (959, 1920, 1, 1), (961, 2000, 2, 2), (961, 1920, None, 1),
     (5, 5, None, None)],
)  # fmt: skip
def test_a_note_is_struck_in_the_first_frame_in_which_it_is_on(read, start, end, frame, kept):
    events = track((start, note_on(61)), (end - start, note_off(61)), end=SECOND)
    for keep_short, expected in ((False, frame), (True, kept)):
        content = read(events, dt=1, keep_short=keep_short)
        strikes = [] if expected is None else [[expected, 1]]
        assert np.argwhere(content.onset_roll).tolist() == strikes
        assert (content.n_too_short, content.n_merged) == (expected is None, 0)


def test_strikes_of_one_pitch_in_one_frame_are_one_and_counted(read):
    unison = track((0, note_on(60)), (2 * SECOND, note_off(60)))
    trill = track((SECOND // 2, note_on(60)), (SECOND, note_off(60)), (9, note_on(60)),
                  (300, note_off(60)), end=SECOND)  # fmt: skip
    content = read(unison, unison, trill, dt=1)
    assert content.onset_roll[:, 0].tolist() == [1, 1, 0]
    assert (len(content.notes), content.n_too_short, content.n_merged) == (4, 1, 1)
    assert read(unison, trill, dt=1, keep_short=True).n_merged == 1


def test_a_note_inside_a_long_one_is_struck(read):
    long = track((0, note_on(60)), (5 * SECOND, note_off(60)))
    short = track((2 * SECOND, note_on(60)), (SECOND, note_off(60)))
    for tracks in ((long, short), (short, long)):
        assert read(*tracks, dt=1).onset_roll[:, 0].tolist() == [1, 0, 1, 0, 0]


@settings(max_examples=300, deadline=None)
@given(
    tracks=tracks_of_events,
    dt=st.sampled_from([1, 2, 0.7, Fraction(7, 3)]),
    in_beats=st.booleans(),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    most_silence=st.none() | st.integers(0, 3),
)
def test_any_file_is_struck_as_defined(tracks, dt, in_beats, flags, most_silence):
    sustain, keep_short, drums = flags
    played, end = play(tracks)
    step = Fraction(str(dt))
    notes = [
        (note.pitch, note.start, note.sustained_end if sustain else note.end)
        for note in played
        if note.end is not None and (drums or not note.is_drum)
    ]
    n_rows, first = -(-end // step), min((start for _, start, _ in notes), default=0)
    if in_beats:
        notes, rounded = to_nearest(notes, end, step, keep_short)
        n_rows, first = rounded // step, min((start for _, start, _ in notes), default=0)
    elif keep_short:  # such a note is on from the frame before it
        notes = [(p, s // step * step if -(-s // step) == -(-e // step) and s < e else s, e)
                 for p, s, e in notes]  # fmt: skip
    expected = struck(notes, int(n_rows), (60, 62), step)
    times = {"steps_per_beat": 1 / step} if in_beats else {"dt": step}
    options = check_options((60, 62), **times, tempo=60, sustain=sustain, drums=drums,
                            keep_short=keep_short)._replace(most_silence=most_silence)  # fmt: skip
    data = smf(*(track(*events, end=end) for events, end in tracks), division=1)
    content = read_bytes(data, options)
    n_before = 0
    if most_silence is not None and notes:
        first = first // step if keep_short else -(-first // step)
        n_before = first if first > most_silence else 0
    assert len(content.piano_roll) + content.n_silent == n_rows
    n_cells = np.sum(sampled(notes, n_rows * step, (60, 62), step))
    assert content.piano_roll.sum() == n_cells
    found = np.argwhere(content.onset_roll) + (n_before, 0)
    assert Counter(map(tuple, found.tolist())) == Counter(expected.keys())
    assert content.n_merged == expected.total() - len(expected)
    assert len(content.pitches) == expected.total() + content.n_too_short
    np.testing.assert_array_equal(
        canonical_onsets(content.piano_roll, content.onset_roll), content.onset_roll
    )


# Writing -------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(rolls=rolls, dt=time_steps, format=st.sampled_from([0, 1]), seed=st.integers(0, 9))
def test_both_rolls_are_read_back_at_any_time_step(tmp_path_factory, rolls, dt, format, seed):
    path = tmp_path_factory.getbasetemp() / "any.mid"
    roll, onset_roll = rolls
    canonical, notes = by_hand(roll, onset_roll)
    velocity = np.random.default_rng(seed).integers(1, 128, roll.shape)
    options = {"velocity": velocity, "format": format}
    midiwrite(path, roll, (60, 64), dt, **options, onset_roll=onset_roll)
    written = path.read_bytes()
    grid = choose_grid(exact_time_step(dt))
    quarter = Fraction(grid.tempo, 10**6)
    in_beats = {"steps_per_beat": quarter / exact_time_step(dt)}
    at_another_tempo = {"dt": exact_time_step(dt) / quarter * Fraction(60, 77), "tempo": 77}
    for reading in ({"dt": dt}, in_beats, in_beats | {"tempo": 31.5}, at_another_tempo):
        content = midiread(path, (60, 64), **reading, strict=True)
        np.testing.assert_array_equal(content.piano_roll, roll)
        np.testing.assert_array_equal(content.onset_roll, canonical)
        assert (len(content.pitches), content.n_merged, content.n_too_short) == (len(notes), 0, 0)
    midiwrite(path, roll, (60, 64), dt, **options, onset_roll=canonical)
    assert path.read_bytes() == written
    midiwrite(path, np.hstack([roll, onset_roll]), (60, 64), dt, **options, onsets=True)
    assert path.read_bytes() == written


@settings(max_examples=100, deadline=None)
@given(rolls=rolls, dt=st.sampled_from([0.3, 0.25, 1.2345678e-6, np.pi, 3600]))
@example(np.ones((2, 3, 4), bool), 0.5)
def test_a_player_plays_the_notes_of_the_rolls(tmp_path_factory, rolls, dt):
    path = tmp_path_factory.getbasetemp() / "any.mid"
    velocity = np.arange(1, 1 + rolls[0].size).reshape(rolls[0].shape)
    midiwrite(path, rolls[0], (60, 64), dt, velocity=velocity, onset_roll=rolls[1])
    (events,) = decoded(path.read_bytes())
    played, _ = play([(events, 0)])
    grid = choose_grid(exact_time_step(dt))
    _, notes = by_hand(*rolls)
    expected = [
        (60 + column, *(int(k * exact_time_step(dt) // grid.tick) for k in frames))
        for column, *frames in notes
    ]
    assert sorted(note[:3] for note in played) == expected
    assert not any(note.is_cut for note in played)
    loudness = [message[1:] for _, message in events if message[0] == 0x90]
    struck = sorted((first, column) for column, first, _ in notes)
    assert loudness == [bytes((60 + c, velocity[k, c])) for k, c in struck]


def test_a_strike_ends_the_note_before_it(path):
    midiwrite(path, np.ones((3, 1)), (60, 61), 0.5, onset_roll=[[0], [0], [1]])
    assert midiread(path, (60, 61), 0.5).notes == [Note(60, 0.0, 1.0), Note(60, 1.0, 1.5)]


def test_the_bytes_of_a_small_file_with_onsets(path):
    """The rows strike C, strike C again with a dropped D, hold C and begin D, and are silent."""
    roll, onset_roll = [[1, 0], [1, 0], [1, 1], [0, 0]], [[0, 0], [1, 1], [0, 0], [0, 0]]
    midiwrite(path, roll, (60, 62), 0.5, onset_roll=onset_roll)
    body = (
        b"\x00\xff\x51\x03\x07\xa1\x20\x00\xc0\x00"
        b"\x00\x90\x3c\x5a"
        b"\x83\x60\x80\x3c\x00\x00\x90\x3c\x5a"
        b"\x83\x60\x90\x3d\x5a"
        b"\x83\x60\x80\x3c\x00\x00\x80\x3d\x00"
        b"\x83\x60\xff\x2f\x00"
    )
    header = b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0MTrk\x00\x00\x00"
    assert path.read_bytes() == header + bytes((len(body),)) + body


@settings(max_examples=50, deadline=None)
@given(rolls=rolls)
def test_without_strikes_the_file_is_that_of_the_roll_alone(tmp_path_factory, rolls):
    path = tmp_path_factory.getbasetemp() / "any.mid"
    roll, _ = rolls
    written = []
    for options in ({}, {"onset_roll": np.zeros_like(roll)}, {"restrike": True},
                    {"onset_roll": np.ones_like(roll)}):  # fmt: skip
        midiwrite(path, roll, (60, 64), **options)
        written.append(path.read_bytes())
    assert written[0] == written[1] and written[2] == written[3]


# Both rolls ----------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(rolls=rolls, dtype=st.sampled_from([bool, np.int8, np.float32]))
def test_the_notes_of_two_rolls(rolls, dtype):
    roll, onset_roll = rolls.astype(dtype)
    canonical, notes = by_hand(roll, onset_roll)
    np.testing.assert_array_equal(canonical_onsets(roll, onset_roll), canonical)
    assert onset_notes(roll, onset_roll).tolist() == notes
    assert n_dropped_onsets(roll, onset_roll) == sum((roll < onset_roll).ravel().tolist())
    held, held_notes = by_hand(roll, np.zeros_like(roll))
    np.testing.assert_array_equal(canonical_onsets(roll), held)
    assert onset_notes(roll).tolist() == held_notes
    several = np.stack([np.hstack([roll, onset_roll])] * 3, axis=1)  # (T, B, 2P)
    for tune in canonical_onsets(*split_onsets(several)).swapaxes(0, 1):
        np.testing.assert_array_equal(tune, canonical)


def test_a_roll_of_no_frames_has_no_notes():
    assert onset_notes(np.zeros((0, 5))).shape == (0, 3)
    assert canonical_onsets(np.zeros((0, 5)), np.zeros((0, 5))).shape == (0, 5)


# What is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "keywords", "error", "message"),
    [
        (2, {"onset_roll": np.zeros((4, 2))}, ValueError,
         r"onset_roll has shape \(4, 2\), the roll \(3, 2\)"),
        (2, {"onset_roll": np.zeros((3, 4))}, ValueError, r"onset_roll has shape \(3, 4\)"),
        (2, {"onset_roll": [["a"] * 2] * 3}, TypeError, "onset_roll must hold booleans"),
        (4, {}, ValueError, r"requires \(T, 2\) .*; if half .* give onsets=True"),
        (5, {}, ValueError, r"requires \(T, 2\) with at least one row$"),
        (3, {"onsets": True}, ValueError,
         r"shape \(3, 3\); r=\(60, 62\) requires \(T, 4\) .*: the 2 sounding columns"),
        (2, {"onsets": True}, ValueError, r"requires \(T, 4\)"),
        (2, {"onsets": 1}, TypeError, "onsets must be True or False"),
        (2, {"onset_roll": np.zeros((3, 2)), "onsets": 0}, TypeError, "onsets must be True"),
        (4, {"onsets": True, "onset_roll": np.zeros((3, 2))}, ValueError,
         "give one of onset_roll, onsets and restrike, not onset_roll and onsets"),
        (4, {"onsets": True, "restrike": True}, ValueError, "not onsets and restrike"),
        (2, {"onset_roll": np.zeros((3, 2)), "restrike": True}, ValueError,
         "not onset_roll and restrike"),
        (4, {"onsets": True, "velocity": np.ones((3, 4), int)}, ValueError, "velocity has shape"),
    ],
)  # fmt: skip
def test_onsets_that_do_not_fit_the_roll_are_refused(path, width, keywords, error, message):
    with pytest.raises(error, match=message):
        midiwrite(path, np.zeros((3, width)), (60, 62), **keywords)
    assert not path.exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.3, 2.0])
def test_strikes_are_zeros_and_ones(path, value):
    roll, onset_roll = np.ones((5, 88)), np.zeros((5, 88))
    onset_roll[3, 7] = onset_roll[4, 2] = value  # the first of them is named
    where = "row 3, column 7; 1 is struck"
    for function in (canonical_onsets, onset_notes, n_dropped_onsets):
        with pytest.raises(ValueError, match=f"onset_roll holds {value} at {where}"):
            function(roll, onset_roll)
    with pytest.raises(ValueError, match=f"onset_roll holds {value} at {where}"):
        midiwrite(path, roll, onset_roll=onset_roll)
    with pytest.raises(ValueError, match=f"the struck half of the roll holds {value} at {where}"):
        midiwrite(path, np.hstack([roll, onset_roll]), onsets=True)
    assert not path.exists()


@pytest.mark.parametrize("shape", [(3, 5), (3, 2, 1), ()])
def test_a_roll_of_an_odd_width_has_no_two_halves(shape):
    with pytest.raises(ValueError, match="has an even width"):
        split_onsets(np.zeros(shape))


# Real files ----------------------------------------------------------------------------


def test_every_note_of_the_real_files_that_has_a_frame_is_a_note_again(path):
    n_merged = n_struck_again = 0
    for source in files("piano"):
        for step in ({"dt": 0.3}, {"steps_per_beat": 4}):
            content = midiread(source, EVERY_PITCH, **step)
            n_strikes = int(content.onset_roll.sum())
            assert n_strikes == len(content.notes) - content.n_too_short - content.n_merged
            np.testing.assert_array_equal(
                canonical_onsets(content.piano_roll, content.onset_roll), content.onset_roll
            )
            n_merged += content.n_merged
            n_struck_again += n_strikes - len(onset_notes(content.piano_roll))
            if not len(content.piano_roll):
                continue
            midiwrite(path, content.piano_roll, EVERY_PITCH, 0.3, onset_roll=content.onset_roll)
            again = midiread(path, EVERY_PITCH, 0.3)
            np.testing.assert_array_equal(again.piano_roll, content.piano_roll)
            np.testing.assert_array_equal(again.onset_roll, content.onset_roll)
            assert (len(again.notes), again.n_merged) == (n_strikes, 0)
    assert n_merged > 0 and n_struck_again > 0


def test_strikes_in_the_beat_agree_with_symusic():
    symusic = pytest.importorskip("symusic")
    for path in files("piano"):
        score = symusic.Score(path)
        strikes = Counter()
        for notes in (each.notes.numpy() for each in score.tracks if not each.is_drum):
            start = notes["time"].astype(np.int64)
            first, end, quarters = (
                (2 * steps * ticks + score.tpq) // (2 * score.tpq)
                for steps, ticks in ((4, start), (4, start + notes["duration"]), (16, start))
            )
            is_on_grid = (notes["duration"] > 0) & (quarters == 4 * first)
            end = np.where((first == end) & is_on_grid, first + 1, end)
            has_frame = first < end
            strikes.update(zip(first[has_frame].tolist(), notes["pitch"][has_frame].tolist()))
        content = midiread(path, EVERY_PITCH, steps_per_beat=4)
        found = map(tuple, np.argwhere(content.onset_roll).tolist())
        assert set(found) == strikes.keys(), path.name
        assert content.n_merged == strikes.total() - len(strikes), path.name
