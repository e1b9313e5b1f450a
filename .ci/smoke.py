"""Check an installed wheel or sdist: typed, and able to train, save, compose and write a page.

Run it from a folder outside the repository, so that what was installed is what is tried.
"""

import importlib.resources
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import midi
import rnn4music

for package in (midi, rnn4music):
    place = pathlib.Path(package.__file__)
    assert "site-packages" in place.parts, f"{place} is not an installed package"
    assert importlib.resources.files(package).joinpath("py.typed").is_file(), package

temporary = tempfile.TemporaryDirectory()
folder = pathlib.Path(temporary.name)
roll = np.zeros((40, 88))
roll[np.arange(40), 40 + np.arange(40) % 5] = 1
(folder / "music").mkdir()
for k in range(4):
    midi.midiwrite(folder / "music" / f"{k}.mid", np.roll(roll, k, axis=1), (21, 109), 0.3)
command = [sys.executable, "-m", "rnn4music"]
for words in (
    ["--version"],
    ["train", "music", "-o", "model.npz", "--epochs", "2", "--units", "8", "8", "8"],
    ["info", "model.npz"],
    ["compose", "model.npz", "-o", "tune.mid", "--wav", "tune.wav", "--html", "tune.html"],
):
    done = subprocess.run([*command, *words], cwd=folder, capture_output=True, text=True)
    # 3: the model is no better than its baseline, as two epochs may leave it
    assert done.returncode in (0, 3), f"{words}: {done.stdout}{done.stderr}"
assert midi.midiread(folder / "tune.mid").piano_roll.shape[1] == 88
assert all((folder / name).stat().st_size > 1000 for name in ("tune.wav", "tune.html"))
temporary.cleanup()
print(f"rnn4music {rnn4music.__version__} from {pathlib.Path(rnn4music.__file__).parent} works")
