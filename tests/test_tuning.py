"""Searches: the space, the storage, trials that are run again, and the results."""

import concurrent.futures
import csv
import functools
import json
import multiprocessing
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi import midiwrite
from rnn4music import cli, tuning
from rnn4music._utils.processes import n_cores
from rnn4music.data import store
from rnn4music.experiment import config
from rnn4music.experiment import music as experiment_music
from rnn4music.experiment import run as experiment_run
from rnn4music.experiment.music import Music
from rnn4music.training.history import History
from rnn4music.training.loop import TrainingDiverged

optuna = pytest.importorskip("optuna", reason="searches need Optuna")

from matplotlib import pyplot as plt  # noqa: E402
from optuna.distributions import FloatDistribution, IntDistribution  # noqa: E402
from sqlalchemy import event  # noqa: E402
from sqlalchemy.engine import Engine  # noqa: E402
from sqlalchemy.exc import OperationalError  # noqa: E402

from rnn4music.tuning import results, study, trials  # noqa: E402
from rnn4music.tuning.space import read  # noqa: E402

SPACE = {"epochs": 10, "learning_rates": {"low": 1e-4, "high": 1e-1, "log": True}}
# `ask` without `optimize` sends no heartbeats, which suits the tests of dead processes
pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage", "ignore:.*experimental")
ABOUT = {"seed": "1", "music": "three tunes"}


# ---- the space


def test_the_space_of_the_documentation(tmp_path):
    page = Path(__file__).parent.parent / "docs" / "command_line.md"
    (block,) = re.findall(r"`space.toml`:\n\n```toml\n(.*?)```", page.read_text("utf8"), re.S)
    (tmp_path / "space.toml").write_text(block, "utf8")
    space = read(tmp_path / "space.toml")
    assert space.fixed == {"epochs": 30, "validation": 0.2}
    assert space.searched["batch_size"] == IntDistribution(2, 10, step=2)
    assert space.searched["learning_rates"] == FloatDistribution(1e-4, 1e-2, log=True)
    units = space.searched["units"].choices
    tried = [space.settings({"units": each})["units"] for each in units]
    assert tried == [[100, 100, 100], [200, 200, 200]]


