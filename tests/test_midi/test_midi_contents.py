"""`describe` and `python -m midi`."""

import os

import numpy as np
import pytest
from smf import key_signature, note_off, note_on, smf, tempo, time_signature, track

import midi
from midi.__main__ import main
from midi.pitches import key_name

TUNE = smf(
    track((0, b"\xff\x03\x05Sonne"), (0, time_signature(3, 3)), (0, key_signature(-3, 1)),
          (960, tempo(250_000)), (0, key_signature(2, 0)), (0, key_signature(9, 0))),
    track((0, b"\xc2\x07"), (0, note_on(60, channel=2)), (960, note_off(60, channel=2)),
          (0, note_on(69, channel=2)), (480, note_off(69, channel=2)), (0, note_on(1)), end=480),
    track((0, note_on(38, channel=9)), (1, note_off(38, channel=9))),
)  # fmt: skip


@pytest.fixture
def tune(tmp_path):
    path = tmp_path / "tune.mid"
    path.write_bytes(TUNE)
    return path


def test_what_a_file_contains(tune):
    contents = midi.describe(tune)
    assert (contents.format, contents.division, contents.damage) == (1, 480, [])
    assert contents.seconds == 1.5
    assert (contents.velocities, contents.upbeat) == ((64, 64), 0)
    assert contents.tempos == [(0.0, 120.0), (1.0, 240.0)]
    assert contents.time_signatures == [(0.0, "3/8")]
    assert contents.key_signatures == [(0.0, "C minor"), (1.0, "D major")]  # 9 sharps are none
    assert (contents.n_drums, contents.n_cut, contents.n_never_ended) == (1, 0, 1)
    first, second, third = contents.tracks
    assert (first.name, first.n_notes, first.lowest_pitch, first.channels) == ("Sonne", 0, None, [])
    assert (second.n_notes, second.lowest_pitch, second.highest_pitch) == (2, 60, 69)
    assert (second.channels, second.programs) == ([1, 3], [7])
    assert (third.n_notes, third.n_drums, third.lowest_pitch) == (1, 1, None)
    assert (third.channels, third.programs) == ([10], [])


def test_names_of_keys():
    majors = "Cb Gb Db Ab Eb Bb F C G D A E B F# C#".split()
    minors = "Ab Eb Bb F C G D A E B F# C# G# D# A#".split()
    assert [key_name(sharps, False) for sharps in range(-7, 8)] == [f"{k} major" for k in majors]
    assert [key_name(sharps, True) for sharps in range(-7, 8)] == [f"{k} minor" for k in minors]


def test_the_first_name_of_a_track_is_its_name(tmp_path):
    named = [(0, b"\xff\x03\x01" + letter) for letter in (b"A", b"B", b"C")]
    (tmp_path / "tune.mid").write_bytes(smf(track(*named[:2]), track(), track(*named[1:])))
    names = [each.name for each in midi.describe(tmp_path / "tune.mid").tracks]
    assert names == ["A", "", "B"]


