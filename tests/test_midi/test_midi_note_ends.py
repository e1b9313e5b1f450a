"""Messages that end notes and lift the pedal, and notes whose end is lost."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from player import (
    GM2_ON,
    GM_OFF,
    GM_ON,
    GS_RESET,
    RESETS,
    XG_ON,
    exclusive,
    gs_part,
    play,
    xg_part,
)
from smf import note_off, note_on, smf, tempo, track

from midi import describe, midiread


def control(number, value=0, channel=0):
    return bytes((0xB0 | channel, number, value))


PEDAL, LIFT = control(64, 127), control(64, 0)
ON, OFF = note_on(60), note_off(60)


@pytest.fixture
def read(tmp_path):
    def read(*tracks, format=1, **keywords):
        """Read tracks of events, or (events, end); a tick is a second."""
        path = tmp_path / "tune.mid"
        tracks = [each if isinstance(each, tuple) else (each, 0) for each in tracks]
        path.write_bytes(
            smf(*(track(*events, end=end) for events, end in tracks), division=1, format=format)
        )
        return midiread(path, (0, 128), 1, tempo=60, **keywords)

    return read


def spans(content):
    """List the notes as (pitch, start, end) in ticks."""
    return [(note.pitch, int(note.start), int(note.end)) for note in content.notes]


def held(events, sustain=True):
    """Return the events with the pedal down from the start if `sustain`."""
    return [(0, PEDAL), *events] if sustain else events


# Lost note-offs --------------------------------------------------------------------------


def test_one_lost_note_off_does_not_make_a_drone(read):
    events = [(0, ON)]
    for k in range(20):
        events += [(4 if k == 0 else 3, ON), (1, OFF)]
    content = read(events)
    assert content.piano_roll.sum() == 24
    assert (content.n_cut, content.n_never_ended) == (1, 0)
    assert spans(content)[:3] == [(60, 0, 4), (60, 4, 5), (60, 8, 9)]


@pytest.mark.parametrize(
    ("events", "expected", "n_cut", "n_never_ended"),
    [
        ([(0, ON), (2, ON), (2, OFF)], [(0, 2), (2, 4)], 1, 0),
        ([(0, ON), (2, ON), (2, ON), (2, OFF)], [(0, 2), (2, 4), (4, 6)], 2, 0),
        ([(0, ON), (2, ON), (2, ON), (2, OFF), (2, OFF)], [(0, 2), (2, 6), (4, 8)], 1, 0),
        ([(0, ON), (2, ON), (1, OFF), (1, OFF), (1, ON)], [(0, 3), (2, 4)], 0, 1),
        ([(0, ON), (2, OFF), (1, ON), (3, ON), (1, OFF)], [(0, 2), (3, 6), (6, 7)], 1, 0),
        ([(0, ON), (0, ON), (2, OFF)], [(0, 0), (0, 2)], 1, 0),
        ([(0, ON), (2, OFF), (1, OFF), (1, OFF), (1, ON), (1, OFF)], [(0, 2), (5, 6)], 0, 0),
        ([(0, OFF), (1, ON), (1, OFF), (1, OFF), (1, ON)], [(1, 2)], 0, 1),
        ([(0, ON), (1, ON)], [(0, 1)], 1, 1),
    ],
    ids=[
        "two strikes, one end", "three strikes, one end", "three strikes, two ends",
        "nested, then unended", "a pair before the loss", "a doubled strike",
        "more ends than strikes", "an end first", "two strikes, no end",
    ],
)  # fmt: skip
def test_note_ons_and_note_offs_that_do_not_balance(read, events, expected, n_cut, n_never_ended):
    content = read(events)
    assert [span[1:] for span in spans(content)] == expected
    assert (content.n_cut, content.n_never_ended) == (n_cut, n_never_ended)


@pytest.mark.parametrize(
    "surplus",
    [[(0, OFF)], [(0, note_off(pitch)) for pitch in range(128)], [(2, OFF), (2, ON), (2, OFF)]],
)
@pytest.mark.parametrize("n", [12, 20])
@pytest.mark.parametrize("n_lost", [1, 3])
def test_a_surplus_note_off_does_not_hide_a_lost_one(read, surplus, n, n_lost):
    strikes = [(3, ON), (1, OFF)] * n
    content = read([(3, ON)] * n_lost + strikes + surplus)
    lost = [(60, 3 * k, 3 * k + 3) for k in range(1, n_lost + 1)]
    begins = range(3 * n_lost + 3, 3 * n_lost + 3 + 4 * n, 4)
    expected = lost + [(60, begin, begin + 1) for begin in begins]
    assert spans(content)[: n_lost + n] == expected
    assert len(content.notes) == len(expected) + (len(surplus) == 3)
    assert (content.n_cut, content.n_never_ended) == (n_lost, 0)


@pytest.mark.parametrize(
    "events",
    [
        [(0, ON)] + [(3, ON), (1, OFF)] * 11 + [(2, OFF)],
        [(0, ON)] + [(8, ON), (1, OFF)] * 20 + [(8, OFF)],
        [(0, ON)] + [(3, ON), (0, OFF)] * 20 + [(3, OFF)],
        [(0, ON)] * 8 + [(4, OFF)] * 8,
    ],
    ids=["short notes inside a long one", "legato", "on before off", "in unison"],
)
def test_overlapping_notes_are_not_taken_for_lost_ones(read, events):
    content = read(events)
    assert content.n_cut == content.n_never_ended == 0
    begin, *_, end = sorted(time for note in content.notes for time in note[1:])
    assert content.piano_roll[int(begin) : int(end)].any(axis=1).all()


def test_overlapping_notes_after_a_loss_are_kept(read):
    lost = [(0, ON), (4, ON), (1, OFF)]
    nested = [(1, ON), (2, ON), (1, OFF), (4, OFF)]
    assert spans(read(lost + nested)) == [(60, 0, 4), (60, 4, 5), (60, 6, 9), (60, 8, 13)]


def test_other_pitches_channels_and_tracks_do_not_end_a_lost_note(read):
    other = (1, note_on(61)), (1, note_off(61)), (1, note_on(60, channel=1))
    content = read([(0, ON), *other, (1, note_off(60, channel=1))], [(2, ON), (1, OFF)])
    assert spans(content) == [(61, 1, 2), (60, 2, 3), (60, 3, 4)]
    assert (content.n_cut, content.n_never_ended) == (0, 1)


def test_one_pitch_on_several_channels_with_one_loss(read):
    events = [(0, ON), (0, note_on(60, channel=1)), (2, ON), (0, note_on(60, channel=1))]
    events += [(1, OFF), (1, note_off(60, channel=1)), (1, note_off(60, channel=1))]
    content = read(events)
    assert sorted(spans(content)) == [(60, 0, 2), (60, 0, 4), (60, 2, 3), (60, 2, 5)]
    assert content.n_cut == 1


# Note-offs -------------------------------------------------------------------------------


@pytest.mark.parametrize("velocity", [0, 1, 64, 127])
def test_a_note_off_of_any_velocity_ends_a_note(read, velocity):
    assert spans(read([(0, ON), (2, bytes((0x80, 60, velocity))), (2, OFF)])) == [(60, 0, 2)]


@pytest.mark.parametrize(
    "between", [b"\xff\x01\x02hi", exclusive(b"\x41\x10\x42\x11\x40"), tempo(500_000)]
)
@pytest.mark.parametrize("status", [0x80, 0x90])
def test_running_status_ends_a_note_after_other_events(read, between, status):
    events = [(0, ON), (0, bytes((status, 62, 0))), (1, between), (1, bytes((60, 0)))]
    assert spans(read(events)) == [(60, 0, 2)]


@pytest.mark.parametrize(
    ("events", "n_lost"),
    [([(0, ON)], 1), ([(0, ON), (2, note_on(64)), (1, OFF)], 1), ([(0, ON), (0, ON)], 1)],
)
def test_the_end_of_its_track_does_not_end_a_note(read, events, n_lost):
    content = read((events, 5), ([(0, note_on(70)), (9, note_off(70))], 0))
    assert content.n_never_ended == n_lost
    assert (70, 0, 9) in spans(content)


# Channel mode messages -------------------------------------------------------------------


@pytest.mark.parametrize("sustain", [False, True])
@pytest.mark.parametrize("number", [123, 124, 125, 126, 127])
def test_all_notes_off_ends_the_notes_of_its_channel_unless_the_pedal_holds_them(
    read, number, sustain
):
    off = control(number)
    events = [(0, ON), (0, note_on(64)), (0, note_on(60, channel=1)), (3, off), (2, OFF)]
    later = [(0, note_off(64)), (0, note_off(60, channel=1)), (2, LIFT)]
    end = 7 if sustain else 3
    found = spans(read(held(events + later), sustain=sustain))
    assert sorted(found) == sorted([(60, 0, end), (60, 0, 5), (64, 0, end)])


@pytest.mark.parametrize("number", [120, 123])
def test_a_note_that_all_notes_off_ends_has_no_lost_note_off(read, number):
    events = [(0, ON), (2, control(number)), (2, ON), (1, OFF), (1, OFF)]
    content = read(events)
    assert spans(content) == [(60, 0, 2), (60, 4, 5)]
    assert (content.n_cut, content.n_never_ended) == (0, 0)


def test_a_drone_before_all_notes_off_is_cut_by_the_next_strike(read):
    content = read([(0, ON), (4, ON), (1, OFF), (3, ON), (1, OFF), (9, control(123))])
    assert spans(content) == [(60, 0, 4), (60, 4, 5), (60, 8, 9)]
    assert content.n_cut == 1


def test_all_notes_off_acts_on_the_other_tracks_of_its_channel(read):
    notes = [(0, ON), (0, note_on(60, channel=1)), (9, OFF), (0, note_off(60, channel=1))]
    for tracks in (([(4, control(123))], notes), (notes, [(4, control(123))])):
        assert sorted(spans(read(*tracks))) == [(60, 0, 4), (60, 0, 9)]
    assert spans(read([(4, control(123))], notes, format=2)) == [(60, 4, 13), (60, 4, 13)]


def test_the_set_up_of_a_track_does_not_end_notes_struck_at_its_tick(read):
    right, left = [(0, control(123)), (0, ON), (4, OFF)], [(0, control(123)), (0, note_on(40))]
    expected = [(40, 0, 4), (60, 0, 4)]
    for tracks in ((right, [*left, (4, note_off(40))]), ([*left, (4, note_off(40))], right)):
        assert spans(read(*tracks)) == expected


def test_in_one_track_the_order_at_one_tick_decides(read):
    assert spans(read([(0, ON), (0, control(123)), (4, OFF)])) == [(60, 0, 0)]
    assert spans(read([(0, control(123)), (0, ON), (4, OFF)])) == [(60, 0, 4)]
    assert spans(read([(2, ON), (2, OFF), (0, control(120)), (0, ON), (2, OFF)])) == [
        (60, 2, 4), (60, 4, 6),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ([(0, ON), (3, control(120)), (2, OFF), (2, LIFT)], 3),
        ([(0, ON), (2, OFF), (1, control(120)), (2, LIFT)], 3),
        ([(0, ON), (3, control(123)), (1, control(120)), (2, LIFT)], 4),
    ],
    ids=["sounding", "held", "held after all notes off"],
)
def test_all_sound_off_ends_what_the_pedal_holds(read, events, end):
    assert spans(read(held(events), sustain=True)) == [(60, 0, end)]


def test_all_sound_off_leaves_the_pedal_down(read):
    events = [(0, control(120)), (1, ON), (1, OFF), (3, LIFT)]
    assert spans(read(held(events), sustain=True)) == [(60, 1, 5)]


@pytest.mark.parametrize(
    ("events", "end"),
    [
        ([(0, ON), (2, OFF), (2, control(121)), (3, LIFT)], 4),
        ([(0, ON), (2, control(121)), (2, OFF), (3, LIFT)], 4),
        ([(0, ON), (2, control(121, channel=1)), (2, OFF), (3, LIFT)], 7),
    ],
    ids=["held", "sounding", "another channel"],
)
def test_reset_all_controllers_lifts_the_pedal_and_ends_no_note(read, events, end):
    assert spans(read(held(events), sustain=True)) == [(60, 0, end)]
    assert spans(read(held(events))) == [(60, 0, 2 if events[1][1] == OFF else 4)]


@pytest.mark.parametrize("number", [7, 66, 67, 69, 122])
@pytest.mark.parametrize("value", [0, 127])
def test_other_controllers_neither_end_nor_hold_notes(read, number, value):
    events = [(0, ON), (1, control(number, value)), (2, OFF), (1, control(number, 0))]
    for sustain in (False, True):
        assert spans(read(events, sustain=sustain)) == [(60, 0, 3)]
    assert spans(read(held([*events, (2, LIFT)]), sustain=True)) == [(60, 0, 6)]


# System exclusive resets -----------------------------------------------------------------

GS_MODE_SET = b"\x41\x10\x42\x12\x00\x00\x7f\x01\x00"
XG_PARAMETERS = b"\x43\x1f\x4c\x00\x00\x7f\x00"
OTHER_DEVICE = b"\x7e\x00\x09\x01"


@pytest.mark.parametrize(
    "reset", [*RESETS, GS_MODE_SET, XG_PARAMETERS, OTHER_DEVICE], ids=bytes.hex
)
def test_a_reset_ends_the_notes_of_all_channels_and_lifts_their_pedals(read, reset):
    notes = [(0, ON), (0, note_on(62, channel=5)), (2, note_off(62, channel=5)), (4, OFF)]
    pedals = [(0, PEDAL), (0, control(64, 127, channel=5)), (4, exclusive(reset)), (5, LIFT)]
    assert spans(read(pedals, notes, sustain=True)) == [(60, 0, 4), (62, 0, 4)]
    assert spans(read(pedals, notes)) == [(60, 0, 4), (62, 0, 2)]
    after = [(0, PEDAL), (1, exclusive(reset)), (1, ON), (1, OFF), (5, LIFT)]
    assert spans(read(after, sustain=True)) == [(60, 2, 3)]


@pytest.mark.parametrize(
    "message",
    [
        b"\x7e\x7f\x06\x01", b"\x7f\x7f\x04\x01\x00\x7f", b"\x41\x10\x42\x12\x40\x00\x04\x7f\x3d",
        b"\x43\x10\x4c\x00\x00\x04\x7f", b"\x41\x10\x16\x12\x7f\x00\x00\x00\x01", b"",
    ],
    ids=bytes.hex,
)  # fmt: skip
def test_other_exclusive_messages_end_nothing(read, message):
    events = [(0, ON), (1, exclusive(message)), (2, OFF), (1, LIFT)]
    assert spans(read(events)) == [(60, 0, 3)]
    assert spans(read(held(events), sustain=True)) == [(60, 0, 4)]


def test_a_reset_acts_on_its_own_track_in_format_2(read):
    reset, notes = [(1, exclusive(GM_ON)), (8, LIFT)], [(0, PEDAL), (0, ON), (4, OFF)]
    for tracks, end in (((notes, reset), 4), ((reset, notes), 13)):
        (note,) = spans(read(*tracks, format=2, sustain=True))
        assert note[2] == end


# Any file --------------------------------------------------------------------------------

channels = st.sampled_from([0, 0, 0, 9, 10])
values = st.sampled_from([0, 1, 63, 64, 120, 121, 126, 127])
controllers = st.sampled_from([0, 0, 64, 64, 66, 120, 121, 122, 123, 125, 127])
modes = st.integers(0, 2)
messages = st.one_of(
    st.builds(note_on, st.sampled_from([60, 61]), st.sampled_from([0, 64, 64]), channels),
    st.builds(note_on, st.sampled_from([60, 61]), st.just(64), channels),
    st.builds(note_off, st.sampled_from([60, 61]), channels),
    st.builds(control, controllers, values, channels),
    st.builds(exclusive, st.sampled_from([*RESETS])),
    st.builds(exclusive, st.builds(gs_part, channels, modes) | st.builds(xg_part, channels, modes)),
)
deltas = st.sampled_from([0, 0, 1, 1, 2, 9])
one_event = st.tuples(st.tuples(deltas, st.sampled_from([ON, OFF])))
pairs = st.builds(
    lambda n, *times: n * tuple(zip(times, (ON, OFF))), st.integers(1, 15), deltas, deltas
)
one_voice = st.lists(one_event | pairs, max_size=12)
tracks_of_events = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 2), messages), max_size=25)
        | one_voice.map(lambda groups: [event for group in groups for event in group]),
        st.integers(0, 3),
    ),
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(tracks=tracks_of_events, format=st.sampled_from([1, 1, 2]), drums=st.booleans())
@example([([(0, ON), (1, exclusive(GM2_ON))], 0), ([(1, ON), (1, OFF)], 0)], 1, False)
@example([([(0, ON), (1, exclusive(GM_OFF))], 0), ([(1, ON), (1, OFF)], 0)], 2, False)
@example([([(0, control(0, 127)), (0, exclusive(GS_RESET)), (1, ON), (1, OFF)], 0)], 1, False)
@example([([(0, exclusive(XG_ON)), (0, control(0, 0, 9)), (1, note_on(60, 64, 9))], 0)], 1, False)
def test_any_file_is_read_as_a_player_plays_it(tmp_path_factory, tracks, format, drums):
    notes, end = play(tracks, format)
    path = tmp_path_factory.getbasetemp() / "any.mid"
    encoded = (track(*events, end=end) for events, end in tracks)
    path.write_bytes(smf(*encoded, division=1, format=format))
    pitched = [note for note in notes if drums or not note.is_drum]
    ended = [note for note in pitched if note.end is not None]
    for sustain in (False, True):
        content = midiread(path, (60, 61), 1, tempo=60, sustain=sustain, drums=drums)
        inside = [note for note in ended if note.pitch == 60]
        expected = [(n.pitch, n.start, n.sustained_end if sustain else n.end) for n in inside]
        assert sorted(content.notes) == sorted(expected)
        assert content.n_cut == sum(note.is_cut for note in inside)
        assert content.n_out_of_range == len(ended) - len(inside)
        assert content.n_never_ended == len(pitched) - len(ended)
        assert content.n_drums == len(notes) - len(pitched)
    contents = describe(path)
    ended = [note for note in notes if note.end is not None]
    assert sum(each.n_notes for each in contents.tracks) == len(ended)
    assert contents.n_drums == sum(note.is_drum for note in ended)
    assert contents.n_drums == sum(each.n_drums for each in contents.tracks)
    assert contents.n_cut == sum(note.is_cut for note in ended)
    assert contents.n_never_ended == len(notes) - len(ended)
    pitches = [note.pitch for note in ended if not note.is_drum]
    for bound, of in ((min, "lowest_pitch"), (max, "highest_pitch")):
        found = [getattr(each, of) for each in contents.tracks if getattr(each, of) is not None]
        assert bound(found, default=None) == bound(pitches, default=None)
