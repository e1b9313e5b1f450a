"""Which tunes of a collection are copies of each other, or nearly.

Collections hold the same tune twice: under another name, in another key, at another tempo, with
silence before it, with a few notes changed. Split by chance, one copy is learned from and the
other is tested on. Two tunes count as near copies here if half of what happens in the shorter
one also happens in the other.

What happens in a tune is the set of its passages of eight chords. A chord is the set of keys
that sound, relative to the lowest, and the interval of that to the lowest of the chord before;
chords that last for several steps count once, and so do silences. Passages are compared by hash
(a polynomial over the ring of 64-bit integers, with odd bases).
"""

import numpy as np

PASSAGE = 8  # chords
SHARED = 0.5  # of the passages of the tune that has fewer
_COMMON = 1000  # a passage in more tunes than these counts only where all are the same
_TUNES_AT_ONCE = 256

_KEY = np.uint64(0x9E3779B97F4A7C15)
_CHORD = np.uint64(0xC2B2AE3D27D4EB4F)
_INTERVAL = np.uint64(0x165667B19E3779F9)


def group_near_copies(rolls):
    """Give each of the rolls, (T, P) each, the number of its group of near copies.

    Returns
    -------
    list of int
        Groups are numbered by their first tune; copies of copies are in one group.
    """
    from scipy.sparse.csgraph import connected_components

    first_with = {}
    passages = [passages_of(roll) for roll in rolls]
    exact = [first_with.setdefault(each.tobytes(), tune) for tune, each in enumerate(passages)]
    different = list(first_with.values())
    pairs = _pairs([passages[tune] for tune in different])
    _, group = connected_components(pairs, directed=False)
    _, first_of = np.unique(group, return_index=True)
    number = {tune: different[k] for tune, k in zip(different, first_of[group].tolist())}
    return [number[tune] for tune in exact]


def _pairs(passages):
    """Return a sparse (tunes, tunes) matrix of which of them are near copies."""
    from scipy.sparse import csr_matrix, vstack

    lengths = np.array([len(each) for each in passages], int)
    everything = np.concatenate([np.empty(0, np.uint64), *passages])
    owner = np.repeat(np.arange(len(passages)), lengths)
    _, passage, n_owners = np.unique(everything, return_inverse=True, return_counts=True)
    counts = n_owners[passage] <= _COMMON
    shape = (len(passages), len(n_owners))
    has = csr_matrix((np.ones(counts.sum(), np.int32), (owner[counts], passage[counts])), shape)
    rows = [csr_matrix((0, len(passages)), dtype=bool)]
    for start in range(0, len(passages), _TUNES_AT_ONCE):  # for the memory
        shared = (has[start : start + _TUNES_AT_ONCE] @ has.T).tocoo()
        enough = SHARED * np.minimum(lengths[start + shared.row], lengths[shared.col])
        shared.data = shared.data >= enough
        shared.eliminate_zeros()
        rows.append(shared)
    return vstack(rows)


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
