"""Saving and loading: everything comes back, nothing is lost, damage is refused."""

import copy
import errno
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
from conftest import SIZES, random_roll, small_model

from midi import midiread
from midi.contents import describe
from midi.files import written_whole
from rnn4music import RNN4Music
from rnn4music.numpy_network import NumpyNetwork
from rnn4music.saving import model_card, model_file
from rnn4music.training import checkpoints
from rnn4music.training.callbacks import JsonLines


@pytest.fixture
def trained(tunes):
    model = small_model(seed=3, dtype="float32", R1=0.01, gradClip=7)
    model.train(tunes, 1, 2, 3, 5, progress=False)
    return model


@pytest.mark.parametrize("chord_units", (0, 8))
def test_chords_are_saved_and_loaded(chord_units, tunes, tmp_path):
    model = small_model(chord_units=chord_units, R1=0.01, Rout=0.01)
    model.train(tunes, 1, 2, 3, 5, progress=False)
    path = model.saveParameters(tmp_path / "chords")
    loaded = RNN4Music.from_file(path)
    assert loaded.chord_units == chord_units and repr(loaded) == repr(model)
    assert_same(model, loaded)
    assert_same(model, copy.copy(model))
    for other in (None, chord_units + 1):
        with pytest.raises(ValueError, match=f"chord_units {chord_units}, not {other}"):
            small_model(chord_units=other).loadParameters(path)


def test_chord_units_must_fit_the_arrays(tmp_path):
    content = small_model(chord_units=8).__getstate__()
    for wrong, message in ((3, "but chord_units is 3"), ("8", "not a whole number"), (None, "8")):
        content["settings"]["chord_units"] = wrong
        path = model_file.write(tmp_path / "forged", **content)
        with pytest.raises(ValueError, match=message):
            RNN4Music.from_file(path)
    content["settings"] |= {"chord_units": 8, "cost": "squared_error"}
    with pytest.raises(ValueError, match="cost must be 'cross_entropy' with chord_units"):
        RNN4Music.from_file(model_file.write(tmp_path / "forged", **content))


def assert_same(one, other):
    np.testing.assert_equal(one._store.arrays(), other._store.arrays())
    assert one.settings() == other.settings()
    assert one.history == other.history


def test_training_and_composing_go_on_as_if_never_saved(trained, tunes, tmp_path):
    path = trained.saveParameters(tmp_path / "model")
    assert path == tmp_path / "model.npz" and os.listdir(tmp_path) == ["model.npz"]
    loaded = small_model(seed=99, dtype="float32")
    loaded.loadParameters(tmp_path / "model.npz")
    built = RNN4Music.from_file(tmp_path / "model")
    for other in (loaded, built):
        assert_same(trained, other)
    expected = trained.train(tunes, 1, 2, 3, 5, progress=False).cost, trained.genMusic(tunes[0], 30)
    for other in (loaded, built):
        assert other.train(tunes, 1, 2, 3, 5, progress=False).cost == expected[0]
        np.testing.assert_array_equal(other.genMusic(tunes[0], 30), expected[1])
        np.testing.assert_equal(other.get_parameters(), trained.get_parameters())


def test_precision_and_cost_come_from_the_file(tmp_path, tunes):
    saved = small_model(dtype="float64", cost="squared_error", seed=1)
    saved.saveParameters(tmp_path / "m")
    model = small_model(dtype="float32", seed=2)
    model.predict(tunes[0])
    model.loadParameters(tmp_path / "m")
    assert_same(saved, model)
    np.testing.assert_array_equal(model.predict(tunes[0]), saved.predict(tunes[0]))
    pair = tunes[0][:-1], tunes[0][1:]
    assert model.gradients(*pair)[0] == saved.gradients(*pair)[0]


@pytest.mark.parametrize("here, there", (("rmsprop", "adam"), ("graves", "rmsprop")))
def test_the_optimiser_and_its_averages_come_from_the_file(here, there, tunes, tmp_path):
    saved = small_model(optimiser=there, seed=1)
    saved.train(tunes, 1, 2, 3, 5, progress=False)
    path = saved.saveParameters(tmp_path / "m")
    loaded = small_model(optimiser=here, seed=2)
    loaded.loadParameters(path)
    assert_same(saved, loaded)
    assert loaded.optimiser == there
    costs = [m.train(tunes, 1, 2, 3, 5, progress=False).cost for m in (saved, loaded)]
    assert costs[0] == costs[1]
    assert_same_weights(saved, loaded)


