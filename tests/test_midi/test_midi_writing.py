"""midiwrite: its files, and that midiread returns the same roll."""

import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from midi import Beats, MidiError, MidiWarning, Note, midiread, midiwrite, writing
from midi.events import read_events
from midi.timing import exact_time_step
from midi.writing import choose_grid

AWKWARD = [0.3, 0.1, 1 / 3, 0.0123, 0.001, 10, 0.1 + 0.2, 1e-6, 1.2345678e-6, 3600, np.pi]


def random_roll(n_steps, n_pitches=88, seed=0):
    return (np.random.default_rng(seed).random((n_steps, n_pitches)) < 0.2).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tune.mid"


# Round trips ---------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [*AWKWARD, Fraction(1, 3), Fraction(10**9 + 7, 10**10 + 1)])
def test_reading_back_gives_the_same_roll(path, dt):
    roll = random_roll(3000)
    roll[-50:] = 0
    roll[:20] = 0
    midiwrite(path, roll, (21, 109), dt)
    np.testing.assert_array_equal(midiread(path, (21, 109), dt).piano_roll, roll)


@settings(max_examples=300, deadline=None)
@given(
    roll=st.integers(1, 40).flatmap(lambda n: arrays(bool, (n, 5))),
    dt=st.floats(0.001, 10) | st.fractions(Fraction(1, 1000), 10) | st.decimals("0.001", 10),
)
def test_reading_back_gives_the_same_roll_for_any_time_step(tmp_path_factory, roll, dt):
    path = tmp_path_factory.getbasetemp() / "any.mid"
    midiwrite(path, roll, (60, 65), dt)
    np.testing.assert_array_equal(midiread(path, (60, 65), dt).piano_roll, roll)


def test_nothing_drifts_in_a_long_piece(path):
    roll = np.zeros((200_000, 1), dtype=bool)
    roll[::2] = True
    dt = 1 / 3
    midiwrite(path, roll, (60, 61), dt)
    content = midiread(path, (60, 61), dt)
    np.testing.assert_array_equal(content.piano_roll, roll)
    start = np.array([note.start for note in content.notes])
    early = np.arange(0, len(roll), 2) * dt - start
    assert early.min() > -1e-9
    assert early.max() < 16e-6


def test_silence_longer_than_a_delta_time(path):
    roll = np.zeros((30, 88))
    roll[[0, 20], 40] = 1
    midiwrite(path, roll, dt=3599.999999999999)
    np.testing.assert_array_equal(midiread(path, dt=3599.999999999999).piano_roll, roll)


# The file ------------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [0.3, 0.1, 0.0123, 0.25, 10, 0.7, 0.125, 0.001, Fraction(1, 3)])
def test_a_frame_is_a_whole_number_of_ticks_where_the_format_can_express_it(dt):
    time_step = exact_time_step(dt)
    grid = choose_grid(time_step)
    assert (time_step / grid.tick).denominator == 1
    assert 0 < grid.tempo < 2**24
    assert 0 < grid.division < 2**15


@pytest.mark.parametrize(("dt", "tempo"), [(0.5, 500_000), (0.25, 500_000), (0.3, 600_000)])
def test_a_quarter_note_is_a_power_of_two_of_frames_near_half_a_second(dt, tempo):
    assert choose_grid(exact_time_step(dt)) == (tempo, 480)


@settings(deadline=None)
@given(st.floats(1e-6, 3600))
def test_a_tick_is_never_longer_than_a_frame(dt):
    time_step = exact_time_step(dt)
    grid = choose_grid(time_step)
    assert 0 < grid.tick <= time_step
    assert grid.tempo < 2**24
    assert grid.division < 2**15


def test_the_bytes_of_a_small_file(path):
    midiwrite(path, [[1, 0], [1, 1], [0, 1], [0, 0]], (60, 62), 0.5, patch=5, velocity=70, name="é")
    assert path.read_bytes() == (
        b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0"
        b"MTrk\x00\x00\x00\x28"
        b"\x00\xff\x03\x02\xc3\xa9"
        b"\x00\xff\x51\x03\x07\xa1\x20"
        b"\x00\xc0\x05"
        b"\x00\x90\x3c\x46"
        b"\x83\x60\x90\x3d\x46"
        b"\x83\x60\x80\x3c\x00"
        b"\x83\x60\x80\x3d\x00"
        b"\x83\x60\xff\x2f\x00"
    )


def test_adjacent_cells_are_one_held_note(path):
    roll = np.array([[1, 1, 1, 0, 1, 1]]).T
    midiwrite(path, roll, (60, 61), 0.5)
    assert midiread(path, (60, 61), 0.5).notes == [Note(60, 0.0, 1.5), Note(60, 2.0, 3.0)]


def test_notes_end_before_others_begin_at_the_same_time(path):
    midiwrite(path, [[0, 1], [1, 0]], (60, 62), 0.5)
    _, events = read_events(path.read_bytes())
    is_note = events.status < 0xF0
    notes = np.stack((events.status, events.first), axis=1)[is_note].tolist()
    assert notes == [[0x90, 61], [0x80, 61], [0x90, 60], [0x80, 60]]


