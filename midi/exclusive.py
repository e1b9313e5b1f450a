"""System exclusive messages that reset an instrument or turn a part into drums.

=====================  ==================================================================
GM on, off, GM2 on     7E dd 09 01, 02, 03 (General MIDI System Level 1, RP-003;
                       General MIDI 2, RP-024)
GS reset               41 dd 42 12 40 00 7F 00, and the "system mode set" of the SC-88,
                       00 00 7F 00 or 01 (Roland, MIDI implementation of the Sound Canvas)
XG on, parameter       43 1n 4C 00 00 7E 00, and 7F instead of 7E
reset                  (Yamaha, XG specifications)
GS rhythm part         41 dd 42 12 40 1x 15 mm: "use for rhythm part", mm = 0 off, 1 or 2
                       drum map; x = 0 is part 10, 1 to 9 are parts 1 to 9, A to F are
                       parts 11 to 16
XG part mode           43 1n 4C 08 pp 07 mm: mm = 0 normal, 1 to 5 drums; pp + 1 is the
                       part
=====================  ==================================================================

dd and n are device numbers; all are accepted. Part k is taken to receive channel k.
Checksums are not verified, as in most players.
"""

from __future__ import annotations

import re

RESET_GM, RESET_GS, RESET_XG, MELODIC_PART, DRUM_PART = range(5)
LAST_RESET = RESET_XG
LONGEST = 16  # no more bytes of a message than these determine its meaning

_RESETS = (
    (RESET_GM, re.compile(rb"\x7e.\x09[\x01-\x03]", re.DOTALL)),
    (RESET_GS, re.compile(rb"\x41.\x42\x12(\x40\x00\x7f\x00|\x00\x00\x7f[\x00\x01])", re.DOTALL)),
    (RESET_XG, re.compile(rb"\x43[\x10-\x1f]\x4c\x00\x00[\x7e\x7f]\x00")),
)
_GS_PART = re.compile(rb"\x41.\x42\x12\x40([\x10-\x1f])\x15([\x00-\x02])", re.DOTALL)
_XG_PART = re.compile(rb"\x43[\x10-\x1f]\x4c\x08([\x00-\x0f])\x07([\x00-\x05])")
_GS_CHANNELS = (9, *range(9), *range(10, 16))  # by the lower half of the address


def meaning(message: bytes) -> tuple[int, int] | None:
    """Return what a message (without F0) means and its channel, from 0; None for any other."""
    for reset, pattern in _RESETS:
        if pattern.match(message):
            return reset, 0
    if part := _GS_PART.match(message):
        return _part(part[2]), _GS_CHANNELS[part[1][0] & 0x0F]
    if part := _XG_PART.match(message):
        return _part(part[2]), part[1][0]
    return None


def _part(mode: bytes) -> int:
    return DRUM_PART if mode[0] else MELODIC_PART
