"""Checks of the suffixes of file names, and the user's cache directory."""

import contextlib
import os
import sys
from pathlib import Path

PAGES = (".html", ".htm")


def check_suffix(name, suffixes):
    """Raise unless a file name has one of these suffixes."""
    if Path(name).suffix.lower() not in suffixes or str(name).endswith(("/", os.sep)):
        raise ValueError(f"{name} must end in {' or '.join(suffixes)}")


def user_cache():
    """Return the user's cache directory of this program, made if missing; None if there is none."""
    with contextlib.suppress(RuntimeError, OSError):  # no home directory; it cannot be written
        default = Path("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")
        if not os.path.isabs(os.environ.get("HOME", os.sep)):  # "" would be the root folder
            default = Path()
        if os.name == "nt" and os.environ.get("LOCALAPPDATA"):
            default = Path(os.environ["LOCALAPPDATA"])
        chosen = Path(os.environ.get("XDG_CACHE_HOME") or "")
        path = (chosen if chosen.is_absolute() else default).expanduser() / "rnn4music"
        if path.is_absolute():
            path.mkdir(parents=True, exist_ok=True)
            return path if os.access(path, os.W_OK) else None
    return None
