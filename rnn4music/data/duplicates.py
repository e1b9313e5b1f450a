"""Which tunes of a collection are copies of each other, or nearly.

Collections hold the same tune twice: under another name, in another key, at another tempo, with
silence before it, with a few notes changed. Split by chance, one copy is learned from and the
other is tested on. Two tunes count as near copies here if half of what happens in the shorter
one also happens in the other.

What happens in a tune is the set of its passages of eight chords. A chord is the set of keys
that sound, relative to the lowest, and the interval of that to the lowest of the chord before;
chords that last for several steps count once, and so do silences. Passages are compared by hash
(a polynomial over the ring of 64-bit integers, with odd bases).

Of a collection that does not fit into memory the passages may not either. A tune's *sketch* has
all passages of a tune that has no more than 64; of a longer one the half, the quarter or, from 257
on, the eighth: those whose hashes, mixed, begin with one, two or three zeros, its *level*. Two
tunes are compared by the passages that both would have at the higher of their levels, which are
the same sample of what may happen (A. Broder, "On the resemblance and containment of documents",
SEQUENCES 1997), and have to share four at least. The share that is found strays from the true one
by some 0.07 where 50 passages of the shorter are left, by more where a short tune is part of a
long one.
"""

from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple

import numpy as np

PASSAGE = 8  # chords
SHARED = 0.5  # of the passages of the tune that has fewer
_COMMON = 1000  # a passage in more tunes than these counts only where all are the same
_TUNES_AT_ONCE = 256
_SKETCH = 64  # passages of which all are kept, and at the most, but for chance, of more,
_HIGHEST_LEVEL = 3  # but an eighth of very many
_FEWEST = 4  # of them that near copies share, where not all were kept

_KEY = np.uint64(0x9E3779B97F4A7C15)
_CHORD = np.uint64(0xC2B2AE3D27D4EB4F)
_INTERVAL = np.uint64(0x165667B19E3779F9)


class Sketch(NamedTuple):
    """The passages by which a tune is compared."""

    level: int
    passages: Any  # sorted hashes


def group_near_copies(rolls):
    """Give each of the rolls, (T, P) each, the number of its group of near copies.

    Returns
    -------
    list of int
        Groups are numbered by their first tune; copies of copies are in one group.
    """
    return group_sketches([Sketch(0, passages_of(roll)) for roll in rolls])


def group_sketches(sketches):
    """Give each of the tunes that have these sketches the number of its group of near copies.

    As `group_near_copies`; with sketches of level 0, which hold all passages, the same.
    """
    from scipy.sparse import csr_matrix, vstack
    from scipy.sparse.csgraph import connected_components

    first_with = {}
    keys = ((sketch.level, sketch.passages.tobytes()) for sketch in sketches)
    exact = [first_with.setdefault(key, tune) for tune, key in enumerate(keys)]
    different = sorted(first_with.values(), key=lambda tune: sketches[tune].level)
    levels = [sketches[tune].level for tune in different]
    passages = [sketches[tune].passages for tune in different]
    owner = np.repeat(np.arange(len(different), dtype=np.int32), [len(each) for each in passages])
    passages = np.concatenate([np.empty(0, np.uint64), *passages])
    rows = [csr_matrix((0, len(different)), dtype=bool)]
    for level in sorted(set(levels)):
        tunes = range(bisect_left(levels, level), bisect_right(levels, level))
        sampled = _is_sampled(passages, level) & (owner < tunes.stop)
        fewest = _FEWEST if level else 0
        rows += _pairs(passages[sampled], owner[sampled], tunes, len(different), fewest)
    _, group = connected_components(vstack(rows), directed=False)
    first_of = np.full(len(different), len(sketches))
    np.minimum.at(first_of, group, different)
    number = dict(zip(different, first_of[group].tolist()))
    return [number[tune] for tune in exact]


def _pairs(passages, owner, tunes, n_tunes, fewest):
    """Return which tunes are near copies of those in `tunes`.

    Parameters
    ----------
    passages, owner : (n,)
        Hashes of passages, and the tunes that have them: those in `tunes` and below.
    tunes : range
    n_tunes : int
    fewest : int
        Passages that near copies share at the least.

    Returns
    -------
    list of sparse (rows, n_tunes)
        A row for each of `tunes`; some rows at a time, for the memory.
    """
    from scipy.sparse import csr_matrix

    lengths = np.bincount(owner, minlength=n_tunes)
    shared = _stands_twice(passages)
    passages, owner = passages[shared], owner[shared]
    _, passage, n_owners = np.unique(passages, return_inverse=True, return_counts=True)
    counts = n_owners[passage] <= _COMMON
    shape = (n_tunes, len(n_owners))
    has = csr_matrix((np.ones(counts.sum(), np.int32), (owner[counts], passage[counts])), shape)
    rows = []
    for start in range(tunes.start, tunes.stop, _TUNES_AT_ONCE):
        shared = (has[start : min(start + _TUNES_AT_ONCE, tunes.stop)] @ has.T).tocoo()
        enough = SHARED * np.minimum(lengths[start + shared.row], lengths[shared.col])
        shared.data = shared.data >= np.maximum(enough, fewest)
        shared.eliminate_zeros()
        rows.append(shared)
    return rows


def _stands_twice(values):
    """Return where there are those values that others equal."""
    order = np.argsort(values)
    ordered = values[order]
    is_next = ordered[1:] == ordered[:-1]
    twice = np.zeros(len(values), bool)
    twice[1:] |= is_next
    twice[:-1] |= is_next
    return order[twice]


def sketch_of(roll):
    """Return the sketch of a (T, P) roll."""
    passages = passages_of(roll)
    level = max(0, (len(passages) - 1).bit_length() - (_SKETCH - 1).bit_length())
    level = min(level, _HIGHEST_LEVEL)
    return Sketch(level, passages[_is_sampled(passages, level)])


def _is_sampled(passages, level):
    """Say of each hash whether it begins with `level` zeros once its bits are mixed."""
    with np.errstate(over="ignore"):
        mixed = (passages ^ (passages >> np.uint64(32))) * _KEY
        mixed = (mixed ^ (mixed >> np.uint64(29))) * _CHORD
    return (mixed ^ (mixed >> np.uint64(32))) <= np.uint64(2 ** (64 - level) - 1)


def passages_of(roll):
    """Return the sorted hashes of a roll's passages; a shorter tune is one passage."""
    roll = np.asarray(roll).astype(bool)
    roll = roll[roll.any(axis=1)]
    changes = (roll[1:] != roll[:-1]).any(axis=1)
    chords = roll[np.concatenate(([True], changes))] if len(roll) else roll
    lowest = chords.argmax(axis=1)
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(chords.shape[1], _KEY))
        # relative to the lowest key: divided by its power
        absolute = (chords * powers).sum(axis=1, dtype=np.uint64)
        inverse = np.cumprod(np.full(chords.shape[1], np.uint64(pow(int(_KEY), -1, 2**64))))
        shape = absolute * inverse[lowest]
        interval = np.diff(lowest, prepend=lowest[:1]).astype(np.int64).view(np.uint64)
        n_passages = max(len(chords) - PASSAGE + 1, 1)
        passages = np.zeros(n_passages, np.uint64)
        for place in range(min(PASSAGE, len(chords))):
            stop = place + n_passages
            passages = (passages + shape[place:stop]) * _CHORD
            if place:  # the passage itself may begin on any key
                passages = (passages + interval[place:stop] * _INTERVAL) * _CHORD
    return np.unique(passages)
