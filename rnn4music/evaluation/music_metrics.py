"""Statistics of tunes, to compare generated with real ones and to find copied passages.

Conventions
-----------
A roll is (T, P), zeros and ones, with any P; column 0 is `lowest_pitch`. A note is a run of steps
in which a pitch is on: a note that is struck again immediately does not count as new, since rolls
do not show it. Rolls with onsets (T, 2P) do, see `midi.onsets`: with ``onsets=True`` the notes are
those that are struck. An onset is a note's first step. The highest voice has the onsets above which
nothing sounds, the "skyline" of A. Uitdenbogerd and J. Zobel, "Manipulation of music for melody
matching", ACM Multimedia 1998; here a held note covers the onsets below it. A statistic that a
tune leaves undefined, such as the note lengths of silence, is NaN; means and comparisons skip it.
Several statistics grow with the length of the tune: compare tunes of similar lengths. Only the
pitch classes depend on the key: transpose the tunes (`rnn4music.data`) if it should not matter.

Source
------
L.-C. Yang and A. Lerch, "On the evaluation of generative models in music", Neural Computing and
Applications 32 (2020, online 2018): pitch count, pitch range, the histograms of pitch classes
and of note lengths, and the comparison of two sets by distances within and between them. The
other statistics are ours, and so is `longest_copy`: it measures a passage by the number of its
changes, since in a chord that is held for 40 steps there is little to copy.
"""

import hashlib
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from midi.onsets import canonical_onsets, onset_notes
from rnn4music._utils import checks
from rnn4music.data import pianoroll

WIDEST_INTERVAL = 12  # semitones; larger leaps share the two outer bins of the interval histogram
NOTE_LENGTHS = (1, 2, 3, 4, 5, 9, 17)  # lower bounds of the bins of the note length histogram
N_GRAM = 8  # steps of the n-grams of `self_similarity`
COPIED = 8  # changes in a passage of `passage_hashes`
_N_CELLS = 1000  # of the grid on which densities are compared
_MARGIN = 5  # bandwidths beyond the smallest and largest distance


@dataclass(frozen=True, eq=False)
class TuneStatistics:
    """The statistics of a tune; each histogram sums to 1.

    Attributes
    ----------
    pitch_class_histogram : (12,)
        C to B; each note counts with its length.
    interval_histogram : (27,)
        Intervals of the highest voice from onset to onset, also over a silence: −13 semitones
        and below, −12, …, 12, and 13 and above. NaN if there is only one onset.
    pitch_range : float
        From the lowest to the highest pitch, in semitones.
    n_pitches : float
        Number of different pitches.
    polyphony : float
        Mean number of sounding pitches, over the steps that are not silent.
    note_density : float
        Onsets per step.
    mean_note_length : float
        In steps.
    note_length_histogram : (7,)
        1, 2, 3, 4, 5 to 8, 9 to 16, and more steps.
    silent_share : float
        Share of the steps that are silent.
    repeated_share : float
        Share of the steps, the first excepted, in which the same pitches sound as in the step
        before and none is struck. NaN if T = 1.
    repeated_notes : float
        Share of the notes that are struck while their pitch sounds. NaN without onsets.
    longest_held : float
        Length of the longest run of steps that each repeat the first of them, silence included.
    self_similarity : float
        Share of the n-grams of eight steps with a change that also occur elsewhere in the tune,
        exactly and in the same key; both places may overlap. NaN if there is no such n-gram.
    """

    pitch_class_histogram: np.ndarray
    interval_histogram: np.ndarray
    pitch_range: float
    n_pitches: float
    polyphony: float
    note_density: float
    mean_note_length: float
    note_length_histogram: np.ndarray
    silent_share: float
    repeated_share: float
    repeated_notes: float
    longest_held: float
    self_similarity: float


class Overlap(NamedTuple):
    """The similarity of two distributions of distances.

    The area that lies under both densities, 0 to 1, and the Kullback-Leibler divergence of the
    distances between the sets from those within the real one, in nats: 0 or more, perhaps inf.
    """

    overlapping_area: float
    kl_divergence: float


class Copy(NamedTuple):
    """A passage that two tunes share; the positions are None if there is no such passage.

    `n_changes` of its `length` steps differ from the step before, not counting the first step.
    The passage of the training tune, moved up by `transposition` semitones, is that of the tune.
    """

    length: int
    n_changes: int
    tune_index: int | None
    generated_start: int | None
    training_start: int | None
    transposition: int | None


