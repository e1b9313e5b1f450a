"""Occlusion: how much other notes contribute to the prediction of a note.

An earlier note is removed from the tune, from its start to its end, and the network reads the
tune without it. The *effect* of the note is the log-odds of the predicted note with it, minus
those without it. This describes the given network and tune alone: redundant notes stand in for
each other, and a tune with a gap may be unlike any in the training set.

Conventions
-----------
A note is a run of steps in which a pitch is on; in a roll with onsets (T, 2P), see `midi.onsets`,
it ends where it is struck again. An effect is in nats: with ln 2, the note doubles the odds; below
0 it lowers them.

Source
------
M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
who cover parts of an image.
"""

import numpy as np

from midi.onsets import onset_notes
from rnn4music._utils import checks
from rnn4music.data import pianoroll

_MOST_CELLS = 2**22  # of the tunes of one prediction: 32 MB


def occlusion_effects(network, roll, step, column, *, onsets=False):
    """Return the effect of each note before `step` on the note in `column` at `step`.

    Parameters
    ----------
    network : object
        Has `predict`, such as `NumpyNetwork` and `RNN4Music`.
    roll : (T, P), or with `onsets` (T, 2P)
        A tune, zeros and ones; the network does not read its rows from `step` on, except that with
        chords the lower notes of the row `step` count. If the network has conditions, they follow
        in each row.
    step : int
        From 1 to T; T is the step after the last row. With conditions at most T − 1, since those of
        the step have to be known.
    column : int
        From 0 to P − 1; whether it sounds in the roll does not matter.
    onsets : bool
        Whether the roll has its struck columns beside the sounding ones. The predicted note is
        then one that sounds, struck or held.

    Returns
    -------
    (T, P) float
        Log-odds with the note minus log-odds without it, in each cell of the note; 0 elsewhere.

    Notes
    -----
    A network with chords predicts the note given the lower notes at `step`, which stay. At T there
    are none, and `predict` estimates the odds by drawing: slower, and inexact.
    """
    rows, roll = _rows(network, roll)
    sounding, struck = pianoroll.halves(roll, onsets)
    n_positions = len(rows) - (rows.shape != roll.shape)
    step, column = validate_position(sounding[:n_positions], step, column)
    earlier, P = rows[:step], sounding.shape[1]
    notes = onset_notes(sounding[:step], None if struck is None else struck[:step])
    batch_size = max(1, _MOST_CELLS // earlier.size)

    def log_odds(tunes):
        """Return the log-odds (B,) of the note after tunes (step, B, P)."""
        if step == len(rows):
            return _log_odds(network.predict(tunes)[-1, :, column])
        following = np.broadcast_to(rows[1 : step + 1, None], tunes.shape)
        return _log_odds(network.predict(tunes, following)[-1, :, column])

    with_all = log_odds(earlier[:, None])
    effects = np.zeros_like(sounding)
    for batch in (notes[k : k + batch_size] for k in range(0, len(notes), batch_size)):
        tunes = np.repeat(earlier[:, None], len(batch), axis=1)  # (step, notes, P)
        for n, (pitch, first, end) in enumerate(batch):
            tunes[first:end, n, pitch : roll.shape[1] : P] = 0  # sounding, and struck
        for (pitch, first, end), effect in zip(batch, with_all - log_odds(tunes)):
            effects[first:end, pitch] = effect
    return effects


def chord_effects(network, roll, widest=24, *, onsets=False):
    """Return how a note changes the odds of the notes above it, in a network with chords.

    At each step of the tune, first its lowest note alone is assumed to sound, then also the note
    a semitones above it. The log-odds of the note b semitones above the lowest are compared.

    Parameters
    ----------
    network : object
        Has `predict`, and `chord_units`, such as `NumpyNetwork` and `RNN4Music`.
    roll : (T, P), or with `onsets` (T, 2P)
        A tune, zeros and ones, T at least 2. If the network has conditions, they follow in each
        row.
    widest : int
        Largest interval, in semitones.
    onsets : bool
        Whether the roll has its struck columns beside the sounding ones. Sounding notes are
        compared: they do not depend on the struck ones of their step.

    Returns
    -------
    (widest + 1, widest + 1) float
        In row a and column b, a < b: log-odds with the note a minus log-odds without it, the mean
        over all steps; in row 0 with the lowest note minus those with none. NaN elsewhere, and
        where no step has room for both notes.

    Raises
    ------
    ValueError
        If the network has no chords, or the tune no note after its first step.
    """
    if network.chord_units is None:
        raise ValueError(
            "this model gives the pitches of a step independent probabilities: train one with "
            "chord_units"
        )
    rows, roll = _rows(network, roll)
    widest = checks.integer("widest", widest, low=1)
    sounding, _ = pianoroll.halves(roll, onsets)
    steps = np.flatnonzero(sounding[1:].any(axis=1))
    if not len(steps):
        raise ValueError("roll has no notes after its first step")
    P, lowest = sounding.shape[1], sounding[1:].argmax(axis=1)[steps]

    def log_odds(*intervals):
        """Return the log-odds (steps, P) in chords with these intervals above the lowest note."""
        following = rows[1:].copy()
        following[:, : roll.shape[1]] = 0
        for interval in intervals:
            fits = lowest + interval < P
            following[steps[fits], (lowest + interval)[fits]] = 1
        return _log_odds(network.predict(rows[:-1], following)[steps])

    effects = np.full((widest + 1, widest + 1), np.nan)
    silent, alone = log_odds(), log_odds(0)
    for a in range(widest):
        change = log_odds(0, a) - alone if a else alone - silent
        for b in range(a + 1, widest + 1):
            fits = np.flatnonzero(lowest + b < P)
            if len(fits):
                effects[a, b] = change[fits, (lowest + b)[fits]].mean()
    return effects


def _rows(network, roll):
    """Return the rows of a tune, and the roll that they are without conditions."""
    rows = pianoroll.validate("roll", roll).astype(float)
    roll = rows[:, : rows.shape[1] - getattr(network, "conditions", 0)]
    return rows, pianoroll.validate("roll", roll, binary=True)


def validate_position(roll, step, column):
    """Return `step` and `column` as integers, or raise a ValueError if outside the roll."""
    T, P = roll.shape
    position = []
    for name, value, low, high in (("step", step, 1, T), ("column", column, 0, P - 1)):
        position.append(checks.integer(name, value, low))
        if value > high:
            raise ValueError(f"{name} must be at most {high} for this roll, but is {value}")
    return position


def _log_odds(probability):
    """Return ln p/(1 − p), where 0 and 1 count as the number next to them.

    That is the smallest normal number of the precision, or the largest below 1. Small p are
    exact; near 1 they are as coarse as the numbers there, which are 6e-8 apart in float32.
    """
    limits = np.finfo(np.asarray(probability).dtype)
    p = np.clip(np.asarray(probability, float), float(limits.tiny), 1 - float(limits.epsneg))
    return np.log(p) - np.log1p(-p)
