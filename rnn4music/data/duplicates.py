"""Duplicates and near duplicates among the tunes of a collection.

Collections often hold a tune twice: under another name, in another key, with silence before it, or
with a few notes changed. A random split may put one copy in the training part and the other in the
test part. Two tunes count as near duplicates if the one with fewer n-grams shares at least half of
them with the other.

An n-gram is eight chords in a row. A chord is the set of sounding pitches relative to the lowest,
together with the interval from the previous chord's lowest pitch. A chord that lasts several steps
counts once, even if it is struck again; silences are ignored. A copy at another tempo is found if
steps are parts of a beat; in steps of seconds, only if sampling leaves the chords unchanged.
N-grams are compared by hash (a polynomial over the ring of 64-bit integers, with odd bases).

The n-grams of a large collection may not fit into memory. A tune's *sketch* is a sample of them:
all n-grams of a tune with at most 64, a half up to 128, a quarter up to 256, an eighth beyond. The
sample has the n-grams whose mixed hashes begin with zero, one, two or three zero bits; this number
is the sketch's *level*. Two tunes are compared by the n-grams that both have at the higher of their
levels, which are the same sample of each (A. Broder, "On the resemblance and containment of
documents", SEQUENCES 1997); they must share at least four. The estimated share has an error of
about 0.07 if 50 n-grams of the shorter tune are left, and more if a short tune is part of a long
one.
"""

from typing import Any, NamedTuple

import numpy as np

from rnn4music.data.pianoroll import halves

N = 8  # chords per n-gram
SHARED = 0.5  # share of the n-grams of the tune with fewer
_COMMON = 1000  # n-grams in more tunes than this are ignored, except between identical tunes
_BATCH = 256  # tunes compared at a time, to bound memory
_SKETCH = 64  # expected n-grams of a sketch are at most this many, up to _HIGHEST_LEVEL
_HIGHEST_LEVEL = 3  # keeps an eighth
_FEWEST = 4  # n-grams that near duplicates share at least, if they were sampled

_PITCH = np.uint64(0x9E3779B97F4A7C15)
_CHORD = np.uint64(0xC2B2AE3D27D4EB4F)
_INTERVAL = np.uint64(0x165667B19E3779F9)


class Sketch(NamedTuple):
    """A sample of a tune's n-grams."""

    level: int
    ngrams: Any  # sorted hashes


def group_near_duplicates(rolls, *, onsets=False):
    """Return the number of each roll's group of near duplicates.

    Parameters
    ----------
    rolls : iterable of (T, P), or with `onsets` (T, 2P)

    Returns
    -------
    list of int
        Index of the group's first tune. Duplicates of duplicates are in one group.
    """
    return group_sketches([Sketch(0, ngrams_of(halves(roll, onsets)[0])) for roll in rolls])


