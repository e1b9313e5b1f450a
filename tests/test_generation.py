"""Composing: threshold, shapes, randomness, and no repeated compilation."""

import numpy as np
import oracle
import pytest
from conftest import SIZES, chord_model, every_row, initial_states, random_roll, small_model

from rnn4music import generation

pytestmark = pytest.mark.core
P = SIZES["io_length"]


@pytest.fixture(scope="module", params=(None, 8), ids=("independent", "chords"))
def model(request):
    return chord_model(request.param, seed=6, genProbThreshold=0.4)


def odds_of(model, tune):
    """Return the probabilities with which a model draws the steps of a tune after the first."""
    return model.predict(tune[:-1], tune[1:])


@pytest.fixture
def start():
    return random_roll(np.random.default_rng(2), 5, P)


def test_shapes(model, start):
    for tune, probabilities in (model.genMusic(start, 9), model.genMusic(None, 9)):
        assert tune.shape == probabilities.shape == (9, P)
        assert tune.dtype == probabilities.dtype == np.float64
        assert set(np.unique(tune)) <= {0.0, 1.0}
    for count in (1, 3):
        tunes, probabilities = model.genMusic(start, 9, count=count)
        assert tunes.shape == probabilities.shape == (count, 9, P)
    assert model.genMusic(start, 0)[0].shape == (0, P)
    assert model.genMusic(start, 0, count=2)[1].shape == (2, 0, P)


def test_probabilities_up_to_the_threshold_are_zero_and_never_sound(model, start):
    tune, probabilities = model.genMusic(start, 300)
    sounding = probabilities[tune == 1]
    assert sounding.min() > 0.4 and (probabilities == 0).any()
    assert not ((probabilities > 0) & (probabilities <= 0.4)).any()


def test_a_new_threshold_takes_effect_at_the_next_call(model, start):
    model.genProbThreshold = 1
    tune, probabilities = model.genMusic(start, 20)
    assert not tune.any() and not probabilities.any()
    model.genProbThreshold = 0
    assert (model.genMusic(start, 20)[1] > 0).all()
    model.genProbThreshold = 0.4


@pytest.mark.parametrize("sampling", generation.SAMPLINGS)
def test_samples_have_the_frequency_of_their_probabilities(start, sampling):
    model = small_model(genProbThreshold=0)
    tunes, probabilities = model.genMusic(start, 1, count=4000, sampling=sampling)
    np.testing.assert_array_equal(probabilities[0], probabilities[-1])
    expected = probabilities[0, 0]
    deviation = np.sqrt(expected * (1 - expected) / 4000)
    assert (np.abs(tunes[:, 0].mean(axis=0) - expected) < 5 * deviation).all()


def test_systematic_samples_have_the_expected_number_of_notes(start):
    model = small_model(seed=6, genProbThreshold=0.4)
    tunes, probabilities = model.genMusic(start, 50, count=20, sampling="systematic")
    assert (np.abs(tunes.sum(axis=2) - probabilities.sum(axis=2)) < 1).all()
    assert not tunes[probabilities == 0].any()
    independent = model.genMusic(start, 50, count=20)
    assert (np.abs(independent[0].sum(axis=2) - independent[1].sum(axis=2)) > 1).any()


def test_none_is_one_silent_step(start):
    first, second = small_model(seed=8), small_model(seed=8)
    np.testing.assert_array_equal(first.genMusic(None, 30), second.genMusic(np.zeros((1, P)), 30))


@pytest.mark.parametrize("length", (1, 2, generation.WINDOW, generation.WINDOW + 1, 150))
def test_long_starts_and_tunes_cross_windows_unnoticed(model, length, monkeypatch):
    monkeypatch.setattr(generation, "ROWS", 1)
    start = random_roll(np.random.default_rng(length), length, P)
    tune, probabilities = model.genMusic(start, 130)
    odds = odds_of(model, np.vstack([start, tune]))[length - 1 :]
    np.testing.assert_allclose(probabilities, np.where(odds > 0.4, odds, 0), rtol=1e-9)


