"""Public names, import, and calls in the style of old scripts."""

import subprocess
import sys

import midi
import midi.utils


def test_the_public_names():
    assert midi.utils.midiread is midi.midiread
    assert midi.utils.midiwrite is midi.midiwrite
    assert issubclass(midi.MidiError, ValueError)
    assert issubclass(midi.MidiWarning, UserWarning)
    for name in midi.__all__:
        assert getattr(midi, name).__name__ == name


def test_the_import_is_light_and_knows_nothing_of_the_network():
    heavy = {"symusic", "mido", "matplotlib", "tqdm", "rnn4music", "pytensor", "theano"}
    code = f"import sys, midi, midi.utils; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_old_script_runs_unchanged(tmp_path):
    from midi.utils import midiread, midiwrite

    name = str(tmp_path / "tune.mid")
    roll = [[0, 1], [1, 1]]
    midiwrite(name, roll, (60, 62), 0.3)
    assert midiread(name, (60, 62), 0.3).piano_roll.tolist() == roll
    midiwrite(name, roll, r=(60, 62), dt=0.3, patch=0)
    content = midiread(name, r=(60, 62), dt=0.3)
    assert content.piano_roll.tolist() == roll
    pitch, start, end = content.notes[0]
    assert (pitch, start, end) == (61, 0.0, 0.6)
