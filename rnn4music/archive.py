"""The .npz files: ours, written whole or not at all, and those of the 2015 program.

Conventions
-----------
One file holds, each under a name of its own: ``format``, a version number; ``settings``,
``history`` and ``random_state``, JSON text; ``parameters/<name>``, ``mean_squares/<name>``
with the names of `network.named`; and ``initial/layer1/hidden``, ``initial/layer1/cell``, …
Nothing is pickled, and nothing that is pickled is read.
"""

import json
import warnings
from pathlib import Path

import numpy as np

from midi.files import written_whole

FORMAT = 1


class ArchiveError(ValueError):
    """A file that is no model of ours, or damaged."""


def npz_path(name):
    """Return the path with its suffix, which may be given or left out."""
    path = Path(name).expanduser()
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def write(name, settings, history, random_state, arrays):
    """Write a model's file: to a temporary file beside it, flushed, then renamed.

    Parameters
    ----------
    name : path
        With or without ``.npz``.
    settings, history, random_state : dict
        What JSON can hold.
    arrays : dict of name to array

    Returns
    -------
    pathlib.Path
        The file, complete; whatever goes wrong, an earlier file of that name is untouched.
    """
    path = npz_path(name)
    texts = {"settings": settings, "history": history, "random_state": random_state}
    with written_whole(path) as file:
        np.savez(
            file,
            format=np.array(FORMAT),
            **{key: np.array(json.dumps(value)) for key, value in texts.items()},
            **arrays,
        )
    return path


def read(name):
    """Read a file of ours or of the 2015 program.

    Returns
    -------
    dict
        ``settings``, ``history``, ``random_state`` (dicts; None where the file has none) and
        ``arrays``, a dict under the names above; only ``parameters/…`` from 2015.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no .npz, damaged, or holds something else than a model.
    """
    path = npz_path(name)
    try:
        with open(path, "rb") as file:
            if file.read(4) != b"PK\x03\x04":
                raise ArchiveError(f"{path} is not an .npz file; saveParameters writes them")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                if "Wxi_1" in archive:
                    return _read_2015(archive, path)
                return _read(archive, path)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except (ArchiveError, OSError):
        raise
    except Exception as error:  # a damaged file makes NumPy, zipfile and json raise all sorts
        raise ArchiveError(f"{path} is damaged and cannot be read: {error}") from error


def _read(archive, path):
    if "format" not in archive:
        raise ArchiveError(f"{path} holds no model of rnn4music: it has no entry 'format'")
    version = archive["format"]
    if version.shape != () or version.dtype.kind not in "iu" or version < 1:
        raise ArchiveError(f"{path} is damaged: its format is {version}")
    if version > FORMAT:
        raise ArchiveError(
            f"{path} has format {version}, this version of rnn4music reads up to {FORMAT}; "
            "install a newer one"
        )
    texts = {}
    for key in ("settings", "history", "random_state"):
        try:
            texts[key] = json.loads(str(archive[key]))
        except json.JSONDecodeError as error:
            raise ArchiveError(f"{path} is damaged: its {key} cannot be read: {error}") from error
        if not isinstance(texts[key], dict):
            raise ArchiveError(f"{path} is damaged: its {key} are {texts[key]!r}, not a table")
    return {**texts, "arrays": {key: archive[key] for key in archive.files if "/" in key}}


def _read_2015(archive, path):
    """Translate the arrays of 2015: one matrix per gate, (to, from), into fused (from, to)."""

    def fused(names):
        return np.concatenate([archive[name].T for name in names], axis=-1)

    arrays = {}
    for n in (1, 2, 3):
        layer = {
            "input_to_gates": fused(f"Wx{g}_{n}" for g in "ifco"),
            "hidden_to_gates": fused(f"Wh{g}_{n}" for g in "ifco"),
            "bias": fused(f"b{g}_{n}" for g in "ifco"),
            "peephole_input": archive[f"Wci_{n}"],
            "peephole_forget": archive[f"Wcf_{n}"],
            "peephole_output": archive[f"Wco_{n}"],
        }
        if n > 1:
            layer["below_to_gates"] = fused(f"W{g}j_{n}" for g in "xfco")
        arrays |= {f"parameters/layer{n}/{field}": array for field, array in layer.items()}
        arrays[f"parameters/output/layer{n}_to_output"] = archive[f"Why_{n}"].T
    arrays["parameters/output/bias"] = archive["by"]

    # From the arrays, since the earlier versions did not save h3_length.
    sizes = {f"h{n}_length": len(archive[f"Wci_{n}"]) for n in (1, 2, 3)}
    settings: dict[str, float] = {**sizes, "io_length": len(archive["by"])}
    for key in ("R1", "R2", "R3", "gradClip"):
        if key in archive:
            settings[key] = float(np.ravel(archive[key])[0])
    costs = np.ravel(archive["instantaneousCost"]) if "instantaneousCost" in archive else []
    warnings.warn(
        f"{path} is from the 2015 program, whose first layer read its output peephole from "
        "another signal than the cell state: layer1/peephole_output is loaded, but means "
        "something else now; the RMSprop averages held another quantity and start from zero",
        stacklevel=4,
    )
    history = {"cost": [float(cost) for cost in costs]}
    return {"settings": settings, "history": history, "random_state": None, "arrays": arrays}
