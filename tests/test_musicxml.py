"""`write_musicxml`: its notes and bars as music21 reads them, and the structure of the file."""

import sys
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from midi import Beats, onset_notes
from midi.pitches import spelling
from rnn4music.render import musicxml
from rnn4music.render.musicxml import write_musicxml
from rnn4music.render.tune import Tune

NEEDS_MUSIC21 = "music21 is not installed: extra musicxml"
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@pytest.fixture(scope="module")
def converter():
    return pytest.importorskip("music21.converter", reason=NEEDS_MUSIC21)


def parsed(path):
    """Return the root of a file that was just written."""
    return ElementTree.parse(path).getroot()  # noqa: S314


def read(path):
    """Return the root of the file, and the notes (pitch, start, end) with ties as one note.

    Assert that each voice of a bar has the length of the bar, that ties join equal pitches of
    adjacent notes, and that a staff has at most four voices.
    """
    root = parsed(path)
    (part,) = root.findall("part")
    pieces, line, signs = [], Fraction(0), defaultdict(list)
    for measure in part.findall("measure"):
        if measure.find("attributes/divisions") is not None:
            divisions = int(measure.findtext("attributes/divisions"))
        now, start, ends = Fraction(0), Fraction(0), defaultdict(Fraction)
        for element in measure:
            if element.tag not in ("note", "backup", "forward"):
                continue
            length = Fraction(int(element.findtext("duration")), divisions)
            if element.tag != "note":
                now += length if element.tag == "forward" else -length
                continue
            voice = element.findtext("staff"), element.findtext("voice")
            if element.find("chord") is None:
                start, now = now, now + length
                assert ends[voice] == start  # without gaps
                ends[voice] = now
            assert now == start + length
            rest = element.find("rest")
            assert element.findtext("type") or rest is not None and rest.get("measure") == "yes"
            if element.find("pitch") is not None:
                signs[line].append((start, element))
                octave = int(element.findtext("pitch/octave"))
                alter = int(element.findtext("pitch/alter") or 0)
                pitch = 12 * octave + 12 + STEPS[element.findtext("pitch/step")] + alter
                ties = {tie.get("type") for tie in element.findall("tie")}
                pieces.append((line + start, line + now, pitch, ties))
                assert (element.findtext("staff") == "1") == (pitch >= 60)
        (length,) = {*ends.values()}
        assert {staff for staff, _ in ends} == {"1", "2"}
        for staff in "12":
            assert sum(own == staff for own, _ in ends) <= 4
        line += length
    for notes in signs.values():
        for staff in "12":
            own = [note for note in notes if note[1].findtext("staff") == staff]
            assert_signs(own, int(root.findtext("part/measure/attributes/key/fifths") or 0))
    return root, joined(pieces), line


def assert_signs(notes, fifths):
    """Assert that the notes (start, element) of a bar and staff have all signs and no others."""
    order = "FCGDAEB"
    altered = {letter: 1 for letter in order[: max(fifths, 0)]}
    altered |= {letter: -1 for letter in order[len(order) + min(fifths, 0) :]}
    values = {"flat-flat": -2, "flat": -1, "natural": 0, "sharp": 1, "double-sharp": 2}
    last = {}  # by place: the time, the values then, and those before
    for start, note in sorted(notes, key=lambda each: each[0]):
        place = note.findtext("pitch/step"), note.findtext("pitch/octave")
        alter, sign = int(note.findtext("pitch/alter") or 0), note.findtext("accidental")
        if any(tie.get("type") == "stop" for tie in note.findall("tie")):
            assert sign is None
            continue
        at, now, before = last.get(place, (-1, {altered.get(place[0], 0)}, None))
        if at < start:
            now, before = set(), now
        assert sign is None or values[sign] == alter
        assert (sign is None) == (before == {alter}), (place, alter, sign, before)
        last[place] = start, now | {alter}, before


def shown(path):
    """Return the letters and signs of the notes of each bar, by start."""
    return [
        [
            (note.findtext("pitch/step"), note.findtext("accidental"))
            for note in measure.findall("note[pitch]")
        ]
        for measure in parsed(path).findall("part/measure")
    ]


