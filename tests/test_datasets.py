import numpy as np
import pytest

from midi import midiwrite
from rnn4music.datasets import read_folder, transpose


def test_read_folder(tmp_path):
    roll = np.eye(8, 88, 30)
    (tmp_path / "deeper").mkdir()
    for name in ("b.mid", "deeper/a.MIDI"):
        midiwrite(tmp_path / name, roll, (21, 109), 0.3)
    (tmp_path / "notes.txt").write_text("not music")
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    (tmp_path / "folder.mid").mkdir()
    midiwrite(tmp_path / "silent.mid", 0 * roll, (21, 109), 0.3)
    rolls, left_out = read_folder(tmp_path)
    assert [path.name for path in rolls] == ["b.mid", "a.MIDI"]
    for each in rolls.values():
        np.testing.assert_array_equal(each, roll)
    assert [path.name for path in left_out] == ["broken.mid", "silent.mid"]
    assert "broken.mid" in left_out[tmp_path / "broken.mid"]
    assert "no notes" in left_out[tmp_path / "silent.mid"]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("semitones", (-9, -8, -3, 0, 2, 7, 8, 20))
def test_transpose_against_its_definition(rng, semitones):
    roll = rng.random((5, 8)) < 0.5
    moved = transpose(roll, semitones)
    for t in range(5):
        for pitch in range(8):
            source = pitch - semitones
            assert moved[t, pitch] == (roll[t, source] if 0 <= source < 8 else 0)
    assert moved.dtype == roll.dtype
