"""Collections of piano rolls: datasets in memory, and the base class that stores on disk share.

>>> from rnn4music import load_midi
>>> dataset = load_midi("my folder")                           # doctest: +SKIP
>>> train, validation, test = dataset.split(seed=1)            # doctest: +SKIP
>>> model.train(train.in_keys(), 1, 30, 5, 100)                # doctest: +SKIP

Conventions
-----------
A piano roll is (T, P) booleans, one row per time step and one column per pitch of a half-open
range. With onsets it is (T, 2P), see `midi.onsets`; `Collection.onsets` says which. No file is
skipped silently: a warning has a table of the skipped files, and `Collection.skipped` lists all of
them.
"""

import hashlib
import re
import warnings
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from midi.onsets import onset_notes
from midi.text import count, printable
from rnn4music._utils import checks
from rnn4music.data import pianoroll
from rnn4music.data.accents import learned
from rnn4music.data.duplicates import group_near_duplicates
from rnn4music.data.keys import ALL_KEYS, transpose, validate_semitones
from rnn4music.data.notation import BAR_COLUMNS, bar_columns, common_beats, sentences

TOO_SHORT, OUTSIDE = "too short for a step", "outside the pitch range"
MERGED = "struck in the same step as another of their pitch"
STRUCK_AGAIN = "struck while sounding and lost in the note before"  # without onsets
_INSIDE = (TOO_SHORT, MERGED, STRUCK_AGAIN)  # reasons of notes that `n_notes` includes
_MOST_ROWS = 20  # of a table
_DETAIL = re.compile(r"\d+|(?<!\w)b?(['\"])(?:\\.|(?!\1).)*\1")  # numbers, quoted text and bytes


class DatasetWarning(UserWarning):
    """Warning about files that were skipped or read in part."""


class FileIssue(NamedTuple):
    """A file's name, and why it was skipped or what is damaged in it."""

    file: str
    reason: str


class Silence(NamedTuple):
    """Silence left out before the first and after the last notes."""

    n_tunes: int = 0  # that were shortened
    n_steps: int = 0


class Split(NamedTuple):
    """The three parts of a collection."""

    train: Any  # of the collection's type
    validation: Any
    test: Any