@pytest.mark.parametrize(
    ("line", "message"),
    (
        ("epochs = 3", "there is nothing to search;"),
        ("rates = {low = 1, high = 2}", "no setting 'rates'"),
        (
            "learning_rates = {low = 1, high = 'much'}",
            "learning_rates.high must be a number, not str 'much'",
        ),
        ("batch_size = {low = 1.5, high = 3}", "batch_size.low must be a whole number"),
        (
            "learning_rates = {low = 2, high = 1}",
            "learning_rates is not a valid range: `low <= high` must hold",
        ),
        (
            "learning_rates = {low = 0, high = 1, log = true}",
            "`low > 0` must hold for `log=True`, but got",
        ),
        (
            "learning_rates = {low = 1, high = 2, log = 1}",
            "learning_rates.log must be True or False, not int 1",
        ),
        ("learning_rates = {low = 1, high = inf}", "learning_rates.high must be finite"),
        ("learning_rates = {low = 1, high = 2, base = 3}", "but has low, high, base"),
        ("learning_rates = {low = 1}", "{choices = […]}, but has low"),
        ("learning_rates = {}", "but has nothing"),
        ("batch_size = {low = 4, high = 32, step = 0}", "`step > 0` must hold"),
        ("learning_rates = {low = 0.0, high = 0.1, step = 1e-320}", "is not a valid range"),
        (
            "learning_rates = {low = -1, high = 1}",
            "space.toml: learning_rates.low must be finite and at least 0, but",
        ),
        (
            "learning_rates = {choices = [[0.1, 0.2]]}",
            "learning_rates.choices must have 1 or 4 values, but is [0.1, 0.2]",
        ),
        (
            "learning_rates = {choices = [0.1, -0.1]}",
            "learning_rates.choices must be finite and at least 0",
        ),
        ("dropout = {low = 0, high = 3}", "dropout.high must be finite and at least 0 and smaller"),
        ("averaging = {low = 0, high = 1}", "averaging.high must be"),
        ("rate_decay = {low = 0, high = 0.5}", "rate_decay.low must be finite and larger than 0"),
        ("weight_noise = {low = -1, high = 1}", "weight_noise.low must be"),
        ("l1 = {low = -1, high = 1}", "l1.low must be"),
        ("clip = {low = 0, high = 1}", "clip.low must be"),
        ("epsilon = {low = 0, high = 1}", "epsilon.low must be"),
        ("batch_size = {low = 0, high = 3}", "batch_size.low must be at least 1, but is 0"),
        ("batch_size = {choices = [0, 3]}", "batch_size.choices must be at least 1, but is 0"),
        ("window = {low = 1, high = 3}", "window.low must be at least 2, but is 1"),
        ("units = {choices = [[1, 0, 1]]}", "units.choices must be at least 1, but is 0"),
        ("patience = {low = 0, high = 3}", "patience.low must be"),
        ("decay_patience = {low = 0, high = 3}", "decay_patience.low must be"),
        ("updates_per_minibatch = {low = 0, high = 3}", "updates_per_minibatch.low must be"),
        ("units = {low = 0, high = 32}", "units.low must be at least 1, but is 0"),
        ("units = {choices = [[4, 5]]}", "units.choices must have 1 or 3 values, but is [4, 5]"),
        ("windows = {low = 'all', high = 'start'}", "windows cannot have a range"),
        ("windows = {choices = ['some']}", "one of 'all', 'random', 'start', but is 'some'"),
        (
            "chord_units = {low = 0, high = 8}\ncost = {choices = ['squared_error']}",
            "space.toml: cost must be 'cross_entropy' with chord_units",
        ),
        (
            "chord_units = 8\ncost = 'squared_error'\ndropout = {low = 0.0, high = 0.5}",
            "space.toml: cost must be 'cross_entropy' with chord_units",
        ),
        ("windows = {choices = []}", "windows.choices must be a list of values, but is []"),
        ("output = {choices = ['a', 'b']}", "output cannot be searched"),
        ("checkpoint = {choices = ['a', 'b']}", "checkpoint cannot be searched"),
        ("data = {choices = ['a', 'b']}", "data cannot be searched: scores on music that is read"),
        ("cache = {choices = ['a', 'b']}", "cache cannot be searched"),
        ("keys = {choices = ['own', 'c']}", "keys cannot be searched"),
        ("validation = {low = 0.1, high = 0.2}", "validation cannot be searched"),
        ("seed = {low = 1, high = 2}", "seed cannot be searched: each trial has its own"),
        ("epochs = {low = 1, high = 2}", "epochs cannot be searched"),
    ),
)
def test_a_space_is_checked(tmp_path, line, message):
    (tmp_path / "space.toml").write_text(line, "utf8")
    with pytest.raises(ValueError, match=re.escape(message)):
        read(tmp_path / "space.toml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
def test_nothing_waits_for_a_fifo(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for function, name in (
        (read, fifo),
        (trials.open_study, str(fifo)),
        (trials.open_study, f"sqlite:///{fifo}"),
    ):
        with pytest.raises(OSError, match="not a regular file"):
            function(name)


def test_a_space_that_python_gives():
    space = read({"units": (3, 4, 5), "learning_rates": {"low": 1, "high": 2}})
    assert space.fixed == {"units": [3, 4, 5]}
    ranged = read({"units": {"low": 4, "high": 32}})
    assert config.complete(ranged.settings({"units": 20})).units == [20, 20, 20]
    drawn = {"units": [3, 4, 5], "learning_rates": [1.5], "classic": True}
    assert space.settings({"learning_rates": 1.5}) == drawn
    with pytest.raises(ValueError, match="minutes has no effect on a search"):
        read({"minutes": 3, "units": {"low": 4, "high": 32}})
    dashed = read({"decay-patience": 3, "rate-decay": {"low": 0.2, "high": 0.5}})
    assert dashed.fixed == {"decay_patience": 3}
    assert dashed.searched == {"rate_decay": FloatDistribution(0.2, 0.5)}
    for impossible in (np.ones(2), None, "much"):
        with pytest.raises(ValueError, match="learning_rates.high must be a number"):
            read({"learning_rates": {"low": 1, "high": impossible}})
    with pytest.warns(UserWarning, match="not divisible by `step`"):
        assert read({"batch_size": {"low": 4, "high": 32, "step": 5}}).searched == {
            "batch_size": IntDistribution(4, 29, step=5)
        }


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(
    data=texts.filter(bool),
    learning_rates=st.lists(st.floats(0, 1e9), min_size=4, max_size=4),
    seed=st.integers(0, 10**9),
)
def test_settings_survive_a_toml_file(tmp_path_factory, data, learning_rates, seed):
    path = tmp_path_factory.mktemp("toml") / "best.toml"
    settings = {
        "data": data,
        "learning_rates": learning_rates,
        "seed": seed,
        "units": [1, 2, 3],
        "resume": True,
    }
    path.write_bytes(config.as_toml({**settings, "log": None}).encode())
    assert config.read(path) == settings


# ---- the storage


@event.listens_for(Engine, "connect")
def _without_waiting_for_the_disk(connection, record):
    connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture(params=["database", "journal"])
def storage(request, tmp_path):
    is_journal = request.param == "journal"
    return str(tmp_path / "search.journal") if is_journal else f"sqlite:///{tmp_path}/search.db"


def finished(storage, *values, about=ABOUT):
    """Return a study with complete trials of these values."""
    study = trials.open_study(str(storage), dict(about))
    for value in values:
        trial = study.ask()
        trial.set_user_attr("seed", 7)
        trial.suggest_float("learning_rates", 1e-4, 1e-1, log=True)
        study.tell(trial, value)
    return study


def values(storage):
    return [t.value for t in trials.open_study(str(storage), dict(ABOUT)).trials]


def test_a_storage_belongs_to_one_search(storage):
    finished(storage, 3.0)
    message = "of another search: music 'three tunes', not 'two tunes'; epochs None, not"
    with pytest.raises(ValueError, match=message):
        trials.open_study(storage, {**ABOUT, "music": "two tunes", "epochs": "5"})
    with pytest.raises(ValueError, match="music .* keep_silence = true in the TOML file"):
        trials.open_study(storage, {**ABOUT, "music": "two tunes"})
    trials.open_study(storage, {**ABOUT, "keep_silence": "true"})  # as earlier versions always did
    with pytest.raises(ValueError, match="seed '1', not '2'"):
        trials.open_study(storage, {**ABOUT, "seed": "2"})
    study = trials.open_study(storage, {**ABOUT, "seed": None})
    assert study.user_attrs["about"]["seed"] == "1"


def test_a_storage_without_a_seed_draws_one_and_keeps_it(storage):
    seeds = [
        trials.open_study(storage, {**ABOUT, "seed": None}).user_attrs["about"]["seed"]
        for _ in range(2)
    ]
    assert seeds[0] == seeds[1] and int(seeds[0]) >= 0


@pytest.mark.parametrize("content", (b"my notes", b"MThd\n\0\0", b"{}\n", b"\0" * 90))
def test_no_other_file_is_taken_for_a_storage(storage, content):
    file = trials.storage_file(storage)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{file.name} .*choose another storage"):
        trials.open_study(storage, dict(ABOUT))
    assert file.read_bytes() == content


def test_a_kill_or_another_process_while_tables_are_made(tmp_path, monkeypatch):
    errors = [OperationalError("CREATE TABLE", {}, Exception("it already exists"))]

    class Racing(trials.RDBStorage):
        def __init__(self, *arguments, **options):
            if errors:
                raise errors.pop()
            super().__init__(*arguments, **options)

    monkeypatch.setattr(trials, "RDBStorage", Racing)
    monkeypatch.setattr(trials.time, "sleep", lambda seconds: None)
    finished(f"sqlite:///{tmp_path}/search.db", 3.0)
    with sqlite3.connect(tmp_path / "search.db") as database:
        database.execute("DROP INDEX ix_studies_study_name")  # as if it had not been created
    database.close()
    assert values(f"sqlite:///{tmp_path}/search.db") == [3.0]


def test_what_a_killed_process_left_half_written_is_cut_off(tmp_path):
    """At every kind of byte of the last two lines, and while another process runs."""
    journal = tmp_path / "search.journal"
    finished(journal, 3.0, 2.0)
    whole = journal.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for n in {last - 40, last - 1, last, last + 1, last + 90, len(whole) - 1, len(whole)}:
        journal.write_bytes(whole[:n])
        before = values(journal)
        assert before == [3.0, 2.0 if n == len(whole) else None]
        study = finished(journal, 1.0)
        assert values(journal) == [*before, 1.0]
        assert journal.read_bytes().startswith(whole[: whole[:n].rfind(b"\n") + 1])
        with open(journal, "ab") as file:
            file.write(b'{"op_code":4,"wor')
        study.tell(study.ask(), 0.5)
        assert values(journal) == [*before, 1.0, 0.5]


def test_one_process_at_a_time_writes_to_a_journal(tmp_path):
    journal = tmp_path / "search.journal"
    journal.write_bytes(b"a line\n")
    first, second = trials._Lock(str(journal)), trials._Lock(str(journal))
    assert first.acquire()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second.acquire)
        time.sleep(0.1)
        assert not waiting.done()
        journal.write_bytes(b"a line\nhalf a l")  # as if the first were killed meanwhile
        first.release()
        assert waiting.result(timeout=10)
    second.release()
    assert journal.read_bytes() == b"a line\n"


def test_damage_is_reported_clearly(storage):
    finished(storage, 3.0, 2.0)
    file = trials.storage_file(storage)
    content = file.read_bytes()
    if file.suffix == ".db":
        damaged = [content[:5000], content[:100] + b"garbage" + content[107:], content[:20]]
        damaged.append(content[:4096] + bytes(len(content) - 4096))
    else:
        *lines, _ = content.split(b"\n")
        damages = (b"", b"garbage", b"\xff\x00", lines[4][:-9], b"[]", b"{}", b"[" * 10**5)
        damaged = [b"\n".join([*lines[:4], each, *lines[5:], b""]) for each in damages]
    for each in damaged:
        file.write_bytes(each)
        with pytest.raises(ValueError, match=f"{file.name} .*damaged"):
            values(storage)


def test_a_password_is_not_shown():
    assert trials.shown("postgresql://me:secret@host/searches") == "host/searches"


# ---- trials, with a stand-in for training


class Model:
    """Stand-in for a network: its validation falls fastest with a learning rate of 0.01."""

    def __init__(self, settings, metadata):
        self.badness = abs(np.log10(settings.learning_rates[0]) + 2)

    def learn(self, n_epochs, callbacks):
        history = History()
        for epoch in range(1, n_epochs + 1):
            history.cost.append(1.0)
            history.validation.append(float(5 + self.badness + 10 / epoch))
            history.epochs += 1
            if any([each.on_epoch(self, history) for each in callbacks]):
                break
        return history


def learn(model, settings, music, progress, callbacks):
    return model.learn(settings.epochs, callbacks)


def tunes(n_steps=9):
    parts = {"train": [np.ones((n_steps, 88))], "validation": [np.ones((4, 88))]}
    return lambda data, settings, model: SimpleNamespace(parts=parts, metadata={})


def only_count(replace=setattr):
    """Replace reading music, compiling and training in this process."""
    replace(experiment_music, "read_music", tunes())
    replace(experiment_run, "new_model", Model)
    replace(experiment_run, "learn", learn)
    replace(results, "write_plots", lambda folder, study: [])
    replace(os, "fsync", lambda file: None)


@pytest.fixture
def counting(monkeypatch):
    only_count(monkeypatch.setattr)


def find(folder, trials, space=SPACE, **options):
    """Search with a journal, which is faster than the default."""
    options = {"progress": False, "storage": folder / "search.journal", **options}
    return tuning.search(space, "music", trials, folder, **options)


def states(found):
    return [row["state"] for row in found.trials]


@pytest.mark.parametrize("validation, score", (([7.0, 5.0, 6.0], 5.0), ([5.0, 6.0, 7.0], 5.0)))
def test_the_score_of_a_trial_is_its_best_validation(
    counting, tmp_path, monkeypatch, validation, score
):
    """Also where it is neither the first nor the last."""

    def rise_again(model, settings, music, progress, callbacks):
        history = History(cost=[1.0] * 3, validation=validation, epochs=3)
        callbacks[0].on_epoch(model, history)
        return history

    monkeypatch.setattr(experiment_run, "learn", rise_again)
    found = find(tmp_path, 1, {**SPACE, "epochs": 3})
    assert found.best["value"] == score
    assert found.best["best_epoch"] == 1 + validation.index(score)


def test_a_search_prunes_and_comes_near_the_best(counting, tmp_path):
    found = find(tmp_path / "a", 30, seed=1)
    assert set(states(found)) == {"complete", "pruned"} and len(found.trials) == 30
    assert 0.005 < found.best["learning_rates"][0] < 0.02
    for row in found.trials:  # not before a fifth of the epochs, nor before five are complete
        assert row["state"] == "complete" or (row["epochs"] >= 2 and row["number"] >= 5)
    late = [abs(np.log10(row["learning_rates"][0]) + 2) for row in found.trials]
    assert np.median(late[20:]) < np.median(late[:10]) / 2  # TPE, not chance
    assert len({row["seed"] for row in found.trials}) == 30


@pytest.mark.parametrize(("n_epochs", "first"), ((10, 2), (15, 3), (40, 8)))
def test_a_trial_may_be_pruned_after_a_fifth_of_its_epochs(
    counting, tmp_path, monkeypatch, n_epochs, first
):
    made, pruner = [], optuna.pruners.MedianPruner

    def recorded(*arguments):
        made.append(arguments)
        return pruner(*arguments)

    monkeypatch.setattr(optuna.pruners, "MedianPruner", recorded)
    find(tmp_path, 1, {**SPACE, "epochs": n_epochs})
    assert made[-1] == (5, first)


def test_a_trial_is_not_pruned_after_its_last_epoch():
    reported, calls = [], []
    trial = SimpleNamespace(report=lambda *each: reported.append(each), should_prune=lambda: True)
    callback = trials.PruningCallback(trial, 3, lambda: calls.append(1))
    history = History()
    for validation, is_pruned in ((5.0, True), (4.0, True), (6.0, False)):
        history.validation.append(validation)
        history.epochs += 1
        assert callback.on_epoch(None, history) == callback.is_pruned == is_pruned
    assert reported == [(5, 1), (4, 2), (4, 3)] and len(calls) == 3  # the best so far


def test_a_search_whose_best_trial_is_worse_than_the_baseline_says_so(
    counting, tmp_path, monkeypatch
):
    monkeypatch.setattr(experiment_music, "read_music", tunes(999))
    message = r"best validation is \d.* worse than the baseline of \d"
    with pytest.warns(UserWarning, match=message) as warned:
        find(tmp_path, 2)
    assert len(warned) == 1 and warned[0].filename == __file__


def test_without_a_terminal_each_trial_is_a_line(counting, tmp_path, capsys):
    found = find(tmp_path, 4, seed=1, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        f"search: {k} of 4 trials" for k in (1, 2, 3, 4)
    ]
    assert f"best={found.best['value']:.3f}" in lines[-1]
    find(tmp_path, 6, progress=True)  # four are finished
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in lines][-2:] == [
        f"search: {k} of 6 trials" for k in (5, 6)
    ]