def describe(roll, lowest_pitch=21, *, onsets=False):
    """Describe a roll, (T, P) or with `onsets` (T, 2P).

    A silent tune has 0 pitches, onsets and sounding steps; its histograms, range, polyphony, note
    lengths, repeated notes and self-similarity are NaN.

    Returns
    -------
    TuneStatistics

    Raises
    ------
    TypeError, ValueError
        If it is not a roll of zeros and ones, or is empty.
    """
    roll = pianoroll.validate("the roll", roll, binary=True)
    return _describe(*_with_strikes(roll, onsets), lowest_pitch, onsets)


def _describe(roll, struck, lowest_pitch, onsets):
    lowest_pitch = checks.integer("lowest_pitch", lowest_pitch, 0)
    T, P = roll.shape
    n_sounding = roll.sum(axis=1)
    steps_of_pitch = roll.sum(axis=0)
    used = np.flatnonzero(steps_of_pitch)
    pitch_class = (np.arange(P) + lowest_pitch) % 12

    column, first, end = onset_notes(roll, struck).T
    lengths = end - first
    bins = np.searchsorted(NOTE_LENGTHS, lengths, side="right") - 1

    highest = P - 1 - roll[:, ::-1].argmax(axis=1)
    voice = highest[np.sort(first[column == highest[first]])]
    intervals = np.clip(np.diff(voice), -WIDEST_INTERVAL - 1, WIDEST_INTERVAL + 1)

    changes = _changes(roll, struck)
    held = np.diff(np.flatnonzero(np.concatenate(([True], changes, [True]))))
    return TuneStatistics(
        pitch_class_histogram=_shares(pitch_class, 12, weights=steps_of_pitch),
        interval_histogram=_shares(intervals + WIDEST_INTERVAL + 1, 2 * WIDEST_INTERVAL + 3),
        pitch_range=float(used[-1] - used[0]) if len(used) else np.nan,
        n_pitches=float(len(used)),
        polyphony=_mean(n_sounding[n_sounding > 0]),
        note_density=len(lengths) / T,
        mean_note_length=_mean(lengths),
        note_length_histogram=_shares(bins, len(NOTE_LENGTHS)),
        silent_share=_mean(n_sounding == 0),
        repeated_share=_mean(~changes),
        repeated_notes=_mean(roll[first - 1, column] & (first > 0)) if onsets else np.nan,
        longest_held=float(held.max()),
        self_similarity=_self_similarity(np.hstack([roll, struck]) if onsets else roll, changes),
    )


def mean_statistics(rolls, lowest_pitch=21, *, onsets=False):
    """Return the mean of each statistic over the rolls, with equal weight for each tune.

    Returns
    -------
    TuneStatistics
        A statistic is NaN only if it is NaN for every tune.
    """
    means = {}
    for name, values in statistics("rolls", rolls, 1, lowest_pitch, onsets=onsets).items():
        mean = values.mean(axis=0) if len(values) else np.full(values.shape[1], np.nan)
        means[name] = mean if len(mean) > 1 else float(mean[0])
    return TuneStatistics(**means)


def statistics(name, rolls, least=1, lowest_pitch=21, *, onsets=False):
    """Return the statistics of each roll, a (tunes, numbers) array by name.

    Tunes that lack a statistic have no row. Errors call the rolls `name`, of which there must be
    at least `least`.
    """
    rolls = _validate_rolls(name, rolls, least, onsets)
    per_tune = [_describe(*each, lowest_pitch, onsets) for each in rolls]
    result = {}
    for field in fields(TuneStatistics):
        values = np.array([np.atleast_1d(getattr(tune, field.name)) for tune in per_tune])
        result[field.name] = values[~np.isnan(values).any(axis=1)]
    return result


def overlap(generated, real, lowest_pitch=21, *, onsets=False):
    """Compare two sets of tunes, statistic by statistic, as Yang and Lerch do.

    The Euclidean distances of all pairs of real tunes, and of each generated tune to each real
    one, form two distributions, which are smoothed by a Gaussian kernel (Scott's rule) and
    compared. If all distances of one distribution are equal, it gets the other's bandwidth; if
    this holds for both, the overlap is 1 if the distances agree, else 0. A set that resembles the
    real one has an overlap near 1, but so has a set of copies. Compare with the overlap of other
    real tunes.

    Parameters
    ----------
    generated, real : list of (T, P), or with `onsets` of (T, 2P)
        At least two of each.
    lowest_pitch : int

    Returns
    -------
    dict of str to Overlap
        By the names of `TuneStatistics`. NaN if fewer than two tunes of a set have that statistic.
    """
    generated = statistics("generated", generated, 2, lowest_pitch, onsets=onsets)
    real = statistics("real", real, 2, lowest_pitch, onsets=onsets)
    few = [name for name in real if min(len(generated[name]), len(real[name])) < 2]
    return overlap_of_statistics(generated, real) | dict.fromkeys(few, Overlap(np.nan, np.nan))


