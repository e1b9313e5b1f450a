"""Notes from the events that start and end them.

A note-off of any velocity, or a note-on of velocity 0, ends the note of its track, channel
and pitch that began first among those still sounding. A note-off is ignored if none of them
sounds.

Lost note-offs
--------------
A note has lost its note-off if, from its start on, the number of sounding notes of its
track, channel and pitch stays above the number before it: to the end, or while at least
twelve later strikes are each followed by a note-off. Any surplus note-off may follow these,
as where a sequencer sends one for each pitch when it stops. Such a note ends where its pitch
is struck next, and is counted. (The MIDI 1.0 specification leaves the effect of a second
note-on of a sounding pitch to the receiver.) Without a next strike the note never ends. It is
left out and counted. The end of its track does not end it.

Fewer short notes inside a long one do not cut it. In 350 chorales of four voices written to
one track, up to eight short notes lie inside a long note of their pitch. None do in 225
keyboard pieces. Repeated notes that each end just after the next strike have the same order
of events as a lost note-off. A strike therefore counts towards the twelve only if the time
to its note-off is more than an eighth of the time to the event after that.

Messages that end notes
-----------------------
These act on all tracks of a channel, in format 2 on their own track (MIDI 1.0 specification,
"Channel Mode Messages"; RP-015):

- All notes off (controller 123) ends the notes as note-offs would: the sustain pedal holds
  them. Omni off, omni on, mono and poly (124 to 127) do the same.
- All sound off (120) also ends the notes that the pedal holds, and leaves the pedal down.
- Reset all controllers (121) lifts the pedal and ends no other notes.
- A GM, GS or XG reset (`midi.exclusive`) ends all notes and lifts the pedal on all channels.

Local control (122), the sostenuto (66) and soft (67) pedals and program changes neither end
nor hold notes. The status FF begins a meta event in a file, and is no system reset. MIDI
ports (meta event 33) are not distinguished.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .drums import is_drum
from .events import TRACK_END, Events
from .exclusive import LAST_RESET
from .sending import Order

_SUSTAIN_PEDAL = 64  # its controller number; values from 64 on are "down"
_OUTLIVING, _SHORTEST = 12, 1 / 8  # strikes after which a note-off counts as lost; see above
_ALL_SOUND_OFF, _RESET_ALL_CONTROLLERS, _ALL_NOTES_OFF = 120, 121, 123


class Note(NamedTuple):
    """A note: its MIDI pitch (60 is middle C), its start and end in seconds."""

    pitch: int
    start: float
    end: float


class NoteEvents(NamedTuple):
    """Every note that is struck, by track, channel and pitch.

    `start` and `end` are the indices of the events that start and end a note; `end` is -1 if
    it never ends. `is_cut` marks the notes that the next strike of their pitch ends.
    """

    pitch: np.ndarray
    start: np.ndarray
    end: np.ndarray
    is_cut: np.ndarray
    is_drum: np.ndarray

    def select(self, chosen: np.ndarray) -> NoteEvents:
        """Return the notes that the mask marks."""
        return self if chosen.all() else NoteEvents(*(column[chosen] for column in self))


def pair_notes(events: Events, order: Order) -> NoteEvents:
    """Find each note's start and end."""
    kind = events.status & 0xF0
    index = np.flatnonzero((kind == 0x90) | (kind == 0x80))
    voice = (events.track[index] << 4 | events.status[index] & 0x0F) << 7 | events.first[index]
    # A narrow type lets NumPy sort by digits, in linear time.
    narrow = np.min_scalar_type(int(voice.max()) if len(voice) else 0)
    by_voice = np.argsort(voice.astype(narrow), kind="stable")
    index, voice = index[by_voice], voice[by_voice]
    begins = (kind[index] == 0x90) & (events.second[index] > 0)

    silenced_by = None
    numbers = events.first[order.controls]
    modes = order.controls[(numbers == _ALL_SOUND_OFF) | (numbers >= _ALL_NOTES_OFF)]
    resets = _resets(events, order)
    if len(modes) or len(resets):
        voice, silenced_by = _silences(order, modes, resets, index, voice)

    starts_at = np.flatnonzero(begins)
    start = index[starts_at]
    ends_at = _next_if_alternating(begins, voice)
    is_cut = np.zeros(len(starts_at), dtype=bool)
    if ends_at is None:
        ends_at, is_cut = _first_in_first_out(begins, voice, events.tick[index])
        silenced = -1 if silenced_by is None else silenced_by[starts_at]
        end = np.where(ends_at >= 0, index[ends_at], silenced)
    else:
        end = index[ends_at]
    return NoteEvents(
        pitch=events.first[start].astype(np.int64),
        start=start,
        end=end,
        is_cut=is_cut,
        is_drum=is_drum(events, order, start),
    )


