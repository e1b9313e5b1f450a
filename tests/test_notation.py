"""What MIDI files say about tempo, metre and key, kept with the tunes and put together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midi import Beats, midiread, midiwrite
from midi.beats import Score
from rnn4music.data import RollStore, convert, load_midi, shards
from rnn4music.data.chorales import _write_chorale
from rnn4music.data.dataset import Dataset, DatasetWarning
from rnn4music.data.notation import Notation, bar_columns, common_beats
from rnn4music.saving.metadata import of_music, of_reading, with_reading

WALTZ = Beats(4, tempo=90.0, meter=(3, 4), first_step=8, key=(-1, True))
MARCH = Beats(4, tempo=120.0, meter=(2, 4), key=(3, False))
RANGE = (21, 109)


def roll(n_steps, seed=0):
    cells = np.random.default_rng(seed).random((n_steps, 88)) < 0.05
    cells[[0, -1], 40] = True
    return cells


def write(path, n_steps, beats, seed=0):
    midiwrite(path, roll(n_steps, seed), RANGE, beats=beats)


@pytest.fixture
def folder(tmp_path):
    """Two waltzes, a march that is longer than each, and a file without a time signature."""
    folder = tmp_path / "music"
    folder.mkdir()
    write(folder / "a.mid", 40, WALTZ)
    write(folder / "b.mid", 44, WALTZ._replace(tempo=100.0, first_step=0), seed=1)
    write(folder / "c.mid", 60, MARCH, seed=2)
    midiwrite(folder / "d.mid", roll(30, 3), RANGE, 0.125)
    return folder


def collections(folder, tmp_path, **options):
    yield load_midi(folder, **options, cache=tmp_path / "cache")
    yield load_midi(folder, **options, cache=tmp_path / "cache")  # from the cache
    convert(folder, tmp_path / "store", **options, progress=False)
    yield RollStore(tmp_path / "store")


def test_each_tune_keeps_its_beats(folder, tmp_path):
    for tunes in collections(folder, tmp_path, steps_per_beat=4):
        read = [midiread(folder / name, steps_per_beat=4).beats for name in tunes.names]
        assert tunes.tune_beats == read
        waltz, second, march, plain = tunes.tune_beats
        assert waltz._replace(tempo=90) == WALTZ._replace(tempo=90)
        assert waltz.tempo == pytest.approx(90, rel=1e-5)
        assert (second.first_step, march.meter, march.key) == (0, (2, 4), (3, False))
        assert (plain.meter, plain.key) == ((4, 4), None)
        assert tunes.notations[3].meter is None


def test_parts_keep_what_their_files_say(folder, tmp_path):
    for tunes in collections(folder, tmp_path, steps_per_beat=4):
        assert [beats.meter for beats in tunes.select([2, 0]).tune_beats] == [(2, 4), (3, 4)]
        assert [beats.meter for beats in tunes[1:3].tune_beats] == [(3, 4), (2, 4)]
        assert tunes.select([2]).beats.meter == (2, 4)
        parts = tunes.split(0.25, 0.25)
        for part in parts:
            assert part.notations == [tunes.notations[tunes.names.index(n)] for n in part.names]


def test_the_beats_to_compose_with_are_those_of_most_of_the_music(folder, tmp_path):
    for tunes in collections(folder, tmp_path, steps_per_beat=4):
        beats = tunes.beats
        assert (beats.steps_per_beat, beats.meter, beats.first_step) == (4, (3, 4), 0)
        assert isinstance(beats.steps_per_beat, int)
        assert beats.tempo == pytest.approx((100 + 120) / 2, rel=1e-5)  # the fourth file has 120
        assert beats.key is None  # 84 of 174 steps
        upbeats = tunes.select([0, 2])  # the waltz with an upbeat, and a march that is longer
        assert (upbeats.beats.meter, upbeats.beats.first_step) == ((2, 4), 0)
        facts = of_music(tunes.select([0]))["beats"]
        assert facts == {"tempo": 90.0, "meter": [3, 4], "first_step": 8}
        assert tunes.select([0, 1]).beats.key == (-1, True)


def test_common_beats_weigh_by_steps():
    march, waltz = Notation(meter=(2, 4), key=(1, False)), Notation(60.0, (3, 4), 0, (0, True))
    assert common_beats([march, waltz, waltz], [30, 10, 10], 4).meter == (2, 4)
    assert common_beats([march, waltz, waltz], [30, 10, 10], 4).key == (1, False)
    assert common_beats([march, waltz, waltz], [30, 20, 20], 4) == Beats(
        4, 60.0, (3, 4), 0, (0, True)
    )
    assert common_beats([march, waltz], [30, 30], 4).key is None
    assert common_beats([march, Notation()], [10, 90], 4) == Beats(4, 120.0, (4, 4))
    assert common_beats([march, Notation()], [90, 10], 4).meter == (2, 4)
    assert Notation(first_step=0).beats(4) == Beats(4)
    upbeat = waltz._replace(first_step=8)
    for several, first_step in (
        ([waltz, upbeat, upbeat, march._replace(first_step=4)], 8),
        ([upbeat, waltz], 0),  # as many
        ([upbeat, *[march._replace(first_step=4)] * 3], 8),  # of the common metre only
        ([Notation(first_step=12), Notation(first_step=12, meter=(4, 4)), Notation()], 12),
    ):
        lengths = [100, *[10] * (len(several) - 1)]
        assert common_beats(several, lengths, 4).first_step == first_step
    assert common_beats([waltz, waltz._replace(tempo=60e6 / 909_090)], [9, 9], 4).tempo == 63
    assert common_beats([Notation()], [9], 6) == common_beats([], [], 6) == Beats(6)


@pytest.mark.parametrize("beats, places", (
    (Beats(2), [(0, 0), (0, 6), (1, 0), (1, 6), (2, 0), (2, 6), (3, 0), (3, 6), (0, 0)]),
    (Beats(3, meter=(3, 4), first_step=5), [(1, 8), (2, 0), (2, 4), (2, 8), (0, 0), (0, 4)]),
    (Beats(2, meter=(6, 8)), [(0, 0), (0, 4), (0, 8), (1, 0), (1, 4), (1, 8), (0, 0)]),
    (Beats(2, meter=(3, 16)), [(0, 0), (2, 0), (1, 0), (0, 0)]),  # a bar of one and a half steps
    (Beats(1, meter=(14, 4), first_step=10), [(10, 0), (11, 0), (11, 0), (11, 0), (0, 0)]),
    (Beats(16, first_step=1), [(0, 0), (0, 1), (0, 2), (0, 3), (0, 3), (0, 4)]),
))  # fmt: skip
def test_bar_columns_tell_the_place_in_the_bar(beats, places):
    columns = bar_columns(beats, len(places))
    expected = np.zeros((len(places), 24), bool)
    for row, (beat, twelfth) in zip(expected, places):
        row[[twelfth, 12 + beat]] = True
    np.testing.assert_array_equal(columns, expected)


def test_tunes_with_bars_are_the_tunes_with_their_places(folder, tmp_path):
    for tunes in collections(folder, tmp_path, steps_per_beat=4, onsets=True):
        for part in (tunes, tunes.select([2, 0]), tunes.in_keys([0, 5])):
            with_bars = part.with_bars()
            assert (len(with_bars), with_bars.width) == (len(part), 176 + 24)
            assert with_bars.names == part.names
            assert with_bars.lengths.tolist() == part.lengths.tolist()
            for rows, roll, beats in zip(with_bars, part, part.tune_beats):
                assert rows.dtype == bool
                np.testing.assert_array_equal(rows[:, :-24], roll)
                np.testing.assert_array_equal(rows[:, -24:], bar_columns(beats, len(roll)))
    reading = of_reading(tunes.with_bars())
    assert reading["bars"] and reading["beats"] == of_music(tunes)["beats"]
    assert with_bars.fingerprint == tunes.in_keys([0, 5]).with_bars().fingerprint
    assert with_bars.fingerprint != tunes.in_keys([0, 4]).with_bars().fingerprint


def test_rolls_in_seconds_have_no_bars(folder):
    with pytest.raises(ValueError, match="read MIDI files with steps_per_beat"):
        load_midi(folder, time_step=0.3).with_bars()


def test_keys_move_with_the_tune(folder, tmp_path):
    for tunes in collections(folder, tmp_path, steps_per_beat=4):
        keys = [beats.key for beats in tunes.in_keys([0, 1, -2]).tune_beats]
        assert keys[:3] == [(-1, True), (6, True), (-3, True)]  # D, Eb and C minor
        assert keys[6:9] == [(3, False), (-2, False), (1, False)]  # A, Bb and G major
        assert keys[9:] == [None] * 3
        assert tunes.in_keys().beats.key is None
    read = load_midi(folder, steps_per_beat=4, to_c=True).notations[2]
    assert read.key == midi_key_in_c(folder / "c.mid")


def midi_key_in_c(path):
    from rnn4music.data.keys import find_key, semitones_to_c

    content = midiread(path, (0, 128), steps_per_beat=4)
    moved = semitones_to_c(find_key(content.piano_roll, 0))
    return Notation(key=content.key).transposed(moved).key


@pytest.mark.parametrize("semitones", range(-12, 13))
def test_transposed_keys_have_the_scale_of_the_transposed_notes(semitones):
    scale = {0, 2, 4, 5, 7, 9, 11}

    def of(sharps):
        return {(pitch + 7 * sharps) % 12 for pitch in scale}

    for sharps in range(-7, 8):
        moved, is_minor = Notation(key=(sharps, True)).transposed(semitones).key
        assert of(moved) == {(pitch + semitones) % 12 for pitch in of(sharps)}
        assert -7 <= moved <= 7 and is_minor
    for octaves in (-12, 0, 12):
        assert Notation(key=(7, True)).transposed(octaves).key == (7, True)


def test_rolls_in_seconds_have_no_beats_but_keep_the_rest(folder, tmp_path):
    for tunes in collections(folder, tmp_path, time_step=0.2):
        assert tunes.beats is tunes.tune_beats is None
        assert [each.meter for each in tunes.notations] == [(3, 4), (3, 4), (2, 4), None]
        assert tunes.notations[0].key == (-1, True)
        assert tunes.notations[0].tempo == pytest.approx(90, rel=1e-5)
        assert "tempo" not in tunes.summary()


def test_datasets_of_rolls_say_nothing():
    tunes = Dataset([roll(5), roll(6)], ["a", "b"])
    assert tunes.notations == [] and tunes.beats is None
    assert tunes.select([1]).notations == [] and len(tunes.in_keys([0, 1]).notations) == 0
    assert tunes.summary() == "2 tunes, 11 steps"
    known = Dataset([roll(5)], ["a"], options={"steps_per_beat": 2.5})
    assert known.beats is known.tune_beats is None and of_music(known) == {}


def test_what_files_do_not_say_is_not_made_up(folder, tmp_path, monkeypatch):
    """A store of an earlier version has no notations; its tempo may be among its options."""
    monkeypatch.setattr(shards.Notation, "parsed", lambda *values: Notation())
    for tempo, seconds in ((None, 60 / 120 / 4), (90.0, 60 / 90 / 4)):
        path = tmp_path / str(tempo)
        tunes = convert(folder, path, steps_per_beat=4, tempo=tempo, progress=False)
        assert tunes.beats is tunes.tune_beats is tunes.accents is None
        assert not {"beats", "accents"} & of_reading(tunes).keys()
        assert of_reading(tunes)["time_step"] == seconds


def test_a_model_with_steps_of_its_own_gets_no_beats_of_the_music(folder):
    reading = of_reading(load_midi(folder, steps_per_beat=4))
    assert reading["beats"]["meter"] == [3, 4]
    own = {"steps_per_beat": 8, "time_step": 0.0625}
    facts = with_reading(own, reading)
    assert facts.items() >= own.items() and "beats" not in facts
    assert with_reading({}, reading)["beats"] == reading["beats"]


def test_stores_read_notations_once(folder, tmp_path, monkeypatch):
    convert(folder, tmp_path / "store", steps_per_beat=4, progress=False)
    parsed, calls = Notation.parsed, []
    monkeypatch.setattr(Notation, "parsed", lambda *values: calls.append(1) or parsed(*values))
    store = RollStore(tmp_path / "store")
    assert not calls
    expected = [(3, 4), (3, 4), (2, 4), (4, 4)]
    assert [beats.meter for beats in store.select([2, 1]).tune_beats] == [(2, 4), (3, 4)]
    assert store.beats.meter == (3, 4) and store.select([2]).beats.meter == (2, 4)
    assert [beats.meter for beats in store.in_keys([0]).tune_beats] == expected
    assert store.beats is store.beats and store.accents is None
    assert len(calls) == 4


def test_the_summary_counts_metres_and_tempos(folder, tmp_path):
    for tunes in collections(folder, tmp_path, steps_per_beat=4):
        assert tunes.summary().splitlines()[1:3] == [
            "metre: 3/4 in 2 tunes, 2/4 in 1 tune; 1 tune without a time signature",
            "tempo: 110 quarter notes per minute (median, from 90 to 120)",
        ]
        lines = tunes.select([0]).summary().splitlines()
        assert lines[1:] == ["metre: 3/4 in 1 tune", "tempo: 90 quarter notes per minute (median)"]
    several = Dataset([], [], notations=[Notation(meter=(3, 4), n_meter_changes=1)] * 2)
    assert "metre: 3/4 in 2 tunes; 2 tunes with several metres" in several.summary()


@pytest.fixture(scope="module")
def chorales(tmp_path_factory):
    music21 = pytest.importorskip("music21")
    from rnn4music.data import write_chorales

    folder = tmp_path_factory.mktemp("chorales")
    with pytest.MonkeyPatch.context() as patch:
        names = ["bach/bwv112.5", "bach/bwv10.7", "bach/bwv248.42-4"]
        patch.setattr(music21.corpus.chorales, "Iterator", lambda **_: names)
        write_chorales(folder, 0.5)
    return folder


@pytest.mark.parametrize(
    ("name", "meter", "first_step", "key"),
    [
        ("bwv112.5", (4, 4), 12, (1, False)),  # begins on the fourth beat, in G major
        ("bwv10.7", (4, 4), 0, (-2, True)),
    ],
)
def test_chorales_have_their_metre_key_and_upbeat(chorales, name, meter, first_step, key):
    beats = midiread(chorales / f"{name}.mid", steps_per_beat=4).beats
    assert beats == Beats(4, 120.0, meter, first_step, key)


def test_chorales_have_the_notes_that_music21_reads(chorales):
    from music21 import converter, corpus

    for name in ("bwv112.5", "bwv10.7", "bwv248.42-4"):  # the last has twelve parts and ties
        score: Any = converter.parse(Path(corpus.__file__).parent / "bach" / f"{name}.mxl")
        theirs = [
            (pitch.midi, float(note.offset), float(note.offset + note.quarterLength))
            for note in score.stripTies().flatten().notes
            for pitch in note.pitches
        ]
        ours = midiread(chorales / f"{name}.mid", (0, 128), 0.5).notes
        assert sorted((note.pitch, note.start * 2, note.end * 2) for note in ours) == sorted(theirs)


def test_ties_chords_voices_and_grace_notes_of_a_chorale(tmp_path):
    def note(pitch, duration, *ties, chord=""):
        ties = "".join(f'<tie type="{tie}"/>' for tie in ties)
        length = f"<duration>{duration}</duration>" if duration else ""
        return f"<note>{chord}<pitch>{pitch}</pitch>{length}{ties}</note>"

    c, e = (f"<step>{step}</step><octave>4</octave>" for step in "CE")
    sharp = "<step>F</step><alter>1</alter><octave>4</octave>"
    time = "<time><beats>3</beats><beat-type>4</beat-type></time>"
    (tmp_path / "a.xml").write_text(
        f"<score><part><measure><attributes><divisions>2</divisions>{time}</attributes>"
        + note(c, 2, "start") + note(e, 2, "start", chord="<chord/>")
        + f"</measure><measure>{note(c, 2, 'stop')}{note(e, 2, 'stop', 'start', chord='<chord/>')}"
        + f"<note><rest/><duration>2</duration></note>{note(c, 2, 'stop')}{note(c, 0)}"
        + f"<backup><duration>4</duration></backup>{note(e, 1, 'stop')}{note(sharp, 1)}"
        + "<forward><duration>2</duration></forward>"
        + f"</measure><measure>{note(c, 6)}</measure></part></score>"
    )  # fmt: skip
    _write_chorale(tmp_path / "a.xml", tmp_path / "a.mid", 10**6)
    content = midiread(tmp_path / "a.mid", dt=0.5)
    assert [tuple(each) for each in content.notes] == [
        (60, 0, 2), (64, 0, 2.5), (66, 2.5, 3), (60, 3, 4), (60, 4, 7),
    ]  # fmt: skip
    assert content.beats is None and len(content.piano_roll) == 16  # a quarter note of silence
    assert midiread(tmp_path / "a.mid", steps_per_beat=1).beats == Beats(1, 60.0, (3, 4), 2, None)


def test_chorales_of_an_earlier_version_are_written_anew(tmp_path, monkeypatch, capsys):
    chorales = pytest.importorskip("music21.corpus.chorales")
    from rnn4music.data import chorales as ours

    names = ["bach/bwv112.5", "bach/bwv10.7"]
    monkeypatch.setattr(chorales, "Iterator", lambda **_: names)
    monkeypatch.setattr(ours, "_write_chorale", lambda _, path, tempo: path.write_bytes(b"new"))

    def files():
        return {path.name: path.read_bytes() for path in tmp_path.glob("*.mid")}

    new = {"bwv112.5.mid": b"new", "bwv10.7.mid": b"new"}
    ours.write_chorales(tmp_path)
    assert files() == new and "earlier version" not in capsys.readouterr().err
    (tmp_path / "bwv10.7.mid").write_bytes(b"kept")
    ours.write_chorales(tmp_path)
    assert files() == {**new, "bwv10.7.mid": b"kept"}
    for mark in (None, "1"):
        for name in [*new, "mine.mid"]:
            (tmp_path / name).write_bytes(b"old")
        (tmp_path / ".version").unlink()
        if mark:
            (tmp_path / ".version").write_text(mark)
        ours.write_chorales(tmp_path)
        assert files() == {**new, "mine.mid": b"old"}
        said = capsys.readouterr().err
        assert f"the chorales in {tmp_path} are from an earlier version" in said


def test_a_shard_keeps_every_notation(tmp_path):
    notations = [
        Notation(),
        Notation(71.25, (6, 8), 3, (-7, False), 11, (1, 2, 300)),
        Notation(None, None, 0, (7, True), 0),
    ]
    tunes = [
        shards.Tune(f"{k}", np.eye(4, 88, dtype=bool), notation=each)
        for k, each in enumerate(notations)
    ]
    shards.write(tmp_path / "shard", "d", 88, tunes)
    index = shards.read_index(tmp_path / "shard")
    assert shards.read_notations(tmp_path / "shard", index) == notations
    assert [tune.notation for tune in shards.read_tunes(tmp_path / "shard", index)] == notations


def test_a_file_whose_notation_cannot_be_read_does_not_end_the_reading(folder, monkeypatch):
    """Not even by a StopIteration, which once ended the reading of all later files silently."""
    notation = Score.key

    def stopping(score):
        return next(iter([])) if score.meter == (2, 4) else notation.func(score)

    monkeypatch.setattr(Score, "key", property(stopping))
    with pytest.warns(DatasetWarning, match="StopIteration"):
        tunes = load_midi(folder, steps_per_beat=4)
    assert tunes.names == ["a.mid", "b.mid", "d.mid"]
    assert [issue.file for issue in tunes.skipped] == ["c.mid"]
