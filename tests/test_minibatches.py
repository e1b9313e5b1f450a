"""The three ways to cut windows, and the weight of exactly 0 that padding has."""

import numpy as np
import pytest
from conftest import SIZES, random_roll, small_model
from hypothesis import given
from hypothesis import strategies as st

from rnn4music.graphs.compiled import NO_NOISE
from rnn4music.training import minibatches

P = SIZES["io_length"]


def numbered(lengths):
    """Return tunes of one pitch with (100 k + t) / 4096 in row t of tune k: exact in any dtype."""
    return [(100 * k + np.arange(n))[:, None] / 4096 for k, n in enumerate(lengths, start=1)]


def predictions(minibatch):
    """Return, for each real prediction, its input, its target, and its weight."""
    windows, weights, _ = minibatch
    return [
        (round(windows[t, b, 0] * 4096), round(windows[t + 1, b, 0] * 4096), weights[t, b])
        for b in range(weights.shape[1])
        for t in range(weights.shape[0])
        if weights[t, b] > 0
    ]


LENGTHS = st.lists(st.integers(1, 23), min_size=1, max_size=7)


@given(lengths=LENGTHS, size=st.integers(1, 4), window=st.integers(2, 9), seed=st.integers(0, 99))
def test_all_windows_show_every_step_of_every_tune_once(lengths, size, window, seed):
    rng = np.random.default_rng(seed)
    seen = []
    column_at = {}
    for minibatch in minibatches.epoch(numbered(lengths), size, window, "float64", rng, "all"):
        windows, mask, is_first = minibatch
        assert windows.shape == (window, size, 1) and mask.shape == (window - 1, size)
        real = mask[0] > 0
        assert set(np.unique(mask)) <= {0.0, 1 / real.sum()}
        assert (windows[1:][mask == 0] == 0).all()
        for b in np.flatnonzero(real):
            first = round(windows[0, b, 0] * 4096)
            # a window begins where the column's last one ended, or with a tune
            assert is_first[b] == (first % 100 == 0)
            assert is_first[b] or column_at[b] == first
            column_at[b] = first + int((mask[:, b] > 0).sum())
        seen += [(read, to_come) for read, to_come, _ in predictions(minibatch)]
    expected = [
        (100 * k + t, 100 * k + t + 1)
        for k, length in enumerate(lengths, start=1)
        for t in range(length - 1)
    ]
    assert sorted(seen) == expected


