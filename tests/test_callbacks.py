"""Callbacks: the order of their calls, their lack of side effects, and the two logs."""

import io
import json
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile
from conftest import small_model

from rnn4music import RNN4Music
from rnn4music.render.synthesizer import synthesise
from rnn4music.training import History, callbacks
from rnn4music.training.callbacks import Callback, JsonLines
from rnn4music.training.tensorboard import TensorBoard

ARGUMENTS = {"noOfEpochPerMB": 1, "noOfEpoch": 2, "sizeOfMiniBatch": 4, "lengthOfMB": 6}


def train(model, tunes, **options):
    return model.train(tunes, **{**ARGUMENTS, **options}, validation=tunes[:2], progress=False)


class Recorder(Callback):
    def __init__(self):
        self.events = []

    def on_start(self, model, history):
        self.events.append(("start", len(history.cost)))

    def on_update(self, model, history):
        self.events.append(("update", len(history.cost)))
        model.genMusic(None, 3)

    def on_epoch(self, model, history):
        self.events.append(("epoch", history.epochs, history.validation[-1]))
        model.genMusic(None, 3)

    def on_end(self, model, history):
        self.events.append(("end", len(history.cost)))
        self.weights = model.get_parameters()


def test_each_event_is_reported_once_and_composing_changes_nothing(tunes):
    alone, followed = small_model(), small_model()
    recorder = Recorder()
    history = train(followed, tunes, callbacks=[recorder])
    first, second = history.validation
    assert recorder.events == [
        ("start", 0), ("update", 1), ("update", 2), ("epoch", 1, first),
        ("update", 3), ("update", 4), ("epoch", 2, second), ("end", 4),
    ]  # fmt: skip
    assert train(alone, tunes).cost == history.cost
    for name, array in alone.get_parameters().items():
        np.testing.assert_array_equal(array, recorder.weights[name])
    np.testing.assert_array_equal(alone.genMusic(None, 9), followed.genMusic(None, 9))


@pytest.mark.parametrize(
    ("event", "n_updates", "n_epochs"), (("on_update", 3, 1), ("on_epoch", 2, 1))
)
def test_true_ends_the_training(tunes, event, n_updates, n_epochs):
    class Enough(Callback):
        pass

    setattr(Enough, event, lambda self, model, history: len(history.cost) >= n_updates)
    history = train(small_model(), tunes, callbacks=Enough(), noOfEpoch=9)
    assert (len(history.cost), history.epochs, history.interrupted) == (n_updates, n_epochs, False)


def test_what_on_start_returns_decides_nothing(tunes):
    class Chained(Callback):
        def on_start(self, model, history):
            return self

    assert len(train(small_model(), tunes, callbacks=Chained()).cost) > 0


def test_a_training_that_a_callback_ended_goes_on_from_its_checkpoint(tunes, tmp_path):
    class Enough(Callback):
        def on_update(self, model, history):
            return np.equal(len(history.cost), 3)  # NumPy's True counts as well

    whole = small_model()
    train(whole, tunes)
    train(small_model(), tunes, callbacks=Enough(), checkpoint=tmp_path / "c")
    recorder, again = Recorder(), small_model()
    history = train(again, tunes, callbacks=recorder, checkpoint=tmp_path / "c", resume=True)
    assert recorder.events[:2] == [("start", 3), ("update", 4)] and len(history.cost) == 4
    for name, array in whole.get_parameters().items():
        np.testing.assert_array_equal(array, again.get_parameters()[name])


def test_composing_in_callbacks_changes_nothing_after_an_interruption_either(tunes, tmp_path):
    class Once(Recorder):
        def on_epoch(self, model, history):
            super().on_epoch(model, history)
            return history.epochs == 2

    whole, again = small_model(), small_model()
    train(whole, tunes, noOfEpoch=5)
    begun = {"noOfEpoch": 5, "checkpoint": tmp_path / "c"}
    train(small_model(), tunes, callbacks=Once(), **begun)
    history = train(again, tunes, callbacks=Recorder(), resume=True, **begun)
    assert history.cost == whole.history.cost
    np.testing.assert_array_equal(whole.genMusic(None, 9), again.genMusic(None, 9))


def test_an_error_in_a_callback_ends_the_training_with_what_was_learned(tunes):
    class Broken(Recorder):
        def on_update(self, model, history):
            super().on_update(model, history)
            raise OSError("the log is full")

    model, broken = small_model(), Broken()
    with pytest.raises(OSError, match="the log is full"):
        train(model, tunes, callbacks=[broken])
    assert broken.events == [("start", 0), ("update", 1), ("end", 1)]
    assert len(model.history.cost) == 1


