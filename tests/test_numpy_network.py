"""Composing with NumPy alone: the same predictions, activations and tunes as with the engine."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
from conftest import SIZES, chord_model, initial_states, random_roll

from rnn4music import RNN4Music, generation, numpy_network
from rnn4music.numpy_network import NumpyNetwork

P = SIZES["io_length"]


@pytest.fixture(scope="module", params=(None, 0, 8), ids=("independent", "no units", "chords"))
def model(request):
    return chord_model(request.param, seed=6, genProbThreshold=0.4)


@pytest.fixture
def file(model, tmp_path):
    return model.saveParameters(tmp_path / "model")


@pytest.mark.parametrize("sampling", generation.SAMPLINGS)
@pytest.mark.parametrize("count", (None, 3))
def test_the_tunes_are_those_of_the_engine(model, file, rng, sampling, count):
    """The second tune too, for which the file's generator continues."""
    network = NumpyNetwork.from_file(file)
    if sampling == "systematic" and model.chord_units is not None:
        with pytest.raises(ValueError, match="sampling must be independent in a network with chor"):
            network.gen_music(None, 3, sampling=sampling)
        return
    for start in (random_roll(rng, 5, P), None):
        arguments = {"count": count, "temperature": 1.3, "sampling": sampling}
        ours = network.gen_music(start, 150, **arguments)
        theirs = model.genMusic(start, 150, **arguments)
        assert ours[0].any()
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-9)


@pytest.mark.parametrize("chord_units", (None, 8))
def test_a_float32_model_draws_the_same_random_numbers(tmp_path, rng, chord_units):
    model = chord_model(chord_units, dtype="float32", genProbThreshold=0.3)
    network = NumpyNetwork.from_file(model.saveParameters(tmp_path / "model"))
    start = random_roll(rng, 5, P)
    np.testing.assert_array_equal(network.gen_music(start, 60)[0], model.genMusic(start, 60)[0])
    np.testing.assert_allclose(network.predict(start), model.predict(start), rtol=0, atol=1e-5)


def test_predictions_and_activations_are_the_oracle_s(model, file, rng):
    network = NumpyNetwork.from_file(str(file).removesuffix(".npz"))
    roll, following = random_roll(rng, 2, 9, P)
    Y, layers = oracle.run(model.get_parameters(), initial_states(model), roll, following=following)
    np.testing.assert_allclose(network.predict(roll, following), oracle.sigma(Y), rtol=1e-12)
    both = np.stack([roll, 1 - roll], axis=1), np.stack([following, roll], axis=1)
    np.testing.assert_allclose(network.predict(*both)[:, 0], oracle.sigma(Y), rtol=1e-12)
    names = ("input", "forget", "candidate", "output", "cell", "hidden")
    for ours, theirs in zip(network.activations(roll), layers):
        for name, letter in zip(names, "ifgoch"):
            np.testing.assert_allclose(ours[name], theirs[letter], rtol=1e-12, err_msg=name)


def test_estimates_are_those_of_the_engine(model, rng, monkeypatch):
    network, roll = model.to_numpy(), random_roll(rng, 9, 2, P)
    estimated = network.predict(roll)
    np.testing.assert_allclose(estimated, model.predict(roll), rtol=1e-9)
    np.testing.assert_allclose(network.predict(roll, samples=9), model.predict(roll, samples=9))
    monkeypatch.setattr(numpy_network, "DRAWN_AT_ONCE", 250)
    np.testing.assert_allclose(network.predict(roll), estimated, rtol=1e-12)
    assert network.predict(roll[:0]).shape == (0, 2, P)


def test_a_model_in_memory_can_be_converted(model, rng):
    start = random_roll(rng, 5, P)
    network = model.to_numpy()
    np.testing.assert_array_equal(network.gen_music(start, 40)[0], model.genMusic(start, 40)[0])


def test_arrays_alone_are_enough(model, rng):
    network = NumpyNetwork(model.get_parameters(), initial_states(model))
    roll = random_roll(rng, 9, P)
    np.testing.assert_allclose(network.predict(roll), model.predict(roll), rtol=1e-12)
    zeros = {name: np.zeros_like(array) for name, array in initial_states(model).items()}
    # the default states
    Y, _ = oracle.run(model.get_parameters(), zeros, roll, following=roll)
    probabilities = NumpyNetwork(model.get_parameters()).predict(roll, roll)
    np.testing.assert_allclose(probabilities, oracle.sigma(Y), rtol=1e-12)


