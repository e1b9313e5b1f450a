"""A small writer of MIDI files, event by event, and the definition of the roll.

Both are independent of the package. Files are built from lists of (delta, message), and
`sampled` evaluates start <= k dt < end cell by cell, in fractions. By the beat it is given
what `to_nearest` returns.
"""

import struct
from collections import Counter
from fractions import Fraction

from player import play


def note_on(pitch, velocity=64, channel=0):
    return bytes((0x90 | channel, pitch, velocity))


def note_off(pitch, channel=0):
    return bytes((0x80 | channel, pitch, 0))


def tempo(microseconds):
    return b"\xff\x51\x03" + microseconds.to_bytes(3, "big")


def time_signature(numerator, power):
    """Return the time signature numerator/2^power."""
    return bytes((0xFF, 0x58, 4, numerator, power, 24, 8))


def key_signature(sharps, is_minor):
    return bytes((0xFF, 0x59, 2, sharps % 256, is_minor))


def quantity(value):
    encoded = [value & 0x7F]
    while value > 0x7F:
        value >>= 7
        encoded.append(value & 0x7F | 0x80)
    return bytes(reversed(encoded))


def chunk(body, name=b"MTrk"):
    return name + struct.pack(">I", len(body)) + body


def track(*events, end=0, running_status=False, end_of_track=True):
    """Encode (delta, message) pairs; the track ends `end` ticks after the last."""
    body, status = b"", None
    for delta, message in events:
        is_channel = message[0] < 0xF0
        left_out = running_status and is_channel and message[0] == status
        body += quantity(delta) + (message[1:] if left_out else message)
        status = message[0] if is_channel else status
    if end_of_track:
        body += quantity(end) + b"\xff\x2f\x00"
    return chunk(body)


def smf(*tracks, division=480, format=1):
    return b"MThd" + struct.pack(">IHHH", 6, format, len(tracks), division) + b"".join(tracks)


def seconds_at(tempos, division):
    """Return the function from ticks to seconds for a list of (tick, microseconds)."""
    changes = sorted([(0, 500_000), *tempos], key=lambda change: change[0])

    def seconds(tick):
        total = Fraction(0)
        for number, (begin, microseconds) in enumerate(changes):
            end = changes[number + 1][0] if number + 1 < len(changes) else tick
            if begin < tick:
                total += Fraction((min(end, tick) - begin) * microseconds, division * 10**6)
        return total

    return seconds


def reference_notes(tracks, division):
    """Read (events, end) tracks by the definition; return notes in seconds, and the end."""
    tempos = []
    for events, _ in tracks:
        now = 0
        for delta, message in events:
            now += delta
            if message[:2] == b"\xff\x51":
                tempos.append((now, int.from_bytes(message[3:6], "big")))
    seconds = seconds_at(tempos, division)
    notes, end = play(tracks)
    timed = [
        (note.pitch, seconds(note.start), seconds(note.end))
        for note in notes
        if note.end is not None and not note.is_drum
    ]
    return timed, seconds(end)


def to_nearest(notes, end, step, keep_short=False):
    """Move the times of notes and the end of a file to the nearest multiples of a step.

    A note without length then gets a step if it began on the grid.
    """

    def nearest(time):
        earlier = time // step * step
        return min(earlier + step, earlier, key=lambda each: abs(each - time))

    moved = []
    for pitch, start, stop in notes:
        begin, finish = nearest(start), nearest(stop)
        is_on_grid = -step / 8 <= start - begin < step / 8
        if begin == finish and start < stop and (keep_short or is_on_grid):
            finish += step
        moved.append((pitch, begin, finish))
    return moved, max([nearest(end), *(finish for _, _, finish in moved)])


def sampled(notes, end, r, dt):
    """Evaluate the definition of the roll: rows k with k dt < end, as nested lists."""
    lowest, highest = r
    rows = []
    while len(rows) * dt < end:
        now = len(rows) * dt
        on = {pitch for pitch, start, stop in notes if start <= now < stop}
        rows.append([float(pitch in on) for pitch in range(lowest, highest)])
    return rows


def struck(notes, n_rows, r, dt):
    """Return the strikes by the definition: a Counter of (k, column)."""
    lowest, highest = r
    strikes = Counter()
    for pitch, start, end in notes:
        frames = [k for k in range(n_rows) if start <= k * dt < end]
        if lowest <= pitch < highest and frames:
            strikes[frames[0], pitch - lowest] += 1
    return strikes


def decoded(data):
    """Return the (delta, message) events of each track of a file that `midiwrite` made."""
    tracks, at = [], 14
    while at < len(data):
        stop = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        at, events = at + 8, []
        while at < stop:
            delta = 0
            while True:
                delta, at = delta << 7 | data[at] & 0x7F, at + 1
                if data[at - 1] < 0x80:
                    break
            is_meta = data[at] == 0xFF
            size = 3 + data[at + 2] if is_meta else 2 if data[at] & 0xF0 == 0xC0 else 3
            events.append((delta, data[at : at + size]))
            at += size
        tracks.append(events)
    return tracks