def test_a_search_goes_on(counting, tmp_path, monkeypatch):
    whole = find(tmp_path / "a", 14, seed=1)
    for options in ({}, {"storage": None}):
        folder = tmp_path / f"b{len(options)}"
        assert find(folder, 6, seed=1, **options).trials == [
            {**row, "seconds": pytest.approx(row["seconds"], abs=60)} for row in whole.trials[:6]
        ]
        found = find(folder, 14, **options)  # the seed is in the storage
        assert [row["learning_rates"] for row in found.trials] == [
            row["learning_rates"] for row in whole.trials
        ]
        assert len(find(folder, 3, **options).trials) == 14  # nothing is left to do
    with pytest.raises(ValueError, match="of another search: epochs '10', not '11'"):
        find(tmp_path / "b0", 20, {**SPACE, "epochs": 11})
    with pytest.raises(ValueError, match="of another search: seed '1', not '2'"):
        find(tmp_path / "b0", 20, seed=2)
    monkeypatch.setattr(experiment_music, "read_music", tunes(8))
    with pytest.raises(ValueError, match="of another search: music '1 tunes, 9 steps"):
        find(tmp_path / "b0", 20)


def test_a_folder_may_have_any_name(counting, tmp_path):
    folder = tmp_path / "a?b {c} #%20"
    find(folder, 1, storage=None)
    assert len(find(folder, 2, storage=None).trials) == 2
    assert {path.name for path in folder.iterdir()} == {"trials.csv", "best.toml", "search.db"}


