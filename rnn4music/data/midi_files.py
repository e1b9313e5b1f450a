"""What datasets in memory and stores on disk have in common: names, remarks, a split.

Conventions
-----------
Nothing is left out in silence: what was is in `Collection.left_out`, and the first rows of it in
`Collection.summary`.
"""

import warnings
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn4music._utils import checks

_ROWS_OF_A_TABLE = 20


class DatasetWarning(UserWarning):
    """Files that were left out, or read in part."""


class Remark(NamedTuple):
    """A file's name, and why it was left out, or what is damaged in it."""

    file: str
    reason: str


class Split(NamedTuple):
    """A collection in three parts."""

    train: Any  # of the collection's own type
    validation: Any
    test: Any


class Collection(Sequence):
    """Piano rolls with their names, and what became of the files that they are from.

    Attributes
    ----------
    names : list of str
    lengths : (number of tunes,) int
        Steps.
    left_out, damaged : list of Remark
    n_notes : int
    lost_notes : dict of str to int
        As in `datasets.Dataset`.
    """

    names: Any
    lengths: Any
    left_out: list
    damaged: list
    n_notes: int
    lost_notes: dict

    @abstractmethod
    def select(self, indices) -> Any:
        """Return a collection of some of the tunes, without the remarks."""

    @abstractmethod
    def near_copies(self) -> list[int]:
        """Return for each tune the number of its group of near copies."""

    def __repr__(self):
        return f"<{type(self).__name__}: {self._extent()}>"

    def _extent(self):
        return f"{len(self)} tunes, {self.lengths.sum()} steps"

    def summary(self):
        """Say in some lines what is here, and what was left out and why."""
        lines = [self._extent()]
        if self.left_out:
            lines += [f"{_files(self.left_out)} left out:", *_table(self.left_out)]
        if self.damaged:
            lines += [f"{_files(self.damaged)} damaged, read in part:", *_table(self.damaged)]
        lost = [f"{count} {reason}" for reason, count in self.lost_notes.items() if count]
        if lost:
            lines.append(f"notes not in the rolls: {', '.join(lost)}; of {self.n_notes} in range")
        return "\n".join(lines)

    def report(self, n_files):
        """Warn the caller's caller of what was left out of so many files, if anything was.

        Raises
        ------
        ValueError
            If nothing is left.
        """
        if not len(self):
            table = "\n".join(_table(self.left_out))
            raise ValueError(f"none of the {n_files} files can be used:\n{table}")
        if self.left_out or self.damaged:
            warnings.warn(self.summary(), DatasetWarning, stacklevel=3)

    def split(self, validation=0.1, test=0.1, seed=1):
        """Divide the tunes by chance, near copies of a tune on one side.

        Parameters
        ----------
        validation, test : float
            Shares of the number of tunes, rounded. A part has fewer where near copies would
            have to be torn apart, and none if all tunes are copies of each other.
        seed : int
            The same seed gives the same parts.

        Returns
        -------
        Split
            ``train``, ``validation`` and ``test``.

        Notes
        -----
        What near copies are is said in `rnn4music.data.duplicates`.
        """
        shares = {
            "test": checks.number("test", test, low=0, high=1),
            "validation": checks.number("validation", validation, low=0, high=1),
        }
        if sum(shares.values()) >= 1:
            raise ValueError(
                f"validation={validation} and test={test} leave nothing to learn from; "
                "together they must be less than 1"
            )
        rng = np.random.default_rng(checks.integer("seed", seed, 0))
        groups = {}
        for tune, group in enumerate(self.near_copies()):
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


def outcome(files):
    """Return what became of files: ``left_out, damaged, n_notes, lost_notes`` of a `Collection`.

    Parameters
    ----------
    files : iterable
        Each with ``name``, ``reason`` (why it was left out), ``damage`` and ``counts``.
    """
    left_out, damaged, counts = [], [], Counter()
    for file in files:
        if file.reason:
            left_out.append(Remark(file.name, file.reason))
            continue
        counts.update(file.counts)
        if file.damage:
            damaged.append(Remark(file.name, file.damage))
    n_notes = counts.pop("n_notes", 0)
    return left_out, damaged, n_notes, dict(counts)


def checked_semitones(semitones):
    """Return transpositions as a list of ints, or say what they should have been."""
    try:
        return [checks.integer("each of the semitones", key, -127) for key in semitones]
    except TypeError as error:
        raise TypeError(f"semitones must be a list of whole numbers: {error}") from None


def _files(remarks):
    return "1 file" if len(remarks) == 1 else f"{len(remarks)} files"


def _table(remarks):
    shown = remarks[:_ROWS_OF_A_TABLE]
    width = max((len(remark.file) for remark in shown), default=0)
    rows = [f"  {remark.file:<{width}}  {remark.reason}" for remark in shown]
    more = len(remarks) - len(shown)
    return rows + ([f"  and {more} more"] if more else [])
