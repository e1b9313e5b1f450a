"""Searches: what is tried, the journal, trials that are given back, and what is left."""

import contextlib
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midi import midiwrite
from rnn4music import cli, search_space
from rnn4music.data import store
from rnn4music.experiment import config
from rnn4music.training.history import History
from rnn4music.training.loop import TrainingDiverged

optuna = pytest.importorskip("optuna", reason="searches need Optuna")

from rnn4music import (  # noqa: E402
    search,
    search_fleets,
    search_journal,
    search_owners,
    search_results,
    search_trials,
)

SPACE = {"epochs": 10, "rate": {"low": 1e-4, "high": 1e-1, "log": True}}
ABOUT = {"seed": "1", "music": "three tunes"}


# ---- the space


def test_the_space_of_the_documentation(tmp_path):
    page = Path(__file__).parent.parent / "docs" / "command_line.md"
    (block,) = re.findall(r"`space.toml`:\n\n```toml\n(.*?)```", page.read_text("utf8"), re.S)
    (tmp_path / "space.toml").write_text(block, "utf8")
    space = search_space.read(tmp_path / "space.toml")
    assert space.fixed == {"epochs": 30, "validation": 0.2}
    assert space.searched["batch"] == search_space.Range(int, 2, 10, 2)
    assert space.searched["rate"] == search_space.Range(float, 1e-4, 1e-2, log=True)
    assert space.searched["units"].values == [[100, 100, 100], [200, 200, 200]]
    assert search_space.read(space.content()) == space  # as a worker gets it


