"""Interrupted trainings: they continue bit for bit, whenever they were interrupted."""

import copy
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import SIZES, random_roll, small_model

from rnn4music import RNN4Music
from rnn4music.training import checkpoints
from rnn4music.training.trainer import Trainer

P = SIZES["io_length"]
LENGTHS = (9, 4, 12, 6, 7, 15, 6)
OPTIONS = {  # each has its own state that must survive
    "2015": {},
    "everything": {
        "windows": "random",
        "dropout": 0.3,
        "weight_noise": 0.1,
        "averaging": 0.9,
        "decay_patience": 1,
        "patience": 3,
    },
    "all windows": {"windows": "all", "dropout": 0.2},
    "pieces": {"steps_at_once": 2, "weight_noise": 0.1, "output_noise": 0.05},
}


@pytest.fixture
def rolls(rng):
    return [random_roll(rng, length, P) for length in LENGTHS]


def model(**changes):
    rates = dict.fromkeys(("R1", "R2", "R3", "Rout"), 0.01)
    return small_model(**{"optimiser": "adam", "sigRand": 0.2, **rates, **changes})


def run(model, rolls, n_epochs=4, **options):
    return model.train(rolls, 2, n_epochs, 3, 5, validation=rolls[:3], progress=False, **options)


def assert_same(first, second):
    """Assert that two models agree in everything except the duration of updates."""
    np.testing.assert_equal(second._store.arrays(), first._store.arrays())
    assert second._rng.bit_generator.state == first._rng.bit_generator.state
    histories = [model.history.to_dict() for model in (first, second)]
    assert len({len(history.pop("seconds")) for history in histories}) == 1
    assert histories[0] == histories[1]


class Stop(BaseException):
    """Ends a training in the middle of an epoch."""


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("chord_units", (None, 8))
def test_a_training_that_ends_anywhere_goes_on_bit_for_bit(
    options, chord_units, rolls, tmp_path, monkeypatch
):
    trained = model(chord_units=chord_units)
    new = trained.__getstate__()
    history = run(trained, rolls, **options)
    undisturbed, n_updates = copy.copy(trained), len(history.cost)
    endings = iter([0, 1, 4, 5, 7, 12, 13, n_updates - 1])
    made, ending, original = 0, next(endings), Trainer.update

    def breaking(self, *arguments, **options):
        nonlocal made
        if made == ending:
            raise Stop
        made += 1
        return original(self, *arguments, **options)

    monkeypatch.setattr(Trainer, "update", breaking)
    arguments = {"checkpoint": tmp_path / "run", "resume": True, **options}
    for _ in range(8):
        trained._take(new)  # as a new process would have it
        with pytest.raises(Stop):
            run(trained, rolls, checkpoint_every=1, **arguments)
        ending = next(endings, None)
    trained._take(new)
    assert run(trained, rolls, checkpoint_every=1, **arguments).cost == history.cost
    assert made == n_updates  # none was made twice
    assert_same(undisturbed, trained)
    assert_same(undisturbed, RNN4Music.from_file(tmp_path / "run"))
    trained._take(new)
    assert run(trained, rolls, **arguments).cost == history.cost  # nothing is left to do
    assert made == n_updates
    assert_same(undisturbed, trained)


def test_a_finished_training_may_be_given_more_epochs(rolls, tmp_path):
    whole = model()
    run(whole, rolls, 5, averaging=0.9)
    part = model()
    run(part, rolls, 2, averaging=0.9, checkpoint=tmp_path / "c")
    other = model()
    history = run(other, rolls, 5, averaging=0.9, checkpoint=tmp_path / "c", resume=True)
    assert history.epochs == 5
    assert_same(whole, other)


def test_a_training_that_ended_early_may_be_given_more_patience(rolls, tmp_path, capsys):
    fast = {"R1": 0.3, "R2": 0.3, "R3": 0.3, "Rout": 0.3}  # so that the validation rises again
    whole = model(**fast)
    run(whole, rolls, 9, patience=4)
    part = model(**fast)
    early = run(part, rolls, 9, patience=1, checkpoint=tmp_path / "c")
    assert early.epochs < whole.history.epochs
    same = run(part, rolls, 9, patience=1, checkpoint=tmp_path / "c", resume=True)
    assert same.cost == early.cost
    assert f"nothing is left to train: {early.epochs} epochs" in capsys.readouterr().err
    run(part, rolls, 9, patience=4, checkpoint=tmp_path / "c", resume=True)
    assert_same(whole, part)


