"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


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
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