def test_signs_stand_where_a_reader_needs_them(converter, tmp_path):
    roll, path = np.zeros((8, 12)), tmp_path / "tune.musicxml"
    for step, pitch in enumerate((65, 66, 66, 65, 65, 66, 65, 67)):  # F F# F# F | F F# F G
        roll[step, pitch - 60] = 1
    struck = np.hstack([roll, roll])
    for key, sign in (((0, True), None), ((1, False), "natural")):
        write_musicxml(path, struck, 60, Beats(1, key=key), onsets=True)
        first, second = shown(path)
        assert first == [("F", sign), ("F", "sharp"), ("F", None), ("F", "natural")]
        assert second == [("F", sign), ("F", "sharp"), ("F", "natural"), ("G", None)]
    write_musicxml(path, roll, 60, Beats(1, key=(1, False)))
    assert shown(path)[1][:2] == [("F", None), ("F", None)]  # an F tied over, and an F# of the key


def test_signs_of_one_voice_count_in_the_others(converter, tmp_path):
    roll, path = np.zeros((8, 13)), tmp_path / "tune.musicxml"
    roll[:4, 12] = roll[0, 5] = roll[1, 6] = roll[2, 5] = 1  # below a held C: F F# F
    roll[3, 6], roll[4, 6], roll[5, 5], roll[6, 6], roll[7, 6] = 1, 1, 1, 1, 1  # F# tied over
    write_musicxml(path, roll, 60, Beats(1))
    first, second = shown(path)
    assert first == [("C", None), ("F", None), ("F", "sharp"), ("F", "natural"), ("F", "sharp")]
    assert second == [("F", None), ("F", None), ("F", "sharp")]


def joined(pieces):
    """Return the notes (pitch, start, end) of (start, end, pitch, ties)."""
    found, tied = [], {}
    for start, end, pitch, ties in sorted(pieces, key=lambda piece: piece[:3]):
        begin = start
        if "stop" in ties:
            begin, before = tied.pop(pitch)
            assert before == start
        if "start" in ties:
            tied[pitch] = begin, end
        else:
            found.append((pitch, begin, end))
    assert not tied
    return sorted(found)


