"""Files that are written whole or not at all, and read only if they are regular files.

A process that is killed while writing leaves nothing where the system has nameless files (Linux,
on most file systems). Elsewhere it leaves a ``.….tmp`` beside the file that it was to write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import MidiError

SUFFIXES = (".mid", ".midi", ".kar", ".rmi")
MOST_BYTES = 2**28  # per MIDI file


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, and rename it to `path` once it is complete.

    On an error an existing file of that name stays unchanged, and nothing is left beside it.
    A symbolic link at `path` is kept, and the file that it points to is replaced.

    Raises
    ------
    FileNotFoundError
        The folder does not exist.
    FileExistsError
        `path` is not a regular file, such as a folder.
    """
    target = Path(os.path.realpath(os.path.expanduser(os.fsdecode(path))))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}; make it, then save again")
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(target).st_mode):
            raise FileExistsError(f"{target} is not a regular file; choose another name")
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    nameless = _nameless_file(target.parent)
    try:
        with nameless or open(temporary, "xb") as file:
            yield file
            _flush(file)
            if nameless:
                _give_name(nameless, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def opened(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading; raise OSError for a device or a FIFO, which may never end."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(
            errno.ENXIO, "not a regular file; copy its content to a file first", str(path)
        )
    return open(path, "rb")


def read_whole(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file; raise MidiError if it is too large to be music."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise MidiError(f"it has {size} bytes; more than {MOST_BYTES} are not read")
        return file.read()


def _nameless_file(folder: Path) -> BinaryIO | None:
    """Open a nameless file, which vanishes with its process; return None if unsupported."""
    with contextlib.suppress(AttributeError, OSError):  # open() with a name reports the cause
        return open(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "w+b")
    return None


def _give_name(file: BinaryIO, path: Path) -> None:
    """Link a nameless file to `path`, or copy it if the file system cannot link."""
    try:
        # os.link follows the symbolic link in /proc only if src_dir_fd is given
        os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=file.fileno())
    except OSError:
        file.seek(0)
        with open(path, "xb") as copy:
            shutil.copyfileobj(file, copy)
            _flush(copy)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
