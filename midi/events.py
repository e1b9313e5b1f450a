"""The bytes of a Standard MIDI File, as arrays of events.

A file is a header chunk followed by track chunks. A track is a list of events. Each event
has a delta time, a status byte (left out when it repeats: "running status") and data.
Nearly all events are channel events with two data bytes (notes, pedals, pitch bend), and
these are decoded without a loop. Exactly three bytes of each are below 0x80: the last byte
of its delta time and its two data bytes. In a run of such events every third byte below
0x80 therefore begins a new event. All other events (meta events, system exclusive, program
changes) are visited one at a time and replaced by a marker of the same form, so that one
decoding serves the whole file.

Conventions
-----------
N is the number of events of the file, tracks in file order. Ticks count from the start
of the event's track. Running status survives meta and system exclusive events, as many
programs write it. Bytes after the end-of-track event of a track are not read.

Damage
------
Complete events are read, and each damage is reported with its position in the file. A
track ends where it can no longer be read. The next track begins at its chunk, or at the
next b"MTrk" where the length of a chunk is wrong.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import numpy as np

from .errors import MidiError
from .exclusive import LONGEST, meaning
from .text import count

# Marker statuses; no event with two data bytes has them as its status.
OTHER = 0xF0
META = 0xF1  # first: its type
PROGRAM = 0xF2  # first: the program, second: its channel
TRACK_END = 0xF3
EXCLUSIVE = 0xF4  # first: its meaning (`midi.exclusive`), second: its channel

META_TEMPO, META_END_OF_TRACK = 0x51, 0x2F
META_TIME_SIGNATURE, META_KEY_SIGNATURE = 0x58, 0x59

_QUANTITY = re.compile(rb"[\x80-\xff]{0,3}[\x00-\x7f]")
_NAME = re.compile(rb"[ -~]{4}")
# System messages, which a file must not hold: the number of data bytes by status.
_SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}
_HEADER = re.compile(rb"MThd(?![\t\n\r -~])")  # in text it is a word, not a header
HEAD = 1024  # bytes; a file's header begins within them
_MOST_SENTENCES = 100


class Header(NamedTuple):
    """The header chunk; `division` as stored, an unsigned 16-bit number."""

    format: int
    n_tracks: int
    division: int


class Events(NamedTuple):
    """Every event of a file: arrays (N,), the data of its meta events, and its damage.

    `status` is the status byte of a channel event with two data bytes, or one of
    OTHER, META, PROGRAM, TRACK_END, EXCLUSIVE; each track has exactly one TRACK_END, its last
    event. `meta` holds the data of each META in file order. `damage` holds a sentence
    for each violation of the standard.
    """

    track: np.ndarray
    tick: np.ndarray
    status: np.ndarray
    first: np.ndarray
    second: np.ndarray
    meta: list[bytes]
    damage: list[str]


def read_events(data: bytes) -> tuple[Header, Events]:
    """Parse a file's bytes; raise MidiError if nothing can be read."""
    damage: list[str] = []
    start, stop = _find_file(data, damage)
    header, position = _read_header(data, start, stop)
    reader = _TrackReader(data, damage)
    n_found = 0
    while position + 8 <= stop:
        name = data[position : position + 4]
        is_track = name == b"MTrk"
        (size,) = struct.unpack_from(">I", data, position + 4)
        begin, end = position + 8, position + 8 + size
        fits = end <= stop and _NAME.fullmatch(name) is not None
        if is_track:
            n_found += 1
            if end > stop:
                reader.report(
                    f"truncated: the track at byte {position} should have {size} bytes, "
                    f"but the file ends after {stop - begin}"
                )
            begin = reader.read(begin, min(end, stop))
        if fits and not (begin < end and data[begin : begin + 4] == b"MTrk"):
            position = end
        elif is_track or n_found < header.n_tracks:
            # a wrong length, which hides or skips the next track
            position = data.find(b"MTrk", begin if is_track else position + 1, stop)
            if position < 0:
                break
            reader.report(f"the chunk length before byte {position} is wrong: a track begins there")
        else:
            break  # not a chunk, after the last track
    if n_found == 0 and header.n_tracks > 0:
        raise MidiError(
            f"truncated: the header announces {count(header.n_tracks, 'track')}, the file has none"
        )
    if n_found != header.n_tracks:
        reader.report(
            f"the header at byte {start} announces {count(header.n_tracks, 'track')}, "
            f"the file has {n_found}"
        )
    return header, _decode(b"".join(reader.pieces), reader.meta, damage)


def kind_of(head: bytes) -> str:
    """Return "midi", "zip" or "" (anything else) for a file whose first `HEAD` bytes are given."""
    if head[:4] in (b"PK\3\4", b"PK\5\6"):  # the second is an empty one
        return "zip"
    is_riff = (head[:4], head[8:12]) == (b"RIFF", b"RMID")
    return "midi" if is_riff or _HEADER.search(head, 0, HEAD) else ""


