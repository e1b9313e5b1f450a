"""Checks of file names before anything is written, and the user's cache directory."""

import contextlib
import os
import sys
from pathlib import Path


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
    from midi.files import check_writable

    paths, existing = set(), {}
    for name in outputs:
        if not str(name):
            raise ValueError("a file name is empty")
        if Path(name).expanduser().is_dir():
            raise IsADirectoryError(f"{name} is a folder; give the name of a file")
        folder = Path(name).expanduser().parent
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
        status = os.stat(Path(path).expanduser())
    except (OSError, ValueError):  # ValueError: a null character
        return None
    return status.st_dev, status.st_ino


def check_suffix(name, suffixes):
    """Raise unless a file name has one of these suffixes."""
    if Path(name).suffix.lower() not in suffixes or str(name).endswith(("/", os.sep)):
        raise ValueError(f"{name} must end in {' or '.join(suffixes)}")


def user_cache():
    """Return the user's cache directory of this program, made if missing; None if there is none."""
    with contextlib.suppress(RuntimeError, OSError):  # no home directory; it cannot be written
        default = Path("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
        if os.name == "nt" and os.environ.get("LOCALAPPDATA"):
            default = Path(os.environ["LOCALAPPDATA"])
        chosen = Path(os.environ.get("XDG_CACHE_HOME") or "")
        path = (chosen if chosen.is_absolute() else default).expanduser() / "rnn4music"
        path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return path
    return None
