"""The training loop: windows, minibatches, reproducibility, endings, and results."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import SIZES, markov_nats_per_step, random_roll, small_model
from hypothesis import given
from hypothesis import strategies as st

from rnn4music import RNN4Music, TrainingDiverged, mark_silence
from rnn4music.backend import ENGINE
from rnn4music.graphs.compiled import NO_NOISE
from rnn4music.training import BaselineWarning, History, callbacks, loop, minibatches
from rnn4music.training.averaging import AveragedWeights
from rnn4music.training.callbacks import CallbackList, EarlyStopping, ResultInPlace
from rnn4music.training.config import TrainConfig
from rnn4music.training.history import divergence, worse_than_baseline
from rnn4music.training.minibatches import Minibatch
from rnn4music.training.state import TrainingState
from rnn4music.training.trainer import Trainer


@given(length=st.integers(1, 9), window=st.integers(2, 20))
def test_windows_repeat_short_tunes_and_truncate_long_ones(length, window):
    tune = np.arange(length)[:, None] * np.ones(3)
    fitted = minibatches.fit_window(tune, window)
    np.testing.assert_array_equal(fitted[:, 0], [row % length for row in range(window)])
    assert fitted.shape == (window, 3)


@given(n_tunes=st.integers(1, 12), size=st.integers(1, 5), seed=st.integers(0, 99))
def test_an_epoch_shows_every_tune_once_and_pads_with_what_counts_nothing(n_tunes, size, seed):
    tunes = [np.full((4, 3), k / 16) for k in range(1, n_tunes + 1)]
    seen = []
    rng = np.random.default_rng(seed)
    for windows, mask, is_first in minibatches.epoch(tunes, size, 4, "float64", rng):
        assert windows.shape == (4, size, 3) and mask.shape == (3, size) and is_first.all()
        np.testing.assert_allclose(mask.sum(axis=1), 1)
        real = mask[0] > 0
        assert (windows[:, ~real] == 0).all()
        seen += list(windows[0, real, 0] * 16)
    assert sorted(seen) == list(range(1, n_tunes + 1))


def test_shuffling_differs_between_epochs():
    tunes = [np.full((2, 1), k / 16) for k in range(16)]
    rng = np.random.default_rng(0)
    orders = [
        [float(w[0, 0, 0]) for w, *_ in minibatches.epoch(tunes, 1, 2, "float64", rng)]
        for _ in range(2)
    ]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])


def test_the_padded_minibatch_learns_as_if_it_were_smaller(tunes):
    """With three tunes in minibatches of two, the second must act like a minibatch of one."""
    model = small_model(seed=2)
    twin = small_model(seed=2)
    history = model.train(tunes[:3], 1, 1, 2, 6, progress=False)
    epoch_seed = twin._rng.integers(2**62)
    shuffled = np.random.default_rng(epoch_seed).permutation(3)  # as in `model`
    for chosen in (shuffled[:2], shuffled[2:]):
        windows, weights, _ = minibatches.make_minibatch(
            [minibatches.fit_window(tunes[k], 6) for k in chosen], len(chosen), 6, "float64"
        )
        states = [np.tile(v, (len(chosen), 1)) for v in twin._store.initial_states()]
        update = twin._network.update((5, len(chosen), 7), NO_NOISE)
        settings = (1e-4, 1e-4, 1e-4, 1e-4, 30.0, 1e-5, 0.0)
        update(windows, weights, *states, *map(np.asarray, settings))
    assert len(history.cost) == 2
    for name, array in model.get_parameters().items():
        np.testing.assert_allclose(array, twin.get_parameters()[name], rtol=1e-9)


def test_the_cost_falls_on_a_tune_that_can_be_learned():
    scale = np.eye(7)[np.arange(30) % 7]
    model = small_model(R1=0.01, R2=0.01, R3=0.01, Rout=0.01, sigRand=0.1)
    history = model.train([scale], 1, 300, 1, 30, progress=False)
    assert history.cost[-1] < history.cost[0] / 10
    assert model.evaluate([scale]).accuracy > 0.95


def test_a_seed_reproduces_training_and_composing_bit_for_bit(tunes):
    results = []
    for _ in range(2):
        model = small_model(seed=3, dtype="float32")
        history = model.train(tunes, 2, 2, 3, 5, progress=False)
        results.append((history.cost, model.genMusic(tunes[0], 20), model.get_parameters()))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])
    for name, array in results[0][2].items():
        np.testing.assert_array_equal(array, results[1][2][name])
    other = small_model(seed=4, dtype="float32").get_parameters()
    assert (other["output/bias"] != small_model(seed=3).get_parameters()["output/bias"]).all()


def test_history(tunes):
    model = small_model()
    first = model.train(tunes, 2, 3, 3, 5, validation=tunes[:2], progress=False)
    assert len(first.cost) == len(first.seconds) == 2 * 3 * 3
    assert len(first.validation) == first.epochs == 3 and not first.interrupted
    assert min(first.validation) == model.evaluate(tunes[:2]).nats_per_step
    assert first.rate_factor == [1, 1, 1]
    best = f"{min(first.validation):.3f} after epoch {first.best_epoch}"
    assert repr(first).startswith(f"History(18 updates, 3 epochs, best validation {best}")
    assert first.baseline == model.history.baseline
    assert first.baseline == pytest.approx(markov_nats_per_step(tunes, tunes[:2]), rel=1e-12)
    assert all(seconds > 0 for seconds in first.seconds)
    second = model.train(tunes, 1, 1, 3, 5, progress=False)
    assert model.history.cost == first.cost + second.cost and model.history.epochs == 4
    assert model.history.validation == [*first.validation, None]
    assert first.best_epoch == 1 + int(np.argmin(first.validation)) and second.best_epoch is None


def test_updates_use_the_lowered_rates(tunes):
    """Each epoch is one update, which a twin makes at the rates that it is given by hand."""
    rates = np.array([0.1, 0.2, 0.3, 0.4])
    model, twin = (small_model(**dict(zip(("R1", "R2", "R3", "Rout"), rates))) for _ in range(2))
    options = {"validation": tunes[:2], "decay_patience": 1, "rate_decay": 0.1}
    history = model.train(tunes, 1, 6, 7, 5, progress=False, **options)
    assert history.rate_factor[-1] < 1
    costs = []
    for factor in history.rate_factor:
        twin.setNewRates(*(factor * rates))
        costs += twin.train(tunes, 1, 1, 7, 5, progress=False).cost
    np.testing.assert_allclose(history.cost, costs, rtol=1e-12)


@pytest.mark.parametrize("is_validated", (True, False))
def test_rates_that_are_far_too_high_are_named(tunes, is_validated):
    model = small_model(R1=100, R2=100, R3=100, Rout=100, gradClip=1000)
    validation = tunes if is_validated else None
    with pytest.warns(BaselineWarning, match="diverged at learning rates of 100. Try") as warned:
        model.train(tunes, 1, 4, 3, 5, validation=validation, progress=False)
    assert warned[0].filename == __file__


@pytest.mark.parametrize("is_validated", (True, False))
def test_a_score_above_twice_that_of_an_untrained_network_is_a_divergence(is_validated):
    for share, text in ((1.99, ""), (2.01, "far above the 61.0 of an untrained network")):
        nats = share * 88 * np.log(2)
        history = History([1.0] * 20 + [9 * nats] * 10, epochs=2)
        if is_validated:
            history = History([1.0], validation=[nats, nats + 99])
        found = divergence(history, 88, 10, [0.5, 2, 0.5])
        assert text in found and ("rates of 0.5, 2. Try" in found) == bool(text) == bool(found)
    assert divergence(History(), 88, 10, [1]) == ""


def test_the_advice_fits_the_training():
    assert "more epochs" not in worse_than_baseline(9, 8)
    assert "Try more epochs, since the last" in worse_than_baseline(9, 8, is_improving=True)
    assert "where they are not in use, also all twelve keys" in worse_than_baseline(9, 8)


def test_a_training_that_ends_above_the_baseline_says_so(tunes):
    steady = [np.tile([1, 0, 0, 0, 1, 0, 0], (40, 1))] * 2  # which each pitch alone predicts
    model = small_model()
    with pytest.warns(BaselineWarning) as warned:
        history = model.train(steady, 1, 2, 3, 5, validation=steady, progress=False)
    score, baseline = min(history.validation), history.baseline
    message = f"validation is {score:.3f} nats per step, worse than the baseline of {baseline:.3f}"
    assert message in str(warned[0].message) and warned[0].filename == __file__
    assert score > baseline and history.is_worse_than_baseline
    assert repr(history).endswith(f"worse than the baseline of {baseline:.3f})")
    for others in ({"baseline": score}, {"baseline": None}, {"validation": [None, None]}):
        assert not History(**{**history.to_dict(), **others}).is_worse_than_baseline
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.train(steady, 1, 2, 3, 5, progress=False)  # nothing is compared without validation


@pytest.mark.parametrize("music, message", [
    ({"dataset": np.zeros((2, 9, 7))}, "no note sounds in dataset: check how"),
    ({"validation": np.zeros((1, 9, 7))}, "no note sounds in validation: check how"),
    ({"dataset": [np.ones((1, 7))]}, "every tune in dataset has one step"),
])  # fmt: skip
def test_music_with_nothing_to_learn_is_warned_about(tunes, music, message):
    with pytest.warns(UserWarning, match=message) as warned:
        music = {"dataset": tunes, **music}
        small_model().train(
            noOfEpochPerMB=1, noOfEpoch=1, sizeOfMiniBatch=2, lengthOfMB=5, progress=False, **music
        )
    assert warned[0].filename == __file__


def test_training_twice_compiles_once(tunes):
    model = small_model()
    model.train(tunes, 1, 1, 3, 5, progress=False)
    compiled = dict(model._network.compiled)
    model.setNewRates(0.1, 0.2, 0.3, 0.4)
    model.gradClip = 1
    model.train(tunes, 1, 2, 3, 5, sparseParam=0.1, progress=False)
    assert model._network.compiled == compiled


def test_more_tunes_asked_for_than_there_are(tunes):
    history = small_model().train(tunes, 1, 1, 100, 5, progress=False)
    assert len(history.cost) == 1


def test_integers_booleans_and_three_dimensional_datasets_are_the_same_music(tunes):
    rolls = np.array([np.resize(tune, (6, 7)) for tune in tunes])
    costs = set()
    for dataset in (rolls, rolls.astype(bool), list(rolls.astype(int)), list(rolls.astype("f4"))):
        costs.add(tuple(small_model().train(dataset, 1, 1, 3, 6, progress=False).cost))
    assert len(costs) == 1


def test_l1_shrinks_all_but_the_biases(tunes):
    trained = []
    for strength in (0, 50):
        model = small_model(Rout=0.01, R1=0.01, R2=0.01, R3=0.01)
        model.train(tunes, 1, 20, 3, 5, sparseParam=strength, progress=False)
        trained.append(model.get_parameters())
    for name, free in trained[0].items():
        if not name.endswith("bias"):
            assert np.abs(trained[1][name]).mean() < np.abs(free).mean(), name
    model = small_model(R1=1, R2=1, R3=1, Rout=1, gradClip=1e-300)  # only the penalty acts
    before = model.get_parameters()
    model.train(tunes, 1, 1, 3, 5, sparseParam=1, progress=False)
    for name, after in model.get_parameters().items():
        assert (after == before[name]).all() == name.endswith("bias"), name


def test_clipping_limits_the_step(tunes):
    model = small_model(R1=1, R2=1, R3=1, Rout=1, gradClip=1e-4, epsilon=1.0)
    before = model.get_parameters()
    model.train(tunes, 1, 1, 7, 5, progress=False)
    steps = [np.abs(after - before[n]).max() for n, after in model.get_parameters().items()]
    np.testing.assert_allclose(max(steps), 1e-4, rtol=1e-6)


def test_reset_rms_grads_and_states(tunes):
    model = small_model()
    model.train(tunes, 1, 1, 3, 5, progress=False)
    before = model._store.arrays()
    assert before["mean_squares/output/bias"].any()
    model.resetRMSgrads()
    model.resetStates()
    after = model._store.arrays()
    for name, array in after.items():
        if name.startswith("mean_squares/") or name == "optimiser/n_updates":
            assert not array.any()
        elif name.startswith("initial/"):
            assert (array != before[name]).all() and array.min() >= 0 and array.max() <= 0.9
        else:
            np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("rates", ({"Rout": 1e308}, {"R1": 1e308}))
def test_an_exploding_cost_stops_and_leaves_the_last_good_weights(tunes, rates):
    model = small_model(**rates)
    with pytest.raises(TrainingDiverged, match=r"at update \d+; the last good weights"):
        model.train(tunes * 3, 3, 50, 3, 5, progress=False)
    for name, array in model.get_parameters().items():
        assert np.isfinite(array).all(), name
    cost = model.gradients(tunes[0][:-1], tunes[0][1:])[0]
    assert np.isfinite(cost)
    assert all(np.isfinite(model.history.cost))


class FakeStore:
    """A store whose only weight is the number of updates."""

    def __init__(self):
        self.value = 0

    def snapshot(self):
        return self.value

    def restore(self, snapshot):
        self.value = snapshot

    def is_finite(self):
        return np.isfinite(self.value)

    def set_weights(self, arrays):
        self.value = arrays["value"]


class FakeTrainer(Trainer):
    """A trainer whose update is a given function, and whose weights are one number."""

    def __init__(self, update, n_minibatches, validate=None, **config):
        self._do, self._n_minibatches = update, n_minibatches
        self.config = TrainConfig(batch_size=1, window=2, **config)
        self.store, self.model, self.rng = FakeStore(), None, np.random.default_rng(0)
        self.validation = None if validate is None else []
        if validate:
            self.validate = validate
        self.state, self.history = TrainingState(), History()
        self.interrupted, self.ended_by, self.best = threading.Event(), None, None
        self.initial = self.states_before = self.states_after = []
        self._good = self._checked = self.store.snapshot()

    def minibatches(self, seed):
        return [Minibatch(None, None, np.array([True]))] * self._n_minibatches

    def _change(self, windows, mask, states, key):
        return self._do(self.store)

    def _under_way(self):
        return {"value": np.array(self.store.value)}


def fake_training(trainer):
    own = [ResultInPlace(trainer), EarlyStopping(trainer.config.patience)]
    error = None
    try:
        loop.train(trainer, CallbackList(own, [], trainer))
    except TrainingDiverged as caught:
        error = caught
    return trainer.history, error


def run_loop(costs, validate=None):
    stream = iter(costs)

    def update(store):
        store.value += 1
        return next(stream)

    trainer = FakeTrainer(update, 3, validate, epochs=2)
    history, error = fake_training(trainer)
    return trainer.store.value, history, error


def test_the_weights_kept_are_those_whose_cost_was_last_finite():
    value, history, error = run_loop([5.0, 4.0, 3.0, np.nan])
    assert value == 2 and history.cost == [5.0, 4.0, 3.0] and "update 4" in str(error)
    value, history, error = run_loop([np.inf])
    assert value == 0 and history.cost == [] and "update 1" in str(error)
    nats = iter([8.0, 7.0])
    value, history, error = run_loop([1.0] * 6, validate=lambda: next(nats))
    assert value == 6 and error is None and history.validation == [8.0, 7.0]
    nats = iter([7.0, 8.0])
    value, history, error = run_loop([1.0] * 6, validate=lambda: next(nats))
    assert value == 3 and error is None and history.validation == [7.0, 8.0]
    value, history, error = run_loop([*[1.0] * 5, np.nan], validate=lambda: 7.0)
    assert value == 3 and "update 6" in str(error)  # the best weights, not the last good ones
    value, history, error = run_loop([1.0] * 6, validate=lambda: np.nan)
    assert "the validation became nan" in str(error) and history.validation == []


@pytest.mark.parametrize("config, nats, epochs, factors", [
    ({}, [5, 4, 5, 5, 5, 5], 6, [1, 1, 1, 1, 1, 1]),
    ({"patience": 2}, [5, 4, 5, 5, 5, 5], 4, [1, 1, 1, 1]),
    ({"patience": 2}, [5, 4, 5, 3, 5, 5], 6, [1, 1, 1, 1, 1, 1]),
    ({"patience": 1}, [5, 5, 4, 3, 2, 1], 2, [1, 1]),
    ({"decay_patience": 2}, [5, 5, 5, 5, 5, 5], 6, [1, 1, 1, 0.5, 0.5, 0.25]),
    ({"decay_patience": 1, "rate_decay": 0.1}, [5, 6, 4, 6, 6, 6], 6, [1, 1, 0.1, 0.1, 0.01, 1e-3]),
    ({"decay_patience": 1, "patience": 3}, [5, 6, 5, 6, 1, 1], 4, [1, 1, 0.5, 0.25]),
])  # fmt: skip
def test_early_stopping_and_decay(config, nats, epochs, factors):
    stream = iter(nats)
    trainer = FakeTrainer(lambda store: 1.0, 1, lambda: float(next(stream)), epochs=6, **config)
    history, _ = fake_training(trainer)
    assert history.epochs == epochs and history.validation == nats[:epochs]
    np.testing.assert_allclose(history.rate_factor, factors)
    assert history.best_epoch == 1 + nats[:epochs].index(min(nats[:epochs]))


def test_ctrl_c_finishes_the_update_and_keeps_what_was_learned(capsys):
    def update(store):
        if store.value == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        store.value += 1
        return 1.0

    before = signal.getsignal(signal.SIGINT)
    trainer = FakeTrainer(update, 5, epochs=10)
    history, _ = fake_training(trainer)
    assert trainer.store.value == len(history.cost) == 4 and history.interrupted
    assert signal.getsignal(signal.SIGINT) is before
    assert "finishing the current update" in capsys.readouterr().err


def test_ctrl_c_is_noticed_while_a_resumed_epoch_is_read_over():
    read = []

    class Resumed(FakeTrainer):
        def minibatches(self, seed):
            for k in range(100):
                read.append(k)
                if k == 3:
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.01)
                yield None

    trainer = Resumed(lambda store: 1.0, 100, epochs=1)
    trainer.state = TrainingState(update=50, seed=1)
    history, _ = fake_training(trainer)
    assert history.interrupted and read == [0, 1, 2, 3] and trainer.state.update == 50


def test_ctrl_c_in_the_last_update_skips_the_validation():
    def update(store):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        return 1.0

    def validate():
        raise AssertionError("validation may take long, but the user wants to stop")

    history, _ = fake_training(FakeTrainer(update, 1, validate, epochs=1))
    assert history.interrupted and history.validation == [] and history.epochs == 0
    history, _ = fake_training(FakeTrainer(update, 1, epochs=1))
    assert history.interrupted and history.validation == [None] and history.epochs == 1


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it():
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def update(store):
        os.kill(os.getpid(), signal.SIGINT)
        store.value += 1
        return 1.0

    trainer = FakeTrainer(update, 1, epochs=3)
    try:
        history, _ = fake_training(trainer)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert trainer.store.value == 3 and not history.interrupted


def test_an_average_that_overflows_unseen_is_put_back_too(tunes, tmp_path):
    model = small_model(dtype="float32", gradClip=1e30)
    with pytest.raises(TrainingDiverged, match="last good weights"):
        model.train(tunes, 1, 2, 3, 5, sparseParam=1e25, progress=False)
    assert model._store.is_finite()
    small_model(dtype="float32").loadParameters(model.saveParameters(tmp_path / "m"))


@pytest.mark.parametrize("options", ({}, {"windows": "all", "steps_at_once": 2}))
def test_a_mean_that_has_seen_the_explosion_is_not_what_is_left(tunes, options):
    """The mean includes the update before the cost explodes: it is finite but useless."""
    model = small_model(dtype="float32", gradClip=1e30, R1=3e37, R2=3e37, R3=3e37, Rout=3e37)
    largest = max(np.abs(array).max() for array in model.get_parameters().values())
    with pytest.raises(TrainingDiverged, match="last good weights"):
        model.train(tunes, 1, 9, 3, 5, averaging=0.9, progress=False, **options)
    for name, array in model.get_parameters().items():
        assert np.abs(array).max() < 10 * largest, name


def test_an_interrupted_mean_leaves_no_half_an_update(monkeypatch, tunes):
    model, calls = small_model(), []

    def add(self, weights):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(AveragedWeights, "add", add)
    with pytest.raises(KeyboardInterrupt):
        model.train(tunes, 1, 9, 3, 5, averaging=0.9, progress=False)
    assert len(model.history.cost) == 2 == model._store.n_updates.get_value()


def test_a_second_ctrl_c_aborts_at_once_and_leaves_nothing_half_updated():
    def update(store):
        store.value += 0.5
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        raise AssertionError("the second Ctrl-C had no effect")

    trainer = FakeTrainer(update, 1, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        fake_training(trainer)
    assert trainer.store.value == 0


def test_training_in_a_thread_needs_no_signals():
    results = []
    thread = threading.Thread(target=lambda: results.append(run_loop([1.0] * 6)))
    thread.start()
    thread.join()
    assert results[0][0] == 6


def test_ctrl_c_in_a_real_run_ends_cleanly():
    script = textwrap.dedent("""
        import numpy as np
        from rnn4music import RNN4Music
        tunes = [np.eye(8)[np.arange(40) % 8]] * 20
        model = RNN4Music(20, 20, 20, 8, seed=1)
        history = model.train(tunes, 1, 1000000, 5, 30, windows="all")
        print("interrupted", history.interrupted, len(history.cost) > 0)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        seen = ""
        while "cost " not in seen:
            seen += process.stderr.read(50)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()  # if an assertion failed, it would run for days
    assert process.returncode == 0 and out.strip() == "interrupted True True"


