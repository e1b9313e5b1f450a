"""Onset rolls: which cells of a piano roll are struck.

Conventions
-----------
T is the number of frames, P the number of pitches. An onset roll (T, P) has 1 where a note
is struck. A struck cell that does not sound is dropped. A sounding cell after a silent one,
or in the first frame, is struck whatever the onset roll says. An onset roll to which these
rules have been applied is canonical; those that `midiread` returns are. A roll with onsets
(T, 2P) holds both rolls side by side: first the P sounding columns, then the P struck ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def canonical_onsets(roll: Any, onset_roll: Any = None) -> np.ndarray:
    """Return the canonical onset roll of a piano roll.

    Parameters
    ----------
    roll : (T, P) or (T, B, P) array
        The piano roll; cells above 0 sound.
    onset_roll : array of the same shape
        1 where a note is struck, 0 elsewhere. Without it adjacent cells are one held note.

    Returns
    -------
    boolean array of the same shape
    """
    is_on = are_sounding(roll)
    struck = is_on.copy()
    struck[1:] &= ~is_on[:-1]
    return struck if onset_roll is None else struck | is_on & checked_onsets(onset_roll, is_on)


def are_sounding(roll: Any) -> np.ndarray:
    """Return which cells of a roll are above 0."""
    return np.asarray(roll) > False  # `> 0` would turn booleans into numbers, which is slow


def onset_notes(roll: Any, onset_roll: Any = None) -> np.ndarray:
    """Return the notes of a piano roll (T, P) and its onset roll, column by column.

    Returns
    -------
    (number of notes, 3) int
        A note's column, its first frame, and the frame after its last.
    """
    is_on = are_sounding(roll)
    struck = canonical_onsets(is_on, onset_roll)
    is_last = is_on.copy()  # of its note: the pitch is then silent, or struck again
    is_last[:-1] &= ~is_on[1:] | struck[1:]
    column, first = np.nonzero(struck.T)
    return np.column_stack([column, first, np.nonzero(is_last.T)[1] + 1])


def n_dropped_onsets(roll: Any, onset_roll: Any) -> int:
    """Return the number of struck cells that do not sound; `midiwrite` drops them."""
    is_on = are_sounding(roll)
    return int(np.count_nonzero(checked_onsets(onset_roll, is_on) & ~is_on))


def split_onsets(rolls: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the piano roll and the onset roll of a roll with onsets (T, 2P) or (T, B, 2P)."""
    cells = np.asarray(rolls)
    n_pitches, rest = divmod(cells.shape[-1] if cells.ndim else 1, 2)
    if rest:
        raise ValueError(
            f"the roll has shape {cells.shape}; a roll with onsets has an even width: first the "
            "sounding columns, then as many struck ones"
        )
    return cells[..., :n_pitches], cells[..., n_pitches:]


def checked_onsets(onset_roll: Any, roll: np.ndarray, name: str = "onset_roll") -> np.ndarray:
    """Return an onset roll as booleans; raise unless it fits the piano roll."""
    cells = np.asarray(onset_roll)
    if cells.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold booleans, integers or floats, not {cells.dtype} values")
    if cells.shape != roll.shape:
        raise ValueError(f"{name} has shape {cells.shape}, the roll {roll.shape}; both must agree")
    refused = (cells != 0) & (cells != 1)
    if refused.any():
        place = tuple(np.argwhere(refused)[0].tolist())
        raise ValueError(
            f"{name} holds {cells[place]} at row {place[0]}, column {place[-1]}; 1 is struck and "
            "0 is not: turn probabilities into strikes first, e.g. onset_roll >= 0.5"
        )
    return cells != 0