def test_what_is_there_is_not_replaced(counting, tmp_path):
    for name in results.FILES:
        (tmp_path / name).write_text("mine")
        with pytest.raises(FileExistsError, match=f"{name} already exists.*search.journal"):
            find(tmp_path, 1)
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    assert len(results.FILES) == 6


def test_what_is_read_is_not_written(counting, tmp_path):
    find(tmp_path, 1, storage=None)  # later searches in this folder continue it
    best = tmp_path / "best.toml"
    best.write_text("learning_rates = {low = 1, high = 2}")
    (tmp_path / "model.npz").symlink_to(best)
    for space, data in (
        (best, "music"),
        (SPACE, best),
        ({**SPACE, "start_from": str(tmp_path / "model")}, "music"),
    ):
        with pytest.raises(ValueError, match="best.toml is read or written twice"):
            tuning.search(space, data, 2, tmp_path, progress=False)
    assert best.read_text() == "learning_rates = {low = 1, high = 2}"
    space = tmp_path / "space.toml"
    space.write_text("learning_rates = {low = 1, high = 2}")
    for storage in (space, f"sqlite:///{space}"):
        with pytest.raises(ValueError, match="space.toml is read or written twice"):
            tuning.search(space, "music", 2, tmp_path / "new", storage=storage, progress=False)


