"""The class's public interface: settings, parameters, predictions, evaluation, summaries."""

import math
from pathlib import Path

import numpy as np
import oracle
import pytest
from conftest import SIZES, chord_model, every_row, initial_states, random_roll, small_model

from rnn4music import RNN4Music, generation
from rnn4music.evaluation import scores

P = SIZES["io_length"]


@pytest.fixture(scope="module")
def model():
    return small_model(seed=2)


def test_defaults_of_2015():
    model = RNN4Music()
    assert (model.h1_length, model.h2_length, model.h3_length, model.io_length) == (
        200,
        200,
        200,
        88,
    )
    assert model.R1 == model.R2 == model.R3 == model.Rout == 1e-4
    assert (model.epsilon, model.gradClip, model.sigRand) == (1e-5, 30, 0.1)
    assert (model.muRand, model.genProbThreshold) == (0.01, 0.1)
    assert model.dtype == "float32" and model.cost == "cross_entropy"


def test_initial_values_are_drawn_as_documented():
    model = RNN4Music(60, 60, 60, 40, sigRand=0.2, muRand=0.3, seed=0)
    weights = np.concatenate([array.ravel() for array in model.get_parameters().values()])
    assert abs(weights.std() - 0.2) < 0.002 and abs(weights.mean()) < 0.002
    for array in initial_states(model).values():
        assert 0 <= array.min() and array.max() <= 0.3 and 0.1 < array.mean() < 0.2
    still = small_model(muRand=0)
    assert not any(array.any() for array in initial_states(still).values())


def test_numpy_scalars_are_numbers():
    model = RNN4Music(
        np.int64(3), np.int32(4), np.uint8(5), 6, R1=np.float32(0.5), seed=np.int64(1),
        chord_units=np.int8(2),
    )  # fmt: skip
    assert model.h3_length == 5 and model.R1 == 0.5
    assert all(type(v) in (int, float, str) for v in model.settings().values())


@pytest.mark.parametrize("changes, error, message", [
    ({"h2_length": 0}, ValueError, "h2_length must be at least 1, but is 0"),
    ({"chord_units": -1}, ValueError, "chord_units must be at least 0, but is -1"),
    ({"chord_units": 8, "cost": "squared_error"}, ValueError, "cost must be 'cross_entropy' with"),
    ({"chord_units": 8, "io_length": 1}, ValueError, "chord_units must be 0 or None with io_leng"),
    ({"h1_length": 2.0}, TypeError, "h1_length must be a whole number, not float"),
    ({"io_length": True}, TypeError, "io_length must be a whole number"),
    ({"R1": np.ma.masked}, TypeError, "R1 must be a number"),
    ({"R1": np.dtype("f4")}, TypeError, "R1 must be a number"),
    ({"R1": -1e-4}, ValueError, "R1 must be finite and at least 0, but is -0.0001"),
    ({"Rout": math.nan}, ValueError, "Rout must be finite"),
    ({"R2": "fast"}, TypeError, "R2 must be a number, not str 'fast'"),
    ({"epsilon": 0}, ValueError, "epsilon must be finite and larger than 0"),
    ({"gradClip": 0}, ValueError, "gradClip must be finite and larger than 0"),
    ({"genProbThreshold": 1.1}, ValueError, "at least 0 and at most 1, but is 1.1"),
    ({"muRand": -1}, ValueError, "muRand"),
    ({"sigRand": math.inf}, ValueError, "sigRand"),
    ({"cost": "mse"}, ValueError, "cost must be one of 'cross_entropy', 'squared_error'"),
    ({"dtype": "float16"}, ValueError, "dtype must be one of 'float32', 'float64'"),
    ({"seed": -1}, ValueError, "seed must be at least 0"),
])  # fmt: skip
def test_bad_settings(changes, error, message):
    with pytest.raises(error, match=message):
        small_model(**changes)


