"""The order in which a player sends the events of all tracks.

Events of one track keep their order. The Standard MIDI File specification does not order
events of different tracks at the same tick. Here the events before the first note-on of their
track at that tick (note ends, controllers, resets) come first, so that the set-up of one
track does not cut the notes of another. The tracks of a format 2 file follow one another.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .events import EXCLUSIVE, Events


class Order:
    """The order of N events, whose ticks from the start of the file are `tick`.

    The order is computed at the first access, because most files do not need it.

    Attributes
    ----------
    controls, exclusive : (number of such events,)
        The indices of the controllers and of the messages in `midi.exclusive`.
    place : (N,)
        The place of each event in the order.
    sent : (N,)
        The event in each place.
    channel : (N,)
        The channel of each channel event; in format 2 each track has its own channels.
    player : (N,)
        The instrument that plays the event: one, or in format 2 one for each track.
    """

    def __init__(self, events: Events, tick: np.ndarray, tracks_follow: bool) -> None:
        self.tracks_follow = tracks_follow
        self.controls = np.flatnonzero(events.status & 0xF0 == 0xB0)
        self.exclusive = np.flatnonzero(events.status == EXCLUSIVE)
        self._events = events
        self._tick = tick

    @cached_property
    def sent(self) -> np.ndarray:
        """Events by place."""
        events, tick = self._events, self._tick
        if self.tracks_follow or not events.track.any():  # the order of the file
            return np.arange(len(tick))
        strikes = (events.status & 0xF0 == 0x90) & (events.second > 0)
        struck = np.cumsum(strikes)
        is_first = np.ones(len(tick), dtype=bool)  # of its track at its tick
        is_first[1:] = (np.diff(tick) != 0) | (np.diff(events.track) != 0)
        struck_before = (struck - strikes)[is_first][np.cumsum(is_first) - 1]
        return np.argsort(2 * tick + (struck > struck_before), kind="stable")

    @cached_property
    def place(self) -> np.ndarray:
        """Places by event."""
        place = np.empty(len(self.sent), dtype=np.int64)
        place[self.sent] = np.arange(len(place))
        return place

    @cached_property
    def channel(self) -> np.ndarray:
        """Channels by event."""
        return self.player << 4 | self._events.status & 0x0F

    @cached_property
    def player(self) -> np.ndarray:
        """Instruments by event."""
        return self._events.track if self.tracks_follow else np.zeros(len(self._tick), np.int64)

    def channels(self, chosen: np.ndarray) -> Timeline:
        """Return the times of some events, given by their indices, by channel."""
        return Timeline(self.channel[chosen], self.place[chosen], len(self.place))

    def players(self, chosen: np.ndarray) -> Timeline:
        """Return the times of some events, given by their indices, by player."""
        return Timeline(self.player[chosen], self.place[chosen], len(self.place))


class Timeline:
    """Some events, by group and place, for searches from other events."""

    def __init__(self, group: np.ndarray, place: np.ndarray, n_places: int) -> None:
        self._n = n_places
        keys = group * n_places + place
        order = np.argsort(keys)
        self._keys = keys[order]
        self._group = np.append(group[order], -1)
        self._place = np.append(place[order], -1)

    def after(self, group: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number and the place of the next event of a group; place N if none."""
        number = np.searchsorted(self._keys, group * self._n + place, side="right")
        return number, np.where(self._group[number] == group, self._place[number], self._n)

    def before(self, group: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Return the place of the last event of a group before a place; -1 if none."""
        number = np.searchsorted(self._keys, group * self._n + place) - 1
        return np.where(self._group[number] == group, self._place[number], -1)
