"""Stores of piano rolls: converting large collections, and training from the disk."""

import copy
import gc
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time
import weakref
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import markov_nats_per_step

from midi import midiwrite
from midi.reading import RULES
from rnn4music import cli
from rnn4music.data import midi_files, pianoroll, shards
from rnn4music.data import store as roll_store
from rnn4music.data.dataset import DatasetWarning
from rnn4music.data.midi_files import load_midi
from rnn4music.data.notation import Notation
from rnn4music.data.store import RollStore, StoreError, convert
from rnn4music.distributed import cluster
from rnn4music.evaluation import score_baselines, scores
from rnn4music.evaluation.baselines import markov_probabilities
from rnn4music.experiment import config, training_music
from rnn4music.experiment.music import read_music
from rnn4music.training import checkpoints, minibatches
from rnn4music.training.config import TrainConfig
from rnn4music.training.trainer import Trainer

RANGE = (21, 109)
N_TUNES = 13


def tune(seed, n_steps=None):
    rng = np.random.default_rng(seed)
    roll = rng.random((n_steps or 20 + 7 * seed, 88)) < 0.04
    roll[[0, -1], 30] = True
    return roll


def write_tunes(folder):
    folder.mkdir()
    for k in range(N_TUNES):
        midiwrite(folder / f"{k:02}.mid", tune(k), RANGE, 0.3)
    return folder


@pytest.fixture(scope="module", autouse=True)
def small_shards():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roll_store, "FILES_OF_A_SHARD", 4)
        yield


@pytest.fixture(scope="module")
def tunes(tmp_path_factory):
    """Return a folder of thirteen tunes of 20 to 104 steps."""
    return write_tunes(tmp_path_factory.mktemp("tunes") / "music")


@pytest.fixture(scope="module")
def made(tunes, tmp_path_factory):
    """Return the folder of their store of four shards; tests must not change it."""
    folder = tmp_path_factory.mktemp("store") / "rolls"
    convert(tunes, folder, progress=False)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """Return a copy of the store."""
    return shutil.copytree(made, tmp_path / "rolls")


def same(store, dataset):
    assert store.names == dataset.names and store.lengths.tolist() == [*map(len, dataset)]
    for one, other in zip(store, dataset, strict=True):
        assert one.dtype == bool
        np.testing.assert_array_equal(one, other)
    return True


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- converting


@pytest.mark.parametrize(
    "options", ({}, {"pitch_range": (40, 71), "to_c": True}, {"steps_per_beat": 3, "tempo": 90})
)
def test_a_store_holds_what_load_midi_reads(tunes, tmp_path, options):
    store = convert(tunes, tmp_path / "rolls", **options, progress=False)
    dataset = load_midi(tunes, **options)
    assert same(store, dataset) and same(RollStore(tmp_path / "rolls"), dataset)
    assert (store.n_notes, store.dropped_notes) == (dataset.n_notes, dataset.dropped_notes)
    assert store.summary() == dataset.summary()
    low, high = options.get("pitch_range", RANGE)
    assert store.n_pitches == high - low and store.options["to_c"] == options.get("to_c", False)
    assert store.options["steps_per_beat"] == options.get("steps_per_beat")
    assert store.options["time_step"] == (None if "tempo" in options else 0.3)


def test_nothing_is_skipped_silently(tunes, tmp_path):
    music = shutil.copytree(tunes, tmp_path / "music")
    (music / "03.mid").write_bytes(b"no music")
    (music / "05.mid").write_bytes((music / "05.mid").read_bytes()[:-20])
    with pytest.warns(DatasetWarning, match=r"03\.mid +not a MIDI file") as warned:
        store = convert(music, tmp_path / "rolls", progress=False)
    with pytest.warns(DatasetWarning):
        dataset = load_midi(music)
    assert same(store, dataset) and str(warned[0].message) == dataset.summary()
    assert (store.skipped, store.damaged) == (dataset.skipped, dataset.damaged)
    assert store[1:].summary() == dataset[1:].summary() and not store[1:].skipped
    assert same(RollStore(tmp_path / "rolls"), dataset)


def test_no_usable_file_is_an_error_with_the_reasons(tmp_path):
    (tmp_path / "a.mid").write_bytes(b"no music")
    with pytest.raises(ValueError, match="the file cannot be used:\n  .*a.mid  not a"):
        convert(tmp_path / "a.mid", tmp_path / "rolls", progress=False)


def test_a_store_with_skipped_files_can_be_converted_again(tunes, tmp_path):
    (tmp_path / "music").mkdir()
    shutil.copy(tunes / "03.mid", tmp_path / "music" / "a.mid")
    (tmp_path / "music" / "b.mid").write_bytes(b"")
    for _ in range(2):
        with pytest.warns(DatasetWarning, match="b.mid"):
            store = convert(tmp_path / "music", tmp_path / "store", progress=False)
        assert len(store) == 1 and len(store.skipped) == 1


