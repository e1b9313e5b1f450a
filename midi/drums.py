"""The notes that are strokes of drums and not pitches.

Channel 10 plays drums (General MIDI, RP-003). Other channels become drums, and channel 10
melodic, by:

- bank select (controller 0): 127 drum kits and 126 sound effect kits of XG, 120 drum kits
  and 121 melodic sounds of General MIDI 2 (RP-024). Any other bank returns a channel to its
  default, which in XG mode is melodic for channel 10 too (XG specifications: bank 127 there
  only). After a GS reset banks choose no drums, since a Sound Canvas has melodic sounds of
  the MT-32 in bank 127. Elsewhere they do, also without a reset or after GM on: a GM device
  ignores them, but nothing except drums is in these banks.
- the GS and XG messages for parts (`midi.exclusive`). They outlast banks other than those
  four.
- a GM, GS or XG reset, which returns every channel to its default.

A bank counts from its message on; by the MIDI 1.0 specification it waits for the next
program change, which usually follows immediately.
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
    """Mark the notes, given by their note-ons, that are strokes of drums."""
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
    """Return the positions in `at` that change the channels with drums, and these as bits."""
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
