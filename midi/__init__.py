"""Standard MIDI files to piano rolls and back.

A piano roll is an array of shape (T, P): one row per time step, one column per
pitch of a half-open pitch range, 1 where the note sounds and 0 where it does not. An
onset roll has the same shape, with 1 where a note is struck.

>>> from midi import midiread, midiwrite
>>> roll = midiread("tune.mid", (21, 109), 0.3).piano_roll      # doctest: +SKIP
>>> midiwrite("copy.mid", roll, (21, 109), 0.3)                 # doctest: +SKIP

`python -m midi FILE` prints what a file contains.
"""

from .beats import Beats
from .contents import Contents, describe
from .errors import MidiError, MidiWarning
from .notes import Note
from .onsets import canonical_onsets, n_dropped_onsets, onset_notes, split_onsets
from .reading import MidiContent, midiread
from .writing import midiwrite

__all__ = [
    "Beats",
    "Contents",
    "MidiContent",
    "MidiError",
    "MidiWarning",
    "Note",
    "canonical_onsets",
    "describe",
    "midiread",
    "midiwrite",
    "n_dropped_onsets",
    "onset_notes",
    "split_onsets",
]