def test_a_file_that_changes_meanwhile_is_skipped(tunes, tmp_path, monkeypatch):
    music = shutil.copytree(tunes, tmp_path / "music")
    read = roll_store.read_file

    def changing(reading, file):
        if file.name == "07.mid":
            shutil.copy(tunes / "06.mid", music / "07.mid")
        return read(reading, file)

    monkeypatch.setattr(roll_store, "read_file", changing)
    with pytest.warns(DatasetWarning, match="07.mid +it changed during"):
        store = convert(music, tmp_path / "rolls", progress=False)
    assert len(store) == N_TUNES - 1


def test_processes_and_a_cluster_make_the_same_files(tunes, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tunes.parent)
    convert("music", tmp_path / "two", workers=2, progress=False)
    assert files_of(tmp_path / "two") == files_of(made)
    distributed = pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as workers,
        distributed.Client(workers, set_as_default=False) as client,
    ):
        convert(tunes, "of a cluster", cluster=client, progress=False)
    assert files_of(tmp_path / "of a cluster") == files_of(made)


def test_workers_are_given_absolute_paths(tunes, tmp_path, monkeypatch):
    """Workers on other machines have other current folders."""
    told = []
    monkeypatch.setattr(
        roll_store, "in_processes", lambda make, jobs, workers: told.extend(jobs) or map(make, jobs)
    )
    monkeypatch.chdir(tunes.parent)
    convert("music", "../rolls of " + tmp_path.name, progress=False)
    assert len(told) == 4 and all(job.path.is_absolute() for job in told)
    assert all(os.path.isabs(file.path) for job in told for file in job.files)


def test_other_rules_of_reading_give_shards_and_caches_other_names(tmp_path, tunes, monkeypatch):
    sampling = midi_files.SamplingOptions.validate(RANGE, 0.3, keep_silence=True)
    names = set()
    for rules in (RULES, RULES + 1):
        for module in (roll_store, midi_files):
            monkeypatch.setattr(module, "RULES", rules)
        _, jobs = roll_store._plan(tmp_path, midi_files.find_files(tunes), sampling)
        names |= {job.path.name for job in jobs}
        midi_files.load_midi(tunes, cache=tmp_path / "cache", progress=False)
    assert len(names) == 2 * len(jobs)
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_store_of_other_rules_is_read_but_not_completed(tunes, folder, is_finished):
    def change(manifest):
        manifest.pop("rules")  # as in earlier versions
        if not is_finished:
            manifest["shards"][0].pop("crc")

    rewritten(folder, change)
    before, lengths = files_of(folder), []
    if is_finished:
        with pytest.warns(DatasetWarning, match="an earlier version .* read notes differently"):
            lengths = RollStore(folder).lengths
        assert len(lengths)
    with pytest.raises(ValueError, match="read notes differently. Convert into another folder"):
        convert(tunes, folder, progress=False)
    assert files_of(folder) == before


def test_a_training_reads_a_store_once_for_its_record_and_its_baseline(made, monkeypatch):
    store, plain = RollStore(made), [*RollStore(made)]
    training_music.record({}, store)
    expected = score_baselines(plain, plain)["each pitch's Markov chain"]
    with monkeypatch.context() as patch:
        patch.setattr(RollStore, "__getitem__", None)
        chain = markov_probabilities(store)
    assert scores.score(chain, plain) == pytest.approx(expected.nats_per_step)
    half = markov_probabilities(store[:2])
    assert scores.score(half, plain) != pytest.approx(expected.nats_per_step)


def test_a_machine_without_the_folders_says_so(tunes, tmp_path):
    sampling = midi_files.SamplingOptions.validate(RANGE, None)
    plan, jobs = roll_store._plan(tmp_path, midi_files.find_files(tunes), sampling)
    with pytest.raises(FileNotFoundError, match="does not have the store's folder"):
        roll_store._make(jobs[0])
    (tmp_path / "shards").mkdir()
    elsewhere = [file._replace(path=f"/nowhere/{file.name}") for file in jobs[0].files]
    with pytest.raises(FileNotFoundError, match="does not have the MIDI files"):
        roll_store._make(jobs[0]._replace(files=elsewhere))


class FakeDask:
    """The parts of Dask that `cluster.in_cluster` uses; the first `n_done` jobs finish."""

    KilledWorker = type("KilledWorker", (Exception,), {})

    def __init__(self, n_done):
        self.n_done, self.cancelled = n_done, []

    def submit(self, function, job, pure):
        return SimpleNamespace(job=job, result=lambda: job)

    def wait(self, pending, timeout, return_when):
        done = [future for future in pending if future.job < self.n_done]
        if not done:
            raise TimeoutError
        return done[:1], [future for future in pending if future is not done[0]]

    def cancel(self, futures):
        self.cancelled += futures


@pytest.mark.parametrize("n_done", (0, 2, 3))
def test_a_cluster_without_workers_ends_the_conversion(monkeypatch, n_done):
    """Workers may come back within a minute, which restarts whenever one is there."""
    dask, clock, there = FakeDask(n_done), iter(range(0, 10**6, 25)), [["tcp://a"], []] + [[]] * 9
    monkeypatch.setitem(sys.modules, "distributed", dask)
    monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(cluster, "addresses", lambda client: there.pop(0))
    made = cluster.in_cluster(dask, str, [0, 1, 2])
    if n_done == 3:
        assert [*made] == [0, 1, 2] and len(there) == 11
        return
    assert [next(made) for _ in range(n_done)] == [*range(n_done)]
    with pytest.raises(ConnectionError, match="no worker is left.*continues"):
        next(made)
    assert len(there) == 11 - 4 and len(dask.cancelled) == 3


