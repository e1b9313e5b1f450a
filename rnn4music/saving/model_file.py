"""Model files: .npz files of this and earlier versions, and of the 2015 program.

Conventions
-----------
The entries of a file are ``format``, a version number; ``settings``, ``history``,
``random_state`` and ``metadata`` (which may be missing), JSON text; ``parameters/<name>``, the
weights under the names of `parameters.named`; the optimiser's averages under the same names, such
as ``mean_squares/<name>``; ``optimiser/n_updates``, the number of updates in the averages;
``initial/layer1/hidden``, ``initial/layer1/cell``, …; and the history's lists, ``history/cost``,
…, where NaN stands for None. A checkpoint also has ``checkpoint``, JSON text, and arrays under
``checkpoint/``. Nothing is pickled, and nothing pickled is read.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from midi.files import opened, written_whole
from rnn4music._utils import npz
from rnn4music.saving.legacy_2015 import modern, read_2015
from rnn4music.saving.metadata import TRAINED_ON, trainings

FORMAT = 3
"""Format 1 had only RMSprop, and the history as JSON text; formats 1 and 2 used other names."""

MOST_EXPANDED, MOST_TIMES = 2**24, 20
"""The arrays may have this many bytes, or this many times the file's size, if that is more.

`write` does not compress, so that the arrays have the size of the file.
"""

MOST_TEXT = 2**26  # bytes of a JSON text, four to a letter


class ModelFileError(ValueError):
    """A file that is not a model, or is damaged."""


def npz_path(name):
    """Return the path of a model file, whose name may lack the suffix ``.npz``."""
    name = os.fsdecode(name)
    path = os.path.expanduser(name)
    last = os.path.basename(name)
    if last in ("", ".", "..") or (last == name != path):  # the last is a home folder
        example = os.path.join(name, "model.npz")
        raise ValueError(f"{name!r} does not name a file; add a file name, as in {example!r}")
    return Path(path if path.endswith(".npz") else f"{path}.npz")


def write(name, settings, history, random_state, arrays, metadata, checkpoint=None, under_way=None):
    """Write a model file and return its path; the name may lack ``.npz``.

    `arrays` and `under_way` are dicts of arrays, the other arguments JSON values. `checkpoint` and
    `under_way` are the state of a training in progress. If anything goes wrong, an earlier file of
    that name is unchanged.
    """
    path = npz_path(name)
    lists = {name: value for name, value in history.items() if isinstance(value, list)}
    history = {name: value for name, value in history.items() if name not in lists}
    texts = {"settings": settings, "history": history, "random_state": random_state}
    texts |= {"metadata": metadata, "checkpoint": checkpoint}
    with written_whole(path) as file:
        np.savez(
            file,
            format=np.array(FORMAT),
            **{key: np.array(json.dumps(v)) for key, v in texts.items() if v is not None},
            **{f"history/{name}": np.array(value, float) for name, value in lists.items()},
            **arrays,
            **{f"checkpoint/{name}": array for name, array in (under_way or {}).items()},
        )
    return path


def read(name):
    """Return the content of a file of `write`, of an earlier version, or of the 2015 program.

    It is a dict. ``settings``, ``history``, ``metadata``, ``random_state`` and ``checkpoint`` are
    dicts; the last two are None where the file has none. ``arrays`` and ``under_way`` are dicts of
    arrays, the latter named without ``checkpoint/``. A file of 2015 has only ``parameters/…``.

    Raises
    ------
    FileNotFoundError, ModelFileError
        If there is no file, or it is not a model or damaged.
    """
    path = npz_path(name)
    try:
        with opened(path) as file:
            if file.read(4) != b"PK\x03\x04":
                raise ModelFileError(f"{path} is not an .npz file written by saveParameters")
            entries = npz.read(file, MOST_EXPANDED, MOST_TIMES)
        content = read_2015(entries, path) if "Wxi_1" in entries else _read(entries, path)
        for name, before in {"chord_units": None, "conditions": 0}.items():
            content["settings"].setdefault(name, before)  # which older files do not have
        _check_sizes(content["settings"], content["arrays"])
        return content
    except FileNotFoundError:
        if Path(name).is_file():
            raise ModelFileError(
                f"{name} is not a model: the name of a model ends in .npz"
            ) from None
        raise FileNotFoundError(f"there is no file {path}") from None
    except ModelFileError:
        raise
    except Exception as error:  # of many kinds: from NumPy, zipfile and json
        if not npz.is_damage(error):
            raise
        raise ModelFileError(f"{path} is damaged: {reason(error)}") from error


def reason(error):
    """Return the text of an error; a KeyError has only the missing key."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error) or repr(error)


