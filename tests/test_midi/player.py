"""A player that sends a file's events one by one: the definition of its notes.

It is independent of the package and works on lists of (delta, message) as `smf` does.
"""

from typing import NamedTuple

GM_ON, GM_OFF, GM2_ON = (bytes((0x7E, 0x7F, 9, kind)) for kind in (1, 2, 3))
GS_RESET = b"\x41\x10\x42\x12\x40\x00\x7f\x00\x41"
XG_ON = b"\x43\x10\x4c\x00\x00\x7e\x00"
RESETS = {GM_ON: "GM", GM_OFF: "GM", GM2_ON: "GM", GS_RESET: "GS", XG_ON: "XG"}


def exclusive(message):
    """Return a system exclusive event."""
    return b"\xf0" + bytes((len(message) + 1,)) + message + b"\xf7"


def gs_part(channel, mode):
    """Return the GS message "use for rhythm part" for a channel, from 0."""
    part = 0 if channel == 9 else channel + 1 if channel < 9 else channel
    data = bytes((0x40, 0x10 | part, 0x15, mode))
    return b"\x41\x10\x42\x12" + data + bytes((-sum(data) % 128,))


def xg_part(channel, mode):
    """Return the XG message "part mode"."""
    return b"\x43\x10\x4c\x08" + bytes((channel, 7, mode))


PARTS = {
    message(channel, mode): (channel, mode > 0)
    for message, modes in ((gs_part, 3), (xg_part, 6))
    for channel in range(16)
    for mode in range(modes)
}


class Played(NamedTuple):
    """A note in ticks; `end` is None if it never ends."""

    pitch: int
    start: int
    end: int | None
    sustained_end: int | None
    is_cut: bool
    is_drum: bool


def play(tracks, format=1):
    """Play (events, end) tracks; return the notes, and the end of the longest track."""
    if format == 2:
        notes, elapsed = [], 0
        for each in tracks:
            found, end = play([each])
            for note in found:
                times = (time if time is None else time + elapsed for time in note[1:4])
                notes.append(Played(note.pitch, *times, *note[4:]))
            elapsed += end
        return notes, elapsed
    stream, ends = [], []
    for number, (events, end) in enumerate(tracks):
        now, struck_at = 0, None
        for delta, message in events:
            now += delta
            if is_strike(message):
                struck_at = now
            stream.append((now, now == struck_at, number, message))
        ends.append(now + end)
    stream.sort(key=lambda event: event[:3])
    last = max(ends, default=0)
    return [
        Played(
            pitch=stream[start][3][1],
            start=stream[start][0],
            end=None if end is None else stream[end][0],
            sustained_end=None if end is None else held_until(stream, start, end, last),
            is_cut=is_cut,
            is_drum=plays_drums(stream[:start], stream[start][3][0] & 15),
        )
        for start, end, is_cut in note_places(stream)
    ], last


def is_strike(message):
    return message[0] & 0xF0 == 0x90 and message[2] > 0


def payload(message):
    return message[2:-1] if message[0] == 0xF0 else b""


def controller(message):
    return message[1:] if message[0] & 0xF0 == 0xB0 else (-1, -1)


def note_places(stream):
    """Yield the places at which each note starts and ends, and whether it is cut."""
    voices = {}
    for place, (_, _, track, message) in enumerate(stream):
        if message[0] & 0xF0 in (0x80, 0x90):
            voice = (message[0] & 15, track, message[1])
            voices.setdefault(voice, []).append((is_strike(message), place))
        number, _ = controller(message)
        is_reset = payload(message) in RESETS
        if is_reset or number in (120, 123, 124, 125, 126, 127):
            for voice in list(voices):
                if is_reset or voice[0] == message[0] & 15:
                    yield from pairs(voices.pop(voice), place, stream)
    for events in voices.values():
        yield from pairs(events, None, stream)


def unmatched(events):
    """Return the strikes that no end matches, and the ends that match one."""
    stack, ends = [], []
    for is_start, place in events:
        if is_start:
            stack.append(place)
        elif stack:
            stack.pop()
            ends.append(place)
    return stack, ends


def outlived(events, strike, stream):
    """Return the strike and the end that matches it if twelve later notes end in between."""
    level = n_ended = 0
    events = events[events.index((True, strike)) + 1 :]
    for k, (is_start, place) in enumerate(events):
        level += 1 if is_start else -1
        if level < 0:
            return [strike, place] if n_ended >= 12 else []
        following = events[k : k + 3]
        if len(following) == 3 and is_start and not following[1][0]:
            start, end, after = (stream[each][0] for _, each in following)
            n_ended += 8 * (end - start) > after - start
    return []


def pairs(events, closing, stream):
    """Pair the strikes and ends of one voice, which a message at `closing` silences."""
    _, ends = unmatched(events)
    matched = [each for each in events if each[0] or each[1] in ends]
    taken = [outlived(matched, place, stream) for is_start, place in matched if is_start]
    taken = sum(taken, [])
    stack, ends = unmatched([each for each in matched if each[1] not in taken])
    stack += taken
    strikes = [place for is_start, place in events if is_start]
    ends = iter(ends)
    for place in strikes:
        later = [other for other in strikes if other > place]
        if place not in stack:
            yield place, next(ends), False
        elif later:
            yield place, later[0], True
        else:
            yield place, closing, False


def held_until(stream, start, end, last):
    """Return the tick at which a note ends with the sustain pedal."""
    channel = stream[start][3][0] & 15
    is_down = False
    for place, (now, _, _, message) in enumerate(stream):
        number, value = controller(message) if message[0] & 15 == channel else (-1, -1)
        is_reset = payload(message) in RESETS
        if place == end and (is_reset or number == 120 or not is_down):
            return now
        if number == 64:
            is_down = value >= 64
        if number == 121 or is_reset:
            is_down = False
        if place > end and (not is_down or number == 120):
            return now
    return last


def plays_drums(stream, channel):
    """Return whether a channel plays drums after these events."""
    mode, drums, by_part = None, channel == 9, False
    for _, _, _, message in stream:
        number, value = controller(message) if message[0] & 15 == channel else (-1, -1)
        if payload(message) in RESETS:
            mode, drums, by_part = RESETS[payload(message)], channel == 9, False
        elif payload(message) in PARTS and PARTS[payload(message)][0] == channel:
            drums, by_part = PARTS[payload(message)][1], True
        elif number == 0 and mode != "GS":
            if value in (120, 121, 126, 127):
                drums, by_part = value != 121, False
            elif not by_part:
                drums = channel == 9 and mode != "XG"
    return drums
