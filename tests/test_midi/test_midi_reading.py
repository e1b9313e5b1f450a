"""midiread on files that are built here event by event."""

import math
import pickle
import tracemalloc
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smf import (
    chunk,
    note_off,
    note_on,
    reference_notes,
    sampled,
    smf,
    tempo,
    track,
)

from midi import MidiError, MidiWarning, Note, events, midiread
from midi.reading import summary
from midi.timing import scaled_ceil, scaled_floor

SECOND = 960  # ticks, at the default tempo and division 480
PROGRAM = b"\xc0\x05"
TEXT = b"\xff\x01\x03abc"
SYSEX = b"\xf0\x04\x7e\x7f\x09\xf7"


@pytest.fixture
def read(tmp_path):
    def read(data, *args, **keywords):
        path = tmp_path / "tune.mid"
        path.write_bytes(data)
        return midiread(path, *args, **keywords)

    return read


def cells(content, lowest_pitch=21):
    """List the on-cells as (frame, pitch)."""
    frame, column = np.nonzero(content.piano_roll)
    return list(zip(frame.tolist(), (column + lowest_pitch).tolist(), strict=True))


# Sampling ------------------------------------------------------------------------------


def test_notes_on_the_grid_of_three_tenths_of_a_second_do_not_slip(read):
    n = 2000  # frames; 0.3 s are 288 ticks
    events = []
    for frame in range(n):
        events += [(0, note_on(21 + frame % 88)), (288, note_off(21 + frame % 88))]
    roll = read(smf(track(*events))).piano_roll
    expected = np.zeros((n, 88))
    expected[np.arange(n), np.arange(n) % 88] = 1
    np.testing.assert_array_equal(roll, expected)


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (288, 576, [1]),
        (287, 576, [1]),
        (289, 576, []),
        (289, 577, [2]),
        (288, 577, [1, 2]),
        (0, 1, [0]),
        (288, 288, []),
    ],
)
def test_a_note_is_on_from_its_start_until_before_its_end(read, start, end, frames):
    events = (start, note_on(60)), (end - start, note_off(60))
    content = read(smf(track(*events, end=1000)))
    assert cells(content) == [(frame, 60) for frame in frames]


def test_the_roll_is_float32_of_zeros_and_ones(read):
    roll = read(
        smf(track((0, note_on(60)), (SECOND, note_off(60)), end=1)), (60, 62), 0.5
    ).piano_roll
    assert roll.dtype == np.float32
    assert roll.tolist() == [[1, 0], [1, 0], [0, 0]]


@pytest.mark.parametrize(
    "dt",
    [0.3, np.float32(0.3), np.float64(0.3), Fraction(3, 10), Decimal("0.3")],
    ids=lambda dt: type(dt).__name__,
)
def test_the_time_step_is_the_decimal_number_as_written(read, dt):
    content = read(smf(track((288 * 7, note_on(60)), (288, note_off(60)))), dt=dt)
    assert cells(content) == [(7, 60)]
    assert len(content.piano_roll) == 8


def test_whole_numbers_of_seconds_are_time_steps(read):
    data = smf(track((2 * SECOND, note_on(60)), (SECOND, note_off(60))))
    for dt in (1, np.int64(1), 1.0):
        assert cells(read(data, dt=dt)) == [(2, 60)]


messages = st.one_of(
    st.builds(note_on, st.integers(58, 63), st.integers(0, 127), st.sampled_from([0, 0, 0, 1, 9])),
    st.builds(note_off, st.integers(58, 63), st.sampled_from([0, 0, 0, 1, 9])),
    st.builds(tempo, st.sampled_from([1, 250_000, 500_000, 333_333, 2**24 - 1])),
    st.sampled_from([PROGRAM, TEXT, SYSEX, b"\xd0\x11", b"\xb0\x40\x7f", b"\xe1\x00\x40"]),
)
deltas = st.one_of(st.integers(0, 3), st.integers(0, 700), st.just(288), st.just(20_000))
tracks_of_events = st.lists(
    st.tuples(st.lists(st.tuples(deltas, messages), max_size=25), st.integers(0, 1000)),
    max_size=3,
)


