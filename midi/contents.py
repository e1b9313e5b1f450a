"""`describe`: the tracks, tempos, length, pitches and damage of a MIDI file."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from .beats import counted_meters, keys, meters, signatures
from .errors import MidiError
from .events import META, META_TEMPO, PROGRAM, Events, read_events
from .files import expanded, read_whole
from .notes import NoteEvents, pair_notes
from .pitches import key_name, pitch_name
from .sending import Order
from .text import count
from .timing import clock_in_seconds, lay_out, tempo_map

_TRACK_NAME = 0x03
_LONGEST_LIST = 8


@dataclass(frozen=True)
class Track:
    """One track; channels count from 1.

    `n_notes` counts the notes that end, drums included. The pitches are those of the other
    notes, None if there are none.
    """

    name: str
    channels: list[int]
    programs: list[int]
    n_notes: int
    n_drums: int
    lowest_pitch: int | None
    highest_pitch: int | None


@dataclass(frozen=True)
class Contents:
    """The result of `describe`; times in seconds, tempos in quarter notes per minute.

    `upbeat` is the length in quarter notes of what comes before the first whole bar, 0 if nothing
    does. `velocities` are the least and the greatest of the notes, drums not included. `n_drums`
    counts those of the tracks' notes that are drums, `n_cut` those whose note-off
    is missing and that end where their pitch is struck next. `n_never_ended` counts the notes
    without an end, which are not among the tracks' notes.
    """

    path: str
    format: int
    division: int
    seconds: float
    tempos: list[tuple[float, float]]
    time_signatures: list[tuple[float, str]]
    key_signatures: list[tuple[float, str]]
    tracks: list[Track]
    upbeat: float
    velocities: tuple[int, int] | None
    n_drums: int
    n_cut: int
    n_never_ended: int
    damage: list[str]

    def __str__(self) -> str:
        """Return the report that `python -m midi` prints."""
        in_smpte = self.division & 0x8000
        ticks = "SMPTE time" if in_smpte else f"{count(self.division, 'tick')} per quarter note"
        n_notes = sum(track.n_notes for track in self.tracks)
        pitches = [t.lowest_pitch for t in self.tracks if t.lowest_pitch is not None]
        pitches += [t.highest_pitch for t in self.tracks if t.highest_pitch is not None]
        span = (min(pitches), max(pitches)) if pitches else (None, None)
        lines = [
            f"{self.path}: format {self.format}, {count(len(self.tracks), 'track')}, {ticks}",
            f"length   {_duration(self.seconds)}",
            f"notes    {n_notes:,}{_details(self.n_drums, *span)}",
        ]
        if self.velocities:
            low, high = self.velocities
            lines.append(f"velocity {low}{f' to {high}' * (low < high)}")
        if self.n_cut:
            lines.append(
                f"cut      {count(self.n_cut, 'note')} without a note-off, ended by the next strike"
            )
        if self.n_never_ended:
            lines.append(f"left out {count(self.n_never_ended, 'note')} without an end")
        lines += [
            "tempo    "
            + _listing([f"{_decimal(bpm)} at {_decimal(at)} s" for at, bpm in self.tempos]),
            "meter    "
            + _listing([f"{meter} at {_decimal(at)} s" for at, meter in self.time_signatures])
            + f", after an upbeat of {_quarter_notes(self.upbeat)}" * (self.upbeat > 0),
            "key      "
            + _listing([f"{key} at {_decimal(at)} s" for at, key in self.key_signatures]),
        ]
        for number, track in enumerate(self.tracks, start=1):
            details = _details(track.n_drums, track.lowest_pitch, track.highest_pitch)
            name = f"; {track.name!r}" if track.name else ""
            lines.append(
                f"track {number:<3}{count(track.n_notes, 'note')}{details}; "
                f"channels {_listing(track.channels)}; programs {_listing(track.programs)}{name}"
            )
        return "\n".join(lines + [f"damage   {sentence}" for sentence in self.damage])


def describe(path: str | os.PathLike[str]) -> Contents:
    """Describe a MIDI file.

    Raises
    ------
    MidiError
        The file is not a MIDI file, or too damaged to be read.
    FileNotFoundError
        The file does not exist.
    """
    name = str(expanded(path))
    try:
        return _contents(read_whole(name), name)
    except MidiError as error:
        raise MidiError(error.reason, name) from None


def _contents(data: bytes, name: str) -> Contents:
    header, events = read_events(data)
    tick, starts, last_tick = lay_out(header, events)
    tempos = tempo_map(header, events, tick, starts)
    clock = clock_in_seconds(header, tempos, last_tick)
    every = pair_notes(events, Order(events, tick, tracks_follow=header.format == 2))
    notes = every.select(every.end >= 0)

    def seconds(ticks: list[int]) -> list[float]:
        times = clock.at(np.array(ticks, dtype=np.int64)) / clock.units_per_second
        return times.astype(float).tolist()

    meta = np.flatnonzero(events.status == META)
    kinds = events.first[meta]
    found = signatures(header, events, tick)
    velocity = events.second[notes.start[~notes.is_drum]]
    time_signatures = {at: f"{meter[0]}/{meter[1]}" for at, meter in meters(found)}
    key_signatures = {at: key_name(*key) for at, key in keys(found)}
    names = {
        int(events.track[meta[k]]): events.meta[k].decode("utf-8", "replace")
        for k in np.flatnonzero(kinds == _TRACK_NAME)[::-1]
    }
    has_tempo = (kinds == META_TEMPO).any()
    in_minutes = [(tick_, 60_000_000 / tempo) for tick_, tempo in tempos]
    # the last tempo at a tick wins, so the default at tick 0 yields to the file's own
    kept = dict(in_minutes) if has_tempo else {}
    return Contents(
        path=name,
        format=header.format,
        division=header.division,
        seconds=seconds([last_tick])[0],
        tempos=list(zip(seconds(list(kept)), kept.values())),
        time_signatures=list(zip(seconds(list(time_signatures)), time_signatures.values())),
        key_signatures=list(zip(seconds(list(key_signatures)), key_signatures.values())),
        tracks=_tracks(events, notes, len(starts), names),
        upbeat=counted_meters(found, header.division)[0][0] / header.division,
        velocities=(int(velocity.min()), int(velocity.max())) if len(velocity) else None,
        n_drums=int(np.count_nonzero(notes.is_drum)),
        n_cut=int(np.count_nonzero(notes.is_cut)),
        n_never_ended=len(every.end) - len(notes.end),
        damage=events.damage,
    )


def _tracks(events: Events, notes: NoteEvents, n_tracks: int, names: dict[int, str]) -> list[Track]:
    """Summarize each track; events and notes are sorted by track."""
    bounds = np.searchsorted(events.track, np.arange(n_tracks + 1)).tolist()
    note_bounds = np.searchsorted(events.track[notes.start], np.arange(n_tracks + 1)).tolist()
    tracks = []
    for number in range(n_tracks):
        mine = slice(bounds[number], bounds[number + 1])
        status = events.status[mine]
        own = slice(note_bounds[number], note_bounds[number + 1])
        is_drum = notes.is_drum[own]
        pitch = notes.pitch[own][~is_drum]
        channels = np.unique(status[status < 0xF0] & 0x0F) + 1
        programs = np.unique(events.first[mine][status == PROGRAM])
        tracks.append(
            Track(
                name=names.get(number, ""),
                channels=channels.tolist(),
                programs=programs.tolist(),
                n_notes=len(is_drum),
                n_drums=len(is_drum) - len(pitch),
                lowest_pitch=int(pitch.min()) if len(pitch) else None,
                highest_pitch=int(pitch.max()) if len(pitch) else None,
            )
        )
    return tracks


def _details(n_drums: int, lowest: int | None, highest: int | None) -> str:
    """Return how many of the notes are drums, and the range of the others."""
    drums = f" ({n_drums:,} on drums)" if n_drums else ""
    if lowest is None or highest is None:
        return drums
    return f"{drums}, {pitch_name(lowest)} ({lowest}) to {pitch_name(highest)} ({highest})"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes:,} min {rest / 1000:.3f} s" if minutes else f"{rest / 1000:.3f} s"


def _quarter_notes(number: float) -> str:
    return f"{_decimal(number)} quarter note{'s' * (number != 1)}"


def _decimal(value: float) -> str:
    """Return a number with at most three decimals."""
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def _listing(items: list) -> str:
    more = len(items) - _LONGEST_LIST
    shown = [str(item) for item in items[:_LONGEST_LIST]]
    return ", ".join(shown + ([f"and {more} more"] if more > 0 else [])) or "none given"