def test_a_cluster_that_is_not_there_leaves_no_store(tunes, tmp_path):
    pytest.importorskip("distributed")
    with pytest.raises(ValueError, match="must be at least 1"):
        convert(tunes, tmp_path / "rolls", progress=False, workers=0)
    with pytest.raises(TypeError, match="for processes of this machine give workers"):
        convert(tunes, tmp_path / "rolls", progress=False, cluster=2)
    with pytest.raises(ConnectionError, match="there is no Dask scheduler at nonsense://"):
        convert(tunes, tmp_path / "rolls", progress=False, cluster="nonsense://")
    assert not (tmp_path / "rolls").exists()


# ---- continuing


def test_only_what_is_missing_is_made(tunes, folder):
    paths = sorted((folder / "shards").iterdir())
    before, contents = [path.stat() for path in paths], files_of(folder)
    paths[2].unlink()
    with pytest.raises(
        StoreError, match="is missing: the file does not exist. Convert the MIDI files"
    ):
        RollStore(folder)
    assert same(convert(tunes, folder, progress=False), load_midi(tunes))
    assert files_of(folder) == contents
    after = [path.stat() for path in paths]
    untouched = [old.st_ino == new.st_ino for old, new in zip(before, after)]
    assert [untouched[k] for k in (0, 1, 3)] == [True] * 3
    assert before[0].st_mtime_ns == after[0].st_mtime_ns


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("killed_in", ("shards", "roll_store"))
def test_a_conversion_that_was_killed_goes_on(tunes, made, tmp_path, killed_in):
    """Kill it in the third shard, and when it is about to write the manifest."""
    script = f"""
        import os, signal
        from rnn4music.data import shards, store as roll_store
        roll_store.FILES_OF_A_SHARD = 4
        whole, calls = {killed_in}.written_whole, []
        def written_whole(path):
            calls.append(path)
            if len(calls) == {3 if killed_in == "shards" else 2}:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(path)
        {killed_in}.written_whole = written_whole
        roll_store.convert({str(tunes)!r}, {str(tmp_path / "rolls")!r}, progress=False)
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(script)])
    assert result.returncode == -signal.SIGKILL
    with pytest.raises(StoreError, match="is not finished"):
        RollStore(tmp_path / "rolls")
    (tmp_path / "rolls" / "shards" / ".0123.tmp").write_bytes(b"left by a kill in a write")
    convert(tunes, tmp_path / "rolls", progress=False)
    (tmp_path / "rolls" / "shards" / ".0123.tmp").unlink()
    assert files_of(tmp_path / "rolls") == files_of(made)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_processes_end_with_the_one_that_was_killed():
    script = """
        from rnn4music._utils.processes import in_processes
        for _ in in_processes(lambda item: item, range(100), 2):
            print("working", flush=True)
            while True: pass
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"working\n"
        process.kill()
        process.communicate(timeout=60)  # the pipe closes when the last process ends


