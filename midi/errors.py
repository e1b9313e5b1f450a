"""The exception for a file that cannot be read as MIDI, and the warning for a damaged one."""

from __future__ import annotations


class MidiError(ValueError):
    """A file that cannot be read as MIDI.

    Parameters
    ----------
    reason : str
        What is wrong, with the position in the file where one is known.
    path : str
        The file's name; empty while only bytes are known.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason, path)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class MidiWarning(UserWarning):
    """A damaged file: only its complete parts were read."""