FORKING = """
    import multiprocessing
    import numpy as np
    from rnn4music import NumpyNetwork, RNN4Music
    tunes = [np.eye(8)[np.arange(9) % 8]] * 2
    model = RNN4Music(3, 3, 3, 8, seed=1)
    def compose(_):
        return model.genMusic(None, 5)[0].shape
    def train(_):
        return len(model.train(tunes, 1, 1, 2, 9, progress=False).cost)
    def compose_with_numpy(_):
        return NumpyNetwork(model.get_parameters()).gen_music(None, 5)[0].shape
    def save(_):
        path = model.saveParameters("model")
        return NumpyNetwork.from_file(path).gen_music(None, 5)[0].shape
    def result(function):
        with multiprocessing.get_context("fork").Pool(1) as pool:  # of daemons
            try:
                return pool.map_async(function, [0]).get(60)[0]
            except Exception as error:
                return f"{type(error).__name__}: {error}"
    print(result(compose))
    {run_engine}
    for function in (compose, train, compose_with_numpy, save):
        print(result(function))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("run_engine", ["train(0)", "import jax; jax.numpy.ones(3)"])
def test_a_forked_process_works_before_the_engine_runs_and_raises_after(run_engine, tmp_path):
    if "jax" in run_engine and ENGINE != "jax":
        pytest.skip("JAX is not the engine")
    script = textwrap.dedent(FORKING).replace("{run_engine}", run_engine)
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True, text=True, cwd=tmp_path, timeout=200,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    before, *after, with_numpy, saved = result.stdout.splitlines()
    assert before == with_numpy == saved == "(5, 8)" and len(after) == 2
    if ENGINE == "jax":
        for line in after:
            assert line.startswith("RuntimeError: this process was forked")
            assert "get_context('spawn')" in line and "NumpyNetwork" in line
    else:
        assert after == ["(5, 8)", "1"]


def test_a_terminal_shows_a_bar(tunes, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    small_model().train(tunes, 1, 2, 3, 5)
    shown = capsys.readouterr().err
    assert "compiling" in shown and "cost=" in shown and "6/6" in shown and "\r" in shown


EPOCH = re.compile(
    r"epoch (\d+) of (\d+), update (\d+) of (\d+): cost ([\d.]+)(?:, validation ([\d.]+))?; "
    r"(\d\d:\d\d) elapsed(?:, about (\d\d:\d\d) left)?"
)


@pytest.mark.parametrize("windows", minibatches.WINDOWS)
def test_without_a_terminal_each_epoch_is_a_line_whose_numbers_are_those_of_the_history(
    windows, rng, tmp_path, capsys, monkeypatch
):
    tunes = [random_roll(rng, length, 7) for length in (5, 40, 9, 2, 23, 31, 3)]
    arguments = {"windows": windows, "validation": tunes[:2]}
    silent = small_model()
    expected = silent.train(tunes, 2, 5, 3, 6, progress=False, **arguments)
    monkeypatch.setattr(callbacks, "_EPOCHS_AHEAD", 5)
    capsys.readouterr()
    model = small_model()
    started = time.monotonic()
    history = model.train(tunes, 2, 5, 3, 6, **arguments)
    seconds = time.monotonic() - started
    first, *lines = [x for x in capsys.readouterr().err.splitlines() if "epoch" in x]
    assert history.cost == expected.cost  # counting draws nothing
    n = len(history.cost)
    assert f"epoch 1 of 5, update 1 of {n}, compiling first" in first
    assert len(lines) == 5
    for k, line in enumerate(map(EPOCH.fullmatch, lines), start=1):
        assert line is not None, lines
        epoch, epochs, update, total, cost, validation, elapsed, left = line.groups()
        assert (int(epoch), int(epochs), int(total)) == (k, 5, n)
        assert float(cost) == round(history.cost[int(update) - 1], 1)
        assert float(validation) == round(history.validation[k - 1], 3)
        assert (left is None) == (k == 5)
        assert int(elapsed[:2]) * 60 + int(elapsed[3:]) <= seconds

    class Stop(callbacks.Callback):
        def on_update(self, model, history):
            return len(history.cost) == n // 2

    resumed, options = small_model(), {**arguments, "checkpoint": tmp_path / "c"}
    resumed.train(tunes, 2, 5, 3, 6, progress=False, callbacks=Stop(), **options)
    resumed.train(tunes, 2, 5, 3, 6, resume=True, **options)
    first, *lines = [x for x in capsys.readouterr().err.splitlines() if "epoch" in x]
    assert f"update {n // 2 + 1} of {n}" in first
    assert all(f" of {n}: " in line for line in lines) and len(lines) <= 5
    assert f"update {n} of {n}: cost {expected.cost[-1]:.1f}" in lines[-1]


def test_many_short_epochs_do_not_flood_a_log(tunes, capsys, monkeypatch):
    monkeypatch.setattr(callbacks, "_MOST_LINES", 3)
    small_model().train(tunes[:1], 1, 40, 1, 5)
    lines = [line for line in capsys.readouterr().err.splitlines() if EPOCH.fullmatch(line)]
    shown = [int(EPOCH.fullmatch(line)[1]) for line in lines]
    assert shown[:3] == [1, 2, 3] and shown[-1] == 40 and len(shown) < 20


def planned(n_epochs, n_updates, history):
    """Return what the progress bar asks of a trainer that compiles, and a clock that it reads."""
    now = [0.0]
    return now, SimpleNamespace(
        compiles=lambda: True,
        updates_per_epoch=lambda: iter([n_updates] * n_epochs),
        state=TrainingState(),
        config=TrainConfig(epochs=n_epochs, batch_size=1, window=2),
        tunes=[None],
        history=history,
        interrupted=threading.Event(),
        ended_by=None,
        is_over=lambda: False,
    )


def test_the_time_left_does_not_count_compiling(monkeypatch, capsys):
    """Compiling takes 100 s, each of the updates after it 2 s."""
    history = History()
    now, trainer = planned(4, 10, history)
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: now[0]))
    bar = callbacks.ProgressBar(trainer, callbacks.TimeLimit(None))
    bar.on_start(None, history)
    lines = []
    for epoch in (1, 2):
        for _ in range(10):
            now[0] += 2 if history.cost else 100
            history.cost.append(7.0)
            bar.on_update(None, history)
        history.epochs, history.validation = epoch, [None] * epoch
        capsys.readouterr()
        bar.on_epoch(None, history)
        lines.append(capsys.readouterr().err.strip())
    assert lines == [
        "epoch 1 of 4, update 10 of 40: cost 7.0; 01:58 elapsed, about 01:00 left",
        "epoch 2 of 4, update 20 of 40: cost 7.0; 02:18 elapsed, about 00:40 left",
    ]
    bar.bar.close()


def test_a_time_limit_shortens_the_estimate_and_ends_the_training(monkeypatch, capsys):
    """Compiling takes 30 s, each update 2 s: 90 s are over in the second epoch of 20 updates."""
    history = History()
    now, trainer = planned(9, 20, history)
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: now[0]))
    limit = callbacks.TimeLimit(1.5)
    bar = callbacks.ProgressBar(trainer, limit)
    for callback in (limit, bar):
        callback.on_start(None, history)
    ends = []
    for epoch in (1, 2):
        for _ in range(20):
            now[0] += 2 if history.cost else 30
            history.cost.append(7.0)
            bar.on_update(None, history)
            assert not limit.on_update(None, history)
        history.epochs, history.validation = epoch, [None] * epoch
        capsys.readouterr()
        bar.on_epoch(None, history)
        if epoch == 1:
            expected = "epoch 1 of 9, update 20 of 31: cost 7.0; 01:08 elapsed, about 00:22 left"
            assert capsys.readouterr().err.strip() == expected
        ends.append(limit.on_epoch(None, history))
    assert ends == [False, True]
    bar.on_end(None, history)
    assert "ended after 1.5 minutes: update 40 of " in capsys.readouterr().err
    # amid the first epoch
    late = callbacks.TimeLimit(1)
    late.on_start(None, History())
    now[0] += 59
    assert not late.on_update(None, History())
    now[0] += 1
    assert late.on_update(None, History())


def test_training_ends_after_some_minutes(tunes):
    model = small_model()
    model.train(tunes, 1, 1, 3, 5, validation=tunes[:2], progress=False)  # compiles
    history = model.train(tunes, 1, 10**6, 3, 5, validation=tunes[:2], minutes=0.02, progress=False)
    assert 0 < history.epochs < 10**6 and not history.interrupted
    with pytest.raises(ValueError, match="minutes must be finite and larger than 0, but is 0"):
        model.train(tunes, 1, 1, 3, 5, minutes=0)


def test_the_total_of_many_epochs_is_estimated_from_those_that_are_planned(monkeypatch):
    monkeypatch.setattr(callbacks, "_EPOCHS_AHEAD", 2)
    trainer = SimpleNamespace(
        compiles=lambda: False,
        is_over=lambda: False,
        updates_per_epoch=lambda: iter([10, 20, 60, 10, 10]),
        state=TrainingState(),
        config=TrainConfig(epochs=5, batch_size=1, window=2),
        tunes=[None],
        history=History(),
    )
    bar = callbacks.ProgressBar(trainer, callbacks.TimeLimit(None))
    bar.on_start(None, History())
    assert bar.bar.total == 10 + 20 + 3 * 15
    bar.on_epoch(None, History(cost=[1.0], validation=[None], epochs=1))
    assert bar.bar.total == 10 + 20 + 60 + 2 * 30
    bar.bar.close()


def test_the_last_line_names_the_reason_of_an_early_end(tunes, capsys):
    class Enough(callbacks.Callback):
        def on_update(self, model, history):
            return len(history.cost) == 4

    class Interrupt(callbacks.Callback):
        def on_update(self, model, history):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    def last_line(**options):
        model = small_model(R1=0.3, R2=0.3, R3=0.3, Rout=0.3)  # so that the validation rises
        history = model.train(tunes, 1, 9, 3, 5, validation=tunes[:2], **options)
        return history, capsys.readouterr().err.splitlines()[-1]

    history, line = last_line(patience=2)
    n = len(history.cost)
    assert n < 27 and line == f"ended after 2 epochs without improvement: update {n} of 27"
    assert last_line(callbacks=Enough())[1] == "ended by a callback: update 4 of 27"
    assert last_line(callbacks=Interrupt())[1] == "stopped, keeping the result: update 1 of 27"
    assert last_line()[1].startswith("epoch 9 of 9, update 27 of 27: cost")


def test_the_total_is_right_in_the_end_where_not_all_epochs_are_planned(rng, capsys, monkeypatch):
    tunes = [random_roll(rng, length, 7) for length in (5, 40, 9, 2, 23, 31, 3)]
    monkeypatch.setattr(callbacks, "_EPOCHS_AHEAD", 2)
    history = small_model().train(tunes, 1, 6, 3, 6, windows="all")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    totals = [int(EPOCH.fullmatch(line)[4]) for line in lines]
    n = len(history.cost)
    assert totals[-3:] == [n] * 3 and abs(totals[0] - n) <= 0.2 * n


@pytest.mark.parametrize("error, message, changes", [
    (ValueError, "lengthOfMB must be at least 2, but is 1", {"lengthOfMB": 1}),
    (ValueError, "sizeOfMiniBatch must be at least 1", {"sizeOfMiniBatch": 0}),
    (TypeError, "noOfEpoch must be a whole number, not float 1.5", {"noOfEpoch": 1.5}),
    (TypeError, "noOfEpochPerMB must be a whole number, not bool True", {"noOfEpochPerMB": True}),
    (ValueError, "sparseParam must be finite and at least 0", {"sparseParam": -1}),
    (ValueError, "dataset is empty", {"dataset": []}),
    (TypeError, "a list of piano rolls, not int", {"dataset": 3}),
    (ValueError, "give a list of piano rolls", {"dataset": np.zeros((5, 7))}),
    (ValueError, r"dataset\[1\] must have the shape \(steps, 7\), but has \(5, 6\)",
     {"dataset": [np.zeros((5, 7)), np.zeros((5, 6))]}),
    (ValueError, r"dataset\[0\] is empty", {"dataset": [np.zeros((0, 7))]}),
    (ValueError, "NaN", {"dataset": [np.full((5, 7), np.nan)]}),
    (ValueError, r"values from 0 to 90.*\(roll > 0\)", {"dataset": [np.eye(7) * 90]}),
    (TypeError, "array of numbers", {"dataset": [[["a"] * 7]]}),
    (ValueError, "rows of equal length", {"dataset": [[[0] * 7, [0] * 6]]}),
    (ValueError, r"validation\[0\] must have the shape", {"validation": [np.zeros((5, 6))]}),
    (ValueError, "validation is empty", {"validation": []}),
    (ValueError, "validation has nothing to score", {"validation": [np.zeros((1, 7))]}),
    (ValueError, "windows must be one of 'all', 'random', 'start', but is 'ends'",
     {"windows": "ends"}),
    (ValueError, "nothing to learn from: every tune has one step",
     {"windows": "random", "dataset": [np.zeros((1, 7))]}),
    (ValueError, "steps_at_once must divide lengthOfMB - 1 = 4, but is 3",
     {"windows": "all", "steps_at_once": 3}),
    (ValueError, "dropout must be finite and at least 0 and smaller than 1, but is 1",
     {"dropout": 1}),
    (ValueError, "weight_noise must be finite and at least 0", {"weight_noise": -0.1}),
    (ValueError, "output_noise must be finite and at least 0", {"output_noise": -0.1}),
    (ValueError, "averaging must be finite and at least 0 and smaller than 1", {"averaging": 1}),
    (ValueError, "rate_decay must be finite and larger than 0 and smaller", {"rate_decay": 0}),
    (ValueError, "patience=3 needs tunes to score: give validation", {"patience": 3}),
    (ValueError, "decay_patience=3 needs tunes to score", {"decay_patience": 3}),
    (ValueError, "patience must be at least 1", {"patience": 0}),
    (ValueError, "checkpoint_every=5 needs a checkpoint file", {"checkpoint_every": 5}),
    (ValueError, "resume=True needs a checkpoint file", {"resume": True}),
    (TypeError, "resume must be True or False", {"resume": "yes"}),
])  # fmt: skip
def test_bad_arguments(tunes, error, message, changes):
    arguments = {"dataset": tunes, "noOfEpochPerMB": 1, "noOfEpoch": 1, "sizeOfMiniBatch": 2,
                 "lengthOfMB": 5, "progress": False}  # fmt: skip
    model = small_model()
    before = model.get_parameters()
    with pytest.raises(error, match=message):
        model.train(**{**arguments, **changes})
    np.testing.assert_equal(model.get_parameters(), before)


def test_mark_silence():
    roll = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    marked = mark_silence(roll)
    np.testing.assert_array_equal(marked, [[1, 0, 0], [0, 1, 0], [1, 0, 0]])
    assert roll[0, 0] == 0 and marked.dtype == roll.dtype
    assert mark_silence(roll.astype(bool)).dtype == bool


@pytest.mark.core
@pytest.mark.parametrize("sizes, n_tunes, length", (
    ((3, 5, 4, 7), 1, 5), ((3, 5, 4, 7), 2, 2), ((3, 5, 4, 7), 1, 2), ((1, 1, 1, 1), 1, 2),
    ((1, 1, 1, 1), 2, 3),
))  # fmt: skip
def test_precision_stays_as_it_is_where_a_size_is_one(sizes, n_tunes, length):
    """The second of two updates would fail if the first one had widened anything to float64."""
    model = RNN4Music(*sizes, seed=1)
    tunes = random_roll(np.random.default_rng(0), n_tunes, 5, sizes[-1])
    history = model.train(tunes, 3, 1, n_tunes, length, progress=False)
    assert len(history.cost) == 3
    for name, array in model._store.arrays().items():
        assert array.dtype == np.float32, name
    assert model.gradients(tunes[0, :1], tunes[0, 1:2])[1]["layer1/bias"].dtype == np.float32
    assert model.predict(tunes[0]).dtype == model.genMusic(None, 3)[0].dtype == np.float32


@pytest.mark.filterwarnings("ignore:every tune in dataset has one step")
def test_a_tune_of_one_row_can_be_learned_from():
    """It is repeated to fill the window."""
    roll = random_roll(np.random.default_rng(0), 1, SIZES["io_length"])
    costs = [
        small_model().train([tune], 1, 1, 1, 5, progress=False).cost
        for tune in (roll, np.repeat(roll, 5, axis=0))
    ]
    assert costs[0] == costs[1] and costs[0][0] > 0


@pytest.mark.core
@pytest.mark.parametrize(
    "settings", ({}, {"cost": "squared_error"}, {"chord_units": 8}, {"chord_units": 0})
)
@pytest.mark.parametrize("steps_at_once", (1, 4, 11, 12, 40))
def test_training_in_segments_is_training_on_the_whole(steps_at_once, settings):
    """The gradient is exact, whether the segments fill the window or not."""
    histories, parameters = [], []
    for option in ({}, {"steps_at_once": steps_at_once}):
        model = small_model(**settings, seed=4)
        model.setNewRates(0.01, 0.01, 0.01, 0.01)
        tunes = random_roll(np.random.default_rng(1), 3, 13, SIZES["io_length"])
        histories.append(model.train(tunes, 2, 2, 2, 13, 0.01, progress=False, **option).cost)
        parameters.append(model.get_parameters())
    np.testing.assert_allclose(*histories, rtol=1e-12)
    whole, in_segments = parameters
    for name, array in whole.items():
        np.testing.assert_allclose(in_segments[name], array, rtol=0, atol=1e-11, err_msg=name)


def test_segments_of_no_steps_are_refused():
    model = small_model()
    with pytest.raises(ValueError, match="steps_at_once"):
        model.train(np.zeros((2, 9, SIZES["io_length"])), 1, 1, 2, 9, steps_at_once=0)


def test_training_in_segments_stops_where_the_cost_explodes():
    model = small_model(dtype="float32")
    before = model.get_parameters()
    tunes = random_roll(np.random.default_rng(1), 3, 13, SIZES["io_length"])
    model._store.weights["output/bias"].set_value(np.full(7, np.nan, "float32"))
    with pytest.raises(TrainingDiverged, match="the cost became nan at update 1"):
        model.train(tunes, 1, 1, 3, 13, steps_at_once=5, progress=False)
    for name, array in model.get_parameters().items():
        if name != "output/bias":
            np.testing.assert_array_equal(array, before[name])
