"""Drums outside channel 10, and a channel 10 that plays a melody."""

import pytest
from player import GM2_ON, GM_ON, GS_RESET, XG_ON, exclusive, gs_part, xg_part
from smf import note_off, note_on, smf, track

from midi import describe, midiread


def bank(number, channel=0, program=0):
    """Return the events that select a bank and a program."""
    return [(0, bytes((0xB0 | channel, 0, number))), (0, bytes((0xC0 | channel, program)))]


def strokes(channel=0, n=3):
    return [(1, note_on(38, channel=channel)), (1, note_off(38, channel))] * n


def message(payload):
    return [(0, exclusive(payload))]


@pytest.fixture
def count(tmp_path):
    def count(*tracks, format=1):
        """Return the number of notes and of drums; check that all ways of counting agree."""
        path = tmp_path / "tune.mid"
        path.write_bytes(smf(*(track(*events) for events in tracks), format=format))
        content, everything = midiread(path, dt=0.001), midiread(path, drums=True)
        assert everything.n_drums == 0
        assert len(everything.notes) == len(content.notes) + content.n_drums
        contents = describe(path)
        assert contents.n_drums == content.n_drums
        assert sum(each.n_notes for each in contents.tracks) == len(everything.notes)
        assert content.piano_roll.any() == bool(content.notes)
        return len(content.notes), content.n_drums

    return count


@pytest.mark.parametrize("number", [120, 126, 127])
@pytest.mark.parametrize("channel", [0, 3, 9, 10])
@pytest.mark.parametrize("reset", [b"", GM_ON, GM2_ON, XG_ON], ids=["none", "GM", "GM2", "XG"])
def test_banks_of_drums(count, number, channel, reset):
    reset = message(reset) if reset else []
    assert count(reset + bank(number, channel) + strokes(channel)) == (0, 3)
    assert count(reset + bank(number, channel) + strokes(channel ^ 1)) == (3, 0)


@pytest.mark.parametrize("number", [0, 1, 8, 63, 64, 119, 121, 122, 125])
def test_other_banks_are_melodic(count, number):
    assert count(bank(number) + strokes()) == (3, 0)
    assert count(bank(127) + strokes(n=2) + bank(number) + strokes()) == (3, 2)


@pytest.mark.parametrize("number", [0, 64, 120, 126, 127])
def test_after_a_gs_reset_banks_choose_no_drums(count, number):
    assert count(message(GS_RESET) + bank(number) + strokes()) == (3, 0)
    assert count(message(GS_RESET) + bank(number, 9) + strokes(9)) == (0, 3)


@pytest.mark.parametrize("channel", range(16))
@pytest.mark.parametrize("part", [gs_part, xg_part])
def test_a_part_for_drums(count, channel, part):
    on, off = message(part(channel, 1)), message(part(channel, 0))
    neighbour = (channel + 1) % 16
    assert count(on + strokes(channel)) == (0, 3)
    assert count(on + strokes(neighbour)) == ((0, 3) if neighbour == 9 else (3, 0))
    assert count(strokes(channel) + off + strokes(channel, n=2)) == (
        (2, 3) if channel == 9 else (5, 0)
    )
    assert count(on + strokes(channel) + off + strokes(channel, n=2)) == (2, 3)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x41\x10\x42\x12\x40\x1a\x15\x01\x10",
        b"\x41\x7f\x42\x12\x40\x1a\x15\x02\x0f",
        b"\x41\x00\x42\x12\x40\x1a\x15\x02\x00",
        b"\x43\x1f\x4c\x08\x0a\x07\x05",
    ],
    ids=["map 1", "map 2 of any device", "wrong checksum", "XG drums setup 4"],
)
def test_part_messages_as_they_stand_in_files(count, payload):
    assert count(message(payload) + strokes(10)) == (0, 3)


def packet(status, *data):
    return (0, bytes((status, sum(map(len, data)))) + b"".join(data))


@pytest.mark.parametrize("cut", range(1, 11))
def test_a_message_in_packets_or_escaped(count, cut):
    whole = gs_part(10, 1) + b"\xf7"
    head, tail = whole[:cut], whole[cut:]
    text, unfinished = (0, b"\xff\x01\x02hi"), packet(0xF0, b"\x41\x10")
    for events in (
        [packet(0xF0, head), packet(0xF7, tail)],
        [packet(0xF0, head), text, *(packet(0xF7, bytes((each,))) for each in tail)],
        [packet(0xF7, b"\xf0", whole)],
        [unfinished, packet(0xF7, b"\xf0", head), packet(0xF7, tail)],
    ):
        assert count(events + strokes(10)) == (0, 3)
    assert count([packet(0xF7, whole)] + strokes(10)) == (3, 0)
    assert count([unfinished], [packet(0xF7, whole[2:])] + strokes(10)) == (3, 0)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x41\x10\x42\x11\x40\x1a\x15\x01\x10",
        b"\x41\x10\x42\x12\x40\x1a\x14\x01\x11",
        b"\x41\x10\x42\x12\x40\x2a\x15\x01\x00",
        b"\x43\x10\x4c\x08\x0a\x08\x01",
        b"\x43\x20\x4c\x08\x0a\x07\x01",
    ],
    ids=["a request", "another parameter", "another block", "another XG parameter", "XG dump"],
)
def test_messages_that_choose_no_drums(count, payload):
    assert count(message(payload) + strokes(10)) == (3, 0)


