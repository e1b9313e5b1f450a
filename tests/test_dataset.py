"""Folders, lists, patterns and .zip files of MIDI as datasets."""

import glob
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_silence import END, smf

from midi import MidiError, midiread, midiwrite, onset_notes
from rnn4music import RNN4Music
from rnn4music.data import midi_files, shards
from rnn4music.data.dataset import Dataset, DatasetWarning, FileIssue, outcome
from rnn4music.data.keys import find_key, transpose
from rnn4music.data.midi_files import find_files, load_midi
from rnn4music.data.standard_sets import load_standard_set
from rnn4music.data.store import RollStore, convert, is_store
from rnn4music.experiment import config
from rnn4music.experiment.inputs import MUSIC, check_music
from rnn4music.experiment.music import ReadingOptions, read_music

RANGE = (21, 109)


def tune(seed, n_steps=40):
    roll = np.random.default_rng(seed).random((n_steps, 88)) < 0.04
    roll[0, 30] = True
    return roll


@pytest.fixture
def folder(tmp_path):
    """Make a folder with MIDI files of all endings, subfolders and a text file."""
    folder = tmp_path / "music"
    (folder / "deep" / "er").mkdir(parents=True)
    for k, name in enumerate(("b.mid", "a.MIDI", "deep/c.Kar", "deep/er/d.mid")):
        midiwrite(folder / name, tune(k), RANGE, 0.3)
    data = (folder / "b.mid").read_bytes()
    wrapped = b"RIFF" + (len(data) + 12).to_bytes(4, "little") + b"RMIDdata"
    (folder / "e.RMI").write_bytes(wrapped + len(data).to_bytes(4, "little") + data)
    (folder / "notes.txt").write_text("no music")
    (folder / "folder.mid").mkdir()
    return folder


NAMES = ["a.MIDI", "b.mid", "deep/c.Kar", "deep/er/d.mid", "e.RMI"]
SEEDS = [1, 0, 2, 3, 0]


def same_rolls(dataset, seeds):
    assert len(dataset) == len(seeds)
    for roll, seed in zip(dataset, seeds, strict=True):
        assert roll.dtype == bool
        np.testing.assert_array_equal(roll, tune(seed))
    return True


# Sources -------------------------------------------------------------------------------


def test_a_folder_and_its_subfolders(folder):
    dataset = load_midi(folder)
    assert dataset.names == NAMES
    assert same_rolls(dataset, SEEDS)
    assert same_rolls(load_midi(str(folder)), SEEDS)


def test_a_list_keeps_its_order_and_may_mix_all_kinds(folder):
    dataset = load_midi([folder / "deep", str(folder / "b.mid")])
    assert dataset.names == ["c.Kar", "er/d.mid", (folder / "b.mid").as_posix()]
    assert same_rolls(dataset, [2, 3, 0])


def test_a_pattern_is_walked_as_seldom_as_possible(folder, monkeypatch):
    patterns = []
    find = glob.glob
    monkeypatch.setattr(
        "glob.glob", lambda pattern, **options: patterns.append(pattern) or find(pattern, **options)
    )
    pattern = os.path.join(folder, "**", "*.mid")
    check_music(pattern, MUSIC, "a test needs music")
    assert patterns == []  # the search ends at the first match
    assert find_files(pattern)
    assert patterns == [pattern, os.path.join(folder, "**", "")]


def test_a_pattern(folder):
    dataset = load_midi(f"{folder}/**/*d")
    assert [Path(name).name for name in dataset.names] == ["b.mid", "d.mid"]
    assert same_rolls(dataset, [0, 3])


def test_a_single_file_whatever_its_ending(folder):
    (folder / "b.mid").rename(folder / "b.dat")
    assert same_rolls(load_midi(folder / "b.dat"), [0])


def test_linked_folders_are_read_and_broken_links_reported(folder, tmp_path):
    try:
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "music").symlink_to(folder, target_is_directory=True)
        (tmp_path / "links" / "lost.mid").symlink_to(tmp_path / "nothing.mid")
        (folder / "again").symlink_to(folder, target_is_directory=True)
        (folder / "also deep").symlink_to(folder / "deep", target_is_directory=True)
    except OSError:
        pytest.skip("no links can be made here")
    with pytest.warns(DatasetWarning, match="lost.mid .*No such file"):
        dataset = load_midi(tmp_path / "links")
    assert dataset.names == [f"music/{name}" for name in NAMES]


def test_a_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    monkeypatch.chdir(folder)
    assert load_midi("~/music", cache="~/cache").names == NAMES
    assert load_midi("~/music/*.mid").names[-1].endswith("/b.mid")
    assert (folder.parent / "cache").is_dir() and not (folder / "~").exists()
    assert len(midiread("~/music/b.mid").notes) > 0


def test_a_zip_that_was_replaced_is_read_again(folder, tmp_path):
    path = tmp_path / "music.zip"
    for members, error in (([], FileNotFoundError), (["notes.txt"], ValueError), (["b.mid"], None)):
        with zipfile.ZipFile(path, "w") as archive:
            for name in members:
                archive.write(folder / name, "b.mid")
        if error:
            with pytest.raises(error):
                load_midi(path)
        else:
            assert same_rolls(load_midi(path), [0])


def test_a_member_of_a_zip_that_is_larger_than_it_claims(folder, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "music.zip", "w") as archive:
        archive.writestr("z.mid", b"\0" * 5000)
    monkeypatch.setattr(midi_files, "MOST_BYTES", 4000)
    (claimed,) = midi_files.find_files(tmp_path / "music.zip")
    with pytest.raises(MidiError, match="more bytes than the 4000"):
        claimed._replace(size=10).read()


