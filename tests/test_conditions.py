"""Conditions: columns that the network reads and does not predict."""

import numpy as np
import pytest
from conftest import SIZES, chord_model, random_roll, small_model

from rnn4music import RNN4Music
from rnn4music.numpy_network import NumpyNetwork

P, Q = SIZES["io_length"], 2


def conditioned_tunes(rng, lengths=(9, 14, 12, 7, 15)):
    return [np.hstack([random_roll(rng, n, P), rng.random((n, Q))]) for n in lengths]


@pytest.fixture(scope="module", params=(None, 8), ids=("independent", "chords"))
def model(request):
    return chord_model(request.param, seed=6, conditions=Q, genProbThreshold=0.2)


def test_what_a_step_is_told_decides_what_is_predicted(rng):
    """The first pitch sounds where the condition of its own step is 1."""
    told = [(rng.random((40, 1)) < 0.5).astype(float) for _ in range(12)]
    tunes = [np.hstack([each, each]) for each in told]
    rates = dict.fromkeys(("R1", "R2", "R3", "Rout"), 0.02)
    model = RNN4Music(4, 4, 4, 1, conditions=1, optimiser="adam", seed=1, **rates)
    model.train(tunes, 1, 60, 4, 20, windows="random", beginnings=True, progress=False)
    assert model.evaluate(tunes).nats_per_step < 0.1 < np.log(2)
    known = np.array([[1.0], [0.0]] * 20)
    tune, _ = model.genMusic(None, 40, conditions=known, seed=1)
    assert (tune == known).mean() > 0.95


def test_the_twin_predicts_and_composes_the_same(model, tmp_path, rng):
    network = NumpyNetwork.from_file(model.saveParameters(tmp_path / "model"))
    tune, _, other, *_ = conditioned_tunes(rng)
    np.testing.assert_allclose(
        network.predict(tune[:-1], tune[1:]), model.predict(tune[:-1], tune[1:]), rtol=1e-9
    )
    both = np.stack([other[:9], tune], axis=1)
    assert model.predict(both[:-1], both[1:]).shape == (8, 2, P)
    known = rng.random((150, Q))
    for start in (tune, None):
        arguments = {"count": 2, "conditions": known, "temperature": 1.3}
        ours, theirs = (
            network.gen_music(start, 150, **arguments),
            model.genMusic(start, 150, **arguments),
        )
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-9)
    for n in (0, 1):
        assert network.gen_music(tune, n, conditions=known[:n])[0].shape == (n, P)
        assert model.genMusic(tune, n, conditions=known[:n])[0].shape == (n, P)


def test_composing_draws_from_what_is_predicted(model, rng):
    start, known = conditioned_tunes(rng)[0], rng.random((70, Q))
    tune, probabilities = model.genMusic(start, 70, conditions=known)
    whole = np.vstack([start, np.hstack([tune, known])])
    odds = model.predict(whole[:-1], whole[1:])[len(start) - 1 :]
    np.testing.assert_allclose(probabilities, np.where(odds > 0.2, odds, 0), rtol=1e-9)


def test_the_score_is_that_of_the_predictions(model, rng):
    tunes = conditioned_tunes(rng)
    nats = 0
    for tune in tunes:
        y, k = model.predict(tune[:-1], tune[1:]), tune[1:, :P]
        nats -= np.log(np.where(k > 0, y, 1 - y)).sum()
    expected = nats / sum(len(tune) - 1 for tune in tunes)
    assert model.evaluate(tunes).nats_per_step == pytest.approx(expected, rel=1e-9)


def test_activations_are_those_of_the_steps_that_predict(model, rng):
    tune, network = conditioned_tunes(rng)[0], model.to_numpy()
    layers = network.activations(tune)
    assert layers[0]["cell"].shape == (len(tune) - 1, SIZES["h1_length"])
    other = tune.copy()
    other[3, P:] = 1 - other[3, P:]  # which the network reads with the pitches of row 2
    changed = (network.activations(other)[0]["cell"] != layers[0]["cell"]).any(axis=1)
    assert changed.tolist() == [False, False] + [True] * (len(tune) - 3)


@pytest.mark.parametrize("options", (
    {"windows": "start"}, {"windows": "all"}, {"windows": "random", "beginnings": True},
))  # fmt: skip
def test_segments_learn_the_same(options, rng):
    weights = []
    for segment in (None, 5):
        model = small_model(conditions=Q, chord_units=5)
        model.train(conditioned_tunes(np.random.default_rng(3)), 1, 2, 2, 11, progress=False,
                    steps_at_once=segment, dropout=0.2, weight_noise=0.1, **options)  # fmt: skip
        weights.append(model.get_parameters())
    for name, array in weights[0].items():
        np.testing.assert_allclose(weights[1][name], array, rtol=0, atol=1e-10, err_msg=name)


def test_the_baseline_does_not_see_them(rng):
    tunes = conditioned_tunes(rng)
    history = small_model(conditions=Q).train(tunes, 1, 1, 2, 5, validation=tunes, progress=False)
    bare = [tune[:, :P] for tune in tunes]
    without = small_model().train(bare, 1, 1, 2, 5, validation=bare, progress=False)
    assert history.baseline == without.baseline


def test_a_saved_model_keeps_them(model, tmp_path, rng):
    path, tunes = model.saveParameters(tmp_path / "model"), conditioned_tunes(rng)
    loaded = RNN4Music.from_file(path)
    assert loaded.conditions == Q
    assert loaded.evaluate(tunes) == model.evaluate(tunes)
    with pytest.raises(ValueError, match="conditions"):
        small_model(chord_units=model.chord_units).loadParameters(path)


def test_errors_name_what_is_missing(model, rng):
    tune = conditioned_tunes(rng)[0]
    with pytest.raises(ValueError, match=r"shape \(steps, 9\).*conditions, 2 columns"):
        model.evaluate([tune[:, :P]])
    for network in (model, model.to_numpy()):
        with pytest.raises(ValueError, match="needs following"):
            network.predict(tune)
    for known in (None, np.zeros((4, Q)), np.full((5, Q), 1.5), np.full((5, Q), np.nan)):
        with pytest.raises(ValueError, match=r"from 0 to 1, with the shape \(5, 2\)"):
            model.genMusic(tune, 5, conditions=known)
    for known in (None, np.full((5, Q), np.nan)):
        with pytest.raises(ValueError, match=r"conditions must be \(5, 2\) numbers from 0 to 1"):
            model.to_numpy().gen_music(tune, 5, conditions=known)
