"""Fuzz the reader of model files, guided by coverage (needs atheris; not part of the suite).

    python tests/fuzz_model_file.py -max_total_time=3600 -timeout=20 -rss_limit_mb=0 CORPUS

Either a file is refused with a ModelFileError, or its content can be written and read again
unchanged, a `NumpyNetwork` built from it predicts, its history and metadata are accepted or
refused by a ValueError, and `RNN4Music.from_file` (tried on a quarter of the files) returns a
model or raises a ValueError.
"""

import contextlib
import io
import sys
import warnings
import zlib

import atheris

with atheris.instrument_imports(include=["rnn4music", "zipfile", "numpy.lib"]):
    from rnn4music.cli import _common
    from rnn4music.numpy_network import NumpyNetwork
    from rnn4music.saving import metadata, model_file
    from rnn4music.training.state import TrainingState

import fuzz_shared
import numpy as np

from rnn4music import RNN4Music
from rnn4music.training import history

PATH = fuzz_shared.FOLDER / "model.npz"
AGAIN = fuzz_shared.FOLDER / "again.npz"


def read_anything(data):
    PATH.write_bytes(data)
    with fuzz_shared.guarded(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            content = model_file.read(PATH)
        except model_file.ModelFileError as error:
            fuzz_shared.refused(error)
            with contextlib.suppress(ValueError):
                NumpyNetwork.from_file(PATH)
            return
        check_content(content)
        if zlib.crc32(data) % 4 == 0:
            check_model()


def check_content(content):
    assert all(isinstance(content[key], dict) for key in ("settings", "history", "metadata"))
    assert isinstance(content["random_state"], (dict, type(None)))
    try:
        network, _ = _common.read_network(PATH)
    except ValueError as error:
        fuzz_shared.refused(error)
    else:
        inputs = np.zeros((2, network.n_pitches))
        assert network.predict(inputs).shape == inputs.shape
        assert len(network.activations(inputs)) == 3
        tune, _ = network.gen_music(None, 2, seed=1)
        assert np.isin(tune, (0, 1)).all()
    try:
        metadata.validate(content["metadata"])
        history.History.from_dict(dict(content["history"]))
        TrainingState.from_dict(dict((content["checkpoint"] or {}).get("state") or {}))
    except (ValueError, TypeError) as error:
        fuzz_shared.refused(error)
        return
    check_round_trip(content)


def check_round_trip(content):
    if content["random_state"] is None:
        return
    names = ("settings", "history", "random_state", "arrays", "metadata", "checkpoint", "under_way")
    model_file.write(AGAIN, **{name: content[name] for name in names})
    again = model_file.read(AGAIN)
    for name in names:
        np.testing.assert_equal(again[name], content[name])


def check_model():
    try:
        model = RNN4Music.from_file(PATH)
    except ValueError as error:
        fuzz_shared.refused(error)
        return
    for array in model._store.arrays().values():
        assert np.isfinite(array).all()


def seeds():
    model = RNN4Music(2, 2, 2, 3, seed=1)
    path = model.saveParameters(fuzz_shared.FOLDER / "seed")
    yield path.read_bytes()
    with np.load(path) as entries:
        arrays = dict(entries)
    state = {"epoch": 1, "update": 0, "seed": 3, "rate_factor": 1.0, "best": 2.5, "since_decay": 0}
    arrays["checkpoint"] = np.array(
        f'{{"state": {state}, "training": {{}}, "before": {{}}}}'.replace("'", '"')
    )
    arrays["checkpoint/weights"] = np.arange(3.0)
    arrays["history/cost"] = arrays["history/seconds"] = np.array([3.0, 2.0])
    arrays["metadata"] = np.array('{"trained_on": [{"epochs": 2, "music": "é"}], "time_step": 0.3}')
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    yield file.getvalue()
    file = io.BytesIO()
    np.savez(file, **of_2015())
    yield file.getvalue()


def of_2015():
    arrays = {"io_length": 3, "R1": 0.001, "gradClip": 25.0, "instantaneousCost": np.ones(2)}
    for n in (1, 2, 3):
        for gate in "ifoc":
            arrays |= {f"Wx{gate}_{n}": np.ones((2, 3)), f"Wh{gate}_{n}": np.ones((2, 2))}
            arrays[f"b{gate}_{n}"] = np.ones(2)
        arrays |= {f"Wc{gate}_{n}": np.ones(2) for gate in "ifo"}
        arrays |= {f"W{letter}j_{n}": np.ones((2, 2)) for letter in "xfco" if n > 1}
        arrays[f"Why_{n}"] = np.ones((3, 2))
    return {**arrays, "by": np.ones(3)}


if __name__ == "__main__":
    sys.setrecursionlimit(1500)  # the fuzzer's own frames
    fuzz_shared.fuzz(read_anything, fuzz_shared.mutated_zip, seeds())
