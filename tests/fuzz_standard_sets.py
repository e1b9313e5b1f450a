"""Fuzz the readers of standard sets, guided by coverage (needs atheris; not part of the suite).

    python tests/fuzz_standard_sets.py -max_total_time=3600 -timeout=20 -rss_limit_mb=0 CORPUS

The first byte chooses the suffix, and the pitch range. A file is refused with a ValueError, or
gives three parts of boolean rolls as wide as the range. Pickles are read alone, too: what comes
out is made of containers, numbers, text and arrays of numbers, and nothing was called.
"""

import io
import json
import pickle

import atheris

with atheris.instrument_imports(include=["rnn4music", "zipfile", "json"]):
    from rnn4music.data import safe_pickle, standard_sets

import fuzz_shared
import numpy as np
from scipy.io import savemat

SUFFIXES = (".mat", ".pickle", ".json", ".npz", "")
PLAIN = (list, tuple, dict, int, float, complex, str, bytes, bytearray, type(None), np.generic)


def read_anything(data):
    kind, file = data[0] if data else 0, data[1:]
    suffix, pitch_range = SUFFIXES[kind % 5], ((21, 109), (0, 128), (60, 61))[kind // 5 % 3]
    with fuzz_shared.guarded():
        if suffix:
            check_set(file, suffix, pitch_range)
        else:
            check_pickle(file)


def check_set(file, suffix, pitch_range):
    path = fuzz_shared.FOLDER / f"set{suffix}"
    path.write_bytes(file)
    try:
        split = standard_sets.load_standard_set(path, pitch_range, most_cells=10**6)
    except ValueError as error:
        fuzz_shared.refused(error)
        return
    for part in split:
        assert len(part) and len(part) == len(part.names)
        for roll in part:
            assert roll.dtype == bool and roll.ndim == 2 and len(roll)
            assert roll.shape[1] == pitch_range[1] - pitch_range[0]


def check_pickle(file):
    try:
        content = safe_pickle.loads(file)
    except ValueError as error:
        fuzz_shared.refused(error)
        return
    todo, seen = [content], set()
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            assert not value.dtype.hasobject
        else:
            assert isinstance(value, PLAIN), type(value)
        if isinstance(value, dict):
            todo.extend(value.values())
        elif isinstance(value, (list, tuple)):
            todo.extend(value)


def mutate(data, most, seed):
    """Keep the first byte most of the time, and mutate the rest as befits it."""
    if not data or seed % 16 == 0:
        return fuzz_shared.mutated(data, most)
    suffix, file = SUFFIXES[data[0] % 5], data[1:]
    if suffix == ".npz":
        file = fuzz_shared.mutated_zip(file, most - 1, seed)
    elif suffix == ".mat":
        file = fuzz_shared.mutated_mat(file, most - 1, seed)
    else:
        file = fuzz_shared.mutated(file, most - 1)
    return data[:1] + file


def objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def seeds():
    tunes = {"train": [[[60, 64], [], [21]], [[108]]], "valid": [[[60], [61]]], "test": [[[70]]]}
    rolls = {}
    for part, lists in tunes.items():
        rolls[part] = [np.zeros((len(tune), 88), np.uint8) for tune in lists]
        for roll, tune in zip(rolls[part], lists):
            for t, pitches in enumerate(tune):
                roll[t, [pitch - 21 for pitch in pitches]] = 1
    for compress in (False, True):
        file = io.BytesIO()
        savemat(file, {f"{part}data": np.array([objects(rolls[part])]) for part in rolls},
                do_compression=compress)  # fmt: skip
        yield b"\0" + file.getvalue()
    file = io.BytesIO()
    savemat(file, {"traindata": np.ones((2, 2))}, format="4")
    yield b"\0" + file.getvalue()
    for protocol in (0, 2, 4, 5):
        for content in (tunes, rolls):
            data = pickle.dumps(content, protocol)
            yield from (b"\1" + data, b"\4" + data)
    yield b"\2" + json.dumps(tunes).encode()
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **{part: objects(rolls[part]) for part in rolls})
        yield b"\3" + file.getvalue()
        file = io.BytesIO()
        save(file, **{part: np.array([[[60.0, np.nan], [61, 62]]]) for part in rolls})
        yield b"\3" + file.getvalue()


if __name__ == "__main__":
    fuzz_shared.fuzz(read_anything, mutate, seeds())