def _resets(events: Events, order: Order) -> np.ndarray:
    """Return the indices of the system exclusive resets."""
    return order.exclusive[events.first[order.exclusive] <= LAST_RESET]


def _silences(
    order: Order, modes: np.ndarray, resets: np.ndarray, index: np.ndarray, voice: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Divide the voices at the messages that end all their notes.

    Returns
    -------
    voice : (number of notes' starts and ends,)
        New numbers in the same order; a voice gets another number after each message.
    silenced_by : (number of notes' starts and ends,)
        The index of the next such message; -1 if none.
    """
    place = order.place[index]
    n_modes, next_mode = order.channels(modes).after(order.channel[index], place)
    n_resets, next_reset = order.players(resets).after(order.player[index], place)
    is_new = np.zeros(len(voice), dtype=bool)
    for numbers in (voice, n_modes, n_resets):
        is_new[1:] |= numbers[1:] != numbers[:-1]
    next_place = np.minimum(next_mode, next_reset)
    return np.cumsum(is_new), np.append(order.sent, -1)[next_place]


def _next_if_alternating(begins: np.ndarray, voice: np.ndarray) -> np.ndarray | None:
    """Return the positions of the ends if starts and ends alternate, as in most files."""
    starts, ends = begins[0::2], begins[1::2]
    if len(starts) > len(ends) or not starts.all() or ends.any():
        return None
    if (voice[0::2] != voice[1::2]).any():
        return None
    return np.arange(1, len(begins), 2)


def _first_in_first_out(
    begins: np.ndarray, voice: np.ndarray, tick: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pair starts and ends, sorted by voice and then time.

    Returns
    -------
    ends_at : (number of starts,)
        The position that ends each start; -1 if none.
    is_cut : (number of starts,)
        Whether that is another start.
    """
    group = np.cumsum(np.append(True, voice[1:] != voice[:-1])) - 1
    # In one voice, add 1 for a start and -1 for an end. An end that takes the sum below all
    # earlier sums, 0 included, finds no note sounding. All voices are in one array, each far
    # below the previous one so that their sums do not overlap.
    floor = -2 * len(voice) * group
    balance = _balance(np.where(begins, 1, -1), group) + floor
    lowest_before = np.append(0, np.minimum.accumulate(balance)[:-1])
    ends = ~begins & (balance >= np.minimum(lowest_before, floor))
    is_surplus = _outlived(begins, ends, group, tick)
    ends &= ~is_surplus
    others = begins & ~is_surplus
    # A start has also lost its end if the sum never falls below its value at the start. Here
    # each voice is far above the previous one.
    balance = _balance(others.astype(np.int64) - ends, group) - floor
    lowest_after = np.append(np.minimum.accumulate(balance[::-1])[::-1][1:], balance[-1])
    is_lost = begins & (is_surplus | (lowest_after >= balance))

    starts_at = np.flatnonzero(begins)
    next_start = np.append(starts_at[1:], -1)
    is_struck_again = np.append(group[starts_at[1:]] == group[starts_at[:-1]], False)
    is_lost = is_lost[starts_at]
    is_cut = is_lost & is_struck_again
    ends_at = np.where(is_cut, next_start, -1)
    # Each voice has as many other starts as ends, and they pair in order.
    ends_at[~is_lost] = np.flatnonzero(ends)
    return ends_at, is_cut


def _outlived(
    begins: np.ndarray, ends: np.ndarray, group: np.ndarray, tick: np.ndarray
) -> np.ndarray:
    """Mark the starts above whose level twelve later starts end, and the ends that then follow."""
    # The end that takes the sum below its value at a start is the next event of its level.
    level = _balance(begins.astype(np.int64) - ends, group) + ends
    place = np.flatnonzero(begins | ends)
    begins, ends, level, tick = (each[place] for each in (begins, ends, level, tick))
    by_level = np.argsort(level, kind="stable")
    falls = np.flatnonzero(begins[by_level[:-1]] & ends[by_level[1:]])
    first, last = by_level[falls], by_level[falls + 1]

    is_ended = np.zeros(len(place), dtype=bool)
    length, rest = np.diff(tick)[:-1], tick[2:] - tick[:-2]
    is_ended[:-2] = begins[:-2] & ends[1:-1] & (length > _SHORTEST * rest)
    n_ended = np.append(0, np.cumsum(is_ended))
    is_outlived = n_ended[last] - n_ended[first + 1] >= _OUTLIVING
    marked = np.zeros(len(group), dtype=bool)
    marked[place[np.append(first[is_outlived], last[is_outlived])]] = True
    return marked


def _balance(step: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the running sums of `step`, from 0 in each group."""
    total = np.cumsum(step)
    is_first = np.append(True, group[1:] != group[:-1])
    return total - (total - step)[is_first][group]


def sustained_ends(events: Events, tick: np.ndarray, order: Order, notes: NoteEvents) -> np.ndarray:
    """Return the ticks at which notes end when the sustain pedal holds them.

    A note that ends while the pedal of its channel is down sounds until the pedal is lifted,
    until all sound off, or to the end of the file (in format 2 of the track).

    Parameters
    ----------
    events : Events
    tick : (N,)
        The events' ticks from the start of the file.
    order : Order
    notes : NoteEvents
        Notes that end.

    Returns
    -------
    (number of notes,)
    """
    end_tick = tick[notes.end]
    numbers = events.first[order.controls]
    pedal = order.controls[(numbers == _SUSTAIN_PEDAL) | (numbers == _RESET_ALL_CONTROLLERS)]
    is_down = np.zeros(len(tick), dtype=bool)
    is_down[pedal] = (events.first[pedal] == _SUSTAIN_PEDAL) & (events.second[pedal] >= 64)
    if not is_down.any():
        return end_tick
    sound_offs, resets = order.controls[numbers == _ALL_SOUND_OFF], _resets(events, order)

    every_reset = order.players(resets)
    channel, player = order.channel[notes.start], order.player[notes.start]
    place = order.place[notes.end]
    state = order.channels(pedal).before(channel, place)
    is_held = is_down[order.sent[state]] & (state > every_reset.before(player, place))
    is_held &= ~np.isin(notes.end, np.append(sound_offs, resets))
    held = np.flatnonzero(is_held)
    lifts = order.channels(np.append(pedal[~is_down[pedal]], sound_offs))
    _, lift = lifts.after(channel[held], place[held])
    _, reset = every_reset.after(player[held], place[held])
    release = np.minimum(lift, reset)
    last_tick = np.full(len(held), tick.max(initial=0))
    if order.tracks_follow:
        last_tick = tick[events.status == TRACK_END][events.track[notes.start[held]]]
    released = tick[order.sent[np.minimum(release, len(tick) - 1)]]
    end_tick[held] = np.where(release < len(tick), released, last_tick)
    return end_tick