def job_and_study(tmp_path):
    """Return a search for one trial, which other processes may have begun."""
    storage = f"sqlite:///{tmp_path}/search.db"
    study = trials.open_study(storage, dict(ABOUT))
    return trials.Job(read({**SPACE, "data": "music"}), storage, 1, ABOUT), study


def test_a_training_that_diverges_does_not_end_the_search(counting, tmp_path, monkeypatch, capsys):
    def explode(model, settings, music, progress, callbacks):
        if settings.learning_rates[0] > 0.01:
            raise TrainingDiverged("the cost became nan")
        return learn(model, settings, music, progress, callbacks)

    monkeypatch.setattr(experiment_run, "learn", explode)
    found = find(tmp_path, 8, seed=1)
    assert "diverged" in states(found) and len(found.trials) == 8
    assert found.best["learning_rates"][0] < 0.01
    assert "diverged: the cost became nan" in capsys.readouterr().err
    with pytest.raises(ValueError, match="none of 3 trials was completed.* diverged: the cost"):
        find(tmp_path / "all", 3, {**SPACE, "learning_rates": {"low": 0.1, "high": 0.2}})


def test_any_other_error_ends_it(counting, tmp_path, monkeypatch):
    def fail(model, settings, *others):
        raise ValueError("dropout=2 must be smaller than 1")

    monkeypatch.setattr(experiment_run, "learn", fail)
    with pytest.raises(ValueError, match="dropout=2 must be"):
        find(tmp_path, 3)
    monkeypatch.setattr(experiment_run, "learn", learn)
    found = find(tmp_path, 2)
    assert states(found) == ["failed", "complete", "complete"]
    assert found.trials[0]["error"] == "ValueError: dropout=2 must be smaller than 1"


def test_a_storage_that_fails_ends_it_with_a_clear_error(counting, tmp_path, monkeypatch):
    def damage(model, settings, music, progress, callbacks):
        (tmp_path / "search.db").write_bytes(b"garbage" * 9000)
        return learn(model, settings, music, progress, callbacks)

    monkeypatch.setattr(experiment_run, "learn", damage)
    with pytest.raises(ValueError, match="search.db cannot be used as the storage of a search"):
        find(tmp_path, 3, storage=None)


def test_ctrl_c_keeps_what_was_found_and_the_trial_is_run_again(counting, tmp_path, monkeypatch):
    n = 0

    def stop(model, settings, music, progress, callbacks):
        nonlocal n
        n += 1
        history = learn(model, settings, music, progress, callbacks)
        history.interrupted = n == 3  # as after the first Ctrl-C
        return history

    monkeypatch.setattr(experiment_run, "learn", stop)
    find(tmp_path, 1, seed=1)
    found = find(tmp_path, 5)
    assert found.interrupted and states(found) == ["complete", "complete", "interrupted"]
    assert found.settings["learning_rates"] == found.best["learning_rates"]
    again = find(tmp_path, 5)
    assert not again.interrupted and states(again) == [*states(found), *["complete"] * 3]
    stopped, rerun = again.trials[2:4]
    assert (rerun["learning_rates"], rerun["seed"]) == (stopped["learning_rates"], stopped["seed"])


def let_hearts_stop(folder):
    """Make all heartbeats older than `trials.GRACE`; return the ids of their trials."""
    with sqlite3.connect(folder / "search.db") as database:
        database.execute("UPDATE trial_heartbeats SET heartbeat = '2000-01-01 00:00:00'")
        found = database.execute("SELECT trial_id FROM trial_heartbeats").fetchall()
    database.close()
    return found


