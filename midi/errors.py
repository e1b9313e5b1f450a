"""The one exception that a file which cannot be read as MIDI raises."""

from __future__ import annotations


class MidiError(ValueError):
    """A file that cannot be read as MIDI: which one, and why.

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
