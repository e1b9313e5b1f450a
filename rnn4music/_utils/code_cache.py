"""Compiled code, kept in the user's cache directory for later processes.

The folder is named by the environment variable ``RNN4MUSIC_CODE_CACHE``; ``0`` keeps nothing. It
holds machine code, and so is used only if it belongs to this user and nobody else may write to it,
and the same is asked of each file. A file begins with a checksum of its key and content; one that
does not fit is compiled anew. Files appear complete or not at all, and may be deleted at any time.
"""

import contextlib
import functools
import hashlib
import os
import stat
import tempfile
import warnings
from pathlib import Path

from rnn4music._utils import paths

VARIABLE = "RNN4MUSIC_CODE_CACHE"
LIMIT = 200_000_000
"""Size of all files in bytes, above which those unused for longest are removed."""
_EVERY = 32  # writes between two looks at the size
_SUFFIX = ".rnn4music"  # the folder may hold files of others, which must not be removed

_n_written = 0


def exists():
    """Return whether code is kept."""
    return _place("") is not None


def read(key):
    """Return the bytes kept under a key (text), or None."""
    place = _place(key)
    with contextlib.suppress(OSError):
        if place is not None:
            with open(place, "rb") as file:
                checksum, content = file.read(32), file.read()
                if _is_own(os.fstat(file.fileno())) and checksum == _checksum(key, content):
                    with contextlib.suppress(OSError):  # files that can only be read are used too
                        os.utime(place)
                    return content
    return None


def write(key, content):
    """Keep bytes under a key, if possible."""
    global _n_written
    place = _place(key)
    if place is None:
        return
    with contextlib.suppress(OSError):  # the disk is full
        handle, name = tempfile.mkstemp(_SUFFIX, dir=place.parent)
        try:
            with open(handle, "wb") as file:
                file.write(_checksum(key, content) + content)
            os.replace(name, place)
        except BaseException:
            os.unlink(name)
            raise
        if _n_written % _EVERY == 0:
            _remove_oldest(place.parent)
        _n_written += 1


@functools.cache
def features():
    """Return the features of this processor that code may use: a dict of name to bool.

    ``RNN4MUSIC_WITHOUT``, if set, lists the beginnings of the names of others: ``avx512 avx10 amx``
    leaves those of a laptop.
    """
    from llvmlite import binding

    others = tuple(os.environ.get("RNN4MUSIC_WITHOUT", "").split())
    has = binding.get_host_cpu_features().items()
    return {name: is_there and not name.startswith(others) for name, is_there in sorted(has)}


@functools.cache
def processor():
    """Return LLVM's names of the system, the processor and its features."""
    from llvmlite import binding

    flags = ",".join("+-"[not has] + name for name, has in features().items())
    return binding.get_default_triple(), binding.get_host_cpu_name(), flags


def _place(key):
    folder = _folder(os.environ.get(VARIABLE, "").strip())
    return folder and folder / (hashlib.sha256(key.encode()).hexdigest() + _SUFFIX)


@functools.cache
def _folder(chosen):
    """Return the folder, made if missing, or None if there is none to be trusted."""
    if chosen == "0" or not hasattr(os, "geteuid"):
        return None
    cache = paths.user_cache()
    whole = os.path.abspath(os.path.expanduser(chosen))  # the working directory may change
    folder = Path(whole) if chosen else cache and cache / "code"
    if folder is None:
        return None
    with contextlib.suppress(OSError):
        folder.mkdir(0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and _is_own(status):
            return folder
    if chosen:
        warnings.warn(
            f"{VARIABLE}={chosen} is not a folder of this user alone, so compiled code is not kept "
            "there; name one that others cannot write to, or 0 for none",
            RuntimeWarning,
            stacklevel=2,
        )
    return None


def _is_own(status):
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _checksum(key, content):
    return hashlib.sha256(b"%d %s" % (len(key), key.encode()) + content).digest()


def _remove_oldest(folder):
    files = [(path.lstat(), path) for path in folder.glob("*" + _SUFFIX)]
    size = sum(status.st_size for status, _ in files)
    for status, path in sorted(files, key=lambda file: file[0].st_mtime):
        if size <= LIMIT:
            break
        with contextlib.suppress(OSError):  # another process was faster
            os.unlink(path)
        size -= status.st_size