def test_simultaneous_conversions_into_one_folder(tunes, made, tmp_path):
    script = f"""
        import sys
        from rnn4music.data import store as roll_store
        roll_store.FILES_OF_A_SHARD = 4
        sys.stdin.read()
        for k in range(5):
            roll_store.convert({str(tunes)!r}, f"{tmp_path}/{{k}}", progress=False)
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
    for process in both:
        process.stdin.close()
    assert [process.wait() for process in both] == [0, 0]
    for k in range(5):
        assert files_of(tmp_path / f"{k}") == files_of(made)


def test_other_options_or_files_are_refused_and_nothing_is_changed(
    tunes, folder, tmp_path, monkeypatch
):
    before = files_of(folder)

    def refused(message, source=tunes, **options):
        with pytest.raises(ValueError, match=message):
            convert(source, folder, progress=False, **options)
        assert files_of(folder) == before

    refused("another conversion: time_step 0.3, not 0.2. Convert into", time_step=0.2)
    refused(r"pitch_range \[21, 109\], not \[0, 128\]", pitch_range=(0, 128))
    music = shutil.copytree(tunes, tmp_path / "music")
    (music / "extra.mid").write_bytes((music / "00.mid").read_bytes())
    refused(r"n_files 13, not 14. Convert", source=music)
    (music / "extra.mid").unlink()
    os.utime(music / "12.mid", ns=(0, 0))
    refused("some of the files have changed", source=music)
    with monkeypatch.context() as patch:
        patch.setattr("rnn4music._utils.version.__version__", "999")
        refused("version '.*', not '999'")


def test_a_folder_with_other_files_is_refused(tunes, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OSError, match="contains other files, such as thesis.txt"):
        convert(tunes, tmp_path, progress=False)
    with pytest.raises(OSError, match="thesis.txt is not a folder"):
        convert(tunes, tmp_path / "thesis.txt", progress=False)
    with pytest.raises(ValueError, match='the folder of the store is ""'):
        convert(tunes, "", progress=False)
    assert files_of(tmp_path) == {"thesis.txt": b"years of work"}
    with pytest.raises(FileNotFoundError, match="make a store with `rnn4music convert`"):
        RollStore(tmp_path)


def test_workers_and_a_cluster_exclude_each_other(tunes, tmp_path):
    with pytest.raises(ValueError, match="give workers=2 or cluster=2, not both"):
        convert(tunes, tmp_path / "rolls", workers=2, cluster=2)


# ---- damage


def use(folder):
    """Open a store, and read all of it."""
    store = RollStore(folder)
    return [*store], store.near_duplicates(), store.names, store.fingerprint


def test_no_byte_of_a_store_can_change_unnoticed(made, folder):
    before = use(made)
    shard = min((folder / "shards").iterdir())
    n_found = 0
    for path, every in ((shard, 29), (folder / "store.json", 7)):
        whole = path.read_bytes()
        places = {*range(0, len(whole), every), *range(len(whole) - 32, len(whole))}
        damaged = [whole[:k] + bytes([whole[k] ^ 1 << k % 8]) + whole[k + 1 :] for k in places]
        damaged += [whole[:k] for k in (0, 1, 31, len(whole) // 2, len(whole) - 1)]
        damaged += [whole + b"\0", bytes(len(whole))]
        for content in damaged:
            path.write_bytes(content)
            try:
                after = use(folder)
            except StoreError as error:
                assert "Convert the MIDI files into the same folder again" in str(error)
                assert path.name in str(error)
                n_found += 1
            else:  # such as changed white space in JSON text
                assert path.name == "store.json" and str(after) == str(before)
        path.write_bytes(whole)
    assert n_found > 150


@pytest.mark.parametrize("where", (0.1, 0.7, 0.95, 0.999))
def test_a_damaged_shard_is_remade(tunes, made, folder, where):
    path = sorted((folder / "shards").iterdir())[1]
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 4
    path.write_bytes(content)
    convert(tunes, folder, progress=False)
    assert files_of(folder) == files_of(made)


def test_a_damaged_manifest_is_remade_and_shards_are_kept(tunes, made, folder):
    inodes = {path: path.stat().st_ino for path in (folder / "shards").iterdir()}
    for content in (b"", b"[]", b'{"checksum": 1}', b"\xff", b'{"a": [' * 9999):
        (folder / "store.json").write_bytes(content)
        with pytest.raises(StoreError, match="store.json is damaged. Convert"):
            RollStore(folder)
        convert(tunes, folder, progress=False)
        assert files_of(folder) == files_of(made)
    assert inodes == {path: path.stat().st_ino for path in (folder / "shards").iterdir()}


def test_shards_that_changed_places_are_reported(tunes, made, folder):
    one, other = sorted((folder / "shards").iterdir())[:2]
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with pytest.raises(StoreError, match="it is not the shard that the store lists"):
        RollStore(folder)
    convert(tunes, folder, progress=False)
    assert files_of(folder) == files_of(made)


def test_a_shard_that_is_cut_short_while_it_is_used(folder):
    store = RollStore(folder)
    for path in (folder / "shards").iterdir():
        os.truncate(path, 10)
    with pytest.raises(StoreError, match="the checksum of 05.mid is wrong"):
        store[5]


def rewritten(folder, change):
    """Change the manifest of a store and its checksum."""
    manifest = roll_store.read_manifest(folder)
    change(manifest)
    roll_store.write_manifest(folder, manifest)


@pytest.mark.parametrize(
    "change",
    (
        lambda manifest: manifest.update(format="1"),
        lambda manifest: manifest.update(options=[]),
        lambda manifest: manifest["options"].pop("to_c"),
        lambda manifest: manifest["options"].update(pitch_range=[109, 21]),
        lambda manifest: manifest["options"].update(pitch_range=[0, 10**9]),
        lambda manifest: manifest["options"].update(pitch_range=[0.5, 88.5]),
        lambda manifest: manifest["options"].update(time_step="0.3"),
        lambda manifest: manifest["options"].update(time_step=float("nan")),
        lambda manifest: manifest["options"].update(to_c="no"),
        lambda manifest: manifest.update(shards={"digest": 1}),
        lambda manifest: manifest.update(shards=[[]]),
        lambda manifest: manifest["shards"][0].update(n_files="many"),
    ),
)
def test_an_invalid_manifest_is_refused(folder, change):
    """A hostile manifest has a valid checksum."""
    manifest = roll_store.read_manifest(folder)
    change(manifest)
    text = {**manifest, "checksum": roll_store._checksum(manifest)}
    (folder / "store.json").write_text(json.dumps(text))
    with pytest.raises(StoreError, match="store.json is damaged"):
        RollStore(folder)


def test_the_size_of_a_manifest_is_limited(folder, monkeypatch):
    monkeypatch.setattr("rnn4music.data.store._MOST_BYTES", 100)
    with pytest.raises(StoreError, match="store.json is damaged"):
        RollStore(folder)


def test_a_manifest_of_a_later_version_says_so(folder):
    rewritten(folder, lambda manifest: manifest.update(options={"new": 1}, format=5))
    with pytest.raises(ValueError, match="has format 5, but .* reads formats up to 4; install"):
        RollStore(folder)


ENTRY = dict(shards.Entry("a.mid", "", "", {"n_notes": 1}, 0, 0, 0, 0)._asdict(), reason="empty")


@pytest.mark.parametrize(
    ("changes", "width"),
    (
        ({"name": 1}, 88), ({"reason": None}, 88), ({"damage": []}, 88), ({"counts": []}, 88),
        ({"counts": {"n_notes": "1"}}, 88), ({"counts": {"n_notes": 1e9}}, 88),
        ({"n_steps": False}, 88), ({"crc": -1}, 88), ({"crc": 2**32}, 88), ({"crc": 0.0}, 88),
        ({"level": 65}, 88), ({"level": -1}, 88), ({"n_sketched": "0"}, 88), ({"reason": ""}, 88),
        ({"notation": 1}, 88), ({"notation": [0]}, 88), ({"notation": [float("nan")]}, 88),
        ({"notation": [""]}, 88), ({"notation": [None, [3, 5]]}, 88),
        ({"notation": [None, []]}, 88), ({"notation": [None, None, -1]}, 88),
        ({"notation": [None, None, None]}, 88), ({"notation": [None, None, 0, [8, False]]}, 88),
        ({"notation": [None, None, 0, [0, 1]]}, 88), ({"notation": [None, None, 0, None, -1]}, 88),
        ({"notation": [None, None, 0, None, False]}, 88), ({"more": None}, 88),
        ({"notation": [None, None, 0, None, None, [1.5]]}, 88),
        ({"notation": [None, None, 0, None, None, [], 7]}, 88),
        ({}, 0), ({}, 257), ({}, 88.0), ({}, True), ({}, "88"),
    ),
)  # fmt: skip
def test_an_invalid_index_is_refused(tmp_path, changes, width):
    """A hostile index has a valid checksum."""

    def index_of(entry, width):
        about = {"digest": "d", "n_pitches": width, "entries": [[*entry.values()]]}
        text = json.dumps(about).encode()
        end = shards._TRAILER.pack(len(text), 0, zlib.crc32(text), 0, shards._MAGIC)
        (tmp_path / "shard").write_bytes(text + end)
        index = shards.read_index(tmp_path / "shard")
        assert len(shards.read_notations(tmp_path / "shard", index)) == 1
        return index

    assert index_of(ENTRY, 88).width == 88 and index_of(ENTRY, 256).width == 256
    with pytest.raises(StoreError, match="shard is damaged: its index"):
        index_of({**ENTRY, **changes}, width)


def test_a_shard_built_from_its_parts_is_read(tmp_path):
    """An independent definition of the format of users' files."""
    roll = np.zeros((2, 9), bool)
    roll[0, [0, 8]] = roll[1, 1] = True
    cells, hashes = b"\x80\x80\x40\x00", struct.pack("<Q", 7)
    entry = ["a.mid", "", "cut off", {"n_notes": 3, "drums": 1}, 2, zlib.crc32(cells), 0, 1]
    skipped = ["b.mid", "not a MIDI file", "", {}, 0, 0, 0, 0]
    digest = "0123456789abcdef"
    about = {"digest": digest, "n_pitches": 9, "entries": [skipped, entry]}
    index = json.dumps(about).encode()
    crc = zlib.crc32(index)
    end = struct.pack("<QQII", len(index), 8, crc, zlib.crc32(hashes)) + b"rolls 1\n"
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / f"00000-{digest}.rolls").write_bytes(cells + index + hashes + end)
    options = {
        "pitch_range": [60, 69], "time_step": 0.3, "steps_per_beat": None, "tempo": None,
        "sustain": False, "drums": False, "keep_short": False, "to_c": False, "strict": False,
        "most_cells": 10**7,
    }  # fmt: skip
    shard = {"digest": digest, "n_files": 2, "crc": crc, "n_tunes": 1, "n_steps": 2}
    manifest = {"format": 1, "version": "0.1.0", "options": options, "shards": [shard]}
    checksum = zlib.crc32(json.dumps(manifest, sort_keys=True).encode())
    (tmp_path / "store.json").write_text(json.dumps({**manifest, "checksum": checksum}))
    with pytest.warns(DatasetWarning, match="an earlier version"):
        store = RollStore(tmp_path)
    assert store.names == ["a.mid"] and store.skipped == [("b.mid", "not a MIDI file")]
    assert store.damaged == [("a.mid", "cut off")]
    assert store.options == {
        **options,
        "keep_silence": True,
        "onsets": False,
    } and store.silence == (0, 0)
    assert (store.n_notes, store.dropped_notes) == (3, {"drums": 1})
    assert store.notations == [Notation()] and store.beats is None
    np.testing.assert_array_equal(store[0], roll)
    path = store._path(0)
    assert shards.read_sketches(path, shards.verify(path))[0].ngrams.tolist() == [7]