def assert_same_weights(one, other):
    np.testing.assert_equal(one._store.arrays(), other._store.arrays())


def test_files_of_format_1_are_read(trained, tunes, tmp_path):
    """They had the history as JSON text, and only RMSprop."""
    path = trained.saveParameters(tmp_path / "m")
    settings = trained.settings()
    del settings["optimiser"]
    history = trained.history.to_dict()
    del history["rate_factor"]
    changes = {
        "format": np.array(1),
        "settings": json_entry(settings),
        "history": json_entry(history),
        "optimiser/n_updates": None,
        **{f"history/{name}": None for name in trained.history.LISTS},
    }
    old = rewritten(path, tmp_path / "old.npz", **changes)
    loaded = RNN4Music.from_file(old)
    assert loaded.settings() == trained.settings()
    assert loaded.history.cost == trained.history.cost
    assert loaded.history.validation == trained.history.validation == [None, None]
    costs = [m.train(tunes, 1, 1, 3, 5, progress=False).cost for m in (trained, loaded)]
    assert costs[0] == costs[1]


def file_of_format_2(path, random_state, arrays, notes, history, lists, checkpoint=None):
    """Write a file of `small_model` in format 2, as version 0.1.0 did."""
    settings = {
        **SIZES, "R1": 0.01, "R2": 0.01, "R3": 0.01, "Rout": 0.01, "cost": "cross_entropy",
        "epsilon": 1e-05, "gradClip": 30.0, "sigRand": 0.6, "muRand": 0.9,
        "genProbThreshold": 0.1, "optimiser": "rmsprop", "seed": 1, "dtype": "float64",
    }  # fmt: skip
    texts = {"settings": settings, "history": history, "random_state": random_state}
    texts |= {"notes": notes, **({"checkpoint": checkpoint} if checkpoint else {})}
    np.savez(
        path,
        format=np.array(2),
        **{name: json_entry(text) for name, text in texts.items()},
        **{f"history/{name}": np.array(values, float) for name, values in lists.items()},
        **arrays,
    )


def arrays_of_format_2(rng):
    sizes, P = (3, 5, 4), SIZES["io_length"]
    arrays, shapes = {"optimiser/n_updates": np.array(3.0)}, {"output/bias": (P,)}
    for n, H in enumerate(sizes, start=1):
        shapes |= {f"layer{n}/input_to_gates": (P, 4 * H), f"layer{n}/hidden_to_gates": (H, 4 * H)}
        shapes |= {f"layer{n}/bias": (4 * H,), f"output/layer{n}_to_output": (H, P)}
        shapes |= {f"layer{n}/peephole_{gate}": (H,) for gate in ("input", "forget", "output")}
        arrays |= {f"initial/layer{n}/{state}": rng.random(H) for state in ("hidden", "cell")}
        if n > 1:
            shapes[f"layer{n}/below_to_gates"] = (sizes[n - 2], 4 * H)
    for name, shape in shapes.items():
        arrays[f"parameters/{name}"] = rng.normal(size=shape)
        arrays[f"mean_squares/{name}"] = rng.random(shape)
    return arrays


TRAINING_OF_2 = {"sizeOfMiniBatch": 3, "lengthOfMB": 5, "sparseParam": 0.0, "windows": "start",
                 "dropout": 0.0, "weight_noise": 0.0, "averaging": 0.0, "steps_at_once": None,
                 "noOfEpoch": 2, "noOfEpochPerMB": 1, "patience": None, "decay_patience": None,
                 "rate_decay": 0.5}  # fmt: skip
TRAINING = {"batch_size": 3, "window": 5, "l1": 0.0, "windows": "start", "dropout": 0.0,
            "weight_noise": 0.0, "averaging": 0.0, "segment": None, "epochs": 2,
            "updates_per_minibatch": 1, "patience": None, "decay_patience": None,
            "rate_decay": 0.5}  # fmt: skip
SIZE_OF_DATA = {"dataset": "7 tunes, 54 steps", "validation": None}


