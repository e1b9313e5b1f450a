"""The engine: its import where there is no home folder, as in containers, and its memory."""

import os
import subprocess
import sys

import pytest

UNKNOWN = 54321  # a user without an entry in the list of users

COMPOSE = """
import os
from rnn4music import RNN4Music
home = os.environ.get("HOME")
RNN4Music(2, 2, 2, 3, seed=1).genMusic(None, 3)
assert os.environ.get("HOME") == home and "PYTENSORRC" not in os.environ
print("composed")
"""


def run(script, home, engine="jax", **options):
    """Run a script with this HOME, None being none, and return its output."""
    changes = {"PYTHONPATH": os.pathsep.join(sys.path), "RNN4MUSIC_BACKEND": engine}
    # an unknown user must not read what other users compiled
    kept = os.environ.keys() - {"HOME", "RNN4MUSIC_CODE_CACHE"}
    environment = {name: os.environ[name] for name in kept} | changes
    environment |= {} if home is None else {"HOME": str(home)}
    command = [options.pop("python", sys.executable), "-c", script]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, **options
    )


def python_of(user):
    """Return a Python of this version that another user can run, or skip the test."""
    if os.name != "posix" or os.getuid() != 0:
        pytest.skip("only root can start a process of another user")
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info[1]}"):
        try:
            started = run("import numpy, rnn4music", "/", python=python, user=user, group=user)
        except OSError:
            continue
        if started.returncode == 0:
            return python
    pytest.skip("the unknown user can run no Python with these packages")


@pytest.mark.parametrize("home", (None, "/nowhere", "/", "FILE"))
def test_an_unknown_user_without_a_home_folder_can_compose(home, tmp_path):
    python = python_of(UNKNOWN)
    if home == "FILE":
        home = tmp_path / "file"
        home.write_text("not a folder")
    result = run(COMPOSE, home, python=python, user=UNKNOWN, group=UNKNOWN, extra_groups=[])
    assert (result.stdout, result.stderr) == ("composed\n", "")


@pytest.mark.parametrize("home", ("/nowhere", "FILE"))
def test_engines_that_keep_compiled_code_get_a_temporary_folder(home, tmp_path):
    pytest.importorskip("numba", reason="only Numba and Theano keep compiled code")
    (tmp_path / "FILE").write_text("not a folder")
    (tmp_path / "tmp").mkdir()
    script = """
import os
from rnn4music import backend
folder = str(backend.library.config.base_compiledir)
print(folder.startswith(os.environ["TMPDIR"] + "/rnn4music_"))
os.makedirs(folder)
"""
    script = f"import os; os.environ['TMPDIR'] = {str(tmp_path / 'tmp')!r}{script}"
    result = run(script, tmp_path / home if home == "FILE" else home, "numba")
    assert result.stdout == "True\n", result.stderr
    assert "there is no writable home folder" in result.stderr
    assert "set HOME to a writable folder" in result.stderr
    assert os.listdir(tmp_path / "tmp") == [], "it must be deleted at exit"


def test_without_any_writable_folder_the_error_names_the_cure():
    pytest.importorskip("numba", reason="only Numba and Theano keep compiled code")
    script = """
import tempfile
def cannot(**_):
    raise FileNotFoundError("No usable temporary directory found")
tempfile.mkdtemp = cannot
import rnn4music.backend
"""
    result = run(script, "/nowhere", "numba")
    assert result.returncode == 1
    assert "neither the home folder (/nowhere) nor a temporary folder" in result.stderr
    assert "set HOME to one that is" in result.stderr


def test_a_writable_home_folder_is_used(tmp_path):
    pytest.importorskip("numba", reason="only Numba and Theano keep compiled code")
    script = "from rnn4music import backend; print(backend.library.config.base_compiledir)"
    result = run(script, tmp_path, "numba")
    assert (result.stdout, result.stderr) == (f"{tmp_path / '.pytensor'}\n", "")


FAULTS = """
import resource
import numpy as np
from rnn4music import backend

def faults_of_a_call(n, n_products):
    x = backend.tensor("x", "float32", (n, n))
    powers = [x]
    for _ in range(n_products):
        powers.append(backend.dot(powers[-1], x))
    total = x
    for power in powers[::-1]:
        total = backend.dot(total, power)
    function = backend.function([x], [total[0]])
    zeros, counts = np.zeros((n, n), "float32"), []
    for _ in range(8):
        np.asarray(function(zeros)[0])
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return min(b - a for a, b in zip(counts[3:], counts[4:]))

print(faults_of_a_call(1000, 12))
large = backend.tensor("large", "float32", (8, 10**6))  # larger than a block
sums = backend.function([large], [backend.tanh(large + 1).cumsum(axis=1).sum(axis=0)])
sums(np.zeros((8, 10**6), "float32"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep other sizes")
def test_temporary_memory_is_kept_from_one_call_to_the_next(tmp_path):
    pytest.importorskip("jax")
    result = run(FAULTS, tmp_path)
    pages = 12 * 1000 * 1000 * 4 // 4096  # of the powers
    assert int(result.stdout) < pages / 2
    assert result.stderr == ""  # XLA warns of arrays larger than its blocks
