"""Dropout, weight noise and averaging: their distributions and their effects."""

import numpy as np
import pytest
from conftest import SIZES, random_roll, small_model
from scipy.special import ndtr

from rnn4music import RNN4Music, TrainingDiverged
from rnn4music.evaluation import score_baselines
from rnn4music.training.averaging import AveragedWeights
from rnn4music.training.config import TrainConfig
from rnn4music.training.noise import Noise

P = SIZES["io_length"]


def regularisation(dropout=0.0, weight_noise=0.0, dtype="float64"):
    return Noise(dropout, weight_noise, [300, 200, 100], 5000, 40, dtype)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_masks_keep_their_share_and_their_mean(dtype):
    masks = regularisation(dropout=0.3, dtype=dtype).draw(1, 2)
    assert [mask.shape for mask in masks] == [(40, 300), (40, 200), (40, 100)]
    for mask in masks:
        assert mask.dtype == dtype and set(np.unique(mask)) == {0, np.dtype(dtype).type(1 / 0.7)}
    values = np.concatenate([mask.ravel() for mask in masks])
    assert abs(values.mean() - 1) < 5 * np.sqrt(0.3 / 0.7 / len(values))
    assert len({row.tobytes() for row in masks[0]}) == 40  # each tune has its own


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_noise_has_its_deviation(dtype):
    (noise,) = regularisation(weight_noise=0.2, dtype=dtype).draw(1, 2)
    assert noise.shape == (5000,) and noise.dtype == dtype
    assert abs(noise.std() - 0.2) < 0.01 and abs(noise.mean()) < 0.015
    assert 0.6 < (np.abs(noise) < 0.2).mean() < 0.76  # 0.68 for a Gaussian