def test_files_of_format_2_are_read_under_the_names_of_today(rng, tunes, tmp_path):
    arrays, generator = arrays_of_format_2(rng), np.random.default_rng(8)
    trained_on = {**TRAINING_OF_2, **SIZE_OF_DATA, "first_epoch": 1, "epochs": 1}
    file_of_format_2(
        tmp_path / "old.npz",
        generator.bit_generator.state,
        arrays,
        notes={"data": "mine", "trained_on": [trained_on]},
        history={"floor": 4.25, "epochs": 1, "interrupted": True},
        lists={"cost": [9, 8, 7], "seconds": [3, 1, 1], "validation": [np.nan], "rate_factor": [1]},
    )
    content = model_file.read(tmp_path / "old")
    expected = {**TRAINING, **SIZE_OF_DATA, "first_epoch": 1, "n_epochs": 1}
    assert content["metadata"] == {"data": "mine", "trained_on": [expected]}
    assert content["history"] == {
        "cost": [9, 8, 7], "seconds": [3, 1, 1], "validation": [None], "rate_factor": [1],
        "baseline": 4.25, "epochs": 1, "interrupted": True,
    }  # fmt: skip
    assert content["checkpoint"] is None and content["under_way"] == {}
    np.testing.assert_equal(content["arrays"], arrays)

    model = RNN4Music.from_file(tmp_path / "old")
    np.testing.assert_equal(model._store.arrays(), arrays)
    assert model.history.baseline == 4.25 and model.metadata == content["metadata"]
    assert (model.optimiser, model.R1, model.seed) == ("rmsprop", 0.01, 1)
    network = NumpyNetwork.from_file(tmp_path / "old")
    np.testing.assert_allclose(network.predict(tunes[0]), model.predict(tunes[0]), rtol=1e-9)
    assert model._rng.random() == generator.random()


def test_a_checkpoint_of_format_2_goes_on(tunes, tmp_path):
    """The checkpoint was written before the first update of a second training."""
    model = small_model(R1=0.01, R2=0.01, R3=0.01, Rout=0.01)
    arrays = model._store.arrays()
    parameters = [name for name in arrays if name.startswith("parameters/")]
    under_way = {
        name.replace("parameters", "checkpoint/under_way"): arrays[name] for name in parameters
    }
    standing = {"epoch": 0, "update": 0, "seed": None, "rate_factor": 1.0, "best": None,
                "waited": 0, "since_decay": 0}  # fmt: skip
    lengths = {"cost": 2, "seconds": 2, "validation": 1, "rate_factor": 1, "epochs": 1}
    fingerprints = {"dataset": checkpoints.fingerprint(tunes), "validation": None}
    file_of_format_2(
        tmp_path / "old.npz",
        model._rng.bit_generator.state,
        {**arrays, **under_way},
        notes={},
        history={"floor": 4.25, "epochs": 1, "interrupted": False},
        lists={"cost": [9, 8], "seconds": [3, 1], "validation": [5], "rate_factor": [1]},
        checkpoint={"about": {**TRAINING_OF_2, **fingerprints}, "standing": standing,
                    "before": lengths, "before_floor": 4.25},
    )  # fmt: skip
    content = model_file.read(tmp_path / "old")
    assert content["checkpoint"] == {
        "training": {**TRAINING, **fingerprints},
        "state": {name: n for name, n in standing.items() if name != "waited"},
        "before": lengths,
        "before_baseline": 4.25,
    }
    assert content["under_way"].keys() == {
        name.replace("parameters", "under_way") for name in parameters
    }
    assert "of a training: 0 epochs complete" in model_card.text("old.npz", content)
    assert RNN4Music.from_file(tmp_path / "old").history.cost == [9, 8]
    resumed = small_model(R1=0.01, R2=0.01, R3=0.01, Rout=0.01)
    how = {"checkpoint": tmp_path / "old", "resume": True, "progress": False}
    history = resumed.train(tunes, 1, 2, 3, 5, **how)
    assert history.cost == model.train(tunes, 1, 2, 3, 5, progress=False).cost
    np.testing.assert_equal(resumed.get_parameters(), model.get_parameters())
    assert resumed.history.cost == [9, 8, *history.cost]
    assert resumed.history.validation == [5, None, None]


