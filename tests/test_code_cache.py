"""Compiled code on the disk: whose it may be, damage, several processes, size, and results."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import random_roll, small_model

from rnn4music._utils import code_cache

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="nothing is kept there")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(code_cache.VARIABLE, str(tmp_path / "code"))
    return tmp_path / "code"


def test_what_was_written_is_read(folder):
    assert code_cache.read("a") is None
    code_cache.write("a", b"one")
    code_cache.write("b", b"two")
    assert (code_cache.read("a"), code_cache.read("b")) == (b"one", b"two")
    assert folder.stat().st_mode & 0o777 == 0o700
    for file in folder.iterdir():
        file.unlink()
    assert code_cache.read("a") is None


def test_files_that_can_only_be_read_are_used(folder, monkeypatch):
    code_cache.write("a", b"one")

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    assert code_cache.read("a") == b"one"


def test_a_folder_stays_the_same_in_another_working_directory(tmp_path, monkeypatch):
    monkeypatch.setenv(code_cache.VARIABLE, "code")
    monkeypatch.chdir(tmp_path)
    code_cache._folder.cache_clear()
    code_cache.write("a", b"one")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert code_cache.read("a") == b"one"
    code_cache._folder.cache_clear()


@pytest.mark.parametrize(
    "damage",
    (
        lambda content, other: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content, other: content[:-1],
        lambda content, other: content[:20],
        lambda content, other: b"",
        lambda content, other: other,
    ),
    ids=("a bit", "its end", "its beginning", "all", "another file"),
)
def test_a_damaged_file_is_not_read_but_replaced(damage, folder):
    code_cache.write("other", b"something else")
    (other,) = folder.iterdir()
    code_cache.write("a", b"machine code")
    (file,) = set(folder.iterdir()) - {other}
    file.write_bytes(damage(file.read_bytes(), other.read_bytes()))
    assert code_cache.read("a") is None
    code_cache.write("a", b"machine code")
    assert code_cache.read("a") == b"machine code"


def test_what_others_may_have_written_is_not_read(folder, monkeypatch):
    code_cache.write("a", b"one")
    (file,) = folder.iterdir()
    file.chmod(0o622)
    assert code_cache.read("a") is None
    file.chmod(0o600)
    assert code_cache.read("a") == b"one"
    for change in (
        lambda: folder.chmod(0o722),
        lambda: monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1),
    ):
        folder.chmod(0o700)
        change()
        code_cache._folder.cache_clear()
        with pytest.warns(RuntimeWarning, match="is not a folder of this user alone"):
            assert code_cache.read("a") is None
        code_cache.write("b", b"two")
        assert list(folder.iterdir()) == [file]
        assert not code_cache.exists()


def test_a_link_to_a_folder_is_not_used(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir(0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(RuntimeWarning, match="is not a folder of this user alone"):
        code_cache.write("a", b"one")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_nothing_is_kept_if_it_is_switched_off_or_there_is_no_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(code_cache.VARIABLE, "0")
    code_cache.write("a", b"one")
    assert not code_cache.exists() and code_cache.read("a") is None
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv(code_cache.VARIABLE, "")
    monkeypatch.setattr(code_cache.paths, "user_cache", lambda: None)
    code_cache._folder.cache_clear()
    code_cache.write("a", b"one")
    assert code_cache.read("a") is None


def test_by_default_it_is_in_the_cache_directory_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(code_cache.VARIABLE)
    code_cache._folder.cache_clear()
    code_cache.write("a", b"one")
    assert len(list((tmp_path / "rnn4music" / "code").iterdir())) == 1
    code_cache._folder.cache_clear()


def test_a_full_disk_leaves_no_rest(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    code_cache.write("a", b"one")
    assert not list(folder.iterdir())


def test_the_files_unused_for_longest_are_removed(folder, monkeypatch):
    monkeypatch.setattr(code_cache, "LIMIT", 350)
    monkeypatch.setattr(code_cache, "_EVERY", 1)
    folder.mkdir(0o700)
    (folder / "diary.txt").write_bytes(bytes(1000))
    os.utime(folder / "diary.txt", (0, 0))
    for n in range(3):
        code_cache.write(str(n), bytes(68))  # 100 bytes with the checksum
        for file in folder.iterdir():
            os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 60))
    assert code_cache.read("0") == bytes(68)
    code_cache.write("3", bytes(68))
    assert [code_cache.read(str(n)) is not None for n in range(4)] == [True, False, True, True]
    assert (folder / "diary.txt").exists(), "not written by the program"


AT_ONCE = """
import sys
from rnn4music._utils import code_cache
for n in range(300):
    code_cache.write(str(n % 3), bytes([n % 256]) * 100_000)
    found = code_cache.read(str(n % 3))
    assert found is not None and len(set(found)) == 1 and len(found) == 100_000
"""


def test_several_processes_read_and_write_the_same_files(folder):
    processes = [subprocess.Popen([sys.executable, "-c", AT_ONCE]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert len(list(folder.iterdir())) == 3


def test_training_gives_the_same_bits_with_what_was_kept(folder, monkeypatch):
    pytest.importorskip("jax", reason="only the engine jax keeps code")
    from rnn4music.kernels import dispatch

    roll, written, write = random_roll(np.random.default_rng(0), 2, 5, 7), [], code_cache.write
    monkeypatch.setattr(code_cache, "write", lambda *file: written.append(file) or write(*file))

    def train():
        dispatch._compiled.cache_clear()
        model = small_model(dtype="float32")
        model.train(roll, 3, 1, 2, 5, progress=False)
        return model.history.cost, *model.get_parameters().values()

    def same(first, second):
        return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))

    least = 15 if dispatch.is_available() else 1
    first, n_files = train(), len(written)
    assert n_files >= least
    assert same(train(), first)
    assert len(written) == n_files, "compiled again"
    for file in folder.iterdir():
        damaged = bytearray(file.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        file.write_bytes(damaged)
    assert same(train(), first)
    assert n_files + least <= len(written) == n_files + len(dict(written[n_files:]))
    assert len(dict(written)) == n_files, "the same keys"


def test_threads_that_compile_at_the_same_time_leave_settings_as_they_were(folder):
    pytest.importorskip("jax", reason="only the engine jax keeps code")
    from rnn4music.backend import xla

    if xla._jax_cache is None:
        pytest.skip("JAX has no place for a cache")
    own, filters, before = object(), list(warnings.filters), xla._jax_cache._cache
    xla._jax_cache._cache = own
    try:
        first, second = xla.compiling(), xla.compiling()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert xla._jax_cache._cache is xla._programs
        second.__exit__(None, None, None)
        assert xla._jax_cache._cache is own and warnings.filters == filters
    finally:
        xla._jax_cache._cache = before


def test_other_sources_need_other_code(monkeypatch):
    pytest.importorskip("llvmlite", reason="the kernels need llvmlite")
    from rnn4music.kernels import jit, tiling

    before = jit.version()
    monkeypatch.setattr(tiling, "OPERATIONS_PER_THREAD", 1)
    changed = jit.version()
    monkeypatch.undo()
    assert before == jit.version() != changed
    read = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: read(path) + b"#" * (path.name == "lstm.py")
    )
    assert jit._sources() != jit._sources.__wrapped__()
