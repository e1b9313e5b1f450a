"""Silence before the first note and after the last: left out by default, counted, or kept."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from midi import midiread, midiwrite
from rnn4music import cli
from rnn4music.data.dataset import DatasetWarning
from rnn4music.data.midi_files import load_midi
from rnn4music.data.store import RollStore, convert
from rnn4music.experiment import config
from rnn4music.experiment.music import ReadingOptions, read_music

END = b"\xff\x2f\0"
NOTE = (b"\x90\x3c\x50", b"\x80\x3c\0")
DRUM = (b"\x99\x24\x50", b"\x89\x24\0")


def variable_length(n):
    out = bytes((n & 127,))
    while n := n >> 7:
        out = bytes((n & 127 | 128,)) + out
    return out


def smf(*tracks):
    """Return a MIDI file of 480 ticks per quarter note: two quarter notes per second."""
    out = struct.pack(">4sIHHH", b"MThd", 6, 1, len(tracks), 480)
    for track in tracks:
        events = b"".join(variable_length(delta) + event for delta, event in track)
        out += struct.pack(">4sI", b"MTrk", len(events)) + events
    return out


def tune(before, notes, after, note=NOTE):
    """Return a file with silence, `notes` quarter notes in a row, and silence; in quarters."""
    on, off = note
    events = []
    for k in range(notes):
        events += [(480 * before if k == 0 else 0, on), (480, off)]
    return smf([*events, (480 * after, END)])


@pytest.fixture
def folder(tmp_path):
    """One tune with 100 s of silence before it, one with 200 s after it, and one without."""
    folder = tmp_path / "music"
    folder.mkdir()
    (folder / "late.mid").write_bytes(tune(200, 8, 0))
    (folder / "long.mid").write_bytes(tune(0, 8, 400))
    (folder / "plain.mid").write_bytes(tune(1, 8, 1))
    return folder


def test_a_tune_begins_with_its_first_note_and_ends_a_second_after_its_last(folder):
    dataset = load_midi(folder, time_step=0.25)
    assert dataset.lengths.tolist() == [16, 16 + 4, 2 + 16 + 2]
    for roll, begin in zip(dataset, (0, 0, 2), strict=True):
        assert np.flatnonzero(roll[:, 60 - 21]).tolist() == list(range(begin, begin + 16))
    assert dataset.silence == (2, 400 + 796)
    text = "silence left out before or after the notes: 1,196 steps in 2 tunes"
    notes = "24 notes in the pitch range, 21 struck while sounding and lost in the note before"
    assert dataset.summary().splitlines() == ["3 tunes, 56 steps", text, notes]


def test_silence_can_be_kept(folder):
    dataset = load_midi(folder, time_step=0.25, keep_silence=True)
    for roll, name in zip(dataset, dataset.names, strict=True):
        np.testing.assert_array_equal(roll, midiread(folder / name, dt=0.25).piano_roll)
    assert dataset.lengths.sum() == 56 + 1196
    assert dataset.silence == (0, 0) and dataset.summary().startswith("3 tunes, 1,252 steps\n24 ")
    with pytest.raises(TypeError, match="keep_silence must be True or False, not 'no'"):
        load_midi(folder, keep_silence="no")


@pytest.mark.parametrize(
    ("options", "n_kept"),
    [
        ({"time_step": 0.3}, 4), ({"time_step": 1}, 1), ({"time_step": 3}, 1),
        ({"time_step": 0.01}, 100), ({"steps_per_beat": 4}, 8), ({"steps_per_beat": 0.5}, 1),
    ],
)  # fmt: skip
def test_the_limit_is_a_second_or_two_quarter_notes_in_whole_steps(tmp_path, options, n_kept):
    (tmp_path / "a.mid").write_bytes(tune(0, 8, 400))
    (tmp_path / "b.mid").write_bytes(tune(400, 8, 0))
    (tmp_path / "c.mid").write_bytes(tune(2, 8, 2))
    after, before, both = load_midi(tmp_path, **options)
    sounding = np.flatnonzero(after.any(axis=1))
    assert len(after) == sounding[-1] + 1 + n_kept
    assert before[0].any()
    (whole,) = load_midi(tmp_path / "c.mid", **options, keep_silence=True)
    np.testing.assert_array_equal(both, whole)


@pytest.mark.parametrize("keep_short", (True, False))
def test_no_cell_is_lost(tmp_path, rng, keep_short):
    """Notes begin and end anywhere between the steps."""
    lengths = (10, 200) if keep_short else (300, 900)
    for k in range(20):
        events = [(int(rng.integers(2000)), NOTE[0]), (int(rng.integers(*lengths)), NOTE[1])]
        end = (int(rng.integers(5000)), END)
        (tmp_path / f"{k:02}.mid").write_bytes(smf([*events, *events, end]))
    options = {"keep_short": keep_short}
    kept = load_midi(tmp_path, keep_silence=True, **options)
    cut = load_midi(tmp_path, **options)
    assert cut.names == kept.names and cut.silence.n_tunes > 10
    for one, other in zip(cut, kept, strict=True):
        assert one.sum() == other.sum()
        rows = np.flatnonzero(other.any(axis=1))
        first = np.flatnonzero(one.any(axis=1))[0]
        np.testing.assert_array_equal(one, other[rows[0] - first :][: len(one)])
    lost = sum(len(other) - len(one) for one, other in zip(cut, kept, strict=True))
    assert cut.silence.n_steps == lost > 0


def test_a_conductor_track_of_77_hours_is_no_obstacle(tmp_path):
    notes = [(0, NOTE[0]), (480, NOTE[1]), (0, END)]
    (tmp_path / "a.mid").write_bytes(smf([(2**28 - 1, END)], notes))
    (tmp_path / "b.mid").write_bytes(smf([(2**28 - 1, NOTE[0]), (480, NOTE[1]), (0, END)]))
    dataset = load_midi(tmp_path, time_step=0.25)
    assert dataset.lengths.tolist() == [6, 2]
    n_steps = -(-(2**28 - 1) // 240)
    assert dataset.silence == (2, n_steps - 6 + n_steps)
    with pytest.raises(ValueError, match="it lasts 279,620 s"):
        load_midi(tmp_path, keep_silence=True)


def test_drums_alone_do_not_prolong_a_tune(tmp_path):
    notes = [(480, NOTE[0]), (480, NOTE[1]), (0, END)]
    drums = [each for _ in range(100) for each in ((0, DRUM[0]), (480, DRUM[1]))]
    (tmp_path / "a.mid").write_bytes(smf(notes, [*drums, (0, END)]))
    dataset = load_midi(tmp_path, time_step=0.5)
    assert dataset.lengths.tolist() == [4] and dataset.dropped_notes["drums"] == 100
    assert load_midi(tmp_path, (0, 128), 0.5, drums=True).lengths.tolist() == [100]


def test_notes_outside_the_pitch_range_count_as_notes(tmp_path):
    low = (b"\x90\x18\x50", b"\x80\x18\0")
    (tmp_path / "a.mid").write_bytes(smf([(0, NOTE[0]), (480, NOTE[1]), (4800, low[0]),
                                          (480, low[1]), (0, END)]))  # fmt: skip
    for options in ({}, {"to_c": True}):
        dataset = load_midi(tmp_path, (40, 80), 0.5, **options)
        assert dataset.lengths.tolist() == [12] and dataset[0].sum() == 1
        assert dataset.dropped_notes["outside the pitch range"] == 1


def test_files_without_notes_are_reported(tmp_path):
    (tmp_path / "a.mid").write_bytes(smf([(48000, END)]))
    (tmp_path / "b.mid").write_bytes(tune(0, 3, 100, DRUM))
    (tmp_path / "c.mid").write_bytes(tune(0, 1, 0))
    with pytest.warns(DatasetWarning):
        dataset = load_midi(tmp_path, time_step=0.5)
    assert dataset.names == ["c.mid"] and dataset.lengths.tolist() == [1]
    assert dataset.skipped == [
        ("a.mid", "it has no notes"),
        ("b.mid", "all of its 3 notes are drums"),
    ]
    assert dataset.silence == (0, 0)


def test_the_cache_does_not_mix_the_two(folder, tmp_path):
    cache = tmp_path / "cache"
    for keep_silence in (True, False, True, False):
        kept = load_midi(folder, cache=cache, keep_silence=keep_silence)
        plain = load_midi(folder, keep_silence=keep_silence)
        assert kept.summary() == plain.summary() and kept.silence == plain.silence
        assert kept.lengths.tolist() == plain.lengths.tolist()
    assert len(list(cache.iterdir())) == 2


def test_a_store_counts_and_keeps_silence_too(folder, tmp_path):
    dataset = load_midi(folder)
    store = convert(folder, tmp_path / "cut", progress=False)
    assert store.silence == dataset.silence and store.summary() == dataset.summary()
    assert store.lengths.tolist() == dataset.lengths.tolist()
    assert store[:1].silence == (0, 0) and not store.options["keep_silence"]
    kept = convert(folder, tmp_path / "kept", keep_silence=True, progress=False)
    assert kept.options["keep_silence"] and kept.silence == (0, 0)
    assert kept.lengths.tolist() == load_midi(folder, keep_silence=True).lengths.tolist()
    with pytest.raises(ValueError, match=r"silence True, not False. It .*--keep-silence"):
        convert(folder, tmp_path / "kept", progress=False)


def as_of_an_earlier_version(store):
    """Make a store what an earlier version would have made: its manifest has format 1."""
    from rnn4music.data import store as roll_store

    manifest = roll_store.read_manifest(store)
    del manifest["options"]["keep_silence"], manifest["options"]["onsets"], manifest["rules"]
    roll_store.write_manifest(store, {**manifest, "format": 1})


def test_a_store_of_an_earlier_version_is_read_and_not_completed(folder, tmp_path):
    before = convert(folder, tmp_path / "rolls", keep_silence=True, progress=False)
    as_of_an_earlier_version(tmp_path / "rolls")
    with pytest.warns(DatasetWarning, match="an earlier version"):
        store = RollStore(tmp_path / "rolls")
    assert store.options == before.options and store.fingerprint == before.fingerprint
    with pytest.raises(ValueError, match=r"an earlier version .* --keep-silence .* another folder"):
        convert(folder, tmp_path / "rolls", progress=False)


# ---- models and commands


def test_the_start_of_a_tune_is_its_first_note(folder):
    reading = ReadingOptions.of_model({}, 88, dt=0.25)
    roll = reading.read_tune(folder / "late.mid", 10).roll
    assert roll.shape == (10, 88) and roll[0].any()


@pytest.mark.parametrize(
    ("metadata", "keeps"),
    [
        ({}, False), ({"time_step": 0.3}, False), ({"keep_silence": True}, True),
        ({"keep_short": False}, True), ({"keep_short": True, "keep_silence": False}, False),
    ],
)  # fmt: skip
def test_a_model_of_an_earlier_version_reads_as_before(folder, metadata, keeps):
    reading = ReadingOptions.of_model(metadata, 88)
    assert reading.keep_silence == keeps
    assert (reading.read_scored(folder).lengths.max() > 100) == keeps
    assert (len(reading.read_tune(folder / "long.mid")[0]) > 100) == keeps


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def music_of(source, *flags, config_file=None, metadata=None):
    args = cli.build_parser().parse_args(["train", str(source), *map(str, flags)])
    model = SimpleNamespace(metadata=metadata or {}, io_length=88)
    return read_music(source, config.merged(vars(args), config_file), model)


def n_steps(music):
    return sum(int(part.lengths.sum()) for part in music.parts.values())


SAID = (
    "left out 1,196 steps of silence before or after the notes of 2 tunes; train and convert keep"
)


@pytest.mark.filterwarnings(
    "default:--validation 0.1 of 3 tunes holds out none", "default:many notes are not in the rolls"
)
@pytest.mark.parametrize("flags", ([], ["--keep-short"], ["--keys", "c"]))
def test_training_says_how_much_silence_it_leaves_out(folder, tmp_path, capsys, flags):
    music = music_of(folder, "--dt", 0.25, *flags)
    assert n_steps(music) == 56 and SAID in capsys.readouterr().err
    assert music.metadata["keep_silence"] is False
    (tmp_path / "run.toml").write_text("keep-silence = true\n")
    for keep, file in ((["--keep-silence"], None), ([], tmp_path / "run.toml")):
        music = music_of(folder, "--dt", 0.25, *flags, *keep, config_file=file)
        assert n_steps(music) == 1252 and "left out" not in capsys.readouterr().err
        assert music.metadata["keep_silence"] is True
        again = music_of(folder, metadata=music.metadata)
        assert n_steps(again) == 1252
        undone = music_of(folder, "--no-keep-silence", metadata=music.metadata)
        assert n_steps(undone) == 56 and SAID in capsys.readouterr().err


@pytest.mark.filterwarnings("default:many notes are not in the rolls")
def test_scoring_and_converting_say_how_much_silence_they_leave_out(folder, tmp_path, capsys):
    reading = ReadingOptions.of_model({}, 88, dt=0.25)
    reading.read_scored(folder)
    assert SAID in capsys.readouterr().err
    store = tmp_path / "rolls"
    assert run("convert", folder, store, "--dt", 0.25, "--quiet", "--json") == 0
    out, err = capsys.readouterr()
    assert SAID in err and '"silence": {"n_tunes": 2, "n_steps": 1196}' in out
    for keep_silence in (True, False):  # scores with either can be compared
        assert len(reading._replace(keep_silence=keep_silence).read_scored(store)) == 3


def test_render_leaves_silence_out(folder, tmp_path, capsys):
    wav = tmp_path / "tune.wav"
    assert run("render", folder / "long.mid", "-o", wav) == 0
    assert "5.0 s (left out 199.0 s of silence; --keep-silence" in capsys.readouterr().out
    assert wav.stat().st_size == 44 + 5 * 44100 * 4
    assert run("render", folder / "late.mid", "-o", wav, "--keep-silence") == 0
    assert "104.0 s\n" in capsys.readouterr().out
    for name, content in (("drums.mid", tune(0, 3, 100, DRUM)), ("none.mid", smf([(9, END)]))):
        (tmp_path / name).write_bytes(content)
        assert run("render", tmp_path / name, "-o", tmp_path / "none.wav") == 1
        assert f"{name} has no notes to play" in capsys.readouterr().err
        assert not (tmp_path / "none.wav").exists()


def test_a_roll_that_midiwrite_wrote_is_not_shortened(tmp_path, rng):
    roll = rng.random((50, 88)) < 0.05
    roll[[0, -1], 40] = True
    midiwrite(tmp_path / "a.mid", roll, (21, 109), 0.3)
    np.testing.assert_array_equal(load_midi(tmp_path)[0], roll)
