"""Files that are written whole or not at all, and read only where they are files.

A process that is killed while it writes leaves nothing where the system has files without a name
(Linux, on most file systems); elsewhere a ``.….tmp`` beside the file that it meant to write.
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
MOST_BYTES = 2**28  # of a MIDI file


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, and rename it to `path` once it is complete.

    Whatever goes wrong, an earlier file of that name is untouched and nothing is left beside
    it. A link goes on pointing to the newer file.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    FileExistsError
        There is something of that name that is no file, such as a folder.
    """
    target = Path(os.path.realpath(os.path.expanduser(os.fsdecode(path))))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}; make it, then save again")
    with contextlib.suppress(FileNotFoundError):  # asked once: another program may remove it
        if not stat.S_ISREG(os.stat(target).st_mode):
            raise FileExistsError(f"{target} is not a regular file; choose another name")
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    nameless = _nameless(target.parent)
    try:
        with nameless or open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if nameless:
                _name(nameless, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def opened(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading.

    Raises
    ------
    OSError
        Also for what may never end, or wait for another program for ever: a device, a FIFO.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.ENXIO, "not a regular file, make a copy of what it gives", str(path))
    return open(path, "rb")


def whole(file: BinaryIO) -> bytes:
    """Return all of an open file, or raise MidiError if it is too large to be music."""
    size = os.fstat(file.fileno()).st_size
    if size > MOST_BYTES:
        raise MidiError(f"it has {size} bytes; more than {MOST_BYTES} are not read")
    return file.read()


def _nameless(folder: Path) -> BinaryIO | None:
    """Open a file in a folder that vanishes with its process; None where there is no such thing."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return open(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "w+b")
    except OSError:  # what is wrong is told when a file with a name is opened
        return None


def _name(file: BinaryIO, path: Path) -> None:
    """Give a complete file its first name, or make a copy of that name."""
    try:
        # a folder's number makes it follow the link, as it must, though the path is absolute
        os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=file.fileno())
    except OSError:  # a file system that cannot do it after all
        file.seek(0)
        with open(path, "xb") as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            os.fsync(copy.fileno())