def die_in_a_trial(folder):
    """Leave the state of a process that was killed in a trial, after its first heartbeat."""
    study = trials.open_study(f"sqlite:///{folder}/search.db")
    trial = study.ask()
    trial.set_user_attr("seed", trial.user_attrs.get("seed", 7))
    trial.suggest_float("learning_rates", 1e-4, 1e-1, log=True)
    study._storage.record_heartbeat(trial._trial_id)
    return study


def test_a_killed_process_s_trial_is_run_again(counting, tmp_path):
    find(tmp_path, 1, storage=None)
    die_in_a_trial(tmp_path)
    assert states(find(tmp_path, 2, storage=None)) == ["complete", "running", "complete"]
    assert let_hearts_stop(tmp_path)
    found = find(tmp_path, 3, storage=None)
    assert states(found) == ["complete", "interrupted", "complete", "complete"]
    first, rerun = found.trials[1], found.trials[3]
    assert (rerun["learning_rates"], rerun["seed"]) == (first["learning_rates"], first["seed"])


def test_a_trial_that_kills_its_process_again_and_again_is_given_up(counting, tmp_path):
    finished(f"sqlite:///{tmp_path}/search.db")
    for _ in range(trials.MAX_RETRIES + 1):
        study = die_in_a_trial(tmp_path)
        assert let_hearts_stop(tmp_path)
        optuna.storages.fail_stale_trials(study)
    assert len({trial.params["learning_rates"] for trial in study.trials}) == 1
    assert {trial.state.name for trial in study.trials} == {"FAIL"}


def test_in_a_journal_another_trial_takes_the_place_of_a_lost_one(counting, tmp_path):
    find(tmp_path, 1)
    lost = trials.open_study(str(tmp_path / "search.journal")).ask()
    lost.suggest_float("learning_rates", 1e-4, 1e-1, log=True)
    assert states(find(tmp_path, 3)) == ["complete", "running", "complete", "complete"]


def test_a_process_that_was_taken_for_dead_goes_on_with_another_trial(
    counting, tmp_path, monkeypatch
):
    n = 0

    def taken(model, settings, music, progress, callbacks):
        nonlocal n
        n += 1
        if n == 1:
            while not let_hearts_stop(tmp_path):  # the first beat may be under way
                pass
            trials.run_trial(*job_and_study(tmp_path), Music({}, {}))  # runs it again
        return learn(model, settings, music, progress, callbacks)

    monkeypatch.setattr(experiment_run, "learn", taken)
    trials.run_trial(*job_and_study(tmp_path), Music({}, {}))
    found = results.rows(read(SPACE), job_and_study(tmp_path)[1].trials)
    assert [row["state"] for row in found] == ["interrupted", "complete"]
    assert found[0]["learning_rates"] == found[1]["learning_rates"]


CHILD = """
import sys, time
sys.path.insert(0, TESTS)
import test_tuning
def learn(*arguments):
    time.sleep(0.05)
    return test_tuning.learn(*arguments)
test_tuning.only_count()
test_tuning.experiment_run.learn = learn
test_tuning.find(test_tuning.Path(FOLDER), 8, storage=STORAGE)
"""


def test_processes_share_a_storage(counting, tmp_path, storage, monkeypatch):
    names = {"TESTS": os.path.dirname(__file__), "FOLDER": f"{tmp_path}/other", "STORAGE": storage}
    script = functools.reduce(
        lambda text, name: text.replace(name, repr(names[name])), names, CHILD
    )
    command = [sys.executable, "-W", "ignore:the best validation", "-c", script]
    other = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def wait(model, settings, music, progress, callbacks):
        time.sleep(0.05)
        return learn(model, settings, music, progress, callbacks)

    monkeypatch.setattr(experiment_run, "learn", wait)
    while not (tmp_path / "other" / "trials.csv").exists():
        assert other.poll() is None
        time.sleep(0.02)
    find(tmp_path / "here", 8, storage=storage)
    assert (other.wait(60), other.stderr.read()) == (0, "")
    other.stderr.close()
    found = trials.open_study(storage).trials
    assert 8 <= len(found) <= 9 and {trial.state for trial in found} <= set(trials.FINISHED)
    for values in (
        [t.params["learning_rates"] for t in found],
        [t.user_attrs["seed"] for t in found],
    ):
        assert len(set(values)) == len(found)  # none was run twice
    assert not list(tmp_path.glob("*.lock"))


SMALL = """
epochs = 3
validation = 0.5
learning_rates = {low = 1e-3, high = 1e-1, log = true}
units = {choices = [[3, 4, 5], [5, 4, 3]]}
output = "found.npz"
"""


def count_elsewhere(job, shares):
    """Run a trial in a process of a pool."""
    only_count()
    trials.run_elsewhere(job, shares)


def test_a_search_with_one_worker_stays_in_this_process(counting, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "run_elsewhere", None)
    assert len(find(tmp_path, 2).trials) == 2


def test_trials_in_processes(counting, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "run_elsewhere", count_elsewhere)
    found = find(tmp_path, 4, workers=2)
    assert set(states(found)) <= {"complete", "pruned"} and len(found.trials) == 4
    if hasattr(os, "sched_getaffinity") and n_cores() > 1:
        assert all(row["cores"] < n_cores() for row in found.trials)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
