"""The bytes of a Standard MIDI File, as arrays of events.

A file is a header chunk and track chunks; a track is a list of events, each a delta
time, a status byte that may be left out when it repeats ("running status"), and data.
Nearly all of a file is channel events with two data bytes (notes, pedals, pitch bend),
and those need no loop. A regular expression finds where a run of them ends; within a
run exactly three bytes of each event are below 0x80, namely the last byte of its delta
time and its two data bytes, so that every third such byte starts over. All that is not
such an event (meta events, system exclusive, program changes) is visited one at a time
and replaced by a marker of the same form, so that one decoding serves the whole file.

Conventions
-----------
N is the number of events of the file, tracks in file order. Ticks count from the start
of the event's track. Running status survives meta and system exclusive events, as many
programs write it. What follows the end-of-track event of a track, and what follows the
last of the tracks that the header announces, is not read.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import numpy as np

from .errors import MidiError

# Marker statuses: they do not occur as the status of an event with two data bytes.
OTHER = 0xF0
TEMPO = 0xF1
TRACK_END = 0xF2

_QUANTITY = re.compile(rb"[\x80-\xff]{0,3}[\x00-\x7f]")
# The bound keeps the matcher's memory small: it remembers every repetition.
_RUN = re.compile(rb"(?:[\x80-\xff]{0,3}[\x00-\x7f][\x80-\xbf\xe0-\xef]?[\x00-\x7f]{2}){1,4096}")


class Header(NamedTuple):
    """What the header chunk says; `division` as stored, 16 bits without sign."""

    format: int
    n_tracks: int
    division: int


class Events(NamedTuple):
    """Every event of a file: arrays (N,), and the values of its tempo events.

    `status` is the status byte of a channel event with two data bytes, or one of
    OTHER, TEMPO, TRACK_END; each track has exactly one TRACK_END, its last event.
    `tempos` holds microseconds per quarter note, one for each TEMPO, in file order.
    """

    track: np.ndarray
    tick: np.ndarray
    status: np.ndarray
    first: np.ndarray
    second: np.ndarray
    tempos: list[int]


def read_events(data: bytes) -> tuple[Header, Events]:
    """Take a file's bytes apart; MidiError where they are not a MIDI file."""
    header, position = _read_header(data)
    pieces: list[bytes] = []
    tempos: list[int] = []
    n_found = 0
    while n_found < header.n_tracks:
        begin = position + 8
        if begin > len(data):
            raise MidiError(
                f"the header announces {header.n_tracks} tracks, the file ends after {n_found}"
            )
        (size,) = struct.unpack_from(">I", data, position + 4)
        if begin + size > len(data):
            raise MidiError(
                f"truncated: the chunk at byte {position} should hold {size} bytes, "
                f"the file ends after {len(data) - begin} of them"
            )
        if data[position : position + 4] == b"MTrk":
            _mark_track(data[begin : begin + size], begin, pieces, tempos)
            n_found += 1
        position = begin + size
    return header, _decode(b"".join(pieces), tempos)


def _read_header(data: bytes) -> tuple[Header, int]:
    """Return the header and the position of the first chunk behind it."""
    if not data:
        raise MidiError("the file is empty (0 bytes)")
    if data[:4] != b"MThd":
        raise MidiError(f"not a MIDI file: it begins with {data[:4]!r}, not with b'MThd'")
    if len(data) < 14:
        raise MidiError(f"truncated: a MIDI header takes 14 bytes, the file has {len(data)}")
    size, *fields = struct.unpack_from(">IHHH", data, 4)
    header = Header(*fields)
    if size < 6:
        raise MidiError(f"damaged header: its length is {size}, at least 6 is required")
    if header.format > 2:
        raise MidiError(f"unknown format {header.format}: Standard MIDI Files are 0, 1 or 2")
    return header, 8 + size


