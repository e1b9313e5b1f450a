"""The field's standard sets: JSB Chorales, Nottingham, MuseData, Piano-midi.de.

N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, "Modeling temporal dependencies in
high-dimensional sequences", ICML 2012. They circulate in several forms, all of them with a
training, a validation and a test part; none comes with this package.

========  ======================================================================
suffix    what it holds
========  ======================================================================
.mat      ``traindata``, ``validdata``, ``testdata``: cells of (T, 88) rolls
.pickle   a dict of ``train``, ``valid``, ``test``: lists of tunes, each a list of
          steps, each the pitches that sound
.json     the same as text
.npz      ``train``, ``valid``, ``test``: arrays of tunes, each (T, 88) or (T, voices)
========  ======================================================================

A tune may be given in any of these ways in each of the files. With voices, NaN or −1 is a rest.
"""

import json
import os
import reprlib
from pathlib import Path

import numpy as np

from midi.reading import checked_pitch_range
from rnn4music._utils import checks, npz
from rnn4music.data import matlab_cells, safe_pickle
from rnn4music.data.dataset import Dataset
from rnn4music.data.midi_files import Split

PIANO = (21, 109)
_PARTS = {
    "train": ("train", "traindata", "training"),
    "validation": ("valid", "validdata", "validation"),
    "test": ("test", "testdata"),
}
_NAMES = [name for names in _PARTS.values() for name in names]
_READERS = {}
_MOST_BYTES = 2**30  # of arrays, unpacked
_MOST_TEXT = 2**26  # bytes of a .json or .pickle, which may take 70 times as many in memory
_MOST_AT_A_TIME = 128  # pitches
_MOST_NOTES = 10**7  # of a tune
MOST_CELLS = 10**9  # of all the rolls together


def load_standard_set(path, pitch_range=PIANO, most_cells=MOST_CELLS):
    """Read one of the standard sets, from a path of yours.

    Parameters
    ----------
    path : path
        A .mat, .pickle (.pkl), .json or .npz file as above.
    pitch_range : (int, int)
        Half-open range of MIDI pitches that the rolls get; notes outside are left out, and
        counted in each part's ``lost_notes``.
    most_cells : int
        A set whose rolls would have more cells (steps times pitches) in all is refused.

    Returns
    -------
    Split
        ``train``, ``validation`` and ``test``, each a `Dataset`; as its notes count the
        cells of its rolls that are on.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, or is not such a set. A pickle is never executed: one that holds
        anything but containers, numbers and NumPy arrays is refused.
    """
    if not os.fspath(path):
        raise ValueError("the path is empty; give that of a file")
    path = Path(path).expanduser()
    pitch_range = checked_pitch_range(pitch_range, "pitch_range")
    most_cells = checks.integer("most_cells", most_cells, 1)
    if path.suffix.lower() not in _READERS:
        known = ", ".join(sorted(_READERS))
        raise ValueError(f"{path} has an unknown ending {path.suffix!r}; these are read: {known}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        content = _READERS[path.suffix.lower()](path)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not a dict of three parts")
        parts = {part: _part(content, names) for part, names in _PARTS.items()}
        n_steps = sum(len(tune) for tunes in parts.values() for tune in tunes)
        n_pitches = pitch_range[1] - pitch_range[0]
        if n_steps * n_pitches > most_cells:
            raise ValueError(
                f"it has {n_steps} steps of {n_pitches} pitches: more than "
                f"most_cells={most_cells}; raise most_cells"
            )
        return Split(
            **{part: _dataset(tunes, path.stem, part, pitch_range) for part, tunes in parts.items()}
        )
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    except Exception as error:  # damage makes json, zipfile and NumPy raise all sorts
        if not npz.is_damage(error):
            raise
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def _reads(*suffixes):
    def register(reader):
        _READERS.update(dict.fromkeys(suffixes, reader))
        return reader

    return register


def _bytes(path, most):
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > most:
            raise ValueError(f"it has more than {most} bytes, which are not read")
        return file.read()


@_reads(".mat")
def _read_mat(path):
    return matlab_cells.read(_bytes(path, _MOST_BYTES), _NAMES, _MOST_BYTES)