def overlap_of_statistics(generated, real):
    """Return `overlap` of two sets whose `statistics` are given; of `generated` one tune is enough.

    NaN if no tune of `generated`, or fewer than two of `real`, have a statistic.
    """
    from scipy.spatial.distance import cdist, pdist

    result = dict.fromkeys(real, Overlap(np.nan, np.nan))
    for name in real:
        if len(generated[name]) and len(real[name]) >= 2:
            within = pdist(real[name])  # each pair once
            between = cdist(generated[name], real[name]).ravel()
            result[name] = _compare(within, between)
    return result


def mean_overlap(overlaps):
    """Return the mean overlapping area of the result of `overlap`, without NaN."""
    areas = np.array([overlap.overlapping_area for overlap in overlaps.values()])
    return _mean(areas[~np.isnan(areas)])


def longest_copy(tune, training, any_key=True, *, onsets=False):
    """Find the passage with the most changes that a tune shares with a training tune.

    All pitches agree at every step, and with `onsets` all strikes, which count as changes. The
    passage begins and ends with a step that sounds. Among passages with the same number of changes
    the longest is returned, then the earliest.

    Parameters
    ----------
    tune : (T, P), or with `onsets` (T, 2P)
    training : list of rolls of the same width
    any_key : bool
        Whether a passage may be transposed as a whole.

    Returns
    -------
    Copy
    """
    tune = pianoroll.validate("the tune", tune, binary=True)
    tune, struck = _with_strikes(tune, onsets)
    training = _validate_rolls("training", training, 1, onsets)
    for k, (roll, _) in enumerate(training):
        if roll.shape[1] != tune.shape[1]:
            raise ValueError(
                f"training[{k}] has {roll.shape[1]} pitches, but the tune has {tune.shape[1]}; "
                "give all of them the same pitch range"
            )
    T, P = tune.shape
    first_steps = np.cumsum([0, *(len(roll) for roll, _ in training[:-1])])
    halves = [(tune, struck), *training]
    chords, roots = zip(*(_chords_and_roots(*each, any_key, onsets) for each in halves))
    chord, root = _numbers(np.concatenate(chords)), np.concatenate(roots)
    interval = np.diff(root, prepend=root[0])
    interval[T + first_steps] = P  # no interval is as wide: no passage continues across these
    sounds = np.any(tune, axis=1)
    n_changes = np.concatenate(([0], np.cumsum(_changes(tune, struck))))

    best = Copy(0, 0, None, None, None, None)
    run = np.zeros(len(chord) - T, np.int32)  # steps of the passage that ends at each training step
    for t in range(T):
        run[1:] = run[:-1]
        run *= interval[T:] == interval[t]
        run += (run > 0) | sounds[t]
        run *= chord[T:] == chord[t]
        end = int(run.argmax())
        length = int(run[end])
        start = t - length + 1
        n_new = int(n_changes[t] - n_changes[start]) if length else 0
        if sounds[t] and (n_new, length) > (best.n_changes, best.length):
            k = int(np.searchsorted(first_steps, end, side="right")) - 1
            training_start = end - length + 1 - int(first_steps[k])
            best = Copy(length, n_new, k, start, training_start, int(root[t] - root[T + end]))
    return best


def passage_hashes(roll, *, onsets=False):
    """Return the hash of each passage of `COPIED` changes, each as long as it takes.

    Two passages have the same hash if they agree in pitches, apart from a transposition, in rhythm,
    and with `onsets` in strikes. The length of the last chord does not count.

    Returns
    -------
    (n,) uint32
        In the order in which the passages begin; empty for a tune with fewer changes.
    """
    roll, struck = _with_strikes(pianoroll.validate("the roll", roll, binary=True), onsets)
    chords, roots = _chords_and_roots(roll, struck, True, onsets)
    first = np.flatnonzero(np.concatenate(([True], _changes(roll, struck))))
    chords, links = chords[first], np.stack([np.diff(first), np.diff(roots[first])], axis=1)
    parts = chords.astype(np.uint8), links.astype("<i4")
    hashes = [
        hashlib.blake2b(
            parts[0][k : k + COPIED].tobytes() + parts[1][k : k + COPIED - 1].tobytes(),
            digest_size=4,
        ).digest()
        for k in range(len(first) - COPIED + 1)
    ]
    return np.frombuffer(b"".join(hashes), "<u4")