def test_each_of_many_tunes_follows_its_own_notes(model, start):
    tunes, probabilities = model.genMusic(start, 70, count=3)
    assert (tunes[0] != tunes[1]).any()
    for tune, expected in zip(tunes, probabilities):
        odds = odds_of(model, np.vstack([start, tune]))[len(start) - 1 :]
        np.testing.assert_allclose(expected, np.where(odds > 0.4, odds, 0), rtol=1e-9)


@pytest.mark.parametrize("chord_units", (None, 8))
def test_the_window_does_not_change_the_tune(start, chord_units, monkeypatch):
    monkeypatch.setattr(generation, "ROWS", 1)
    tunes = []
    for window in (generation.WINDOW, 7):
        monkeypatch.setattr(generation, "WINDOW", window)
        tunes.append(chord_model(chord_units, seed=11).genMusic(start, 40)[0])
    np.testing.assert_array_equal(*tunes)


@pytest.mark.parametrize(
    "sampling, n_numbers, chord_units, Q",
    [
        ("independent", P, None, 0),
        ("systematic", 1, None, 2),
        ("independent", P, 0, 0),
        ("independent", P, 8, 2),
        ("independent", P, 20, 0),
    ],
)
def test_every_engine_composes_the_oracle_s_tune(start, sampling, n_numbers, chord_units, Q):
    """The same seed gives the same tune on all engines as in plain NumPy."""
    model = chord_model(chord_units, seed=12, genProbThreshold=0.3, conditions=Q)
    known = np.random.default_rng(1).random((100 + len(start), Q))
    start, conditions = np.hstack([start, known[100:]]), known[:100]
    random = np.random.default_rng()
    random.bit_generator.state = model._rng.bit_generator.state
    uniform = random.random((100, n_numbers))
    of_model = model.get_parameters(), initial_states(model)
    expected = oracle.compose(*of_model, start, uniform, 0.3, conditions)
    tune, _ = model.genMusic(start, 100, sampling=sampling, conditions=conditions)
    np.testing.assert_array_equal(tune, expected)
    assert 0 < tune.mean() < 1


def test_nothing_compiles_twice(model, start):
    model.genMusic(start, 3)
    compiled = dict(model._network.compiled)
    for other, n in ((start[:1], 1), (None, 200), (np.tile(start, (40, 1)), 5)):
        model.genMusic(other, n)
    assert model._network.compiled == compiled


def test_float32_probabilities(start):
    tune, probabilities = small_model(dtype="float32").genMusic(start.astype(bool), 10)
    assert tune.dtype == probabilities.dtype == np.float32


@pytest.mark.parametrize("start, n, count, error, message", [
    (np.zeros((0, P)), 5, None, ValueError, "start is empty"),
    (np.zeros(P), 5, None, ValueError, r"shape \(steps, 7\), but has \(7,\)"),
    (np.zeros((3, P + 1)), 5, None, ValueError, r"but has \(3, 8\)"),
    (np.full((3, P), np.nan), 5, None, ValueError, "NaN"),
    (None, -1, None, ValueError, "n must be at least 0"),
    (None, 2.5, None, TypeError, "n must be a whole number"),
    (None, 5, 0, ValueError, "count must be at least 1"),
])  # fmt: skip
def test_bad_arguments(model, start, n, count, error, message):
    with pytest.raises(error, match=message):
        model.genMusic(start, n, count)