@pytest.mark.parametrize(
    ("events", "is_melodic"),
    [
        (bank(0, 9), False),
        (bank(121, 9), True),
        (message(GM2_ON) + bank(121, 9), True),
        (message(GM_ON) + bank(0, 9), False),
        (message(XG_ON), False),
        (message(XG_ON) + bank(0, 9), True),
        (message(XG_ON) + bank(0, 9) + bank(127, 9), False),
        (message(GS_RESET) + bank(121, 9), False),
        (message(gs_part(9, 0)), True),
        (message(gs_part(9, 0)) + bank(8, 9), True),
        (message(xg_part(9, 0)) + message(GM_ON), False),
    ],
)
def test_a_melodic_channel_10(count, events, is_melodic):
    assert count(events + strokes(9)) == ((3, 0) if is_melodic else (0, 3))


@pytest.mark.parametrize("reset", [GM_ON, GM2_ON, GS_RESET, XG_ON])
@pytest.mark.parametrize("drums", [bank(127), message(gs_part(0, 1)), message(xg_part(0, 1))])
def test_a_reset_returns_the_channels_to_their_defaults(count, reset, drums):
    assert count(drums + strokes() + message(reset) + strokes(n=2) + strokes(9)) == (2, 6)


def test_a_bank_outlasts_a_reset_of_controllers(count):
    assert count(bank(127) + [(0, b"\xb0\x79\x00")] + strokes()) == (0, 3)


def test_a_gs_part_outlasts_its_kits_and_banks(count):
    assert count(message(gs_part(10, 1)) + bank(0, 10, program=25) + strokes(10)) == (0, 3)
    assert count(message(gs_part(10, 1)) + bank(121, 10) + strokes(10)) == (3, 0)


def test_a_bank_of_drums_ends_what_a_part_message_chose(count):
    assert count(message(gs_part(0, 1)) + bank(127) + bank(0) + strokes()) == (3, 0)
    assert count(message(gs_part(9, 0)) + bank(121, 9) + bank(0, 9) + strokes(9)) == (0, 3)


def test_a_reset_ends_what_a_part_message_chose(count):
    events = message(gs_part(9, 1)) + message(XG_ON) + bank(0, 9)
    assert count(events + strokes(9)) == (3, 0)


def test_drums_end_with_their_track_in_format_2(count):
    last = [(1, note_on(60)), (1, note_off(60)), (0, note_on(61)), (0, note_off(61))]
    assert count(bank(127) + last, bank(120) + strokes(), strokes(), format=2) == (3, 5)
    gs = message(GS_RESET)
    assert count(gs + bank(127) + last, bank(127) + strokes(), format=2) == (2, 3)


def test_the_set_up_in_another_track_counts(count):
    for payload in (gs_part(0, 1), xg_part(0, 1)):
        assert count(message(payload), strokes()) == (0, 3)
        assert count([(0, note_on(70)), (9, note_off(70))], message(payload)) == (0, 1)
    assert count(bank(127), [(3, note_on(60)), (9, note_off(60))]) == (0, 1)
    assert count(bank(127) + strokes(n=1), strokes(), format=2) == (3, 1)


def test_a_note_is_what_its_channel_was_when_it_was_struck(count):
    assert count([(0, note_on(60)), *bank(127), (9, note_off(60)), *strokes()]) == (1, 3)
    assert count([*bank(127), (0, note_on(60)), *bank(0), (9, note_off(60))]) == (0, 1)


def test_drums_that_never_end_are_drums(tmp_path):
    path = tmp_path / "tune.mid"
    path.write_bytes(
        smf(track(*bank(127), (0, note_on(38)), (1, note_on(38)), (1, note_on(60, channel=2))))
    )
    content = midiread(path)
    assert (content.n_drums, content.n_never_ended, content.n_cut) == (2, 1, 0)
    content = midiread(path, drums=True)
    assert (content.n_drums, content.n_never_ended, content.n_cut) == (0, 2, 1)


def test_only_melodic_notes_count_as_never_ended(tmp_path):
    """Drums are counted as drums, whether they end or not."""
    path = tmp_path / "tune.mid"
    drums = [(1, note_on(pitch, channel=9)) for pitch in (35, 38, 42, 46)]
    melody = [(0, note_on(60)), (1, note_off(60)), (0, note_on(62))]
    path.write_bytes(smf(track(*drums), track(*melody)))
    assert midiread(path).n_never_ended == 1
