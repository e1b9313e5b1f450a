"""Record of the music that a model was trained on, in its metadata.

Conventions
-----------
``training_tunes`` is text with 8 characters for each tune: the base64 of a hash of its roll, which
does not change with a transposition, or with silence before and after the tune. ``baseline`` is
(2, P): the log-odds that a pitch sounds next if it is silent now, and if it sounds now, as in
`evaluation.baselines.markov_probabilities`.
"""

import base64
import hashlib

import numpy as np

from rnn4music.evaluation.baselines import markov_probabilities

TUNES, BASELINE = "training_tunes", "baseline"
_LENGTH = 8  # characters


def record(metadata, tunes):
    """Return the metadata of `tunes`, and of those that the model was trained on before."""
    hashes = known_hashes(metadata) or set()

    def hashed():
        for tune in tunes:
            hashes.add(hash_of(tune))
            yield tune

    chain = markov_probabilities(hashed(), of=tunes)
    n_pitches = np.shape(tunes[0])[1]
    log_odds = [chain(np.full((1, 1, n_pitches), value))[0, 0] for value in (0, 1)]
    return {TUNES: "".join(sorted(hashes)), BASELINE: np.round(log_odds, 4).tolist()}


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
