"""Tempo, metre, key and bars: read, written, and read again."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from smf import decoded, key_signature, note_off, note_on, smf, tempo, time_signature, track

from midi import Beats, MidiError, canonical_onsets, midiread, midiwrite
from midi.beats import checked_beats
from midi.reading import check_options, read_bytes

QUARTER = 480
GRIDS = [1, 2, 3, 4, 6, 8, 12, 0.5, 2.5, Fraction(1, 3), Fraction(7, 3), 480, 7, 1001]
HALF, QUARTERS, EIGHTHS, SIXTEENTHS = 1, 2, 3, 4  # powers of 2


def tune(n_quarters, *events, start=0):
    """Return a track with one note, and (quarter, message) events."""
    end = start + n_quarters
    events = [*events, (start, note_on(60)), (end, note_off(60))]
    ticks = sorted((int(quarter * QUARTER), message) for quarter, message in events)
    before = [0, *(tick for tick, _ in ticks)]
    return track(*((tick - now, message) for now, (tick, message) in zip(before, ticks)))


def read(*tracks, format=1, division=QUARTER, **options):
    options = options or {"steps_per_beat": 4}
    data = smf(*tracks, format=format, division=division)
    return read_bytes(data, check_options((60, 61), **options))


def first_step(*events, n_quarters=24, start=0, **options):
    return read(tune(n_quarters, *events, start=start), **options).beats.first_step


# Reading -------------------------------------------------------------------------------


def test_a_file_that_says_nothing():
    content = read(tune(8))
    assert (content.tempo, content.meter, content.key, content.n_meter_changes) == (
        120,
        None,
        None,
        0,
    )
    assert content.beats == Beats(4, 120.0, (4, 4), 0, None)
    assert read(track()).beats == content.beats
    by_seconds = read(tune(8, (0, time_signature(3, QUARTERS))), dt=0.3)
    assert by_seconds.beats is None and by_seconds.meter == (3, 4)


def test_bars_begin_where_tempos_and_time_signatures_say():
    """An upbeat of a quarter, two bars of 2/4, then 6/8 at half the tempo."""
    events = (
        (0, time_signature(1, QUARTERS)),
        (1, time_signature(2, QUARTERS)),
        (5, time_signature(6, EIGHTHS)),
        (5, tempo(1_000_000)),
    )
    content = read(tune(9, *events))  # 120 quarter notes per minute, then 60
    np.testing.assert_array_equal(content.bars, [0.5, 1.5, 2.5, 5.5])
    np.testing.assert_array_equal(read(tune(8, *events), dt=0.3).bars, content.bars[:3])
    np.testing.assert_array_equal(read(tune(3, *events)).bars, [0.5])  # ends with the music
    assert read(tune(8)).bars is None
    assert read(tune(5000, (0, time_signature(1, 6)))).bars.shape == (80_000,)  # of 1/64
    assert read(tune(9000, (0, time_signature(1, 6)))).bars is None
    bars = read(tune(3, (0, time_signature(1, 6))), division=4).bars  # four bars in a tick
    np.testing.assert_array_equal(bars, np.arange(3 * QUARTER) / 8)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [([], 120), ([(0, 60)], 60), ([(0, 60), (5, 90)], 60), ([(0, 60), (3.9, 90)], 90),
     ([(4.1, 60)], 120), ([(0, 30), (2, 40), (5, 50), (6, 60)], 40), ([(9, 60)], 120),
     ([(0, 60), (0, 50)], 50)],
)  # fmt: skip
def test_the_tempo_is_that_of_most_quarter_notes_of_the_music(changes, expected):
    events = [(quarter, tempo(60_000_000 // bpm)) for quarter, bpm in changes]
    expected = 60e6 / (60_000_000 // expected)
    assert read(tune(8, *events), dt=0.1).tempo == expected
    later = [(quarter + 50, message) for quarter, message in events if quarter]
    first = [(0, message) for quarter, message in events if not quarter]
    assert read(tune(8, *first, *later, start=50)).tempo == expected
    assert read(track(*((0, m) for _, m in first)), tune(8, *later, start=50)).tempo == expected
    given = read(tune(8, *events), steps_per_beat=4, tempo=77)
    assert given.tempo == given.beats.tempo == 77.0


def test_a_tempo_is_that_of_its_microseconds():
    """It has few decimals where that stands for the same microseconds."""
    for microseconds, expected in (
        (909_091, 66.0), (666_667, 90.0), (207_612, 289.0), (500_501, 119.88),
        (909_090, 60e6 / 909_090),
    ):  # fmt: skip
        assert read(tune(1, (0, tempo(microseconds)))).tempo == expected


def test_smpte_files_have_no_tempo_and_no_beats():
    content = read(tune(1, (0, time_signature(3, 2))), division=(256 - 25) << 8 | 40, dt=0.3)
    assert (content.tempo, content.meter, content.beats) == (None, (3, 4), None)


@pytest.mark.parametrize(
    ("events", "expected", "n_changes"),
    [
        ([(0, (3, QUARTERS))], (3, 4), 0),
        ([(0, (6, EIGHTHS))], (6, 8), 0),
        ([(0, (2, 0))], (2, 1), 0),
        ([(0, (3, QUARTERS)), (9, (2, QUARTERS))], (2, 4), 1),
        ([(0, (3, QUARTERS)), (15, (2, QUARTERS))], (3, 4), 1),
        ([(0, (3, QUARTERS)), (9, (2, QUARTERS)), (11, (3, QUARTERS))], (3, 4), 2),
        ([(0, (3, QUARTERS)), (9, (3, QUARTERS)), (24, (5, HALF))], (3, 4), 0),
        ([(13, (3, QUARTERS))], (4, 4), 1),
        ([(8, (3, QUARTERS))], (3, 4), 1),
        ([(30, (3, QUARTERS))], (4, 4), 0),
        # upbeats
        ([(0, (1, QUARTERS)), (1, (3, QUARTERS))], (3, 4), 0),
        ([(0, (3, QUARTERS)), (3, (4, QUARTERS)), (8, (3, QUARTERS))], (3, 4), 1),
        ([(0, (2, QUARTERS)), (1.5, (3, QUARTERS))], (3, 4), 0),
        # no upbeats: the second signature, and whole bars
        ([(0, (1, SIXTEENTHS)), (0.25, (1, EIGHTHS)), (0.75, (3, QUARTERS))], (3, 4), 1),
        ([(0, (2, QUARTERS)), (2, (3, QUARTERS)), (5, (4, QUARTERS))], (4, 4), 1),
        ([(0, (2, QUARTERS)), (6, (7, QUARTERS))], (7, 4), 1),
        ([(0, (3, QUARTERS)), (2, (2, QUARTERS))], (2, 4), 1),
        # damage
        ([(0, (0, QUARTERS))], None, 0),
        ([(0, (4, 7))], None, 0),
        ([(0, (3, QUARTERS)), (9, (4, 255))], (3, 4), 0),
    ],
)
def test_the_metre_is_that_of_most_of_the_music(events, expected, n_changes):
    events = [(quarter, time_signature(*value)) for quarter, value in events]
    content = read(tune(24, *events))
    assert (content.meter, content.n_meter_changes) == (expected, n_changes)
    assert content.beats.meter == (expected or (4, 4))
    in_two_tracks = read(tune(24), track(), tune(1, *events))
    assert (in_two_tracks.meter, in_two_tracks.n_meter_changes) == (expected, n_changes)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(0, (2, 0))], (2, False)),
        ([(0, (-7, 1))], (-7, True)),
        ([(0, (7, 1)), (20, (0, 0))], (7, True)),
        ([(0, (7, 1)), (3, (0, 0))], (0, False)),
        ([(30, (3, 1))], (3, True)),
        ([(0, (8, 0))], None),
        ([(0, (-8, 1))], None),
        ([(0, (1, 2))], None),
        ([(0, (1, 0)), (0, (9, 0))], (1, False)),
    ],
)
def test_the_key_is_that_of_most_of_the_music(events, expected):
    events = [(quarter, key_signature(*value)) for quarter, value in events]
    assert read(tune(24, *events)).key == read(tune(24, *events)).beats.key == expected
    assert read(track(), tune(24, *events), dt=1).key == expected


@pytest.mark.parametrize("message", [b"\xff\x58\x00", b"\xff\x58\x01\x03", b"\xff\x59\x01\x03"])
def test_signatures_that_are_too_short_are_ignored(message):
    content = read(tune(8, (0, message)))
    assert (content.meter, content.key, content.damage) == (None, None, ())


def test_the_first_track_prevails_at_a_tick_and_in_it_the_last():
    events = [time_signature(3, 2), time_signature(2, 2), key_signature(1, 0), key_signature(2, 0)]
    first = track(*((0, message) for message in events))
    other = tune(8, (0, time_signature(5, 2)), (0, key_signature(3, 1)))
    content = read(track(), first, other)
    assert (content.meter, content.key) == ((2, 4), (2, False))


def test_the_tracks_of_format_2_have_the_signatures_of_the_first():
    other = tune(80, (0, time_signature(5, 2)), (0, key_signature(3, 1)))
    first = tune(8, (0, time_signature(3, 2)), (0, key_signature(1, 0)))
    content = read(first, other, format=2)
    assert (content.meter, content.key) == ((3, 4), (1, False))
    content = read(tune(8), other, format=2)
    assert (content.meter, content.key, content.beats.meter) == (None, None, (4, 4))


def test_the_place_of_the_first_step_in_its_bar():
    in_three = [(0, time_signature(1, QUARTERS)), (1, time_signature(3, QUARTERS))]
    assert first_step(*in_three) == 8
    assert first_step(*in_three, steps_per_beat=1) == 2
    assert first_step(*in_three, steps_per_beat=Fraction(1, 3)) == 0
    assert first_step((0, time_signature(4, 2)), (3, time_signature(4, 2))) == 4  # cut short
    assert first_step((3, time_signature(4, 2))) == 4
    assert first_step((8, time_signature(3, 2))) == 4
    assert first_step((Fraction(1, 2), time_signature(2, 2)), steps_per_beat=1) == 1
    # a bar that begins between two steps
    for ticks, place in ((1, 0), (59, 0), (60, 11), (179, 11), (1440 - 61, 1), (1440 - 60, 0)):
        assert first_step((Fraction(ticks, 480), time_signature(3, 2))) == place
    # two and a half steps in a bar
    for ticks, place in ((0, 0), (240, 1), (440, 1), (480, 0), (481, 0)):
        assert first_step((Fraction(ticks, 480), time_signature(5, 4)), steps_per_beat=2) == place
    assert first_step((0, time_signature(2, 2)), (4, time_signature(3, 2))) == 8
    # 4/4 is the metre of most of the music, and in force at the first step
    back = [(0, time_signature(4, 2)), (8, time_signature(1, 2)), (9, time_signature(4, 2))]
    assert first_step(*back) == 0


@pytest.mark.parametrize(
    ("start", "expected"),
    [(0, 8), (1.9, 8), (3, 8), (4, 0), (4.1, 0), (4.125, 1), (3.9, 0), (3.8, 11)],
)
def test_rows_left_out_before_the_music_count(start, expected):
    events = (0, time_signature(1, QUARTERS)), (1, time_signature(3, QUARTERS))
    data = smf(tune(24, *events, start=start))
    options = check_options((60, 61), steps_per_beat=4)._replace(most_silence=8)
    assert read_bytes(data, options).beats.first_step == expected


@pytest.mark.parametrize(("late", "expected"), [(-10, 0), (0, 0), (10, 0), (59, 0), (60, 4)])
def test_a_bar_that_begins_with_the_first_step_may_be_late(late, expected):
    again = (4 + Fraction(late, QUARTER), time_signature(3, QUARTERS))
    data = smf(tune(24, (0, time_signature(3, QUARTERS)), again, start=4))
    options = check_options((60, 61), steps_per_beat=4)._replace(most_silence=8)
    assert read_bytes(data, options).beats.first_step == expected


def test_a_file_without_any_frame_after_long_silence_has_beats():
    data = smf(track((8 * 120 + 60, note_on(60)), (2, note_off(60))))  # between two
    options = check_options((60, 61), steps_per_beat=4)._replace(most_silence=8)
    content = read_bytes(data, options)
    assert (content.n_too_short, content.n_silent) == (1, 9)
    assert content.beats.first_step == 9


@pytest.mark.parametrize(
    ("events", "meter", "place"),
    (
        ([], (4, 4), 2),
        ([(0, time_signature(3, 2))], (3, 4), 0),
        ([(0, time_signature(3, 2)), (6 * QUARTER - 1, time_signature(4, 2))], (3, 4), 0),
    ),
)
def test_a_roll_that_begins_after_its_only_note(events, meter, place):
    """Silence, and a note between quarters 5 and 6, nearer to 6, where the roll begins."""
    note = track((int(5.6 * QUARTER), note_on(60)), (5, note_off(60)))
    options = check_options(steps_per_beat=1)._replace(most_silence=2)
    beats = read_bytes(smf(track(*events), note), options).beats
    assert (beats.meter, beats.first_step) == (meter, place)


def test_the_steps_per_beat_are_those_of_the_call():
    for steps in (4, np.int64(4), 2.5, 0.1, Fraction(7, 3), Fraction(1, 3)):
        assert read(tune(1), steps_per_beat=steps).beats.steps_per_beat == steps
    assert isinstance(read(tune(1), steps_per_beat=4.0).beats.steps_per_beat, int)


# Writing -------------------------------------------------------------------------------

meters = st.tuples(st.integers(1, 13), st.sampled_from([1, 2, 4, 8, 16])) | st.tuples(
    st.integers(1, 255), st.sampled_from([1, 2, 4, 8, 16, 32, 64])
)


@st.composite
def any_beats(draw):
    beats = Beats(
        draw(st.sampled_from(GRIDS)),
        draw(st.floats(20, 400) | st.integers(20, 300) | st.fractions(20, 300)),
        draw(meters),
        0,
        draw(st.none() | st.tuples(st.integers(-7, 7), st.booleans())),
    )
    most = -(-beats.steps_per_bar // 1) - 1  # less than a bar
    return beats._replace(first_step=draw(st.integers(0, most) | st.integers(0, min(most, 20))))


@settings(max_examples=400, deadline=None)
@given(
    rolls=st.integers(1, 30).flatmap(lambda n: arrays(bool, (2, n, 4))),
    beats=any_beats(),
    format=st.sampled_from([0, 1]),
)
@example(np.ones((2, 4, 4), bool), Beats(4, 120, (4, 4), 12), 0)  # an upbeat and no more
@example(np.ones((2, 5, 4), bool), Beats(4, 120, (4, 4), 4), 1)  # most of it is an upbeat
@example(np.ones((2, 5, 4), bool), Beats(3, 120, (2, 4), 5), 1)  # of a triplet
def test_rolls_and_beats_are_read_back(tmp_path_factory, rolls, beats, format):
    path = tmp_path_factory.getbasetemp() / "any.mid"
    roll, onset_roll = rolls
    midiwrite(path, roll, (60, 64), onset_roll=onset_roll, format=format, beats=beats)
    content = midiread(path, (60, 64), steps_per_beat=beats.steps_per_beat, strict=True)
    np.testing.assert_array_equal(content.piano_roll, roll)
    np.testing.assert_array_equal(content.onset_roll, canonical_onsets(roll, onset_roll))
    microseconds = round(60_000_000 / Fraction(str(beats.tempo)))
    first = beats.first_step if len(roll) >= beats.steps_per_bar - beats.first_step else 0
    tempo = content.tempo  # as it was given, where that is a short number
    assert round(60e6 / tempo) == microseconds
    assert not isinstance(beats.tempo, int) or tempo == beats.tempo
    expected = beats._replace(tempo=tempo, first_step=first)
    assert content.beats == expected
    assert (content.meter, content.key, content.n_meter_changes) == (beats.meter, beats.key, 0)
    if len(content.pitches):
        assert content.n_too_short == content.n_merged == 0
    written = path.read_bytes()
    midiwrite(path, roll, (60, 64), onset_roll=onset_roll, format=format, beats=expected)
    if first == beats.first_step:
        assert path.read_bytes() == written


@pytest.mark.parametrize(
    ("steps_per_beat", "division"),
    [(1, 480), (4, 480), (12, 480), (480, 480), (7, 3360), (Fraction(7, 3), 3360), (0.5, 480),
     (960, 960), (1001, 1001), (32_767, 32_767), (32_000, 32_000), (Fraction(1, 3), 480)],
)  # fmt: skip
def test_a_step_is_a_whole_number_of_ticks(tmp_path, steps_per_beat, division):
    path = tmp_path / "tune.mid"
    midiwrite(path, [[1]], (60, 61), beats=Beats(steps_per_beat))
    assert int.from_bytes(path.read_bytes()[12:14], "big") == division
    (events,) = decoded(path.read_bytes())
    assert sum(delta for delta, _ in events) == division / Fraction(steps_per_beat)


def test_steps_that_are_not_whole_ticks_are_read_back_too(tmp_path):
    path, rng = tmp_path / "tune.mid", np.random.default_rng(0)
    for steps in (1 / 3, np.pi, 1000.1, 20_000.3, 31_999.9):
        roll = rng.random((999, 5)) < 0.5
        beats = Beats(steps, 120.0, *((1, 64), 1247) if steps == 20_000.3 else ((3, 1), 1))
        midiwrite(path, roll, (60, 65), beats=beats)
        content = midiread(path, (60, 65), steps_per_beat=steps)
        np.testing.assert_array_equal(content.piano_roll, roll)
        if len(roll) > beats.steps_per_bar - beats.first_step:
            assert content.beats == beats


def metas(path, kind):
    """Return the (tick, data) of the first track's meta events of a kind."""
    now, found = 0, []
    for delta, message in decoded(path.read_bytes())[0]:
        now += delta
        if message[:2] == bytes((0xFF, kind)):
            found.append((now, message[3:]))
    return found