def test_what_came_before_the_training_stays_in_the_history(rolls, tmp_path):
    first = model()
    run(first, rolls, 1)
    arguments = {"checkpoint": tmp_path / "c", "progress": False}
    first.train(rolls, 1, 2, 3, 5, **arguments)  # without validation: the baseline is the first's
    second = RNN4Music.from_file(tmp_path / "c")
    history = second.train(rolls, 1, 2, 3, 5, **arguments, resume=True)
    assert history.epochs == 2 and second.history.epochs == 3
    assert history.baseline is None  # of this training, which validates nothing
    assert second.history.baseline == first.history.baseline is not None
    assert_same(first, second)


def test_a_checkpoint_is_a_model_with_the_best_weights_so_far(rolls, tmp_path):
    trained = model(R1=0.3, R2=0.3, R3=0.3, Rout=0.3)  # so that the validation rises again
    history = run(trained, rolls, 6, checkpoint=tmp_path / "c")
    assert history.best_epoch < 6
    loaded = RNN4Music.from_file(tmp_path / "c")
    assert loaded.evaluate(rolls[:3]).nats_per_step == min(history.validation)
    assert trained.evaluate(rolls[:3]).nats_per_step == min(history.validation)


@pytest.mark.parametrize("changes, options, message", [
    ({}, {"lengthOfMB": 6}, "lengthOfMB 5, not 6"),
    ({}, {"dropout": 0.5}, "dropout 0.0, not 0.5"),
    ({}, {"noOfEpochPerMB": 1}, "noOfEpochPerMB 2, not 1"),
    ({"R2": 0.5}, {}, "R2 0.01, not 0.5"),
    ({"seed": 9}, {}, "seed 1, not 9"),
    ({"h1_length": 9}, {}, "h1_length 3, not 9"),
    ({}, {"dataset": [np.ones((5, P))] * 3}, r"dataset '7 tunes, 59 .*, not '3 tunes, 15"),
    ({}, {"dataset": [np.ones((5, P))]}, r"give --keep-silence \(in Python keep_silence=True"),
    ({}, {"dataset": [np.ones((n, P)) for n in LENGTHS]}, "dataset '7 tunes, 59 .*, not "
     "'7 tunes, 59 steps"),
    ({}, {"validation": [np.ones((n, P)) for n in LENGTHS[:3]]}, "validation '3 tunes, 25 .*, "
     "not '3 tunes, 25 steps"),
    ({}, {"validation": None}, "validation .3 tunes"),
])  # fmt: skip
def test_the_checkpoint_of_another_training_is_refused(changes, options, message, rolls, tmp_path):
    arguments = {"dataset": rolls, "noOfEpochPerMB": 2, "noOfEpoch": 1, "sizeOfMiniBatch": 3,
                 "lengthOfMB": 5, "validation": rolls[:3], "progress": False,
                 "checkpoint": tmp_path / "c"}  # fmt: skip
    model().train(**arguments)
    content = (tmp_path / "c.npz").read_bytes()
    other = model(**changes)
    before = other._store.arrays()
    with pytest.raises(ValueError, match=message):
        other.train(**{**arguments, **options}, resume=True)
    np.testing.assert_equal(other._store.arrays(), before)
    assert other.history.cost == [] and (tmp_path / "c.npz").read_bytes() == content


def test_a_checkpoint_of_an_earlier_version_has_no_beginnings():
    options = {"epochs": 3, "dataset": "a"}
    checkpoints.check_same("a.npz", options, {**options, "beginnings": False})
    with pytest.raises(checkpoints.AnotherTraining, match="beginnings"):
        checkpoints.check_same("a.npz", options, {**options, "beginnings": True})


def test_a_checkpoint_is_not_overwritten_by_a_training_that_begins(rolls, tmp_path):
    run(model(), rolls, 1, checkpoint=tmp_path / "c")
    content = (tmp_path / "c.npz").read_bytes()
    with pytest.raises(
        FileExistsError, match="already exists: resume it, delete it, or choose another name"
    ):
        run(model(), rolls, 1, checkpoint=tmp_path / "c")
    assert (tmp_path / "c.npz").read_bytes() == content


def test_the_threshold_for_composing_may_change_between_runs(rolls, tmp_path):
    run(model(), rolls, 1, checkpoint=tmp_path / "c")
    other = model(genProbThreshold=0.02)
    run(other, rolls, 1, checkpoint=tmp_path / "c", resume=True)
    assert other.genProbThreshold == 0.02


def test_a_saved_model_is_no_checkpoint(rolls, tmp_path):
    saved = model()
    path = saved.saveParameters(tmp_path / "m")
    with pytest.raises(ValueError, match="is a saved model, not a checkpoint"):
        run(saved, rolls, checkpoint=path, resume=True)


@pytest.fixture(scope="module")
def checkpoint_of_an_epoch(tmp_path_factory):
    rng = np.random.default_rng(0)  # as the fixtures `rng` and `rolls` have it
    rolls = [random_roll(rng, length, P) for length in LENGTHS]
    path = tmp_path_factory.mktemp("checkpoint") / "c.npz"
    run(model(), rolls, 1, averaging=0.9, checkpoint=path)
    return path