class Collection(Sequence):
    """Piano rolls with their names, and reports on the files they were read from.

    Attributes
    ----------
    names : list of str
    lengths : (number of tunes,) int
        Steps of each tune.
    skipped : list of FileIssue
        Files that were not used, with the reason.
    damaged : list of FileIssue
        Files that were read in part, with the damage.
    notations : list of notation.Notation
        What each file says about its tempo, metre, key and velocities; empty if unknown.
    tune_beats : list of midi.Beats, or None
        The beats and bars of each tune; None if the rolls are not read by the beat, or if the
        files' notations are unknown, as in a store made by an earlier version.
    beats : midi.Beats or None
        The beats to compose with: the median tempo, the metre of most steps, and the key if more
        than half of the steps have it. None where `tune_beats` is.
    accents : accents.Accents or None
        How hard notes are struck by their place in the bar and in the chord, in the tunes of the
        metre of `beats`; None if no file has different velocities.
    onsets : bool
        Whether the rolls have onsets: (T, 2P), first the sounding columns, then the struck ones.
    n_notes : int
        Notes within the pitch range, also those that are not in the rolls.
    dropped_notes : dict of str to int
        Number of notes that are not in the rolls as notes of their own, by reason.
    n_cut : int
        Number of notes whose note-off is missing and that end where their pitch is struck next.
    silence : Silence
        Numbers of tunes and steps of silence left out, ``n_tunes`` and ``n_steps``.
    """

    names: Any
    lengths: Any
    skipped: list
    damaged: list
    n_notes: int
    dropped_notes: dict
    silence: Silence
    n_cut: int
    notations: Any
    options: Any  # dict or None

    @property
    def onsets(self):
        """Whether the rolls have onsets."""
        return bool((self.options or {}).get("onsets"))

    @cached_property
    def beats(self):
        """The beats to compose with."""
        steps = self._steps_per_beat
        return common_beats(self.notations, self.lengths, steps) if steps else None

    @property
    def accents(self):
        """The accents learned from the velocities of the tunes."""
        beats = self.beats
        meter = beats.meter if beats else None
        counts = (
            notation.velocities
            for notation in self.notations
            if beats is None or (notation.meter or (4, 4)) == meter
        )
        return learned(counts, beats)

    @property
    def tune_beats(self):
        """The beats of each tune."""
        steps = self._steps_per_beat
        return [notation.beats(steps) for notation in self.notations] if steps else None

    @property
    def _steps_per_beat(self):
        """Steps per quarter note; None if rolls are in seconds, or their bars are unknown."""
        steps = (self.options or {}).get("steps_per_beat")
        if steps and all(notation.first_step is None for notation in self.notations):
            return None
        return int(steps) if steps and steps == int(steps) else steps

    def with_bars(self):
        """Return these tunes for a network that is told the place of each step in its bar.

        Returns
        -------
        WithBars

        Raises
        ------
        ValueError
            If the bars are unknown: the rolls are read in seconds, or by an earlier version.
        """
        return WithBars(self)

    @abstractmethod
    def select(self, indices) -> Any:
        """Return a collection of some of the tunes, without the issues of their files."""

    @abstractmethod
    def near_duplicates(self) -> list[int]:
        """Return for each tune the number of its group; see `rnn4music.data.duplicates`."""

    def __repr__(self):
        return f"<{type(self).__name__}: {self._extent()}>"

    def _extent(self):
        return f"{count(len(self), 'tune')}, {count(self.lengths.sum(), 'step')}"

    def summary(self):
        """Return lines on the tunes, steps, metres and tempos, and on what was left out and why."""
        lines = [self._extent(), *sentences(self.notations, bool(self._steps_per_beat))]
        for attribute, what in (("skipped", "skipped"), ("damaged", "damaged, read in part")):
            if issues := getattr(self, attribute):
                lines += [f"{count(len(issues), 'file')} {what}:", *_table(issues, attribute)]
        if self.silence.n_steps:
            n_tunes, n_steps = self.silence
            lines.append(
                f"silence left out before or after the notes: {count(n_steps, 'step')} in "
                f"{count(n_tunes, 'tune')}"
            )
        if self.n_cut or any(self.dropped_notes.values()):
            lines.append(self.summarise_notes())
        return "\n".join(lines)

    def summarise_notes(self):
        """Return a line on the notes that are in the pitch range, and those left out."""
        left_out = {reason: n for reason, n in self.dropped_notes.items() if n}
        inside = {reason: left_out.pop(reason, 0) for reason in _INSIDE}
        inside["without a note-off and ended by the next strike"] = self.n_cut
        inside = (f", {n:,} {reason}" for reason, n in inside.items() if n)
        parts = [f"{count(self.n_notes, 'note')} in the pitch range{''.join(inside)}"]
        if left_out:
            reasons = (f"{n:,} {reason}" for reason, n in left_out.items())
            parts.append(f"notes left out: {', '.join(reasons)}")
        return "; ".join(parts)

    def report(self, n_files):
        """Warn the caller's caller if any of the `n_files` files was skipped or damaged.

        Raises
        ------
        ValueError
            If there are no tunes.
        """
        if not len(self):
            table = "\n".join(_table(self.skipped))
            which = "the file cannot" if n_files == 1 else f"none of the {n_files:,} files can"
            raise ValueError(f"{which} be used:\n{table}")
        if self.skipped or self.damaged:
            warnings.warn(self.summary(), DatasetWarning, stacklevel=3)

    def split(self, validation=0.1, test=0.1, seed=1):
        """Divide the tunes at random, keeping near duplicates in the same part.

        Parameters
        ----------
        validation, test : float
            Shares of the number of tunes, rounded. A part has fewer tunes if near duplicates would
            have to be separated, and none if all tunes are duplicates of each other.
        seed : int
            The same seed gives the same parts.

        Returns
        -------
        Split
            ``train``, ``validation`` and ``test``.

        Notes
        -----
        `rnn4music.data.duplicates` defines near duplicates.
        """
        shares = {
            "test": checks.number("test", test, low=0, high=1),
            "validation": checks.number("validation", validation, low=0, high=1),
        }
        if sum(shares.values()) >= 1:
            raise ValueError(
                f"validation={validation} and test={test} leave no tunes to train on; "
                "together they must be less than 1"
            )
        rng = np.random.default_rng(checks.integer("seed", seed, 0))
        groups = {}
        for tune, group in enumerate(self.near_duplicates()):
            groups.setdefault(group, []).append(tune)
        waiting = list(groups.values())
        waiting = [waiting[k] for k in rng.permutation(len(waiting))]
        parts = {}
        for name, share in shares.items():
            room = round(share * len(self))
            chosen, others = [], []
            for group in waiting:
                fits = len(chosen) + len(group) <= room
                (chosen if fits else others).extend(group if fits else [group])
            parts[name], waiting = chosen, others
        parts["train"] = [tune for group in waiting for tune in group]
        return Split(**{name: self.select(sorted(tunes)) for name, tunes in parts.items()})


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Collection):
    """Tunes in memory with their names: a sequence of piano rolls for `RNN4Music.train`.

    Attributes
    ----------
    rolls : list of (T, P) bool, or of (T, 2P) with onsets
    names, onsets, notations, beats, tune_beats, accents, skipped, damaged, n_notes, dropped_notes,
    silence, n_cut
        See `Collection`.
    options : dict or None
        Options with which MIDI files were read, as in a store; None if unknown. Without
        ``onsets`` the rolls have none.
    """

    rolls: list
    names: list
    skipped: list = field(default_factory=list)
    damaged: list = field(default_factory=list)
    n_notes: int = 0
    dropped_notes: dict = field(default_factory=dict)
    silence: Silence = Silence()
    n_cut: int = 0
    options: dict | None = None
    notations: list = field(default_factory=list)

    def __len__(self):
        return len(self.rolls)

    @property
    def lengths(self):
        """Steps of each tune, (number of tunes,)."""
        return np.array([len(roll) for roll in self.rolls], np.int64)

    def __getitem__(self, index):
        """Return one roll, or for a slice a dataset."""
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        return self.rolls[index]

    def select(self, indices):
        """Return a dataset of some of the tunes, without the issues of their files."""
        rolls, names = ([each[k] for k in indices] for each in (self.rolls, self.names))
        notations = [self.notations[k] for k in indices] if self.notations else []
        return Dataset(rolls, names, options=self.options, notations=notations)

    def near_duplicates(self):
        """Return for each tune the number of its group; see `rnn4music.data.duplicates`."""
        return group_near_duplicates(self.rolls, onsets=self.onsets)

    def in_keys(self, semitones=ALL_KEYS):
        """Return every tune in several transpositions, by default all twelve keys.

        Parameters
        ----------
        semitones : iterable of int
            Notes that leave the pitch range are dropped, and counted in ``dropped_notes``.
        """
        semitones = validate_semitones(semitones)
        rolls = [pianoroll.halves(roll, self.onsets) for roll in self.rolls]
        notes = [np.empty((0, 3), int), *(onset_notes(*each) for each in rolls)]
        column, P = np.concatenate(notes)[:, 0], rolls[0][0].shape[1] if rolls else 0
        moved = [column + key for key in semitones]
        n_notes = sum(int(np.sum((each >= 0) & (each < P))) for each in moved)
        return Dataset(
            [transpose(roll, key, onsets=self.onsets) for roll in self.rolls for key in semitones],
            [f"{name} {key:+d}" for name in self.names for key in semitones],
            n_notes=n_notes,
            dropped_notes={OUTSIDE: len(column) * len(semitones) - n_notes},
            options=self.options,
            notations=[each.transposed(key) for each in self.notations for key in semitones],
        )