def group_sketches(sketches):
    """Return the number of each sketch's group, as `group_near_duplicates` does."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    first_with = {}
    keys = ((sketch.level, sketch.ngrams.tobytes()) for sketch in sketches)
    exact = [first_with.setdefault(key, tune) for tune, key in enumerate(keys)]
    tunes = np.fromiter(first_with.values(), int)
    level_of = np.array([sketches[tune].level for tune in tunes], int)
    ngrams = [sketches[tune].ngrams for tune in tunes]
    owner = np.repeat(np.arange(len(tunes), dtype=np.int32), [len(each) for each in ngrams])
    ngrams = np.concatenate([np.empty(0, np.uint64), *ngrams])
    pairs = [np.empty((2, 0), int)]
    for level in np.unique(level_of):
        sampled = _is_sampled(ngrams, level) & (level_of <= level)[owner]
        pairs += _pairs(ngrams[sampled], owner[sampled], level_of, level)
    pairs = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(pairs.shape[1], bool), pairs), (len(tunes),) * 2)
    _, group = connected_components(graph, directed=False)
    first_of = np.full(len(tunes), len(sketches))
    np.minimum.at(first_of, group, tunes)
    number = dict(zip(tunes.tolist(), first_of[group].tolist()))
    return [number[tune] for tune in exact]


def _pairs(ngrams, owner, level_of, level):
    """Yield (2, n) arrays: tunes of this level, and their near duplicates among all owners."""
    from scipy.sparse import csr_matrix

    n_ngrams = np.bincount(owner, minlength=len(level_of))
    order = np.argsort(ngrams)
    ngrams, owner = ngrams[order], owner[order]
    is_last = np.append(ngrams[1:] != ngrams[:-1], True)[: len(ngrams)]
    del ngrams, order  # they may take much memory
    n_owners = np.diff(np.flatnonzero(is_last), prepend=-1)  # of each distinct n-gram, sorted
    counts = (n_owners > 1) & (n_owners <= _COMMON)
    owners, ends = owner[np.repeat(counts, n_owners)], np.cumsum(n_owners[counts])
    ones = np.ones(len(owners), np.int32)
    owned_by = csr_matrix((ones, owners, np.append(0, ends)), (len(ends), len(level_of)))
    has = owned_by.T.tocsr()
    of_level = np.flatnonzero(level_of == level)
    for start in range(0, len(of_level), _BATCH):
        batch = of_level[start : start + _BATCH]
        shared = (has[batch] @ owned_by).tocoo()
        tune, other = batch[shared.row], shared.col
        enough = SHARED * np.minimum(n_ngrams[tune], n_ngrams[other])
        is_near = shared.data >= np.maximum(enough, _FEWEST if level else 0)
        yield np.stack((tune[is_near], other[is_near]))


def sketch_of(roll, *, onsets=False):
    """Return the sketch of a roll, (T, P) or with `onsets` (T, 2P)."""
    ngrams = ngrams_of(halves(roll, onsets)[0])
    level = (len(ngrams) - 1).bit_length() - (_SKETCH - 1).bit_length()
    level = min(max(0, level), _HIGHEST_LEVEL)
    return Sketch(level, ngrams[_is_sampled(ngrams, level)])


def _is_sampled(ngrams, level):
    """Return a mask of the hashes that begin with `level` zero bits once they are mixed."""
    with np.errstate(over="ignore"):
        mixed = (ngrams ^ (ngrams >> np.uint64(32))) * _PITCH
        mixed = (mixed ^ (mixed >> np.uint64(29))) * _CHORD
    return (mixed ^ (mixed >> np.uint64(32))) <= np.uint64(2 ** (64 - int(level)) - 1)


def ngrams_of(roll):
    """Return the sorted hashes of a (T, P) roll's n-grams; a tune of fewer chords is one n-gram."""
    roll = np.asarray(roll).astype(bool)
    roll = roll[roll.any(axis=1)]
    changes = (roll[1:] != roll[:-1]).any(axis=1)
    chords = roll[np.concatenate(([True], changes))] if len(roll) else roll
    lowest = chords.argmax(axis=1)
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(chords.shape[1], _PITCH))
        # dividing by the lowest pitch's power makes the hash relative to it
        absolute = (chords * powers).sum(axis=1, dtype=np.uint64)
        inverse = np.cumprod(np.full(chords.shape[1], np.uint64(pow(int(_PITCH), -1, 2**64))))
        shape = absolute * inverse[lowest]
        interval = np.diff(lowest, prepend=lowest[:1]).astype(np.int64).view(np.uint64)
        n_ngrams = max(len(chords) - N + 1, 1)
        ngrams = np.zeros(n_ngrams, np.uint64)
        for place in range(min(N, len(chords))):
            stop = place + n_ngrams
            ngrams = (ngrams + shape[place:stop]) * _CHORD
            if place:  # the first chord's pitch does not matter
                ngrams = (ngrams + interval[place:stop] * _INTERVAL) * _CHORD
    return np.unique(ngrams)