def test_elements_of_the_noise_are_gaussian_and_independent():
    drawn = Noise(0, 1, [], 400_002, 1, "float64")
    (noise,), (next_noise,) = drawn.draw(1, 2), drawn.draw(1, 3)
    ranks = ndtr(noise) * 2**16 - 0.5  # each a whole number, and equally likely
    np.testing.assert_allclose(ranks, ranks.round(), atol=1e-6)
    counts = np.bincount(ranks.round().astype(int) // 256, minlength=256)
    assert len(counts) == 256 and ((counts - 400_002 / 256) ** 2).sum() / (400_002 / 256) < 340
    for other in [*(np.roll(noise, k) for k in (1, 2, 3, 4)), next_noise]:
        assert abs(np.mean(noise * other)) < 5 * np.sqrt(np.mean(other**2) / 400_002)


@pytest.mark.parametrize("chord_units", (None, 40))
def test_the_output_layer_has_its_own_deviation(chord_units):
    model = small_model(chord_units=chord_units)
    common = {"epochs": 1, "batch_size": 1, "window": 9, "weight_noise": 0.2}
    n_in_layers = sum(
        array.size
        for name, array in model.get_parameters().items()
        if name.startswith("layer") and array.ndim == 2
    )

    def drawn(**options):
        (noise,) = Noise.of(TrainConfig(**common, **options), model._store).draw(1, 2)
        return noise[:n_in_layers], noise[n_in_layers:]

    layers, output = drawn()
    assert abs(output.std() - 0.2) < 0.05
    for output_noise in (0, 0.05):
        same, weaker = drawn(output_noise=output_noise)
        np.testing.assert_array_equal(same, layers)
        np.testing.assert_allclose(weaker, output * output_noise / 0.2, rtol=1e-12)


def test_noise_on_the_output_layer_alone_reaches_it_alone(rng):
    """If W_hy, U and L are 0 and without noise, noise elsewhere changes nothing."""
    tunes = [random_roll(rng, 9, P) for _ in range(4)]

    def cost(**options):
        model = small_model(chord_units=40)
        weights = model.get_parameters()
        weights |= {name: 0 * w for name, w in weights.items() if name.endswith("_to_output")}
        model.set_parameters(weights)
        return model.train(tunes, 1, 1, 4, 6, progress=False, **options).cost[0]

    plain = cost()
    assert cost(weight_noise=0.2, output_noise=0) == plain
    for options in ({"weight_noise": 0.2}, {"output_noise": 0.2}):
        assert abs(cost(**options) - plain) > 1e-3


def test_draws_belong_to_their_key():
    drawn = regularisation(0.5, 0.1)
    np.testing.assert_equal(drawn.draw(3, 1), drawn.draw(3, 1))
    for other in ((3, 2), (4, 1)):
        for array, different in zip(drawn.draw(3, 1), drawn.draw(*other)):
            assert (array != different).any()
    assert regularisation().draw(3, 1) == []


def test_the_mean_of_the_weights_by_hand():
    mean = AveragedWeights(0.5, {"w": np.zeros(1)})
    mean.add({"w": np.array([1.0])})  # kept: 2 / 11
    np.testing.assert_allclose(mean.weights["w"], 9 / 11, rtol=1e-15)
    mean.add({"w": np.array([3.0])})  # kept: 3 / 12
    np.testing.assert_allclose(mean.weights["w"], 3 / 12 * 9 / 11 + 9 / 12 * 3, rtol=1e-15)
    for _ in range(20):
        mean.add({"w": np.array([3.0])})
    before = mean.weights["w"].copy()
    mean.add({"w": np.array([7.0])})  # kept: ½
    np.testing.assert_allclose(mean.weights["w"], (before + 7) / 2, rtol=1e-15)


def test_the_mean_starts_as_a_copy():
    weights = {"w": np.zeros(2)}
    AveragedWeights(0.5, weights).add({"w": np.ones(2)})
    assert not weights["w"].any()


def test_the_mean_soon_forgets_the_initial_weights():
    """Update n keeps the share (1 + n) / (10 + n) of the mean, but at most the given share."""
    mean, left = AveragedWeights(0.3, {"w": np.ones(2)}), 1.0
    for kept in (2 / 11, 3 / 12, 0.3, 0.3):
        mean.add({"w": np.zeros(2)})
        left *= kept
        np.testing.assert_allclose(mean.weights["w"], left, rtol=1e-12)


def test_averaging_returns_the_mean_of_the_current_weights(rng):
    tunes = [random_roll(rng, 9, P) for _ in range(4)]
    rates = dict.fromkeys(("R1", "R2", "R3", "Rout"), 0.05)
    plain, averaged = (small_model(seed=2, **rates) for _ in range(2))
    mean = AveragedWeights(0.7, plain.get_parameters())
    for _ in range(6):  # each epoch is one update
        plain.train(tunes, 1, 1, 4, 6, progress=False)
        mean.add(plain.get_parameters())
    averaged.train(tunes, 1, 6, 4, 6, averaging=0.7, progress=False)
    for name, array in averaged.get_parameters().items():
        np.testing.assert_allclose(array, mean.weights[name], rtol=1e-9, err_msg=name)


def test_validation_scores_the_mean_and_training_continues_with_the_current_weights(rng):
    tunes = [random_roll(rng, 9, P) for _ in range(4)]
    rates = dict.fromkeys(("R1", "R2", "R3", "Rout"), 0.3)  # so that the validation rises again
    with_validation, without = small_model(seed=2, **rates), small_model(seed=2, **rates)
    history = with_validation.train(
        tunes, 1, 6, 2, 6, averaging=0.5, validation=tunes, progress=False
    )
    costs = without.train(tunes, 1, 6, 2, 6, averaging=0.5, progress=False).cost
    assert history.cost == costs and history.best_epoch < 6
    score = with_validation.evaluate(tunes).nats_per_step
    assert score == min(history.validation)


def test_a_mean_that_overflowed_is_not_left(rng):
    model = small_model(seed=2, R1=1e308)
    with pytest.raises(TrainingDiverged):
        model.train(random_roll(rng, 4, 9, P), 1, 9, 2, 6, averaging=0.5, progress=False)
    for name, array in model.get_parameters().items():
        assert np.isfinite(array).all(), name


@pytest.mark.parametrize("options", ({"dropout": 0.5}, {"weight_noise": 0.3}))
def test_noise_in_training_does_not_affect_the_use_of_the_network(options, rng):
    tunes = [random_roll(rng, 9, P) for _ in range(4)]
    model = small_model(seed=2)
    model.train(tunes, 1, 2, 2, 6, progress=False, **options)
    network = model.to_numpy()  # which knows neither dropout nor noise
    np.testing.assert_allclose(model.predict(tunes[0]), network.predict(tunes[0]), rtol=1e-9)
    costs = [
        small_model(seed=2).train(tunes, 1, 2, 2, 6, progress=False, **each).cost
        for each in ({}, options, options)
    ]
    assert costs[0] != costs[1] == costs[2]  # the noise has an effect and is reproducible


def test_the_clean_weights_are_what_noise_leaves():
    """With rates of 0 a noisy update changes no weight."""
    model = small_model(R1=0, R2=0, R3=0, Rout=0)
    before = model.get_parameters()
    tunes = random_roll(np.random.default_rng(0), 3, 8, P)
    model.train(tunes, 1, 2, 2, 6, weight_noise=0.5, dropout=0.5, progress=False)
    np.testing.assert_equal(model.get_parameters(), before)


def test_regularisation_helps_on_tunes_that_were_not_learned():
    """With few tunes of a random process and many updates, the plain network overfits."""
    rng = np.random.default_rng(1)

    def tune():
        """Return a random walk that goes up or down by one."""
        steps = rng.choice([-1, 1], 24, p=[0.4, 0.6])
        return np.eye(12)[np.cumsum(steps) % 12]

    learned, held_out = [tune() for _ in range(6)], [tune() for _ in range(60)]
    scores = {}
    for name, options in {
        "plain": {},
        "dropout": {"dropout": 0.5},
        "noise": {"weight_noise": 0.3},
    }.items():
        model = RNN4Music(24, 24, 24, 12, R1=0.01, R2=0.01, R3=0.01, Rout=0.01, seed=1)
        model.train(learned, 1, 150, 3, 24, progress=False, **options)
        scores[name] = model.evaluate(held_out).nats_per_step
    assert scores["dropout"] < 0.9 * scores["plain"] and scores["noise"] < 0.9 * scores["plain"]


def test_baselines_by_hand():
    """Of two pitches the first is always on, the second alternates."""
    tune = np.array([[1, 0], [1, 1], [1, 0], [1, 1], [1, 0]], bool)
    both = score_baselines([tune], [tune])
    constant, chain = both["each pitch's frequency"], both["each pitch's Markov chain"]
    # pitch 1 on in 4 of 4 scored steps: (4 + 1) / (4 + 2); pitch 2 in 2 of 4: ½
    np.testing.assert_allclose(constant.nats_per_step, -np.log(5 / 6) - np.log(1 / 2))
    # after on: (4 + 1) / (4 + 2); the second: after off 2 of 2 on, after on 0 of 2
    np.testing.assert_allclose(chain.nats_per_step, -np.log(5 / 6) - np.log(3 / 4))
    # pitch on, on, on, off, off: after on it is on in 2 of 3 steps, after off in 0 of 1
    ends, other = np.array([[1], [1], [1], [0], [0]]), np.array([[1], [0], [0], [1]])
    both = score_baselines([ends], [other])
    nats = -(np.log(1 - 3 / 5) + np.log(1 - 1 / 3) + np.log(1 / 3)) / 3
    np.testing.assert_allclose(both["each pitch's Markov chain"].nats_per_step, nats)
    np.testing.assert_allclose(both["each pitch's frequency"].nats_per_step, np.log(2))
    starts = score_baselines([ends[::-1]], [other])  # after on 2 of 2, after off 1 of 2
    nats = -(np.log(1 - 3 / 4) + np.log(1 / 2) + np.log(1 / 2)) / 3
    np.testing.assert_allclose(starts["each pitch's Markov chain"].nats_per_step, nats)
    assert chain.accuracy == 1 and constant.n_steps == chain.n_steps == 4
    unseen = np.ones((3, 2))
    assert np.isfinite(score_baselines([np.zeros((9, 2))], [unseen])[
        "each pitch's Markov chain"].nats_per_step)  # fmt: skip