class WithBars(Sequence):
    """Tunes whose rows end with their places in the bar; see `notation.bar_columns`.

    For a network with ``conditions=notation.BAR_COLUMNS``. The columns are added to a tune whenever
    it is accessed.

    Parameters
    ----------
    tunes : Collection
        In their parts and keys.

    Attributes
    ----------
    names, lengths, beats, accents
        Those of the tunes.
    options : dict
        Those of the tunes, with ``bars``.
    width, n_added : int
        Columns of a row, and how many of them are on its place in the bar.
    """

    n_added = BAR_COLUMNS

    def __init__(self, tunes):
        if tunes.tune_beats is None:
            raise ValueError(
                "the bars of these tunes are unknown: read MIDI files with steps_per_beat"
            )
        self._tunes, self._beats = tunes, tunes.tune_beats
        self.names, self.lengths = tunes.names, tunes.lengths
        self.beats, self.accents = tunes.beats, tunes.accents
        self.options = {**tunes.options, "bars": True}
        low, high = self.options["pitch_range"]
        self.width = (1 + tunes.onsets) * (high - low) + BAR_COLUMNS

    def __len__(self):
        return len(self._tunes)

    def __getitem__(self, index):
        """Return the rows of a tune, (T, P + BAR_COLUMNS) bool, or for a slice such tunes."""
        if isinstance(index, slice):
            return WithBars(self._tunes[index])
        roll = self._tunes[index]
        return np.hstack([roll, bar_columns(self._beats[index], len(roll))])

    @cached_property
    def fingerprint(self):
        """A text that identifies the tunes, their order and their bars."""
        digest = hashlib.sha256(repr(self._beats).encode())
        if pianoroll.is_stored(self._tunes):  # without reading any
            digest.update(self._tunes.fingerprint.encode())
        else:
            for roll in self._tunes:
                digest.update(repr(roll.shape).encode() + np.packbits(roll).tobytes())
        # checkpoints have this text
        return f"{len(self)} tunes, {self.lengths.sum()} steps ({digest.hexdigest()[:16]})"