@given(lengths=LENGTHS, size=st.integers(1, 4), window=st.integers(2, 9), seed=st.integers(0, 99))
def test_random_windows_show_every_tune_once_unrepeated(lengths, size, window, seed):
    rng = np.random.default_rng(seed)
    seen = []
    epoch = list(minibatches.epoch(numbered(lengths), size, window, "float64", rng, "random"))
    assert len(epoch) == minibatches.n_minibatches(numbered(lengths), size, window, "random")
    for minibatch in epoch:
        assert minibatch.is_first.all()
        real = minibatch.mask[0] > 0  # all have the same weight
        assert real.any() and (minibatch.mask[0, real] == 1 / real.sum()).all()
        assert all(to_come == read + 1 for read, to_come, _ in predictions(minibatch))
        for b in range(size):
            steps = int((minibatch.mask[:, b] > 0).sum())
            if steps:
                seen.append((round(minibatch.windows[0, b, 0] * 4096) // 100, steps))
    assert sorted(seen) == [
        (k, min(length, window) - 1) for k, length in enumerate(lengths, 1) if length > 1
    ]


def test_random_windows_are_drawn_anew_and_reach_every_place():
    tune, rng = numbered([30])[0], np.random.default_rng(0)
    starts = {round(minibatches.random_window(tune, 10, rng)[0, 0] * 4096) for _ in range(600)}
    assert starts == set(range(100, 121))


@pytest.mark.parametrize(
    "length, share", [(12, 1 / 3), (22, 1 / 13), (24, 2 / 16), (500, 33 / 523)]
)
def test_windows_begin_a_tune_often_enough_to_learn_it(length, share):
    tunes = [tune + 1 for tune in numbered([length])] * 6000
    rng = np.random.default_rng(0)
    windows = minibatches.epoch(tunes, 6000, 11, "float64", rng, "random", True)
    begins = ~next(windows).windows[0].any(axis=1)
    assert begins.mean() == pytest.approx(share, abs=0.015)


@pytest.mark.core
def test_padding_changes_neither_cost_nor_gradient_by_a_bit():
    """A short tune in a long window, beside an empty column, acts as in a window of its own."""
    rng = np.random.default_rng(3)
    tune, noise = random_roll(rng, 6, P), random_roll(rng, 12, P)
    model, results = small_model(R1=0.1, R2=0.1, R3=0.1, Rout=0.1), []
    before = model._store.snapshot()
    for rest in (np.zeros((6, P)), noise[:6]):  # content of the rows of weight 0
        minibatch = minibatches.make_minibatch([tune, None], 2, 12, "float64")
        minibatch.windows[6:, 0] = rest
        minibatch.windows[:, 1] = noise
        update = model._network.update((11, 2, P), NO_NOISE)
        states = [np.tile(vector, (2, 1)) for vector in model._store.initial_states()]
        settings = [np.asarray(x, "float64") for x in (0.1, 0.1, 0.1, 0.1, 30, 1e-5, 0)]
        cost, *gradients = update(minibatch.windows, minibatch.mask, *states, *settings)
        results.append([float(cost), *map(np.array, gradients[: len(model._store.weights)])])
        model._store.restore(before)
    for padded_with_silence, padded_with_noise in zip(*results):
        np.testing.assert_array_equal(padded_with_silence, padded_with_noise)
    cost, gradients = model.gradients(tune[:-1], tune[1:])
    np.testing.assert_allclose(results[0][0], cost, rtol=1e-12)
    for ours, expected in zip(results[0][1:], gradients.values()):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_carried_states_make_consecutive_windows_one_long_run():
    """With rates of 0 the costs of a tune's windows add up to the cost of the whole tune."""
    rng = np.random.default_rng(4)
    tunes = [random_roll(rng, length, P) for length in (14, 9, 5)]
    model = small_model(R1=0, R2=0, R3=0, Rout=0)
    history = model.train(tunes, 1, 1, 1, 5, windows="all", progress=False)
    whole = sum(model.gradients(tune[:-1], tune[1:])[0] for tune in tunes)
    assert len(history.cost) == 4 + 2 + 1
    np.testing.assert_allclose(sum(history.cost), whole, rtol=1e-12)
    # all updates on a window start from the states at the end of the window before
    thrice = small_model(R1=0, R2=0, R3=0, Rout=0)
    costs = thrice.train(tunes, 3, 1, 1, 5, windows="all", steps_at_once=2, progress=False).cost
    np.testing.assert_allclose(costs, np.repeat(history.cost, 3), rtol=1e-12)


@pytest.mark.parametrize("windows", minibatches.WINDOWS)
@given(lengths=LENGTHS, size=st.integers(1, 4), window=st.integers(2, 9), seed=st.integers(0, 99))
def test_minibatches_are_counted_exactly(windows, lengths, size, window, seed):
    tunes, rng = numbered(lengths), np.random.default_rng(seed)
    made = len(list(minibatches.epoch(tunes, size, window, "float64", rng, windows)))
    assert minibatches.n_minibatches(tunes, size, window, windows, seed) == made


@pytest.mark.parametrize("windows", minibatches.WINDOWS)
@given(lengths=LENGTHS, size=st.integers(1, 4), window=st.integers(2, 9), seed=st.integers(0, 99))
def test_beginnings_put_a_silent_row_before_each_tune(windows, lengths, size, window, seed):
    tunes = [tune + 1 for tune in numbered(lengths)]
    begun = [np.vstack([[[0]], tune]) for tune in tunes]
    cut = size, window, "float64"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minibatches, "BEGINNINGS", 1000)  # no more than by chance
        found, expected = (
            list(minibatches.epoch(rolls, *cut, np.random.default_rng(seed), windows, *beginnings))
            for rolls, beginnings in ((tunes, [True]), (begun, []))
        )
    assert minibatches.n_minibatches(tunes, size, window, windows, seed, True) == len(found)
    assert len(found) == len(expected)
    for pair in zip(found, expected):
        for ours, theirs in zip(*pair):
            np.testing.assert_array_equal(ours, theirs)


def test_beginnings_are_learned():
    """All tunes begin with one of two chords, and those that learn this compose so."""
    rng = np.random.default_rng(8)
    tunes = [random_roll(rng, 6, P) for _ in range(8)]
    for k, tune in enumerate(tunes):
        tune[0] = np.arange(P) % 2 == k % 2
    begin = []
    for beginnings in (False, True):
        model = small_model(optimiser="adam", R1=0.02, R2=0.02, R3=0.02, Rout=0.02, chord_units=4)
        model.train(tunes, 1, 400, 8, 7, windows="all", beginnings=beginnings, progress=False)
        first, _ = model.genMusic(None, 1, 200, seed=1)
        known = [(first[:, 0] == (np.arange(P) % 2 == k)).all(axis=1) for k in (0, 1)]
        begin.append([float(each.mean()) for each in known])
    assert max(begin[0]) < 0.3 and min(begin[1]) > 0.3 and sum(begin[1]) > 0.9


def test_a_dataset_of_single_steps_can_be_learned_from_silence():
    tunes = [np.ones((1, P))] * 4
    model = small_model(optimiser="adam", R1=0.02, R2=0.02, R3=0.02, Rout=0.02)
    with pytest.raises(ValueError, match="every tune has one step"):
        model.train(tunes, 1, 1, 4, 5, windows="all", progress=False)
    model.train(tunes, 1, 100, 4, 5, windows="all", beginnings=True, progress=False)
    assert model.genMusic(None, 1, seed=1)[1].min() > 0.9
