"""Files that are written whole or not at all, and work spread over processes."""

import contextlib
import os
import secrets
from pathlib import Path


@contextlib.contextmanager
def written_whole(path):
    """Open a temporary file beside `path`, and rename it to `path` once it is complete.

    Whatever goes wrong, an earlier file of that name is untouched and nothing is left beside it.
    A link goes on pointing to the newer file.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}; make it, then save again")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def n_cores():
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(function, items, workers):
    """Yield function(item) for each of the items, in their order, computed by `workers` processes.

    With one worker it happens here. The processes need nothing from the caller's script (no
    ``if __name__ == "__main__"``), and are gone afterwards.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    try:
        parallel = Parallel(n_jobs=workers, return_as="generator")
        yield from parallel(delayed(function)(item) for item in items)
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