@pytest.mark.parametrize("format", [0, 1])
@pytest.mark.parametrize(
    ("beats", "expected"),
    [
        (Beats(4), [(0, (4, 2, 24, 8))]),
        (Beats(4, 120, (6, 8)), [(0, (6, 3, 36, 8))]),
        (Beats(4, 120, (3, 8)), [(0, (3, 3, 12, 8))]),
        (Beats(4, 120, (3, 2)), [(0, (3, 1, 48, 8))]),
        (Beats(4, 120, (3, 64)), [(0, (3, 6, 1, 8))]),
        (Beats(4, 120, (3, 4), 8), [(0, (1, 2, 24, 8)), (480, (3, 2, 24, 8))]),
        (Beats(4, 120, (4, 4), 14), [(0, (1, 3, 12, 8)), (240, (4, 2, 24, 8))]),
        (Beats(4, 120, (4, 4), 8), [(0, (2, 2, 24, 8)), (960, (4, 2, 24, 8))]),
        (Beats(4, 120, (6, 8), 10), [(0, (1, 3, 12, 8)), (240, (6, 3, 36, 8))]),
        # no time signature lasts as long as an upbeat of a triplet
        (Beats(3, 120, (2, 4), 5), [(0, (2, 2, 24, 8)), (160, (2, 2, 24, 8))]),
        (Beats(4, 120, (255, 4), 1), [(0, (255, 2, 24, 8)), (122_280, (255, 2, 24, 8))]),
        (Beats(4, 120, (3, 4), 1), [(0, (11, 4, 6, 8)), (1320, (3, 2, 24, 8))]),
        # there is no bar line in 30 quarter notes
        (Beats(4, 120, (64, 1), 1), [(0, (64, 0, 96, 8))]),
    ],
)
def test_the_time_signatures_of_a_file(tmp_path, beats, expected, format):
    path = tmp_path / "tune.mid"
    n_steps = 1200 if beats.meter[0] == 255 else 120
    midiwrite(path, np.ones((n_steps, 1)), (60, 61), beats=beats, format=format)
    assert [(tick, tuple(data)) for tick, data in metas(path, 0x58)] == expected