@pytest.mark.parametrize("damage, message", [
    ({"checkpoint/under_way/layer1/bias": None}, "not those of this training.*layer1/bias"),
    ({"checkpoint/under_way/layer1/bias": np.zeros(3)}, "must have the shape"),
    ({"checkpoint/mean/layer1/bias": np.full(12, np.nan)}, "NaN or infinity"),
    ({"parameters/layer1/bias": None}, "missing: layer1/bias"),
    ({"checkpoint": np.array(json.dumps({"about": 3}))}, "lacks the dict 'training'"),
    ({"checkpoint": np.array("{")}, "checkpoint cannot be read"),
    ({"state": {"epoch": "many"}}, "epoch must be a whole number"),
    ({"state": {"epoch": -1}}, "epoch must be at least 0"),
    ({"state": {"update": -1}}, "update must be at least 0"),
    ({"state": {"seed": -1}}, "seed must be at least 0"),
    ({"state": {"rate_factor": 0.0}}, "rate_factor must be"),
    ({"state": {"rate_factor": 1.01}}, "rate_factor must be"),
    ({"state": {"best": float("nan")}}, "best must be finite"),
    ({"state": {"epochs": 3}}, "the state of the training has other entries"),
    ({"before": {"cost": 99}}, "cannot have had"),
    ({"before": {"epochs": -1}}, "cannot have had"),
    ({"sizes": {"h1_length": 9}}, "but its settings say"),
    ({"sizes": {"R1": 5.0}}, "R1 5.0, not 0.01"),
])  # fmt: skip
def test_damaged_checkpoints_are_refused(damage, message, rolls, tmp_path, checkpoint_of_an_epoch):
    with np.load(checkpoint_of_an_epoch) as file:
        entries = dict(file)
    entry_of = {"state": "checkpoint", "before": "checkpoint", "sizes": "settings"}
    for part in damage.keys() & entry_of.keys():
        content = json.loads(str(entries[entry_of[part]]))
        (content if part == "sizes" else content[part]).update(damage[part])
        damage = {entry_of[part]: np.array(json.dumps(content))}
    entries = {k: v for k, v in {**entries, **damage}.items() if v is not None}
    np.savez(tmp_path / "c.npz", **entries)
    other = model(seed=1)
    other.resetStates()
    before, state = other._store.arrays(), other._rng.bit_generator.state
    with pytest.raises(ValueError, match=message):
        run(other, rolls, 1, averaging=0.9, checkpoint=tmp_path / "c", resume=True)
    np.testing.assert_equal(other._store.arrays(), before)
    assert other._rng.bit_generator.state == state and other.history.cost == []


@pytest.mark.parametrize("every, due", (
    (None, {60: 2, 119: 2, 120: 3, 185: 4, 244: 4, 245: 5}),  # a minute after the last one
    (3, {1: 1, 2: 1, 3: 2, 4: 2, 5: 2, 600: 3}),  # the last update is the sixth
))  # fmt: skip
def test_when_a_checkpoint_is_due(every, due, tmp_path, monkeypatch):
    now, written = [0.0], []
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(checkpoints.model_file, "write", lambda path, **_: written.append(path))
    trainer = SimpleNamespace(content=dict, ensure_finite=lambda: None)
    writer = checkpoints.CheckpointWriter(tmp_path / "c.npz", every, trainer)
    writer.on_start(None, None)
    for now[0], n_written in due.items():
        writer.on_update(None, None)
        assert len(written) == n_written, now[0]


def test_a_checkpoint_that_cannot_be_written_is_reported_before_training(rolls, tmp_path):
    for place, error in ((tmp_path / "missing" / "c", FileNotFoundError), (tmp_path, OSError)):
        if place == tmp_path:
            (tmp_path / "folder.npz").mkdir()
            place = tmp_path / "folder"
        tried = model()
        with pytest.raises(error, match="missing|folder"):
            run(tried, rolls, checkpoint=place)
        assert tried.history.cost == []


def about_checkpoints(warned):
    """Return the messages about checkpoints among recorded warnings."""
    return [str(w.message) for w in warned if w.category is checkpoints.CheckpointWarning]


def test_a_disk_that_fills_up_stops_no_training(rolls, tmp_path, monkeypatch):
    undisturbed = model()
    run(undisturbed, rolls, 2)
    savez, calls = np.savez, []

    def full_for_a_while(file, **arrays):
        calls.append(1)
        if 3 <= len(calls) <= 6:
            file.write(b"half a file")
            raise OSError(28, "No space left on device")
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full_for_a_while)
    trained = model()
    with pytest.warns(checkpoints.CheckpointWarning, match="No space left.*continues") as warned:
        run(trained, rolls, 2, checkpoint=tmp_path / "c", checkpoint_every=2)
    assert len(about_checkpoints(warned)) == 1 and len(calls) > 6
    assert os.listdir(tmp_path) == ["c.npz"]
    assert_same(undisturbed, trained)
    assert_same(undisturbed, RNN4Music.from_file(tmp_path / "c"))