@pytest.mark.parametrize("callbacks", (Callback, [print], [None], "JsonLines"))
def test_what_is_no_callback_is_refused(tunes, callbacks):
    with pytest.raises(TypeError, match=r"(not a callback: derive its class|not iterable)"):
        train(small_model(), tunes, callbacks=callbacks)


def test_the_json_lines_hold_what_the_history_holds(tunes, tmp_path):
    model = small_model()
    history = train(model, tunes, callbacks=JsonLines(tmp_path / "log.jsonl", every=2))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == [
        "start", "update", "epoch", "update", "epoch", "end",
    ]  # fmt: skip
    assert lines[0]["settings"] == model.settings() and lines[0]["baseline"] == history.baseline
    assert [line["cost"] for line in lines if line["event"] == "update"] == history.cost[1::2]
    seconds = [line["seconds"] for line in lines if line["event"] == "update"]
    assert seconds == [round(each, 6) for each in history.seconds[1::2]] and min(seconds) > 0
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert [line["validation"] for line in epochs] == history.validation
    assert [line["update"] for line in epochs] == [2, 4]
    assert lines[-1]["best_epoch"] == history.best_epoch
    train(model, tunes, callbacks=JsonLines(tmp_path / "log.jsonl"))
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 6 + 8


def test_both_logs_have_the_last_epoch_and_its_rates(tmp_path):
    history = History([9.0, 8], [1.0, 1], [5.0, 6], [1.0, 0.5], baseline=7.0, epochs=2)
    JsonLines(tmp_path / "log.jsonl").on_epoch(None, history)
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert (line["validation"], line["rate_factor"]) == (6, 0.5)
    assert (line["epoch"], line["update"]) == (2, 2)
    pytest.importorskip("tensorboardX")
    written, board = {}, TensorBoard(tmp_path, n=0)
    board.writer = SimpleNamespace(add_scalar=lambda name, *value: written.update({name: value}))
    board.on_epoch(None, history)
    assert written == {
        "rate_factor": (0.5, 2),
        "nats_per_step/validation": (6, 2),
        "nats_per_step/baseline": (7, 2),
    }