def outcome(files):
    """Return ``skipped, damaged, n_notes, dropped_notes, silence, n_cut`` of a `Collection`.

    Each file has ``name``, ``reason`` (why it was skipped), ``damage`` and ``counts``.
    """
    skipped, damaged, counts, n_shortened = [], [], Counter(), 0
    for file in files:
        if file.reason:
            skipped.append(FileIssue(file.name, file.reason))
            continue
        counts.update(file.counts)
        n_shortened += file.counts.get("silent_steps", 0) > 0
        if file.damage:
            damaged.append(FileIssue(file.name, file.damage))
    n_notes, n_silent = counts.pop("n_notes", 0), counts.pop("silent_steps", 0)
    n_cut, silence = counts.pop("n_cut", 0), Silence(n_shortened, n_silent)
    return skipped, damaged, n_notes, dict(counts), silence, n_cut


def _table(issues, attribute=""):
    """Return the rows of a table of issues; files with the same reason share a row.

    If these rows are too many, files whose reasons differ only in numbers and quotations share a
    row, and the rows after the first 20 are only counted. `attribute` has all files.
    """
    groups, alike = _grouped(issues, lambda reason: reason), "more"
    if len(groups) > _MOST_ROWS:
        groups, alike = _grouped(issues, lambda reason: _DETAIL.sub("", reason)), "similar"
    shown, rest = groups[:_MOST_ROWS], groups[_MOST_ROWS:]
    rows = [(printable(group[0].file), len(group) - 1, group[0].reason) for group in shown]
    names = [f"{name} and {n:,} {alike}" if n else name for name, n, _ in rows]
    width = max(map(len, names), default=0)
    lines = [f"  {name:<{width}}  {printable(row[2])}" for name, row in zip(names, rows)]
    if rest:
        more = f"{sum(map(len, rest)):,} more files ({count(len(rest), 'reason')})"
        lines.append(f"  and {more}{f', see .{attribute}' if attribute else ''}")
    return lines


def _grouped(issues, kind_of):
    groups = {}
    for issue in issues:
        groups.setdefault(kind_of(issue.reason), []).append(issue)
    return list(groups.values())