def test_a_zip_is_not_unpacked(folder, tmp_path):
    path = tmp_path / "music.ZIP"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (*NAMES, "notes.txt"):
            archive.write(folder / name, name)
        archive.write(folder / "b.mid", "../../outside.mid")
    dataset = load_midi(path)
    assert dataset.names == ["../../outside.mid", *NAMES]
    assert same_rolls(dataset, [0, *SEEDS])
    assert not (tmp_path.parent / "outside.mid").exists()
    assert same_rolls(load_midi([path, folder / "b.mid"], workers=2), [0, *SEEDS, 0])


def test_invalid_sources(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match="there is no file or folder named .*nowhere'$"):
        load_midi(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="as a pattern it matches no file"):
        load_midi(f"{folder}/*.xyz")
    with pytest.raises(FileNotFoundError, match="no files that end in .mid, .midi, .kar, .rmi"):
        load_midi(folder / "folder.mid")
    for only_folders in ("de*", "**/e?"):
        with pytest.raises(FileNotFoundError, match="a folder that matches a pattern, name it"):
            load_midi(f"{folder}/{only_folders}")
    with pytest.raises(ValueError, match="the list of files is empty"):
        load_midi([])
    with pytest.raises(TypeError, match="a path or a list of paths, not int"):
        load_midi(3)
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    with pytest.raises(ValueError, match="bad.zip is damaged or not a .zip file"):
        load_midi(tmp_path / "bad.zip")


NAMES_OF_ALL_KINDS = [
    "two words", "[2020] a*b?", "**", "~no user", "-o", "x" * 255, "a\nb", "é ♯", "c.mid", "d.npz",
    os.fsdecode(b"\xff\xe9"),
]  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="elsewhere names are not as free")
@pytest.mark.parametrize(("name", "form"), [*zip(NAMES_OF_ALL_KINDS, 4 * (str, Path, os.fsencode))])
def test_paths_of_all_kinds(folder, tmp_path, monkeypatch, name, form):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copytree(folder, name)
    for source in (form(name), form(f"{name}/"), form(tmp_path / "here" / name), [form(name)]):
        assert load_midi(source).names == NAMES
    assert load_midi(form(f"{name}/*.mid")).names == [f"{name}/b.mid"]
    assert len(load_midi(form(f"{name}/**/*.?i*"))) == 2
    shutil.copy(Path(name, "b.mid"), Path(name, f"{name[:200]}.mid"))
    for source in (f"{name}/{name[:200]}.mid", f"{name}/b.mid"):
        assert same_rolls(load_midi(form(source)), [0])
    reading = ReadingOptions.of_model({}, 88)
    np.testing.assert_array_equal(reading.read_tune(f"{name}/b.mid")[0], tune(0))
    cache, store, path = (form(f"{name}/{inside}") for inside in ("cache", "rolls", "set.json"))
    load_midi(folder, cache=cache)
    assert len([*Path(name, "cache").iterdir()]) == 1
    assert set(NAMES) < set(convert(name, store, progress=False).names)
    assert is_store(store) and len(RollStore(store)) == 6
    assert len(reading.read_scored(os.fsdecode(store))) == 6
    tunes = [[[60], [62]]]
    Path(name, "set.json").write_text(json.dumps({"train": tunes, "valid": tunes, "test": tunes}))
    assert len(load_standard_set(path).train[0]) == 2
    settings = config.merged({"data": name, "validation": 0.0})
    assert len(
        read_music(name, settings, SimpleNamespace(metadata={}, io_length=88)).parts["train"]
    )
    Path(name, "broken.mid").write_bytes(b"broken")
    with pytest.warns(DatasetWarning) as warned:
        load_midi([name, f"{name}/broken.mid"])
    str(warned[0].message).encode()  # can be printed


@pytest.mark.parametrize("path", ["", "nul\0l", "x" * 5000, "\0*"])
def test_paths_that_cannot_exist(path, tmp_path):
    for read in (load_midi, load_standard_set, RollStore, lambda path: convert(path, tmp_path)):
        with pytest.raises((ValueError, OSError)) as caught:
            read(path)
        assert str(caught.value)
    assert not is_store(path or "nowhere")


# What is left out ----------------------------------------------------------------------


def spoil(folder):
    (folder / "broken.mid").write_bytes(b"MThd")
    (folder / "cut.mid").write_bytes((folder / "b.mid").read_bytes()[:-30])
    midiwrite(folder / "silent.mid", np.zeros((5, 88)), RANGE)
    midiwrite(folder / "low.mid", np.ones((5, 1)), (3, 4))


def test_nothing_is_skipped_silently(folder):
    spoil(folder)
    with pytest.warns(DatasetWarning) as said:
        dataset = load_midi(folder)
    assert len(said) == 1
    assert dataset.names == [*NAMES[:2], "cut.mid", *NAMES[2:]]
    reasons = dict(dataset.skipped)
    assert list(reasons) == ["broken.mid", "low.mid", "silent.mid"]
    assert "14 bytes" in reasons["broken.mid"]
    assert reasons["low.mid"] == "its only note is outside the pitch range"
    assert reasons["silent.mid"] == "it has no notes"
    assert [issue.file for issue in dataset.damaged] == ["cut.mid"]
    text = str(said[0].message)
    assert text == dataset.summary()
    for issue in (*dataset.skipped, *dataset.damaged):
        assert f"{issue.file} " in text and issue.reason in text
    assert "3 files skipped" in text and "1 file damaged, read in part" in text
    with pytest.warns(DatasetWarning):
        assert "cut.mid" in dict(load_midi(folder, strict=True).skipped)


