"""The field's standard sets: JSB Chorales, Nottingham, MuseData, Piano-midi.de.

N. Boulanger-Lewandowski, Y. Bengio and P. Vincent, "Modeling temporal dependencies in
high-dimensional sequences", ICML 2012. They circulate in several forms, each with a training, a
validation and a test part. None comes with this package.

========  ======================================================================
suffix    content
========  ======================================================================
.mat      ``traindata``, ``validdata``, ``testdata``: cells of (T, 88) rolls
.pickle   a dict of ``train``, ``valid``, ``test``: lists of tunes; a tune is a list
          of steps, a step a list of the sounding pitches
.json     the same as text
.npz      ``train``, ``valid``, ``test``: arrays of tunes, each (T, 88) or (T, voices)
========  ======================================================================

Each kind of file may contain tunes in any of these forms. NaN or −1 in an array of voices is a
rest.

A file is read in a process with limited memory and time, since a damaged file may crash SciPy, and
a pickle may ask for any amount of either. The process returns piano rolls of all 128 pitches, eight
cells per byte, so that any bytes it returns are valid rolls.
"""

import json
import os
import reprlib

import numpy as np

from midi.files import expanded, opened
from midi.reading import PIANO, checked_pitch_range
from rnn4music._utils import checks, npz
from rnn4music._utils.processes import in_limited_process
from rnn4music.data import safe_pickle
from rnn4music.data.dataset import OUTSIDE, Dataset, Split

_PARTS = {
    "train": ("train", "traindata", "training"),
    "validation": ("valid", "validdata", "validation"),
    "test": ("test", "testdata"),
}
_NAMES = [name for names in _PARTS.values() for name in names]
_MOST_BYTES = 2**30  # of a .mat file, and of the unpacked arrays of an .npz file
_MOST_TEXT = 2**26  # bytes of a .json or .pickle file, which may take 70 times as much memory
_MOST_MEMORY = 2**32  # bytes of the reading process
_SECONDS = 120
_ROW = 16  # bytes
_MOST_AT_A_TIME = 128  # pitches
_MOST_NOTES = 10**7  # of a tune
_NOT_PITCHES = "{} contains values that are not MIDI pitches, 0 to 127"
MOST_CELLS = 10**9  # of all rolls together