def test_a_manifest_cannot_name_files_elsewhere(folder):
    rewritten(folder, lambda manifest: manifest["shards"][0].update(digest="/../../../etc/pas"))
    with pytest.raises(StoreError, match="store.json is damaged"):
        RollStore(folder)


def test_a_later_format_is_left_alone(tunes, folder):
    rewritten(folder, lambda manifest: manifest.update(format=5))
    before = files_of(folder)
    for attempt in (lambda: RollStore(folder), lambda: convert(tunes, folder, progress=False)):
        with pytest.raises(ValueError, match="has format 5, .* up to 4; install a newer"):
            attempt()
    assert files_of(folder) == before


# ---- a sequence of rolls


def test_a_store_is_a_sequence_of_rolls(made, tunes):
    store, dataset = RollStore(made), load_midi(tunes)
    assert repr(store) == f"<RollStore: 13 tunes, {dataset.lengths.sum()} steps>"
    assert same(store[3:9:2], dataset[3:9:2]) and same(store.select([7, 1]), dataset.select([7, 1]))
    np.testing.assert_array_equal(store[-1], dataset[-1])
    np.testing.assert_array_equal(store[np.int64(2)], dataset[2])
    with pytest.raises(IndexError):
        store[13]
    assert same(store.in_keys(), dataset.in_keys())
    assert same(store[2:4].in_keys([3, -90]), dataset[2:4].in_keys([3, -90]))
    assert same(store.in_keys()[5:30].select([4, 0]), dataset.in_keys()[5:30].select([4, 0]))
    for semitones, error in (([0.5], TypeError), ([-128], ValueError)):
        with pytest.raises(error):
            store.in_keys(semitones)
    with pytest.raises(ValueError, match="already in several keys"):
        store.in_keys().in_keys()
    assert same(copy.deepcopy(store.in_keys([2])[1:4]), dataset.in_keys([2])[1:4])