def test_no_usable_file_is_an_error_with_the_reasons(tmp_path):
    for k in range(30):
        (tmp_path / f"{k:02}.mid").write_bytes(b"none")
    with pytest.raises(ValueError, match="none of the 30 files can be used") as caught:
        load_midi(tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2 and lines[1].startswith("  00.mid and 29 more  not a MIDI file")


@pytest.fixture
def without_privileges(folder):
    """Return the folder, in a place that a user without privileges can reach, as that user."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions are those of POSIX")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        moved = Path(shutil.move(folder, place))
        is_root = os.geteuid() == 0
        if is_root:
            # imports, while it can: the packages may be readable by root alone
            convert(moved, Path(place) / "first", progress=False).split()
            for path in moved.rglob("*"):
                os.chmod(path, 0o755)
            os.seteuid(65534)
        try:
            yield moved
        finally:
            if is_root:
                os.seteuid(0)
            for path in moved.rglob("*"):
                if path.is_dir():
                    path.chmod(0o755)


def locked(path, mode=0):
    """Change the mode of a file or folder, whoever owns it."""
    user = os.geteuid()
    os.seteuid(os.getuid())
    path.chmod(mode)
    os.seteuid(user)


def test_a_file_without_permission_is_reported(without_privileges):
    folder = without_privileges
    locked(folder / "b.mid")
    for source in (folder, f"{folder}/**/*.*", [folder / "b.mid", folder / "deep"]):
        with pytest.warns(DatasetWarning, match=r"b.mid  Permission denied"):
            dataset = load_midi(source)
        assert len(dataset.skipped) == 1 and len(dataset) in (2, 4)


def test_a_folder_without_permission_is_reported(without_privileges):
    folder = without_privileges
    locked(folder / "deep" / "er")
    reason = "the folder cannot be read: Permission denied"
    for source in (folder, f"{folder}/**/*.*"):
        with pytest.warns(DatasetWarning):
            dataset = load_midi(source)
        (issue,) = dataset.skipped
        assert issue.file.endswith("deep/er/") and issue.reason == reason and len(dataset) == 4
    for source in (f"{folder}/deep/*/*", f"{folder}/d*/*r/d.mid"):
        with pytest.raises(ValueError, match=f"the file cannot be used:\n  .*deep/er/  {reason}$"):
            load_midi(source)
    locked(folder)
    for source in (folder, folder / "b.mid", [folder], str(folder) + "/"):
        with pytest.raises(PermissionError, match="Permission denied: '.*music"):
            load_midi(source)
    with pytest.raises(ValueError, match=f"music/  {reason}"):
        load_midi(f"{folder}/*.mid")


def test_training_scoring_and_converting_report_a_folder_without_permission(without_privileges):
    folder = without_privileges
    locked(folder / "deep")
    locked(folder.parent, 0o777)
    settings = config.merged({"data": str(folder), "validation": 0.0})
    model, reading = SimpleNamespace(metadata={}, io_length=88), ReadingOptions.of_model({}, 88)
    warned = "deep/  the folder cannot be read: Permission denied"
    for attempt in (
        lambda: read_music(str(folder), settings, model),
        lambda: reading.read_scored(str(folder)),
        lambda: convert(folder, folder.parent / "rolls", progress=False),
        lambda: convert(folder, folder.parent / "rolls", progress=False),
    ):
        with pytest.warns(DatasetWarning, match=warned):
            attempt()
    assert RollStore(folder.parent / "rolls").skipped[0].file == "deep/"


def test_a_file_that_can_be_read_again_is_converted(without_privileges):
    folder, store = without_privileges, without_privileges.parent / "rolls"
    locked(folder / "b.mid")
    locked(folder.parent, 0o777)
    for _ in range(2):
        with pytest.warns(DatasetWarning, match="b.mid  Permission denied"):
            assert len(convert(folder, store, progress=False)) == 4
    locked(folder / "b.mid", 0o644)
    assert same_rolls(convert(folder, store, progress=False), SEEDS)


def test_a_folder_that_can_only_be_listed_is_reported(without_privileges):
    folder = without_privileges
    locked(folder / "deep" / "er", 0o444)
    with pytest.warns(DatasetWarning, match="deep/er/d.mid  Permission denied"):
        assert len(load_midi(folder)) == 4
    with pytest.raises(ValueError, match="deep/er/  the folder cannot be read: Permission denied"):
        load_midi(f"{folder}/deep/e*/d.mid")


def test_a_folder_that_vanishes_meanwhile_is_reported(folder, monkeypatch):
    scandir = os.scandir

    def vanishing(path):
        if not isinstance(path, int) and Path(path).name == "er":
            shutil.rmtree(path, ignore_errors=True)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    with pytest.warns(DatasetWarning, match="deep/er/  the folder cannot be read: No such file"):
        assert load_midi(folder).names == [*NAMES[:3], NAMES[4]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_not_a_file_is_reported(folder):
    os.mkfifo(folder / "fifo.mid")
    os.symlink("/dev/zero", folder / "device.mid")
    os.symlink("loop.mid", folder / "loop.mid")
    os.symlink("/nowhere", folder / "lost folder")
    for source in (folder, f"{folder}/**/*"):
        with pytest.warns(DatasetWarning), socket.socket(socket.AF_UNIX) as server:
            os.chdir(folder)  # the path of a socket must be short
            server.bind("socket.mid")
            dataset = load_midi(source)
        (folder / "socket.mid").unlink()
        reasons = {Path(name).name: reason for name, reason in dataset.skipped}
        assert reasons.keys() == {"fifo.mid", "socket.mid", "device.mid", "loop.mid", "lost folder"}
        for name in ("fifo.mid", "socket.mid", "device.mid"):
            assert reasons[name].startswith("not a regular file")
        assert reasons["loop.mid"].startswith("Too many levels of symbolic links")
        assert reasons["lost folder"] == "No such file or directory" and len(dataset) == 5
    with pytest.raises(ValueError, match="fifo.mid  not a regular file"):
        load_midi(folder / "fifo.mid")


def test_an_encrypted_member_of_a_zip_is_reported(folder, tmp_path):
    path = tmp_path / "music.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in NAMES:
            archive.write(folder / name, name)
    data = bytearray(path.read_bytes())
    for begin in (data.index(b"PK\1\2") + 8, data.index(b"PK\3\4") + 6):  # of the first member
        data[begin] |= 1
    path.write_bytes(data)
    with pytest.warns(DatasetWarning, match="a.MIDI|b.mid"):
        dataset = load_midi(path)
    assert len(dataset) == 4
    assert "the file is encrypted, password required" in dataset.skipped[0].reason


def repeated(n, wait, pitch, length, channel=0):
    """Return the events of n notes; times are in ticks."""
    return n * [
        (wait, bytes((0x90 | channel, pitch, 80))),
        (length, bytes((0x80 | channel, pitch, 0))),
    ]


def test_every_number_of_a_summary(tmp_path, rng):
    """Compared with those of the events that the files are made of."""
    expected = dict.fromkeys(
        ("tunes", "in range", "short", "again", "outside", "drums", "silent"), 0
    )
    n_cells = []
    for k in range(1, 8):
        n_notes, n_short, n_low, n_drums, n_silent = (int(n) for n in rng.integers(1, 1500, 5))
        # a quarter note, 480 ticks, lasts 0.5 s, which is a step here
        notes = repeated(n_notes, 0, 60, 480) + repeated(n_short, 1, 62, 0)
        low, drums = repeated(n_low, 1, 5, 0), repeated(n_drums, 0, 36, 1, channel=9)
        conductor = [(480 * (n_notes + 10 + n_silent), END)]
        tracks = [[*track, (0, END)] for track in (notes, low, drums)]
        (tmp_path / f"{k}.mid").write_bytes(smf(*tracks, conductor))
        last = max(480 * n_notes + n_short, n_low)
        n_steps = -(-last // 480) + 2
        expected["tunes"] += 1
        expected["in range"] += n_notes + n_short
        expected["short"] += n_short
        expected["again"] += n_notes - 1
        expected["outside"] += n_low
        expected["drums"] += n_drums
        expected["silent"] += n_notes + 10 + n_silent - n_steps
        n_cells.append((n_steps, n_notes))
    (tmp_path / "drums.mid").write_bytes(smf([*drums, (0, END)]))
    with pytest.warns(DatasetWarning):
        dataset = load_midi(tmp_path, time_step=0.5)
    assert [(len(roll), roll[:, 60 - 21].sum()) for roll in dataset] == n_cells
    lines = dataset.summary().splitlines()
    assert lines == [
        f"7 tunes, {sum(n for n, _ in n_cells):,} steps",
        "1 file skipped:",
        f"  drums.mid  all of its {n_drums} notes are drums",
        f"silence left out before or after the notes: {expected['silent']:,} steps in 7 tunes",
        f"{expected['in range']:,} notes in the pitch range, {expected['short']:,} too short for a "
        f"step, {expected['again']:,} struck while sounding and lost in the note before; notes "
        f"left out: {expected['outside']:,} outside the pitch range, {expected['drums']:,} drums",
    ]
    one = dataset[:1].summary()
    assert one == f"1 tune, {n_cells[0][0]:,} steps"


# The table of skipped files -------------------------------------------------------------


def apple_double(name):
    return b"\0\5\x16\7\0\2\0\0Mac OS X        " + name.encode()


def test_alike_files_share_a_row(folder):
    for k in range(25):
        (folder / f"._{k:02}.mid").write_bytes(apple_double(f"{k}"))
    (folder / "broken.mid").write_bytes(b"MThd")
    (folder / "text.mid").write_bytes(b"text")
    with pytest.warns(DatasetWarning) as warned:
        dataset = load_midi(folder)
    assert dataset.names == NAMES and len(dataset.skipped) == 27
    assert str(warned[0].message).splitlines()[1:5] == [
        "27 files skipped:",
        "  ._00.mid and 24 more  macOS resource file (._*), which is not music",
        f"  broken.mid            {dict(dataset.skipped)['broken.mid']}",
        f"  text.mid              {dict(dataset.skipped)['text.mid']}",
    ]


def test_a_table_has_a_limited_number_of_rows():
    reasons = [f"odd {chr(97 + k)}" for k in range(26)]
    skipped = [FileIssue(f"{k:02}.mid", reasons[k % 26]) for k in range(30)]
    lines = Dataset([], [], skipped).summary().splitlines()
    assert lines[1] == "30 files skipped:" and len(lines) == 2 + 20 + 1
    assert lines[6:8] == [f"  0{k}.mid{' ' * 16}odd {'abcdef'[k]}" for k in (4, 5)]
    assert lines[-1] == "  and 6 more files (6 reasons), see .skipped"
    with pytest.raises(ValueError, match=r"  and 6 more files \(6 reasons\)$"):
        Dataset([], [], skipped).report(30)


def test_many_files_that_are_not_midi_share_a_row(folder):
    for k in range(60):
        (folder / f"{k:02}.mid").write_bytes(bytes([97 + k % 26, 39, k + 128, 34 * (k % 2), 0, 9]))
    with pytest.warns(DatasetWarning) as warned:
        load_midi(folder)
    lines = str(warned[0].message).splitlines()
    assert lines[1] == "60 files skipped:" and "00.mid and 59 similar  not a MIDI" in lines[2]


def test_many_rows_that_differ_in_numbers_share_one():
    skipped = [FileIssue(f"{k}.mid", f"cut off at byte {k}") for k in range(1234)]
    skipped.insert(600, FileIssue("other.mid", "not a MIDI file"))
    lines = Dataset([], [], skipped).summary().splitlines()
    assert lines[1:] == [
        "1,235 files skipped:",
        "  0.mid and 1,233 similar  cut off at byte 0",
        "  other.mid                not a MIDI file",
    ]
    few = Dataset([], [], skipped[:20]).summary().splitlines()
    assert len(few) == 2 + 20


def test_names_cannot_break_the_table():
    lines = Dataset([], [], [FileIssue("a\nb\x1b[2J\udcff.mid", "odd")]).summary().splitlines()
    assert lines[2] == r"  a\nb\x1b[2J\udcff.mid  odd"


def test_damaged_members_of_a_zip_and_those_too_large_are_skipped(folder, tmp_path, monkeypatch):
    path = tmp_path / "music.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            archive.write(folder / name, name)
        archive.writestr("z.mid", b"\0" * 5000)
    data = bytearray(path.read_bytes())
    data[60:80] = bytes(20)
    path.write_bytes(data)
    monkeypatch.setattr(midi_files, "MOST_BYTES", 4000)
    with pytest.warns(DatasetWarning):
        dataset = load_midi(path)
    assert dataset.names == NAMES[1:]
    reasons = dict(dataset.skipped)
    assert "zip" in reasons["a.MIDI"] or "CRC" in reasons["a.MIDI"]
    assert reasons["z.mid"] == "it has 5000 bytes; at most 4000 are read"


def test_any_error_in_a_file_is_a_row_of_the_table(folder, monkeypatch):
    def read_bytes(data, *arguments, **keywords):
        if data[:4] == b"RIFF":
            raise OverflowError("too much of it")
        return whole(data, *arguments, **keywords)

    whole = midi_files.read_bytes
    monkeypatch.setattr(midi_files, "read_bytes", read_bytes)
    with pytest.warns(DatasetWarning, match="e.RMI  OverflowError: too much of it"):
        assert load_midi(folder).names == NAMES[:-1]


def test_short_tunes_as_the_caller_chooses(folder):
    midiwrite(folder / "short.mid", tune(9, 3), RANGE)
    with pytest.warns(DatasetWarning, match="short.mid .*too short: 3 steps, min_steps=40"):
        dataset = load_midi(folder, min_steps=40)
    assert same_rolls(dataset, SEEDS)
    repeated = load_midi(folder, min_steps=7, short_tunes="repeat")[-1]
    np.testing.assert_array_equal(repeated, tune(9, 3)[[0, 1, 2, 0, 1, 2, 0]])
    padded = load_midi(folder, min_steps=5, short_tunes="pad")[-1]
    np.testing.assert_array_equal(padded[:3], tune(9, 3))
    assert not padded[3:].any() and padded.shape == (5, 88)
    with pytest.raises(ValueError, match="short_tunes must be one of 'skip', 'repeat', 'pad'"):
        load_midi(folder, min_steps=5, short_tunes="cut")


def test_a_roll_beyond_the_limit_is_skipped(folder):
    midiwrite(folder / "long.mid", tune(1, 500), RANGE)
    with pytest.warns(DatasetWarning, match="500 frames of 88 pitches: more than most_cells=9000"):
        assert len(load_midi(folder, most_cells=9000)) == 5


# Options -------------------------------------------------------------------------------


def test_options_are_those_of_midiread(folder):
    for keywords in (
        {"steps_per_beat": 3},
        {"keep_short": True},
        {"tempo": 77, "sustain": True},
        {"drums": True},
    ):
        roll = load_midi(folder / "b.mid", **keywords)[0]
        expected = midiread(folder / "b.mid", **keywords).piano_roll
        np.testing.assert_array_equal(roll, expected)
    roll = load_midi(folder / "b.mid", (40, 60), 0.17)[0]
    np.testing.assert_array_equal(roll, midiread(folder / "b.mid", (40, 60), 0.17).piano_roll)


def test_dropped_notes_are_counted(folder):
    dataset = load_midi(folder / "b.mid", (40, 60), 1.3)
    content = midiread(folder / "b.mid", (40, 60), 1.3)
    assert dataset.n_notes == len(content.notes)
    assert dataset.dropped_notes["outside the pitch range"] == content.n_out_of_range > 0
    assert dataset.dropped_notes["too short for a step"] == content.n_too_short > 0
    assert f"{content.n_too_short} too short for a step" in dataset.summary()


def test_notes_without_a_note_off_and_drums_of_any_channel_are_counted(tmp_path):
    lost = [(0, b"\x90\x3c\x50")]  # its note-off is missing
    for k in range(20):
        lost += [(960 if k == 0 else 720, b"\x90\x3c\x50"), (240, b"\x80\x3c\0")]
    drums = [(0, b"\xb4\0\x7f"), (0, b"\xc4\0")]
    drums += [(240, b"\x94\x28\x50"), (240, b"\x84\x28\0")] * 7
    (tmp_path / "a.mid").write_bytes(smf([*lost, (0, END)], [*drums, (0, END)]))
    dataset = load_midi(tmp_path, time_step=0.25, cache=tmp_path / "cache")
    assert dataset[0].sum() == 24 and dataset.n_notes == 21
    assert (dataset.n_cut, dataset.dropped_notes["drums"]) == (1, 7)
    assert dataset.summary().splitlines()[-1] == (
        "21 notes in the pitch range, 1 struck while sounding and lost in the note before, 1 "
        "without a note-off and ended by the next strike; notes left out: 7 drums"
    )
    again = load_midi(tmp_path, time_step=0.25, cache=tmp_path / "cache")
    store = convert(tmp_path, tmp_path / "store", time_step=0.25, progress=False)
    assert again.summary() == store.summary() == dataset.summary()
    assert again.n_cut == store.n_cut == 1 and store[:0].n_cut == 0


def test_to_c_moves_every_tune_to_c_major_or_a_minor(tmp_path):
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0, 4, 7, 12])
    for tonic in range(12):
        roll = np.zeros((len(scale), 128))
        roll[np.arange(len(scale)), 48 + tonic + scale] = 1
        midiwrite(tmp_path / f"{tonic:02}.mid", roll, (0, 128))
    keys = [find_key(roll) for roll in load_midi(tmp_path, to_c=True)]
    assert {str(key) for key in keys} == {"C major"}
    # the range applies after the transposition; notes outside are counted
    dataset = load_midi(tmp_path / "05.mid", (53, 60), to_c=True)  # F to C: down five
    assert dataset[0].shape == (len(scale), 7)
    np.testing.assert_array_equal(np.flatnonzero(dataset[0].any(axis=0)) + 53, [53, 55, 57, 59])
    assert dataset.dropped_notes["outside the pitch range"] == np.sum(scale < 5) + np.sum(
        scale == 12
    )
    assert dataset.n_notes == np.sum((scale >= 5) & (scale < 12))


def test_all_keys(folder):
    dataset = load_midi(folder / "b.mid").in_keys()
    assert len(dataset) == 12
    assert [name.split()[-1] for name in dataset.names] == [f"{key:+d}" for key in range(-5, 7)]
    np.testing.assert_array_equal(dataset[7][:, 2:], tune(0)[:, :-2])
    moved = [transpose(tune(0), key) for key in range(-5, 7)]
    n_kept = sum(len(onset_notes(roll)) for roll in moved)
    assert dataset.n_notes == n_kept and dataset[:1].dropped_notes == {}
    n_dropped = 12 * len(onset_notes(tune(0))) - n_kept
    assert dataset.dropped_notes == {"outside the pitch range": n_dropped} and n_dropped > 0
    assert f"notes left out: {n_dropped} outside the pitch range" in dataset.summary()
    assert len(Dataset([], []).in_keys()) == 0
    for refused in (3, ["1"], [True]):
        with pytest.raises(TypeError, match="semitones must be a list of whole numbers"):
            load_midi(folder / "b.mid").in_keys(refused)


@pytest.mark.parametrize("name", ["to_c", "progress", "sustain"])
def test_switches_are_true_or_false(folder, name):
    with pytest.raises(TypeError, match=f"{name} must be True or False, not 'no'"):
        load_midi(folder, **{name: "no"})


# Parallel, cache -----------------------------------------------------------------------


def test_processes_change_nothing(folder):
    spoil(folder)
    results = []
    for workers in (1, 2):
        with pytest.warns(DatasetWarning):
            results.append(load_midi(folder, workers=workers))
    one, two = results
    assert one.names == two.names and one.summary() == two.summary()
    for ours, theirs in zip(one, two, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_processes_need_no_main_guard(folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from rnn4music.data.midi_files import load_midi\n"
        f"print(len(load_midi({str(folder)!r}, workers=2)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, str(script)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert (result.returncode, result.stdout) == (0, "5\n"), result.stderr


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C is sent as POSIX has it")
def test_ctrl_c_ends_the_processes_too(folder, tmp_path):
    script = (
        "from rnn4music._utils.processes import in_processes\n"
        "def work(n):\n    return bytes(2**22)\n"  # more than a pipe holds
        "for n, _ in enumerate(in_processes(work, range(100_000), 4)):\n"
        "    if n == 20:\n        print('working', flush=True)\n"
    )
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "script.py")], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert process.stdout.readline() == "working\n"
        os.killpg(process.pid, signal.SIGINT)
        try:
            _, said = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            pytest.fail("it went on after Ctrl-C")
        assert said.rstrip().endswith("KeyboardInterrupt") and said.count("Traceback") == 1


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_daemonic_processes_read_alone(folder, tmp_path, method):
    """Workers of a pool are daemonic; so are those of a DataLoader."""
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from rnn4music.data import convert, load_midi\n"
        "if __name__ == '__main__':\n"
        "    method, folder, store = sys.argv[1:]\n"
        "    with multiprocessing.get_context(method).Pool(1) as pool:\n"
        "        print(len(pool.apply(load_midi, (folder,), {'workers': 2})))\n"
        "        options = {'workers': 2, 'progress': False}\n"
        "        print(len(pool.apply(convert, (folder, store), options)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, str(script), method, str(folder), str(tmp_path / "rolls")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert (result.returncode, result.stdout) == (0, "5\n5\n"), result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_may_use_processes_too(folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "from rnn4music import load_midi\n"
        "print(len(load_midi(sys.argv[1], workers=2)), flush=True)\n"
        "child = os.fork()\n"
        "print(len(load_midi(sys.argv[1], workers=2)), flush=True)\n"
        "if child:\n    sys.exit(os.waitpid(child, 0)[1])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, str(script), str(folder)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert (result.returncode, result.stdout) == (0, "5\n" * 3), result.stderr


def test_a_frozen_program_reads_alone(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setitem(sys.modules, "loky", None)
    assert same_rolls(load_midi(folder, workers=2), SEEDS)
    (tmp_path / "set.json").write_text("{}")
    with pytest.raises(OSError, match=r"set\.json cannot be read: .* frozen program"):
        load_standard_set(tmp_path / "set.json")


def test_threads_may_use_processes_simultaneously(folder):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(load_midi(folder, workers=2)), daemon=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    assert len(found) == 2 and all(same_rolls(dataset, SEEDS) for dataset in found)


def forbid_reading(monkeypatch):
    monkeypatch.setattr(midi_files, "read_file", lambda *_: pytest.fail("a file was read again"))


def test_the_cache_gives_the_same_without_reading(folder, tmp_path, monkeypatch):
    spoil(folder)
    cache = tmp_path / "cache" / "here"
    with pytest.warns(DatasetWarning):
        first = load_midi(folder, cache=cache)
    forbid_reading(monkeypatch)
    with pytest.warns(DatasetWarning):
        second = load_midi(folder, cache=cache)
    assert (first.names, first.skipped, first.damaged) == (
        second.names, second.skipped, second.damaged
    )  # fmt: skip
    assert first.summary() == second.summary()
    for ours, theirs in zip(first, second, strict=True):
        assert theirs.dtype == bool
        np.testing.assert_array_equal(ours, theirs)


def test_the_cache_is_by_content_and_options(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    load_midi(folder, cache=cache)
    for keywords in ({"steps_per_beat": 2}, {"to_c": True}, {"pitch_range": (40, 60)}):
        plain, kept = load_midi(folder, **keywords), load_midi(folder, cache=cache, **keywords)
        np.testing.assert_array_equal(kept[0], plain[0])
    old = (folder / "b.mid").stat()
    data = bytearray((folder / "b.mid").read_bytes())
    midiwrite(folder / "b.mid", tune(7), RANGE)
    os.utime(folder / "b.mid", ns=(old.st_atime_ns, old.st_mtime_ns))
    assert same_rolls(load_midi(folder, cache=cache), [1, 7, 2, 3, 0])
    (folder / "b.mid").write_bytes(data)
    forbid_reading(monkeypatch)
    assert same_rolls(load_midi(folder, cache=cache), SEEDS)


def test_the_cache_depends_on_pitch_range_names_and_version(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    for pitch_range in ((40, 60), (30, 70)):
        kept = load_midi(folder, pitch_range, to_c=True, cache=cache)
        plain = load_midi(folder, pitch_range, to_c=True)
        for ours, theirs in zip(kept, plain, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    load_midi(folder, cache=cache)
    (folder / "b.mid").rename(folder / "bb.mid")
    assert load_midi(folder, cache=cache).names[1] == "bb.mid"
    n_files = len(list(cache.iterdir()))
    monkeypatch.setattr("rnn4music._utils.version.__version__", "999")
    load_midi(folder, cache=cache)
    assert len(list(cache.iterdir())) == n_files + 1


def test_nothing_is_kept_of_files_that_change_while_they_are_read(folder, tmp_path, monkeypatch):
    cache, path = tmp_path / "cache", folder / "b.mid"
    before, read = path.read_bytes(), midi_files.read_file

    def replaced_first(*arguments):
        midiwrite(path, tune(7), RANGE)
        return read(*arguments)

    monkeypatch.setattr(midi_files, "read_file", replaced_first)
    load_midi(folder, cache=cache)
    monkeypatch.undo()
    path.write_bytes(before)
    assert same_rolls(load_midi(folder, cache=cache), SEEDS)


def test_a_cache_file_is_written_whole(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"

    def full_disk(roll, axis):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "packbits", full_disk)
    with pytest.warns(UserWarning, match="the cache .* cannot be written"):
        assert same_rolls(load_midi(folder, cache=cache), SEEDS)
    assert not list(cache.iterdir())


def test_a_cache_file_of_another_name_or_version_is_not_used(folder, tmp_path):
    cache = tmp_path / "cache"
    load_midi(folder, cache=cache)
    (path,) = cache.iterdir()
    load_midi(folder, (40, 60), cache=cache)
    (other,) = {*cache.iterdir()} - {path}
    whole = other.read_bytes()
    other.write_bytes(path.read_bytes())
    np.savez(path.with_suffix(".npz"), about="[]", cells=np.zeros((0, 0)), n_pitches=0)
    narrow = load_midi(folder, (40, 60), cache=cache)
    assert narrow[0].shape[1] == 20 and other.read_bytes() == whole


def test_a_damaged_cache_is_rewritten(folder, tmp_path):
    cache = tmp_path / "cache"
    load_midi(folder, cache=cache)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(len(whole), size=60):
        damaged = bytearray(whole)
        damaged[position] ^= 0x55
        path.write_bytes(damaged)
        assert same_rolls(load_midi(folder, cache=cache), SEEDS)
    path.write_bytes(whole[:100])
    assert same_rolls(load_midi(folder, cache=cache), SEEDS)
    assert path.read_bytes() == whole


def test_the_cache_is_a_shard(folder, tmp_path):
    load_midi(folder, cache=tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    index = shards.verify(path)
    assert [entry.name for entry in index.entries] == NAMES and path.stem == index.digest


def test_a_cache_that_cannot_be_written_is_a_warning(folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="the cache .* cannot be written"):
        assert same_rolls(load_midi(folder, cache=tmp_path / "file"), SEEDS)


def test_runs_that_share_a_cache_do_not_disturb_each_other(folder, tmp_path):
    cache, wrong = tmp_path / "cache", []

    def load(k):
        for _ in range(10):
            if not same_rolls(load_midi(folder, cache=cache, progress=False), SEEDS):
                wrong.append(k)
            for path in cache.glob("*.rolls"):
                path.unlink(missing_ok=True)

    threads = [threading.Thread(target=load, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    load_midi(folder, cache=cache)
    assert [path.suffix for path in cache.iterdir()] == [".rolls"]


# Splitting -----------------------------------------------------------------------------


def collection(n, seed=0):
    return Dataset([tune(seed + k) for k in range(n)], [f"{k}.mid" for k in range(n)])


def test_a_split_has_every_tune_once_and_the_shares():
    dataset = collection(50)
    parts = dataset.split(validation=0.1, test=0.2, seed=3)
    assert [len(part) for part in parts] == [35, 5, 10]
    names = [name for part in parts for name in part.names]
    assert sorted(names) == sorted(dataset.names)
    for part in parts:
        for roll, name in zip(part.rolls, part.names, strict=True):
            np.testing.assert_array_equal(roll, tune(int(name.removesuffix(".mid"))))


def test_a_split_is_by_seed():
    dataset = collection(50)
    first, again, other = (dataset.split(seed=seed) for seed in (1, 1, 2))
    assert first.test.names == again.test.names
    assert first.test.names != other.test.names


def test_near_duplicates_stay_on_one_side():
    dataset = collection(30)
    for k in range(10):
        dataset.rolls.append(np.roll(dataset.rolls[k], 0, axis=1)[3:])
        dataset.names.append(f"{k}.copy")
    for seed in range(20):
        parts = dataset.split(validation=0.2, test=0.2, seed=seed)
        assert len(parts.validation) in (7, 8) and len(parts.test) in (7, 8)
        for part in parts:
            stems = [name.split(".")[0] for name in part.names]
            assert all(stems.count(str(k)) in (0, 2) for k in range(10))


def test_copies_of_one_tune_cannot_be_split():
    dataset = Dataset([tune(1)] * 9, list("abcdefghi"))
    parts = dataset.split(validation=0.3, test=0.3)
    assert [len(part) for part in parts] == [9, 0, 0]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"validation": 0.5, "test": 0.5}, "leave no tunes to train on"),
        ({"validation": -0.1}, "validation must be"),
        ({"test": 3}, "test must be"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_splits_that_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        collection(5).split(**keywords)


def test_the_numbers_of_files_are_added():
    def file(name, reason="", damage="", **counts):
        return SimpleNamespace(name=name, reason=reason, damage=damage, counts=counts)

    files = [file("a", n_notes=3, drums=2), file("b", n_notes=4, silent_steps=1, n_cut=2)]
    files += [file("c", reason="odd", n_notes=100), file("d", damage="cut off", drums=1)]
    skipped, damaged, n_notes, dropped, silence, n_cut = outcome(files)
    assert (skipped, damaged) == ([("c", "odd")], [("d", "cut off")])
    assert (n_notes, dropped, silence, n_cut) == (7, {"drums": 3}, (1, 1), 2)
    assert outcome(files[:1]) == ([], [], 3, {"drums": 2}, (0, 0), 0)


@pytest.mark.parametrize(
    ("n_tunes", "validation", "test", "sizes"),
    ((7, 0.1, 0.1, (5, 1, 1)), (7, 0.25, 0.4, (2, 2, 3)), (9, 0.05, 0.1, (8, 0, 1))),
)
def test_shares_are_rounded_to_tunes(n_tunes, validation, test, sizes):
    parts = collection(n_tunes).split(validation, test)
    assert tuple(map(len, parts)) == sizes
    assert [len(part) for part in collection(10).split()] == [8, 1, 1]


def test_a_dataset_is_a_sequence_of_rolls():
    dataset = collection(6)
    assert repr(dataset) == "<Dataset: 6 tunes, 240 steps>"
    assert repr(dataset[1:3]) == "<Dataset: 2 tunes, 80 steps>"
    assert dataset[-1] is dataset.rolls[5]
    assert dataset[::-2].names == ["5.mid", "3.mid", "1.mid"]
    histories = [
        RNN4Music(3, 3, 3, 88, seed=1).train(
            tunes, 1, 1, 3, 10, validation=tunes[:2], progress=False
        )
        for tunes in (dataset, dataset.rolls)
    ]
    assert len(histories[0].cost) == 2 and histories[0].cost == histories[1].cost
    assert histories[0].validation == histories[1].validation
