"""`Tune`: the arguments it accepts and the files it writes."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from matplotlib.colors import to_hex
from matplotlib.image import imread

import midi
from midi import Beats
from midi.utils import midiread
from rnn4music.plots import _axes
from rnn4music.render import synthesizer
from rnn4music.render.tune import Tune, write_page


@pytest.fixture
def roll(rng):
    return (rng.random((12, 20)) < 0.2).astype(float)


@pytest.fixture
def tune(roll):
    return Tune(roll, 0.25, 50, start=roll[:5], probabilities=roll / 2, title="A & <b>")


def test_length_and_repr(tune):
    assert (len(tune), tune.seconds) == (12, 3)
    assert repr(tune) == "Tune('A & <b>': 12 steps of 0.25 s)"
    assert repr(Tune([[0, 1]])) == "Tune(1 step of 0.3 s)"
    assert Tune(np.zeros((10, 88), bool), np.float32(0.3)).time_step == 0.3


def test_a_midi_file_contains_the_composed_steps(tune, roll, tmp_path):
    path = tmp_path / "tune.mid"
    assert tune.write_midi(path) == path
    np.testing.assert_array_equal(midiread(path, (50, 70), 0.25).piano_roll, roll)
    assert b"A & <b>" in path.read_bytes()
    Tune(roll, title="\udcff.mid").write_midi(path)
    assert b"?.mid" in path.read_bytes()


def test_a_sound_file_has_the_right_length_and_pitch(tmp_path):
    roll = np.zeros((8, 3))
    roll[2:6, 1] = 1
    path = tmp_path / "tune.wav"
    assert Tune(roll, 0.25, 68, start=1 - roll[:1]).write_wav(path) == path
    samples, rate = soundfile.read(path)
    assert samples.shape == (2 * rate, 2)
    assert not samples[: rate // 2].any() and samples[rate // 2 :].any()
    spectrum = np.abs(np.fft.rfft(samples[rate // 2 : rate + rate // 2].sum(axis=1)))
    assert np.argmax(spectrum) == pytest.approx(440, abs=2)


def test_a_soundfont_plays_the_midi_file(tune, roll, tmp_path, monkeypatch):
    played = []

    def render(midi_path, soundfont, seconds):
        assert soundfont == "piano.sf2"
        played.append(midiread(midi_path, (50, 70), 0.25).piano_roll)
        assert seconds == 0.25 * len(played[-1])
        return np.full((44100, 2), 0.5, np.float32)

    monkeypatch.setattr(synthesizer, "render", render)
    samples, _ = soundfile.read(tune.write_wav(tmp_path / "tune.wav", "piano.sf2"))
    np.testing.assert_allclose(samples, 0.5, atol=1e-4)
    page = tune.write_page(tmp_path / "tune.html", soundfont="piano.sf2").read_text("utf-8")
    assert duration(page) == pytest.approx(1, abs=0.05)
    np.testing.assert_array_equal(played[0], roll)
    np.testing.assert_array_equal(played[1], np.vstack([tune.start, roll]))  # for the page's switch


@pytest.mark.parametrize(
    "ending, signature", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_pictures(tune, tmp_path, monkeypatch, ending, signature):
    figures, write = [], _axes.write_figure

    def write_and_keep(figure, path, **options):
        figures.append(figure)
        write(figure, path, **options)

    monkeypatch.setattr(_axes, "write_figure", write_and_keep)
    path = tmp_path / f"tune.{ending}"
    assert tune.write_picture(path) == path
    assert path.read_bytes().startswith(signature)
    title = r"$\x$ " + "\N{SNOWMAN}\N{MUSICAL SYMBOL G CLEF}"
    Tune(tune.roll, title=title).write_picture(path)
    both, alone = [figure.axes for figure in figures]
    drawn = [[image.get_array() for image in axes.images] for axes in both[:2]]
    np.testing.assert_array_equal(drawn[0][0], tune.start.T)
    np.testing.assert_array_equal(drawn[0][1], tune.roll.T)
    np.testing.assert_array_equal(drawn[1][-1], tune.probabilities.T)
    assert both[0].images[1].get_extent() == [0, 3, 49.5, 69.5]  # seconds, and pitches from 50
    assert both[0].get_title("left") == tune.title
    np.testing.assert_array_equal(alone[0].images[0].get_array(), tune.roll.T)
    assert alone[0].get_title("left") == title and len(alone) < len(both)


def test_a_picture_with_probabilities_is_as_wide_and_higher(tune, tmp_path):
    sizes = []
    for each in (tune, replace(tune, probabilities=None)):
        sizes.append(imread(each.write_picture(tmp_path / "tune.png")).shape)
    (higher, width, _), (lower, other_width, _) = sizes
    assert width == other_width > 1.5 * higher and higher > 1.5 * lower


def test_a_picture_needs_a_suffix(tune, tmp_path):
    with pytest.raises(ValueError, match="no suffix; add .png"):
        tune.write_picture(tmp_path / "tune")
    with pytest.raises(ValueError, match="xyz"):
        tune.write_picture(tmp_path / "tune.xyz")
    assert list(tmp_path.iterdir()) == []


def test_a_page_has_sound_and_midi_file_of_each_tune(tune, roll, tmp_path):
    other = Tune(roll[:4], 0.5, 40)
    path = write_page(tmp_path / "tunes.html", [tune, other], {"seed": 1}, "Two of them")
    document = path.read_text("utf-8")
    assert "<title>Two of them</title>" in document and "<dt>seed</dt>" in document
    for number, each in enumerate((tune, other)):
        assert duration(document, number) == pytest.approx(
            each.start_seconds + each.seconds, abs=0.1
        )
        content = re.findall(r'"data:audio/midi;base64,([^"]*)"', document)[number]
        (tmp_path / "again.mid").write_bytes(base64.b64decode(content))
        pitches = each.lowest_pitch, each.lowest_pitch + 20
        again = midiread(tmp_path / "again.mid", pitches, each.time_step).piano_roll
        np.testing.assert_array_equal(again, each.roll)


def duration(document, number=0):
    """Return the length of the embedded sound in seconds."""
    content = re.findall(r'"data:audio/mpeg;base64,([^"]*)"', document)[number]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    return len(samples) / rate


def test_with_start_the_files_begin_with_the_start_and_call_it_given(tune, roll, tmp_path):
    whole = replace(tune, with_start=True)
    both = np.vstack([tune.start, roll])
    path = whole.write_midi(tmp_path / "tune.mid")
    np.testing.assert_array_equal(midiread(path, (50, 70), 0.25).piano_roll, both)
    assert b"A & <b> (the first 1.2 seconds are given)" in path.read_bytes()
    for kind in ("wav", "mp3"):
        path = getattr(whole, f"write_{kind}")(tmp_path / f"tune.{kind}")
        assert len(soundfile.read(path)[0]) == pytest.approx(17 * 0.25 * 44100, abs=4000)
    assert len(whole) == 12 and whole.seconds == 3  # still the composed steps
    np.testing.assert_array_equal(whole.probabilities, roll / 2)  # none for the start

    shown, alone = whole._repr_html_(), tune._repr_html_()
    assert duration(shown) == pytest.approx(4.25, abs=0.1)
    assert "given start (played first)" in shown and "given start (not played)" in alone
    assert "given" not in Tune(roll)._repr_html_()
    document = whole.write_page(tmp_path / "tune.html").read_text("utf-8")
    assert duration(document) == pytest.approx(4.25, abs=0.1)
    assert '"withStart":true' in document and "after a given start of 5 steps" in document
    assert base64.b64encode(whole.write_midi(tmp_path / "again.mid").read_bytes()).decode() in (
        document
    )


def test_a_picture_labels_the_start_as_given(tune, monkeypatch, tmp_path):
    figures, page = [], tune.write_page(tmp_path / "tune.html").read_text("utf-8")
    monkeypatch.setattr(_axes, "write_figure", lambda figure, *_, **__: figures.append(figure))
    for each in (tune, replace(tune, with_start=True), replace(tune, probabilities=None)):
        each.write_picture(tmp_path / "tune.png")
        roll = figures[-1].axes[0]
        given, composed = roll.images
        assert given.get_extent()[:2] == [-1.25, 0] and composed.get_extent()[:2] == [0, 3]
        np.testing.assert_array_equal(composed.get_array(), tune.roll.T)
        assert [text.get_text() for text in roll.texts] == ["given", "composed"]
        for image, name in ((given, "given"), (composed, "note")):
            of_pages = re.findall(rf"--{name}: (#\w+);", page)[0]  # in the light theme
            assert to_hex(image.get_cmap()(1.0)) == of_pages


def with_onsets():
    """Return a tune whose A4 is held over from the start and struck twice; C5 has a lost strike."""
    start, roll = np.zeros((4, 88 * 2)), np.zeros((8, 88 * 2))
    a, c, struck = 69 - 21, 72 - 21, 88
    start[1:, a] = start[1, struck + a] = 1
    roll[:6, a] = roll[2, struck + a] = roll[4, struck + a] = 1
    roll[3:5, c] = roll[4, struck + c] = roll[7, struck + c] = 1
    return Tune(roll, 0.25, start=start, probabilities=roll / 2, onsets=True)


def test_a_midi_file_has_the_strikes_of_the_tune(tmp_path):
    tune = with_onsets()
    for with_start in (False, True):
        written = replace(tune, with_start=with_start).write_midi(tmp_path / "tune.mid")
        expected = np.vstack([tune.start, tune.roll] if with_start else [tune.roll])
        again = midiread(written, (21, 109), 0.25)
        np.testing.assert_array_equal(again.piano_roll, expected[:, :88])
        starts = [(note.pitch, note.start) for note in again.notes]
        composed = [(69, 0.5), (72, 0.75), (69, 1), (72, 1)]
        if with_start:  # the A4 of the start is held over the border
            assert starts == [(69, 0.25), *((pitch, second + 1) for pitch, second in composed)]
        else:
            assert starts == [(69, 0), *composed]


def test_a_sound_has_the_strikes_of_the_tune(tmp_path):
    tune = with_onsets()
    samples, rate = soundfile.read(tune.write_wav(tmp_path / "tune.wav"))
    notes = [(69, 0, 0.5), (69, 0.5, 1), (69, 1, 1.5), (72, 0.75, 1), (72, 1, 1.25)]
    expected = synthesizer.synthesise_notes(notes, 2)
    np.testing.assert_allclose(samples, expected, atol=1e-4)
    held = Tune(tune.roll[:, :88], 0.25).write_wav(tmp_path / "held.wav")
    assert np.abs(soundfile.read(held)[0] - samples).max() > 0.01


def test_files_have_the_velocities_of_the_tune(tmp_path):
    roll, start = np.zeros((2, 5, 4))
    roll[0, 1] = roll[2:, 2] = start[0, 0] = 1
    velocity = np.full((10, 4), 20)
    velocity[0, 0], velocity[5, 1], velocity[7, 2] = 50, 60, 110
    for given, expected in (
        (velocity, [50, 60, 110]),
        (velocity[5:], [90, 60, 110]),
        (33, [33, 33, 33]),
    ):
        tune = Tune(roll, 0.25, 60, start=start, velocity=given)
        for each, first in ((tune, 1), (replace(tune, with_start=True), 0)):
            path = each.write_midi(tmp_path / "tune.mid")
            content = midiread(path, (60, 64), 0.25)
            assert content.velocities == expected[first:]
            heard, _ = soundfile.read(each.write_wav(tmp_path / "tune.wav"))
            seconds, notes = len(each._steps(not first)) * 0.25, content.notes
            sound = synthesizer.synthesise_notes(notes, seconds, expected[first:])
            np.testing.assert_allclose(heard, sound, atol=1e-4)
            page = each.write_page(tmp_path / "tune.html").read_text("utf-8")
            assert base64.b64encode(path.read_bytes()).decode() in page


def test_velocities_of_struck_cells_are_enough(tmp_path):
    roll, start, velocity = np.zeros((5, 4)), np.zeros((4, 4)), np.zeros((9, 4), int)
    start[2:, 0] = roll[:3, 0] = roll[1:, 1] = 1  # column 0 is held over from the start
    velocity[2, 0], velocity[5, 1] = 50, 60
    tune = Tune(roll, 0.25, 60, start=start, velocity=velocity)
    for with_start in (False, True):
        each = replace(tune, with_start=with_start)
        path = each.write_midi(tmp_path / "tune.mid")
        assert midiread(path, (60, 64), 0.25).velocities == [50, 60]
        each.write_wav(tmp_path / "tune.wav")
    again = midiread(path, (60, 64), 0.25)
    Tune(again.piano_roll, 0.25, 60, velocity=again.velocity_roll).write_midi(path)
    assert midiread(path, (60, 64), 0.25).velocities == [50, 60]
    with pytest.raises(ValueError, match="velocity is 0 at row 0, column 0, where a note begins"):
        Tune(roll, 0.25, 60, velocity=velocity[4:])


@pytest.mark.parametrize(
    ("n_given", "beats", "expected"),
    [
        (16, Beats(1), "4 bars are"),
        (18, Beats(1), "4 bars and 2 beats are"),
        (4, Beats(1), "1 bar is"),
        (1, Beats(1), "1 beat is"),
        (9, Beats(2, 90.0, (6, 8), 3), "1 bar and 1 beat are"),
        (2, Beats(4), "0.5 beats are"),
        (16, None, "5.3 seconds are"),
    ],
)
def test_the_name_of_the_track_says_how_much_is_given(tmp_path, n_given, beats, expected):
    step = 1 / 3 if beats is None else None
    tune = Tune([[1]], step, 60, np.ones((n_given, 1)), title="T", with_start=True, beats=beats)
    (track,) = midi.describe(tune.write_midi(tmp_path / "tune.mid")).tracks
    assert track.name == f"T (the first {expected} given)"


def test_beats_give_the_time_step_and_reach_the_midi_file(roll, tmp_path):
    beats = Beats(4, 72.0, (3, 4), 10, (-3, True))  # an upbeat of two steps
    tune = Tune(roll, lowest_pitch=50, start=roll[:5], beats=beats)
    assert tune.time_step == beats.time_step and tune.seconds == pytest.approx(12 * 60 / 72 / 4)
    for with_start, first_step, rows in ((True, 10, 17), (False, 3, 12)):
        each = replace(tune, with_start=with_start)
        path = each.write_midi(tmp_path / "tune.mid")
        again = midi.midiread(path, (50, 70), steps_per_beat=4)
        assert again.beats[1:] == (pytest.approx(72, rel=1e-6), (3, 4), first_step, (-3, True))
        np.testing.assert_array_equal(again.piano_roll, each._steps(with_start))
        assert len(again.piano_roll) == rows
        page = each.write_page(tmp_path / "tune.html").read_text("utf-8")
        assert base64.b64encode(path.read_bytes()).decode() in page
    alone = Tune(roll, lowest_pitch=50, beats=beats).write_midi(tmp_path / "tune.mid")
    assert midi.midiread(alone, (50, 70), steps_per_beat=4).beats.first_step == 10


def test_a_time_step_beside_beats_may_be_rounded(roll):
    for tempo in range(40, 200):
        for steps in (1, 2, 3, 4, 6, 8, 12):
            beats = Beats(steps, tempo)
            assert Tune(roll, 60 / tempo / steps, beats=beats).time_step == beats.time_step


def test_a_start_may_end_within_a_step_of_the_bars(roll, tmp_path):
    """A bar of 3/8 has one and a half quarter notes."""
    beats = Beats(1, 120.0, (3, 8))
    for n_given, first_step in ((4, 1), (5, 0)):  # a bar begins half a step before row 5
        tune = Tune(roll, lowest_pitch=50, start=roll[:n_given], beats=beats)
        path = tune.write_midi(tmp_path / "tune.mid")
        again = midi.midiread(path, (50, 70), steps_per_beat=1).beats
        assert again == beats._replace(first_step=first_step)


def test_strikes_of_silent_pitches_are_counted():
    tune = with_onsets()
    assert tune.n_dropped_onsets == 1 and Tune(tune.roll[:, :88]).n_dropped_onsets == 0
    assert "steps. 1 of 4 strikes is of a silent pitch and left out." in tune._repr_html_()
    tune.roll[6, 88 + 50] = 1
    assert "steps. 2 of 5 strikes are of a silent pitch and left out." in tune._repr_html_()
    tune.roll[6:, 88:] = 0
    assert "silent" not in tune._repr_html_()


def test_a_tune_with_onsets_is_written_in_every_form(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(_axes, "write_figure", lambda figure, *_, **__: figures.append(figure))
    tune = with_onsets()
    for each in (tune, replace(tune, probabilities=None)):
        each.write_picture(tmp_path / "tune.png")
        (heads,) = figures[-1].axes[0].collections
        assert len(heads.get_paths()) == 5  # one in the start; none where the A4 is held over
    probabilities = figures[0].axes[1]
    np.testing.assert_array_equal(probabilities.images[-1].get_array(), tune.roll[:, :88].T / 2)
    assert len(probabilities.collections[0].get_paths()) == 1  # in the start
    page = tune.write_page(tmp_path / "tune.html").read_text("utf-8")
    assert duration(page) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("write", ["midi", "wav", "mp3", "picture", "page"])
def test_nothing_is_written_if_the_folder_is_missing(tune, tmp_path, write):
    ending = {"picture": "png", "page": "html"}.get(write, write)
    with pytest.raises(FileNotFoundError, match="make it"):
        getattr(tune, f"write_{write}")(tmp_path / "none" / f"tune.{ending}")
    assert list(tmp_path.iterdir()) == []


def test_jupyter_shows_the_roll_and_a_player_without_a_script(tune):
    shown = tune._repr_html_()
    assert "<script" not in shown and "<b>" not in shown and "A &amp; &lt;b&gt;" in shown
    assert duration(shown) == pytest.approx(3, abs=0.1)
    (given, brown), (composed, own) = re.findall(r'<path d="([^"]*)" fill="([^"]*)"', shown)
    blue = re.search(r'<div style="color: (#\w+)[^>]*><svg', shown)[1]
    assert own == "currentColor" and re.findall('<span style="color: (.*?)">', shown) == [
        brown, blue,
    ]  # fmt: skip
    drawn = np.zeros((17, 128))
    view = re.search(r'viewBox="-5 0 17 (\d+)"', shown)
    for x, y, length in re.findall(r"M(-?\d+) (\d+)h(\d+)", given + composed):
        assert int(y) < int(view[1])
        drawn[int(x) + 5 : int(x) + 5 + int(length), int(y)] += 1
    # row 0 is the highest pitch drawn
    expected = np.vstack([tune.start, tune.roll])[:, ::-1]
    first = np.flatnonzero(drawn.any(axis=0))[0] - np.flatnonzero(expected.any(axis=0))[0]
    np.testing.assert_array_equal(drawn[:, first : first + 20], expected)
    assert drawn.sum() == expected.sum()


def labels(shown):
    """Return the labels of the axes, by the percentage where they stand."""
    found = re.findall(r"(?:top|left): ([\d.]+)%; transform: [^>]*>([^<]*)</span>", shown)
    return [(float(place), text) for place, text in found]


def test_jupyter_names_pitches_and_numbers_bars_or_seconds(roll):
    shown = Tune(roll, 0.25, 50, start=roll[:5])._repr_html_()
    height = int(re.search(r'viewBox="-5 0 17 (\d+)"', shown)[1])
    lines = [int(y) for y in re.findall(r"M-5 (\d+)h17", shown)]
    pitches = {text: place for place, text in labels(shown) if text[0] == "C"}
    assert list(pitches) == ["C3", "C4", "C5"]
    assert [pitches["C4"], pitches["C5"]] == pytest.approx(
        [100 * (y - 0.5) / height for y in lines], abs=0.01
    )  # each line is below its C; that of C3 is the frame
    seconds = [(place, float(text)) for place, text in labels(shown) if text[0] in "-0123"]
    assert (
        seconds
        == [
            (pytest.approx(100 * (1.25 + second) / 4.25, abs=0.01), second)
            for second in (-1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3)
        ]
        and labels(shown)[-1][1] == "seconds"
    )
    shown = Tune(roll, beats=Beats(2, 120, (2, 4), first_step=2))._repr_html_()
    bars = [each for each in labels(shown) if each[1].isdigit()]
    assert bars == [(pytest.approx(100 * (2 + 4 * k) / 12, abs=0.01), f"{k + 1}") for k in range(3)]
    assert labels(shown)[-1][1] == "bar"


def test_a_cell_of_jupyter_is_small_and_says_what_it_leaves_out(rng):
    long = Tune((rng.random((300, 88)) < 0.05), 0.3)
    shown = long._repr_html_()
    assert 200_000 < len(shown) < 300_000
    seconds = int(re.search(r"has the first (\d+) seconds; write_mp3 writes them all", shown)[1])
    assert 30 < seconds < 89 and duration(shown) == pytest.approx(seconds, abs=1)
    assert "has the first" not in Tune(long.roll[:40], 0.3)._repr_html_()
    with pytest.raises(ValueError, match="write_page has a player"):  # which Jupyter shows
        synthesizer.small_mp3(np.zeros((44100, 2)), 100)


@pytest.mark.parametrize(
    "tune, reason",
    [
        (Tune(np.zeros((4, 88)), 3000), "last 12,000 seconds, and at most 7,200"),
        (Tune(np.ones((1, 88)), 1e-6), "shorter than a sample"),
    ],
)
def test_a_tune_without_a_possible_sound_is_shown_and_says_why(tune, reason, tmp_path):
    assert "<svg" in tune._repr_html_() and reason in tune._repr_html_()
    assert "<audio" not in tune._repr_html_()
    for kind in ("wav", "mp3", "page"):
        with pytest.raises(ValueError, match=reason):
            getattr(tune, f"write_{kind}")(tmp_path / "tune")
    assert list(tmp_path.iterdir()) == []
    tune.write_midi(tmp_path / "tune.mid")
    tune.write_picture(tmp_path / "tune.png")


@pytest.mark.parametrize("n_notes", [0, 1])
def test_a_tune_of_one_step_can_be_written_in_every_form(n_notes, tmp_path):
    roll = np.zeros((1, 88))
    roll[0, 40] = n_notes
    tune = Tune(roll, probabilities=roll, start=roll, with_start=True)
    for kind, suffix in ("midi", "mid"), ("wav", "wav"), ("mp3", "mp3"), ("picture", "png"):
        assert getattr(tune, f"write_{kind}")(tmp_path / f"t.{suffix}").stat().st_size > 20
    page = tune.write_page(tmp_path / "t.html").read_text("utf-8")
    assert ("1 note on " if n_notes else "Silence in ") in page


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"roll": np.zeros((2, 12, 20))}, ValueError, r"roll must .* give one tune at a time"),
        ({"roll": np.zeros((0, 20))}, ValueError, "roll is empty"),
        ({"roll": np.full((12, 20), 0.5)}, ValueError, r"roll holds 0.5; .* roll >= 0.5"),
        ({"roll": np.full((12, 20), 90)}, ValueError, r"take \(roll > 0\)"),
        ({"roll": "tune.mid"}, TypeError, "roll must be an array of numbers"),
        ({"time_step": 0}, ValueError, "time_step=0 must be a finite number above 0"),
        ({"time_step": 4000}, ValueError, "time_step must .* at most 3600"),
        ({"time_step": "0.3"}, TypeError, "time_step must be a number of seconds"),
        ({"lowest_pitch": 109}, ValueError, "pitch 128, above 127; give at most 108"),
        ({"lowest_pitch": -1}, ValueError, "lowest_pitch must be at least 0"),
        ({"lowest_pitch": 21.5}, TypeError, "lowest_pitch must be a whole number"),
        ({"roll": np.zeros((12, 176))}, ValueError, "above 127; if half .* give onsets=True"),
        (
            {"roll": np.zeros((12, 21)), "onsets": True},
            ValueError,
            "a roll with onsets has an even",
        ),
        ({"onsets": np.zeros((12, 20))}, TypeError, "onsets must be True or False"),
        ({"start": np.zeros((5, 10)), "onsets": True}, ValueError, r"shape \(steps, 20\)"),
        ({"start": np.zeros((5, 21))}, ValueError, r"start must have the shape \(steps, 20\)"),
        ({"start": np.full((5, 20), 0.5)}, ValueError, "start holds 0.5"),
        ({"probabilities": np.zeros((11, 20))}, ValueError, "11 rows, the roll 12"),
        ({"probabilities": np.full((12, 20), 1.5)}, ValueError, "probabilities holds .* 1.5"),
        ({"velocity": 0}, ValueError, "velocity=0 must be from 1 to 127"),
        ({"velocity": np.full((11, 20), 90)}, ValueError, r"velocity has shape \(11, 20\)"),
        ({"velocity": np.full(12, 90)}, ValueError, r"velocity has shape \(12,\), the roll"),
        ({"beats": 4}, TypeError, "beats must be midi.Beats"),
        ({"beats": Beats(4, 120, (3, 5))}, ValueError, r"meter=\(3, 5\) must be"),
        (
            {"beats": Beats(4, 120), "time_step": 0.3},
            ValueError,
            "time_step=0.3, but a step of the beats lasts 0.125 s; leave time_step out",
        ),
        ({"beats": Beats(4, 1e-3)}, ValueError, "time_step must .* at most 3600"),
        ({"title": 7}, TypeError, "title must be text, not int 7"),
        ({"with_start": True}, ValueError, "with_start=True needs a start"),
        ({"probabilities": np.full((12, 20), 2)}, ValueError, "a probability is from 0 to 1"),
    ],
)
def test_invalid_arguments_are_rejected(roll, change, error, message):
    with pytest.raises(error, match=message):
        Tune(**{"roll": roll, **change})


def test_extreme_valid_arguments_are_accepted(roll):
    assert Tune(roll, lowest_pitch=108).lowest_pitch == 108
    assert Tune(roll.astype(bool).tolist(), 1e-6).roll.shape == (12, 20)
