"""The fault harness itself: some rounds of each of its fast kinds, and that it sees what breaks."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults import damage
from faults.rounds import Counts

ROOT = Path(__file__).parent.parent
KINDS = ["training", "saving", "cache", "writers", "model", "checkpoint", "cache_file",
         "full_disk", "unreadable", "conversion", "store"]  # fmt: skip
if importlib.util.find_spec("optuna"):
    KINDS += ["search_storage"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="children are forked")


@pytest.mark.slow
def test_some_rounds_of_each_kind():
    command = [sys.executable, "-m", "tests.faults", "--rounds", "6", *KINDS]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [*KINDS, "no"], ended.stdout
    assert all("VIOLATIONS" not in line for line in lines)


def test_a_reader_that_believes_everything_is_found_out(tmp_path, capsys):
    (tmp_path / "file").write_bytes(bytes(range(256)))
    counts = damage.check(20, np.random.default_rng(0), tmp_path / "file", Path.read_bytes, (), "x")
    assert counts[Counts.VIOLATIONS] > 10
    assert "it reads as something else" in capsys.readouterr().err


def test_a_reader_that_raises_what_is_not_meant_for_users_is_found_out(tmp_path, capsys):
    (tmp_path / "file").write_bytes(bytes(256))

    def read(path):
        return [1] if path.read_bytes() == bytes(256) else [1][2]

    counts = damage.check(20, np.random.default_rng(0), tmp_path / "file", read, (OSError,), "x")
    assert counts[Counts.VIOLATIONS] > 10 and "IndexError" in capsys.readouterr().err


@pytest.mark.slow
def test_children_are_killed_and_failures_found_out():
    script = """if True:
        from tests.faults.rounds import Child

        def work(say):
            say("begun")
            while True:
                pass

        child = Child(work)
        assert not child.wait(0.5) and child.said == ["begun"] and not child.failed
        child = Child(lambda say: [][0])
        assert child.wait(60) and child.failed
    """
    command = [sys.executable, "-c", script]  # where no engine has threads
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "IndexError" in ended.stderr and "AssertionError" not in ended.stderr
