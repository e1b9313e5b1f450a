"""Names of pitches: 60 is C4."""

from __future__ import annotations

_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")


def pitch_class_name(pitch: int, flats: bool = False) -> str:
    """Return the name of a pitch without its octave, with a sharp or a flat for a black key."""
    return (_FLATS if flats else _SHARPS)[pitch % 12]


def pitch_name(pitch: int) -> str:
    """Return the name of a MIDI pitch, with its octave."""
    return f"{pitch_class_name(pitch)}{pitch // 12 - 1}"