def test_settings_can_be_set_or_are_fixed(model):
    model.gradClip = 5
    assert model.gradClip == 5
    with pytest.raises(ValueError, match="gradClip must be"):
        model.gradClip = 0
    assert model.gradClip == 5
    with pytest.raises(AttributeError, match="h1_length is fixed"):
        model.h1_length = 9
    with pytest.raises(ValueError, match="R3 must be"):
        model.setNewRates(0.1, 0.2, -0.3, 0.4)
    assert model.R1 == 1e-4
    model.setNewRates(0.1, 0.2, 0.3, 0.4)
    assert (model.R1, model.R2, model.R3, model.Rout) == (0.1, 0.2, 0.3, 0.4)


def test_parameters_are_copies_set_all_or_nothing():
    model = small_model()
    parameters = model.get_parameters()
    parameters["output/bias"][:] = 9
    assert (model.get_parameters()["output/bias"] != 9).all()
    model.set_parameters(parameters)
    assert (model.get_parameters()["output/bias"] == 9).all()
    before = model.get_parameters()
    ones = {name: np.ones_like(array) for name, array in before.items()}
    for changes, message in (
        ({"layer9/bias": np.ones(3)}, "unknown: layer9/bias"),
        ({"output/bias": np.ones(8)}, r"output/bias must have the shape \(7,\), not \(8,\)"),
        ({"layer1/bias": np.full(12, np.inf)}, "layer1/bias holds NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            model.set_parameters({**ones, **changes})
        np.testing.assert_equal(model.get_parameters(), before)
    del ones["layer2/bias"]
    with pytest.raises(ValueError, match="missing: layer2/bias"):
        model.set_parameters(ones)


def test_a_probability_at_the_threshold_counts_as_a_note():
    """All are ½, on a tune of which three notes of eight are scored."""
    tune = np.array([[1, 1], [1, 0], [0, 0], [1, 1], [0, 0]], float)
    at, above = (scores.evaluate(lambda x, _: 0 * x, [tune], t, "float64") for t in (0.5, 0.51))
    assert (at.accuracy, at.precision, at.recall) == (3 / 8, 3 / 8, 1)
    assert (above.accuracy, above.recall) == (0, 0) and np.isnan(above.precision)
    assert at.nats_per_step == above.nats_per_step == pytest.approx(2 * math.log(2))


@pytest.mark.core
@pytest.mark.parametrize("chord_units", (None, 8))
@pytest.mark.parametrize("length", (1, 100, 101, 230))
def test_predict_any_length(length, chord_units):
    model, rng = chord_model(chord_units), np.random.default_rng(length)
    inputs, following = random_roll(rng, 2, length, P)
    Y, _ = oracle.run(model.get_parameters(), initial_states(model), inputs, following=following)
    got = model.predict(inputs, following)
    assert got.shape == inputs.shape
    np.testing.assert_allclose(got, oracle.sigma(Y), rtol=1e-9)


def test_predict_any_number_of_tunes(model):
    inputs = random_roll(np.random.default_rng(0), 4, 67, P)
    got = model.predict(inputs)
    for b in (0, 1, 63, 64, 66):
        np.testing.assert_allclose(got[:, b], model.predict(inputs[:, b]), rtol=1e-12)


def test_a_single_tune_may_lack_the_tunes_axis(model):
    inputs, targets = random_roll(np.random.default_rng(0), 2, 5, P)
    cost, gradients = model.gradients(inputs, targets)
    same_cost, same = model.gradients(inputs[:, None], targets[:, None])
    assert cost == same_cost
    np.testing.assert_equal(gradients, same)
    with pytest.raises(ValueError, match="same shape"):
        model.gradients(inputs, targets[:-1])


def test_gradients_and_predictions_compile_once_per_shape(model):
    inputs, targets = random_roll(np.random.default_rng(0), 2, 6, P)
    model.gradients(inputs, targets)
    model.predict(inputs)
    compiled = dict(model._network.compiled)
    model.gradients(targets, inputs)
    model.predict(targets)
    model.predict(np.tile(targets, (30, 1)))
    assert model._network.compiled == compiled


def test_evaluate_against_an_independent_computation(model, tunes):
    result = model.evaluate(tunes, threshold=0.4)
    parameters, initial = model.get_parameters(), initial_states(model)
    nats, hits, extra, missed, steps = 0.0, 0, 0, 0, 0
    for tune, own in zip(tunes, result.per_tune):
        own_nats = 0.0
        Y, _ = oracle.run(parameters, initial, tune)
        for t in range(len(tune) - 1):
            for key in range(P):
                p, k = oracle.sigma(Y[t, key]), tune[t + 1, key]
                own_nats -= math.log(p if k else 1 - p)
                hits += p >= 0.4 and k == 1
                extra += p >= 0.4 and k == 0
                missed += p < 0.4 and k == 1
            steps += 1
        nats += own_nats
        assert own.n_steps == len(tune) - 1
        if own.n_steps:
            assert math.isclose(own.nats_per_step, own_nats / own.n_steps, rel_tol=1e-9)
        else:
            assert math.isnan(own.nats_per_step)
    assert result.n_steps == steps
    assert math.isclose(result.nats_per_step, nats / steps, rel_tol=1e-9)
    assert math.isclose(result.accuracy, hits / (hits + extra + missed))
    precision, recall = hits / (hits + extra), hits / (hits + missed)
    assert math.isclose(result.precision, precision) and math.isclose(result.recall, recall)
    assert math.isclose(result.f_measure, 2 * precision * recall / (precision + recall))


def test_evaluate_booleans_and_nothing_to_score(model, tunes):
    expected = model.evaluate(tunes)
    assert (
        model.evaluate([tune.astype(bool) for tune in tunes]).nats_per_step
        == expected.nats_per_step
    )
    with pytest.raises(ValueError, match="nothing to score"):
        model.evaluate([tunes[3]])


def test_small_probabilities_are_not_lost():
    Y = np.array([-80, -20, -17, -12, 0, 12, 20], "float32")
    exact = 1 / (1 + np.exp(-Y.astype(float)))
    got = scores.sigmoid(Y)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, exact, rtol=2e-6)


def test_summaries(capsys):
    model = small_model()
    model.printDerivatives()
    assert "no gradient yet" in capsys.readouterr().out
    inputs, targets = random_roll(np.random.default_rng(0), 2, 6, P)
    _, gradients = model.gradients(inputs, targets)
    model.printDerivatives()
    shown = capsys.readouterr().out
    assert f"{gradients['output/bias'].max():.3g}" in shown and "layer3/peephole_forget" in shown
    model.printWeights()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(model.get_parameters())
    bias = model.get_parameters()["layer1/bias"]
    row = next(line for line in lines if line.startswith("layer1/bias")).split()
    assert row[1:] == ["12", *(f"{x:.3g}" for x in (np.abs(bias).mean(), bias.min(), bias.max()))]
    assert "h2_length=5" in repr(model)


def test_a_path_instead_of_piano_rolls_raises_an_error_that_says_how_to_read_it():
    model = small_model()
    with pytest.raises(
        TypeError, match="not str 'my folder'; read a folder .* with rnn4music.load_midi"
    ):
        model.train("my folder", 1, 1, 1, 5)
    with pytest.raises(TypeError, match=r"not 'bach.mid'; read a MIDI file with midiread\(path\)"):
        model.genMusic(Path("bach.mid"), 5)


# ---- chords


@pytest.mark.core
def test_chords_begin_as_independent_pitches():
    """With the weights of a model without chords, a model with chords predicts the same."""
    independent, rng = small_model(), np.random.default_rng(3)
    tunes = [random_roll(rng, length, P) for length in (9, 17)]
    for chord_units in (0, 8):
        chords = small_model(chord_units=chord_units, seed=2)
        own = chords.get_parameters()
        arrays = chords._store.arrays()
        arrays |= {f"initial/{name}": v for name, v in initial_states(independent).items()}
        chords._store.assign(arrays)
        chords.set_parameters({**own, **independent.get_parameters()})
        assert chords.evaluate(tunes) == independent.evaluate(tunes)
        assert not own["chords/pitches_to_output"].any()
        assert chord_units == 0 or own["chords/pitches_to_chords"].std() > 0.3


@pytest.mark.core
@pytest.mark.parametrize("chord_units", (0, 8))
def test_evaluate_gives_whole_rows_their_exact_probability(chord_units):
    rng = np.random.default_rng(4)
    model = small_model(chord_units=chord_units)
    drawn = {k: rng.normal(0, 0.6, v.shape) for k, v in model.get_parameters().items()}
    model.set_parameters(drawn)
    tune = random_roll(rng, 150, P)  # longer than one window of the compiled network
    Y, _ = oracle.run(drawn, initial_states(model), tune[:-1], following=tune[1:])
    nats = oracle.cost_of(Y, tune[1:], "cross_entropy") / 149
    scores = model.evaluate([tune, tune[:5]])
    assert scores.per_tune[0].nats_per_step == pytest.approx(nats, rel=1e-12)
    assert scores.per_tune[1].n_steps == 4


@pytest.mark.core
@pytest.mark.parametrize("chord_units", (0, 5, 20))
def test_predictions_without_the_following_rows_are_estimates(chord_units):
    model, rows = chord_model(chord_units), every_row(P)
    inputs = random_roll(np.random.default_rng(7), 120, 2, P)
    estimated = model.predict(inputs)
    tunes = np.repeat(inputs[:, :1], len(rows), axis=1)
    y = model.predict(tunes, np.broadcast_to(rows, tunes.shape))
    whole = np.where(rows == 1, y, 1 - y).prod(axis=2)
    exact = whole @ rows
    assert np.sqrt(((estimated[:, 0] - exact) ** 2).mean()) < 0.05
    assert np.abs(model.predict(inputs[:, 0], samples=20_000) - exact).max() < 4 * 0.5 / 20_000**0.5


@pytest.mark.core
def test_an_estimate_does_not_depend_on_what_else_is_predicted(monkeypatch):
    model = chord_model(8)
    inputs = random_roll(np.random.default_rng(7), 30, 3, P)
    before = model._rng.bit_generator.state
    estimated = model.predict(inputs)
    assert model._rng.bit_generator.state == before
    np.testing.assert_allclose(model.predict(inputs[:7, 1]), estimated[:7, 1], rtol=1e-12)
    assert (model.predict(inputs, samples=7) != estimated).any()
    monkeypatch.setattr(generation, "DRAWN_AT_ONCE", 1)
    np.testing.assert_allclose(model.predict(inputs[:3]), estimated[:3], rtol=1e-12)


def test_bad_following_rows(model):
    inputs = random_roll(np.random.default_rng(7), 5, P)
    np.testing.assert_array_equal(model.predict(inputs, 1 - inputs), model.predict(inputs))
    for each in (model, chord_model(0)):
        with pytest.raises(ValueError, match=r"inputs and following must have the same shape, but"):
            each.predict(inputs, inputs[1:])
        with pytest.raises(ValueError, match="following holds NaN"):
            each.predict(inputs, np.nan * inputs)
        with pytest.raises(ValueError, match="samples must be at least 1, but is 0"):
            each.predict(inputs, samples=0)


def test_chords_are_learned():
    """Two pitches that always sound together, at random: a joint output knows the second."""
    rng = np.random.default_rng(5)
    tunes = [np.repeat(random_roll(rng, 40, 1), 2, axis=1) for _ in range(10)]
    scores = []
    for chord_units in (None, 0, 4):
        rates = [0.05] * 4
        model = RNN4Music(4, 4, 4, 2, *rates, chord_units=chord_units, seed=1, optimiser="adam")
        model.train(tunes, 1, 100, 10, 40, progress=False)
        scores.append(model.evaluate(tunes).nats_per_step)
    entropy = -0.3 * math.log(0.3) - 0.7 * math.log(0.7)
    independent, *joint = scores
    assert independent > 1.8 * entropy
    assert max(joint) < 1.3 * entropy
