"""The journal of a search: Optuna's journal file, shared by processes and machines.

Conventions
-----------
A line holds one operation, as Optuna's ``JournalFileBackend`` writes it, and ``crc``, its
checksum, which Optuna passes over. Lines are only added, under a lock that is a file made with
O_EXCL: good on local disks and on NFS version 3 or later, whatever each machine calls the folder.
What a killed process or a full disk left of a last line is cut off by whoever writes next.
"""

import contextlib
import json
import secrets
import zlib
from typing import Any

from midi.files import opened

STUDY = "rnn4music"
_FIRST = b'{"op_code":0,'  # what every journal begins with


class Journal:
    """Gives Optuna's ``JournalStorage`` the lines of a file; what is damaged is a ValueError.

    Parameters
    ----------
    path : pathlib.Path
        Absolute. The file is made if it is missing.
    """

    def __init__(self, path):
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        self.path = path
        self._lock = JournalFileOpenLock(str(path))
        _check(path)
        lock: Any = self  # which cuts off a torn line
        self._file = JournalFileBackend(str(path), lock_obj=lock)

    def read_logs(self, log_number_from):
        """Yield the operations from this number on."""
        lines = self._file.read_logs(log_number_from)
        for number in range(log_number_from, 2**63):
            try:
                log = next(lines)
            except StopIteration:
                return
            except ValueError:
                raise _damaged(self.path, number + 1) from None
            yield _checked(self.path, number + 1, log)

    def append_logs(self, logs):
        """Add operations."""
        try:
            self._file.append_logs([{**log, "crc": _checksum(log)} for log in logs])
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def acquire(self):
        """Wait for the lock; one that is held for half a minute belongs to a dead process."""
        self._lock.acquire()
        try:
            _mend(self.path)
        except BaseException:
            self.release()
            raise
        return True

    def release(self):
        """Give the lock back."""
        with contextlib.suppress(RuntimeError):  # another process took us for dead
            self._lock.release()


@contextlib.contextmanager
def alone(path):
    """Let no other process that asks for the same take or give back a trial."""
    from optuna.storages.journal import JournalFileOpenLock

    # held for some writes: one that is older belongs to a dead process
    lock = JournalFileOpenLock(f"{path}.trials", grace_period=10)
    lock.acquire()
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError):
            lock.release()


def open_study(path, about=None):
    """Return the Optuna study in a journal.

    Parameters
    ----------
    path : pathlib.Path
        Absolute.
    about : dict, optional
        What the study has in common with all that goes on with it: written into a new one,
        compared with an earlier one. Where ``seed`` is None it is the earlier one's, or drawn.

    Raises
    ------
    ValueError
        If the journal is damaged, or of another search.
    """
    import optuna

    storage: Any = Journal(path)
    storage = optuna.storages.JournalStorage(storage)
    if about is None:
        return optuna.load_study(study_name=STUDY, storage=storage)
    with alone(path):
        study = optuna.create_study(study_name=STUDY, storage=storage, load_if_exists=True)
        there = study.user_attrs.get("about", {})
        if about["seed"] is None:
            about = {**about, "seed": there.get("seed", secrets.randbelow(2**32))}
        if there or study.get_trials(deepcopy=False):
            _check_same(path, there, about)
        else:
            study.set_user_attr("about", about)
    return study


def _check_same(path, there, here):
    different = [
        f"{name} is {there.get(name, 'missing')} there and {here.get(name, 'missing')} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    if different:
        raise ValueError(
            f"{path} is the journal of another search: {'; '.join(different)}. Go on with what it "
            "was begun with, or begin another search with another folder or storage"
        )


def _check(path):
    """Raise ValueError unless a file is a whole journal, but for a torn last line, or absent."""
    try:
        with opened(path) as file:
            *lines, torn = file.read().split(b"\n")
    except FileNotFoundError:
        return
    first = (lines or [torn])[0][: len(_FIRST)]
    if not _FIRST.startswith(first) or (lines and first != _FIRST):
        raise ValueError(f"{path} is not the journal of a search; give another file")
    for number, line in enumerate(lines, 1):
        try:
            log = json.loads(line)
        except (ValueError, RecursionError):
            raise _damaged(path, number) from None
        _checked(path, number, log)


def _checked(path, number, log):
    """Return an operation without its checksum, which has to be right."""
    if not isinstance(log, dict) or log.pop("crc", None) != _checksum(log):
        raise _damaged(path, number)
    return log


def _checksum(log):
    return zlib.crc32(json.dumps(log, separators=(",", ":")).encode())


def _damaged(path, number):
    return ValueError(
        f"{path} is damaged in line {number}; what came before is whole: "
        f"head -n {number - 1} of it, saved under its name, goes on from there"
    )


def _mend(path):
    """Cut off what follows the last end of a line."""
    with open(path, "rb+") as file:
        content = b""
        if file.seek(0, 2):
            file.seek(-1, 2)
            content = file.read()
        if content not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