@st.composite
def tunes(draw):
    n_pitches = draw(st.integers(1, 9))
    beats = Beats(
        draw(st.sampled_from([1, 2, 3, 4, 6, 8, 12, 0.5])),
        draw(st.sampled_from([60, 96.5, 132.123])),
        draw(st.sampled_from([(4, 4), (3, 4), (6, 8), (2, 2), (5, 8), (9, 16), (1, 4)])),
        0,
        draw(st.none() | st.tuples(st.integers(-7, 7), st.booleans())),
    )
    most = -(-beats.steps_per_bar // 1) - 1
    beats = beats._replace(first_step=draw(st.integers(0, most)))
    return draw(arrays(bool, (draw(st.integers(1, 40)), 2 * n_pitches))), beats


@settings(max_examples=60, deadline=None)
@given(tune=tunes(), onsets=st.booleans(), lowest_pitch=st.integers(13, 100))
@example((np.arange(7) < np.arange(1, 8)[:, None], Beats(4)), False, 60)  # seven voices
def test_the_notes_bars_and_signs_are_those_of_the_tune(
    converter, tmp_path_factory, tune, onsets, lowest_pitch
):
    path = tmp_path_factory.getbasetemp() / "tune.musicxml"
    roll, beats = tune
    assert write_musicxml(path, roll * 1, lowest_pitch, beats, "A & <b>", onsets=onsets) == path
    root, found, end = read(path)
    n_pitches = roll.shape[1] // 2
    sounding = (roll[:, :n_pitches], roll[:, n_pitches:]) if onsets else (roll,)
    expected = [
        (lowest_pitch + column, first * beats.step, end * beats.step)
        for column, first, end in onset_notes(*sounding).tolist()
    ]
    assert found == sorted(expected)
    assert root.findtext("work/work-title") == root.findtext("movement-title") == "A & <b>"
    first = root.find("part/measure")
    attributes = first.find("attributes")
    assert (attributes.findtext("time/beats"), attributes.findtext("time/beat-type")) == tuple(
        map(str, beats.meter)
    )
    key = attributes.findtext("key/fifths"), attributes.findtext("key/mode")
    names = {False: "major", True: "minor"}
    assert key == ((str(beats.key[0]), names[beats.key[1]]) if beats.key else (None, None))
    assert attributes.findtext("staves") == "2"
    assert [clef.findtext("sign") for clef in attributes.findall("clef")] == ["G", "F"]
    tempo = pytest.approx(beats.tempo, abs=0.005)
    assert float(first.findtext("direction/direction-type/metronome/per-minute")) == tempo
    assert float(first.find("direction/sound").get("tempo")) == tempo

    measures = root.findall("part/measure")
    assert (first.get("implicit") == "yes") == (beats.first_step > 0)
    assert [int(measure.get("number")) for measure in measures] == [
        *range(beats.first_step == 0, len(measures) + (beats.first_step == 0))
    ]
    bar = beats.steps_per_bar * beats.step
    end_of_tune = (len(roll) + beats.first_step) * beats.step
    assert end == len(measures) * bar - beats.first_step * beats.step
    assert (len(measures) - 1) * bar < end_of_tune <= len(measures) * bar


@pytest.mark.parametrize("grid", [1, 2, 3, 4, 6, 8, 12])
def test_music21_reads_the_same_notes(converter, tmp_path, grid):
    rng = np.random.default_rng(grid)
    roll, path = rng.random((9 * grid, 24)) < 0.5, tmp_path / "tune.musicxml"
    beats = Beats(grid, 90, (3, 4), 2 * grid, (2, False))
    write_musicxml(path, roll, 54, beats, "Tune", onsets=True)
    score = converter.parse(path, forceSource=True)
    assert score.metadata.bestTitle == "Tune"
    assert len(score.parts) == 2
    (mark,) = score.recurse().getElementsByClass("MetronomeMark")
    assert (mark.number, mark.referent.quarterLength) == (90, 1)
    for part in score.parts:
        (time,) = part.recurse().getElementsByClass("TimeSignature")
        (key,) = part.recurse().getElementsByClass("Key")
        assert (time.ratioString, key.sharps, key.mode) == ("3/4", 2, "major")
        measures = list(part.getElementsByClass("Measure"))
        assert [measure.duration.quarterLength for measure in measures] == [1, 3, 3, 3]
        assert all(grid % 3 == 0 or not n.duration.tuplets for n in part.recurse().notesAndRests)
    kinds = {"start": {"start"}, "continue": {"start", "stop"}, "stop": {"stop"}}
    pieces = []
    for element in score.recurse().notes:
        start = element.getOffsetInHierarchy(score)
        times = (start, start + element.quarterLength)
        start, end = (Fraction(time).limit_denominator(96) for time in times)
        for note in getattr(element, "notes", [element]):
            pieces.append((start, end, note.pitch.midi, kinds[note.tie.type] if note.tie else ()))
    expected = [
        (54 + column, first * beats.step, end * beats.step)
        for column, first, end in onset_notes(roll[:, :12], roll[:, 12:]).tolist()
    ]
    assert joined(pieces) == sorted(expected)


def test_a_tune_writes_its_own_part_or_begins_with_the_start(converter, tmp_path):
    roll, start, path = np.eye(8)[:4], np.eye(8)[4:7], tmp_path / "tune.musicxml"
    tune = Tune(roll, lowest_pitch=60, start=start, beats=Beats(1, 80, (2, 4), 1), title="T")
    assert tune.write_musicxml(path) == path
    root, found, _ = read(path)
    assert found == [(60, 0, 1), (61, 1, 2), (62, 2, 3), (63, 3, 4)]  # four rows, from a bar on
    assert (root.findtext("work/work-title"), len(root.findall("part/measure"))) == ("T", 2)
    replace(tune, with_start=True).write_musicxml(path)
    root, found, _ = read(path)
    assert found[:2] == [(60, 3, 4), (61, 4, 5)] and found[-1] == (66, 2, 3)
    assert root.find("part/measure").get("implicit") == "yes"
    with pytest.raises(ValueError, match="MusicXML needs steps that are parts of a beat"):
        Tune(roll).write_musicxml(path)


def test_notes_of_equal_start_and_end_share_a_stem(converter, tmp_path):
    roll = np.array([[1, 1, 1], [1, 1, 1], [0, 0, 1], [0, 0, 0]])
    path = tmp_path / "tune.musicxml"
    write_musicxml(path, roll, 60, Beats(1))
    root, found, _ = read(path)
    notes = [note for note in root.iter("note") if note.find("pitch") is not None]
    voices = [(note.findtext("voice"), note.find("chord") is not None) for note in notes]
    assert voices == [("1", False), ("2", False), ("2", True)]  # the highest first
    assert found == [(60, 0, 2), (61, 0, 2), (62, 0, 3)]


def test_a_fifth_voice_is_avoided_by_ties(converter, tmp_path):
    for n_notes, n_voices, n_pieces in ((4, 4, 4), (5, 1, 15)):
        roll = np.arange(n_notes) >= np.arange(n_notes)[:, None]
        write_musicxml(tmp_path / "tune.musicxml", roll * 1, 60, Beats(1, meter=(8, 4)))
        notes = parsed(tmp_path / "tune.musicxml").findall(".//note[pitch]")
        assert len(notes) == n_pieces
        assert len({note.findtext("voice") for note in notes}) == n_voices


@pytest.mark.parametrize(
    ("key", "expected"), [(None, ("E", "-1")), ((-1, True), ("E", "-1")), ((3, False), ("D", "1"))]
)
def test_a_file_has_spelled_pitches_and_a_plain_tempo(converter, tmp_path, key, expected):
    write_musicxml(tmp_path / "tune.musicxml", [[1]], 63, Beats(4, 90.0, key=key))
    root = parsed(tmp_path / "tune.musicxml")
    (pitch,) = root.iter("pitch")
    assert (pitch.findtext("step"), pitch.findtext("alter")) == expected
    assert [each.text for each in root.iter("per-minute")] == ["90"]


@pytest.mark.parametrize(
    ("sharps", "expected"),
    [(0, "C C# D Eb E F F# G G# A Bb B"), (1, "C C# D D# E F F# G G# A Bb B"),
     (-1, "C C# D Eb E F F# G Ab A Bb B"), (-4, "C Db D Eb E F Gb G Ab A Bb Cb"),
     (7, "B# C# Cx D# E E# F# Fx G# Gx A# B"), (-7, "C Db Ebb Eb Fb F Gb G Ab Bbb Bb Cb")],
)  # fmt: skip
def test_pitches_are_spelled_by_the_key(sharps, expected):
    names = {-2: "bb", -1: "b", 0: "", 1: "#", 2: "x"}
    spelled = [spelling(pitch, sharps) for pitch in range(60, 72)]
    assert [letter + names[raised] for letter, raised, _ in spelled] == expected.split()
    for pitch, (letter, raised, octave) in enumerate(spelled, start=60):
        assert 12 * octave + 12 + STEPS[letter] + raised == pitch


@pytest.mark.parametrize(
    ("beats", "error", "message"),
    [
        (None, ValueError, r"needs steps that are parts of a beat: give beats=midi.Beats\("),
        (4, TypeError, "beats must be midi.Beats"),
        (Beats(4, 120, (4, 4), 16), ValueError, "first_step=16"),
        (Beats(5), ValueError, "a step of 1/5 quarter notes cannot be written in notes"),
        (Beats(2.5), ValueError, "a step of 2/5 quarter notes"),
        (Beats(192), ValueError, "a step of 1/192 quarter notes"),
    ],
)
def test_steps_that_are_no_notes_are_refused(tmp_path, beats, error, message):
    with pytest.raises(error, match=message):
        write_musicxml(tmp_path / "tune.musicxml", [[1]], 60, beats)
    assert not [*tmp_path.iterdir()]


def test_pitches_below_octave_0_are_refused(converter, tmp_path):
    write_musicxml(tmp_path / "c.musicxml", [[0, 1]], 11, Beats(4))
    assert read(tmp_path / "c.musicxml")[1] == [(12, 0, Fraction(1, 4))]
    with pytest.raises(ValueError, match="pitch 11 is below octave 0"):
        write_musicxml(tmp_path / "b.musicxml", [[1, 0]], 11, Beats(4))
    assert not (tmp_path / "b.musicxml").exists()


def test_a_missing_music21_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "music21.musicxml.m21ToXml", None)
    with pytest.raises(ImportError, match=r'music21 \(the extra "musicxml"\); run: python -m pip'):
        write_musicxml(tmp_path / "tune.musicxml", [[1]], 60, Beats(4))


def test_a_failed_export_leaves_the_earlier_file(converter, tmp_path, monkeypatch):
    path = tmp_path / "tune.musicxml"
    write_musicxml(path, [[1]], 60, Beats(4))
    before = path.read_bytes()
    monkeypatch.setattr(musicxml, "_measures", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_musicxml(path, [[1], [1]], 60, Beats(4))
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_names_that_are_not_utf8(converter, tmp_path):
    write_musicxml(tmp_path / "tune.musicxml", [[1]], 60, Beats(4), "\udcff\x00")
    title = parsed(tmp_path / "tune.musicxml").findtext("work/work-title")
    assert title == "?\\x00"