@settings(max_examples=250, deadline=None)
@given(
    tracks=tracks_of_events,
    division=st.sampled_from([1, 96, 480, 32767]),
    dt=st.sampled_from([0.3, 0.5, 0.1 + 0.2, 1 / 3, 7.77]),
    running_status=st.booleans(),
)
def test_any_file_is_sampled_as_defined(tmp_path_factory, tracks, division, dt, running_status):
    notes, end = reference_notes(tracks, division)
    if end / Fraction(str(dt)) > 2000:
        dt = float(end) / 500
    path = tmp_path_factory.getbasetemp() / "any.mid"
    encoded = (track(*events, end=end, running_status=running_status) for events, end in tracks)
    path.write_bytes(smf(*encoded, division=division))
    content = midiread(path, (59, 63), dt)
    expected = sampled(notes, end, (59, 63), Fraction(str(dt)))
    assert content.piano_roll.tolist() == expected
    inside = [note for note in notes if 59 <= note[0] < 63]
    assert content.n_out_of_range == len(notes) - len(inside)
    times = sorted((float(start), pitch, float(end)) for pitch, start, end in inside)
    found = sorted((start, pitch, end) for pitch, start, end in content.notes)
    np.testing.assert_allclose(np.reshape(found, (-1, 3)), np.reshape(times, (-1, 3)), rtol=1e-14)


@pytest.mark.parametrize("n_waits", [0, 4000])
def test_times_beyond_64_bits_stay_exact(read, n_waits):
    # 2^28 ticks of 16.8 s at a time: products with the fraction of dt exceed 2^63 after
    # 40 waits, and the times in microseconds themselves after 2,048.
    longest = 2**28 - 1
    events = [(0, tempo(2**24 - 1))] + [(longest, TEXT)] * n_waits
    events += [(longest, note_on(60)), (longest - 1, note_off(60))] * 20
    tracks = [(events, 1)]
    notes, end = reference_notes(tracks, 1)
    dt = Fraction(end, 1000) + Fraction(1, 10**30)
    content = read(smf(track(*events, end=1), division=1), (60, 61), dt)
    assert content.piano_roll.tolist() == sampled(notes, end, (60, 61), dt)


# Tempo ---------------------------------------------------------------------------------


def test_the_tempo_is_half_a_second_a_quarter_until_a_tempo_event(read):
    events = (480, tempo(1_000_000)), (0, note_on(60)), (480, note_off(60))
    assert read(smf(track(*events))).notes == [Note(60, 0.5, 1.5)]


@pytest.mark.parametrize("tempo_track_first", [True, False])
def test_a_tempo_event_acts_on_every_track(read, tempo_track_first):
    tempos = track((0, tempo(250_000)), (480, tempo(1_000_000)))
    notes = track((240, note_on(60)), (480, note_off(60)))
    tracks = (tempos, notes) if tempo_track_first else (notes, tempos)
    assert read(smf(*tracks)).notes == [Note(60, 0.125, 0.75)]


def test_of_tempo_events_at_one_tick_the_last_holds(read):
    events = (0, tempo(1)), (0, tempo(600_000)), (0, note_on(60)), (480, note_off(60))
    assert read(smf(track(*events))).notes == [Note(60, 0.0, 0.6)]


def test_a_tempo_event_where_a_track_of_format_2_ends_does_not_reach_the_next(read):
    first = track((480, tempo(1_000_000)))
    second = track((0, note_on(60)), (480, tempo(250_000)), (480, note_off(60)))
    assert read(smf(first, second, format=2)).notes == [Note(60, 0.5, 1.25)]


def test_smpte_division_counts_frames_and_ignores_the_tempo(read):
    events = (0, tempo(1)), (1000, note_on(60)), (500, note_off(60))
    frames_25_of_40_ticks = (256 - 25) << 8 | 40
    content = read(smf(track(*events), division=frames_25_of_40_ticks))
    assert content.notes == [Note(60, 1.0, 1.5)]
    frames_29_97_of_100_ticks = (256 - 29) << 8 | 100
    content = read(
        smf(track((3000, note_on(60)), (0, note_off(60))), division=frames_29_97_of_100_ticks)
    )
    assert content.notes == [Note(60, 1.001, 1.001)]