@pytest.mark.parametrize(
    ("line", "message"),
    (
        ("epochs = 3", "there is nothing to search for"),
        ("rates = {low = 1, high = 2}", "no setting 'rates'; did you mean rate?"),
        ("rate = {low = 1, high = 'much'}", "rate.high must be a number, but is 'much'"),
        ("batch = {low = 1.5, high = 3}", "batch.low must be a whole number"),
        ("rate = {low = 2, high = 1}", "rate.low is 2.0 and must be smaller than high, 1.0"),
        ("rate = {low = 1, high = 1}", "must be smaller than high"),
        ("rate = {low = 0, high = 1, log = true}", "low above 0, and has no step; low is 0.0"),
        ("rate = {low = 1, high = 2, log = 1}", "rate.log must be true or false, but is 1"),
        ("rate = {low = 1, high = inf}", "rate.high must be finite"),
        ("rate = {low = 1, high = 2, base = 3}", "but has low, high, base"),
        ("rate = {low = 1}", "{choices = […]}, but has low"),
        ("rate = {}", "but has nothing"),
        ("batch = {low = 4, high = 32, step = 5}", "steps of 5 do not lead to high = 32"),
        ("batch = {low = 4, high = 32, step = 0}", "steps of 0 do not lead"),
        ("rate = {low = 0.0, high = 0.1, step = 1e-320}", "steps of 1e-320 do not lead"),
        (f"batch = {{low = 1, high = {2**53 + 1}}}", "batch.high must be finite and at least 1"),
        ("rate = {low = -1, high = 1}", "space.toml: rate.low must be finite and at least 0, but"),
        ("rate = {choices = [[0.1, 0.2]]}", "rate.choices must be one number or four, but has"),
        ("rate = {choices = [0.1, -0.1]}", "rate.choices must be finite and at least 0"),
        ("dropout = {low = 0, high = 3}", "dropout.high must be finite and at least 0 and smaller"),
        ("averaging = {low = 0, high = 1}", "averaging.high must be"),
        ("rate_decay = {low = 0, high = 0.5}", "rate_decay.low must be finite and larger than 0"),
        ("weight_noise = {low = -1, high = 1}", "weight_noise.low must be"),
        ("sparsity = {low = -1, high = 1}", "sparsity.low must be"),
        ("clip = {low = 0, high = 1}", "clip.low must be"),
        ("epsilon = {low = 0, high = 1}", "epsilon.low must be"),
        ("batch = {low = 0, high = 3}", "batch.low must be finite and at least 1 and smaller"),
        ("batch = {choices = [0, 3]}", "batch.choices must be finite and at least 1"),
        ("length = {low = 1, high = 3}", "length.low must be finite and at least 2"),
        ("units = {choices = [[1, 0, 1]]}", "units.choices must be finite and at least 1"),
        ("patience = {low = 0, high = 3}", "patience.low must be"),
        ("decay_patience = {low = 0, high = 3}", "decay_patience.low must be"),
        ("updates_per_minibatch = {low = 0, high = 3}", "updates_per_minibatch.low must be"),
        ("units = {low = 4, high = 32}", "units has no range: give {choices = […]}"),
        ("units = {choices = [4, 5]}", "units.choices must be a list of 3, each a whole number"),
        ("windows = {low = 'all', high = 'start'}", "windows has no range"),
        ("windows = {choices = ['some']}", "one of all, random, start, but is 'some'"),
        ("windows = {choices = []}", "windows.choices must be a list of values, but is []"),
        ("batch = {choices = [3, 4, 3]}", "batch.choices has a value twice"),
        ("output = {choices = ['a', 'b']}", "output cannot be searched"),
        ("checkpoint = {choices = ['a', 'b']}", "checkpoint cannot be searched"),
        ("data = {choices = ['a', 'b']}", "data cannot be searched: music that is read otherwise"),
        ("cache = {choices = ['a', 'b']}", "cache cannot be searched"),
        ("keys = {choices = ['own', 'c']}", "keys cannot be searched"),
        ("validation = {low = 0.1, high = 0.2}", "validation cannot be searched"),
        ("seed = {low = 1, high = 2}", "seed cannot be searched: each trial has one of its own"),
        ("epochs = {low = 1, high = 2}", "epochs cannot be searched"),
    ),
)
def test_a_space_is_checked(tmp_path, line, message):
    (tmp_path / "space.toml").write_text(line, "utf8")
    with pytest.raises(ValueError, match=re.escape(message)):
        search_space.read(tmp_path / "space.toml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
def test_nothing_waits_for_a_fifo(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for read in (search_space.read, search_journal.open_study):
        with pytest.raises(OSError, match="not a regular file"):
            read(fifo)


def test_a_space_that_python_gives():
    space = search_space.read({"units": (3, 4, 5), "rate": {"low": 1, "high": 2}})
    assert space.fixed == {"units": [3, 4, 5]}
    assert space.settings({"rate": 1.5}) == {"units": [3, 4, 5], "rate": [1.5]}
    with pytest.raises(TypeError, match="must hold numbers, texts, lists and dicts"):
        search_space.read({"rate": {"low": 1, "high": np.ones(2)}})


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(data=texts, rate=st.lists(st.floats(allow_nan=False), min_size=1), seed=st.integers(0))
def test_settings_survive_a_toml_file(tmp_path_factory, data, rate, seed):
    path = tmp_path_factory.mktemp("toml") / "best.toml"
    settings = {"data": data, "rate": rate, "seed": seed, "units": [1, 2, 3], "resume": True}
    path.write_bytes(config.as_toml({**settings, "log": None}).encode())
    assert config.read(path) == settings


# ---- the journal


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "search.journal"


def finished(journal, *values, about=ABOUT):
    """A study with these complete trials."""
    study = search_journal.open_study(journal, about)
    for value in values:
        trial = study.ask()
        trial.set_user_attr("seed", 7)
        trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        study.tell(trial, value)
    return study


def values(journal):
    return [t.value for t in search_journal.open_study(journal, ABOUT).trials]


def test_what_a_killed_process_left_half_written_is_cut_off(journal):
    """At every byte of the last two lines."""
    finished(journal, 3.0, 2.0)
    whole = journal.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for n in {last - 40, last - 1, last, last + 1, last + 90, len(whole) - 1, len(whole)}:
        journal.write_bytes(whole[:n])
        before = values(journal)
        assert before == [3.0, 2.0 if n == len(whole) else None]
        finished(journal, 1.0)
        assert values(journal) == [*before, 1.0]
        assert journal.read_bytes().startswith(whole[: whole[:n].rfind(b"\n") + 1])


def test_a_study_that_runs_mends_what_another_process_left(journal):
    study = finished(journal, 3.0)
    with open(journal, "ab") as file:
        file.write(b'{"op_code":4,"wor')
    study.tell(study.ask(), 2.0)
    assert values(journal) == [3.0, 2.0]


def test_damage_inside_is_refused(journal):
    finished(journal, 3.0, 2.0)
    lines = journal.read_bytes().split(b"\n")
    changed = lines[4].replace(b'"trial_id":0', b'"trial_id":1')  # which JSON would not notice
    assert changed != lines[4]
    for damage in (changed, b"", b"garbage", b"\xff\x00", lines[4][:-9], b"[]", b"[" * 10**5):
        journal.write_bytes(b"\n".join([*lines[:4], damage, *lines[5:]]))
        with pytest.raises(ValueError, match="search.journal is damaged in line 5; what came"):
            search_journal.open_study(journal, ABOUT)
    journal.write_bytes(b"\n".join([*lines[:4], b""]))  # the advice
    assert values(journal) == [None]


def test_damage_under_way_is_refused(journal):
    study = finished(journal, 3.0)
    with open(journal, "ab") as file:
        file.write(b'{"op_code":4}\n')
    with pytest.raises(ValueError, match=r"damaged in line \d+"):
        study.ask()


@pytest.mark.parametrize("content", (b"my notes", b"MThd\n\0\0", b"{}\n", b"\0" * 90))
def test_no_other_file_is_taken_for_a_journal(journal, content):
    journal.write_bytes(content)
    with pytest.raises(ValueError, match="is not the journal of a search"):
        search_journal.open_study(journal, ABOUT)
    assert journal.read_bytes() == content


def test_a_journal_belongs_to_one_search(journal):
    finished(journal, 3.0)
    message = "of another search: epochs is missing there and 5 here; music is three tunes there"
    with pytest.raises(ValueError, match=message):
        search_journal.open_study(journal, {**ABOUT, "music": "two tunes", "epochs": "5"})
    with pytest.raises(ValueError, match="seed is 1 there and 2 here"):
        search_journal.open_study(journal, {**ABOUT, "seed": "2"})
    study = search_journal.open_study(journal, {**ABOUT, "seed": None})
    assert study.user_attrs["about"]["seed"] == "1"


def test_a_journal_that_cannot_be_written_is_named(journal):
    study = finished(journal)
    (journal.parent / "search.journal.lock").touch()
    journal.unlink()
    journal.mkdir()
    (journal.parent / "search.journal.lock").unlink()
    with pytest.raises(OSError, match="search.journal"):
        study.ask()


# ---- trials, with a training that only counts


class Model:
    """In the place of a network: its validation falls fastest with a rate of 0.01."""

    def __init__(self, settings):
        self.badness = abs(np.log10(settings.rate[0]) + 2)

    def learn(self, n_epochs, callbacks):
        history = History()
        for epoch in range(1, n_epochs + 1):
            history.cost.append(1.0)
            if any([each.on_update(self, history) for each in callbacks]):
                break
            history.validation.append(5 + self.badness + 10 / epoch)
            history.epochs += 1
            if any([each.on_epoch(self, history) for each in callbacks]):
                break
        return history


def learn(model, settings, music, progress, callbacks):
    return model.learn(settings.epochs, callbacks)


@pytest.fixture
def counting(monkeypatch):
    """Nothing is read or compiled."""
    music = SimpleNamespace(parts={"train": [np.ones((9, 88))], "validation": [np.ones((4, 88))]})
    monkeypatch.setattr(search_trials, "read_music", lambda space, data: music)
    monkeypatch.setattr(search_trials.commands_learn, "new_model", Model)
    monkeypatch.setattr(search_trials.commands_learn, "learn", learn)
    monkeypatch.setattr(search_results, "write_plots", lambda folder, study: [])
    monkeypatch.setattr(os, "fsync", lambda file: None)


def find(folder, trials, space=SPACE, **options):
    return search.search(space, "music", trials, folder, **{"progress": False, **options})


def states(found):
    return [row["state"] for row in found.trials]


def test_a_search_prunes_and_comes_near_the_best(counting, tmp_path):
    found = find(tmp_path / "a", 30, seed=1)
    assert set(states(found)) == {"complete", "pruned"} and len(found.trials) == 30
    assert 0.005 < found.best["rate"][0] < 0.02
    for row in found.trials:  # not before a fifth of the epochs, nor before five are complete
        assert row["state"] == "complete" or (row["epochs"] >= 2 and row["number"] >= 5)
    late = [abs(np.log10(row["rate"][0]) + 2) for row in found.trials]
    assert np.median(late[20:]) < np.median(late[:10]) / 2  # TPE, not chance
    assert len({row["seed"] for row in found.trials}) == 30


def test_a_search_goes_on(counting, tmp_path, monkeypatch):
    whole = find(tmp_path / "a", 14, seed=1)
    assert find(tmp_path / "b", 6, seed=1).trials == [
        {**row, "seconds": pytest.approx(row["seconds"], abs=60)} for row in whole.trials[:6]
    ]
    found = find(tmp_path / "b", 14)  # the seed is in the journal
    assert [row["rate"] for row in found.trials] == [row["rate"] for row in whole.trials]
    assert len(find(tmp_path / "b", 3).trials) == 14  # nothing is left to do
    with pytest.raises(ValueError, match="of another search: epochs is 10 there and 11 here"):
        find(tmp_path / "b", 20, {**SPACE, "epochs": 11})
    with pytest.raises(ValueError, match="of another search: seed is 1 there and 2 here"):
        find(tmp_path / "b", 20, seed=2)
    music = SimpleNamespace(parts={"train": [np.ones((8, 88))], "validation": [np.ones((4, 88))]})
    monkeypatch.setattr(search_trials, "read_music", lambda space, data: music)
    with pytest.raises(ValueError, match="of another search: music is 1 tunes, 9 steps"):
        find(tmp_path / "b", 20)


def test_what_is_there_is_not_replaced(counting, tmp_path):
    names = [f"{name}.png" for name in ("history", "importances", "slice", "learning")]
    for name in ("trials.csv", "best.toml", *names):
        (tmp_path / name).write_text("mine")
        with pytest.raises(FileExistsError, match=f"{name} is there already.*search.journal"):
            find(tmp_path, 1)
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_what_is_read_is_not_written(counting, tmp_path):
    find(tmp_path, 1)  # from now on a search here goes on
    best = tmp_path / "best.toml"
    best.write_text("rate = {low = 1, high = 2}")
    (tmp_path / "model.npz").symlink_to(best)
    for space, data in (
        (best, "music"),
        (SPACE, best),
        ({**SPACE, "start_from": str(tmp_path / "model")}, "music"),
    ):
        with pytest.raises(ValueError, match="best.toml is read, and the search would write over"):
            search.search(space, data, 2, tmp_path, progress=False)
    assert best.read_text() == "rate = {low = 1, high = 2}"
    space = tmp_path / "space.toml"
    space.write_text("rate = {low = 1, high = 2}")
    with pytest.raises(ValueError, match="space.toml is read"):
        search.search(space, "music", 2, tmp_path / "new", storage=space, progress=False)


def job(tmp_path, n_trials):
    return search_trials.Job(SPACE, "music", str(tmp_path / "search.journal"), n_trials, "ours")


def test_one_process_at_a_time_claims_a_trial(counting, tmp_path, monkeypatch):
    study = finished(tmp_path / "search.journal")
    runner = search_trials.Runner(job(tmp_path, 3))

    paths = []

    @contextlib.contextmanager
    def alone(path):
        paths.append(path)
        assert path == tmp_path / "search.journal" and not study.trials
        yield
        (trial,) = study.trials
        assert trial.params and trial.user_attrs["owner"]["pid"] == os.getpid()

    monkeypatch.setattr(search_journal, "alone", alone)
    runner._claim(None)
    assert len(study.trials) == len(paths) == 1


def test_who_has_nothing_to_begin_waits_for_the_others(counting, tmp_path, monkeypatch):
    study = finished(tmp_path / "search.journal")
    outcomes = [None, search_trials.WAIT, None, search_trials.ENOUGH]
    monkeypatch.setattr(search_trials.Runner, "run", lambda self, look: outcomes.pop(0))
    watch = search_fleets.Watch(study, job(tmp_path, 3), lambda found: None, False)
    search_fleets.here(job(tmp_path, 3), None, watch)
    assert not outcomes


def test_a_training_that_diverges_does_not_end_the_search(counting, tmp_path, monkeypatch, capsys):
    def explode(model, settings, music, progress, callbacks):
        if settings.rate[0] > 0.01:
            raise TrainingDiverged("the cost became nan")
        return learn(model, settings, music, progress, callbacks)

    monkeypatch.setattr(search_trials.commands_learn, "learn", explode)
    found = find(tmp_path, 8, seed=1)
    assert "diverged" in states(found) and len(found.trials) == 8
    assert found.best["rate"][0] < 0.01
    assert "diverged: the cost became nan" in capsys.readouterr().err
    with pytest.raises(ValueError, match="none of 3 trials reached its end.* diverged: the cost"):
        find(tmp_path / "all", 3, {**SPACE, "rate": {"low": 0.1, "high": 0.2}})


def test_any_other_error_ends_it(counting, tmp_path, monkeypatch):
    def fail(model, settings, *others):
        raise ValueError("dropout=2 must be smaller than 1")

    monkeypatch.setattr(search_trials.commands_learn, "learn", fail)
    with pytest.raises(ValueError, match="dropout=2 must be"):
        find(tmp_path, 3)
    monkeypatch.setattr(search_trials.commands_learn, "learn", learn)
    found = find(tmp_path, 2)
    assert states(found) == ["failed", "complete", "complete"]
    assert found.trials[0]["error"] == "ValueError: dropout=2 must be smaller than 1"


def test_ctrl_c_keeps_what_was_found_and_the_trial_is_made_again(counting, tmp_path, monkeypatch):
    n = 0

    def stop(model, settings, music, progress, callbacks):
        nonlocal n
        n += 1
        history = learn(model, settings, music, progress, callbacks)
        history.interrupted = n == 3  # as after the first Ctrl-C
        return history

    monkeypatch.setattr(search_trials.commands_learn, "learn", stop)
    find(tmp_path, 1, seed=1)
    study = search_journal.open_study(tmp_path / "search.journal")
    elsewhere = study.ask()
    elsewhere.set_user_attr("owner", {"machine": "another", "search": "another", "worker": None})
    found = find(tmp_path, 5)
    assert found.interrupted and states(found) == ["complete", "complete", "given back"]
    assert found.settings["rate"] == found.best["rate"]
    study.tell(elsewhere, state=optuna.trial.TrialState.FAIL)  # it still ran
    again = find(tmp_path, 5)
    assert not again.interrupted and states(again) == [*states(found), *["complete"] * 3]
    stopped, made = again.trials[2:4]
    assert (made["rate"], made["seed"]) == (stopped["rate"], stopped["seed"])


CHILD = """
import os, signal, sys
import numpy as np
sys.path.insert(0, TESTS)
import test_search
from rnn4music import search, search_trials
from types import SimpleNamespace
def learn(model, settings, music, progress, callbacks):
    LEARN
    return test_search.learn(model, settings, music, progress, callbacks)
music = SimpleNamespace(parts={"train": [np.ones((9, 88))], "validation": [np.ones((4, 88))]})
os.fsync = lambda file: None
search.search_results.write_plots = lambda folder, study: []
search_trials.read_music = lambda space, data: music
search_trials.commands_learn.new_model = test_search.Model
search_trials.commands_learn.learn = learn
search.search(test_search.SPACE, "music", TRIALS, FOLDER, storage=JOURNAL, progress=False)
"""


def child(folder, journal, n, learn="pass"):
    """Another process that searches, as `counting` does."""
    script = CHILD
    names = {"TESTS": os.path.dirname(__file__), "FOLDER": str(folder), "JOURNAL": str(journal)}
    for name, value in {**names, "TRIALS": n}.items():
        script = script.replace(name, repr(value))
    script = script.replace("LEARN", learn)
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)


def test_a_killed_process_s_trial_is_made_again(counting, tmp_path, capsys, monkeypatch):
    journal = tmp_path / "search.journal"
    process = child(tmp_path, journal, 4, "os.kill(os.getpid(), signal.SIGKILL)")
    assert process.wait() == -signal.SIGKILL, process.stderr.read()
    process.stderr.close()
    found = find(tmp_path, 4)
    assert states(found) == ["given back", *["complete"] * 4]
    assert found.trials[1]["rate"] == found.trials[0]["rate"]
    assert "trial 0, begun on" in capsys.readouterr().err
    # a trial that kills its process again and again is given up
    study = search_journal.open_study(journal)
    dead = {"machine": search_owners._machine(), "pid": process.pid, "begun": 1}
    rates = set()
    for _ in range(search_owners.MOST_DEATHS):
        trial = study.ask()
        trial.set_user_attr("owner", dead)
        rates.add(trial.suggest_float("rate", 1e-4, 1e-1, log=True))
        (number,) = search_owners.Lost().among(study.trials)
        said = search_owners.give_back(study, journal, number, died=True)
    assert "is given up: its process died 3 times" in said and len(rates) == 1
    assert not [trial for trial in study.trials if trial.state.name == "WAITING"]


def test_processes_that_die_before_any_trial_are_not_replaced_for_ever(
    counting, tmp_path, monkeypatch, capsys
):
    study, starts = finished(tmp_path / "search.journal"), []

    def start(*arguments):
        starts.append(arguments)
        return SimpleNamespace(
            poll=lambda: -9, wait=lambda seconds: -9, stdin=io.StringIO(), stdout=io.StringIO()
        )

    monkeypatch.setattr(search_fleets, "_start", start)
    monkeypatch.setattr(search_fleets, "POLL", 0)
    watch = search_fleets.Watch(study, job(tmp_path, 3), lambda found: None, False)
    n = 2 * search_owners.MOST_DEATHS
    with pytest.raises(ChildProcessError, match=f"{n + 1} processes died, and no trial"):
        search_fleets.in_processes(job(tmp_path, 3), 2, watch)
    assert len(starts) == 2 + n
    study.tell(study.ask(), 1.0)
    watch.look()
    watch.replace(2)  # counted anew


def test_processes_share_a_journal(tmp_path):
    journal = tmp_path / "search.journal"
    both = [child(tmp_path / name, journal, 12) for name in ("a", "b")]
    assert [(process.wait(60), process.stderr.read()) for process in both] == [(0, ""), (0, "")]
    for process in both:
        process.stderr.close()
    tables = [(tmp_path / name / "trials.csv").read_text("utf8") for name in ("a", "b")]
    assert tables[0] == tables[1]  # both waited for the last one
    rows = list(csv.DictReader(tables[0].splitlines()))
    assert [row["number"] for row in rows] == [str(n) for n in range(12)]  # no more, none twice
    assert len({row["rate"] for row in rows}) == 12
    assert not list(tmp_path.glob("*.lock"))


def test_a_trial_elsewhere_lives_as_long_as_it_gives_signs(counting, tmp_path, monkeypatch):
    journal = tmp_path / "search.journal"
    study = finished(journal)
    trial = study.ask()
    trial.set_user_attr("owner", {"host": "elsewhere", "machine": "another", "pid": 1, "begun": 1})
    now = 0.0
    monkeypatch.setattr(search_owners.time, "monotonic", lambda: now)
    lost = search_owners.Lost()
    for signs in (1, 2):
        assert lost.among(study.trials) == []
        now += search_owners.LOST
        assert lost.among(study.trials) == []
        trial.set_user_attr("pulse", signs)
    assert lost.among(study.trials) == []
    now += search_owners.LOST + 1
    assert lost.among(study.trials) == [0]
    assert search_owners.Lost().among(study.trials) == []  # who just begins to look cannot know
    ours = {**search_owners.owner(), "begun": 1}  # another process had our number
    study.ask().set_user_attr("owner", ours)
    study.ask().set_user_attr("owner", search_owners.owner())
    assert lost.among(study.trials) == [0, 1]


def test_a_process_gives_signs_and_notices_that_it_was_taken_for_dead(
    counting, tmp_path, monkeypatch
):
    monkeypatch.setattr(search_owners, "PULSE", 0.01)
    n = 0

    def taken(model, settings, music, progress, callbacks):
        nonlocal n
        n += 1
        if n == 1:
            study = search_journal.open_study(tmp_path / "search.journal")
            while not study.trials[0].user_attrs.get("pulse", 0) > 1:
                pass
            search_owners.give_back(study, tmp_path / "search.journal", 0)
        return learn(model, settings, music, progress, callbacks)

    monkeypatch.setattr(search_trials.commands_learn, "learn", taken)
    found = find(tmp_path, 2)
    assert states(found) == ["given back", "complete", "complete"]


def test_trials_on_dask(counting, tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        found = find(tmp_path, 6, cluster=client)
    search_trials.runner.cache_clear()
    assert set(states(found)) <= {"complete", "pruned"} and len(found.trials) == 6
    study = search_journal.open_study(tmp_path / "search.journal")
    assert {trial.user_attrs["owner"]["worker"][:9] for trial in study.trials} == {"inproc://"}


def test_a_worker_of_dask_s_that_is_gone(counting, tmp_path):
    """Its trial is given back at once; a scheduler that is gone ends the search."""
    study = finished(tmp_path / "search.journal")
    runner = search_trials.Runner(job(tmp_path, 3))
    trials = [runner._claim(worker) for worker in ("tcp://a:1", "tcp://b:1")]
    watch = search_fleets.Watch(study, job(tmp_path, 3), lambda found: None, False)
    watch.look({"tcp://a:1", "tcp://c:1"})
    assert [trial.state.name for trial in study.trials] == ["RUNNING", "FAIL", "WAITING"]
    assert study.trials[2].system_attrs["fixed_params"] == trials[1].params
    with pytest.raises(ConnectionError, match="the scheduler is gone"):
        search_fleets._addresses(SimpleNamespace(scheduler_info=lambda n_workers: {}))


# ---- results


def test_the_best_configuration():
    space = search_space.read({**SPACE, "units": {"choices": [[3, 4, 5], [6, 7, 8]]}, "log": "a"})
    row = {"state": "complete", "best_epoch": 4, "units": [6, 7, 8], "rate": [0.1], "seed": 3}
    rows = [
        {**row, "number": 0, "value": 2.0},
        {**row, "number": 1, "value": 1.0},
        {**row, "number": 2, "value": 1.0},
        {**row, "number": 3, "value": 0.5, "state": "pruned"},
    ]
    best: Any = search_results.best_of(rows)
    assert best is rows[1]
    assert search_results.best_settings(space, best, "music") == {
        "epochs": 4, "rate": [0.1], "units": [6, 7, 8], "seed": 3, "data": "music", "log": "a",
    }  # fmt: skip


def test_plots_of_a_search_with_trials_of_every_kind(tmp_path):
    study = finished(tmp_path / "search.journal")
    for n in range(6):
        trial = study.ask()
        trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        trial.suggest_categorical("units", ["3 4 5", "6 7 8"])
        trial.report(9 - n, 1)
        if n in (0, 3):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif n == 1:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, 8.0 - n)
    paths = search_results.write_plots(tmp_path, study)
    names = ["history.png", "importances.png", "slice.png", "learning.png"]
    assert [path.name for path in paths] == names
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000
    assert search_results.write_plots(tmp_path, finished(tmp_path / "other", 2.0)) == []


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


SMALL = """
epochs = 3
validation = 0.5
rate = {low = 1e-3, high = 1e-1, log = true}
units = {choices = [[3, 4, 5], [5, 4, 3]]}
output = "found.npz"
"""


def test_from_a_space_to_a_model(music, tmp_path, capsys, monkeypatch):
    """In two processes; the best configuration gives the model of the best trial."""
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text(SMALL, "utf8")
    command = ("search", "space.toml", music, "--trials", 2, "--workers", 2, "--seed", 5, "--quiet")
    assert run(*command, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    with open("search/trials.csv", newline="", encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows] == [row["value"] for row in found["trials"]]
    assert {row["units"] for row in rows} <= {"3 4 5", "5 4 3"}
    study = search_journal.open_study(tmp_path / "search" / "search.journal")
    assert len({trial.user_attrs["owner"]["pid"] for trial in study.trials} - {os.getpid()}) > 0
    assert run("train", "--config", "search/best.toml", "--quiet", "--json") == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["validation"] == min(row["value"] for row in found["trials"])
    assert trained["output"] == "found.npz" and trained["epochs"] == found["best"]["best_epoch"]
    assert run(*command) == 0  # nothing is left to do
    out = capsys.readouterr().out
    assert "2 trials: 2 complete" in out and "rnn4music train --config search/best.toml" in out


def test_a_store_says_which_pitches(music, tmp_path, monkeypatch):
    """To the process that searches, its workers, and the best configuration."""
    store.convert(music, tmp_path / "store", pitch_range=(24, 100), progress=False)
    widths = []

    def new_model(settings):
        low, high = settings.pitch_range
        widths.append((low, high))
        return Model(settings)

    monkeypatch.setattr(search_trials.commands_learn, "new_model", new_model)
    monkeypatch.setattr(search_trials.commands_learn, "learn", learn)
    data, space = tmp_path / "store", {**SPACE, "validation": 0.5}
    found = search.search(space, data, 1, tmp_path / "out", progress=False)
    assert found.settings and found.settings["pitch_range"] == [24, 100]
    assert widths == [(24, 100)]
    with pytest.raises(ValueError, match="the store .* has the pitches from 24 up to 100"):
        other = {**space, "pitch_range": [21, 109]}
        search.search(other, data, 1, tmp_path / "other", progress=False)


def test_a_search_needs_music():
    with pytest.raises(ValueError, match="there is no music to learn from"):
        search.search(SPACE)


def test_errors_are_told_in_a_sentence(music, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text(SMALL, "utf8")
    Path("notes.txt").write_text("no journal", "utf8")
    for arguments, message in (
        ((music, "--trials", 0), "trials must be at least 1, but is 0"),
        ((music, "--workers", 0), "workers must be at least 1, but is 0"),
        ((tmp_path / "none",), "none"),
        ((music, "--storage", "notes.txt"), "notes.txt is not the journal of a search"),
        ((music, "--storage", "no/such/journal"), "no/such/journal: No such file"),
    ):
        assert run("search", "space.toml", "--trials", 2, *arguments) == 1
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error and "unexpected" not in error
    assert Path("notes.txt").read_text("utf8") == "no journal"
    Path("space.toml").write_text(SMALL.replace("0.5", "0"), "utf8")
    assert run("search", "space.toml", music, "--trials", 2) == 1
    assert "validation = 0 holds out none" in capsys.readouterr().err
    Path("space.toml").write_text(SMALL + "dropout = 2", "utf8")  # an error of a trial
    assert run("search", "space.toml", music, "--trials", 2, "--workers", 2, "--quiet") == 1
    error = capsys.readouterr().err
    assert "dropout must be" in error and "unexpected" not in error


def test_without_optuna_there_is_a_cure():
    script = """
        import sys
        sys.modules["optuna"] = None
        from rnn4music import search
        try:
            search.search({}, "music")
        except ImportError as error:
            print(error)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True
    )
    assert "pip install 'rnn4music[search]'" in result.stdout, result.stderr
