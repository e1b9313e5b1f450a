"""Finding keys, and transposing."""

import numpy as np
import pytest

from rnn4music.data.keys import Key, find_key, semitones_to_c, transpose

MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
HARMONIC_MINOR_SCALE = (0, 2, 3, 5, 7, 8, 11)


def tune_in(tonic, scale, lowest_pitch=21):
    """Return an ascending scale on `tonic`, and a cadence: I, IV, V, I."""
    roll = np.zeros((24, 88), dtype=bool)
    root = 60 + tonic - lowest_pitch
    for t, degree in enumerate(scale):
        roll[t, root + degree] = True
    for t, degree in enumerate((0, 3, 4, 0)):
        for third in (0, 2, 4):
            octave, step = divmod(degree + third, 7)
            roll[8 + 4 * t : 12 + 4 * t, root + 12 * octave + scale[step]] = True
    return roll


@pytest.mark.parametrize("tonic", range(12))
def test_a_cadence_is_in_its_key(tonic):
    assert find_key(tune_in(tonic, MAJOR_SCALE)) == (tonic, "major")
    assert find_key(tune_in(tonic, HARMONIC_MINOR_SCALE)) == (tonic, "minor")
    roll = tune_in(tonic, MAJOR_SCALE, lowest_pitch=30)
    assert find_key(roll, lowest_pitch=30) == (tonic, "major")
    name = "C Db D Eb E F Gb G Ab A Bb B".split()[tonic]
    assert str(Key(tonic, "minor")) == f"{name} minor"


def test_long_notes_decide():
    """Both tunes have all white notes; one rests on C major's triad, the other on A minor's."""
    for triad, key in (((0, 4, 7), (0, "major")), ((9, 0, 4), (9, "minor"))):
        roll = np.zeros((12, 12), bool)
        roll[0, list(MAJOR_SCALE)] = roll[:, list(triad)] = True
        assert find_key(roll, lowest_pitch=60) == key


def test_silence_has_no_key():
    assert find_key(np.zeros((5, 88))) is None


@pytest.mark.parametrize("tonic", range(12))
def test_the_transposition_to_c_is_the_shortest(tonic):
    for mode, goal in (("major", 0), ("minor", 9)):
        semitones = semitones_to_c(Key(tonic, mode))
        assert -6 <= semitones <= 5
        assert (tonic + semitones) % 12 == goal


@pytest.mark.parametrize("semitones", (-9, -8, -3, 0, 2, 7, 8, 20))
def test_transpose_against_its_definition(rng, semitones):
    roll = rng.random((5, 8)) < 0.5
    moved = transpose(roll, semitones)
    for t in range(5):
        for pitch in range(8):
            source = pitch - semitones
            assert moved[t, pitch] == (roll[t, source] if 0 <= source < 8 else 0)
    assert moved.dtype == roll.dtype