def test_the_bytes_of_a_small_file_with_beats(tmp_path):
    path = tmp_path / "tune.mid"
    beats = Beats(2, 96, (2, 4), 3, (-3, True))
    midiwrite(path, [[1], [0], [1]], (60, 61), name="x", velocity=70, beats=beats)
    assert path.read_bytes() == (
        b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0MTrk\x00\x00\x00\x3c"
        b"\x00\xff\x03\x01x\x00\xff\x51\x03\x09\x89\x68\x00\xff\x58\x04\x01\x03\x0c\x08"
        b"\x00\xff\x59\x02\xfd\x01\x00\xc0\x00\x00\x90\x3c\x46"
        b"\x81\x70\xff\x58\x04\x02\x02\x18\x08\x00\x80\x3c\x00"
        b"\x81\x70\x90\x3c\x46\x81\x70\x80\x3c\x00\x00\xff\x2f\x00"
    )


@pytest.mark.parametrize(
    ("beats", "error", "message"),
    [
        (4, TypeError, "beats must be midi.Beats"),
        ((4, 120, (4, 4), 0, None), TypeError, "beats must be midi.Beats"),
        (Beats(0), ValueError, "steps_per_beat=0 must be a finite number above 0"),
        (Beats("4"), TypeError, "steps_per_beat must be a number"),
        (Beats(4, -1), ValueError, "tempo=-1 must be .* above 0: quarter notes per minute such as"),
        (Beats(4, 3.57), ValueError, "tempo=3.57 must be from 3.6 to 6e7"),
        (Beats(0.1, 1.3e8), ValueError, "tempo=130000000.0 must be from 3.6 to 6e7|from 1e-6"),
        (Beats(4, 120, (3, 5)), ValueError, r"meter=\(3, 5\) must be 1 to 255, and one of 1, 2, 4"),
        (Beats(4, 120, (0, 4)), ValueError, "meter="),
        (Beats(4, 120, (256, 4)), ValueError, "meter="),
        (Beats(4, 120, (4, 128)), ValueError, "meter="),
        (Beats(4, 120, "4/4"), TypeError, r"a meter such as \(3, 4\)"),
        (Beats(4, 120, (3, 4), 12), ValueError, "first_step=12 must be from 0 to below 12"),
        (Beats(4, 120, (3, 4), -1), ValueError, "first_step=-1"),
        (Beats(4, 120, (3, 4), 1.0), TypeError, "a whole first_step"),
        (Beats(4, key=(8, False)), ValueError, r"key=\(8, False\) must be -7"),
        (Beats(4, key=(-8, False)), ValueError, "key="),
        (Beats(4, key=(0, 1)), ValueError, "whether the key is minor"),
        (Beats(4, key=3), TypeError, "a key such as"),
        (Beats(40_000), ValueError, "steps_per_beat=40000 must be at most 32000"),
        (Beats(1e-6), ValueError, "must be from 1e-6 to 3600 seconds"),
    ],
)  # fmt: skip
def test_beats_that_no_file_can_hold_are_refused(tmp_path, beats, error, message):
    path = tmp_path / "tune.mid"
    with pytest.raises(error, match=message):
        midiwrite(path, [[1]], (60, 61), beats=beats)
    assert not path.exists()


def test_numbers_of_numpy_are_written(tmp_path):
    plain = Beats(4, 119.5, (3, 8), 2, (1, True))
    meter, key = (np.int64(3), np.uint8(8)), (np.int8(1), np.True_)
    beats = Beats(np.int64(4), np.float32(119.5), meter, np.int64(2), key)
    for name, each in {"a": plain, "b": beats}.items():
        midiwrite(tmp_path / name, [[1]] * 9, (60, 61), beats=each)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.dumps(checked_beats(beats)) == json.dumps(plain)


def test_either_a_time_step_or_beats(tmp_path):
    with pytest.raises(ValueError, match="give either dt or beats, not both: dt=0.3"):
        midiwrite(tmp_path / "tune.mid", [[1]], (60, 61), 0.3, beats=Beats(4))


def test_a_damaged_time_is_refused_as_before():
    with pytest.raises(MidiError, match="a quarter note has 0 ticks"):
        read(tune(1), division=0)