@pytest.mark.parametrize(
    ("name", "cores"),
    (("LokyProcess-2", {5}), ("LokyProcess-1:3", {6, 7}), ("SpawnPoolWorker-1", None)),
)
def test_only_a_process_of_the_search_binds_itself(name, cores, monkeypatch):
    """A daemon that runs trials itself keeps its cores; children of children have two numbers."""
    bound, begun = [], ("study", "music")
    monkeypatch.setattr(multiprocessing, "current_process", lambda: SimpleNamespace(name=name))
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cores: bound.append(set(cores)))
    monkeypatch.setattr(trials, "_begun", lambda job: begun)
    monkeypatch.setattr(trials, "run_trial", lambda job, *arguments: bound.append(arguments))
    trials.run_elsewhere("job", [[5], [6, 7]])
    assert bound == [*([cores] if cores else []), begun]


def test_a_process_that_dies_ends_the_search(counting, tmp_path, monkeypatch):
    def die(*arguments):
        raise concurrent.futures.BrokenExecutor

    monkeypatch.setattr(study, "in_processes", die)
    with pytest.raises(ChildProcessError, match="a process of the search died.*continues"):
        find(tmp_path, 3, workers=2)


def test_trials_on_dask(counting, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        found = find(tmp_path, 6, cluster=client, storage=None)
    assert set(states(found)) <= {"complete", "pruned"} and len(found.trials) == 6


# ---- results


def test_the_best_configuration():
    space = read({**SPACE, "units": {"choices": [[3, 4, 5], [6, 7, 8]]}, "log": "a"})
    row = {
        "state": "complete",
        "best_epoch": 4,
        "units": [6, 7, 8],
        "learning_rates": [0.1],
        "seed": 3,
    }
    rows = [
        {**row, "number": 0, "value": 2.0},
        {**row, "number": 1, "value": 1.0},
        {**row, "number": 2, "value": 1.0},
        {**row, "number": 3, "value": 0.5, "state": "pruned"},
    ]
    best: Any = results.best_of(rows)
    assert best is rows[1]
    assert results.best_settings(space, best) == {
        "epochs": 4, "learning_rates": [0.1], "units": [6, 7, 8], "seed": 3, "log": "a",
        "classic": True,
    }  # fmt: skip


def test_the_table_has_the_ten_best_trials():
    space = read({**SPACE, "units": {"choices": [[3, 4, 5], [6, 7, 8]]}})
    row = {"state": "complete", "best_epoch": 4, "epochs": 10, "seconds": 61.5}
    row |= {"units": [6, 7, 8], "learning_rates": [0.012345]}
    rows = [{**row, "number": n, "value": 20.0 - n} for n in range(12)]
    pruned = {**row, "number": 12, "value": 0.5, "state": "pruned"}
    failed = {**row, "number": 13, "value": None, "state": "failed"}
    header, *lines = results.table(space, [failed, pruned, *rows]).splitlines()
    names = ["number", "state", "value", "best epoch", "epochs", "seconds", "learning rates"]
    assert re.split("  +", header.strip()) == [*names, "units"]
    cells = ["11", "complete", "9", "4", "10", "61.5", "0.01235", "6 7 8"]
    assert re.split("  +", lines[0].strip()) == cells
    assert [int(line.split()[0]) for line in lines] == [*range(11, 1, -1)]
    assert {len(line) for line in lines} == {len(header)}
    lines = results.table(space, [failed, pruned, rows[0]]).splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["complete", "pruned"]
    assert results.table(space, [failed]) == ""


def test_plots_of_a_search_with_trials_of_every_kind(tmp_path, monkeypatch):
    study = finished(tmp_path / "search.journal", 9.0)
    names = ["history.png", "importances.png", "slice.png", "learning.png"]
    with trials.quiet("x"):
        assert [path.name for path in results.write_plots(tmp_path, study)][-2:] == names[-2:]
    for n in range(6):
        trial = study.ask()
        trial.suggest_float("learning_rates", 1e-4, 1e-1, log=True)
        trial.suggest_categorical("units", ["[3, 4, 5]", "[6, 7, 8]"])
        trial.report(9 - n, 1)
        if n in (0, 3):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif n == 1:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, 8.0 - n)
    drawn, savefig = [], plt.Figure.savefig

    def save_and_keep(self, *arguments, **options):
        drawn.append(self.axes[0])
        savefig(self, *arguments, **options)

    monkeypatch.setattr(plt.Figure, "savefig", save_and_keep)
    paths = results.write_plots(tmp_path, study)
    assert [path.name for path in paths] == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    history, _, _, learning = drawn
    complete = [[0, 9], [3, 6], [5, 4], [6, 3]]  # number and score
    assert history.collections[0].get_offsets().tolist() == complete
    assert history.get_ylabel() == learning.get_ylabel() == "nats per step"
    assert sorted(line.get_ydata()[0] for line in learning.lines) == [4, 5, 7, 8]
    assert learning.get_title() == "Best validation so far"
    assert results.write_plots(tmp_path, finished(tmp_path / "other")) == []