def test_a_disk_that_stays_full_is_reported_at_the_end_too(rolls, tmp_path, monkeypatch):
    savez, calls = np.savez, []

    def full(file, **arrays):
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(checkpoints.CheckpointWarning) as warned:
        run(model(), rolls, 2, checkpoint=tmp_path / "c", checkpoint_every=2)
    messages = about_checkpoints(warned)
    assert len(messages) == 2 and len(calls) > 3
    assert "training continues" in messages[0] and "training continues" not in messages[1]
    assert "save the model elsewhere" in messages[1]


@pytest.mark.parametrize("checkpoint, error, message", [
    (5, TypeError, "checkpoint must be a file name, not 5"),
    ("", ValueError, "checkpoint='' does not name a file"),
])  # fmt: skip
def test_bad_names(checkpoint, error, message, rolls):
    with pytest.raises(error, match=message):
        run(model(), rolls, checkpoint=checkpoint)


SCRIPT = """
    import sys
    import numpy as np
    from rnn4music import RNN4Music
    rng = np.random.default_rng(0)
    tunes = [(rng.random((n, 8)) < 0.3).astype(float) for n in (20, 31, 17, 40, 25, 12)]
    model = RNN4Music(9, 8, 7, 8, R1=0.01, R2=0.01, R3=0.01, Rout=0.01, seed=1, optimiser="adam")
    print("ready", flush=True)
    history = model.train(
        tunes, 1, 60, 2, 11, windows="random", dropout=0.2, weight_noise=0.05,
        validation=tunes[:2], decay_patience=4, checkpoint=sys.argv[1],
        checkpoint_every=int(sys.argv[2]), resume=True,
    )
    print("finished", len(history.cost), history.interrupted)
"""


def start(path, every=7):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), path, str(every)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_updates(process, n):
    """Wait until a line of progress shows that `n` updates were made."""
    for line in process.stderr:
        found = re.match(r"epoch \d+ of 60, update (\d+) of 180: ", line)
        if found and int(found[1]) >= n:
            return


@pytest.mark.slow
def test_a_killed_process_goes_on_bit_for_bit(tmp_path):
    """The training is killed at random moments, and finishes nevertheless."""
    expected, _ = start(tmp_path / "whole.npz").communicate(timeout=120)
    assert "finished 180 False" in expected
    rng = np.random.default_rng()
    kills, path = 0, tmp_path / "killed.npz"
    while kills < 4:
        process = start(path)
        assert process.stdout.readline() == "ready\n"
        wait_for_updates(process, 1)
        try:
            process.communicate(timeout=float(rng.uniform(0, 0.4)))
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
            process.communicate()
        else:
            break  # it finished before the kill
    assert kills
    out, _ = start(path).communicate(timeout=120)
    assert "finished 180 False" in out
    assert_same(RNN4Music.from_file(tmp_path / "whole"), RNN4Music.from_file(path))


@pytest.mark.slow
@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_signals_save_and_say_where(number, tmp_path):
    path = tmp_path / "stopped.npz"
    process = start(path)
    assert process.stdout.readline() == "ready\n"
    wait_for_updates(process, 1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert f"saved in {path}; resume the training to continue from there" in err
    if number == signal.SIGINT:
        assert process.returncode == 0 and "True" in out
    else:
        assert process.returncode == -signal.SIGTERM and not out  # SIGTERM has its usual effect
    stopped = RNN4Music.from_file(path)
    assert 0 < len(stopped.history.cost) < 180
    out, _ = start(path).communicate(timeout=120)
    assert "finished 180 False" in out
    whole, _ = start(tmp_path / "whole.npz").communicate(timeout=120)
    assert_same(RNN4Music.from_file(tmp_path / "whole"), RNN4Music.from_file(path))


@pytest.mark.slow
@pytest.mark.parametrize("broken", (False, True))
def test_two_different_signals_still_save(broken, tmp_path):
    """A closed terminal may send Ctrl-C and SIGTERM, with no reader on standard error."""
    path = tmp_path / "stopped.npz"
    with start(path, every=10**6) as process:  # a checkpoint is written only at the end
        assert process.stdout.readline() == "ready\n"
        wait_for_updates(process, 1)
        if broken:
            process.stderr.close()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(timeout=60) == -signal.SIGTERM
    assert RNN4Music.from_file(path).history.cost