@pytest.mark.parametrize(
    ("n_changes", "more"), [(6, ""), (7, ""), (8, ", and 1 more"), (9, ", and 2 more")]
)
def test_lists_have_at_most_eight_entries(tmp_path, n_changes, more):
    changes = [(960, tempo(60_000_000 // (60 + k))) for k in range(n_changes)]
    (tmp_path / "tune.mid").write_bytes(smf(track(*changes, end=960)))
    lines = str(midi.describe(tmp_path / "tune.mid")).splitlines()
    (line,) = [each for each in lines if each.startswith("tempo")]
    assert line.count(" at ") == min(8, n_changes + 1)  # the first is the default
    assert line.startswith("tempo    120 at 0 s, 60 at 1 s") and line.endswith(f" s{more}")


def test_the_report(tune, capsys):
    assert main([str(tune)]) == 0
    assert capsys.readouterr().out == (
        f"{tune}: format 1, 3 tracks, 480 ticks per quarter note\n"
        "length   1.500 s\n"
        "notes    3 (1 on drums), C4 (60) to A4 (69)\n"
        "velocity 64\n"
        "left out 1 note without an end\n"
        "tempo    120 at 0 s, 240 at 1 s\n"
        "meter    3/8 at 0 s\n"
        "key      C minor at 0 s, D major at 1 s\n"
        "track 1  0 notes; channels none given; programs none given; 'Sonne'\n"
        "track 2  2 notes, C4 (60) to A4 (69); channels 1, 3; programs 7\n"
        "track 3  1 note (1 on drums); channels 10; programs none given\n"
    )


def test_the_numbers_of_the_report_are_those_of_a_count(tmp_path, capsys):
    """Count 2,500 notes, 1,200 strokes of drums, 3 cut notes and 2 lost ones in the text."""
    notes = [(0, note_on(70)), (1, note_off(70))] * 2497
    notes += [(0, note_on(61)), (1, note_on(61))] * 2 + [(1, note_off(61)), (0, note_on(60))]
    drums = [(0, note_on(40, channel=9)), (1, note_off(40, channel=9))] * 1200
    path = tmp_path / "long.mid"
    path.write_bytes(smf(track(*notes, (0, note_on(59)), end=170_000 - 2500), track(*drums)))
    assert main([str(path)]) == 0
    n_strikes = sum(message[0] & 0xF0 == 0x90 for _, message in notes + drums) + 1
    assert n_strikes == 3701 + 2
    seconds = 170_000 / 960
    assert capsys.readouterr().out == (
        f"{path}: format 1, 2 tracks, 480 ticks per quarter note\n"
        f"length   2 min {seconds - 120:.3f} s\n"
        "notes    3,701 (1,200 on drums), C#4 (61) to A#4 (70)\n"
        "velocity 64\n"
        "cut      3 notes without a note-off, ended by the next strike\n"
        "left out 2 notes without an end\n"
        "tempo    none given\n"
        "meter    none given\n"
        "key      none given\n"
        "track 1  2,501 notes, C#4 (61) to A#4 (70); channels 1; programs none given\n"
        "track 2  1,200 notes (1,200 on drums); channels 10; programs none given\n"
    )


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [(0, "0.000 s"), (960, "1.000 s"), (57_600, "1 min 0.000 s"), (57_599, "59.999 s"),
     (86_400, "1 min 30.000 s"), (57_600 * 1500, "1,500 min 0.000 s")],
)  # fmt: skip
def test_lengths(tmp_path, ticks, expected):
    path = tmp_path / "tune.mid"
    path.write_bytes(smf(track(end=ticks)))
    assert f"length   {expected}\n" in str(midi.describe(path))


def test_a_length_is_rounded_before_it_is_divided(tmp_path):
    path = tmp_path / "tune.mid"
    path.write_bytes(smf(track((0, tempo(14_999_900)), end=4), division=1))
    assert "length   1 min 0.000 s\n" in str(midi.describe(path))
    assert "tempo    4 at 0 s\n" in str(midi.describe(path))


@pytest.mark.parametrize(
    ("n_tracks", "said"), [(0, "0 tracks"), (1, "1 track,"), (1001, "1,001 tracks")]
)
def test_numbers_of_tracks(tmp_path, n_tracks, said):
    path = tmp_path / "tune.mid"
    path.write_bytes(smf(*[track()] * n_tracks))
    assert f"format 1, {said}" in str(midi.describe(path))


@pytest.mark.parametrize(
    ("first_step", "expected"),
    [
        (8, "1/4 at 0 s, 3/4 at 0.5 s, after an upbeat of 1 quarter note"),
        (6, "3/8 at 0 s, 3/4 at 0.75 s, after an upbeat of 1.5 quarter notes"),
        (0, "3/4 at 0 s"),
    ],
)  # fmt: skip
def test_velocities_bars_and_upbeats(tmp_path, drawn, first_step, expected):
    path, beats = tmp_path / "tune.mid", midi.Beats(4, 120, (3, 4), first_step)
    velocity = np.array([[20], [0], [99], *[[1]] * 22])
    roll = [[1], [0], [1], *[[0]] * 21, [1]]
    midi.midiwrite(path, roll, (60, 61), velocity=velocity, beats=beats)
    lines = str(midi.describe(path)).splitlines()
    assert "velocity 1 to 99" in lines
    assert f"meter    {expected}" in lines
    assert main([str(path), "--picture", str(tmp_path / "p.png")]) == 0
    bars = [line.get_xdata()[0] for line in drawn[0].lines]
    assert bars == midi.midiread(path, steps_per_beat=4).bars.tolist() and len(bars) >= 2


def test_an_unreadable_file_gives_a_sentence_and_the_others_are_described(tune, tmp_path, capsys):
    broken = tmp_path / "broken.mid"
    broken.write_bytes(b"MThd")
    assert main([str(broken), str(tmp_path / "missing.mid"), str(tune)]) == 1
    said = capsys.readouterr()
    assert "tune.mid: format 1" in said.out
    assert said.err.splitlines() == [
        f"{broken}: truncated: a MIDI header has 14 bytes, but only 4 follow at byte 0",
        f"{tmp_path / 'missing.mid'}: No such file or directory",
    ]


def test_damage_is_part_of_the_report(tune):
    tune.write_bytes(TUNE[:-8])
    assert "damage   truncated: the track at byte" in str(midi.describe(tune))


def test_a_picture_of_the_roll(tune, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "roll.png"
    assert main([str(tune), "--picture", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit):
        main([str(tune), str(tune), "--picture", str(picture)])


def test_a_picture_has_every_note_at_its_own_time(tmp_path, monkeypatch):
    figure_module = pytest.importorskip("matplotlib.figure")
    roll = np.zeros((60, 88))
    roll[::2, 40] = 1  # 30 notes of 1/32 s
    midi.midiwrite(tmp_path / "fast.mid", roll, (21, 109), 1 / 32)
    figures = []
    monkeypatch.setattr(
        figure_module.Figure, "savefig", lambda self, *_, **__: figures.append(self)
    )
    assert main([str(tmp_path / "fast.mid"), "--picture", str(tmp_path / "p.png")]) == 0
    boxes, heads = figures[0].axes[0].collections
    ends = [path.get_extents().x1 - path.get_extents().x0 for path in heads.get_paths()]
    assert ends == pytest.approx([59 / 32 / 200] * 30)  # less than 0.3 of a note
    drawn = [path.get_extents().extents.tolist() for path in boxes.get_paths()]
    expected = [[n.start, 60.5, n.end, 61.5] for n in midi.midiread(tmp_path / "fast.mid").notes]
    assert drawn == expected and len(drawn) == 30


@pytest.fixture
def drawn(monkeypatch):
    """Return a list that gets the Axes of each picture."""
    figure = pytest.importorskip("matplotlib.figure")
    axes, savefig = [], figure.Figure.savefig

    def save_and_keep(self, *arguments, **options):
        axes.extend(self.axes)
        savefig(self, *arguments, **options)

    monkeypatch.setattr(figure.Figure, "savefig", save_and_keep)
    return axes


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["cash$_$.mid", "x$\\foo$.mid", "日本.mid", "caf\udce9.mid"])
def test_a_picture_of_a_file_of_any_name(tmp_path, drawn, name):
    path, picture = tmp_path / name, tmp_path / "roll.png"
    try:
        path.write_bytes(TUNE)
    except (OSError, UnicodeError):
        pytest.skip("such a name is not possible here")
    assert main([str(path), "--picture", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    (axes,) = drawn
    assert axes.get_title() == str(path).replace("\udce9", "?")
    boxes = [box.get_extents() for box in axes.collections[0].get_paths()]
    edges = [(box.x0, box.x1, box.y0, box.y1) for box in boxes]
    assert edges == [(0, 1, 59.5, 60.5), (1, 1.25, 68.5, 69.5)]  # the second at 240 per minute
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 1.25), (57.5, 71.5))
    assert [axes.yaxis.get_major_formatter()(pitch) for pitch in (60, 69)] == ["C4", "A4"]


@pytest.mark.filterwarnings("error")
def test_a_picture_of_a_file_of_no_length(tmp_path, drawn):
    (tmp_path / "empty.mid").write_bytes(smf(track()))
    picture = tmp_path / "roll.png"
    assert main([str(tmp_path / "empty.mid"), "--picture", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not drawn[0].collections[0].get_paths() and drawn[0].get_xlim() == (0, 1)


def test_a_picture_needs_a_suffix(tune, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tune), "--picture", str(tmp_path / "roll")])
    assert "needs the name of a .png file" in capsys.readouterr().err
    assert os.listdir(tmp_path) == [tune.name]


def test_a_tilde_is_the_home_folder(tune, monkeypatch):
    monkeypatch.setenv("HOME", str(tune.parent))
    monkeypatch.setenv("USERPROFILE", str(tune.parent))
    assert midi.describe(f"~/{tune.name}").path == str(tune)


def test_the_time_is_linear_in_the_number_of_tracks(tmp_path):
    # quadratic work would take minutes here
    path = tmp_path / "tracks.mid"
    path.write_bytes(smf(*[track()] * 60_000))
    assert len(midi.describe(path).tracks) == 60_000
