"""Fuzz the readers of standard sets, guided by coverage (needs atheris; not part of the suite).

    python tests/fuzz_standard_sets.py -max_total_time=3600 -timeout=20 -rss_limit_mb=0 CORPUS

The first byte chooses the reader and the pitch range. The readers of .json, .npz and .pickle run in
this process, which has more memory than their own process would: a file raises a ValueError or
gives packed rolls. Without a suffix the bytes are taken as the answer of that process: they are
rejected, or give boolean rolls as wide as the range. Pickles are also read alone: the result
consists of containers, numbers, text and arrays, and nothing was called. SciPy's reader of .mat
files is known to crash and is not tried.
"""

import contextlib
import io
import json
import pickle

import atheris

with atheris.instrument_imports(include=["rnn4music", "zipfile", "json"]):
    from rnn4music._utils import processes
    from rnn4music.data import safe_pickle, standard_sets

import fuzz_shared
import numpy as np

SUFFIXES = (".pickle", ".json", ".npz", "", "alone")
PARTS = ("train", "validation", "test")
PLAIN = (list, tuple, dict, set, frozenset, int, float, complex, str, bytes, bytearray, type(None),
         np.generic, np.ndarray)  # fmt: skip
KNOWN = (*safe_pickle._KNOWN.values(),)


def read_anything(data):
    kind, file = data[0] if data else 0, data[1:]
    suffix, pitch_range = SUFFIXES[kind % 5], ((21, 109), (0, 128), (60, 61))[kind // 5 % 3]
    # a pickle may take any amount
    with fuzz_shared.guarded(fuzz_shared.MOST_MEMORY if suffix in (".json", "") else 2**33):
        if suffix == "alone":
            check_pickle(file)
        elif suffix:
            check_set(file, suffix, pitch_range)
        else:
            check_answer(file, pitch_range)


def check_set(file, suffix, pitch_range):
    path = fuzz_shared.FOLDER / f"set{suffix}"
    path.write_bytes(file)
    try:
        with open(path, "rb") as opened:
            found = standard_sets._read(opened, suffix, pitch_range[1] - pitch_range[0], 10**6)
    except ValueError as error:
        fuzz_shared.refused(error)
        return
    except MemoryError:
        assert suffix != ".json"
        return
    check_rolls(found, pitch_range)


def check_answer(file, pitch_range):
    path = fuzz_shared.FOLDER / "answer"
    path.write_bytes(file)
    try:
        with open(path, "rb") as opened:
            found = processes._arrays(opened, 2**20)
    except (ValueError, ImportError, OSError):
        return
    with contextlib.suppress(ValueError):
        check_rolls(found, pitch_range)


def check_rolls(found, pitch_range):
    for part in PARTS:
        dataset = standard_sets._dataset(found, "set", part, pitch_range)
        assert len(dataset) and len(dataset) == len(dataset.names)
        for roll in dataset:
            assert roll.dtype == bool and roll.ndim == 2 and len(roll)
            assert roll.shape[1] == pitch_range[1] - pitch_range[0]


def check_pickle(file):
    try:
        content = safe_pickle.loads(file)
    except ValueError as error:
        fuzz_shared.refused(error)
        return
    except MemoryError:
        return
    todo, seen = [content], set()
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        is_known = value in KNOWN if callable(value) else type(value) is safe_pickle._Dtype
        assert isinstance(value, PLAIN) or is_known, type(value)
        if isinstance(value, dict):
            todo.extend(value.values())
        elif isinstance(value, (list, tuple)):
            todo.extend(value)
        elif isinstance(value, np.ndarray) and value.dtype.hasobject:
            todo.extend(value.ravel()[:1000].tolist())


def mutate(data, most, seed):
    """Keep the first byte most of the time, and mutate the rest by its format."""
    if not data or seed % 16 == 0:
        return fuzz_shared.mutated(data, most)
    suffix, file = SUFFIXES[data[0] % 5], data[1:]
    if suffix in (".npz", ""):
        file = fuzz_shared.mutated_zip(file, most - 1, seed)
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
    found = {}
    for part, name in zip(rolls, PARTS):
        found[f"{name} lengths"] = np.array([len(roll) for roll in rolls[part]])
        packed = [standard_sets._packed_roll(roll, "") for roll in rolls[part]]
        found[name] = np.concatenate(packed)
    file = io.BytesIO()
    np.savez(file, **found)
    yield b"\3" + file.getvalue()
    for protocol in (0, 2, 4, 5):
        for content in (tunes, rolls):
            data = pickle.dumps(content, protocol)
            yield from (b"\0" + data, b"\4" + data)
    yield b"\1" + json.dumps(tunes).encode()
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **{part: objects(rolls[part]) for part in rolls})
        yield b"\2" + file.getvalue()
        file = io.BytesIO()
        save(file, **{part: np.array([[[60.0, np.nan], [61, 62]]]) for part in rolls})
        yield b"\2" + file.getvalue()


if __name__ == "__main__":
    fuzz_shared.fuzz(read_anything, mutate, seeds())
