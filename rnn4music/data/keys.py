"""Finding the key of a piano roll, and transposing it.

Conventions
-----------
A roll is (T, P), or with onsets (T, 2P); column 0 is `lowest_pitch`. A tonic is a pitch class, 0
for C to 11 for B.

Source
------
The key found is the one whose profile has the smallest Euclidean distance to the tune's
distribution of sounding time over the pitch classes: J. Albrecht and D. Shanahan, "The use of large
corpora to train a new type of key-finding algorithm: An improved treatment of the minor mode",
Music Perception 31 (2013). Value k of a profile is the share of the pitch class k semitones above
the tonic.
"""

from typing import NamedTuple

import numpy as np

from midi.onsets import split_onsets
from midi.pitches import key_name, pitch_class_name
from rnn4music._utils import checks
from rnn4music.data.pianoroll import halves

PROFILES = {
    "major": (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
    "minor": (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
}
ALL_KEYS = range(-5, 7)  # semitones; together all twelve keys
_GOALS = {"major": 0, "minor": 9}  # C major and A minor, the keys without accidentals


class Key(NamedTuple):
    """A tonic, 0 for C to 11 for B, and "major" or "minor"."""

    tonic: int
    mode: str

    def __str__(self):
        """Return for example ``Eb minor``."""
        return f"{pitch_class_name(self.tonic, flats=True)} {self.mode}"


def find_key(roll, lowest_pitch=21, *, onsets=False):
    """Return the key of a roll, (T, P) or with `onsets` (T, 2P), or None if the roll is silent.

    Returns
    -------
    Key or None
    """
    sounding = np.asarray(halves(roll, onsets)[0]).astype(bool).sum(axis=0)
    if not sounding.any():
        return None
    pitch_class = (np.arange(len(sounding)) + lowest_pitch) % 12
    share = np.bincount(pitch_class, weights=sounding, minlength=12) / sounding.sum()
    distance = {
        Key(tonic, mode): np.linalg.norm(share - np.roll(profile, tonic))
        for mode, profile in PROFILES.items()
        for tonic in range(12)
    }
    return min(distance, key=distance.__getitem__)


def key_signature(key):
    """Return the number of sharps, below 0 of flats, and whether the key is minor."""
    return sharps_of(7 * (key.tonic + (3 if key.mode == "minor" else 0))), key.mode == "minor"


def sharps_of(fifths):
    """Return the signature of the major key `fifths` above C: six sharps to five flats (−5)."""
    return (fifths + 5) % 12 - 5


def name_of_signature(signature):
    """Return the name of a key signature's key, such as ``Bb major``."""
    return key_name(*signature)


def semitones_to_c(key):
    """Return the shortest transposition from a key to C major or A minor: −6 to 5 semitones."""
    return (_GOALS[key.mode] - key.tonic + 6) % 12 - 6


def transpose(roll, semitones, *, onsets=False):
    """Return the (T, P) roll shifted upwards; cells that leave the range are dropped.

    The halves of a roll with onsets, (T, 2P), are shifted alike.
    """
    if onsets:
        return np.hstack([transpose(half, semitones) for half in split_onsets(roll)])
    shifted = np.zeros_like(roll)
    P = roll.shape[1]
    low, high = max(semitones, 0), P + min(semitones, 0)
    if low < high:
        shifted[:, low:high] = roll[:, low - semitones : high - semitones]
    return shifted


def validate_semitones(semitones):
    """Return transpositions as a list of ints, or raise TypeError or ValueError."""
    try:
        return [checks.integer("each of the semitones", each, -127) for each in semitones]
    except TypeError as error:
        raise TypeError(f"semitones must be a list of whole numbers: {error}") from None
