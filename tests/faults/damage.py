"""Files damaged in every region: they are refused, or read as they were saved, to the last bit."""

import re
import time
import warnings

import numpy as np

from rnn4music.data import shards
from rnn4music.numpy_network import NumpyNetwork
from rnn4music.saving import model_file

from . import kills, quick
from .rounds import Counts, is_same

MOST_SECONDS = 20  # to detect that a small file is damaged


def damaged(rng, data):
    """Return a description of the damage, and the damaged bytes.

    Half of the places are near a zip's signatures or a NumPy header, which are rare and matter
    more than the numbers.
    """
    marks = [m.start() for m in re.finditer(rb"PK\x01\x02|PK\x03\x04|PK\x05\x06|\x93NUMPY", data)]
    if marks and rng.random() < 0.5:
        place = int(marks[rng.integers(len(marks))] + rng.integers(0, 140))
    else:
        place = int(rng.integers(len(data)))
    place = min(place, len(data) - 1)
    size = int(2 ** rng.uniform(0, 12))
    before, part, after = data[:place], data[place : place + size], data[place + size :]
    what = ("bit", "byte", "digit", "zeros", "noise", "cut", "end", "twice", "moved")
    what = what[rng.integers(len(what))]
    if what == "bit":
        part = bytes([part[0] ^ 1 << int(rng.integers(8))]) + part[1:]
    elif what == "byte":
        part = rng.bytes(1) + part[1:]
    elif what == "digit":  # of a number or name in plain text
        digits = [m.start() for m in re.finditer(rb"[0-9<>a-z]", part)] or [0]
        k = digits[rng.integers(len(digits))]
        part = part[:k] + bytes([b"0123456789<>abcu"[rng.integers(16)]]) + part[k + 1 :]
    elif what == "zeros":
        part = bytes(len(part))
    elif what == "noise":
        part = rng.bytes(len(part))
    elif what == "cut":
        part = b""
    elif what == "end":
        part, after = b"", b""
    elif what == "twice":
        part = part + part
    else:
        k = int(rng.integers(len(data)))
        return f"{what}: {size} bytes at {place} from {k}", before + data[k : k + size] + after
    return f"{what}: {size} bytes at {place} of {len(data)}", before + part + after


def check(rounds, rng, path, read, refusals, name):
    """Damage a file repeatedly, and count how it is read.

    Parameters
    ----------
    read : callable
        From the path to content that `is_same` can compare.
    refusals : tuple
        Errors by which a file is refused.
    """
    counts = Counts()
    data, expected = path.read_bytes(), read(path)
    for _ in range(rounds):
        what, content = damaged(rng, data)
        path.write_bytes(content)
        started = time.monotonic()
        counts[f"{name}s damaged"] += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = read(path)
        except refusals:
            counts["refused"] += 1
        except BaseException as error:
            counts.violation(f"{name}, {what}: {type(error).__name__}: {error}")
        else:
            counts["read as saved"] += 1
            if not is_same(found, expected):
                counts.violation(f"{name}, {what}: it reads as something else")
        if time.monotonic() - started > MOST_SECONDS:
            counts.violation(f"{name}, {what}: {time.monotonic() - started:.0f} s")
    path.write_bytes(data)
    return counts


def trained(folder, **options):
    """Return a model with metadata after a short training."""
    model = quick.model()
    model.metadata = {"data": "some tunes", "time_step": 0.25}
    tunes = quick.tunes(np.random.default_rng(0))
    quick.train(model, tunes, quick.OPTIONS["all"], **options)
    return model


def numpy_network(path):
    """Read with NumPy alone; return content that can be compared."""
    network = NumpyNetwork.from_file(path)
    state = network.rng.bit_generator.state
    return [network.layers, network.output, network.settings, state]


def model(rounds, rng, folder):
    """A saved model, damaged, and read by `model_file` and by `NumpyNetwork`."""
    path = trained(folder).saveParameters(folder / "model")
    counts = check(rounds, rng, path, model_file.read, (model_file.ModelFileError,), "model")
    return counts + check(rounds // 3, rng, path, numpy_network, (ValueError,), "lone model")


def checkpoint(rounds, rng, folder):
    """A checkpoint, damaged: resuming is refused, or continues as from the undamaged file."""
    path = folder / "checkpoint.npz"
    trained(folder, checkpoint=path)
    counts = check(rounds, rng, path, model_file.read, (model_file.ModelFileError,), "checkpoint")
    tunes, options = quick.tunes(np.random.default_rng(0)), quick.OPTIONS["all"]

    def resumed(path):
        model = quick.model()
        model.metadata = {"data": "some tunes", "time_step": 0.25}
        before = model.__getstate__()
        try:
            quick.train(model, tunes, options, checkpoint=path, resume=True)
        except ValueError:
            if not is_same(model.__getstate__(), before):
                raise AssertionError("a refused checkpoint changed the model") from None
            raise
        after = model.__getstate__()
        del after["history"]["seconds"]
        return after

    return counts + check(rounds // 10, rng, path, resumed, (ValueError,), "resumed checkpoint")


def cache_file(rounds, rng, folder):
    """A cache file, damaged: it counts as absent."""
    tunes = kills.some_tunes(0)[-9:]
    shards.cached(folder / "cache", ("key",), [kills.Music()], 88, lambda: tunes)
    (path,) = (folder / "cache").iterdir()

    def read(path):
        found = shards.cached(path.parent, ("key",), [kills.Music()], 88, lambda: iter(()))
        if not found:
            raise ValueError
        return [*map(tuple, found)]

    return check(rounds, rng, path, read, (ValueError,), "cache file")