def _chords_and_roots(roll, struck, any_key, onsets):
    """Return the chords relative to their lowest pitch, as bits, and that pitch.

    With `onsets` the bits of the strikes follow. Without `any_key` the lowest pitch is 0. A silent
    step has the root of the last chord, so that a passage keeps its key over a rest.
    """
    T, P = roll.shape
    lowest = roll.argmax(axis=1) if any_key else np.zeros(T, int)
    places = (lowest[:, None] + np.arange(P)) % P
    chords = [np.take_along_axis(half, places, axis=1) for half in (roll, struck)[: 1 + onsets]]
    last_chord = np.maximum.accumulate(np.where(roll.any(axis=1), np.arange(T), 0))
    return np.packbits(np.hstack(chords), axis=1), lowest[last_chord]


def _changes(roll, struck):
    """Return for each step after the first whether other pitches sound, or any is struck."""
    return ((roll[1:] != roll[:-1]) | struck[1:]).any(axis=1)


def _numbers(table):
    """Number the rows of a table of integers from 0; only equal rows have equal numbers."""
    numbers = np.zeros(len(table), np.int64)
    for column in table.T.astype(np.int64):
        _, numbers = np.unique(numbers * (column.max() + 1) + column, return_inverse=True)
    return numbers


def _self_similarity(roll, changes):
    """Return `TuneStatistics.self_similarity`; `changes` are those of `_changes`."""
    if len(roll) < N_GRAM or not changes.any():
        return np.nan
    steps = _numbers(np.packbits(roll, axis=1))
    something_changes = sliding_window_view(changes, N_GRAM - 1).any(axis=1)
    n_gram = _numbers(sliding_window_view(steps, N_GRAM)[something_changes])
    return _mean(np.bincount(n_gram)[n_gram] > 1)


def _compare(within, between):
    """Return the `Overlap` of two samples of distances."""
    # Scott's rule, as in `scipy.stats.gaussian_kde`; 0 without variance
    bandwidths = [np.ptp(x) and x.std(ddof=1) * len(x) ** -0.2 for x in (within, between)]
    widest = max(bandwidths)
    if not widest:
        return Overlap(1.0, 0.0) if within[0] == between[0] else Overlap(0.0, np.inf)
    low = min(within.min(), between.min()) - _MARGIN * widest
    high = max(within.max(), between.max()) + _MARGIN * widest
    edges = np.linspace(low, high, _N_CELLS + 1)
    distances_between_cells = (edges[1] - edges[0]) * np.arange(1 - _N_CELLS, _N_CELLS)
    densities = []  # the share of the smoothed distances in each cell
    for distances, bandwidth in zip((within, between), bandwidths):
        kernel = np.exp(-((distances_between_cells / (bandwidth or widest)) ** 2) / 2)
        density = np.convolve(np.histogram(distances, edges)[0], kernel, "valid")
        densities.append(density / density.sum())
    p, q = densities
    area = float(np.minimum(p, q).sum())
    p, q = p[p > 0], q[p > 0]
    with np.errstate(divide="ignore"):
        divergence = float((p * (np.log(p) - np.log(q))).sum())
    return Overlap(area, max(divergence, 0.0))


def _shares(values, n_bins, weights=None):
    counts = np.bincount(values, weights, n_bins)
    return counts / counts.sum() if counts.any() else np.full(n_bins, np.nan)


def _mean(values):
    return float(np.mean(values)) if len(values) else np.nan


def _with_strikes(roll, onsets):
    """Return a validated roll and its canonical onset roll, (T, P) booleans."""
    roll, struck = pianoroll.halves(np.asarray(roll, bool), onsets)
    return roll, canonical_onsets(roll, struck)


def _validate_rolls(name, value, least, onsets):
    """Return a list of at least `least` rolls with their canonical onset rolls."""
    if getattr(value, "onsets", onsets) != onsets:
        raise ValueError(
            f"{name} is a collection {'without' if onsets else 'with'} onsets; give "
            f"onsets={not onsets}"
        )
    rolls = pianoroll.validate_dataset(name, value, binary=True)
    if len(rolls) < least:
        raise ValueError(f"{name} must be at least {least} piano rolls, but {len(rolls)} are given")
    return [_with_strikes(roll, onsets) for roll in rolls]