def test_defaults_are_a_piano_at_velocity_90(path):
    midiwrite(path, random_roll(10))
    data = path.read_bytes()
    assert b"\x00\xc0\x00" in data
    _, events = read_events(data)
    assert set(events.second[events.status == 0x90].tolist()) == {90}


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, int, np.float16, float])
def test_booleans_integers_and_floats_are_rolls(path, dtype):
    roll = random_roll(20)
    midiwrite(path, roll.astype(dtype))
    np.testing.assert_array_equal(midiread(path).piano_roll, roll)


def test_values_above_one_are_on(path):
    roll = random_roll(20)
    midiwrite(path, roll * 100)
    np.testing.assert_array_equal(midiread(path).piano_roll, roll)


# What is refused -----------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.3])
def test_other_values_are_refused_with_their_place(path, value):
    roll = random_roll(20)
    roll[3, 7] = value
    with pytest.raises(ValueError, match=r"row 3, column 7"):
        midiwrite(path, roll)
    assert not path.exists()


@pytest.mark.parametrize("shape", [(20, 87), (88,), (0, 88), (1, 20, 88), (88, 20)])
def test_other_shapes_are_refused_with_the_expected_shape(path, shape):
    with pytest.raises(ValueError, match=r"r=\(21, 109\) requires \(T, 88\)"):
        midiwrite(path, np.zeros(shape))


@pytest.mark.parametrize("roll", [[["a"]], None, np.zeros((3, 88), dtype=complex), [[None] * 88]])
def test_other_kinds_of_values_are_refused(path, roll):
    with pytest.raises(TypeError, match="booleans, integers or floats"):
        midiwrite(path, roll)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"dt": 0}, ValueError, "dt=0"),
        ({"dt": 9e-7}, ValueError, "from 1e-6 to 3600"),
        ({"dt": 3601}, ValueError, "from 1e-6 to 3600"),
        ({"dt": "0.3"}, TypeError, "dt must be a number"),
        ({"r": (21, 130)}, ValueError, "r="),
        ({"patch": 128}, ValueError, "patch=128 must be from 0 to 127"),
        ({"patch": 1.0}, TypeError, "patch must be an integer"),
        ({"velocity": 0}, ValueError, "velocity=0 must be from 1 to 127"),
        ({"velocity": True}, TypeError, "velocity must be an integer"),
        ({"name": b"x"}, TypeError, "name must be a string"),
    ],
)
def test_other_arguments_are_refused(path, keywords, error, message):
    with pytest.raises(error, match=message):
        midiwrite(path, random_roll(5), **keywords)
    assert not path.exists()


def test_numpy_integers_are_integers(path):
    midiwrite(path, random_roll(5), (np.int64(21), np.int32(109)), patch=np.uint8(3))
    assert b"\x00\xc0\x03" in path.read_bytes()


# Whole or not at all -------------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_previous_file_and_nothing_else(path, monkeypatch, step):
    midiwrite(path, random_roll(5))
    before = path.read_bytes()

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(writing.os, step, fail)
    with pytest.raises(OSError, match="the disk is full"):
        midiwrite(path, random_roll(50))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["tune.mid"]


def test_a_written_file_stands_alone_and_replaces_the_previous_one(path):
    midiwrite(path, random_roll(50))
    midiwrite(str(path), random_roll(5, seed=1))
    np.testing.assert_array_equal(midiread(path).piano_roll, random_roll(5, seed=1))
    assert os.listdir(path.parent) == ["tune.mid"]


def test_the_path_is_whole_at_every_moment(path, monkeypatch):
    midiwrite(path, random_roll(5))
    seen = []
    fsync = os.fsync

    def look(descriptor):
        seen.append(len(midiread(path).piano_roll))
        fsync(descriptor)

    monkeypatch.setattr(writing.os, "fsync", look)
    midiwrite(path, random_roll(50))
    assert seen == [5, 50][: len(seen)]  # the second is the folder's, where it can be opened


def test_a_link_is_written_through(path, tmp_path):
    link = tmp_path / "link.mid"
    try:
        link.symlink_to(path)
    except OSError:
        pytest.skip("links cannot be made here")
    midiwrite(link, random_roll(5))
    assert link.is_symlink()
    assert len(midiread(path).piano_roll) == 5


