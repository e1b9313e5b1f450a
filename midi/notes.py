"""Notes from note-on and note-off events.

A note-off, or a note-on of velocity 0, ends the note of its track, channel and pitch
that began first among those still sounding. One that finds none sounding is ignored; a
note that finds no end is left out and counted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .events import TRACK_END, Events

DRUM_CHANNEL = 9  # "channel 10", counted from 1
_SUSTAIN_PEDAL = 64  # its controller number; values from 64 on are "down"


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
    n_drums: int  # left out


def pair_notes(events: Events, drums: bool = False) -> NoteEvents:
    """Find each note's start and end; drum notes are left out and counted, unless asked for."""
    kind = events.status & 0xF0
    is_note = (kind == 0x90) | (kind == 0x80)
    begins = (kind == 0x90) & (events.second > 0)
    is_drum = is_note & (events.status & 0x0F == DRUM_CHANNEL) & (not drums)
    n_drums = int(np.count_nonzero(begins & is_drum))

    index = np.flatnonzero(is_note & ~is_drum)
    voice = (events.track[index] << 4 | events.status[index] & 0x0F) << 7 | events.first[index]
    # A narrow type lets NumPy sort by digits, in linear time.
    narrow = np.min_scalar_type(int(voice.max()) if len(voice) else 0)
    order = np.argsort(voice.astype(narrow), kind="stable")
    index, voice = index[order], voice[order]
    begins = begins[index]
    starts_at, ends_at, n_never_ended = _alternating(begins, voice) or _first_in_first_out(
        begins, voice
    )
    return NoteEvents(
        pitch=events.first[index[starts_at]].astype(np.int64),
        start=index[starts_at],
        end=index[ends_at],
        n_never_ended=n_never_ended,
        n_drums=n_drums,
    )


def _alternating(
    begins: np.ndarray, voice: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Pair starts and ends where they alternate in every voice, as in most files; else None."""
    starts, ends = begins[0::2], begins[1::2]
    if len(starts) > len(ends) or not starts.all() or ends.any():
        return None
    if (voice[0::2] != voice[1::2]).any():
        return None
    at = np.arange(0, len(begins), 2)
    return at, at + 1, 0


def _first_in_first_out(
    begins: np.ndarray, voice: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Pair starts and ends, sorted by voice and then time: indices, and how many are left over.

    The notes of a voice end in the order in which they began: as many as have ends.
    """
    ends = _ends_a_note(begins, voice)
    group = np.cumsum(_is_first(voice)) - 1
    starts_at, ends_at = np.flatnonzero(begins), np.flatnonzero(ends)
    n_groups = int(group[-1]) + 1 if len(group) else 0
    n_starts = np.bincount(group[starts_at], minlength=n_groups)
    n_ends = np.bincount(group[ends_at], minlength=n_groups)
    rank = np.arange(len(starts_at)) - (np.cumsum(n_starts) - n_starts)[group[starts_at]]
    ended = starts_at[rank < n_ends[group[starts_at]]]
    return ended, ends_at, len(starts_at) - len(ended)


def sustained_ends(
    events: Events, tick: np.ndarray, notes: NoteEvents, tracks_follow: bool
) -> np.ndarray:
    """Return the ticks at which notes end when the sustain pedal holds them.

    A note that ends while its channel's pedal is down sounds until the pedal is lifted,
    or to the end of the file where it never is. The pedal acts on all tracks of its
    channel; where they follow one another (format 2), on its own track.

    Parameters
    ----------
    events : Events
    tick : (N,)
        The events' ticks from the start of the file.
    notes : NoteEvents
    tracks_follow : bool

    Returns
    -------
    (number of notes,)
    """
    end_tick = tick[notes.end]
    group = events.status & 0x0F
    last_tick = np.full(end_tick.shape, tick.max(initial=0))
    if tracks_follow:
        group = events.track << 4 | group
        last_tick = tick[events.status == TRACK_END][events.track[notes.end]]
    is_pedal = (events.status & 0xF0 == 0xB0) & (events.first == _SUSTAIN_PEDAL)
    if not is_pedal.any():
        return end_tick
    # one group after the other, each in the order in which a player sends it
    sent = np.lexsort((tick, group))
    place = np.empty(len(tick), dtype=np.int64)
    place[sent] = np.arange(len(tick))
    pedal = sent[is_pedal[sent]]
    is_down = events.second[pedal] >= 64
    # the index of the next lift, len(pedal) where there is none
    lift = np.where(is_down, len(pedal), np.arange(len(pedal)))
    lift = np.minimum.accumulate(lift[::-1])[::-1]
    before = np.searchsorted(place[pedal], place[notes.end]) - 1
    held = (before >= 0) & is_down[before] & (group[pedal[before]] == group[notes.end])
    before = before[held]
    next_lift = pedal[np.minimum(lift[before], len(pedal) - 1)]
    is_lifted = (lift[before] < len(pedal)) & (group[next_lift] == group[pedal[before]])
    end_tick[held] = np.where(is_lifted, tick[next_lift], last_tick[held])
    return end_tick


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