def load_standard_set(path, pitch_range=PIANO, most_cells=MOST_CELLS):
    """Read a standard set from a file.

    Parameters
    ----------
    path : path
        A .mat, .pickle (.pkl), .json or .npz file as described above.
    pitch_range : (int, int)
        Half-open range of MIDI pitches of the rolls. Notes outside are dropped, and counted in
        each part's ``dropped_notes``.
    most_cells : int
        Limit on the total number of cells (steps times pitches) of the rolls.

    Returns
    -------
    Split
        ``train``, ``validation`` and ``test``, each a `Dataset` whose ``n_notes`` counts the
        cells that are on. These sets do not say where notes are struck: the rolls have no onsets.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it is damaged, is not a standard set, has more than `most_cells` cells, or has no notes.
        A pickle is never executed; one with anything but containers, numbers and NumPy arrays is
        refused.
    """
    if not os.fspath(path):
        raise ValueError("the path is empty; give the path of a file")
    path = expanded(path)
    pitch_range = checked_pitch_range(pitch_range, "pitch_range")
    most_cells = checks.integer("most_cells", most_cells, 1)
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        known = ", ".join(sorted(_READERS))
        raise ValueError(
            f"{path} has the unknown ending {path.suffix!r}; standard sets end in {known}"
        )
    if not os.path.lexists(path):
        raise FileNotFoundError(f"there is no file {path}")
    most = _MOST_TEXT if suffix in (".json", ".pickle", ".pkl") else _MOST_BYTES
    n_pitches = pitch_range[1] - pitch_range[0]
    with opened(path) as file:
        try:
            if suffix != ".npz" and os.fstat(file.fileno()).st_size > most:
                raise ValueError(f"it has more than {most} bytes, the limit for {suffix} files")
            arrays = in_limited_process(
                _read,
                [suffix, n_pitches, most_cells],
                file,
                most_memory=_MOST_MEMORY,
                most_bytes=2 * _ROW * (most_cells // n_pitches),
                seconds=_SECONDS,
            )
            split = Split(*(_dataset(arrays, path.stem, part, pitch_range) for part in _PARTS))
            if not any(part.n_notes for part in split):
                n_outside = sum(part.dropped_notes[OUTSIDE] for part in split)
                raise ValueError(f"it has no notes in {pitch_range=}, and {n_outside:,} outside")
            return split
        except ValueError as error:
            raise ValueError(f"{path} cannot be read: {error}") from None
        except OSError as error:
            raise OSError(f"{path} cannot be read: {error}") from error


def _dataset(arrays, set_name, part, pitch_range):
    """Return one part from the arrays of `_read`, which are not trusted."""
    lengths, packed = (arrays.get(name, np.empty(0)) for name in (f"{part} lengths", part))
    if lengths.dtype != np.int64 or lengths.ndim != 1 or min(lengths, default=0) < 1:
        raise ValueError("the reading process returned invalid lengths of tunes")
    n_steps = sum(lengths.tolist())  # may exceed 64 bits
    if packed.dtype != np.uint8 or packed.shape != (n_steps, _ROW):
        raise ValueError("the reading process returned invalid piano rolls")
    rolls, n_outside = [], 0
    for rows in np.split(packed, np.cumsum(lengths)[:-1]):
        roll = np.unpackbits(rows, axis=1).view(bool)
        rolls.append(roll[:, slice(*pitch_range)].copy())
        n_outside += int(roll.sum() - rolls[-1].sum())
    names = [f"{set_name} {part} {k}" for k in range(len(rolls))]
    n_notes = sum(int(roll.sum()) for roll in rolls)
    return Dataset(rolls, names, n_notes=n_notes, dropped_notes={OUTSIDE: n_outside})


# ---- in the reading process


def _read(file, suffix, n_pitches, most_cells):
    """Return the concatenated packed rolls of each part, and their lengths."""
    try:
        content = _READERS[suffix](file)
        if not isinstance(content, dict):
            raise ValueError(f"it contains a {type(content).__name__}, not a dict of three parts")
        parts = {part: _part(content, names) for part, names in _PARTS.items()}
        n_steps = sum(len(_listed(tune)) for tunes in parts.values() for tune in tunes)
        if n_steps * n_pitches > most_cells:
            raise ValueError(
                f"it has {n_steps} steps of {n_pitches} pitches, more cells than "
                f"most_cells={most_cells}; raise most_cells"
            )
        arrays = {}
        for part, tunes in parts.items():
            rolls = [_packed_roll(_listed(tune), f"{part}[{k}]") for k, tune in enumerate(tunes)]
            arrays[f"{part} lengths"] = np.array([len(roll) for roll in rolls], np.int64)
            arrays[part] = np.concatenate(rolls)
        return arrays
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # the libraries raise many kinds of error for damage
        if not npz.is_damage(error):
            raise
        raise ValueError(f"it is damaged: {type(error).__name__}: {error}") from None


def _read_mat(file):
    from scipy.io import loadmat

    try:
        content = loadmat(file, variable_names=_NAMES)
    except NotImplementedError:
        raise ValueError("it is a MATLAB 7.3 file; save it with -v7 or older") from None
    return {name: value for name, value in content.items() if name in _NAMES}


def _read_pickle(file):
    return safe_pickle.loads(file.read())


def _read_npz(file):
    return npz.read(file, _MOST_BYTES, names=_NAMES, unpickled=safe_pickle.loads)


_READERS = {
    ".mat": _read_mat,
    ".pickle": _read_pickle,
    ".pkl": _read_pickle,
    ".json": json.load,
    ".npz": _read_npz,
}


def _part(content, names):
    for name in names:
        if name in content:
            tunes = _listed(content[name])
            is_list = isinstance(tunes, (list, tuple)) and len(tunes)
            is_array = isinstance(tunes, np.ndarray) and tunes.size  # no bytes may claim many tunes
            if not (is_list or is_array):
                raise ValueError(f"its {name!r} is not a list of tunes")
            return tunes
    present = ", ".join(map(reprlib.repr, list(content)[:9])) or "nothing"
    raise ValueError(f"it has no {names[0]!r}, but {present}")


def _listed(value):
    """Return an array of objects as a list, and anything else unchanged."""
    is_objects = isinstance(value, np.ndarray) and value.dtype.hasobject
    return value.ravel().tolist() if is_objects else value


def _packed_roll(tune, name):
    """Return a tune in any of the forms as a roll of all 128 pitches, eight cells per byte."""
    values, lengths = _flat(tune, name)
    roll = np.zeros((len(lengths), 8 * _ROW), bool)
    kind, is_wide = values.dtype.kind, (lengths == PIANO[1] - PIANO[0]).all()
    if is_wide and kind in "biuf" and np.isin(values, (0, 1)).all():
        roll[:, slice(*PIANO)] = values.reshape(len(lengths), -1)
        return np.packbits(roll, axis=1)
    if is_wide and isinstance(tune, np.ndarray):
        raise ValueError(f"{name} is not a piano roll of zeros and ones")
    if kind not in "iuf":
        raise ValueError(_NOT_PITCHES.format(name))
    sounds = ~(np.isnan(values) | (values == -1))
    if not np.isin(values[sounds], range(128)).all():
        raise ValueError(_NOT_PITCHES.format(name))
    step = np.repeat(np.arange(len(lengths)), lengths)
    roll[step[sounds], values[sounds].astype(int)] = True
    return np.packbits(roll, axis=1)


def _flat(tune, name):
    """Return the concatenated contents of a tune's steps, and the length of each step."""
    if not len(tune):
        raise ValueError(f"{name} has no steps")
    if isinstance(tune, np.ndarray):
        if tune.ndim != 2 or tune.shape[1] > _MOST_AT_A_TIME:
            raise ValueError(
                f"{name} has the shape {tune.shape}; it must be (steps, 88 pitches) or (steps, "
                "voices)"
            )
        return tune.ravel(), np.full(len(tune), tune.shape[1])
    if not all(isinstance(step, (list, tuple, np.ndarray)) for step in tune):
        raise ValueError(f"a step of {name} is not a list of the sounding pitches")
    lengths = np.array([len(step) for step in tune])
    if lengths.max() > _MOST_AT_A_TIME:
        raise ValueError(
            f"a step of {name} has {lengths.max()} pitches; at most {_MOST_AT_A_TIME} are allowed"
        )
    if lengths.sum() > _MOST_NOTES:
        raise ValueError(f"{name} has {lengths.sum()} notes; at most {_MOST_NOTES} are allowed")
    values = [value for step in tune for value in step]
    if not all(isinstance(value, (int, float, np.number, np.bool_)) for value in values):
        raise ValueError(_NOT_PITCHES.format(name))
    return np.array(values or np.empty(0, int)), lengths