def test_missing_folders_and_folders_in_the_way(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        midiwrite(tmp_path / "nowhere" / "tune.mid", random_roll(5))
    with pytest.raises(FileExistsError):
        midiwrite(tmp_path, random_roll(5))
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    midiwrite("tune.mid", random_roll(5))
    assert len(midiread("tune.mid").piano_roll) == 5


def test_a_cut_file_is_reported(path):
    midiwrite(path, random_roll(5))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(MidiWarning, match=r"tune\.mid: truncated"):
        midiread(path)
    with pytest.raises(MidiError, match=r"tune\.mid: truncated"):
        midiread(path, strict=True)


# Formats, velocities, struck notes -------------------------------------------------------


def test_format_1_has_a_track_for_the_tempo_and_one_for_the_notes(path):
    midiwrite(path, [[1, 0], [0, 0]], (60, 62), 0.5, name="x", format=1)
    assert path.read_bytes() == (
        b"MThd\x00\x00\x00\x06\x00\x01\x00\x02\x01\xe0"
        b"MTrk\x00\x00\x00\x0c\x00\xff\x51\x03\x07\xa1\x20\x87\x40\xff\x2f\x00"
        b"MTrk\x00\x00\x00\x16\x00\xff\x03\x01x\x00\xc0\x00"
        b"\x00\x90\x3c\x5a\x83\x60\x80\x3c\x00\x83\x60\xff\x2f\x00"
    )


@settings(max_examples=100, deadline=None)
@given(
    roll=st.integers(1, 30).flatmap(lambda n: arrays(bool, (n, 4))),
    dt=st.floats(0.001, 10),
    format=st.sampled_from([0, 1]),
    restrike=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_way_of_writing_reads_back(tmp_path_factory, roll, dt, format, restrike, seed):
    path = tmp_path_factory.getbasetemp() / "any.mid"
    velocity = np.random.default_rng(seed).integers(1, 128, roll.shape)
    midiwrite(path, roll, (60, 64), dt, velocity=velocity, format=format, restrike=restrike)
    content = midiread(path, (60, 64), dt, strict=True)
    np.testing.assert_array_equal(content.piano_roll, roll)
    held = roll & ~np.concatenate((np.zeros((1, 4), bool), roll[:-1]))
    starts = np.argwhere(roll if restrike else held)
    assert len(content.notes) == len(starts)
    _, events = read_events(path.read_bytes())
    assert events.second[events.status == 0x90].tolist() == velocity[tuple(starts.T)].tolist()


def test_a_note_is_struck_again_in_each_frame_if_asked_for(path):
    roll = np.array([[1, 1, 0, 1]]).T
    midiwrite(path, roll, (60, 61), 0.5, restrike=True)
    assert midiread(path, (60, 61), 0.5).notes == [
        Note(60, 0.0, 0.5),
        Note(60, 0.5, 1.0),
        Note(60, 1.5, 2.0),
    ]


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"velocity": np.full((2, 1), 0)}, ValueError, "velocity is 0 at row 0, column 0"),
        ({"velocity": np.full((2, 1), 128)}, ValueError, "from 1 to 127"),
        ({"velocity": np.ones((3, 1), int)}, ValueError, r"shape \(3, 1\), the roll \(2, 1\)"),
        ({"velocity": np.ones((2, 1))}, TypeError, "integers, not float64"),
        ({"velocity": 90.5}, TypeError, "velocity must be an integer"),
        ({"format": 2}, ValueError, "format=2 must be from 0 to 1"),
        ({"restrike": "yes"}, TypeError, "restrike must be True or False"),
    ],
)
def test_other_formats_velocities_and_switches_are_refused(path, keywords, error, message):
    with pytest.raises(error, match=message):
        midiwrite(path, [[1], [0]], (60, 61), **keywords)
    assert not path.exists()


def test_the_velocity_of_silent_cells_does_not_matter(path):
    midiwrite(path, [[0], [1]], (60, 61), velocity=np.array([[0], [7]]))
    assert len(midiread(path, (60, 61)).notes) == 1


@pytest.mark.parametrize("seed", range(5))
def test_velocities_of_struck_cells_are_enough(path, seed):
    rng = np.random.default_rng(seed)
    roll, onset_roll = rng.random((2, 30, 6)) < 0.6
    velocity, beats = rng.integers(1, 128, roll.shape), Beats(4, 90.0, (3, 4), 4)
    midiwrite(path, roll, (60, 66), velocity=velocity, onset_roll=onset_roll, beats=beats)
    first = midiread(path, (60, 66), steps_per_beat=4)
    midiwrite(
        path,
        first.piano_roll,
        (60, 66),
        velocity=first.velocity_roll,
        onset_roll=first.onset_roll,
        beats=first.beats,
    )
    again = midiread(path, (60, 66), steps_per_beat=4)
    assert (again.velocities, again.notes) == (first.velocities, first.notes)
    np.testing.assert_array_equal(again.velocity_roll, first.velocity_roll)
    with pytest.raises(ValueError, match="row .*, where a note begins; it must be from 1 to 127"):
        midiwrite(path, roll, (60, 66), velocity=first.velocity_roll, restrike=True)


def test_velocities_are_those_of_the_notes_in_their_order(tmp_path):
    rng = np.random.default_rng(5)
    roll = rng.random((40, 7)) < 0.5
    velocity = rng.integers(1, 128, roll.shape)
    midiwrite(tmp_path / "t.mid", roll, (60, 67), 0.25, velocity=velocity)
    content = midiread(tmp_path / "t.mid", (60, 67), 0.25)
    struck = [velocity[round(note.start / 0.25), note.pitch - 60] for note in content.notes]
    assert content.velocities == struck
    assert content.notes == sorted(content.notes, key=lambda note: (note.start, note.pitch))
