"""Kinds of input: what a file or folder is, by its content, and which commands take it.

All commands check their inputs here, and their outputs against them, so that they agree. No engine
is loaded.
"""

import contextlib
import os
import stat
import zipfile
from pathlib import Path

from midi import events
from midi.files import check_writable, expanded, opened
from rnn4music.data.midi_files import find_files, is_matched
from rnn4music.data.store import is_store
from rnn4music.saving.model_file import npz_path

MIDI, MODEL, CHECKPOINT = "a MIDI file", "a model", "the checkpoint of a training"
STORE, STANDARD_SET, SOUNDFONT = "a store of piano rolls", "a standard set", "a SoundFont"
FOLDER, ZIP, TOML = "a folder", "a .zip file", "a TOML file"
DEVICE, DAMAGED, MISSING = "a device or a FIFO", "damaged", "missing"

COLLECTIONS = (MIDI, FOLDER, ZIP)
MUSIC = (*COLLECTIONS, STORE, STANDARD_SET)
SUFFIXES_OF_SETS = (".mat", ".pickle", ".pkl", ".json", ".npz")

_REMEDIES = {
    MIDI: "info, plot roll, render, train and evaluate take it",
    MODEL: "compose, evaluate, info and plot take it; train --start-from trains it further",
    CHECKPOINT: "compose, evaluate, info and plot take it; train --checkpoint with --resume "
    "continues it",
    STORE: "train, evaluate and search take it",
    STANDARD_SET: "train, evaluate and search take it",
    FOLDER: "train, convert, evaluate and search take it",
    ZIP: "train, convert, evaluate and search take it",
    TOML: "search, and train with --config, take it",
    DEVICE: "save its content to a file first",
}
_STARTS = {
    b"MATLAB": STANDARD_SET,
    b"\x89HDF": STANDARD_SET,  # of MATLAB 7.3
    b"RIFF....sfbk": SOUNDFONT,
    b"RIFF....WAVE": "a WAV file",
}


def kind_of(path):
    """Return what a file or folder is: one of the constants above, or another phrase.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    path = expanded(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    if stat.S_ISDIR(mode):
        return STORE if is_store(path) else FOLDER
    if not stat.S_ISREG(mode):
        return DEVICE
    with opened(path) as file:
        head = file.read(events.HEAD)
        is_zip = events.kind_of(head) == "zip"
        return _kind_of_zip(file) if is_zip else _kind_of_content(head, path.suffix.lower())


def _kind_of_zip(file):
    try:
        with zipfile.ZipFile(file) as archive:
            names = {name.removesuffix(".npy"): name for name in archive.namelist()}
    except Exception:  # damage makes zipfile raise errors of many kinds
        return DAMAGED
    for kind, entries in (
        (CHECKPOINT, {"checkpoint"}),
        (MODEL, {"format", "Wxi_1"}),  # of this program, or of that of 2015
        (STANDARD_SET, {"train", "traindata", "training"}),
    ):
        if entries & {name for name, entry in names.items() if name != entry}:
            return kind
    return ZIP if all(name == entry for name, entry in names.items()) else "an .npz file"


def _kind_of_content(head, suffix):
    """Return the kind of a file with these first bytes, which is not a zip."""
    if not head:
        return "an empty file"
    if events.kind_of(head) == "midi":
        return MIDI
    for start, kind in _STARTS.items():
        if head.startswith(start) or (head[:4] + b"...." + head[8:12] == start):
            return kind
    if suffix in (".npz", ".zip"):
        return DAMAGED
    if suffix in SUFFIXES_OF_SETS:
        return STANDARD_SET
    if set(head) & {*range(9), *range(14, 27)}:  # control characters
        return "a file of an unknown format"
    return TOML if suffix == ".toml" else "a text file"


def check_input(path, kinds, user):
    """Return the kind of an input; raise ValueError if it is there, and of none of these kinds.

    One that is missing or damaged passes, since its reader reports that. `user` is a phrase for the
    error, such as "compose needs a model".
    """
    kind = kind_of(path)
    if kind not in (*kinds, DAMAGED, MISSING):
        remedy = f"; {_REMEDIES[kind]}" if kind in _REMEDIES else ""
        raise ValueError(f"{path} is {kind}, but {user}{remedy}")
    return kind


def check_music(path, kinds, user):
    """Do as `check_input`, and raise FileNotFoundError where no file or folder matches `path`."""
    if check_input(path, kinds, user) == MISSING:
        if Path(path).suffix.lower() in SUFFIXES_OF_SETS:
            raise FileNotFoundError(f"there is no file {path}")
        if not is_matched(path):
            find_files(path)


def files_of(source):
    """Yield the path of each file that a command reads from a file, folder, pattern or store."""
    kind, path = kind_of(source), expanded(source)
    if kind == STORE:
        yield from path.rglob("*")
    elif kind in (FOLDER, MISSING):
        with contextlib.suppress(FileNotFoundError):  # its reader reports that
            yield from (file.path for file in find_files(source))
    else:
        yield path


def model_path(name, command, needed="a model"):
    """Return the path of a model, whose name may lack ``.npz``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a model.
    """
    path, exact = npz_path(name), expanded(name)
    if os.path.lexists(path):
        exact = path
    elif not os.path.lexists(exact):
        names = dict.fromkeys((str(name), str(path)))
        raise FileNotFoundError(f"there is no file {' or '.join(names)}")
    check_input(exact, (MODEL, CHECKPOINT), f"{command} needs {needed}")
    if exact != path:
        raise ValueError(f"{exact} is a model, but its name must end in .npz: rename it")
    return str(path)


def is_standard_set(source):
    """Return whether music is read as a standard set."""
    kind = kind_of(source)
    by_suffix = kind in (DAMAGED, MISSING) and Path(source).suffix.lower() in SUFFIXES_OF_SETS
    return kind == STANDARD_SET or by_suffix


def check_outputs(outputs, inputs):
    """Raise if a command would overwrite a file, or cannot write one.

    Parameters
    ----------
    outputs : list of paths
        All files that the command writes.
    inputs : iterable of paths
        All files that it reads. Iterated only if some of the outputs exist.

    Raises
    ------
    ValueError
        If an output is also an input or another output, under whatever name.
    FileNotFoundError, FileExistsError
        If its folder does not exist, or it exists and is not a regular file.
    """
    paths, existing = set(), {}
    for name in outputs:
        if not str(name):
            raise ValueError("a file name is empty")
        if expanded(name).is_dir():
            raise IsADirectoryError(f"{name} is a folder; give the name of a file")
        folder = expanded(name).parent
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder} for {name}; make it first")
        path = check_writable(name)
        identity = _identity(path)
        if path in paths or identity in existing:
            raise ValueError(_TWICE.format(name))
        paths.add(path)
        if identity:
            existing[identity] = name
    for path in inputs if existing else ():
        if _identity(path) in existing:
            raise ValueError(_TWICE.format(existing[_identity(path)]))


_TWICE = "{} is read or written twice: give each file another name"


def _identity(path):
    """Return what hard and symbolic links to a file have in common, or None if there is no file."""
    try:
        status = os.stat(expanded(path))
    except (OSError, ValueError):  # ValueError: a null character
        return None
    return status.st_dev, status.st_ino
