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
import zipfile
from math import prod
from pathlib import Path

import numpy as np

from midi.reading import checked_pitch_range
from rnn4music import restricted_pickle
from rnn4music.datasets import Dataset, Split

PIANO = (21, 109)
_PARTS = {
    "train": ("train", "traindata", "training"),
    "validation": ("valid", "validdata", "validation"),
    "test": ("test", "testdata"),
}
_READERS = {}
_MOST_BYTES = 2**30


def load_standard_set(path, pitch_range=PIANO):
    """Read one of the standard sets, from a path of yours.

    Parameters
    ----------
    path : path
        A .mat, .pickle (.pkl), .json or .npz file as above.
    pitch_range : (int, int)
        Half-open range of MIDI pitches that the rolls get.

    Returns
    -------
    Split
        ``train``, ``validation`` and ``test``, each a `Dataset`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, or is not such a set. A pickle is never executed: one that holds
        anything but containers, numbers and NumPy arrays is refused.
    """
    path = Path(path)
    pitch_range = checked_pitch_range(pitch_range)
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
        return Split(
            **{
                part: Dataset(
                    [_roll(tune, f"{part}[{k}]", pitch_range) for k, tune in enumerate(tunes)],
                    [f"{path.stem} {part} {k}" for k in range(len(tunes))],
                )
                for part, tunes in parts.items()
            }
        )
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    except OSError:
        raise
    except Exception as error:  # damage makes json, zipfile, SciPy and NumPy raise all sorts
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def _reads(*suffixes):
    def register(reader):
        _READERS.update(dict.fromkeys(suffixes, reader))
        return reader

    return register


@_reads(".mat")
def _read_mat(path):
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=[name for each in _PARTS.values() for name in each])
    except NotImplementedError:
        raise ValueError("it is a MATLAB 7.3 file; save it with -v7 or older") from None
    return {name: list(np.ravel(cells)) for name, cells in content.items() if name[0] != "_"}


@_reads(".pickle", ".pkl")
def _read_pickle(path):
    return restricted_pickle.loads(path.read_bytes())


@_reads(".json")
def _read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


@_reads(".npz")
def _read_npz(path):
    content = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > _MOST_BYTES:
                raise ValueError(f"{member.filename} claims {member.file_size} bytes")
            with archive.open(member) as file:
                content[member.filename.removesuffix(".npy")] = _read_npy(file, member.file_size)
    return content


def _read_npy(file, n_bytes):
    """Read an array; one of objects is a pickle behind the usual header."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"an array of the unknown format {version}")
    shape, is_fortran, dtype = readers[version](file)
    if dtype.hasobject:
        return restricted_pickle.loads(file.read())
    if prod(shape) * dtype.itemsize > n_bytes:
        raise ValueError(f"an array claims the shape {shape} in {n_bytes} bytes")
    array = np.frombuffer(file.read(), dtype, count=prod(shape))
    return array.reshape(shape, order="F" if is_fortran else "C")


def _part(content, names):
    for name in names:
        if name in content:
            tunes = content[name]
            if not isinstance(tunes, (list, tuple, np.ndarray)) or not len(tunes):
                raise ValueError(f"its {name!r} is no list of tunes")
            return tunes
    raise ValueError(f"it has no {names[0]!r}, but {', '.join(map(repr, content)) or 'nothing'}")


def _roll(tune, name, pitch_range):
    """Return a tune in any of the forms as a (T, P) roll of booleans."""
    if isinstance(tune, np.ndarray) and tune.ndim == 2 and tune.shape[1] == PIANO[1] - PIANO[0]:
        if tune.dtype.kind not in "biuf" or not np.isin(tune, (0, 1)).all():
            raise ValueError(f"{name} is no piano roll of zeros and ones")
        step, column = np.nonzero(tune)
        pitch = column + PIANO[0]
        n_steps = len(tune)
    else:
        lengths = [len(step) for step in tune]
        n_steps = len(lengths)
        pitch = np.array([pitch for step in tune for pitch in step], dtype=float)
        step = np.repeat(np.arange(n_steps), lengths)
        is_rest = np.isnan(pitch) | (pitch == -1)
        pitch, step = pitch[~is_rest], step[~is_rest]
        if (pitch != np.round(pitch)).any() or not ((pitch >= 0) & (pitch < 128)).all():
            raise ValueError(f"{name} holds something else than MIDI pitches, 0 to 127")
    if not n_steps:
        raise ValueError(f"{name} has no steps")
    lowest, highest = pitch_range
    inside = (pitch >= lowest) & (pitch < highest)
    roll = np.zeros((n_steps, highest - lowest), dtype=bool)
    roll[step[inside], pitch[inside].astype(int) - lowest] = True
    return roll