def _find_file(data: bytes, damage: list[str]) -> tuple[int, int]:
    """Return where the MIDI file begins and ends within `data`, which may wrap it in RIFF."""
    if not data:
        raise MidiError("the file is empty (0 bytes)")
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        position = 12
        while position + 8 <= len(data):
            (size,) = struct.unpack_from("<I", data, position + 4)
            if data[position : position + 4] == b"data":
                return position + 8, min(position + 8 + size, len(data))
            position += 8 + size + size % 2
        raise MidiError("damaged: this RIFF file has no complete 'data' chunk")
    if kind_of(data) == "zip":
        raise MidiError("not a MIDI file but a .zip file")
    header = _HEADER.search(data, 0, HEAD)
    if header is None:
        raise MidiError(
            f"not a MIDI file: it begins with {data[:8]!r} instead of b'MThd\\0\\0\\0\\6'"
        )
    start = header.start()
    if start > 0:
        damage.append(f"skipped {count(start, 'byte')} before the header b'MThd'")
    return start, len(data)


def _read_header(data: bytes, start: int, stop: int) -> tuple[Header, int]:
    """Return the header and the position of the first chunk after it."""
    if stop - start < 14:
        raise MidiError(
            f"truncated: a MIDI header has 14 bytes, but only {stop - start} follow at byte {start}"
        )
    if data[start : start + 4] != b"MThd":
        raise MidiError(
            f"not a MIDI file: byte {start} begins {data[start : start + 4]!r} instead of b'MThd'"
        )
    size, *fields = struct.unpack_from(">IHHH", data, start + 4)
    header = Header(*fields)
    if size < 6:
        raise MidiError(f"damaged header: its length is {size}; at least 6 is required")
    if header.format > 2:
        raise MidiError(
            f"unknown format {header.format}: Standard MIDI Files have format 0, 1 or 2"
        )
    return header, start + 8 + size


class _Runs:
    """The ends of all runs of channel events with two data bytes in a file."""

    def __init__(self, data: bytes) -> None:
        array = np.frombuffer(data, dtype=np.uint8)
        low = np.flatnonzero(array < 0x80)
        # number of bytes above 0x7F before each low one
        high = np.minimum(np.diff(low, prepend=-1) - 1, 4).astype(np.uint8)
        before = array[low - 1]
        may_be_status = (high == 1) & ((before < 0xC0) | (before >= 0xE0) & (before < 0xF0))
        is_delta = high <= 3
        is_first = (high == 0) | may_be_status
        is_second = high == 0
        is_event = is_delta[:-2] & is_first[1:-1] & is_second[2:]
        # After the last low byte there is no event, in any of the three phases.
        no_event = np.concatenate((np.flatnonzero(~is_event), len(is_event) + np.arange(3)))
        self._no_event = [no_event[no_event % 3 == phase] for phase in range(3)]
        self._low = low

    def end(self, position: int, end: int) -> int:
        """Return the end of the run that begins at `position`; at most `end`."""
        begin, behind = np.searchsorted(self._low, (position, end)).tolist()
        no_event = self._no_event[begin % 3]
        stop = int(no_event[min(np.searchsorted(no_event, begin), len(no_event) - 1)])
        stop = min(stop, behind - (behind - begin) % 3)
        return int(self._low[stop - 1]) + 1 if stop > begin else position


