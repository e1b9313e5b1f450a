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
    n_fifths = sharps + (3 if is_minor else 0)  # above C
    letter = "FCGDAEB"[(n_fifths + 1) % 7]
    n_accidentals = (n_fifths + 1) // 7
    return f"{letter}{'b' * -n_accidentals}{'#' * n_accidentals} {'minor' if is_minor else 'major'}"
