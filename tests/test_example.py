"""The example and the commands and snippets of the pages, run as by a user."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile

from midi import midiread, midiwrite
from rnn4music import RNN4Music

ROOT = Path(__file__).resolve().parent.parent


def run(command, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode in (0, 3), result.stderr  # 3: the tiny model learned too little
    return result


@pytest.fixture
def folder(tmp_path):
    """Return a folder of six tunes of moving chords, with different intervals and lengths."""
    for k in range(6):
        roll = np.zeros((60 + 10 * k, 88))
        for t in range(len(roll)):
            roll[t, [30 + t * (k + 1) % 13, 34 + t * (k + 1) % 13]] = 1
        (tmp_path / "music" / f"part{k % 2}").mkdir(parents=True, exist_ok=True)
        midiwrite(tmp_path / "music" / f"part{k % 2}" / f"{k}.MID", roll, (21, 109), 0.3)
    return tmp_path


def test_the_example_on_a_folder_with_a_broken_file(folder):
    (folder / "music" / "broken.mid").write_bytes(b"no music at all")
    command = [sys.executable, ROOT / "examples" / "main.py", "--data", folder / "music"]
    result = run([*command, "--epochs", "2", "--output", folder / "out"], folder)
    assert "6 tunes from" in result.stdout
    assert "1 file skipped" in result.stderr and "broken.mid" in result.stderr
    assert re.search(r"epoch 2: \d+\.\d\d nats per step on 1 tune held out", result.stdout)
    assert {path.name for path in (folder / "out").iterdir()} == {
        "weights.npz", "tune.mid", "probabilities.png", "piano_roll.png"
    }  # fmt: skip
    for picture in (folder / "out").glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5000
    model = RNN4Music.from_file(folder / "out" / "weights")
    assert (model.h1_length, model.io_length) == (100, 176)
    content = midiread(folder / "out" / "tune.mid", steps_per_beat=model.metadata["steps_per_beat"])
    assert content.piano_roll.shape == (256, 88)


def test_an_output_that_cannot_be_made_is_an_error_before_anything_is_read(tmp_path):
    (tmp_path / "file").write_text("x")
    command = [sys.executable, ROOT / "examples" / "main.py", "--data", tmp_path]
    command += ["--output", tmp_path / "file" / "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and result.stderr.endswith("out: Not a directory\n")


def test_a_folder_without_music_is_an_error(tmp_path):
    command = [sys.executable, ROOT / "examples" / "main.py", "--data", tmp_path]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and "has no files that end in .mid" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_snippet_of_the_readme(folder):
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf8"), re.S)
    (folder / "music").rename(folder / "my music")
    (folder / "script.py").write_text(snippet, encoding="utf8")
    run([sys.executable, folder / "script.py"], folder)
    assert RNN4Music.from_file(folder / "my_model").optimiser == "adam"
    assert b"<html" in (folder / "my_tune.html").read_bytes()[:1000]


ELSEWHERE = {
    "python3 -m venv": "the two commands of the set-up, which .ci/run runs",
    ".venv/bin/rnn4music demo": "runs on other music in test_cli",
    "rnn4music search": "a smaller search runs in test_tuning",
    "rnn4music train --config search/best.toml": "runs on a smaller result in test_tuning",
}
"""Commands of the pages that are not run here, and the reason."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "n_commands", "made"),
    (
        (
            "README.md",
            10,
            "model.npz tunes.html tune.mid tune.html tune-3.mid chords.png tune.mp3",
        ),
        (
            "docs/command_line.md",
            8,
            "my-model.npz night.npz night.jsonl further.npz sixteenths.html t.wav big.npz",
        ),
    ),
)
def test_the_commands_of_a_page(folder, page, n_commands, made):
    """Run each command as shown, on tunes of this test."""
    text = (ROOT / page).read_text("utf8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) >= n_commands
    for name, block in re.findall(r"`(\w+\.toml)`:\n\n```toml\n(.*?)```", text, re.S):
        (folder / name).write_text(block, "utf8")
    shutil.copytree(folder / "music", folder / "my music")
    shutil.copytree(folder / "music", folder / "other music")
    shutil.copy(folder / "music" / "part0" / "0.MID", folder / "my music" / "bach.mid")
    (folder / "examples").symlink_to(ROOT / "examples")
    for command in commands:
        if any(command.startswith(start) for start in ELSEWHERE):
            continue
        words = shlex.split(command.replace("SOURCE", "music --epochs 1"))
        if words[1] == "train" and not {"--epochs", "--config"} & {*words}:
            words += ["--minutes", "0.3"]  # a last flag overrides an earlier one
        program = {"python": [], "rnn4music": ["-m", "rnn4music"]}[Path(words[0]).name]
        run([sys.executable, *program, *words[1:]], folder)
    for name in made.split():
        check_made(folder / name)


def check_made(path):
    """Check that a file holds what its suffix promises: a trained model, notes, sound, …."""
    if path.suffix == ".npz":
        model = RNN4Music.from_file(path)
        assert model.history.epochs == len(model.history.validation) >= 1, path
    elif path.suffix == ".mid":
        assert midiread(path, (21, 109), 0.3).piano_roll.any(), path
    elif path.suffix in (".wav", ".mp3"):
        sound, rate = soundfile.read(path)
        assert len(sound) > rate and np.abs(sound).max() > 0.01, path
    elif path.suffix == ".html":
        assert "data:audio/" in path.read_text("utf8"), path
    elif path.suffix == ".jsonl":
        events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
        assert events[0] == "start" and "epoch" in events and events[-1] == "end", path
    else:
        shape = plt.imread(path).shape
        assert min(shape[:2]) > 300 and len(np.unique(plt.imread(path))) > 2, path


def test_the_example_fits_on_a_page():
    assert len((ROOT / "examples" / "main.py").read_text("utf8").splitlines()) < 120