def test_a_store_can_be_moved_and_keeps_its_fingerprint(tunes, made, folder, tmp_path):
    store, moved = RollStore(made), RollStore(folder)
    assert checkpoints.fingerprint(store) == moved.fingerprint
    others = [
        moved[1:],
        moved.select([1, 0, *range(2, 13)]),
        moved.in_keys([0]),
        moved.in_keys([1]),
    ]
    music = shutil.copytree(tunes, tmp_path / "music")
    midiwrite(music / "00.mid", np.roll(tune(0), 2, axis=1), RANGE, 0.3)
    others.append(convert(music, tmp_path / "as long", progress=False))
    assert others[-1].lengths.tolist() == store.lengths.tolist()
    fingerprints = {each.fingerprint for each in [store, *others]}
    assert len(fingerprints) == 6
    assert checkpoints.extent(moved) == checkpoints.extent([*moved])


def test_a_split_is_that_of_the_same_tunes_in_memory(tunes, tmp_path):
    """The tunes are short enough for the sketches to contain all n-grams."""
    music = shutil.copytree(tunes, tmp_path / "music")
    for k in range(5):
        midiwrite(music / f"copy {k}.mid", np.roll(tune(k), 2, axis=1), RANGE, 0.3)
    store, dataset = convert(music, tmp_path / "rolls", progress=False), load_midi(music)
    assert store.near_duplicates() == dataset.near_duplicates()
    for mine, theirs in zip(store.split(0.2, 0.3, seed=3), dataset.split(0.2, 0.3, seed=3)):
        assert len(mine) > 1 and same(mine, theirs)
    groups = store.in_keys([0, 1])[:9].near_duplicates()  # numbered by the tunes of the whole store
    assert [groups.index(each) for each in groups] == dataset.in_keys([0, 1])[:9].near_duplicates()
    with pytest.raises(ValueError, match="leave no tunes to train on"):
        store.split(0.5, 0.5)


# ---- training on it


class Counted(RollStore):
    """A store that counts the rolls that are read, and those in memory."""

    def __init__(self, folder):
        super().__init__(folder)
        self.read, self.alive, self.most_alive = [], weakref.WeakSet(), 0

    def __getitem__(self, index):
        class Roll(np.ndarray):
            __hash__ = object.__hash__

        if isinstance(index, slice):
            return super().__getitem__(index)
        roll = super().__getitem__(index).view(Roll)
        self.read.append(int(index))
        self.alive.add(roll)
        self.most_alive = max(self.most_alive, len(self.alive))
        return roll


@pytest.mark.parametrize("in_keys", (False, True))
@pytest.mark.parametrize("windows", minibatches.WINDOWS)
def test_the_minibatches_are_those_of_the_same_tunes_in_memory(made, tunes, windows, in_keys):
    store, rolls = RollStore(made), load_midi(tunes)
    if in_keys:
        store, rolls = store.in_keys([-2, 0, 9]), rolls.in_keys([-2, 0, 9])
    asked = 4, 30, "float32"
    both = (
        minibatches.epoch(each, *asked, np.random.default_rng(5), windows)
        for each in (store, rolls.rolls)
    )
    n_made = 0
    for mine, theirs in zip(*both, strict=True):
        n_made += 1
        for one, other in zip(mine, theirs):
            np.testing.assert_array_equal(one, other)
    assert n_made > 3
    n_expected = minibatches.n_minibatches(rolls.rolls, 4, 30, windows)
    assert minibatches.n_minibatches(store, 4, 30, windows) == n_expected