def test_labels_of_the_slice_plot_do_not_overlap(tmp_path, monkeypatch):
    study = optuna.create_study()
    for n in range(8):
        trial = study.ask()
        trial.suggest_float("learning_rates", 1e-4, 1e-1, log=True)
        trial.suggest_float("bound", 0.2, 10, log=True)
        trial.suggest_categorical("optimiser", ["rmsprop", "momentum", "adam"])
        trial.suggest_categorical("cost", ["cross_entropy", "squared_error"])
        study.tell(trial, 8.0 - n)
    figures = []
    monkeypatch.setattr(plt, "close", figures.append)
    results.write_plots(tmp_path, study)
    monkeypatch.undo()
    (sliced,) = (figure for figure in figures if figure.get_suptitle() == "Slice Plot")
    boxes = []
    for axes in sliced.axes[:4]:  # without the colour bar
        for label in axes.get_xticklabels(which="both"):
            low, high = axes.get_xlim()
            if label.get_text() and low <= label.get_position()[0] <= high:
                boxes.append(label.get_window_extent())
    boxes.sort(key=lambda box: box.x0)
    assert len(boxes) > 10
    assert all(left.x1 <= right.x0 + 1 for left, right in zip(boxes, boxes[1:]))
    for figure in figures:
        plt.close(figure)


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    for k in range(4):
        roll = np.zeros((30, 88))
        for t in range(30):
            roll[t, [30 + t * (k + 1) % 13, 34 + t * (k + 1) % 13]] = 1
        midiwrite(folder / f"{k}.mid", roll, (21, 109), 0.3)
    return folder


@pytest.mark.slow
def test_from_a_space_to_a_model(music, tmp_path, capsys, monkeypatch):
    """The best configuration gives the model of the best trial."""
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text(SMALL, "utf8")
    command = ("search", "space.toml", music, "--trials", 1, "--seed", 5, "--quiet")
    assert run(*command, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    with open("search/trials.csv", newline="", encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows] == [row["value"] for row in found["trials"]]
    assert {row["units"] for row in rows} <= {"3 4 5", "5 4 3"}
    assert run("train", "--config", "search/best.toml", "--quiet", "--json") in (0, 3)
    trained = json.loads(capsys.readouterr().out)
    assert trained["validation"] == min(row["value"] for row in found["trials"])
    assert trained["output"] == "found.npz" and trained["epochs"] == found["best"]["best_epoch"]
    assert run(*command) == 0  # nothing is left to do
    out = capsys.readouterr().out
    assert "1 trial: 1 complete" in out and "rnn4music train --config search/best.toml" in out


def test_a_store_says_which_pitches(music, tmp_path, monkeypatch):
    """The pitch range reaches the searching process, its workers, and the best configuration."""
    store.convert(music, tmp_path / "store", pitch_range=(24, 100), progress=False)
    widths = []

    def count(model, settings, *others):
        widths.append(model.io_length)
        return learn(Model(settings, {}), settings, *others)

    monkeypatch.setattr(experiment_run, "learn", count)
    data, space = tmp_path / "store", {**SPACE, "validation": 0.5}
    found = tuning.search(space, data, 1, tmp_path / "out", progress=False)
    assert found.settings and found.settings["data"] == str(data) and widths == [76]
    with pytest.raises(ValueError, match=r"pitch_range \[24, 100\], not \[21, 109\]"):
        other = {**space, "pitch_range": [21, 109]}
        tuning.search(other, data, 1, tmp_path / "other", progress=False)


def test_a_search_needs_music():
    with pytest.raises(ValueError, match="there is no music to learn from"):
        tuning.search(SPACE)


def test_errors_are_reported_without_a_traceback(music, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text(SMALL, "utf8")
    Path("notes.txt").write_text("no journal", "utf8")
    for arguments, message in (
        ((music, "--trials", 0), "trials must be at least 1, but is 0"),
        ((music, "--workers", 0), "workers must be at least 1, but is 0"),
        ((tmp_path / "none",), "none"),
        ((music, "--storage", "notes.txt"), "notes.txt cannot be used as the storage of a search"),
        ((music, "--storage", "no/such/journal"), "there is no folder"),
        ((music, "--storage", "postgre://host/name"), "--storage is not the URL of a database"),
        ((music, "--storage", "://host"), "--storage is not the URL of a database"),
    ):
        assert run("search", "space.toml", "--trials", 2, *arguments) == 1
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error and "unexpected" not in error
    assert Path("notes.txt").read_text("utf8") == "no journal"
    Path("space.toml").write_text(SMALL.replace("0.5", "0"), "utf8")
    assert run("search", "space.toml", music, "--trials", 2) == 1
    assert "validation = 0 holds out none" in capsys.readouterr().err
    Path("space.toml").write_text(SMALL + "dropout = 2", "utf8")  # an error of a trial
    assert run("search", "space.toml", music, "--trials", 2, "--quiet") == 1
    error = capsys.readouterr().err
    assert "dropout must be" in error and "unexpected" not in error


def test_without_optuna_the_remedy_is_named():
    script = """
        import sys
        sys.modules["optuna"] = None
        from rnn4music import cli, tuning
        try:
            tuning.search({}, "music")
        except ImportError as error:
            print(error)
        cli.main(["search", "space.toml", "music", "--trials", "2"])
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True
    )
    for text in (result.stdout, result.stderr):
        assert "pip install 'rnn4music[search]'" in text and "Traceback" not in text, result