class _TrackReader:
    """Collects the events of all tracks as a stream of events with two data bytes each."""

    def __init__(self, data: bytes, damage: list[str]) -> None:
        self.data = data
        self.damage = damage
        self.runs = _Runs(data)
        self.pieces: list[bytes] = []
        self.meta: list[bytes] = []
        self.begun = b""  # an exclusive message whose last packet has not been read

    def report(self, sentence: str) -> None:
        """Record a damage; the first 100 are kept."""
        if len(self.damage) < _MOST_SENTENCES:
            self.damage.append(sentence)

    def read(self, position: int, end: int) -> int:
        """Read the track between `position` and `end`; return where reading stopped."""
        data, pieces, self.begun = self.data, self.pieces, b""
        running = 0  # the status of the last channel event visited
        runs_since: list[bytes] = []  # the runs of events after it
        has_run = False  # whether a run may begin without a status byte
        while position < end:
            run_end = self.runs.end(position, end) if has_run else position
            if run_end > position:
                pieces.append(data[position:run_end])
                runs_since.append(pieces[-1])
                position = run_end
                continue
            delta = _QUANTITY.match(data, position, end)
            if delta is None or delta.end() == end:
                self.report(f"the track stops at byte {position}, where no complete event follows")
                break
            at = delta.end()
            status = data[at]
            if status >= 0xF0:
                marker, event_end = self._long_event(at, end)
            else:
                if status >= 0x80:
                    running = status
                    at += 1
                elif runs_since:
                    running = _last_status(b"".join(runs_since), running)
                runs_since.clear()
                marker, event_end = self._short_event(running, at, end)
                has_run = marker[:1] == bytes((running,))
            if not marker:
                self.report(f"the rest of the track, from byte {position}, was not read")
                break
            pieces.append(delta.group() + marker)
            position = event_end
            if marker[0] == TRACK_END:
                return position
        pieces.append(bytes((0, TRACK_END, 0, 0)))
        return position

    def _short_event(self, status: int, at: int, end: int) -> tuple[bytes, int]:
        """Return the marker of the channel event whose data is at `at`, and the event's end.

        The marker is empty if there is no event. Data bytes above 127 are invalid: such a
        velocity counts as 127, and an event with such a pitch or program is skipped.
        """
        body = self.data[at : min(at + (1 if 0xC0 <= status < 0xE0 else 2), end)]
        event_end = at + len(body)
        if not status:
            self.report(f"damaged: the data at byte {at} has no status byte before it")
            return b"", event_end
        if len(body) < (1 if 0xC0 <= status < 0xE0 else 2):
            self.report(f"truncated: the event at byte {at} is cut off")
            return b"", event_end
        if max(body) >= 0x80:
            self.report(f"damaged: the event at byte {at} has a data byte above 127")
            body = body[:1] + b"\x7f" * (len(body) - 1)
            if body[0] >= 0x80:
                return bytes((OTHER, 0, 0)), event_end
        if len(body) == 2:
            return bytes((status,)) + body, event_end
        is_program = status < 0xD0
        return bytes((PROGRAM if is_program else OTHER, body[0], status & 0x0F)), event_end

    def _long_event(self, at: int, end: int) -> tuple[bytes, int]:
        """Return the marker of the meta or system event at `at` (empty if none), and its end."""
        data = self.data
        status = data[at]
        if status not in (0xF0, 0xF7, 0xFF):
            self.report(f"damaged: the status 0x{status:02X} at byte {at} is not allowed in a file")
            return bytes((OTHER, 0, 0)), min(at + 1 + _SYSTEM_DATA_BYTES.get(status, 0), end)
        is_meta = status == 0xFF
        size = _QUANTITY.match(data, at + 2 if is_meta else at + 1, end)
        if size is None:
            self.report(f"damaged: the event at byte {at} has no valid length")
            return b"", end
        begin, event_end = size.end(), size.end() + _quantity(size.group())
        kind = data[at + 1] if is_meta else 0
        if kind == META_END_OF_TRACK and is_meta:
            return bytes((TRACK_END, 0, 0)), min(event_end, end)
        if event_end > end:
            self.report(f"damaged: the event at byte {at} runs past the end of its track")
            return b"", end
        if not is_meta and (message := self._exclusive(status, data[begin:event_end])):
            return bytes((EXCLUSIVE, *message)), event_end
        if not is_meta or kind >= 0x80:
            return bytes((OTHER, 0, 0)), event_end
        if kind == META_TEMPO and not (event_end - begin >= 3 and any(data[begin : begin + 3])):
            self.report(f"damaged: the tempo at byte {at} is not a 3-byte number above 0")
            return bytes((OTHER, 0, 0)), event_end
        self.meta.append(data[begin:event_end])
        return bytes((META, kind, 0)), event_end

    def _exclusive(self, status: int, packet: bytes) -> tuple[int, int] | None:
        """Return the meaning of a system exclusive message, at the packet that completes it.

        A message may be split into F0 and F7 events, or stand in an F7 event with its own F0.
        """
        if status == 0xF7:
            packet = packet[1:] if packet[:1] == b"\xf0" else self.begun and self.begun + packet
        message = meaning(packet)
        self.begun = b"" if message or packet.endswith(b"\xf7") else packet[:LONGEST]
        return message


def _last_status(runs: bytes, running: int) -> int:
    """Return the running status after runs of events that begin with status `running`."""
    data = np.frombuffer(runs, dtype=np.uint8)
    status = data[np.flatnonzero(data < 0x80)[1::3] - 1]
    given = status[status >= 0x80]
    return int(given[-1]) if len(given) else running


def _quantity(encoded: bytes) -> int:
    """Return the value of a variable-length quantity: seven bits per byte, highest first."""
    value = 0
    for byte in encoded:
        value = value << 7 | byte & 0x7F
    return value


def _decode(stream: bytes, meta: list[bytes], damage: list[str]) -> Events:
    """Decode a stream of events of two data bytes each."""
    data = np.frombuffer(stream, dtype=np.uint8)
    delta_end, first, second = np.flatnonzero(data < 0x80).reshape(-1, 3).T
    begin = np.zeros_like(delta_end)
    begin[1:] = second[:-1] + 1
    delta = data[delta_end].astype(np.int64)
    n_longer = delta_end - begin  # bytes of the delta time before its last
    longer = np.flatnonzero(n_longer)
    for place in (1, 2, 3):
        delta[longer] |= (data[delta_end[longer] - place].astype(np.int64) & 0x7F) << 7 * place
        longer = longer[n_longer[longer] > place]

    status = data[first - 1]
    is_given = status >= 0x80  # otherwise the byte is the end of the delta time
    if not is_given.all():
        is_marker = status >= OTHER
        source = np.where(is_given & ~is_marker, np.arange(len(status)), 0)
        status = np.where(is_marker, status, status[np.maximum.accumulate(source)])

    ends_track = status == TRACK_END
    track = np.cumsum(ends_track) - ends_track
    tick = np.cumsum(delta)
    elapsed = np.concatenate(([0], tick[ends_track]))
    return Events(track, tick - elapsed[track], status, data[first], data[second], meta, damage)
