"""What was read from files, kept on disk: a folder that may be deleted at any time.

Conventions
-----------
One .npz file holds what one call read. Its name is a hash of the files' names and contents, of
the options, and of the version of this package, so that a file never becomes wrong; nothing is
pickled. ``cells`` holds the rolls one after the other, eight cells to a byte; ``about`` is JSON
text with the rest. Files are written whole or not at all, and a damaged one counts as absent.
"""

import hashlib
import json
import os
import warnings
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from midi.files import written_whole
from rnn4music._utils import npz, version

_FORMAT = 1


class Tune(NamedTuple):
    """What was read from one file."""

    name: str
    roll: Any = None  # (T, P) bool
    reason: str = ""  # why it cannot be used
    damage: str = ""
    counts: dict = {}


def through(folder, key, files, read):
    """Return what `read()` yields, from the cache if it is there, else read and kept there.

    Parameters
    ----------
    folder : path or None
        None for no cache.
    key : tuple
        All that the result depends on, beside the files; its text is what counts.
    files : list
        With a ``name`` and a method ``read`` for its bytes.
    read : function
        Returns an iterable of `Tune`, one for each file.

    Returns
    -------
    list of Tune
    """
    if folder is None:
        return list(read())
    if not os.fspath(folder):
        raise ValueError('the cache is ""; give a folder, or None for no cache')
    digest = _digest(key, files)
    path = Path(folder).expanduser() / f"{digest}.npz"
    tunes = _load(path)
    if tunes is None:
        tunes = list(read())
        if _digest(key, files) != digest:
            return tunes  # a file was changed meanwhile
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _save(path, tunes)
        except OSError as error:
            warnings.warn(f"nothing is kept in the cache {folder}: {error}", stacklevel=3)
    return tunes


def _digest(key, files):
    digest = hashlib.blake2b(digest_size=20)
    digest.update(repr((_FORMAT, version.__version__, key)).encode())
    for file in files:
        try:
            content = hashlib.blake2b(file.read()).hexdigest()
        except Exception as error:  # whatever it is, it is met again when the file is read
            content = repr(error)
        digest.update(repr((file.name, content)).encode())
    return digest.hexdigest()


def _save(path, tunes):
    usable = [tune for tune in tunes if not tune.reason]
    about = [
        {"name": tune.name, "reason": tune.reason, "damage": tune.damage, "counts": tune.counts,
         "length": 0 if tune.reason else len(tune.roll)}
        for tune in tunes
    ]  # fmt: skip
    n_pitches = usable[0].roll.shape[1] if usable else 0
    packed = [np.packbits(tune.roll, axis=1) for tune in usable]
    cells = np.concatenate(packed) if packed else np.zeros((0, 0), np.uint8)
    with written_whole(path) as file:
        np.savez(file, about=np.array(json.dumps(about)), cells=cells, n_pitches=n_pitches)


def _load(path):
    """Return the tunes, or None if there is no such file, or it is damaged."""
    try:
        with open(path, "rb") as file:  # nothing is compressed, and every checksum is compared
            arrays = npz.read(file, most_bytes=0, most_times=1)
        about, cells = json.loads(str(arrays["about"])), arrays["cells"]
        n_pitches = int(arrays["n_pitches"])
        if n_pitches > 8 * cells.shape[1]:
            return None
        ends = list(accumulate(entry["length"] for entry in about))
        tunes = []
        for entry, end in zip(about, ends):
            packed = cells[end - entry.pop("length") : end]
            roll = np.unpackbits(packed, axis=1, count=n_pitches).view(bool)
            tunes.append(Tune(roll=None if entry["reason"] else roll, **entry))
        return tunes if len(cells) == (ends[-1] if ends else 0) else None
    except Exception:  # whatever damage does to NumPy, zipfile and json, reading anew mends it
        return None
