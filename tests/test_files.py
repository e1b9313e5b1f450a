"""Files that are written whole: leftovers of killed writers, and power cuts."""

import contextlib
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import small_model

from midi import files, midiwrite
from midi.files import written_whole
from rnn4music.data import shards

linux = pytest.mark.skipif(sys.platform != "linux", reason="uses SIGKILL and file locks of Linux")


def write(path, content):
    with written_whole(path) as file:
        file.write(content)


# ---- leftovers

KILLED = """if True:
    import os, signal, sys
    from midi import files
    if sys.argv[2] == "named":
        del os.O_TMPFILE
    os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    with files.written_whole(sys.argv[1]) as file:
        file.write(b"killed")
"""


@linux
@pytest.mark.parametrize("kind", ("nameless", "named"))
def test_leftovers_of_killed_writers_are_removed_by_the_next_write(tmp_path, kind):
    path = tmp_path / "m.npz"
    write(path, b"first")
    for name in ("m.npz", "m.npz", "other"):
        command = [sys.executable, "-c", KILLED, tmp_path / name, kind]
        assert subprocess.run(command).returncode == -9
    assert path.read_bytes() == b"first"
    assert len(os.listdir(tmp_path)) == 3  # the second write removed what the first one left
    write(path, b"second")
    left = set(os.listdir(tmp_path)) - {"m.npz"}
    assert len(left) == 1 and path.read_bytes() == b"second"  # that of the other file
    write(tmp_path / "other", b"other")
    assert sorted(os.listdir(tmp_path)) == ["m.npz", "other"]


@linux
@pytest.mark.parametrize("has_nameless", (True, False))
def test_temporary_files_of_living_writers_stay(tmp_path, monkeypatch, has_nameless):
    path, replace = tmp_path / "m", os.replace
    if not has_nameless:
        monkeypatch.delattr(os, "O_TMPFILE")

    def replace_after_another_write(*arguments):
        monkeypatch.setattr(os, "replace", replace)
        write(path, b"second")
        replace(*arguments)

    monkeypatch.setattr(os, "replace", replace_after_another_write)
    write(path, b"first")
    assert path.read_bytes() == b"first" and os.listdir(tmp_path) == ["m"]


@linux
def test_names_that_are_taken_are_not_written_to(tmp_path):
    """A link in the place of a temporary file is neither followed nor removed."""
    path, victim = tmp_path / "m", tmp_path / "victim"
    victim.write_bytes(b"victim")
    names = files._temporary_names(path)
    for name in names[:-1]:
        name.symlink_to(victim)
    write(path, b"new")
    assert path.read_bytes() == b"new" and victim.read_bytes() == b"victim"
    assert all(name.is_symlink() for name in names[:-1])


# ---- power cuts

CALLS = ("fsync", "link", "replace")


@contextlib.contextmanager
def after_each_call(function):
    """Call `function` with name and arguments of each call of the system that writes a file."""
    calls = {name: getattr(os, name) for name in CALLS if hasattr(os, name)}

    def observed(name):
        def call(*arguments, **options):
            calls[name](*arguments, **options)
            function(name, *arguments)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in calls:
            patch.setattr(os, name, observed(name))
        yield


def kinds_of_files(folder):
    """Return a function for each kind of file, which writes version k of it, and its name."""
    model, roll = small_model(), np.eye(20, 88, dtype=bool)

    def save(k):
        model.metadata = {"version": k}
        model.saveParameters(folder / "model")

    return {
        "model.npz": save,
        "tune.mid": lambda k: midiwrite(folder / "tune.mid", roll[:k], (21, 109), 0.3),
        "shard": lambda k: shards.write(folder / "shard", str(k), 88, [shards.Tune("t", roll)]),
    }


@pytest.mark.parametrize("name", ("model.npz", "tune.mid", "shard"))
@pytest.mark.parametrize("way", ("nameless", "named", "copied"))
def test_data_are_synced_before_the_rename_and_the_folder_after_it(
    tmp_path, monkeypatch, name, way
):
    if way == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    if way == "copied":
        monkeypatch.setattr(files, "_link", lambda *_: None)
    synced, folders, order = {}, [], []

    def observe(call, *arguments):
        order.append(call)
        if call == "fsync":
            status = os.fstat(arguments[0])
            if stat.S_ISDIR(status.st_mode):
                folders.append((status.st_ino, order.count("replace")))
            else:
                synced[status.st_ino] = status.st_size
        elif call == "replace":
            status = os.stat(arguments[1])
            assert synced.get(status.st_ino) == status.st_size > 0

    with after_each_call(observe):
        kinds_of_files(tmp_path)[name](3)
    assert order.count("replace") == 1
    if os.name != "nt":
        assert folders == [(os.stat(tmp_path).st_ino, 1)]


@pytest.fixture
def disk(tmp_path):
    """An ext4 file system in the file ``disk``, mounted at ``now``, which writes what is synced."""
    (tmp_path / "now").mkdir()
    (tmp_path / "then").mkdir()
    with open(tmp_path / "disk", "wb") as file:
        file.truncate(2**23)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", tmp_path / "disk"], check=True)
        mount(tmp_path / "disk", tmp_path / "now")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs root, mkfs.ext4 and a loop device")
    yield tmp_path / "now"
    subprocess.run(["umount", tmp_path / "now"], check=True)


def mount(image, folder):
    """Mount a file system that commits only what is synced, for the next five minutes."""
    options = "loop,commit=300,noauto_da_alloc"
    command = ["mount", "-t", "ext4", "-o", options, image, folder]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def after_a_power_cut(disk, name):
    """Return the bytes that a file has if the power is cut now, or None if there is no file."""
    image, then = disk.with_name("image"), disk.with_name("then")
    shutil.copyfile(disk.with_name("disk"), image)
    mount(image, then)
    try:
        path = then / name
        return path.read_bytes() if path.exists() else None
    finally:
        subprocess.run(["umount", then], check=True)


@linux
@pytest.mark.parametrize("name", ("model.npz", "tune.mid", "shard"))
def test_a_power_cut_leaves_the_earlier_file_or_the_new_one(disk, name):
    write_version, path = kinds_of_files(disk)[name], disk / name
    write_version(3)
    before = path.read_bytes()
    assert after_a_power_cut(disk, name) == before
    found = []
    with after_each_call(lambda *_: found.append(after_a_power_cut(disk, name))):
        write_version(5)
    after = path.read_bytes()
    assert after != before and after_a_power_cut(disk, name) == after
    assert len(found) == 4 and set(found) == {before, after}


@linux
def test_the_simulated_power_cut_loses_what_is_not_synced(disk):
    (disk / "new").write_bytes(b"content")
    os.replace(disk / "new", disk / "file")
    assert (disk / "file").read_bytes() == b"content"
    assert after_a_power_cut(disk, "file") is None


RENAME = re.compile(r"os\.(replace|rename)\(|\.rename\(|shutil\.(move|copy)")


def test_files_are_replaced_in_one_place():
    root = Path(__file__).parents[1]
    sources = [path for part in ("midi", "rnn4music") for path in (root / part).rglob("*.py")]
    found = [path for path in sources if RENAME.search(path.read_text("utf8"))]
    # files of the cache have a checksum in the place of the syncs, which would delay each start
    assert len(sources) > 60 and {path.name for path in found} == {"files.py", "code_cache.py"}