@_reads(".pickle", ".pkl")
def _read_pickle(path):
    return safe_pickle.loads(_bytes(path, _MOST_TEXT))


@_reads(".json")
def _read_json(path):
    return json.loads(_bytes(path, _MOST_TEXT).decode())


@_reads(".npz")
def _read_npz(path):
    with open(path, "rb") as file:
        return npz.read(file, _MOST_BYTES, names=_NAMES, unpickled=safe_pickle.loads)


def _part(content, names):
    for name in names:
        if name in content:
            tunes = content[name]
            is_list = isinstance(tunes, (list, tuple)) and len(tunes)
            is_array = isinstance(tunes, np.ndarray) and tunes.size  # of no tunes it may claim many
            if not (is_list or is_array):
                raise ValueError(f"its {name!r} is no list of tunes")
            return tunes
    there = ", ".join(map(reprlib.repr, list(content)[:9])) or "nothing"
    raise ValueError(f"it has no {names[0]!r}, but {there}")


def _dataset(tunes, set_name, part, pitch_range):
    """Return the tunes of one part as piano rolls."""
    lowest, highest = pitch_range
    rolls, n_outside = [], 0
    for k, tune in enumerate(tunes):
        step, pitch = _notes(tune, f"{part}[{k}]")
        inside = (pitch >= lowest) & (pitch < highest)
        roll = np.zeros((len(tune), highest - lowest), dtype=bool)
        roll[step[inside], pitch[inside] - lowest] = True
        rolls.append(roll)
        n_outside += int(np.count_nonzero(~inside))
    n_notes = sum(int(np.count_nonzero(roll)) for roll in rolls)
    names = [f"{set_name} {part} {k}" for k in range(len(tunes))]
    return Dataset(rolls, names, n_notes=n_notes, lost_notes={"outside the pitch range": n_outside})


def _notes(tune, name):
    """Return the steps and pitches of a tune's notes; it may have any of the forms."""
    if not len(tune):
        raise ValueError(f"{name} has no steps")
    values, lengths = _flat(tune, name)
    n_keys = PIANO[1] - PIANO[0]
    if (lengths == n_keys).all():
        if values.dtype.kind in "biuf" and np.isin(values, (0, 1)).all():
            step, column = np.nonzero(values.reshape(-1, n_keys))
            return step, column + PIANO[0]
        if isinstance(tune, np.ndarray):
            raise ValueError(f"{name} is no piano roll of zeros and ones")
    error = ValueError(f"{name} holds something else than MIDI pitches, 0 to 127")
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise error
    sounds = ~(np.isnan(values) | (values == -1))
    pitch, step = values[sounds], np.repeat(np.arange(len(lengths)), lengths)[sounds]
    if (pitch != np.round(pitch)).any() or not ((pitch >= 0) & (pitch < 128)).all():
        raise error
    return step, pitch.astype(int)


def _flat(tune, name):
    """Return all that a tune's steps hold, one behind the other, and how much each holds."""
    if isinstance(tune, np.ndarray):
        if tune.ndim != 2 or tune.shape[1] > _MOST_AT_A_TIME:
            raise ValueError(
                f"{name} has the shape {tune.shape}; (steps, 88 keys) or (steps, voices) are read"
            )
        return tune.ravel(), np.full(len(tune), tune.shape[1])
    if not all(isinstance(step, (list, tuple, np.ndarray)) for step in tune):
        raise ValueError(f"a step of {name} is no list of the pitches that sound")
    lengths = np.array([len(step) for step in tune])
    if lengths.max() > _MOST_AT_A_TIME:
        raise ValueError(
            f"a step of {name} has {lengths.max()} pitches; there are {_MOST_AT_A_TIME}"
        )
    if lengths.sum() > _MOST_NOTES:
        raise ValueError(f"{name} has {lengths.sum()} notes; up to {_MOST_NOTES} are read")
    values = [value for step in tune for value in step]
    if not all(isinstance(value, (int, float, np.number, np.bool_)) for value in values):
        raise ValueError(f"{name} holds something else than MIDI pitches, 0 to 127")
    return np.array(values or np.empty(0, int)), lengths