def test_the_file_needs_nothing_but_numpy(file, tmp_path):
    """It works as a copy beside the model, where no package and no engine can be imported."""
    source = Path(numpy_network.__file__).read_text("utf8")
    (tmp_path / "numpy_network.py").write_text(source, "utf8")
    script = """
        import sys
        for name in ("rnn4music", "midi", "pytensor", "theano", "jax", "scipy", "matplotlib"):
            sys.modules[name] = None
        from numpy_network import NumpyNetwork
        print(NumpyNetwork.from_file("model").gen_music(None, 7)[0].astype(int).tolist())
    """.replace("\n        ", "\n")
    command = [sys.executable, "-W", "error", "-c", script]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    tune, _ = RNN4Music.from_file(file).genMusic(None, 7)
    assert result.stdout == f"{tune.astype(int).tolist()}\n", result.stderr
    assert tune.any()


@pytest.mark.parametrize("content", (b"", b"no model", b"PK\x03\x04 damaged"))
def test_a_file_that_is_not_a_model_is_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ValueError, match="x.npz is not a model of rnn4music"):
        NumpyNetwork.from_file(tmp_path / "x.npz")


def test_a_damaged_header_is_detected(file, tmp_path):
    data = file.with_suffix(".npz").read_bytes()
    path = tmp_path / "damaged.npz"
    path.write_bytes(data.replace(b"{'descr': '<f8'", b"{'descr': '<f4'", 1))
    assert path.read_bytes() != data
    with pytest.raises(ValueError, match="a checksum is wrong"):
        NumpyNetwork.from_file(path)


def test_a_missing_entry_is_named(file, tmp_path):
    with np.load(file) as entries:
        arrays = dict(entries)
    for name in ("parameters/layer2/bias", "settings"):
        np.savez(tmp_path / "less.npz", **{k: v for k, v in arrays.items() if k != name})
        with pytest.raises(ValueError, match=f"it lacks '{name.removeprefix('parameters/')}'"):
            NumpyNetwork.from_file(tmp_path / "less")


@pytest.mark.parametrize("n", (0, 1, 2))
@pytest.mark.parametrize("start", (None, np.zeros((1, P)), np.ones((1, P)), np.zeros((40, P))))
def test_the_shortest_starts_and_tunes(model, start, n):
    for compose in (model.genMusic, model.to_numpy().gen_music):
        tune, probabilities = compose(start, n, seed=3)
        assert tune.shape == probabilities.shape == (n, P)
        tunes, _ = compose(start, n, 1, seed=3)
        np.testing.assert_array_equal(tunes, tune[None])


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        NumpyNetwork.from_file(tmp_path / "nowhere")


def test_arguments_are_checked(model):
    network = NumpyNetwork(model.get_parameters())
    assert network.settings["genProbThreshold"] == (0.1 if model.chord_units is None else 0)
    with pytest.raises(ValueError, match=r"inputs and following must have the same shape, but hav"):
        network.predict(np.zeros((3, P)), np.zeros((2, P)))
    with pytest.raises(ValueError, match="samples must be at least 1, but is 0"):
        network.predict(np.zeros((3, P)), samples=0)
    with pytest.raises(ValueError, match="start must be .steps, 7., but is .0, 7."):
        network.gen_music(np.zeros((0, P)), 3)
    with pytest.raises(ValueError, match="sampling must be independent or systematic"):
        network.gen_music(None, 3, sampling="both")
    for wrong in ({"temperature": 0}, {"temperature": -1}, {"threshold": 7}):
        with pytest.raises(ValueError, match="temperature must be from 0.01 to 100 and threshold"):
            network.gen_music(None, 3, **wrong)
    for wrong in ({"n": -1}, {"n": 3, "count": 0}, {"n": 3, "count": -2}):
        with pytest.raises(ValueError, match="n must be at least 0 and count at least 1"):
            network.gen_music(None, **wrong)
    for start in (np.full((1, P), 90), np.full((1, P), np.nan)):
        with pytest.raises(ValueError, match="start must hold zeros and ones"):
            network.gen_music(start, 3)