# Notes ---------------------------------------------------------------------------------


def test_velocity_zero_ends_a_note(read):
    events = (0, note_on(60)), (SECOND, note_on(60, velocity=0))
    assert read(smf(track(*events))).notes == [Note(60, 0.0, 1.0)]


def test_overlapping_notes_of_one_pitch_are_all_kept(read):
    events = [
        (0, note_on(60)),
        (SECOND, note_on(60)),
        (SECOND, note_off(60)),
        (SECOND, note_off(60)),
    ]
    content = read(smf(track(*events, end=SECOND)), dt=1)
    assert content.notes == [Note(60, 0.0, 2.0), Note(60, 1.0, 3.0)]
    assert cells(content) == [(0, 60), (1, 60), (2, 60)]


def test_a_short_note_inside_a_long_one_does_not_cut_it(read):
    long = track((0, note_on(60)), (6 * SECOND, note_off(60)))
    short = track(
        (SECOND, note_on(60)), (SECOND, note_off(60)), (SECOND, note_on(60)), (9, note_off(60))
    )
    for tracks in ((long, short), (short, long)):
        assert cells(read(smf(*tracks), dt=1)) == [(frame, 60) for frame in range(6)]


def test_channels_and_tracks_end_their_own_notes_only(read):
    two_channels = track(
        (0, note_on(60, channel=0)),
        (0, note_on(60, channel=1)),
        (SECOND, note_off(60, channel=1)),
        (SECOND, note_off(60, channel=0)),
    )
    other_track = track((SECOND // 2, note_off(60)), end=0)
    content = read(smf(two_channels, other_track))
    assert sorted(content.notes) == [Note(60, 0.0, 1.0), Note(60, 0.0, 2.0)]


def test_a_note_off_without_a_note_is_ignored(read):
    events = (0, note_off(60)), (0, note_off(60)), (0, note_on(60)), (SECOND, note_off(60))
    content = read(smf(track(*events)))
    assert content.notes == [Note(60, 0.0, 1.0)]
    assert content.n_never_ended == 0


def test_an_end_and_a_start_at_one_tick_make_two_notes(read):
    events = [(0, note_on(60)), (SECOND, note_off(60)), (0, note_on(60)), (SECOND, note_off(60))]
    assert read(smf(track(*events))).notes == [Note(60, 0.0, 1.0), Note(60, 1.0, 2.0)]


def test_notes_never_ended_are_left_out_and_counted(read):
    events = [(0, note_on(60)), (0, note_on(62)), (SECOND, note_off(60)), (0, note_on(60))]
    content = read(smf(track(*events, end=SECOND)), dt=1)
    assert content.notes == [Note(60, 0.0, 1.0)]
    assert (content.n_never_ended, content.n_cut) == (2, 0)
    assert cells(content) == [(0, 60)]


def test_pitches_outside_the_range_neither_wrap_nor_crash(read):
    events = []
    for pitch in (0, 20, 21, 108, 109, 127):
        events += [(0, note_on(pitch)), (SECOND, note_off(pitch))]
    content = read(smf(track(*events)), (21, 109), 1)
    assert cells(content) == [(2, 21), (3, 108)]
    assert [note.pitch for note in content.notes] == [21, 108]
    assert content.n_out_of_range == 4


def test_drums_are_left_out_and_counted(read):
    events = [(0, note_on(38, channel=9)), (0, note_on(60, channel=8)), (0, note_on(10, channel=9))]
    events += [(SECOND, note_off(38, channel=9)), (0, note_off(60, channel=8))]
    content = read(smf(track(*events)), dt=1)
    assert cells(content) == [(0, 60)]
    assert (content.n_drums, content.n_never_ended, content.n_out_of_range) == (2, 0, 0)


def test_many_long_notes_at_once_take_no_more_room_than_the_roll(read):
    n = 1000
    events = []
    for _ in range(n):
        events += [(0, note_on(60)), (0, note_on(60, channel=1))]
        events += [(SECOND, note_off(60, channel=1))]
    events += [(20_000 * SECOND, note_off(60))] + [(0, note_off(60))] * (n - 1)
    data = smf(track(*events))
    read(data, (60, 61), 1)
    tracemalloc.start()
    try:
        roll = read(data, (60, 61), 1).piano_roll
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert roll.all()
    assert len(roll) == 21_000
    assert peak < 20e6  # bytes; a thousand notes of 20,000 frames would be 160e6


# Length --------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "n_rows"), [(0, 0), (1, 1), (288, 1), (289, 2), (2880, 10)])
def test_a_file_without_notes_is_silence_to_its_end(read, end, n_rows):
    content = read(smf(track(end=end)))
    np.testing.assert_array_equal(content.piano_roll, np.zeros((n_rows, 88)))
    assert content.notes == []


def test_the_roll_lasts_to_the_end_of_the_longest_track(read):
    notes = track((0, note_on(60)), (288, note_off(60)), end=288)
    for tracks in ((notes, track(end=2880)), (track(end=2880), notes)):
        assert len(read(smf(*tracks)).piano_roll) == 10


def test_no_tracks_are_no_rows(read):
    assert read(smf()).piano_roll.shape == (0, 88)


def test_without_an_end_of_track_a_track_ends_with_its_last_event(read):
    events = (0, note_on(60)), (288, note_off(60)), (288, TEXT)
    assert len(read(smf(track(*events, end_of_track=False))).piano_roll) == 2


def test_what_follows_the_end_of_a_track_is_not_read(read):
    inner = track((0, note_on(60)), (288, note_off(60)))[8:]
    assert len(read(smf(chunk(inner + b"\x90garbage\xff"))).piano_roll) == 1


def test_the_tracks_of_format_2_follow_one_another_each_at_the_default_tempo(read):
    first = track((0, tempo(1_000_000)), (480, note_on(60)), (480, note_off(60)), end=480)
    second = track((480, note_on(62)), (0, tempo(250_000)), (480, note_off(62)))
    content = read(smf(first, second, format=2))
    assert content.notes == [Note(60, 1.0, 2.0), Note(62, 3.5, 3.75)]
    assert len(content.piano_roll) == 13  # 3.75 s


# Encoding ------------------------------------------------------------------------------


@pytest.mark.parametrize("between", [TEXT, SYSEX, b"\xf7\x02\x90\x91", tempo(500_000)])
def test_running_status_goes_on_after_meta_and_system_exclusive_events(read, between):
    events = (0, note_on(60)), (0, between), (SECOND, bytes((60, 0)))
    assert read(smf(track(*events))).notes == [Note(60, 0.0, 1.0)]


def test_running_status_of_events_with_one_data_byte(read):
    events = (0, PROGRAM), (480, b"\x07"), (480, b"\x09"), (0, note_on(60)), (480, bytes((60, 0)))
    assert read(smf(track(*events))).notes == [Note(60, 1.0, 1.5)]


def test_data_that_look_like_events_are_not_read_as_events(read):
    text = b"\xff\x01\x08\x00\x90\x3c\x40\x00\xff\x2f\x00"
    assert read(smf(track((0, text), (288, text), end=288))).piano_roll.shape == (2, 88)


def test_long_deltas_and_lengths(read):
    text = b"\xff\x01\x81\x00" + bytes(128)
    events = (2**28 - 1, note_on(60)), (2**21, text), (2**14, note_off(60))
    (note,) = read(smf(track(*events), division=32767), dt=100).notes
    assert note.start == (2**28 - 1) * 0.5 / 32767
    assert note.end == (2**28 - 1 + 2**21 + 2**14) * 0.5 / 32767


def test_a_long_run_of_events(read):
    events = [(0, note_on(60)), (288, note_on(60, velocity=0))] * 10_000
    content = read(smf(track(*events, running_status=True)))
    assert len(content.notes) == 10_000
    assert content.piano_roll.shape == (10_000, 88)


def test_unknown_chunks_and_what_follows_the_last_track_are_skipped(read):
    header, notes = smf(track())[:14], track((0, note_on(60)), (288, note_off(60)))
    data = header + chunk(b"\x00\x90\x3c\x40", b"XFIH") + notes + b"garbage"
    assert cells(read(data)) == [(0, 60)]


def test_a_header_may_be_longer_than_six_bytes(read):
    data = smf(track((0, note_on(60)), (288, note_off(60))))
    assert cells(read(data[:7] + b"\x08" + data[8:14] + b"\x00\x00" + data[14:])) == [(0, 60)]


# What is refused -----------------------------------------------------------------------

GOOD = smf(track((0, note_on(60)), (288, note_off(60))))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not a MIDI file at all", "not a MIDI file"),
        (b"RIFF", "not a MIDI file"),
        (b"RIFF\x00\x00\x00\x00RMIDDISP\x02\x00\x00\x00ab", "no complete 'data' chunk"),
        (b"RIFF\x00\x00\x00\x00WAVE" + GOOD[4:], "not a MIDI file"),
        (b"RIFF\x00\x00\x00\x00RMIDdata\x02\x00\x00\x00MT", "14 bytes"),
        (GOOD[:10], "14 bytes"),
        (GOOD[:14], "announces 1 track, the file has none"),
        (GOOD[:7] + b"\x05" + GOOD[8:], "length is 5"),
        (smf(track(), division=0), "a quarter note has 0 ticks"),
        (smf(division=0), "a quarter note has 0 ticks"),
        (smf(track(), division=0xFFFF), "time division 0x.... is not valid"),
        (smf(track(), division=0xE700), "time division 0x.... is not valid"),
        (smf(track(), format=3), "format 3"),
        (smf(track(*[(2**28 - 1, TEXT)] * 200)), "raise most_cells"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_name_and_the_reason(read, data, reason):
    with pytest.raises(MidiError, match=reason) as caught:
        read(data)
    assert "tune.mid: " in str(caught.value)
    assert caught.value.path.endswith("tune.mid")
    assert isinstance(caught.value, ValueError)


def test_the_limit_on_cells_can_be_raised_and_lowered(read):
    data = smf(track(end=10 * 288))  # ten frames of two pitches
    assert len(read(data, (60, 62), most_cells=20).piano_roll) == 10
    with pytest.raises(MidiError, match="10 frames of 2 pitches: more than most_cells=19"):
        read(data, (60, 62), most_cells=19)
    hours = smf(track(end=2**28 - 1), division=1)
    with pytest.raises(MidiError, match="it lasts 134,217,728 s"):
        read(hours, dt=1)


# Damage --------------------------------------------------------------------------------

NOTE = ((0, note_on(60)), (288, note_off(60)))
AFTER = (0, note_on(62)), (288, note_off(62))
END = b"\x00\xff\x2f\x00"


def first(*events):
    """Return the body of a track: a note, then these bytes."""
    return track(*NOTE, end_of_track=False)[8:] + b"".join(events)


def later(*events):
    return track(*events, end_of_track=False)[8:]


DAMAGED = {
    "track cut off": (smf(track(*NOTE, *AFTER))[:-6], [60], "truncated: the track at byte 14"),
    "no data": (smf(chunk(first(b"\x00\x90\x3e"))), [60], "at byte 33 is cut off"),
    "no event": (smf(chunk(first(b"\x00"))), [60], "stops at byte 31"),
    "half a delta": (smf(chunk(first(b"\x81"))), [60], "stops at byte 31"),
    "delta of five bytes": (
        smf(chunk(first(b"\x81\x81\x81\x81\x00", later(*AFTER)))), [60], "stops at byte 31"),
    "data before any status": (
        smf(chunk(b"\x00\x3c\x40" + END), track(*NOTE)), [60],
        "data at byte 23 has no status byte"),
    "velocity above 127": (
        smf(chunk(first(b"\x00\x90\x3e\xff\x82\x20\x3e\x00", END))), [60, 62],
        "the event at byte 33 has a data byte above 127"),
    "pitch above 127": (
        smf(chunk(first(b"\x00\x90\xbc\x40", later(*AFTER), END))), [60, 62], "above 127"),
    "pitch above 127, then running status": (
        smf(chunk(first(b"\x00\x90\xbc\x40\x00\x3e\x40\x82\x20\x3e\x00", END))), [60, 62],
        "above 127"),
    "program above 127": (
        smf(chunk(first(b"\x00\xc0\x80", later(*AFTER), END))), [60, 62], "above 127"),
    "running status after two runs": (
        smf(chunk(first(b"\x00\xb0\x07\x40", b"\x00\xff\x01\x00", b"\x00\x90\x3e\x40",
                        b"\x00\xff\x01\x00", b"\x00\x3f\x40", b"\x00\x40\x80",
                        b"\x82\x20\x3e\x00\x00\x3f\x00\x00\x40\x00", END))),
        [60, 62, 63, 64], "above 127"),
    "system messages": (
        smf(chunk(first(b"\x00\xf1\x90", b"\x00\xf2\x90\x90", b"\x00\xf3\x01", b"\x00\xf8",
                        later(*AFTER), END))), [60, 62],
        "status 0xF1 at byte 32 is not allowed"),
    "no length": (smf(chunk(first(b"\x00\xff"))), [60], "no valid length"),
    "meta too long": (
        smf(chunk(first(b"\x00\xff\x01\x05ab")), track(*AFTER)), [60, 62], "runs past the end"),
    "tempo 0": (smf(track((0, tempo(0)), *NOTE)), [60], "tempo at byte 23"),
    "tempo of two bytes": (
        smf(track((0, b"\xff\x51\x02\x01\x01"), *NOTE)), [60], "tempo at byte 23"),
    "fewer tracks than announced": (
        smf(track(*NOTE))[:10] + b"\x00\x02" + smf(track(*NOTE))[12:], [60],
        "announces 2 tracks, the file has 1"),
    "more tracks than announced": (
        smf(track(*NOTE), track(*AFTER))[:10] + b"\x00\x01"
        + smf(track(*NOTE), track(*AFTER))[12:], [60, 62], "announces 1 track, the file has 2"),
    "track longer than it says": (
        smf(track(*NOTE)[:4] + b"\x00\x00\x00\x08" + track(*NOTE)[8:], track(*AFTER)), [62],
        "the chunk length before byte 35 is wrong"),
    "track hides the next": (
        smf(track(*NOTE)[:7] + b"\x12" + track(*NOTE)[8:], track(*AFTER)), [60, 62],
        "the chunk length before byte 35 is wrong"),
    "track length beyond the file": (
        smf(track(*NOTE)[:4] + b"\x7f\xff\xff\xff" + track(*NOTE)[8:], track(*AFTER)), [60, 62],
        "should have 2147483647"),
    "bytes between two tracks": (
        smf(track(*NOTE), bytes(7) + b"\x14\x00\x00", track(*AFTER)), [60, 62],
        "announces 3 tracks, the file has 2"),
    "bytes before the header": (
        b"\x00" * 128 + smf(track(*NOTE)), [60],
        "skipped 128 bytes before the header"),
}  # fmt: skip
"""By name: the bytes, the pitches that can be read, and part of the message."""


@pytest.mark.parametrize("name", DAMAGED)
def test_the_complete_parts_of_a_damaged_file_are_read(read, name):
    data, pitches, said = DAMAGED[name]
    with pytest.warns(MidiWarning, match=r"tune\.mid: ") as caught:
        content = read(data)
    assert sorted(note.pitch for note in content.notes) == pitches
    assert said in " ".join(content.damage)
    assert "; ".join(content.damage[:3]) in str(caught[0].message)
    with pytest.raises(MidiError, match=r"tune\.mid: "):
        read(data, strict=True)


def test_a_velocity_above_127_begins_a_note_and_does_not_end_one(read):
    with pytest.warns(MidiWarning):
        content = read(smf(chunk(b"\x00\x90\x3c\x80\x87\x40\x3c\x00" + END)))
    assert content.notes == [Note(60, 0.0, 1.0)]


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        ("", ""),
        ("abc", "a; b; c"),
        ("abcd", "a; b; c; and 1 more"),
        ("abcdef", "a; b; c; and 3 more"),
    ],
)
def test_a_warning_has_the_first_three_sentences(damage, text):
    assert summary(tuple(damage)) == text


def test_ratios_beyond_64_bits_are_exact():
    ratio = Fraction(2**70 + 1, 3)
    for values in ([0, 0], [0, 1, 2**40]):
        exact = [value * (2**70 + 1) / Fraction(3) for value in values]
        values = np.array(values)
        assert scaled_floor(values, ratio).tolist() == [math.floor(each) for each in exact]
        assert scaled_ceil(values, ratio).tolist() == [math.ceil(each) for each in exact]


def test_the_first_hundred_damages_are_reported(read):
    data = smf(chunk(b"\x00\xf4" * 1000 + END))
    with pytest.warns(MidiWarning, match="0xF4 at byte 27 .*; and 97 more$"):
        assert len(read(data).damage) == 100


def test_the_other_chunks_of_a_riff_file_are_ignored(read):
    wrapped = b"LIST\x03\x00\x00\x00abc\x00" + b"data" + len(GOOD).to_bytes(4, "little") + GOOD
    data = b"RIFF" + (4 + len(wrapped)).to_bytes(4, "little") + b"RMID" + wrapped + track(*AFTER)
    assert read(data, strict=True).notes == [Note(60, 0.0, 0.3)]
    with pytest.warns(MidiWarning, match="truncated"):
        read(data[: -len(track(*AFTER)) - 2])


def test_every_truncation_is_refused_or_reported(read):
    data = smf(track((0, PROGRAM), (0, tempo(9999)), end=1), track((0, note_on(60)), (300, SYSEX)))
    for length in range(len(data)):
        with pytest.raises(MidiError):
            read(data[:length], strict=True)
        if length >= 22:  # the header, and the beginning of a track
            with pytest.warns(MidiWarning):
                read(data[:length])


def test_damaged_files_are_read_or_refused(read):
    data = smf(
        track((0, tempo(9999)), (300, TEXT), (0, PROGRAM), end=1),
        track((0, note_on(60)), (300, SYSEX), (9, note_on(61)), (7, note_off(60)), end=20_000),
    )
    random = np.random.default_rng(1)
    n_refused = n_damaged = 0
    for _ in range(1500):
        damaged = bytearray(data)
        for at in random.integers(len(data), size=random.integers(1, 4)):
            damaged[at] = random.integers(256)
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                read(bytes(damaged), dt=1000)
            n_damaged += bool(said)
        except MidiError:
            n_refused += 1
    assert 50 < n_refused < n_damaged < 1450


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=6) | st.sampled_from([NOTE, AFTER]), max_size=12))
def test_events_read_in_runs_are_those_read_one_by_one(pieces):
    data = smf(chunk(b"".join(p if isinstance(p, bytes) else later(*p) for p in pieces)))
    _, in_runs = events.read_events(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events._Runs, "end", lambda self, position, end: position)
        _, one_by_one = events.read_events(data)
    for ours, theirs in zip(in_runs, one_by_one, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_midi_error_survives_pickling():
    error = pickle.loads(pickle.dumps(MidiError("it is empty", "tune.mid")))  # noqa: S301
    assert str(error) == "tune.mid: it is empty"


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        midiread(tmp_path / "missing.mid")
    with pytest.raises(OSError):
        midiread(tmp_path)
    with pytest.raises(TypeError):
        midiread(0)  # type: ignore[arg-type]


@pytest.mark.parametrize("dt", [0, -0.3, float("nan"), float("inf"), -float("inf"), Decimal("NaN")])
def test_a_time_step_must_be_finite_and_above_0(read, dt):
    with pytest.raises(ValueError, match="dt="):
        read(GOOD, dt=dt)


@pytest.mark.parametrize("dt", [True, np.True_, "0.3", 1j, [0.3]])
def test_a_time_step_must_be_a_number(read, dt):
    with pytest.raises(TypeError, match="dt must be a number"):
        read(GOOD, dt=dt)


@pytest.mark.parametrize("r", [(109, 21), (60, 60), (-1, 88), (21, 129)])
def test_a_pitch_range_must_be_ordered_and_within_midi(read, r):
    with pytest.raises(ValueError, match="r="):
        read(GOOD, r)


@pytest.mark.parametrize("r", [88, (21.0, 109.0), (21,), (21, 50, 109), "ab", None])
def test_a_pitch_range_must_be_two_integers(read, r):
    with pytest.raises(TypeError, match="two integers"):
        read(GOOD, r)
