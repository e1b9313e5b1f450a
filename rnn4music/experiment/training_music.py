"""Record of the music that a model was trained on, in its metadata.

Conventions
-----------
``training_tunes`` is text with 8 characters for each tune: the base64 of a hash of its roll, which
does not change with a transposition, or with silence before and after the tune. ``baseline`` is
(2, P): the log-odds that a pitch sounds next if it is silent now, and if it sounds now, as in
`evaluation.baselines.markov_probabilities`.

``training_statistics`` has the `evaluation.music_metrics.statistics` of at most 100 passages of 64
steps, drawn from all tunes: a list of rows by name. ``training_passages`` is the base64 of the
sorted `passage_hashes` of the tunes, of which the 10,000 smallest are kept: these are a random
sample, and for any tune the share of its hashes up to the largest kept that are among them
estimates the share of its passages that occur in the training music. It is None if the passages of
an earlier training are missing.
"""

import base64
import hashlib
from typing import NamedTuple

import numpy as np

from rnn4music._utils.console import Bar
from rnn4music.data.pianoroll import lengths
from rnn4music.evaluation import music_metrics
from rnn4music.evaluation.baselines import markov_probabilities

TUNES, BASELINE = "training_tunes", "baseline"
STATISTICS, PASSAGES = "training_statistics", "training_passages"
_LENGTH = 8  # characters
_N_STEPS, _N_DESCRIBED, _N_HASHES = 64, 100, 10_000
_BATCH = 100  # tunes whose hashes are sorted together
_LEAST = 20  # hashes of a tune to compare with a sample


def record(metadata, tunes, further=False, progress=False):
    """Return the metadata of `tunes`, and of those that the model was trained on before.

    `further` if it was trained before; `progress` to show a bar if this takes long.
    """
    hashes, known, seen = known_hashes(metadata) or set(), _passages(metadata), set()
    passages = [np.zeros(0, "<u4") if known is None else known]
    onsets = bool(getattr(tunes, "onsets", False))

    def hashed():
        for tune in Bar(tunes, "reading the music", unit="tune", disable=not progress, delay=5):
            hash = hash_of(tune)
            if hash not in seen:  # not a transposition of an earlier tune
                seen.add(hash)
                passages.append(music_metrics.passage_hashes(tune, onsets=onsets))
                if len(passages) == _BATCH:
                    passages[:] = [_smallest(passages)]
            yield tune
        hashes.update(seen)

    chain = markov_probabilities(hashed(), of=tunes)
    n_pitches = np.shape(tunes[0])[1]
    log_odds = [chain(np.full((1, 1, n_pitches), value))[0, 0] for value in (0, 1)]
    return {
        TUNES: "".join(sorted(hashes)),
        BASELINE: np.round(log_odds, 4).tolist(),
        STATISTICS: {
            name: [[float(f"{value:.3g}") for value in row] for row in rows.tolist()]
            for name, rows in _statistics_of_some(tunes, onsets).items()
        },
        PASSAGES: None if known is None and further else _text(_smallest(passages)),
    }


def is_recorded(metadata):
    """Return whether metadata have everything that `record` returns."""
    return {TUNES, BASELINE, STATISTICS, PASSAGES} <= metadata.keys()


def _smallest(passages):
    """Return the smallest hashes of several arrays, sorted."""
    return np.unique(np.concatenate(passages))[:_N_HASHES]


def _statistics_of_some(tunes, onsets):
    """Return the statistics of passages drawn from all tunes."""
    n_passages = np.maximum(lengths(tunes) // _N_STEPS, 1)
    ends, passages = np.cumsum(n_passages), []
    drawn = np.random.default_rng(0).permutation(ends[-1])[:_N_DESCRIBED]
    for passage in np.sort(drawn):
        k = int(np.searchsorted(ends, passage, side="right"))
        first = _N_STEPS * int(passage - ends[k] + n_passages[k])
        passages.append(tunes[k][first : first + _N_STEPS])
    return music_metrics.statistics("tunes", passages, onsets=onsets)


class Likeness(NamedTuple):
    """How much a tune has in common with the training music.

    Attributes
    ----------
    alike : float
        Mean overlapping area, from 0 to 1, of the statistics of its passages of 64 steps with those
        of the training music; see `evaluation.overlap`. 0 for a statistic that the tune lacks.
    copied : float or None
        Share of its passages of eight changes that occur in the training music, in any key. None if
        it is unknown: too few were compared, or not all training music is recorded.
    """

    alike: float
    copied: float | None

    @property
    def score(self):
        """What is high for a tune that is like the music and not copied from it."""
        return self.alike * (1 - (self.copied or 0))


def likeness(metadata, roll, onsets):
    """Return the `Likeness` of a roll to the training music of the model with these metadata.

    None if the metadata do not describe that music.
    """
    try:
        described = {name: np.array(rows, float) for name, rows in metadata[STATISTICS].items()}
        last = max(len(roll) - _N_STEPS, 0)
        parts = [roll[first : first + _N_STEPS] for first in range(0, last + 1, _N_STEPS)]
        own = music_metrics.statistics("the tune", parts, onsets=onsets)
        overlaps = music_metrics.overlap_of_statistics(own, described)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    areas = [
        overlap.overlapping_area if len(own[name]) else 0.0
        for name, overlap in overlaps.items()
        if len(described[name]) >= 2
    ]
    copied = _copied(_passages(metadata), music_metrics.passage_hashes(roll, onsets=onsets))
    return Likeness(float(np.mean(areas)), copied) if areas else None


def _copied(known, hashes):
    """Return the share of hashes that are known, or None if that is unknown."""
    if known is None:
        return None
    least = 1
    if len(known) == _N_HASHES:  # a sample
        hashes, least = hashes[hashes <= known[-1]], _LEAST
    return float(np.isin(hashes, known).mean()) if len(hashes) >= least else None


def _text(passages):
    return base64.b64encode(passages.astype("<u4").tobytes()).decode()


def _passages(metadata):
    """Return the sorted hashes of passages in metadata, or None if they have none."""
    try:
        return np.frombuffer(base64.b64decode(metadata[PASSAGES]), "<u4")
    except (KeyError, TypeError, ValueError):
        return None


def hash_of(roll):
    """Return the hash of a (T, P) roll."""
    roll = np.asarray(roll) >= 0.5
    steps, pitches = (np.flatnonzero(roll.any(axis=axis)) for axis in (1, 0))
    if len(steps):
        roll = roll[steps[0] : steps[-1] + 1, pitches[0] : pitches[-1] + 1]
    content = repr(roll.shape).encode() + np.packbits(roll).tobytes()
    return base64.b64encode(hashlib.blake2b(content, digest_size=6).digest(), b"-_").decode()


def known_hashes(metadata):
    """Return the hashes in metadata, or None if there are none."""
    text = metadata.get(TUNES)
    if not isinstance(text, str) or not text:
        return None
    return {text[k : k + _LENGTH] for k in range(0, len(text), _LENGTH)}


def baseline(metadata, n_pitches):
    """Return the baseline in metadata, as `evaluation.score` takes it, or None."""
    try:
        silent, sounding = np.array(metadata.get(BASELINE), float).reshape(2, n_pitches)
    except (TypeError, ValueError):
        return None
    return lambda inputs, following=None: np.where(inputs >= 0.5, sounding, silent)
