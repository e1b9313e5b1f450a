"""Names of pitches, of which 60 is C4, and of keys."""

from __future__ import annotations

_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")


def pitch_class_name(pitch: int, flats: bool = False) -> str:
    """Return the name of a pitch without its octave, with a sharp or a flat for a black key."""
    return (_FLATS if flats else _SHARPS)[pitch % 12]


def pitch_name(pitch: int) -> str:
    """Return the name of a MIDI pitch, with its octave."""
    return f"{pitch_class_name(pitch)}{pitch // 12 - 1}"


def key_name(sharps: int, is_minor: bool) -> str:
    """Return the name of a key with -7 (flats) to 7 sharps, such as "Bb major"."""
    letter, raised = _spelled(sharps + (3 if is_minor else 0))
    accidentals = "b" * -raised + "#" * raised
    return f"{letter}{accidentals} {'minor' if is_minor else 'major'}"


def spelling(pitch: int, sharps: int = 0) -> tuple[str, int, int]:
    """Return a pitch's letter, semitones by which it is raised, and octave on paper.

    The key has -7 (flats) to 7 `sharps`. The notes beside its scale are those that are C#, Eb,
    F#, G# and Bb in C major and A minor, and their transpositions in other keys.
    """
    flattest = sharps - 3
    letter, raised = _spelled(flattest + (7 * pitch - flattest) % 12)
    return letter, raised, (pitch - raised) // 12 - 1


def _spelled(n_fifths: int) -> tuple[str, int]:
    """Return the letter and the sharps (or flats, negative) of the note n fifths above C."""
    return "FCGDAEB"[(n_fifths + 1) % 7], (n_fifths + 1) // 7