def test_loading_the_same_dimensions_compiles_nothing(trained, tmp_path):
    trained.saveParameters(tmp_path / "m")
    compiled = dict(trained._network.compiled)
    trained.loadParameters(tmp_path / "m")
    assert trained._network.compiled == compiled


def test_names_of_the_file_s_entries(trained, tmp_path):
    path = trained.saveParameters(tmp_path / "name.with.dots")
    assert path.name == "name.with.dots.npz"
    with np.load(path, allow_pickle=False) as entries:
        for name, array in trained.get_parameters().items():
            np.testing.assert_array_equal(entries[f"parameters/{name}"], array)
            assert f"mean_squares/{name}" in entries
        assert {f"initial/layer{n}/{s}" for n in (1, 2, 3) for s in ("hidden", "cell")} < set(
            entries
        )
        assert json.loads(str(entries["settings"]))["h2_length"] == 5


def test_a_failed_save_leaves_the_earlier_file_and_nothing_else(trained, tmp_path, monkeypatch):
    path = trained.saveParameters(tmp_path / "m")
    before = path.read_bytes()

    def full_disk(file, **arrays):
        file.write(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        trained.saveParameters(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.npz"]


def test_a_crash_while_renaming_leaves_the_earlier_file(trained, tmp_path, monkeypatch):
    path = trained.saveParameters(tmp_path / "m")
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        trained.saveParameters(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.npz"]


def rewritten(path, target, **changes):
    """Copy a model file with some entries changed; None removes an entry."""
    with np.load(path) as entries:
        arrays = {**entries, **changes}
    np.savez(target, **{name: array for name, array in arrays.items() if array is not None})
    return target


def json_entry(value):
    return np.array(json.dumps(value))


def damage(path, tmp_path):
    """Yield (kind of damage, damaged file, expected message)."""
    content = path.read_bytes()
    middle = content.index(b"parameters/layer2/bias") + 200  # after its headers: a number's byte
    for what, data, message in (
        ("empty", b"", "not an .npz"),
        ("text", b"hello, this is text", "not an .npz"),
        ("half", content[: len(content) // 2], "damaged"),
        (
            "flipped",
            content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
            "damaged",
        ),
    ):
        target = tmp_path / f"{what}.npz"
        target.write_bytes(data)
        yield what, target, message
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as file:
        file.writestr("readme.txt", "no arrays")
    yield "zip", tmp_path / "zip.npz", "does not hold a model"
    name = "parameters/layer2/bias"
    for what, changes, message in (
        ("missing", {name: None}, "missing: layer2/bias"),
        ("unknown", {"parameters/layer4/bias": np.zeros(3)}, "unknown: layer4/bias"),
        ("shape", {name: np.zeros(3)}, r"must have the shape \(20,\), not \(3,\)"),
        ("nan", {name: np.full(20, np.nan)}, "NaN or infinity"),
        ("letters", {name: np.array(["a"] * 20)}, "array of numbers"),
        ("averages", {"mean_squares/output/bias": None}, "missing: mean_squares/output/bias"),
        ("newer", {"format": np.array(99)}, "install a newer one"),
        ("settings", {"settings": np.array("{")}, "settings cannot be read"),
        ("rate", {"settings": json_entry({**small_model().settings(), "R1": -1})}, "R1 must be"),
        ("history", {"history": json_entry({"cost": ["x"]})}, "history"),
        ("random_range", {"random_state": json_entry(RANDOM_OUT_OF_RANGE)}, "not that of a PCG64"),
        ("settings_list", {"settings": json_entry([])}, "not a dict"),
        ("history_null", {"history": json_entry(None)}, "not a dict"),
        ("random_null", {"random_state": json_entry(None)}, "not a dict"),
        ("history_array", {"history/cost": np.array(["x"])}, "list of numbers"),
        ("updates", {"optimiser/n_updates": None}, "missing: optimiser/n_updates"),
        ("history_dict", {"history": json_entry({"cost": {}})}, "list of numbers"),
        ("epochs", {"history": json_entry({"epochs": "many"})}, "whole number"),
        ("format_array", {"format": np.array([1, 1])}, "its format is"),
        ("format_zero", {"format": np.array(0)}, "its format is"),
        ("format_inf", {"format": np.array(np.inf)}, "its format is"),
        ("huge_rate", {"settings": json_entry({**SMALL, "R1": 10**400})}, "damaged"),
        ("few_settings", {"settings": json_entry(SMALL)}, "the settings lack R1"),
        ("deep", {"settings": np.array("[" * 100_000)}, "damaged"),
        ("random", {"random_state": json_entry({"bit_generator": "MT"})}, "not that of a PCG64"),
        ("matrix", {"parameters/layer2/hidden_to_gates": None}, "it lacks 'parameters/layer2/hid"),
        ("no_settings", {"settings": None}, "it lacks 'settings'"),
        ("no_size", {"settings": json_entry({})}, "it lacks 'h1_length'"),
        ("size", {"settings": json_entry({**SMALL, "h2_length": None})}, "its h2_length is None"),
        (
            "baseline",
            {"history": json_entry({"baseline": [1]})},
            r"baseline is not a number: \[1\]",
        ),
        ("pickle", {name: np.array([{}] * 20)}, "damaged"),
    ):
        yield what, rewritten(path, tmp_path / f"{what}.npz", **changes), message


RANDOM_OUT_OF_RANGE = {"bit_generator": "PCG64", "state": {"state": -1, "inc": 2**200},
                       "has_uint32": 0, "uinteger": -1}  # fmt: skip
SMALL = {"h1_length": 3, "h2_length": 5, "h3_length": 4, "io_length": 7}


def test_damaged_files_are_refused_and_the_object_stays_as_it_was(trained, tunes, tmp_path):
    path = trained.saveParameters(tmp_path / "good")
    other = small_model(seed=8, dtype="float32")
    before, settings, state = (
        other._store.arrays(),
        other.settings(),
        other._rng.bit_generator.state,
    )
    cases = list(damage(path, tmp_path))
    for what, target, message in cases:
        with pytest.raises(ValueError, match=message):
            other.loadParameters(target)
        np.testing.assert_equal(other._store.arrays(), before, err_msg=what)
        assert other.settings() == settings and other._rng.bit_generator.state == state, what
        assert other.history.cost == []
    assert len(cases) == 36


def test_a_flipped_byte_never_raises_anything_but_a_value_error(trained, tmp_path):
    """A file may load as before, since some bytes of a zip archive have no meaning."""
    path = trained.saveParameters(tmp_path / "good")
    content = path.read_bytes()
    model = small_model(seed=8, dtype="float32")
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        position = int(random.integers(len(content)))
        damaged = bytearray(content)
        damaged[position] ^= int(random.integers(1, 256))
        (tmp_path / "bad.npz").write_bytes(damaged)
        try:
            model.loadParameters(tmp_path / "bad")
        except ValueError:
            refused += 1
        else:
            np.testing.assert_equal(model._store.arrays(), trained._store.arrays())
    assert refused > 150


def lost_from_the_directory(data):
    """Make the comment of the preceding entry swallow the entry ``metadata``."""
    entries = [m.start() for m in re.finditer(rb"PK\x01\x02", data)]
    (k,) = (k for k, place in enumerate(entries) if data[place + 46 :].startswith(b"metadata.npy"))
    damaged = bytearray(data)
    damaged[entries[k - 1] + 32] = entries[k + 1] - entries[k]
    return bytes(damaged)


def header(kind, shape):
    return f"'descr': '{kind}', 'fortran_order': False, 'shape': ({shape},)".encode()


@pytest.mark.parametrize("damage", [
    lambda data: b"metadata.npx".join(data.rsplit(b"metadata.npy", 1)),
    lost_from_the_directory,
    lambda data: data.replace(header("<f8", 6), header("<f8", 4)),  # the history's
    lambda data: data.replace(header("<f8", 6), header("<f4", 6)),
    lambda data: data.replace(header("<f8", 5), header("<f4", 5)),  # the second layer's
])  # fmt: skip
def test_damage_that_would_silently_lose_an_entry_is_detected(damage, tmp_path):
    model = small_model()
    model.metadata, model.history.cost = {"data": "mine"}, [2.0, 3.0, 5.0, 7.0, 11.0, 13.0]
    path = model.saveParameters(tmp_path / "m")
    assert model_file.read(path)["metadata"] == model.metadata
    data = path.read_bytes()
    assert damage(data) != data and len(damage(data)) == len(data)
    path.write_bytes(damage(data))
    with pytest.raises(model_file.ModelFileError, match="damaged"):
        model_file.read(path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files without a name")
@pytest.mark.parametrize("has_nameless", (True, False))
def test_a_writer_that_is_killed_leaves_no_half_file(has_nameless, tmp_path):
    script = f"""
        import os, signal, sys
        from midi.files import written_whole
        if not {has_nameless}:
            del os.O_TMPFILE
        with written_whole(sys.argv[1]) as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    (tmp_path / "m").write_bytes(b"whole")
    command = [sys.executable, "-c", textwrap.dedent(script), tmp_path / "m"]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert (tmp_path / "m").read_bytes() == b"whole"
    if not has_nameless:
        assert len(os.listdir(tmp_path)) == 2
    else:
        try:
            os.close(os.open(tmp_path, os.O_TMPFILE | os.O_RDWR))
        except OSError:
            pytest.skip("this file system has no files without a name")
        assert os.listdir(tmp_path) == ["m"]


def test_a_nameless_file_that_cannot_be_linked_is_copied(tmp_path, monkeypatch):
    def cannot(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    synced, fsync = {}, os.fsync

    def recorded(file):
        fsync(file)
        synced[os.fstat(file).st_ino] = os.fstat(file).st_size

    monkeypatch.setattr(os, "link", cannot)
    monkeypatch.setattr(os, "fsync", recorded)
    with written_whole(tmp_path / "m") as file:
        file.write(b"all of it")
    assert (tmp_path / "m").read_bytes() == b"all of it" and os.listdir(tmp_path) == ["m"]
    assert synced[os.stat(tmp_path / "m").st_ino] == len(b"all of it")  # before it has its name


@pytest.mark.parametrize("number", (errno.EIO, errno.ESTALE))
def test_an_error_of_the_disk_is_not_reported_as_damage(trained, number, tmp_path, monkeypatch):
    path = trained.saveParameters(tmp_path / "m")

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(zipfile.ZipFile, "open", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        RNN4Music.from_file(path)
    assert caught.value.errno == number


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "m.npz")
    os.mkfifo(tmp_path / "m.mid")
    for read, name in [(model_file.read, "m"), (NumpyNetwork.from_file, "m.npz"),
                       (midiread, "m.mid"), (describe, "m.mid"), (JsonLines, "m.mid")]:  # fmt: skip
        with pytest.raises(OSError, match="not a regular file.*m[.]"):
            read(tmp_path / name)


@pytest.mark.parametrize("copied", (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))))  # noqa: S301
def test_copies_go_their_own_way(trained, tunes, copied):
    trained.predict(tunes[0])
    before = trained.get_parameters()
    twin = copied(trained)
    assert_same(trained, twin)
    expected = twin.predict(tunes[0])
    twin.train(tunes, 1, 1, 3, 5, progress=False)
    np.testing.assert_equal(trained.get_parameters(), before)
    assert (twin.get_parameters()["output/bias"] != before["output/bias"]).any()
    np.testing.assert_array_equal(trained.predict(tunes[0]), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that even root cannot write to")
def test_a_folder_that_cannot_be_written_to():
    """The error names the model's file, not the temporary one beside it."""
    with pytest.raises(OSError, match="'/proc/m.npz'$"):
        small_model().saveParameters("/proc/m")


def test_a_missing_folder(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        trained.saveParameters(tmp_path / "nowhere" / "m")


def test_a_missing_file():
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        small_model().loadParameters("nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        RNN4Music.from_file("nowhere")


def file_of_2015(rng, sizes, leave_out=()):
    """Return arrays named and shaped as in the 2015 program: (to, from), one for each gate."""
    entries = {"io_length": 7, "R1": 0.001, "R2": 0.002, "R3": 0.003, "gradClip": 25.0,
               "loss": 12.0, "instantaneousCost": np.array([9.0, 8.0])}  # fmt: skip
    for n, H in enumerate(sizes, start=1):
        entries[f"h{n}_length"] = H
        for gate in "ifoc":
            entries[f"Wx{gate}_{n}"] = rng.normal(size=(H, 7))
            entries[f"Wh{gate}_{n}"] = rng.normal(size=(H, H))
            entries[f"b{gate}_{n}"] = rng.normal(size=H)
        for gate in "ifo":
            entries[f"Wc{gate}_{n}"] = rng.normal(size=H)
        if n > 1:
            for letter in "xfco":
                entries[f"W{letter}j_{n}"] = rng.normal(size=(H, sizes[n - 2]))
        entries[f"Why_{n}"] = rng.normal(size=(7, H))
        entries[f"DWxi{n}p"] = rng.normal(size=(H, 7))
    entries["by"] = rng.normal(size=7)
    return {name: value for name, value in entries.items() if name not in leave_out}


def predict_2015(e, inputs, model):
    """Predict by the 2015 equations, with layer 1's output peephole on the cell state."""

    def sigma(a):
        return 1 / (1 + np.exp(-a))

    states = model._store.arrays()
    h, c = ([states[f"initial/layer{n}/{s}"] for n in (1, 2, 3)] for s in ("hidden", "cell"))
    result = []
    for x in inputs:
        for k, n in enumerate((1, 2, 3)):

            def known(gate, below):
                a = e[f"Wx{gate}_{n}"] @ x + e[f"Wh{gate}_{n}"] @ h[k] + e[f"b{gate}_{n}"]  # noqa: B023
                return a if n == 1 else a + e[f"W{below}j_{n}"] @ h[k - 1]  # noqa: B023

            i = sigma(known("i", "x") + e[f"Wci_{n}"] * c[k])
            f = sigma(known("f", "f") + e[f"Wcf_{n}"] * c[k])
            new = f * c[k] + i * np.tanh(known("c", "c"))
            o = sigma(known("o", "o") + e[f"Wco_{n}"] * new)
            h[k], c[k] = o * np.tanh(new), new
        result.append(sigma(sum(e[f"Why_{n}"] @ h[n - 1] for n in (1, 2, 3)) + e["by"]))
    return np.array(result)


@pytest.mark.parametrize("leave_out", ((), ("h3_length",)))
def test_files_of_the_2015_program(rng, tmp_path, leave_out):
    entries = file_of_2015(rng, (3, 5, 4), leave_out)
    np.savez(tmp_path / "old.npz", **entries)
    model = small_model(Rout=0.5)
    with pytest.warns(UserWarning, match="layer1/peephole_output is loaded") as caught:
        model.loadParameters(tmp_path / "old")
    assert len(caught) == 1 and caught[0].filename == __file__
    assert (model.R1, model.R2, model.R3, model.Rout) == (0.001, 0.002, 0.003, 0.5)
    assert model.gradClip == 25 and model.history.cost == [9.0, 8.0]
    np.testing.assert_array_equal(
        model.get_parameters()["layer1/peephole_output"], entries["Wco_1"]
    )
    assert not any(a.any() for k, a in model._store.arrays().items() if k.startswith("mean"))
    inputs = random_roll(rng, 6, 7)
    np.testing.assert_allclose(
        model.predict(inputs), predict_2015(entries, inputs, model), rtol=1e-9
    )
    with pytest.warns(UserWarning) as caught:
        built = RNN4Music.from_file(tmp_path / "old")
    assert len(caught) == 1 and caught[0].filename == __file__
    assert built.h3_length == 4 and built.R2 == 0.002


def test_a_2015_file_of_other_dimensions_or_incomplete(rng, tmp_path):
    np.savez(tmp_path / "wide.npz", **file_of_2015(rng, (3, 6, 4)))
    np.savez(tmp_path / "less.npz", **file_of_2015(rng, (3, 5, 4), leave_out=("Whf_2",)))
    model = small_model()
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="h2_length 6, not 5"):
        model.loadParameters(tmp_path / "wide")
    with pytest.raises(ValueError, match="Whf_2"):
        model.loadParameters(tmp_path / "less")


@pytest.mark.parametrize("changes, message", [
    ({"state": None}, "its checkpoint lacks the dict 'state'"),
    ({"state": {}}, "the state in its checkpoint lacks 'epoch'"),
    ({"training": [1]}, "its checkpoint lacks the dict 'training'"),
    ({"before": 3}, "its checkpoint lacks the dict 'before'"),
])  # fmt: skip
def test_a_checkpoint_that_lacks_a_part_is_refused_by_every_reader(changes, message, tmp_path):
    tunes = [random_roll(np.random.default_rng(0), 9, SIZES["io_length"])]
    small_model().train(tunes, 1, 1, 1, 5, checkpoint=tmp_path / "good", progress=False)
    content = model_file.read(tmp_path / "good")
    assert "of a training: 1 epoch complete" in model_card.text("good.npz", content)
    entry = json_entry({**content["checkpoint"], **changes})
    rewritten(tmp_path / "good.npz", tmp_path / "bad.npz", checkpoint=entry)
    how = {"checkpoint": tmp_path / "bad", "resume": True, "progress": False}
    for read in (
        model_file.read,
        RNN4Music.from_file,
        lambda _: small_model().train(tunes, 1, 1, 1, 5, **how),
    ):
        with pytest.raises(model_file.ModelFileError, match=message):
            read(tmp_path / "bad")


def test_the_path_of_a_file():
    assert model_file.npz_path("a").name == "a.npz" and model_file.npz_path("a.npz").name == "a.npz"
    assert model_file.npz_path("a.b").name == "a.b.npz"


AWKWARD = (
    "two words",
    "[br]a{c}k*et?",
    "-dash",
    "~nosuchuser",
    "line\nbreak",
    b"\xff\xfe",
    b"bytes.npz",
)


@pytest.mark.parametrize("name", AWKWARD)
def test_any_file_name_works(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = small_model()
    try:
        path = model.saveParameters(name)
    except (OSError, UnicodeError) as error:
        pytest.skip(f"this file system refuses such a name: {error}")
    assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(path)]
    assert os.fsencode(path) == os.fsencode(name).removesuffix(b".npz") + b".npz"
    for given in (name, path):
        assert_same(model, RNN4Music.from_file(given))
        assert NumpyNetwork.from_file(given).n_pitches == SIZES["io_length"]


def test_a_tilde_is_the_home_folder_for_every_reader(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert small_model().saveParameters("~/m") == tmp_path / "m.npz"
    assert NumpyNetwork.from_file("~/m").n_pitches == RNN4Music.from_file("~/m").io_length


@pytest.mark.parametrize("name", ("", ".", "..", "~", "folder/", "m.npz/"))
def test_a_name_of_a_folder_is_refused(name, tmp_path, monkeypatch):
    """A file beside the folder would not be where its owner looks for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for use in (small_model().saveParameters, small_model().loadParameters, RNN4Music.from_file):
        with pytest.raises(ValueError, match=f"^{name!r} does not name a file; add a file name"):
            use(name)
    assert os.listdir(tmp_path) == ["folder"]


def test_saving_through_a_link_replaces_the_file_it_points_to(trained, tmp_path):
    (tmp_path / "real").mkdir()
    path = trained.saveParameters(tmp_path / "real" / "m")
    link = tmp_path / "latest.npz"
    link.symlink_to(path)
    path.write_bytes(b"old")
    trained.saveParameters(link)
    assert link.is_symlink() and RNN4Music.from_file(path).h1_length == 3


def test_an_array_that_claims_terabytes_is_refused_before_it_is_allocated(tmp_path):
    path = small_model().saveParameters(tmp_path / "model")
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    name = "parameters/output/bias.npy"
    header, data = content[name][:128], content[name][128:]
    claimed = re.sub(rb"\(7,\), \} +\n", b"(10000000000000,), }", header)
    content[name] = claimed.ljust(127) + b"\n" + data
    with zipfile.ZipFile(path, "w") as file:
        for each, value in content.items():
            file.writestr(each, value)
    with pytest.raises(ValueError, match=r"bias.npy claims the shape \(10000000000000,\) in 184 "):
        RNN4Music.from_file(path)


def test_a_zip_bomb_is_refused_and_a_compressed_model_is_not(tmp_path, monkeypatch):
    path = small_model().saveParameters(tmp_path / "model")
    with np.load(path) as file:
        content = dict(file)
    monkeypatch.setattr(model_file, "MOST_EXPANDED", 1000)
    np.savez_compressed(path, **content)
    RNN4Music.from_file(path)
    np.savez_compressed(path, **content, x=np.zeros(10**7))
    with pytest.raises(ValueError, match=r"its \d+ bytes claim to hold 80\d{6}"):
        RNN4Music.from_file(path)