def _check_sizes(settings, arrays):
    """Raise a ValueError if the settings and the arrays disagree on the network's sizes."""
    for name in ("h1_length", "h2_length", "h3_length", "io_length", "conditions"):
        if not isinstance(settings[name], int):
            raise ValueError(f"its {name} is {settings[name]!r}, which is not a whole number")
    for n in (1, 2, 3):
        n_units = settings[f"h{n}_length"]
        n_inputs = settings["io_length"] + settings["conditions"]
        for name, n_rows in (("input", n_inputs), ("hidden", n_units)):
            key, expected = f"layer{n}/{name}_to_gates", (n_rows, 4 * n_units)
            shape = arrays[f"parameters/{key}"].shape
            if shape != expected:
                raise ValueError(f"{key} has the shape {shape}, but its settings say {expected}")
    n_chord_units = settings["chord_units"]
    if not isinstance(n_chord_units, (int, type(None))):
        raise ValueError(f"its chord_units is {n_chord_units!r}, which is not a whole number")
    biases = arrays.get("parameters/chords/bias", np.zeros(0))
    if biases.size != (n_chord_units or 0):
        raise ValueError(
            f"chords/bias has the shape {biases.shape}, but chord_units is {n_chord_units}"
        )


def _read(entries, path):
    if "format" not in entries:
        raise ModelFileError(f"{path} does not hold a model: it has no entry 'format'")
    version = entries["format"]
    if version.shape != () or version.dtype.kind not in "iu" or version < 1:
        raise ValueError(f"its format is {version}")
    if version > FORMAT:
        raise ModelFileError(
            f"{path} has format {version}, but this version of rnn4music reads formats up to "
            f"{FORMAT}; install a newer one"
        )
    if version < 3 and "notes" in entries:
        entries["metadata"] = entries.pop("notes")
    texts: dict[str, Any] = {"checkpoint": None, "metadata": {}}
    for key in ["settings", "history", "random_state", *(key for key in texts if key in entries)]:
        texts[key] = _table(key, entries[key])
    arrays = {key: array for key, array in entries.items() if "/" in key}
    lists, under_way = (
        {key.removeprefix(group): arrays.pop(key) for key in [*arrays] if key.startswith(group)}
        for group in ("history/", "checkpoint/")
    )
    if version == 1:
        texts["settings"].setdefault("optimiser", "rmsprop")
        arrays["optimiser/n_updates"] = np.zeros(())
        n_epochs = len(texts["history"].get("validation") or ())
        texts["history"].setdefault("rate_factor", [1.0] * n_epochs)
    if version < 3:
        _rename(texts)
    for name, values in lists.items():
        if values.ndim != 1 or values.dtype.kind not in "buif":
            raise ValueError(f"the history's {name} is not a list of numbers")
        values = [None if np.isnan(value) else value for value in values.astype(float).tolist()]
        texts["history"].setdefault(name, values)
    _check_texts(texts["history"], texts["checkpoint"])
    return {**texts, "arrays": arrays, "under_way": under_way}


def _check_texts(history, checkpoint):
    """Raise a ValueError if summaries could not be made of a history or a checkpoint."""
    for name in {"cost", "seconds", "validation", "rate_factor"} & history.keys():
        values = history[name]
        if not isinstance(values, list) or not all(map(_is_number, values)):
            raise ValueError(f"the history's {name} is not a list of numbers")
    if not _is_number(history.get("baseline")):
        raise ValueError(f"the history's baseline is not a number: {history['baseline']!r}")
    if checkpoint is not None:
        for part in ("training", "state", "before"):
            if not isinstance(checkpoint.get(part), dict):
                raise ValueError(f"its checkpoint lacks the dict {part!r}")
        if "epoch" not in checkpoint["state"]:
            raise ValueError("the state in its checkpoint lacks 'epoch'")


def _is_number(value):
    return value is None or isinstance(value, (int, float))


def _table(key, array):
    """Return the dict whose JSON text an array holds; unlike NumPy, refuse invalid Unicode."""
    try:
        if array.dtype.kind != "U" or array.nbytes > MOST_TEXT:
            raise ValueError(f"it is not text of at most {MOST_TEXT} bytes")
        order = "be" if array.dtype.str[0] == ">" else "le"
        content = json.loads(array.tobytes().decode(f"utf-32-{order}").rstrip("\0"))
    except ValueError as error:
        raise ValueError(f"its {key} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"its {key} is not a dict: {str(content)[:60]}")
    return content


def _rename(texts):
    """Replace the names of formats 1 and 2 by those of format 3."""
    history, metadata, checkpoint = (texts[key] for key in ("history", "metadata", "checkpoint"))
    if "floor" in history:
        history["baseline"] = history.pop("floor")
    if TRAINED_ON in metadata:
        metadata[TRAINED_ON] = [
            modern({"n_epochs" if name == "epochs" else name: training[name] for name in training})
            for training in trainings(metadata)
        ]
    if checkpoint is not None:
        state = {name: n for name, n in checkpoint["standing"].items() if name != "waited"}
        texts["checkpoint"] = {
            "training": modern(checkpoint["about"]),
            "state": state,
            "before": checkpoint["before"],
            "before_baseline": checkpoint["before_floor"],
        }