@pytest.mark.parametrize("windows", minibatches.WINDOWS)
def test_each_tune_is_read_once_when_it_is_needed(made, windows):
    store = Counted(made)
    epoch = minibatches.epoch(store, 3, 110, "float32", np.random.default_rng(5), windows)
    for k, _ in enumerate(epoch, start=1):
        assert len(store.read) == min(3 * k, N_TUNES)
    assert sorted(store.read) == list(range(N_TUNES))
    assert store.most_alive <= 3 + 3  # the next minibatch beside the previous one


def test_nothing_is_read_to_check_a_store_or_to_count(made):
    store = Counted(made)
    assert pianoroll.validate_dataset("dataset", store, 88, scorable=True) is store
    checkpoints.extent(store), checkpoints.fingerprint(store)
    minibatches.n_minibatches(store, 3, 20, "all")
    store.split()
    assert store.read == []
    with pytest.raises(
        ValueError, match="have 88 columns, but the model's io_length is 7; convert"
    ):
        pianoroll.validate_dataset("dataset", store, 7)
    with pytest.raises(ValueError, match="dataset is empty"):
        pianoroll.validate_dataset("dataset", store[:0], 88)


def test_scores_and_baselines_are_those_of_the_same_tunes_in_memory(made, tunes, monkeypatch):
    monkeypatch.setattr(scores, "LARGEST_BATCH", 3)
    store, rolls = Counted(made), load_midi(tunes).rolls
    mine, theirs = score_baselines(store, store), score_baselines(rolls, rolls)
    chain = mine["each pitch's Markov chain"]
    assert str(mine) == str(theirs) and chain.n_steps == sum(map(len, rolls)) - 13
    assert chain.nats_per_step == pytest.approx(markov_nats_per_step(rolls, rolls), rel=1e-9)
    assert store.most_alive <= 3 + 3


def test_a_long_tune_does_not_multiply_the_memory(made, monkeypatch):
    """It runs alone, the others in batches that fit; scores are identical to the last bit."""
    rolls = [*RollStore(made), tune(1, 3000)]
    compiled, at_once = set(), []

    class Network:
        store = SimpleNamespace(
            n_pitches=88,
            has_chords=False,
            reads_following=False,
            initial_states=lambda: [np.zeros(88)],
        )

        def forward(self, shape):
            compiled.add(shape[1])
            return lambda rows, state: [rows.cumsum(0) / 64 + state, rows.sum(0) / 64 + state]

    def network(inputs, following):
        at_once.append(inputs.size)
        return scores.run(Network(), inputs, following)

    whole = scores.evaluate(network, rolls, 0.5, "float64")
    assert at_once == [14 * 2999 * 88]
    at_once.clear()
    monkeypatch.setattr(scores, "MOST_CELLS", 5 * 104 * 88)
    parts = scores.evaluate(network, rolls, 0.5, "float64")
    assert len(at_once) == 4 and at_once[-1] == 2999 * 88
    assert max(at_once[:-1]) <= scores.MOST_CELLS and compiled == {1, 8, 16}
    assert str(parts.per_tune) == str(whole.per_tune)
    alone = scores.evaluate(network, rolls[-1:], 0.5, "float64")
    assert parts.per_tune[-1] == alone.per_tune[0]


# ---- reading ahead


def test_reading_ahead_keeps_the_order_and_goes_no_further():
    begun = []

    def items():
        for k in range(50):
            begun.append(k)
            yield k

    ahead = minibatches.prefetched(items(), 3)
    for k in range(5):
        assert next(ahead) == k
        until = time.monotonic() + 5
        while len(begun) < k + 4 and time.monotonic() < until:
            time.sleep(0.001)
        assert len(begun) == k + 4
    assert [*ahead] == list(range(5, 50))


def test_an_error_while_reading_ahead_is_raised_in_order():
    def items():
        yield 1
        yield 2
        raise OSError("the disk is gone")

    ahead, got = minibatches.prefetched(items(), 5), []
    with pytest.raises(OSError, match="the disk is gone"):
        for item in ahead:
            got.append(item)
    assert got == [1, 2]


def test_training_reads_ahead_from_a_store_alone(made):
    class Watched(RollStore):
        def __getitem__(self, index):
            threads.add(threading.current_thread())
            return super().__getitem__(index)

    config = TrainConfig(epochs=1, batch_size=4, window=9, windows="all")
    for tunes, is_ahead in ((Watched(made), True), ([*RollStore(made)], False)):
        threads = set()
        training = SimpleNamespace(
            tunes=tunes, config=config, store=SimpleNamespace(dtype="float32")
        )
        epoch = Trainer.minibatches(training, 7)
        assert len([*epoch]) > 10 and epoch.__name__ == ("prefetched" if is_ahead else "epoch")
        assert threading.current_thread() not in threads and len(threads) == is_ahead


def prefetching():
    return [each for each in threading.enumerate() if each.name.startswith("prefetch")]


def test_the_thread_ends_with_its_consumer():
    def endless():
        while True:
            yield np.zeros(10)

    def consumer(error):
        for k, _ in enumerate(minibatches.prefetched(endless(), 2)):
            if k == 3 and error:
                raise error
            if k == 3:
                return

    for error in (None, ValueError("stop"), KeyboardInterrupt()):
        try:
            consumer(error)
        except BaseException as raised:
            raised.__traceback__ = None
        gc.collect()
        assert not prefetching()
    assert [*minibatches.prefetched(iter([]), 2)] == [] and not prefetching()


