"""Notes from note-on and note-off events.

A note-off, or a note-on of velocity 0, ends the note of its track, channel and pitch
that began first among those still sounding. One that finds none sounding is ignored; a
note that finds no end is left out and counted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .events import Events

DRUM_CHANNEL = 9  # "channel 10", counted from 1


class Note(NamedTuple):
    """A note: its MIDI pitch (60 is middle C), its start and end in seconds."""

    pitch: int
    start: float
    end: float


class NoteEvents(NamedTuple):
    """The ended notes: pitch, and the indices of the events that start and end them."""

    pitch: np.ndarray
    start: np.ndarray
    end: np.ndarray
    n_never_ended: int
    n_drums: int


def pair_notes(events: Events) -> NoteEvents:
    """Find each note's start and end, drum notes left out and counted."""
    kind = events.status & 0xF0
    is_note = (kind == 0x90) | (kind == 0x80)
    begins = (kind == 0x90) & (events.second > 0)
    is_drum = is_note & (events.status & 0x0F == DRUM_CHANNEL)
    n_drums = int(np.count_nonzero(begins & is_drum))

    index = np.flatnonzero(is_note & ~is_drum)
    voice = (events.track[index] << 4 | events.status[index] & 0x0F) << 7 | events.first[index]
    # A narrow type lets NumPy sort by digits, in linear time.
    narrow = np.min_scalar_type(int(voice.max()) if len(voice) else 0)
    order = np.argsort(voice.astype(narrow), kind="stable")
    index, voice = index[order], voice[order]
    begins = begins[index]
    ends = _ends_a_note(begins, voice)

    # The notes of a voice end in the order in which they began: as many as have ends.
    group = np.cumsum(_is_first(voice)) - 1
    starts_at, ends_at = np.flatnonzero(begins), np.flatnonzero(ends)
    n_groups = int(group[-1]) + 1 if len(group) else 0
    n_starts = np.bincount(group[starts_at], minlength=n_groups)
    n_ends = np.bincount(group[ends_at], minlength=n_groups)
    rank = np.arange(len(starts_at)) - (np.cumsum(n_starts) - n_starts)[group[starts_at]]
    ended = starts_at[rank < n_ends[group[starts_at]]]
    return NoteEvents(
        pitch=events.first[index[ended]].astype(np.int64),
        start=index[ended],
        end=index[ends_at],
        n_never_ended=len(starts_at) - len(ended),
        n_drums=n_drums,
    )


def _is_first(voice: np.ndarray) -> np.ndarray:
    """Mark the first event of each voice; voices are sorted."""
    first = np.ones(len(voice), dtype=bool)
    first[1:] = voice[1:] != voice[:-1]
    return first


def _ends_a_note(begins: np.ndarray, voice: np.ndarray) -> np.ndarray:
    """Mark the note-offs that find a note of their voice sounding.

    In one voice, add 1 for a start and -1 for an end. An end that takes the sum below
    all that it was before, 0 included, finds nothing sounding. The voices run through
    one array, each far below the one before, so that they do not meet.
    """
    first = _is_first(voice)
    balance = np.cumsum(np.where(begins, 1, -1))
    balance_before = np.concatenate(([0], balance[:-1]))
    group = np.cumsum(first) - 1
    floor = -2 * len(voice) * group
    balance = balance - balance_before[first][group] + floor
    lowest_before = np.concatenate(([0], np.minimum.accumulate(balance)[:-1]))
    return ~begins & (balance >= np.minimum(lowest_before, floor))
