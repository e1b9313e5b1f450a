"""Standard MIDI files to piano rolls and back.

A piano roll is an array of shape (T, P): one row per time step, one column per
pitch of a half-open pitch range, 1 where the note sounds and 0 where it does not.

>>> from midi import midiread, midiwrite
>>> roll = midiread("tune.mid", (21, 109), 0.3).piano_roll      # doctest: +SKIP
>>> midiwrite("copy.mid", roll, (21, 109), 0.3)                 # doctest: +SKIP

`python -m midi FILE` prints what a file contains.
"""

from .contents import Contents, describe
from .errors import MidiError, MidiWarning
from .notes import Note
from .reading import MidiContent, midiread
from .writing import midiwrite

__all__ = [
    "Contents",
    "MidiContent",
    "MidiError",
    "MidiWarning",
    "Note",
    "describe",
    "midiread",
    "midiwrite",
]