def test_a_log_on_a_full_disk_lacks_lines_and_ends_no_training(tunes, tmp_path, monkeypatch):
    path, calls = tmp_path / "log.jsonl", []

    class Full(io.FileIO):
        """A file that writes only half of the third to the fifth line."""

        def write(self, line):
            calls.append(line)
            return super().write(line[: len(line) // 2] if 3 <= len(calls) <= 5 else line)

    monkeypatch.setattr(callbacks, "open", lambda name, *_, **__: Full(name, "a"), raising=False)
    model = small_model()
    with pytest.warns(callbacks.LogWarning, match="lacks lines from update 2 .*no space") as all_:
        history = train(model, tunes, callbacks=JsonLines(path))
    assert sum(each.category is callbacks.LogWarning for each in all_) == 1
    assert len(history.cost) == 4
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "update", "update", "epoch", "end"]
    path.unlink()
    calls[:] = [1, 1]  # the first line does not fit
    with pytest.raises(OSError, match="no space"):
        train(model, tunes, callbacks=JsonLines(path))


def test_tensorboard_gets_scalars_a_roll_and_a_sound(tunes, tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    class Composer(Callback):
        """Composes the tune that the log should have."""

        tunes = []

        def on_epoch(self, model, history):
            self.tunes.append(model.genMusic(None, 5, sampling="systematic"))

    board, composer = TensorBoard(tmp_path / "runs", n=5, lowest_pitch=60), Composer()
    model = small_model(genProbThreshold=0)
    before, history = repr(model), train(model, tunes, callbacks=[board, composer])
    values = {}
    for path in sorted((tmp_path / "runs").rglob("events*")):
        for event in _events(path, Event):
            for value in event.summary.value:
                values.setdefault(value.tag, []).append((event.step, value))
    ((step, value),) = values["model/text_summary"]
    assert (step, value.tensor.string_val) == (0, [before.encode()])
    assert [step for step, _ in values["cost"]] == [1, 2, 3, 4]
    np.testing.assert_allclose([v.simple_value for _, v in values["cost"]], history.cost, 1e-6)
    for name, nats in (("validation", history.validation), ("baseline", [history.baseline] * 2)):
        scores = [v.simple_value for _, v in values[f"nats_per_step/{name}"]]
        np.testing.assert_allclose(scores, nats, 1e-6)
    for name, k, tolerance in (("tune", 0, 0), ("probabilities", 1, 1 / 255)):
        assert [step for step, _ in values[name]] == [2, 4]
        for (_, value), rolls in zip(values[name], composer.tunes):
            picture = plt.imread(io.BytesIO(value.image.encoded_image_string))
            drawn = (
                1 - np.atleast_3d(picture)[:, :, 0]
            )  # black where it is 1, the lowest pitch last
            np.testing.assert_allclose(drawn[::-1].T, rolls[k], atol=tolerance)
    assert composer.tunes[0][0].any() and not composer.tunes[0][0].all()
    for (_, value), (tune, _) in zip(values["sound"], composer.tunes):
        sound, rate = soundfile.read(io.BytesIO(value.audio.encoded_audio_string))
        assert rate == 44100
        np.testing.assert_allclose(sound, synthesise(tune, 0.3, 60), atol=1e-4)


def _events(path, event):
    """Read a file of records: length (8 bytes), checksum (4), data, checksum (4)."""
    data = path.read_bytes()
    while data:
        length = int.from_bytes(data[:8], "little")
        yield event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_metadata_are_saved_and_say_what_was_learned_from(tunes, tmp_path):
    model = small_model()
    model.metadata["data"] = "seven tunes"
    train(model, tunes)
    loaded = RNN4Music.from_file(model.saveParameters(tmp_path / "model"))
    (trained_on,) = loaded.metadata["trained_on"]
    assert loaded.metadata["data"] == "seven tunes" and trained_on["dataset"] == "7 tunes, 54 steps"
    assert trained_on["window"] == 6 and trained_on["validation"] == "2 tunes, 13 steps"
    assert (trained_on["first_epoch"], trained_on["n_epochs"]) == (1, 2)
    train(loaded, tunes)
    assert loaded.metadata["trained_on"] == [{**trained_on, "n_epochs": 4}]
    train(loaded, tunes[:6], checkpoint=tmp_path / "c")
    train(loaded, tunes[:6], checkpoint=tmp_path / "c", resume=True, noOfEpoch=3)
    first, second = loaded.metadata["trained_on"]
    assert first["n_epochs"] == 4 and second["dataset"] == "6 tunes, 48 steps"
    assert (second["first_epoch"], second["n_epochs"], second["epochs"]) == (5, 3, 3)
    with pytest.raises(FileNotFoundError):
        train(loaded, tunes, checkpoint=tmp_path / "no" / "c")
    assert loaded.metadata["trained_on"] == [first, second]
    model.metadata = {"data": {1, 2}}
    with pytest.raises(TypeError, match="metadata must hold text, finite numbers"):
        model.saveParameters(tmp_path / "model")
    assert RNN4Music.from_file(tmp_path / "model").metadata["data"] == "seven tunes"


def test_composing_with_a_seed_and_a_threshold_of_its_own(tunes):
    model = small_model(genProbThreshold=0.4)
    state = model._rng.bit_generator.state
    tune, probabilities = model.genMusic(None, 20, threshold=0.2, seed=3)
    assert 0.2 < probabilities[probabilities > 0].min() < 0.4
    np.testing.assert_array_equal(model.genMusic(None, 20, threshold=0.2, seed=3)[0], tune)
    assert (model.genMusic(None, 20, threshold=0.2, seed=4)[0] != tune).any()
    assert model._rng.bit_generator.state == state and model.genProbThreshold == 0.4
    with pytest.raises(ValueError, match="threshold must be finite and at least 0 and at most 1"):
        model.genMusic(None, 2, threshold=1.5)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        model.genMusic(None, 2, seed=-1)


def test_tensorboard_sounds_the_strikes_of_a_model_with_onsets(tmp_path):
    pytest.importorskip("tensorboardX")
    rolls = np.ones((5, 4)) * [1, 1, 1, 0]  # two pitches, of which one is struck at each step
    model = SimpleNamespace(chord_units=2, genMusic=lambda *_, **__: (rolls, rolls))
    history = SimpleNamespace(cost=[1], rate_factor=[1], validation=[None])
    sounds, board = [], TensorBoard(tmp_path, n=5, lowest_pitch=60, onsets=True)
    board.writer = SimpleNamespace(
        add_scalar=lambda *_: None,
        add_image=lambda *_: None,
        add_audio=lambda name, sound, *_: sounds.append(sound),
    )
    board.on_epoch(model, history)
    np.testing.assert_array_equal(sounds[0], synthesise(rolls, 0.3, 60, onsets=True))
