"""Notes that are strokes of drums and not pitches.

Channel 10 plays drums by default, the others do not (General MIDI, RP-003). Three kinds of
messages change this:

- Bank select (controller 0). Banks 127 (drum kits of XG), 126 (sound effect kits of XG) and
  120 (drum kits of General MIDI 2, RP-024) make a channel play drums. Bank 121 (melodic
  sounds of General MIDI 2) makes it melodic. Any other bank returns it to its default, except
  that in XG mode it makes channel 10 melodic too (XG specifications).
- The GS and XG messages for parts (`midi.exclusive`). Only those four banks override them.
- A GM, GS or XG reset returns every channel to its default.

The banks count without a reset and after GM on too: GM devices ignore bank select, but other
devices have only drums in these banks. After a GS reset they do not count, because bank 127
of a Sound Canvas has melodic sounds of the MT-32. A bank counts immediately, as in
FluidSynth. By the MIDI 1.0 specification it waits for a program change, which usually
follows.
"""

from __future__ import annotations

import numpy as np

from .events import EXCLUSIVE, TRACK_END, Events
from .exclusive import DRUM_PART, MELODIC_PART, RESET_GM, RESET_GS, RESET_XG
from .sending import Order

DRUM_CHANNEL = 9  # "channel 10", counted from 1
_BANK_SELECT = 0
_DRUM_BANKS, _MELODIC_BANK = (120, 126, 127), 121
_DEFAULT = 1 << DRUM_CHANNEL


def is_drum(events: Events, order: Order, start: np.ndarray) -> np.ndarray:
    """Mark the strokes of drums among notes, which are given by their note-ons."""
    channel = events.status[start] & 0x0F
    banks = order.controls[events.first[order.controls] == _BANK_SELECT]
    if not len(order.exclusive) and (events.second[banks] < min(_DRUM_BANKS)).all():
        return channel == DRUM_CHANNEL
    ends = np.flatnonzero((events.status == TRACK_END) & order.tracks_follow)
    at = np.concatenate((banks, order.exclusive, ends))
    at = at[np.argsort(order.place[at])]
    changed, masks = _masks(events, at)
    now = np.searchsorted(order.place[at[changed]], order.place[start])
    return np.array([_DEFAULT, *masks], dtype=np.int64)[now] >> channel & 1 > 0


def _masks(events: Events, at: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the positions in `at` where the drum channels change, and these channels as bits."""
    changed, masks = [], []
    mode, mask, by_message = RESET_GM, _DEFAULT, 0
    columns = (events.status[at], events.first[at], events.second[at])
    for number, (status, first, second) in enumerate(zip(*(c.tolist() for c in columns))):
        before = mask
        if status == EXCLUSIVE and first in (DRUM_PART, MELODIC_PART):
            bit = 1 << second
            by_message |= bit
            mask = mask | bit if first == DRUM_PART else mask & ~bit
        elif status in (EXCLUSIVE, TRACK_END):
            mode = first if status == EXCLUSIVE else RESET_GM
            mask, by_message = _DEFAULT, 0
        elif mode != RESET_GS:
            bit = 1 << (status & 0x0F)
            drums = second in _DRUM_BANKS
            if drums or second == _MELODIC_BANK:
                by_message &= ~bit
            elif by_message & bit:
                continue
            else:
                drums = bit == _DEFAULT and mode != RESET_XG
            mask = mask | bit if drums else mask & ~bit
        if mask != before:
            changed.append(number)
            masks.append(mask)
    return changed, masks
