"""Options of midiread: beats, tempo, drums, sustain pedal, short notes."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smf import note_off, note_on, sampled, smf, tempo, time_signature, to_nearest, track

from midi import MidiError, Note, midiread

SECOND = 960  # ticks, at the default tempo and division 480


@pytest.fixture
def read(tmp_path):
    def read(data, *args, **keywords):
        path = tmp_path / "tune.mid"
        path.write_bytes(data)
        return midiread(path, *args, **keywords)

    return read


def pedal(value, channel=0):
    return bytes((0xB0 | channel, 64, value))


def cells(content, lowest_pitch=21):
    frame, column = np.nonzero(content.piano_roll)
    return list(zip(frame.tolist(), (column + lowest_pitch).tolist(), strict=True))


def test_tempos_beyond_use_are_refused(read):
    for refused in (1e-300, 1e10):
        with pytest.raises(ValueError, match=f"tempo={refused} must be from 0.001 to 1e9"):
            read(smf(track()), tempo=refused)
    slow = read(smf(track((0, note_on(60)), (480, note_off(60))), division=1), tempo=0.001, dt=1e6)
    assert slow.notes == [Note(60, 0.0, 480 * 60_000.0)]
    with pytest.raises(MidiError, match="it lasts 16,106,127,300,000 s"):
        read(smf(track(end=2**28 - 1), division=1), tempo=0.001)


def test_a_tempo_of_many_digits_in_a_file_of_no_length(read):
    assert len(read(smf(track()), tempo=1 + Fraction(1, 10**30)).piano_roll) == 0


# Beats and tempo -----------------------------------------------------------------------


def test_steps_per_beat_do_not_depend_on_the_tempo(read):
    events = [(0, tempo(123_456)), (480, note_on(60)), (120, tempo(999_999)), (120, note_off(60))]
    content = read(smf(track(*events, end=240)), steps_per_beat=4)
    assert cells(content) == [(4, 60), (5, 60)]
    assert len(content.piano_roll) == 8
    # the times of notes are still in seconds
    assert content.notes == [Note(60, 0.123456, 0.123456 + 0.030864 + 0.24999975)]


@settings(max_examples=200, deadline=None)
@given(
    ticks=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 900)), max_size=8),
    division=st.sampled_from([1, 96, 480, 1023]),
    steps=st.sampled_from([1, 3, 4, 0.5, 2.5, Fraction(7, 3), np.int64(2)]),
    keep_short=st.booleans(),
)
def test_beats_are_sampled_as_defined(tmp_path_factory, ticks, division, steps, keep_short):
    moments = [(s, 1, 30 + k) for k, (s, n) in enumerate(ticks)]
    moments += [(s + n, 0, 30 + k) for k, (s, n) in enumerate(ticks)]
    events, now = [], 0
    for moment, begins, pitch in sorted(moments):
        events.append((moment - now, note_on(pitch) if begins else note_off(pitch)))
        now = moment
    path = tmp_path_factory.getbasetemp() / "beats.mid"
    path.write_bytes(smf(track(*events), division=division))
    roll = midiread(path, (30, 40), steps_per_beat=steps, keep_short=keep_short).piano_roll
    step = 1 / Fraction(str(steps)) * division  # in ticks
    notes = [(30 + k, s, s + n) for k, (s, n) in enumerate(ticks)]
    expected = sampled(*to_nearest(notes, now, step, keep_short), (30, 40), step)
    assert roll.tolist() == expected


@pytest.mark.parametrize(
    ("start", "end", "frames", "kept"),
    [
        (60, 180, [1], [1]), (59, 179, [0], [0]), (60, 179, [], [1]), (59, 180, [0, 1], [0, 1]),
        (16, 59, [], [0]), (16, 60, [0], [0]), (61, 62, [], [1]), (60, 60, [], []),
        # on the grid, but too short
        (120, 121, [1], [1]), (134, 135, [1], [1]), (135, 136, [], [1]), (105, 106, [1], [1]),
        (104, 106, [], [1]), (120, 120, [], []),
    ],
)  # fmt: skip
def test_by_the_beat_times_are_rounded_and_halves_are_later(read, start, end, frames, kept):
    data = smf(track((start, note_on(60)), (end - start, note_off(60))))
    for keep_short, expected in ((False, frames), (True, kept)):
        content = read(data, steps_per_beat=4, keep_short=keep_short)
        assert cells(content) == [(frame, 60) for frame in expected]
        assert content.n_too_short == (not expected)
        n_rows = max([(end + 60) // 120, *(frame + 1 for frame in expected)])
        assert len(content.piano_roll) == n_rows


@settings(max_examples=200, deadline=None)
@given(
    notes=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(1, 5), st.integers(1, 127)),
        min_size=1, max_size=12, unique_by=lambda note: note[:2],
    ),
    steps=st.sampled_from([1, 3, 4, 12]),
    amount=st.sampled_from([1, 10, 20]),
    keep_short=st.booleans(),
    data=st.data(),
)  # fmt: skip
def test_a_file_played_unevenly_reads_as_the_exact_one(
    tmp_path_factory, notes, steps, amount, keep_short, data
):
    """Each tick moves by less than half a step, that of the time signature too."""
    path = tmp_path_factory.getbasetemp() / "uneven.mid"
    step = 480 // steps
    jitter = st.integers(-amount + 1, amount - 1) if amount < step / 2 else st.just(0)
    found = []
    for move in (lambda: 0, lambda: data.draw(jitter)):
        tracks = [track((max(0, 2 * step + move()), time_signature(3, 2)))]
        for pitch, start, length, velocity in notes:  # each on a track of its own
            begin, end = (max(0, k * step + move()) for k in (start, start + length))
            tracks.append(
                track((begin, note_on(60 + pitch, velocity)), (end - begin, note_off(60 + pitch)))
            )
        path.write_bytes(smf(*tracks))
        content = midiread(path, (60, 64), steps_per_beat=steps, keep_short=keep_short)
        found.append(content)
    exact, uneven = found
    for name in ("piano_roll", "onset_roll", "velocity_roll"):
        np.testing.assert_array_equal(getattr(uneven, name), getattr(exact, name))
    for name in ("n_too_short", "n_merged", "beats"):
        assert getattr(uneven, name) == getattr(exact, name)
    assert exact.n_too_short == 0


def test_the_tempo_option_replaces_the_tempos_of_the_file(read):
    events = [(0, tempo(123_456)), (480, note_on(60)), (0, tempo(1)), (480, note_off(60))]
    assert read(smf(track(*events)), tempo=60).notes == [Note(60, 1.0, 2.0)]
    assert read(smf(track(*events)), tempo=Fraction(1, 2)).notes == [Note(60, 120.0, 240.0)]
    assert read(smf(track(*events)), tempo=0.3).notes == [Note(60, 200.0, 400.0)]


def test_smpte_files_have_no_beats(read):
    data = smf(track((0, note_on(60)), (9, note_off(60))), division=(256 - 25) << 8 | 40)
    for option in ({"steps_per_beat": 4}, {"tempo": 120}):
        with pytest.raises(MidiError, match=f"no quarter notes for {next(iter(option))}"):
            read(data, **option)


# Drums ---------------------------------------------------------------------------------


def test_drums_are_read_if_asked_for(read):
    events = [(0, note_on(38, channel=9)), (SECOND, note_off(38, channel=9))]
    content = read(smf(track(*events)), dt=0.5, drums=True)
    assert cells(content) == [(0, 38), (1, 38)]
    assert content.n_drums == 0


# Sustain pedal -------------------------------------------------------------------------


def test_the_pedal_lengthens_the_notes_that_end_while_it_is_down(read):
    events = [
        (0, note_on(60)), (0, note_on(62)), (100, pedal(127)), (100, note_off(60)),
        (100, pedal(64)), (100, note_on(64)), (100, pedal(0)), (100, note_off(62)),
        (100, note_off(64)),
    ]  # fmt: skip
    data = smf(track(*events))
    lengths = {note.pitch: note.end * SECOND for note in read(data, sustain=True).notes}
    assert lengths == pytest.approx({60: 500, 62: 600, 64: 700})
    assert {note.end * SECOND for note in read(data).notes} == {200, 600, 700}


def test_a_pedal_that_is_never_lifted_holds_to_the_end(read):
    events = [(0, pedal(64)), (0, note_on(60)), (SECOND, note_off(60))]
    data = smf(track(*events), track(end=5 * SECOND))
    assert read(data, sustain=True).notes == [Note(60, 0.0, 5.0)]
    later = track((0, note_on(60)), (SECOND, note_off(60)), end=SECOND)
    content = read(smf(track(*events, end=SECOND), later, format=2), sustain=True)
    assert content.notes == [Note(60, 0.0, 2.0), Note(60, 2.0, 3.0)]


def test_the_pedal_acts_on_all_tracks_of_its_channel_and_on_no_other(read):
    pedals = track((0, pedal(127, channel=3)), (3 * SECOND, pedal(0, channel=3)))
    notes = track(
        (0, note_on(60, channel=3)), (0, note_on(62, channel=4)),
        (SECOND, note_off(60, channel=3)), (0, note_off(62, channel=4)),
    )  # fmt: skip
    for tracks in ((pedals, notes), (notes, pedals)):
        found = sorted(read(smf(*tracks), sustain=True).notes)
        assert found == [Note(60, 0.0, 3.0), Note(62, 0.0, 1.0)]


def test_at_one_tick_the_order_of_events_decides(read):
    down_first = track((0, note_on(60)), (480, pedal(99)), (0, note_off(60)), (480, pedal(0)))
    assert read(smf(down_first), sustain=True).notes == [Note(60, 0.0, 1.0)]
    off_first = track((0, note_on(60)), (480, note_off(60)), (0, pedal(99)), (480, pedal(0)))
    assert read(smf(off_first), sustain=True).notes == [Note(60, 0.0, 0.5)]


def test_each_channel_has_its_own_pedal(read):
    events = [
        (0, pedal(127)), (0, note_on(60)), (0, note_on(64, channel=1)),
        (100, pedal(0, 1)),
        (100, note_off(60)),  # held by its own pedal, not by the other one
        (100, pedal(127, 1)),
        (100, pedal(0)),
        (100, note_off(64, channel=1)),  # held: only the other pedal was lifted
        (100, pedal(0, 1)),
    ]  # fmt: skip
    found = read(smf(track(*events)), sustain=True).notes
    assert found == [Note(60, 0.0, 400 / SECOND), Note(64, 0.0, 600 / SECOND)]


# Short notes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [(1, 2, [0]), (287, 288, [0]), (289, 290, [1]), (288, 290, [1]), (5, 5, []), (100, 300, [1])],
)
def test_a_note_between_two_frames_is_kept_in_the_one_before(read, start, end, frames):
    data = smf(track((start, note_on(60)), (end - start, note_off(60))))
    content = read(data, keep_short=True)
    assert cells(content) == [(frame, 60) for frame in frames]
    plain = read(data)
    heard = [frame for frame in frames if start <= 288 * frame < end]
    assert cells(plain) == [(frame, 60) for frame in heard]
    assert plain.n_too_short == (not heard)
    assert content.n_too_short == (start == end)


def test_a_short_note_at_the_very_end_is_kept(read):
    data = smf(track((288 * 3 - 1, note_on(60)), (1, note_off(60))))
    assert cells(read(data, keep_short=True)) == [(2, 60)]


# Arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        (
            {"dt": 0.3, "steps_per_beat": 4},
            ValueError,
            "give either dt or steps_per_beat, not both: dt=0.3, steps_per_beat=4",
        ),
        ({"steps_per_beat": 0}, ValueError, "steps_per_beat=0 must be a finite number above 0"),
        ({"steps_per_beat": "4"}, TypeError, "steps_per_beat must be a number"),
        ({"tempo": -1}, ValueError, "tempo=-1 must be .* above 0: quarter notes per minute"),
        ({"drums": 1}, TypeError, "drums must be True or False"),
        ({"sustain": None}, TypeError, "sustain must be True or False"),
        ({"most_cells": 0}, ValueError, "most_cells=0 must be at least 1"),
        ({"most_cells": 1e9}, TypeError, "most_cells must be a whole number"),
    ],
)
def test_options_that_are_refused(read, keywords, error, message):
    with pytest.raises(error, match=message):
        read(smf(track()), **keywords)
