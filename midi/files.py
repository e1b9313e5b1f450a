"""Files that are written whole or not at all, and read only if they are regular files.

A process that is killed while it writes leaves the earlier file as it was. Beside it there may be
a temporary file, ``.….tmp``, which the next write to the same file removes. Where the system has
nameless files (Linux, on most file systems) this happens only in the moment between the link and
the rename. The writer holds a lock on its temporary file, so that it is not removed while another
process writes. Systems without these locks (Windows) keep such files.

The data are synced before the rename and the folder after it, so that a power cut leaves the
earlier or the new file, and the new one once `written_whole` has ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import MidiError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

SUFFIXES = (".mid", ".midi", ".kar", ".rmi")
MOST_BYTES = 2**28  # per MIDI file
_N_NAMES = 8  # of temporary files for the same file; further ones get random names


def expanded(path: str | bytes | os.PathLike) -> Path:
    """Return a name as a `Path`, with the home folder for a leading ``~`` if that is known."""
    # pathlib's own method raises if it is unknown, and takes ./~ for ~
    return Path(os.path.expanduser(os.fsdecode(path)))


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
    target = check_writable(path)
    names = _temporary_names(target)
    _remove_leftovers(names)
    temporary = None
    try:
        with contextlib.ExitStack() as files:
            file = _nameless_file(target.parent)
            if file is None:
                file, temporary = _named_file(names, target)
            files.enter_context(file)
            yield file
            _sync(file)
            if temporary is None:
                _lock(file)
                temporary = _link(file, names)
            if temporary is None:
                copy, temporary = _named_file(names, target)
                files.enter_context(copy)
                file.seek(0)
                shutil.copyfileobj(file, copy)
                _sync(copy)
            if fcntl:  # while the lock is held; Windows cannot rename open files
                os.replace(temporary, target)
                temporary = None
        if temporary is not None:
            os.replace(temporary, target)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Return the path that `written_whole` would replace, or raise its errors."""
    target = Path(os.path.realpath(expanded(path)))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}; make it, then save again")
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(target).st_mode):
            raise FileExistsError(f"{target} is not a regular file; choose another name")
    return target


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


def _temporary_names(target: Path) -> list[Path]:
    """Return the names of temporary files for the file `target`; the last one is random."""
    key = f"{zlib.crc32(os.fsencode(target.name)):08x}"
    suffixes = [*map(str, range(_N_NAMES)), secrets.token_hex(8)]
    return [target.with_name(f".{key}-{suffix}.tmp") for suffix in suffixes]


def _remove_leftovers(names: list[Path]) -> None:
    """Remove the temporary files of writers that are dead, and so hold no lock."""
    for name in names[:-1]:
        with contextlib.suppress(OSError), open(name, "r+b") as file:
            # a writer may just have renamed the file that was opened, and another taken its name
            if _lock(file, wait=False) and os.path.samestat(os.fstat(file.fileno()), name.lstat()):
                name.unlink()


def _named_file(names: list[Path], target: Path) -> tuple[BinaryIO, Path]:
    """Create a file with the first name that is free, and lock it; errors name the target."""
    for name in names:
        try:
            while True:
                file = open(name, "xb")
                _lock(file)
                if os.fstat(file.fileno()).st_nlink:
                    return file, name
                file.close()  # another process took it for a leftover before it was locked
        except FileExistsError:
            continue
        except OSError as error:
            error.filename = str(target)
            raise
    raise FileExistsError(f"{names[-1]} exists")


def _link(file: BinaryIO, names: list[Path]) -> Path | None:
    """Link a nameless file to the first name that is free; return None if unsupported."""
    for name in names:
        try:
            # os.link follows the symbolic link in /proc only if src_dir_fd is given
            os.link(f"/proc/self/fd/{file.fileno()}", name, src_dir_fd=file.fileno())
            return name
        except FileExistsError:
            continue
        except OSError:
            return None
    return None


def _lock(file: BinaryIO, wait: bool = True) -> bool:
    """Lock a file until it is closed; return whether that was possible."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has the lock, or the file system has none
        return False
    return True


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename in a folder last, where the system can open folders and sync them."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # on Windows, or without permission to list it
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
