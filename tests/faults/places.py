"""Unreadable, unwritable and special files instead of a regular file."""

import contextlib
import os
import signal
import socket
import warnings
from pathlib import Path

import numpy as np

from midi import midiread, midiwrite
from rnn4music.data import shards
from rnn4music.data.midi_files import load_midi
from rnn4music.data.standard_sets import load_standard_set
from rnn4music.data.store import RollStore
from rnn4music.numpy_network import NumpyNetwork
from rnn4music.saving import model_file
from rnn4music.training.callbacks import JsonLines

from . import kills, quick, stores
from .rounds import Child, Counts


class Hang(BaseException):
    """A call did not end within `SECONDS`."""


SECONDS = 5  # until a call counts as hanging

READERS = {  # name of the file, and a function that reads it
    "archive": ("model.npz", model_file.read),
    "NumPy alone": ("model.npz", NumpyNetwork.from_file),
    "midiread": ("tune.mid", midiread),
    "load_midi": ("tune.mid", lambda path: load_midi(path, progress=False)),
    "load_midi of its folder": ("tune.mid", lambda path: load_midi(path.parent, progress=False)),
    "standard set .mat": ("set.mat", load_standard_set),
    "standard set .pickle": ("set.pickle", load_standard_set),
    "standard set .json": ("set.json", load_standard_set),
    "standard set .npz": ("set.npz", load_standard_set),
    "store": ("store", RollStore),
    "converted": ("tune.mid", lambda path: stores.made(path, path.with_name("store"))),
    "resumed": (
        "checkpoint.npz",
        lambda path: quick.train(
            quick.model(), quick.tunes(np.random.default_rng(0)), {}, checkpoint=path, resume=True
        ),
    ),
}
WRITERS = {
    "saved": ("model.npz", lambda path: quick.model().saveParameters(path)),
    "log": ("log.jsonl", lambda path: JsonLines(path)._add("start", quick.model().history)),
    "MIDI": ("tune.mid", lambda path: midiwrite(path, np.eye(88))),
    "converted to": ("store", lambda path: _convert_to(path)),
    "cache": (
        "cache",
        lambda path: shards.cached(path, ("k",), [kills.Music()], 88, lambda: []),
    ),
}


def _convert_to(path):
    midiwrite(path.with_name("tune.mid"), np.eye(88))
    return stores.made(path.with_name("tune.mid"), path)


def _socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


THINGS = {  # what is made instead of the file
    "no permission": lambda path: path.touch(mode=0),
    "folder": Path.mkdir,
    "folder without permission": lambda path: path.mkdir(mode=0),
    "FIFO": os.mkfifo,
    "link to nothing": lambda path: path.symlink_to(path.with_name("nothing")),
    "link to itself": lambda path: path.symlink_to(path),
    "socket": _socket,
    "empty": Path.touch,
    "link to /dev/full": lambda path: path.symlink_to("/dev/full"),
    "nothing": lambda path: None,
}


def unreadable(rounds, rng, folder):
    """Special or inaccessible files instead of a file: an error that names the file, no hang."""
    counts = Counts()
    if os.geteuid() == 0:
        os.chmod(folder, 0o755)
    else:
        counts["as this user"] += 1
    cases = [(*case, *thing) for case in {**READERS, **WRITERS}.items() for thing in THINGS.items()]
    for call in (call for _, call in {**READERS, **WRITERS}.values()):
        with contextlib.suppress(OSError, ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(folder / "warm" / "x.npz")  # imports its modules while it has permission
    for number in range(min(rounds, len(cases))):
        what, (name, call), thing, make = cases[number]
        place = folder / str(number)
        place.mkdir()
        make(place / name)
        if os.geteuid() == 0:
            os.chown(place, 65534, 65534)

        def work(say, path=place / name, call=call):
            if os.geteuid() == 0:
                os.setgroups([]), os.setgid(65534), os.setuid(65534)
            signal.signal(signal.SIGALRM, _hang)
            signal.alarm(SECONDS)
            try:
                with warnings.catch_warnings(record=True):
                    warnings.simplefilter("always")
                    call(path)
                say("done")
            except (OSError, ValueError) as error:
                names = path.stem, str(path.parent), os.path.realpath(path)
                named = any(name in str(error) for name in names)
                say("refused" if named else f"an error without the file's name: {error!r}")
            except BaseException as error:
                say(f"{type(error).__name__}: {error}")

        child = Child(work)
        child.wait(4 * SECONDS)
        said = child.said[-1] if child.said else "no answer"
        if said == "done" and what in READERS and what != "resumed":
            said = "read as if nothing was wrong"
        counts[said if said in ("done", "refused") else "others"] += 1
        if said not in ("done", "refused"):
            counts.violation(f"{what}, {thing}: {said}")
    return counts


def _hang(number, frame):
    raise Hang("it hangs")