@pytest.mark.parametrize("chord_units", (None, 8))
@pytest.mark.parametrize("temperature, m, density", [(0.5, 0, 1), (1, -2, 3), (3, -1.5, 0.5)])
def test_temperature_and_density_change_the_log_odds(start, temperature, m, density, chord_units):
    model = chord_model(chord_units, genProbThreshold=0)
    parameters, initial = model.get_parameters(), initial_states(model)
    how = {"temperature": temperature, "around": m, "density": density}
    twin, _ = model.to_numpy().gen_music(start, 20, **how)
    tune, probabilities = model.genMusic(start, 20, **how)
    np.testing.assert_array_equal(twin, tune)
    whole = np.vstack([start, tune])
    Y, _ = oracle.run(parameters, initial, whole[:-1], following=whole[1:])
    Y = Y[len(start) - 1 :]
    expected = oracle.sigma(m + (Y - m) / temperature + np.log(density))
    np.testing.assert_allclose(probabilities, expected, rtol=1e-10)


def test_around_its_log_odds_a_temperature_leaves_the_number_of_notes(start):
    """To first order, as derived in `generation`: a quarter of a per cent for a change of 5 %."""
    model = chord_model(None, seed=4)
    tune, _ = model.genMusic(start, 400, seed=1)
    m = model.evaluate([tune]).log_odds
    Y, _ = oracle.run(model.get_parameters(), initial_states(model), tune[:-1], following=tune[1:])
    y = oracle.sigma(Y)
    assert m == pytest.approx((y * (1 - y) * Y).sum() / (y * (1 - y)).sum(), rel=1e-6)
    changed = [oracle.sigma(each + (Y - each) / 0.95).sum() / y.sum() - 1 for each in (m, m - 3)]
    assert abs(changed[0]) < 0.0025 < abs(changed[1])


@pytest.mark.parametrize("temperature, error, message", [
    (0, ValueError, "temperature must be finite and at least 0.01 and at most 100, but is 0"),
    (1e9, ValueError, "temperature must be finite"),
    ("hot", TypeError, "temperature must be a number"),
])  # fmt: skip
def test_bad_temperatures(model, start, temperature, error, message):
    with pytest.raises(error, match=message):
        model.genMusic(start, 5, temperature=temperature)


def test_unknown_sampling(model, start):
    with pytest.raises(ValueError, match="sampling must be one of 'independent', 'systematic'"):
        model.genMusic(start, 5, sampling="together")


# ---- chords


@pytest.mark.parametrize("chord_units", (0, 8))
def test_composed_rows_have_the_frequency_of_their_probability(start, chord_units, monkeypatch):
    """Of 100,000 steps after the same start, each of the 128 possible rows has its share."""
    monkeypatch.setattr(generation, "WINDOW", len(start))  # saves memory
    model, n = chord_model(chord_units, seed=3), 100_000
    rows = every_row(P)
    tunes = np.repeat(start[:, None], len(rows), axis=1)
    y = model.predict(tunes, np.broadcast_to(rows, tunes.shape))[-1]
    expected = n * np.where(rows, y, 1 - y).prod(axis=1)
    drawn = model.genMusic(start, 1, count=n, seed=1)[0][:, 0]
    counts = np.bincount((drawn @ 2 ** np.arange(P)).astype(int), minlength=len(rows))

    def chi_square(expected):
        """Return Pearson's statistic and its degrees of freedom; rare rows count together."""
        rare = expected < 10
        pairs = [(counts[rare].sum(), expected[rare].sum()), *zip(counts[~rare], expected[~rare])]
        return sum((got - wanted) ** 2 / wanted for got, wanted in pairs), len(pairs) - 1

    found, degrees = chi_square(expected)
    assert degrees > 60 and abs(found - degrees) < 4 * np.sqrt(2 * degrees)
    alone = counts @ rows / n  # were the pitches independent, with the same shares
    assert chi_square(n * np.where(rows, alone, 1 - alone).prod(axis=1))[0] > 1000


def test_systematic_sampling_is_refused_with_chords(start):
    with pytest.raises(ValueError, match="sampling must be 'independent' with chord_units: a mod"):
        chord_model(8).genMusic(start, 5, sampling="systematic")


def test_nothing_is_cut_with_chords_by_default(start):
    _, probabilities = chord_model(8).genMusic(start, 20)
    assert probabilities.min() > 0 and chord_model(8).genProbThreshold == 0