def _mark_track(track: bytes, origin: int, pieces: list[bytes], tempos: list[int]) -> None:
    """Append the track to `pieces` as events with two data bytes, its tempos to `tempos`.

    `origin` is the position of the track's first byte in the file, for messages.
    """
    position = 0
    running = 0
    while position < len(track):
        if running and not 0xC0 <= running < 0xE0:
            run = _RUN.match(track, position)
            if run:
                pieces.append(run.group())
                position = run.end()
                continue
        delta = _QUANTITY.match(track, position)
        at = delta.end() if delta else len(track)
        if delta is None or at == len(track):
            raise MidiError(f"damaged: no complete event at byte {origin + position}")
        status = track[at]
        if status < 0xF0:
            if status >= 0x80:
                running = status
                at += 1
            end = at + (1 if 0xC0 <= running < 0xE0 else 2)
            body = track[at:end]
            if not running or end > len(track) or max(body) >= 0x80:
                raise MidiError(f"damaged: no valid channel event at byte {origin + position}")
            marker = bytes((running,)) + body if len(body) == 2 else bytes((OTHER, 0, 0))
        else:
            kind, body, end = _long_event(track, at, origin)
            if kind == TEMPO:
                tempos.append(_tempo(body, origin + position))
            marker = bytes((kind, 0, 0))
            if kind == TRACK_END:
                end = len(track)
        pieces.append(delta.group() + marker)
        position = end
        if marker[0] == TRACK_END:
            return
    pieces.append(bytes((0, TRACK_END, 0, 0)))


def _long_event(track: bytes, at: int, origin: int) -> tuple[int, bytes, int]:
    """Read the meta or system exclusive event at `at`: its marker, data, and end."""
    status = track[at]
    if status not in (0xF0, 0xF7, 0xFF):
        raise MidiError(f"damaged: undefined status byte 0x{status:02X} at byte {origin + at}")
    is_meta = status == 0xFF
    size = _QUANTITY.match(track, at + 2 if is_meta else at + 1)
    if size is None:
        raise MidiError(f"damaged: the event at byte {origin + at} has no valid length")
    begin, end = size.end(), size.end() + _quantity(size.group())
    if end > len(track):
        raise MidiError(f"damaged: the event at byte {origin + at} runs past the end of its track")
    marker = {0x51: TEMPO, 0x2F: TRACK_END}.get(track[at + 1], OTHER) if is_meta else OTHER
    return marker, track[begin:end], end


def _quantity(encoded: bytes) -> int:
    """Return the value of a variable-length quantity: seven bits a byte, highest first."""
    value = 0
    for byte in encoded:
        value = value << 7 | byte & 0x7F
    return value


def _tempo(body: bytes, position: int) -> int:
    tempo = int.from_bytes(body[:3], "big")
    if len(body) < 3 or tempo == 0:
        raise MidiError(
            f"damaged: the tempo event at byte {position} holds {body.hex() or 'nothing'}, "
            "not three bytes above 0"
        )
    return tempo


def _decode(stream: bytes, tempos: list[int]) -> Events:
    """Decode a stream of events of two data bytes each, all at once."""
    data = np.frombuffer(stream, dtype=np.uint8)
    delta_end, first, second = np.flatnonzero(data < 0x80).reshape(-1, 3).T
    begin = np.zeros_like(delta_end)
    begin[1:] = second[:-1] + 1
    delta = data[delta_end].astype(np.int64)
    for place in (1, 2, 3):
        longer = np.flatnonzero(delta_end - begin >= place)
        delta[longer] |= (data[delta_end[longer] - place].astype(np.int64) & 0x7F) << 7 * place

    # Below 0x80 it is the end of the delta time: the status is left out.
    status = data[first - 1]
    is_marker = status >= OTHER
    gives_status = (status >= 0x80) & ~is_marker
    source = np.maximum.accumulate(np.where(gives_status, np.arange(len(status)), 0))
    status = np.where(is_marker, status, status[source])

    ends_track = status == TRACK_END
    track = np.cumsum(ends_track) - ends_track
    tick = np.cumsum(delta)
    elapsed = np.concatenate(([0], tick[ends_track]))
    return Events(track, tick - elapsed[track], status, data[first], data[second], tempos)