# ---- the command line


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.mark.filterwarnings("default:many notes are not in")
def test_converting_and_training_from_the_command_line(tunes, tmp_path, capsys):
    store, model = tmp_path / "rolls", tmp_path / "model.npz"
    flags = ["--dt", 0.5, "--pitch-range", 30, 100, "--keep-short", "--keys", "c", "--quiet"]
    assert run("convert", tunes, store, *flags, "--json") == 0
    options = {"time_step": 0.5, "pitch_range": (30, 100), "keep_short": True, "to_c": True}
    dataset = load_midi(tunes, **options)
    assert same(RollStore(store), dataset)
    told = json.loads(capsys.readouterr().out)
    assert told["tunes"] == N_TUNES and told["steps"] == dataset.lengths.sum()
    assert told["skipped"] == [] and told["n_notes"] == dataset.n_notes

    small = ["--units", 3, 4, 5, "--quiet", "--epochs", 2, "--window", 20, "--windows", "random"]
    assert run("train", store, "-o", model, *small, "--validation", 0.2) in (0, 3)
    assert not prefetching()
    assert run("evaluate", model, store) == 0
    assert f"on 13 tunes, {dataset.lengths.sum()} steps" in capsys.readouterr().out
    other = tmp_path / "other"
    assert run("convert", tunes, other, "--quiet", "--dt", 0.3) == 0
    assert run("evaluate", model, other) == 1
    assert "--pitch-range 21 109, not 30 100; --dt 0.3, not " in capsys.readouterr().err
    assert run("train", other, "-o", model, "--start-from", model) == 1
    assert "--pitch-range 21 109, not 30 100" in capsys.readouterr().err


@pytest.mark.filterwarnings("default:many notes are not in")
def test_many_dropped_notes_are_reported_when_converting(tunes, tmp_path, capsys):
    assert run("convert", tunes, tmp_path / "rolls", "--dt", 0.3, "--quiet") == 0
    assert "too short" not in capsys.readouterr().err
    midiwrite(tmp_path / "fast.mid", np.tile(np.eye(88, dtype=bool), (4, 1)), RANGE, 0.05)
    assert run("convert", tmp_path / "fast.mid", tmp_path / "fast", "--dt", 0.3, "--quiet") == 0
    told = capsys.readouterr().err
    assert "352 notes in the pitch range, 293 too short for a step" in told
    assert "--keep-short keeps all" in told


def music_of(source, *flags, io_length=88, metadata=None):
    args = cli.build_parser().parse_args(["train", str(source), *map(str, flags)])
    model = SimpleNamespace(metadata=metadata or {}, io_length=io_length)
    return read_music(source, config.merged(vars(args)), model)


def test_a_store_gives_a_model_the_same_metadata_as_its_files(tunes, made, tmp_path):
    beats = tmp_path / "rolls"
    convert(tunes, beats, steps_per_beat=4, tempo=100, sustain=True, progress=False)
    flags = ["--steps-per-beat", 4, "--tempo", 100, "--sustain"]
    for store, same_options in ((made, ["--dt", 0.3]), (beats, flags)):
        mine, theirs = music_of(store), music_of(tunes, *same_options)
        about = {name: value or None for name, value in theirs.metadata.items()}
        assert {name: value or None for name, value in mine.metadata.items()} == {
            **about, "data": "rolls",
        }  # fmt: skip
        for part in ("train", "validation"):
            assert same(mine.parts[part], theirs.parts[part])
    keys = music_of(made, "--keys", "all").parts["train"]
    assert isinstance(keys, RollStore) and len(keys) == 12 * 12

    in_c = tmp_path / "in C"
    convert(tunes, in_c, to_c=True, progress=False)
    for flags, to_c in (([], True), (["--keys", "c"], True), (["--keys", "all"], False)):
        metadata = music_of(in_c, *flags).metadata
        assert metadata["to_c"] == to_c and metadata["keys"] == ("c" if to_c else "all")
    with pytest.raises(ValueError, match="to_c True, not False"):
        music_of(in_c, "--keys", "own")


@pytest.mark.parametrize(
    ("flags", "keywords", "message"),
    (
        (
            ["--dt", 0.2, "--keep-short"],
            {},
            "keep_short False, not True; time_step",
        ),
        (["--keys", "c"], {}, "to_c False, not True. Leave out the flags that differ, or"),
        ([], {"io_length": 80}, r"pitch_range \[21, 109\], not \[21, 101\]"),
        ([], {"metadata": {"lowest_pitch": 24}}, r"pitch_range .*, not \[24, 112\]"),
    ),
)
def test_a_store_is_not_read_with_other_options(made, flags, keywords, message):
    with pytest.raises(ValueError, match=message):
        music_of(made, *flags, **keywords)


def test_one_error_of_a_conversion_is_one_sentence(tunes, made, tmp_path, capsys):
    assert run("convert", tunes, made, "--dt", 0.1, "--quiet") == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "--dt 0.3, not 0.1" in err
    with pytest.raises(SystemExit) as exit:
        run("convert", tunes, made, "--keys", "all")
    assert exit.value.code == 2
