"""The command line: its arguments, output, files and exit codes."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import warnings
import wave
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import OF_TINY_MODELS, random_roll, small_model

from benchmarks import choosing
from midi import (
    Beats,
    MidiError,
    canonical_onsets,
    describe,
    midiread,
    midiwrite,
    n_dropped_onsets,
    split_onsets,
)
from rnn4music import RNN4Music, cli, hyperparameters, plots, tuning
from rnn4music._utils import paths
from rnn4music.cli import _common, compose, evaluate, plot
from rnn4music.cli.train import result as result_of_training
from rnn4music.data.keys import find_key, semitones_to_c, transpose
from rnn4music.data.midi_files import load_midi
from rnn4music.data.store import RollStore
from rnn4music.evaluation.baselines import markov_probabilities
from rnn4music.evaluation.scores import score
from rnn4music.experiment import config, inputs, training_music
from rnn4music.experiment import run as experiment_run
from rnn4music.experiment.music import Music, read_music
from rnn4music.experiment.run import Trained, _warn_of_other_steps
from rnn4music.saving import model_card, model_file
from rnn4music.training import config as training
from rnn4music.training import trainer
from rnn4music.training.checkpoints import AnotherTraining, check_same
from rnn4music.training.history import History

pytestmark = OF_TINY_MODELS
SMALL = ["--classic", "--units", "3", "4", "5", "--seed", "1", "--quiet", "--validation", "0.2"]


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def train(*arguments):
    """Train a model, which need not be better than the baseline."""
    assert run("train", *arguments) in (0, _common.ABOVE_BASELINE)


def tune_file(path, k=0, n_steps=40):
    roll = np.zeros((n_steps, 88))
    for t in range(n_steps):
        roll[t, [30 + t * (k + 1) % 13, 34 + t * (k + 1) % 13]] = 1
    midiwrite(path, roll, (21, 109), 0.3)
    return path


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Five tunes in which chords walk along scales."""
    folder = tmp_path_factory.mktemp("music")
    for k in range(5):
        tune_file(folder / f"{k}.mid", k)
    return folder


@pytest.fixture(scope="module")
def model(music, tmp_path_factory):
    """A model that was trained from the command line."""
    path = tmp_path_factory.mktemp("model") / "model.npz"
    train(music, "-o", path, *SMALL, "--dt", 0.3, "--epochs", 2, "--window", 20)
    return path


@pytest.fixture(scope="module")
def chords(music, tmp_path_factory):
    """A model with chords that was trained from the command line."""
    path = tmp_path_factory.mktemp("model") / "chords.npz"
    train(music, "-o", path, *SMALL, "--chord-units", 6, "--epochs", 2, "--window", 20)
    return path


@pytest.fixture
def no_updates(monkeypatch):
    """Let `train` read music, build a model and save it, without an update."""
    monkeypatch.setattr(experiment_run, "learn", lambda model, *_: model.history)


# ---- help and errors


def test_help_loads_neither_an_engine_nor_numpy():
    script = """
import sys
from rnn4music.cli import main
try:
    main(["train", "--help"])
except SystemExit as exit:
    assert exit.code == 0
heavy = {"numpy", "matplotlib", "tqdm", "scipy", "jax", "pytensor", "theano", "soundfile"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "examples:" in result.stdout and "--weight-noise" in result.stdout


@pytest.mark.parametrize("command", (None, *cli.COMMANDS))
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as exit:
        run(*([command] if command else []), "--help")
    assert exit.value.code == 0
    out = capsys.readouterr().out
    assert "usage: rnn4music" in out and f"\n  rnn4music {command or 'demo'}" in out


def test_help_shows_defaults(capsys):
    shown = ""
    for command in ("compose", "train"):
        with pytest.raises(SystemExit):
            run(command, "--help")
        shown += " ".join(capsys.readouterr().out.split())
    units = " ".join(map(str, config.OPTIONS["units"].default))
    for text in ("up to the end of a bar (300)", "to begin from silence (none)", f"({units})"):
        assert text in shown
    assert not re.search(r"\((None|False|Ellipsis|)\)", shown)


def test_no_command_shows_what_there_is(capsys):
    assert run() == 0
    assert "rnn4music demo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        (["compose", "nowhere.npz"], "there is no file nowhere.npz"),
        (["info", "nowhere.npz"], "there is no file nowhere.npz"),
        (["info", "nowhere.mid"], "there is no file nowhere.mid"),
        (["train", "nowhere"], "there is no file or folder named 'nowhere'"),
        (
            ["train", "x", "-o", "no/folder/m.npz"],
            "there is no folder no/folder for no/folder/m.npz",
        ),
        (["train", "x", "--config", "no.toml"], "there is no file no.toml"),
        (["train", "x", "--html", "page.png"], "page.png must end in .html or .htm"),
        (["train", "x", "--html", "no/x.html"], "there is no folder no for no/x.html"),
        (["evaluate", "nowhere", "x"], "there is no file nowhere or nowhere.npz"),
        (["render", "nowhere.mid", "-o", "x.wav"], "there is no file nowhere.mid"),
        (["render", "nowhere.mid", "-o", "x.ogg"], "x.ogg must end in .wav or .mp3"),
        (
            ["plot", "roll", "nowhere.mid", "-o", "picture"],
            "picture must end in .png or .pdf or .svg",
        ),
        (["compose", "x", "--dt", "0"], "dt must be finite and larger than 0"),
        (["plot", "activations", "x", "--dt", "0"], "dt must be finite and larger than 0"),
        (["evaluate", "x", "y", "--threshold", "2"], "threshold must be finite and at least 0"),
        (["evaluate", "x", "y", "--threshold", "-1"], "threshold must be finite and at least 0"),
        (["demo", "--minutes", "0"], "minutes must be finite and larger than 0, but is 0"),
        (["convert", "x", "y", "--workers", "0"], "workers must be at least 1, but is 0"),
    ),
)
def test_an_error_is_one_sentence(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 1
    out, err = capsys.readouterr()
    assert not out and err.startswith("rnn4music: error: ") and err.count("\n") == 1
    assert message in err
    assert not list(tmp_path.iterdir())
    with pytest.raises(Exception, match=re.escape(message.removeprefix("there is no file "))):
        run(*arguments, "--debug")


def test_one_number_of_units_is_for_all_layers(tmp_path):
    (tmp_path / "run.toml").write_text("units = 50")
    assert config.read(tmp_path / "run.toml") == {"units": [50, 50, 50]}
    assert config.complete({"units": [7]}).units == [7, 7, 7]


@pytest.mark.parametrize(
    "arguments", (["fly"], ["compose"], ["train"], ["train", "x", "--epoch", "3"])
)
def test_a_wrong_command_line_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        run(*arguments)
    assert exit.value.code == 2 and "usage: " in capsys.readouterr().err


def test_an_unknown_command_names_a_similar_one(capsys):
    with pytest.raises(SystemExit):
        run("trian", "music")
    assert "there is no command 'trian'; did you mean train?" in capsys.readouterr().err


def test_an_unknown_flag_shows_the_usage_of_the_command_and_a_similar_flag(capsys):
    with pytest.raises(SystemExit) as exit:
        run("train", "x", "--epoch", "3")
    err = capsys.readouterr().err
    assert exit.value.code == 2 and err.startswith("usage: rnn4music train MUSIC [options]\n")
    assert err.endswith("error: unknown arguments: --epoch 3; did you mean --epochs?\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        (["compose", "{model}", "--start-steps", "9"], "--start-steps has no effect without --st"),
        (["compose", "{model}", "--best", "1"], "--best has no effect without --count"),
        (["compose", "{model}", "--count", "2", "--best", "3"], "--best 3 is more than --count 2"),
        (["compose", "{model}", "--with-start"], "--with-start has no effect without --start"),
        (["compose", "{model}", "--soundfont", "x"], "without --wav, --mp3 or --html"),
        (["plot", "roll", "{tune}", "--tune", "{tune}"], "without probabilities, activations or"),
        (["plot", "learning", "{model}", "--dt", "1"], "--dt has no effect without a tune"),
        (["plot", "learning", "{model}", "--part", "cell"], "--part has no effect without activa"),
        (["info", "{tune}", "--markdown"], "--markdown has no effect without a model"),
        (["evaluate", "{model}", "{tune}", "--part", "test"], "without a standard set"),
    ),
)
def test_an_option_without_effect_is_an_error(
    model, music, arguments, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run(*(each.format(model=model, tune=music / "0.mid") for each in arguments)) == 1
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    (
        ["info", ""],
        ["train", ""],
        ["train", "{music}", "-o", ""],
        ["train", "{music}", "-o", "x/"],
        ["compose", "{model}", "--start", ""],
        ["compose", "{model}", "-o", "x.mid/"],
        ["render", "{music}/0.mid", "-o", "x.wav/"],
    ),
)
def test_a_name_that_is_empty_or_that_of_a_folder_is_refused(
    model, music, arguments, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run(*(each.format(model=model, music=music) for each in arguments)) == 1
    err = capsys.readouterr().err
    assert "is empty; give a name" in err or "names a folder" in err or "must end in" in err
    assert not list(tmp_path.iterdir())


def test_an_unexpected_error_asks_for_a_report(monkeypatch, capsys):
    monkeypatch.delattr("rnn4music.cli.info.run")
    assert run("info", "x") == 1
    assert "unexpected AttributeError: " in capsys.readouterr().err


# ---- train, and configurations


def test_a_model_records_what_it_was_trained_on(model, music):
    loaded = RNN4Music.from_file(model)
    assert (loaded.h1_length, loaded.h2_length, loaded.h3_length) == (3, 4, 5)
    assert loaded.genProbThreshold == 0.02 and loaded.history.epochs == 2
    assert loaded.metadata["data"] == music.name and loaded.metadata["time_step"] == 0.3
    (trained_on,) = loaded.metadata["trained_on"]
    assert (trained_on["dataset"], trained_on["validation"]) == (
        "4 tunes, 160 steps", "1 tune, 40 steps",
    )  # fmt: skip
    assert trained_on["windows"] == "all" and trained_on["window"] == 20


def test_a_model_that_python_trained_records_how_its_tunes_were_read(
    model, music, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    tunes = load_midi(music, (20, 108), steps_per_beat=4, sustain=True, progress=False)
    learned = tunes.split(0.2, 0).train.in_keys([0, 1])
    trained = small_model(io_length=88)
    trained.metadata["sustain"] = False
    trained.train(learned, 1, 1, 5, 20, progress=False)
    assert trained.metadata["steps_per_beat"] == 4 and trained.metadata["time_step"] == 0.15
    assert trained.metadata["lowest_pitch"] == 20 and trained.metadata["sustain"] is False
    of_command_line = set(RNN4Music.from_file(model).metadata)
    assert set(trained.metadata) - {"beats"} <= of_command_line  # which reads in seconds
    named = small_model(io_length=88)
    named.metadata["time_step"] = 0.5
    named.train(learned, 1, 1, 5, 20, progress=False)
    assert named.metadata["time_step"] == 0.5 and "steps_per_beat" not in named.metadata
    trained.saveParameters("known")
    plain = small_model(io_length=88)
    plain.train([*tunes], 1, 1, 5, 20, progress=False)
    plain.saveParameters("plain")
    for name, is_assumed in (("known", False), ("plain", True)):
        capsys.readouterr()
        assert run("compose", name, "--steps", 3, "-o", "a.mid") == 0
        err = capsys.readouterr().err
        said = "plain.npz does not record its time step; 0.3 s is assumed (--dt)\n"
        assert (said in err) == is_assumed
        assert run("evaluate", name, music) == 0
        assert ("0.3 s is assumed" in capsys.readouterr().err) == is_assumed


@pytest.mark.usefixtures("no_updates")
def test_a_model_with_chords_is_trained_described_and_composes(chords, music, tmp_path, capsys):
    loaded = RNN4Music.from_file(chords)
    assert loaded.chord_units == 6 and loaded.genProbThreshold == 0
    assert run("info", chords) == 0
    assert "chords, 6 chord units" in capsys.readouterr().out
    composing = ["compose", chords, "--steps", 5, "-o", tmp_path / "a.mid", "--json"]
    assert run(*composing) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["threshold"] == 0 and result["sampling"] == "independent"
    assert result["temperature"] == 0.9
    assert run(*composing, "--sampling", "systematic") == 1
    assert "chords" in capsys.readouterr().err
    assert run("evaluate", chords, music, "--json") == 0
    scored = json.loads(capsys.readouterr().out)["nats_per_step"]
    assert scored == pytest.approx(loaded.evaluate([*load_midi(music)]).nats_per_step, rel=1e-5)
    assert run("train", music, "--start-from", chords, "-o", chords, "--chord-units", 7) == 1
    assert "error: chord_units cannot change in a model" in capsys.readouterr().err
    other = tmp_path / "threshold.npz"
    train(music, "-o", other, *SMALL, "--chord-units", 0, "--epochs", 1, "--threshold", 0.1)
    assert RNN4Music.from_file(other).genProbThreshold == 0.1


@pytest.mark.filterwarnings("default:many notes are not in the rolls")
def test_onsets_reach_every_command(music, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "struck"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for k in range(6):
        roll = np.zeros((60, 88), int)
        roll[:, 30:50] = np.repeat(rng.random((10, 20)) < 0.2, 6, axis=0)
        onset_roll = roll * (rng.random(roll.shape) < 0.3)
        midiwrite(folder / f"{k}.mid", roll, (21, 109), 0.3, onset_roll=onset_roll)
    arguments = *SMALL, "--onsets", "--chord-units", 6, "--window", 20, "--epochs", 2
    train(folder, "-o", "o.npz", *arguments, "--pitch-range", 40, 90)
    model, tunes = RNN4Music.from_file("o.npz"), load_midi(folder, (40, 90), onsets=True)
    assert model.io_length == 100 and model.metadata["onsets"] is True
    assert run("info", "o.npz") == 0
    assert "50, E2 (40) to F6 (89), sounding and struck" in capsys.readouterr().out

    assert run("evaluate", "o.npz", folder, "--json") == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["nats_per_step"] == pytest.approx(model.evaluate(tunes).nats_per_step, rel=1e-5)
    assert sum(tune["trained_on"] for tune in scored["tunes"]) == 5

    start = "--start", folder / "0.mid", "--with-start", "--start-steps", 8
    assert run("compose", "o.npz", "--steps", 60, "--seed", 1, *start, "--json") == 0
    said = json.loads(capsys.readouterr().out)["tunes"][0]
    how = {"temperature": 0.9, "around": model.metadata["log_odds"], "seed": 1}
    composed, _ = model.to_numpy().gen_music(tunes[0][:8], 60, **how)
    content = midiread("tune.mid", (40, 90), 0.3)
    np.testing.assert_array_equal(content.onset_roll[:8], tunes[0][:8, 50:])
    np.testing.assert_array_equal(
        content.onset_roll, canonical_onsets(*split_onsets(np.vstack([tunes[0][:8], composed])))
    )
    assert said["strikes"] == composed[:, 50:].sum()
    assert said["dropped_strikes"] == n_dropped_onsets(*split_onsets(composed)) > 0
    assert run("compose", "o.npz", "--steps", 60, "--seed", 1, *start) == 0
    dropped = f"{said['dropped_strikes']:,} of {said['strikes']:,} struck notes do not sound"
    assert dropped in capsys.readouterr().out
    for what in ("probabilities", "activations", "chords"):
        assert run("plot", what, "o.npz", "--tune", folder / "0.mid", "-o", f"{what}.png") == 0

    assert run("convert", folder, "store", "--onsets", "--pitch-range", 40, 90) == 0
    train("store", "-o", "further.npz", "--start-from", "o.npz", "--epochs", 1)
    assert RNN4Music.from_file("further.npz").io_length == 100
    capsys.readouterr()
    assert run("convert", folder, "plain", "--pitch-range", 40, 90) == 0
    remedy = "Remedies: --onsets keeps those that are struck again\n"
    assert capsys.readouterr().err.endswith(remedy)
    for arguments, message in (
        (
            ["train", "plain", "-o", "x", "--start-from", "o.npz"],
            "--onsets off, not on",
        ),
        (["train", "plain", "-o", "x", "--onsets"], "--onsets off, not on"),
        (["evaluate", "o.npz", "plain"], "--onsets off, not on"),
        (["train", folder, "-o", "x", "--start-from", "o.npz", "--no-onsets"], "onsets cannot"),
    ):
        assert run(*arguments) == 1
        assert message in capsys.readouterr().err


def test_a_standard_set_has_no_onsets(tmp_path, capsys):
    rolls = {name: [[[60], [62], []]] * 3 for name in ("train", "valid", "test")}
    (tmp_path / "set.json").write_text(json.dumps(rolls))
    assert run("train", tmp_path / "set.json", "-o", tmp_path / "m", "--onsets") == 1
    assert "does not say where notes are struck" in capsys.readouterr().err


def test_a_model_that_contradicts_its_metadata_is_an_error(tmp_path, capsys):
    model = small_model(io_length=11)
    model.metadata["onsets"] = True
    path = model.saveParameters(tmp_path / "odd")
    assert run("compose", path, "-o", tmp_path / "t.mid") == 1
    assert "its rolls have onsets, but it has 11 columns" in capsys.readouterr().err


def test_chords_are_only_drawn_for_models_with_chords(model, music, tmp_path, capsys):
    picture = "--tune", music / "0.mid", "-o", tmp_path / "p.png"
    assert run("plot", "chords", model, *picture) == 1
    assert f"{model} has no chords to draw: train with --chord-units" in capsys.readouterr().err


def test_a_model_is_not_overwritten_but_can_be_trained_further(model, music, capsys):
    before = model.read_bytes()
    assert run("train", music, "-o", model, *SMALL) == 1
    assert "exists already: give another --output, or --force" in capsys.readouterr().err
    assert model.read_bytes() == before
    other = model.with_name("other.npz")
    flags = ["--start-from", model, "-o", other, "--quiet", "--epochs", 1, "--window", 20, "--json"]
    train(music, *flags, "--learning-rates", 0.01, "--licence", "CC0")
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["epochs"] == 1 and result["output"] == str(other) and not result["interrupted"]
    assert "learning from 4 tunes, 160 steps, validating on 1 tune, 40 steps" in err
    loaded = RNN4Music.from_file(other)
    assert loaded.history.epochs == 3 and loaded.R2 == 0.01 and loaded.metadata["licence"] == "CC0"
    assert len(loaded.metadata["trained_on"]) == 2


def test_a_fixed_setting_cannot_change_when_a_model_is_trained_further(model, music, capsys):
    flags = ["--start-from", model, "-o", model, "--units", 9, 9, 9, "--optimiser", "adam"]
    assert run("train", music, *flags) == 1
    assert "error: units, optimiser cannot change in a model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    (
        (["--checkpoint", "fresh", "--resume"], "model.npz exists already"),
        (["--checkpoint", "model.npz", "--force"], "model.npz is read or written twice"),
        (["--log", "no/log.jsonl", "--force"], "there is no folder no"),
        (
            ["--force", "--learning-rates", "1", "2"],
            "--learning-rates must have 1 or 4 values, but is [1.0, 2.0]",
        ),
        (
            ["--force", "--validation", "1"],
            "--validation must be finite and at least 0 and smaller than 1, but is 1.0",
        ),
        (
            ["--force", "--dt", "1", "--steps-per-beat", "2"],
            "--dt and --steps-per-beat exclude each other",
        ),
        (["--force", "--epochs", "0"], "--epochs must be at least 1, but is 0"),
        (["--force", "--units", "0", "3", "4"], "--units must be at least 1, but is 0"),
        (["--force", "--dropout", "1"], "--dropout must be finite and at least 0 and smaller"),
        (["--force", "--segment", "7"], "--segment must divide --window - 1 = 99, but is 7"),
        (["--force", "--pitch-range", "60", "60"], "--pitch-range must be two pitches, low < high"),
        (["--force", "--cluster", "here"], "--cluster here is neither a number of processes"),
        (["--force", "--cluster", "0"], "--cluster 0 is neither a number of processes"),
        (["--resume", "--force"], "--resume needs a file: give --checkpoint"),
        (["--force", "--checkpoint-every", "5"], "--checkpoint-every needs a file"),
        (["--log", "model.npz"], "model.npz is read or written twice"),
        (["-o", "q.mid"], "--output q.mid must end in .npz, or have no suffix"),
        (["-o", "../{folder}"], "{folder} names a folder; give the name of a file"),
        (["--checkpoint", "c.json", "--force"], "--checkpoint c.json must end in .npz"),
        (
            ["--tensorboard", "model.npz/log", "--force"],
            "model.npz/log cannot be written: Not a dir",
        ),
        (["--force", "--validation", "0.99"], "--validation 0.99 leaves no tune to learn from"),
        (
            ["--force", "--validation", "0", "--patience", "2"],
            "--patience needs tunes that are held out",
        ),
    ),
)
def test_training_that_cannot_begin_touches_nothing(
    model, music, flags, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.npz").write_bytes(model.read_bytes())
    flags, message = (
        [text.format(folder=tmp_path.name) for text in flags],
        message.format(folder=tmp_path.name),
    )
    assert run("train", music, *flags, "--quiet") == 1
    err = capsys.readouterr().err
    assert message in err and "learning from" not in err
    assert [each.name for each in tmp_path.iterdir()] == ["model.npz"]
    assert (tmp_path / "model.npz").read_bytes() == model.read_bytes()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that refuses files")
def test_a_file_that_cannot_be_written_is_named_before_music_is_read(tmp_path, capsys):
    for flags in (["-o", "/proc/m.npz"], ["-o", tmp_path / "m", "--log", "/proc/x.jsonl"]):
        assert run("train", tmp_path, *flags) == 1
        assert f"error: {flags[-1]} cannot be written: " in capsys.readouterr().err


def test_a_missing_extra_is_found_before_music_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    tune_file(tmp_path / "a.mid")
    flags = ["-o", tmp_path / "m", "--tensorboard", tmp_path / "log"]
    assert run("train", tmp_path, *flags) == 1
    err = capsys.readouterr().err
    assert "python -m pip install 'rnn4music[tensorboard]'" in err and "learning" not in err
    for name in ("rnn4music.tuning.study", "rnn4music.tuning.trials"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delitem(vars(tuning), "search", raising=False)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    (tmp_path / "space.toml").write_text("epochs = 1")
    assert run("search", tmp_path / "space.toml", tmp_path, "--trials", 1) == 1
    err = capsys.readouterr().err
    assert "a search needs Optuna; run: python -m pip install 'rnn4music[search]'" in err


def test_a_log_that_fails_loses_nothing_that_was_learned(music, tmp_path, monkeypatch, capsys):
    from rnn4music.training import callbacks

    def full(self, model, history):
        raise OSError(28, "No space left on device", str(self.path))

    (tmp_path / "diary").write_text("Dear diary")
    assert run("train", music, "-o", tmp_path / "m.npz", *SMALL, "--log", tmp_path / "diary") == 1
    assert "is not a JSON Lines log" in capsys.readouterr().err
    assert (tmp_path / "diary").read_text() == "Dear diary"
    monkeypatch.setattr(callbacks.JsonLines, "on_epoch", full)
    flags = ["-o", tmp_path / "m.npz", *SMALL, "--log", tmp_path / "log"]
    assert run("train", music, *flags) == 1
    err = capsys.readouterr().err
    assert (
        "log: No space left on device" in err and "saved what was learned before the error: " in err
    )
    assert RNN4Music.from_file(tmp_path / "m.npz").history.epochs == 1


def test_flags_win_over_the_file_and_the_file_over_the_defaults(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        'data = "music"\nunits = [7, 8, 9]\nweight-noise = 1\nsustain = true\n'
        "learning_rates = [0.1]\nsteps_per_beat = 4\nepochs = 3\n"
    )
    parser = cli.build_parser()
    args = parser.parse_args(["train", "--epochs", "5", "--no-sustain", "--config", str(path)])
    settings = config.merged(vars(args), args.config)
    assert settings.data == "music" and settings.units == [7, 8, 9] and settings.epochs == 5
    assert settings.weight_noise == 1.0 and settings.sustain is False and settings.batch_size == 5
    assert settings.learning_rates == [0.1] and settings.steps_per_beat == 4.0
    args = parser.parse_args(["train", "other", "--dt", "0.2", "--config", str(path)])
    settings = config.merged(vars(args), args.config)
    assert settings.data == "other" and settings.dt == 0.2 and settings.steps_per_beat is None


@pytest.mark.parametrize(
    ("line", "message"),
    (
        ("epochs = 2.5", "run.toml: epochs must be a whole number, not float 2.5"),
        ("epochs = true", "epochs must be a whole number, not bool True"),
        ("epochs = 0", "run.toml: epochs must be at least 1, but is 0"),
        ("dropout = 1.0", "dropout must be finite and at least 0 and smaller than 1, but is 1.0"),
        ("clip = nan", "clip must be finite and larger than 0, but is nan"),
        (
            "learning_rates = 'much'",
            "learning_rates must be a number, not str 'much'",
        ),
        ("epochs = '2'", "epochs must be a whole number without quotes, not str '2'"),
        ("learning_rates = [1, 2]", r"learning_rates must have 1 or 4 values, but is \[1, 2\]"),
        ("units = [1, 2]", r"units must have 1 or 3 values, but is \[1, 2\]"),
        ("units = []", r"units must have 1 or 3 values, but is \[\]"),
        ("pitch_range = [60, 60]", r"pitch_range must be two pitches, low < high <= 128, but is"),
        ("windows = 'some'", "windows must be one of 'all', 'random', 'start', but is 'some'"),
        ("sustain = 1", "sustain must be True or False, not int 1"),
        ("log = 3", "log must be text, not int 3"),
        ("epoch = 3", "there is no setting 'epoch'; did you mean epochs?"),
        ("xyz = 3", "there is no setting 'xyz'; `rnn4music train --help` lists all"),
        ("[training]\nepochs = 3", "there is no setting 'training'"),
        ("epochs 3", "is not a TOML file"),
    ),
)
def test_a_configuration_is_checked(tmp_path, line, message):
    (tmp_path / "run.toml").write_text(line)
    with pytest.raises(ValueError, match=message):
        config.read(tmp_path / "run.toml")


def test_a_file_may_have_every_flag_but_those_of_the_terminal(capsys):
    with pytest.raises(SystemExit):
        run("train", "--help")
    flags = set(re.findall(r"^  (--[\w-]+)", capsys.readouterr().out, re.M))
    terminal = {"--config", "--quiet", "--json", "--debug"}
    assert flags == terminal | {option.flag for option in config.OPTIONS.values()}
    page = Path(__file__).parents[1] / "docs" / "command_line.md"
    (sentence,) = re.findall(r"A file cannot hold ([^.]*)", page.read_text("utf8"))
    assert set(re.findall("--[a-z]+", sentence)) == terminal


def test_without_music_that_can_be_used_a_table_follows_the_error(tmp_path, capsys):
    for name in ("a.mid", "b.mid"):
        (tmp_path / name).write_bytes(b"no music")
    assert run("train", tmp_path, "-o", tmp_path / "m.npz") == 1
    error, *table = capsys.readouterr().err.splitlines()
    assert error == "rnn4music: error: none of the 2 files can be used:"
    assert [line.split()[:4] for line in table] == [["a.mid", "and", "1", "more"]]


def test_the_names_of_options_in_the_class_are_its_keywords():
    import inspect

    from rnn4music.experiment import run as experiment

    settings = config.complete({})
    for method, options in (
        (RNN4Music, hyperparameters.OPTIONS),
        (RNN4Music.train, training.OPTIONS),
    ):
        names = {option.name for option in options} - {"units", "learning_rates"}
        keywords = experiment.keywords(settings, names)
        assert keywords.keys() <= inspect.signature(method).parameters.keys()


def test_the_table_of_options_has_the_library_s_choices():
    from rnn4music import costs, updates
    from rnn4music.training import minibatches

    options = config.OPTIONS
    assert set(options["windows"].choices) == set(minibatches.WINDOWS)
    assert set(options["optimiser"].choices) == set(updates.OPTIMISERS)
    assert set(options["cost"].choices) == set(costs.COSTS)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_saves_the_model_and_training_resumes(music, tmp_path):
    arguments = ["train", music, "-o", tmp_path / "m.npz", *SMALL, "--epochs", 100000]
    arguments += ["--log", tmp_path / "log", "--checkpoint", tmp_path / "night"]
    arguments = [str(each) for each in arguments]
    script = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += f"from rnn4music.cli import main; sys.exit(main({arguments}))"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    log = tmp_path / "log"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") > 20):
        time.sleep(0.1)
    try:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "stopped by Ctrl-C" in out and f"wrote {tmp_path / 'm.npz'}" in out
    done = RNN4Music.from_file(tmp_path / "m.npz").history
    assert done.epochs > 1
    arguments[arguments.index("100000")] = str(done.epochs + 1)
    train(*arguments[1:], "--resume")
    history = RNN4Music.from_file(tmp_path / "m.npz").history
    assert history.epochs == done.epochs + 1 and history.cost[: len(done.cost)] == done.cost


# ---- files that stay as they are


def test_resuming_replaces_only_models_of_the_same_training(model, music, tmp_path, capsys):
    flags = ["--checkpoint", tmp_path / "night", *SMALL, "--window", 20]
    train(music, "-o", tmp_path / "m.npz", *flags, "--epochs", 1)
    flags += ["--epochs", 2, "--resume"]
    precious = tmp_path / "precious.npz"
    for content in (model.read_bytes()[:999], small_model().saveParameters(precious).read_bytes()):
        precious.write_bytes(content)
        capsys.readouterr()
        assert run("train", music, "-o", precious, *flags) == 1
        assert "precious.npz exists already" in capsys.readouterr().err
        assert precious.read_bytes() == content
    train(music, "-o", tmp_path / "m.npz", *flags)
    assert RNN4Music.from_file(tmp_path / "m.npz").history.epochs == 2
    train(music, "-o", precious, *flags, "--force")
    assert RNN4Music.from_file(precious).history.epochs == 2


def test_resuming_without_the_model_writes_it(music, tmp_path, monkeypatch):
    """As after a power cut, which leaves only the checkpoint; it has the record of the music."""
    path, checkpoint = tmp_path / "m.npz", tmp_path / "night.npz"
    flags = ["-o", path, *SMALL, "--window", 20, "--checkpoint", checkpoint]
    train(music, *flags, "--epochs", 1)
    first = RNN4Music.from_file(path)
    path.unlink()
    with monkeypatch.context() as patch:
        for module, name in ((training_music, "record"), (trainer, "markov_probabilities")):
            patch.setattr(module, name, None)
        train(music, *flags, "--epochs", 2, "--resume")
    content = model_file.read(checkpoint)
    passages = content["metadata"].pop(training_music.PASSAGES)  # as of an earlier version
    model_file.write(checkpoint, **content)
    train(music, *flags, "--epochs", 3, "--resume")
    resumed = RNN4Music.from_file(path)
    assert resumed.history.epochs == 3 and resumed.history.baseline == first.history.baseline
    assert resumed.metadata[training_music.PASSAGES] == passages
    for name in (training_music.TUNES, training_music.STATISTICS, training_music.BASELINE):
        assert resumed.metadata[name] == first.metadata[name]


def test_resuming_does_not_replace_a_copy_of_the_model_that_is_trained_further(
    model, music, tmp_path
):
    flags = ["--checkpoint", tmp_path / "night", "--quiet", "--window", 20, "--epochs", 1]
    flags += ["--start-from", model, "--validation", 0.2]
    train(music, "-o", tmp_path / "m.npz", *flags)
    copy = tmp_path / "copy.npz"
    copy.write_bytes(model.read_bytes())
    assert run("train", music, "-o", copy, *flags, "--resume") == 1
    assert copy.read_bytes() == model.read_bytes()


@pytest.fixture
def folder(model, music, tmp_path, monkeypatch):
    """A folder with one input of each kind, under a second name too."""
    (tmp_path / "mine").mkdir()
    for name in ("demo.mid", "1.mid"):
        tune_file(tmp_path / "mine" / name, len(name))
    tune_file(tmp_path / "tune.mid")
    (tmp_path / "model.npz").write_bytes(model.read_bytes())
    (tmp_path / "font.sf2").write_bytes(b"RIFF\4\0\0\0sfbk")
    (tmp_path / "space.toml").write_text("dropout = {low = 0.0, high = 0.5}\n")
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "best.toml").write_text("dropout = {low = 0.0, high = 0.5}\n")
    (tmp_path / "run.toml").write_text("epochs = 1\n")
    further = 'start_from = "model.npz"\ndropout = {low = 0.0, high = 0.5}\n'
    (tmp_path / "further.toml").write_text(further)
    try:
        os.link(tmp_path / "font.sf2", tmp_path / "font.wav")
        os.link(tmp_path / "tune.mid", tmp_path / "same.mid")
        (tmp_path / "link.mid").symlink_to(tmp_path / "tune.mid")
        (tmp_path / "linked.toml").symlink_to("space.toml")
    except OSError:
        pytest.skip("links cannot be made here")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    (
        "demo --data mine -o mine --force",
        "demo --data mine/*.mid -o mine --force",
        "demo --data mine/demo.mid -o mine --force",
        "render tune.mid -o font.wav --soundfont font.sf2",
        "compose model.npz -o tune.mid --start tune.mid",
        "compose model.npz -o link.mid --start tune.mid",
        "compose model.npz -o same.mid --start tune.mid",
        "compose model.npz --wav font.wav --soundfont font.sf2",
        "train mine -o new.npz --checkpoint ./sub/../new",
        "train mine --log mine/demo.mid",
        "train tune.mid --log same.mid --validation 0",
        "train mine --config run.toml --log run.toml",
        "train mine --start-from model.npz --log model.npz",
        "search search/best.toml mine --trials 1",
        "search space.toml mine --trials 1 --storage linked.toml",
        "search space.toml mine --trials 1 --storage mine/demo.mid",
        "search further.toml mine --trials 1 --storage model.npz",
    ),
)
def test_no_command_overwrites_what_it_reads(folder, arguments, capsys):
    if arguments.startswith("search"):
        pytest.importorskip("optuna")
    (folder / "sub").mkdir()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(*arguments.split()) == 1
    err = capsys.readouterr().err
    assert "is read or written twice" in err, err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_demo_replaces_no_file_without_being_told_to(folder, capsys):
    (folder / "mine" / "demo.png").write_bytes(b"mine")
    assert run("demo", "--data", folder / "tune.mid", "-o", folder / "mine") == 1
    assert "demo.mid exists already: give another folder" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.parametrize(
    "arguments",
    (
        "train mine --config fifo.toml",
        "train fifo.mat",
        "train fifo.mid",
        "train mine -o fifo.npz --force",
        "train mine -o new.npz --checkpoint fifo.npz",
        "train mine -o new.npz --log fifo.jsonl",
        "train mine -o new.npz --start-from fifo.npz",
        "search fifo.toml mine --trials 1",
        "evaluate model.npz fifo.mat",
        "evaluate fifo.npz mine",
        "compose model.npz -o fifo.mid",
        "compose model.npz --start fifo.mid",
        "render fifo.mid -o new.wav",
        "render tune.mid -o fifo.wav",
        "info fifo.mid",
        "plot roll tune.mid -o fifo.png",
        "convert fifo.mid new",
    ),
)
def test_a_fifo_is_refused_before_anything_is_done(folder, arguments, capsys, monkeypatch):
    """Without a program at its other end, opening a FIFO waits forever."""
    if arguments.startswith("search"):
        pytest.importorskip("optuna")
    for suffix in ("toml", "mat", "mid", "npz", "jsonl", "wav", "png"):
        os.mkfifo(folder / f"fifo.{suffix}")

    def wait(*_):
        raise AssertionError("it waits")

    monkeypatch.setattr("rnn4music.experiment.run.learn", wait)
    signal.signal(signal.SIGALRM, wait)
    signal.alarm(20)
    names = set(os.listdir(folder))
    try:
        assert run(*arguments.split()) == 1
    finally:
        signal.alarm(0)
    err = capsys.readouterr().err
    assert re.search(r"fifo\.\w+( is a device or a FIFO|.*not a regular file)", err), err
    assert set(os.listdir(folder)) == names


# ---- what a file is


@pytest.fixture(scope="module")
def files(model, music, tmp_path_factory):
    """Files of each kind, most of them without a suffix."""
    folder = tmp_path_factory.mktemp("files")
    midi = (music / "0.mid").read_bytes()
    size = struct.pack("<I", len(midi))
    contents = {
        "midi": midi,
        "after junk": b"\0junk" * 25 + midi,
        "riff": b"RIFF" + struct.pack("<I", len(midi) + 12) + b"RMIDdata" + size + midi,
        "model.npz": model.read_bytes(),
        "model": model.read_bytes(),
        "soundfont": b"RIFF\4\0\0\0sfbk",
        "wave": b"RIFF\4\0\0\0WAVE",
        "empty": b"",
        "text": "Für Elise".encode("latin-1"),
        "bytes": bytes(range(256)),
        "run.toml": b"epochs = 3",
        "damaged.npz": model.read_bytes()[:1000],
        "set.mat": b"MATLAB 5.0 MAT-file",
        "set.json": b'{"train": []}',
        "midi.zip": midi,
        "far.mid": b"\0" * 1020 + midi,
        "too far.mid": b"\0" * 1021 + midi,
        "word.toml": b"# a file begins with MThd\nepochs = 3",
        "empty zip": b"PK\5\6" + bytes(18),
        "damaged.zip": b"no zip",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    with zipfile.ZipFile(folder / "zip", "w") as archive:
        archive.writestr("0.mid", midi)  # stored: its header is within the first bytes
    np.savez(folder / "set.npz", train=np.zeros(3))
    np.savez(folder / "other.npz", x=np.zeros(3))
    checkpoint = ["--checkpoint", folder / "checkpoint", "-o", folder / "trained.npz"]
    train(music, *SMALL, "--epochs", 1, "--window", 20, *checkpoint)
    assert run("convert", music, folder / "store", "--quiet") == 0
    (folder / "folder.npz").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "fifo")
    return folder


KINDS = {
    "midi": inputs.MIDI,
    "after junk": inputs.MIDI,
    "riff": inputs.MIDI,
    "midi.zip": inputs.MIDI,
    "far.mid": inputs.MIDI,
    "too far.mid": "a file of an unknown format",
    "model.npz": inputs.MODEL,
    "model": inputs.MODEL,
    "checkpoint.npz": inputs.CHECKPOINT,
    "store": inputs.STORE,
    "folder.npz": inputs.FOLDER,
    "zip": inputs.ZIP,
    "empty zip": inputs.ZIP,
    "damaged.zip": inputs.DAMAGED,
    "word.toml": inputs.TOML,
    "set.mat": inputs.STANDARD_SET,
    "set.json": inputs.STANDARD_SET,
    "set.npz": inputs.STANDARD_SET,
    "other.npz": "an .npz file",
    "damaged.npz": inputs.DAMAGED,
    "soundfont": inputs.SOUNDFONT,
    "wave": "a WAV file",
    "run.toml": inputs.TOML,
    "text": "a text file",
    "bytes": "a file of an unknown format",
    "empty": "an empty file",
    "nowhere": inputs.MISSING,
    "text/within": inputs.MISSING,
}


@pytest.mark.parametrize("name", KINDS)
def test_the_content_of_a_file_decides_what_it_is(files, name):
    assert inputs.kind_of(files / name) == KINDS[name]


def test_readers_agree_on_what_a_file_is(files, tmp_path):
    shutil.copy(files / "zip", tmp_path / "zip.mid")
    assert load_midi(tmp_path / "zip.mid").names == ["0.mid"]
    for path in (tmp_path / "zip.mid", files / "too far.mid", files / "word.toml"):
        with pytest.raises(MidiError, match="not a MIDI file"):
            describe(path)
    assert len(load_midi(files / "midi.zip")) == 1
    assert describe(files / "far.mid").damage
    with pytest.raises(FileNotFoundError, match="empty zip has no files that end in"):
        load_midi(files / "empty zip")


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        (["info", "folder.npz"], "is a folder, but info needs a model or a MIDI file; train, conv"),
        (["info", "zip"], "is a .zip file, but info needs a model or a MIDI file; train"),
        (["compose", "midi"], "is a MIDI file, but compose needs a model; info, plot roll, render"),
        (["compose", "store"], "is a store of piano rolls, but compose needs a model; train"),
        (["compose", "model.npz", "--start", "checkpoint.npz"], "but --start needs a MIDI file"),
        (["compose", "damaged.npz"], "damaged.npz is damaged"),
        (["evaluate", "zip", "midi"], "is a .zip file, but evaluate needs a model"),
        (["evaluate", "model.npz", "model.npz"], "is a model, but evaluate needs music; compose"),
        (["plot", "roll", "model.npz"], "is a model, but plot roll needs a MIDI file"),
        (["plot", "learning", "after junk"], "is a MIDI file, but plot learning needs a model"),
        (["render", "zip", "-o", "x.wav"], "is a .zip file, but render needs a MIDI file"),
        (["render", "midi", "-o", "x.wav", "--soundfont", "wave"], "is a WAV file, but --sound"),
        (["convert", "store", "x"], "is a store of piano rolls, but convert needs MIDI files"),
        (["convert", "set.json", "x"], "is a standard set, but convert needs MIDI files"),
        (["train", "checkpoint.npz"], "the checkpoint of a training, but train needs music"),
        (["train", "run.toml"], "but train needs music; search, and train with --config, take"),
        (["train", "midi", "--start-from", "riff"], "MIDI file, but --start-from needs a model"),
        (["search", "set.mat", "midi", "--trials", "1"], "but search needs a TOML file"),
        (["info", "fifo"], "is a device or a FIFO, but info needs a model or a MIDI file; save"),
    ),
)
def test_a_file_of_another_kind_is_refused_with_the_commands_that_take_it(
    files, arguments, message, tmp_path, capsys, monkeypatch
):
    if "fifo" in arguments and not hasattr(os, "mkfifo"):
        pytest.skip("FIFOs")
    monkeypatch.chdir(tmp_path)
    assert run(*(files / each if (files / each).exists() else each for each in arguments)) == 1
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("default:.*skipped 125 bytes", "default:1 tune, 40 steps")
@pytest.mark.usefixtures("no_updates")
def test_midi_after_junk_or_in_riff_is_read_by_every_command(files, model, tmp_path, capsys):
    for name in ("riff", "midi", "after junk"):
        midi = files / name
        assert run("info", midi) == 0
        out = capsys.readouterr().out
        assert "ticks per quarter" in out and ("damage" in out) == (name == "after junk")
        assert run("render", midi, "-o", tmp_path / "x.wav") == 0
        assert run("plot", "roll", midi, "-o", tmp_path / "x.png") == 0
        assert run("compose", model, "--start", midi, "--steps", 2, "-o", tmp_path / "x.mid") == 0
        assert run("evaluate", model, midi) == 0
        assert run("convert", midi, tmp_path / name) == 0
    train(midi, *SMALL, "--epochs", 1, "--validation", 0, "-o", tmp_path / "x.npz")


def test_a_model_needs_its_suffix_and_a_name_without_it_finds_the_model(files, tmp_path, capsys):
    (tmp_path / "bare").write_bytes((files / "model").read_bytes())
    assert run("info", tmp_path / "bare") == 1
    assert "bare is a model, but its name must end in .npz: rename it" in capsys.readouterr().err
    (tmp_path / "bare").rename(tmp_path / "bare.npz")
    (tmp_path / "bare").mkdir()  # such as the folder of the music
    assert run("info", tmp_path / "bare") == 0


def test_music_that_is_missing_is_named_before_a_model_that_exists(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.npz").touch()
    for name in ("nowhere", "*.mid", "set.json"):
        assert run("train", name) == 1
        err = capsys.readouterr().err
        assert name in err and "model.npz" not in err


# ---- compose


def test_composing_writes_all_that_is_asked_for(model, music, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--start", music / "0.mid", "--start-steps", 10, "--steps", 21, "--seed", 5]
    files = ["-o", "a.mid", "--wav", "a.wav", "--png", "a.png", "--html", "a.html"]
    assert run("compose", model, *flags, *files, "--threshold", 0.01, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["files"] == ["a.mid", "a.wav", "a.png", "a.html"] and result["seed"] == 5
    tune = midiread("a.mid", (21, 109), 0.3).piano_roll
    start = midiread(music / "0.mid", (21, 109), 0.3).piano_roll[:10]
    expected, _ = RNN4Music.from_file(model).genMusic(
        start, 21, sampling="systematic", threshold=0.01, seed=5
    )
    np.testing.assert_array_equal(tune, expected)
    with wave.open("a.wav") as sound:
        assert sound.getnframes() == round(21 * 0.3 * sound.getframerate())
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "a.html").read_text("utf8")
    assert "model.npz" in page and "10 steps of" in page and "0.01" in page


def test_with_start_puts_the_start_into_all_files(model, music, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--start", music / "1.mid", "--start-steps", 8, "--steps", 6, "--wav", "tune.wav"]
    assert run("compose", model, *flags, "--with-start", "--html", "tune.html") == 0
    page = (tmp_path / "tune.html").read_text("utf8")
    assert "<h1" in page and "1, continued</h1>" in page
    assert "6 steps of 0.3" in page and "after a given start of 8 steps" in page
    roll = midiread("tune.mid", (21, 109), 0.3).piano_roll
    assert len(roll) == 14
    np.testing.assert_array_equal(roll[:8], midiread(music / "1.mid").piano_roll[:8])
    with wave.open("tune.wav") as sound:
        assert sound.getnframes() == round(14 * 0.3 * sound.getframerate())


def test_several_tunes_have_numbers_and_one_page(model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("compose", model, "--count", 2, "--steps", 5, "--html", "all.html") == 0
    assert "tune-1.mid, tune-2.mid, all.html" in capsys.readouterr().out
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "all.html", "tune-1.mid", "tune-2.mid",
    ]  # fmt: skip
    assert (tmp_path / "all.html").read_text("utf8").count("<audio") == 2


def test_the_best_tunes_are_kept_and_why(model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = RNN4Music.from_file(model)
    how, metadata = {"sampling": "systematic", "threshold": 0, "seed": 1}, loaded.metadata
    tunes, _ = loaded.to_numpy().gen_music(None, 30, 4, **how)
    found = [training_music.likeness(metadata, tune, False) for tune in tunes]
    order = sorted(range(4), key=lambda k: -found[k].score)
    flags = ["--steps", 30, "--seed", 1, "--threshold", 0, "--count", 4, "--best", 2]
    assert run("compose", model, *flags, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["files"] == ["tune-1.mid", "tune-2.mid"] and order[:2] != [0, 1]
    for name, told, k in zip(result["files"], result["tunes"], order):
        np.testing.assert_array_equal(midiread(name).piano_roll, tunes[k])
        assert (told["number"], told["of"]) == (k + 1, 4)
        assert (told["alike"], told["copied"]) == found[k]
    assert run("compose", model, *flags) == 0
    why = f"kept from 4, as number {order[0] + 1}: alike {found[order[0]].alike:.2f} (mean of all: "
    assert why in capsys.readouterr().out


def test_the_best_of_a_model_that_does_not_describe_its_music(model, tmp_path, capsys):
    loaded = RNN4Music.from_file(model)
    for statistics in ({}, {"polyphony": "x"}):
        loaded.metadata["training_statistics"] = statistics
        path = loaded.saveParameters(tmp_path / "old")
        assert run("compose", path, "--count", 2, "--best", 1, "--steps", 3) == 1
        err = capsys.readouterr().err
        assert "old.npz does not record what its training music is like" in err
        assert "train it further with rnn4music train --start-from" in err


def test_choices_are_compared_with_tunes_that_were_held_out(model, music, capsys, monkeypatch):
    monkeypatch.setattr(choosing, "SHARE", 0.5)
    flags = ["--count", "3", "--best", "2", "--steps", "20", "--trials", "2"]
    choosing.main([str(model), str(music), *flags])
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["best", "random", "all", "best"]
    assert all(0 < float(line.split()[1]) < 1 for line in out[:3]) and "of 2" in out[3]


def test_likeness_to_the_training_music(rng):
    music = [np.pad(random_roll(rng, 40, 20), ((0, 0), (2, 2))) for _ in range(5)]
    metadata = training_music.record({}, music)
    copied = transpose(music[3][5:20], 2)  # 15 chords, so eight passages of eight changes
    copied[-1] = 1
    silence = np.zeros((15, 24))
    for roll, share in ((music[0], 1), (copied, 7 / 8), (1 - copied, 0), (silence, None)):
        assert training_music.likeness(metadata, roll, False).copied == share
    similar = np.pad(random_roll(rng, 40, 20), ((0, 0), (2, 2)))
    alike = [
        training_music.likeness(metadata, roll, False).alike
        for roll in (similar, 1 - similar, silence)
    ]
    assert 1 > alike[0] > alike[1] > alike[2] >= 0
    assert training_music.Likeness(0.8, 0.25).score == pytest.approx(0.6)
    assert training_music.Likeness(0.8, None).score == 0.8
    further = training_music.record(metadata, music[:2], further=True)
    assert further["training_passages"] == metadata["training_passages"]
    assert further["training_statistics"] != metadata["training_statistics"]


def test_the_hashes_of_much_music_are_a_sample(rng, monkeypatch):
    """Half of the tune is copied, which the smaller half of the hashes shows too."""
    monkeypatch.setattr(training_music, "_N_HASHES", 200)
    music = [random_roll(rng, 407, 24)]
    metadata = training_music.record({}, music)
    assert len(training_music._passages(metadata)) == 200
    tune = np.vstack([music[0][:200], random_roll(rng, 200, 24)])
    assert 0.4 < training_music.likeness(metadata, tune, False).copied < 0.6
    assert training_music.likeness(metadata, music[0], False).copied == 1
    assert training_music.likeness(metadata, music[0][:40], False).copied is None  # too few


def test_copies_of_an_earlier_training_that_did_not_record_its_music_are_unknown(
    model, music, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    loaded = RNN4Music.from_file(model)
    del loaded.metadata["training_passages"]
    loaded.saveParameters("old")
    for _ in range(2):  # the second time the model's file says that passages are missing
        flags = ["--start-from", "old.npz", "-o", "old.npz", "--epochs", 1, "--window", 20]
        train(music, *flags, "--quiet", "--force")
    assert run("compose", "old.npz", "--count", 2, "--best", 1, "--steps", 30) == 0
    assert "copied: unknown" in capsys.readouterr().out


def test_each_call_composes_another_tune_and_reports_its_seed(model, tmp_path, capsys):
    seeds = []
    for name in ("a.mid", "b.mid"):
        flags = ["--steps", 30, "--threshold", 0, "-o", tmp_path / name]
        assert run("compose", model, *flags) == 0
        seeds.append(re.search(r"\(seed (\d+)\)", capsys.readouterr().out)[1])
    a, b = (midiread(tmp_path / name).piano_roll for name in ("a.mid", "b.mid"))
    assert (a != b).any() and seeds[0] != seeds[1]
    flags = ["--steps", 30, "--threshold", 0, "-o", tmp_path / "c.mid", "--seed", seeds[0]]
    assert run("compose", model, *flags) == 0
    np.testing.assert_array_equal(midiread(tmp_path / "c.mid").piano_roll, a)


def test_the_numbers_of_a_tune_are_those_of_its_notes(model, tmp_path, capsys):
    """Counted in the file that was written."""
    flags = ["-o", tmp_path / "t.mid", "--steps", 30, "--threshold", 0.45, "--seed", 2]
    assert run("compose", model, *flags, "--json") == 0
    (tune,) = json.loads(capsys.readouterr().out)["tunes"]
    sounding = midiread(tmp_path / "t.mid", (21, 109), 0.3, keep_short=True).piano_roll.sum(axis=1)
    sounding = np.append(sounding, np.zeros(30 - len(sounding)))  # silence at the end
    assert tune["notes_at_a_time"] == pytest.approx(sounding.mean())
    assert tune["silent"] == pytest.approx((sounding == 0).mean())
    assert len(set(sounding)) > 3 and tune["seconds"] == pytest.approx(9)


def test_the_baseline_of_the_training_music_by_hand():
    """One pitch is on, on, on, off, off: after on it is on in 2 of 3 steps, after off in 0 of 1."""
    roll = np.array([[1], [1], [1], [0], [0]], bool)
    metadata = training_music.record({}, [roll])
    silent, sounding = np.log(1 / 2), np.log(3 / 2)  # log((on + 1) / (off + 1))
    np.testing.assert_allclose(metadata["baseline"], [[silent], [sounding]], atol=1e-4)
    baseline = training_music.baseline(metadata, 1)
    odds = baseline(np.array([0.0, 1.0]).reshape(2, 1, 1))
    np.testing.assert_allclose(odds.ravel(), [silent, sounding], atol=1e-4)


@pytest.mark.filterwarnings("default:100% of the steps")
def test_a_silent_tune_raises_a_warning_and_keeps_its_length(model, tmp_path, capsys):
    files = ["-o", tmp_path / "t.mid", "--wav", tmp_path / "t.wav"]
    assert run("compose", model, "--threshold", 1, "--steps", 20, *files) == 0
    err = capsys.readouterr().err
    assert "warning: 100% of the steps are silent: a lower --threshold than 1 lets more" in err
    with wave.open(str(tmp_path / "t.wav")) as sound:
        assert sound.getnframes() == round(20 * 0.3 * sound.getframerate())
    loaded = RNN4Music.from_file(model)
    parameters = loaded.get_parameters()
    parameters["output/bias"] -= 100
    loaded.set_parameters(parameters)
    silent = loaded.saveParameters(tmp_path / "silent")
    assert run("compose", silent, "--threshold", 0, "--steps", 20, *files) == 0
    assert "100% of the steps are silent: the model may have" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    (
        (["--start", "{music}/0.mid", "-o", "{music}/0.mid"], "is read or written twice"),
        (["-o", "{model}"], "model.npz must end in .mid or .midi"),
        (["-o", ""], "--output is empty; give a name"),
        (["--wav", "no/folder.wav"], "there is no folder no for no/folder.wav"),
        (["--wav", "x.mp3"], "x.mp3 must end in .wav"),
        (["--png", "x.xyz"], "x.xyz must end in .png or .pdf or .svg"),
        (["--start", "late-1.mid", "--count", "2", "-o", "late.mid"], "twice"),
        (["--steps", "0"], "steps must be at least 1, but is 0"),
        (["--count", "0"], "count must be at least 1"),
        (["--threshold", "2"], "threshold must be finite and at least 0 and at most 1"),
        (["--threshold", "-1"], "threshold must be finite and at least 0 and at most 1"),
        (["--temperature", "0"], "temperature must be finite and at least 0.01"),
        (["--seed", "-1"], "seed must be at least 0, but is -1"),
        (["--start-steps", "0"], "--start-steps must be at least 1, but is 0"),
        (["--start", "{silent}"], "silent.mid has no notes to read from pitch 21 to 108"),
        (
            ["--start", "{late}", "--start-steps", "3"],
            "the first 3 steps of late-1.mid have no notes",
        ),
        (["--soundfont", "no.sf2", "--wav", "x.wav"], "no.sf2"),
    ),
)
def test_invalid_options_of_compose_are_refused(
    model, music, flags, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    silent = tmp_path / "silent.mid"
    midiwrite(silent, np.zeros((9, 88)), (21, 109), 0.3)
    midiwrite("late.mid", np.eye(88)[[0] * 3 + [40]] * np.arange(4)[:, None] // 3, (21, 109))
    os.replace("late.mid", "late-1.mid")
    track = b"\x00\x99\x24\x50\x60\x89\x24\x00\x00\xff\x2f\x00"
    head = b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x00\x60MTrk"
    (tmp_path / "drums.mid").write_bytes(head + struct.pack(">I", len(track)) + track)
    where = {"music": music, "silent": silent, "late": "late-1.mid", "model": model}
    where["drums"] = "drums.mid"
    flags = [flag.format(**where) for flag in flags]
    before = (music / "0.mid").read_bytes()
    assert run("compose", model, *flags) == 1
    assert message in capsys.readouterr().err
    assert (music / "0.mid").read_bytes() == before


@pytest.mark.usefixtures("no_updates")
def test_a_model_that_learned_in_beats_reads_and_writes_beats(music, tmp_path, capsys):
    model = tmp_path / "beats.npz"
    flags = [*SMALL, "--epochs", 1, "--steps-per-beat", 2, "--tempo", 60, "--sustain"]
    train(music, "-o", model, *flags)
    metadata = RNN4Music.from_file(model).metadata
    assert metadata["time_step"] == 0.5 and metadata["steps_per_beat"] == 2 and metadata["sustain"]
    files = ["--start", music / "2.mid", "--start-steps", 4, "--with-start", "--steps", 5]
    assert run("compose", model, *files, "-o", tmp_path / "t.mid") == 0
    roll = midiread(tmp_path / "t.mid", (21, 109), 0.5).piano_roll
    start = midiread(music / "2.mid", (21, 109), steps_per_beat=2).piano_roll[:4]
    np.testing.assert_array_equal(roll[:4], start)
    flags = ["--start-from", model, "-o", model, "--epochs", 1, "--quiet", "--dt", 0.1]
    capsys.readouterr()
    train(music, *flags, "--no-sustain")
    assert (
        "was trained on 2 steps per beat, and is now trained further on steps of 0.1 s"
        in capsys.readouterr().err
    )
    metadata = RNN4Music.from_file(model).metadata
    assert (
        metadata["time_step"] == 0.1 and not metadata["steps_per_beat"] and not metadata["sustain"]
    )
    capsys.readouterr()
    assert run("evaluate", model, music, "--json") == 0
    assert json.loads(capsys.readouterr().out)["n_steps"] == 5 * (200 - 1)  # at its tempo of 60


def test_a_model_trained_in_c_transposes_its_start_and_its_tune(music, tmp_path, capsys):
    """The start is transposed to C major or A minor, and the composed tune back."""
    model = tmp_path / "c.npz"
    train(music, "-o", model, *SMALL, "--epochs", 1, "--keys", "c")
    dataset = load_midi(music, to_c=True)
    capsys.readouterr()
    assert run("evaluate", model, music, "--json") == 0
    score = json.loads(capsys.readouterr().out)["nats_per_step"]
    assert score == pytest.approx(RNN4Music.from_file(model).evaluate(dataset).nats_per_step)
    key = find_key(midiread(music / "2.mid").piano_roll)
    semitones = semitones_to_c(key)
    assert semitones != 0
    flags = ["--start", music / "2.mid", "--start-steps", 9, "--steps", 8, "--seed", 3]
    assert run("compose", model, *flags, "-o", tmp_path / "t.mid", "--with-start") == 0
    roll = midiread(tmp_path / "t.mid").piano_roll
    np.testing.assert_array_equal(roll[:9], midiread(music / "2.mid").piano_roll[:9])
    composed, _ = RNN4Music.from_file(model).genMusic(
        dataset[2][:9], 8, sampling="systematic", seed=3
    )
    np.testing.assert_array_equal(roll[9:], transpose(composed, -semitones))


def test_without_a_name_no_earlier_tune_is_lost(model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for flags in ([], ["--count", 2], [], ["--count", 2]):
        assert run("compose", model, "--steps", 2, *flags) == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "tune-1.mid", "tune-2.mid", "tune.mid", "tune_2-1.mid", "tune_2-2.mid", "tune_2.mid",
    ]  # fmt: skip


def test_sound_as_mp3_and_a_title(model, music, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--steps", 5, "-o", "t.mid", "--mp3", "t.mp3", "--html", "t.html"]

    def title():
        return re.findall("<title>(.*)</title>", (tmp_path / "t.html").read_text("utf8"))[0]

    assert run("compose", model, *flags, "--json") == 0
    assert json.loads(capsys.readouterr().out)["replaced"] == []
    assert title() == f"In the style of {music.name}"
    assert (tmp_path / "t.mp3").stat().st_size > 500
    assert run("compose", model, *flags, "--start", music / "3.mid") == 0
    assert title() == "3, continued"
    assert "replaced earlier files: t.mid, t.mp3, t.html" in capsys.readouterr().out
    assert run("compose", model, *flags, "--title", "Opus 1", "--count", 2) == 0
    assert title() == "Opus 1" and b"Opus 1 2" in (tmp_path / "t-2.mid").read_bytes()


def test_a_start_that_is_shorter_than_asked_for_is_reported(model, music, tmp_path, capsys):
    flags = ["--start", music / "0.mid", "--steps", 2, "-o", tmp_path / "t.mid"]
    warning = "has only 40 steps, fewer than --start-steps 41: all of it is read"
    assert run("compose", model, *flags, "--start-steps", 41) == 0
    assert warning in capsys.readouterr().err
    assert run("compose", model, *flags) == 0  # the default is at most 50
    assert "fewer than" not in capsys.readouterr().err


def test_a_poor_model_or_tune_raises_a_warning(model, tmp_path, capsys):
    flags = ["--steps", 9, "-o", tmp_path / "t.mid"]
    assert run("compose", model, *flags, "--temperature", 100) == 0
    err = capsys.readouterr().err
    assert re.search(r"the best validation is .* nats per step, worse than the baseline of \d", err)
    assert re.search(r"\d\d\.\d notes sound at a time, more than music usually has", err)
    loaded = RNN4Music.from_file(model)
    loaded.history.baseline = 1000.0
    better = loaded.saveParameters(tmp_path / "better")
    assert run("compose", better, *flags) == 0
    assert "worse than" not in capsys.readouterr().err
    parameters = loaded.get_parameters()
    parameters["output/bias"] += 100
    loaded.set_parameters(parameters)
    assert run("compose", loaded.saveParameters(tmp_path / "dense"), *flags) == 0
    assert "learned too little; --density below 1 gives" in capsys.readouterr().err


def test_a_model_with_chords_is_not_told_of_threshold_and_sampling(chords, tmp_path, capsys):
    page = tmp_path / "t.html"
    flags = ["--steps", 9, "-o", tmp_path / "t.mid", "--html", page, "--temperature", 100]
    assert run("compose", chords, *flags) == 0
    err = capsys.readouterr().err
    assert "learned too little; --density below 1 gives" in err
    assert "Temperature" in page.read_text("utf8") and "Sampling" not in page.read_text("utf8")
    assert run("info", chords, "--markdown") == 0
    assert "network.gen_music(None, 300)" in capsys.readouterr().out


# ---- the others


def test_a_training_that_ends_above_the_baseline_has_an_exit_code_of_its_own(tmp_path):
    def status(validation, **changes):
        history = History(validation=validation, baseline=8.0, epochs=2, **changes)
        return result_of_training(Trained("model.npz", history, Music({}, {})))

    good = status([9.0, 7.9])
    assert good.status == 0
    assert good.text.splitlines()[-1].startswith(
        "the model predicts a step of the tunes held out 0.100 nats better than this baseline"
    )
    worse = status([39714.9, 8.1])
    assert worse.status == 3 and worse.values["worse_than_baseline"]
    assert "worse than the baseline of 8.000" in worse.text
    assert "--keys all" in worse.text and "more epochs, since the last one" in worse.text
    assert status([9.0, 8.1], interrupted=True).status == 130
    assert status([None, None]).status == 0


@pytest.mark.usefixtures("no_updates")
@pytest.mark.filterwarnings("default")
def test_after_training_the_last_lines_say_what_was_missing(tmp_path, capsys):
    folder = tmp_path / "junk"
    folder.mkdir()
    for k in range(11):
        (folder / f"{k}.mid").write_bytes(b"MThd")
    tune_file(folder / "tune.mid", n_steps=25)
    flags = ["-o", tmp_path / "m.npz", *SMALL, "--window", 20, "--epochs", 1]
    train(folder, *flags)
    out, err = capsys.readouterr()
    *_, used, unknown = out.splitlines()
    assert used == "1 of 12 files could be used, with 25 steps in all"
    assert unknown == "no tune was held out, so nobody knows how good the model is"
    assert "learning from 1 tune, 25 steps, no tune is held out" in err


def test_a_training_that_diverges_names_its_rates(music, tmp_path, capsys):
    flags = [*SMALL, "--window", 20, "--epochs", 3, "--learning-rates", 100, "--clip", 1000]
    for validation in (0.2, 0):
        name = f"{validation}.npz"
        page = tmp_path / f"{validation}.html"
        rates = [*flags, "--validation", validation, "-o", tmp_path / name, "--html", page]
        assert run("train", music, *rates) == _common.ABOVE_BASELINE
        out = capsys.readouterr().out
        assert "diverged at learning rates of 100. Try much lower ones" in out.splitlines()[-1]
        assert not page.exists()


def test_training_writes_a_page_with_three_tunes(music, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text('html = "tunes.html"\ndt = 0.05\nepochs = 1\n')
    flags = ["train", music, "--config", "run.toml", *SMALL, "--window", 20, "--json"]
    with monkeypatch.context() as patch:
        patch.setattr("soundfile.available_formats", lambda: {"WAV": "WAV"})
        assert run(*flags) == 1 and "cannot write MP3" in capsys.readouterr().err
    train = experiment_run.train

    def interrupted(*arguments):
        trained = train(*arguments)
        trained.history.interrupted = True
        return trained

    with monkeypatch.context() as patch:
        patch.setattr(experiment_run, "train", interrupted)
        assert run(*flags, "--checkpoint", "state") == 130
    composed = json.loads(capsys.readouterr().out)["compose"]
    assert len(composed["tunes"]) == 3 and composed["files"] == ["tunes.html"]
    files = {"run.toml", "model.npz", "state.npz", "tunes.html"}
    assert {path.name for path in tmp_path.iterdir()} == files
    page = (tmp_path / "tunes.html").read_text("utf8")
    assert page.count("<audio") == 3 and f"In the style of {music.name}" in page
    (tmp_path / "tunes.html").write_text("older")
    assert run(*flags, "-o", "other") == 1
    assert "tunes.html exists already: give another --html" in capsys.readouterr().err
    assert run(*flags, "--checkpoint", "state", "--resume") in (0, _common.ABOVE_BASELINE)
    captured = capsys.readouterr()
    assert (tmp_path / "tunes.html").read_text("utf8") == page  # the seed is that of the training
    assert "worse than the baseline" not in captured.err  # the result says so


def test_evaluating_names_the_tunes_that_were_trained_on(model, music, tmp_path, capsys):
    loaded = RNN4Music.from_file(model)
    hashes = training_music.known_hashes(loaded.metadata)
    assert hashes is not None and len(hashes) == 4
    rolls = [midiread(music / f"{k}.mid").piano_roll for k in range(5)]
    known = [training_music.hash_of(roll) in hashes for roll in rolls]
    assert sum(known) == 4
    trained_on = rolls[known.index(True)]
    padded = np.vstack([np.zeros((3, 88)), transpose(trained_on, 2), np.zeros((2, 88))])
    midiwrite(tmp_path / "other key.mid", padded, (21, 109), 0.3)
    changed = trained_on.copy()
    changed[5] = 0
    midiwrite(tmp_path / "changed.mid", changed, (21, 109), 0.3)
    assert run("evaluate", model, tmp_path, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert {tune["name"]: tune["trained_on"] for tune in result["tunes"]} == {
        "other key.mid": True, "changed.mid": False,
    }  # fmt: skip
    chain = markov_probabilities([roll for roll, is_known in zip(rolls, known) if is_known])
    scored = load_midi(tmp_path)
    assert result["baseline"] == pytest.approx(score(chain, scored), abs=1e-3)
    assert run("evaluate", model, music) == 0
    out = capsys.readouterr().out
    assert "(each pitch's own Markov chain: " in out and "worse than the baseline of" in out
    names = ", ".join(f"{k}.mid" for k in range(5) if known[k])
    assert "trained on 4 of 5 tunes" in out and out.endswith(f": {names}\n")
    loaded.metadata |= {"training_tunes": 3, "baseline": [[1], "x"]}
    assert run("evaluate", loaded.saveParameters(tmp_path / "odd"), tmp_path) == 0
    assert "does not say which tunes it was trained on" in capsys.readouterr().out


@pytest.mark.parametrize(("n_tunes", "end"), ((8, ", 7.mid"), (10, ", 7.mid and 2 more")))
def test_evaluating_names_at_most_eight_of_the_tunes(n_tunes, end):
    tunes = [{"name": f"{k}.mid", "trained_on": True} for k in range(n_tunes)]
    text = evaluate._trained_on([*tunes, {"name": "new.mid", "trained_on": False}])
    assert f"trained on {n_tunes} of {n_tunes + 1} tunes" in text and text.endswith(end)


def test_names_of_tunes_are_escaped_and_unknown_tunes_are_not_called_new(
    model, music, tmp_path, capsys
):
    for path in music.iterdir():
        (tmp_path / f"\x1b[31m{path.name}").write_bytes(path.read_bytes())
    assert run("evaluate", model, tmp_path) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and r": \x1b[31m" in out
    other = tune_file(tmp_path / "other.mid", 11)
    assert run("evaluate", model, other) == 0
    assert "none of these tunes is recognised as one of" in capsys.readouterr().out


def test_a_validation_that_near_duplicates_leave_empty_is_reported(tmp_path):
    for k in range(5):
        tune_file(tmp_path / f"{k}.mid")
    settings = config.merged({"command": "train", "data": str(tmp_path)}, None)
    with pytest.warns(UserWarning, match=r"--validation 0.1 of 5 tunes holds out none: near dup"):
        read_music(str(tmp_path), settings, SimpleNamespace(metadata={}, io_length=88))


@pytest.mark.parametrize(
    ("source", "name"), (("big/*.mid", "big"), ("*/0.mid", "here"), ("big", "big"))
)
def test_a_model_is_named_after_the_folder_of_a_pattern(tmp_path, monkeypatch, source, name):
    (tmp_path / "here" / "big").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for k in range(2):
        tune_file(Path("big", f"{k}.mid"), k)
    settings = config.merged({"command": "train", "data": source, "validation": 0.0}, None)
    music = read_music(source, settings, SimpleNamespace(metadata={}, io_length=88))
    assert music.metadata["data"] == name


@pytest.mark.parametrize(
    ("data", "title"),
    (
        ("x.zip", "In the style of x"),
        ("JSB.mat", "In the style of JSB"),
        ("op. 10", "In the style of op. 10"),
        ("*.mid", "t"),
        ("", "t"),
        (7, "t"),
    ),
)
def test_the_default_title_has_no_suffix_or_pattern(data, title):
    args = SimpleNamespace(title=None, start="none", output="t.mid")
    assert compose._title(args, {"data": data}) == title


def test_a_single_step_is_counted_in_the_singular(model, tmp_path, capsys):
    assert run("compose", model, "--steps", 1, "-o", tmp_path / "t.mid") == 0
    assert capsys.readouterr().out.startswith("1 step, ")


def test_steps_of_unknown_length_are_called_so():
    settings = SimpleNamespace(start_from="m.npz")
    with pytest.warns(UserWarning, match="trained on steps of unknown length, and is .* of 0.1 s"):
        _warn_of_other_steps(settings, {}, {"time_step": 0.1})


def test_a_model_that_is_trained_further_has_all_its_tunes_on_record(model, tmp_path, music):
    other = tmp_path / "other"
    other.mkdir()
    for k in (7, 8):
        tune_file(other / f"{k}.mid", k, 30)
    flags = ["--start-from", model, "-o", tmp_path / "m.npz", "--epochs", 1, "--window", 20]
    train(other, *flags, "--quiet", "--validation", 0, "--keys", "all")
    hashes = training_music.known_hashes(RNN4Music.from_file(tmp_path / "m.npz").metadata)
    assert hashes is not None and len(hashes) == 6


def test_evaluating_scores_each_tune(model, music, capsys):
    assert run("evaluate", model, music, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    dataset = [midiread(music / f"{k}.mid").piano_roll for k in range(5)]
    expected = RNN4Music.from_file(model).evaluate(dataset)
    assert result["nats_per_step"] == pytest.approx(expected.nats_per_step)
    assert [tune["name"] for tune in result["tunes"]] == [f"{k}.mid" for k in range(5)]
    assert run("evaluate", model, music) == 0
    assert f"{expected.nats_per_step:.3f} nats per step on 5 tunes" in capsys.readouterr().out


def test_a_standard_set_is_scored_by_its_parts(model, tmp_path, capsys):
    parts = {part: [[[60, 64], [62]], [[60], []]] for part in ("train", "valid", "test")}
    parts["test"].append([[70]] * 9)
    (tmp_path / "set.json").write_text(json.dumps(parts))
    assert run("evaluate", model, tmp_path / "set.json") == 0
    assert "on 3 tunes, 13 steps" in capsys.readouterr().out
    assert run("evaluate", model, tmp_path / "set.json", "--part", "train") == 0
    assert "on 2 tunes, 4 steps" in capsys.readouterr().out


def test_the_step_of_a_standard_set_is_assumed_unless_it_is_given(tmp_path):
    path = tmp_path / "set.json"
    path.write_text(json.dumps(dict.fromkeys(("train", "valid", "test"), [[[60], [64]]])))
    for given, metadata, step in (({}, {}, 0.3), ({"dt": 0.1}, {}, 0.1), ({}, {"time_step": 1}, 1)):
        model = SimpleNamespace(metadata=metadata, io_length=88)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            music = read_music(path, config.complete(given), model)
        assert music.metadata["time_step"] == step
        messages = [str(each.message) for each in warned]
        assert any("does not give the length of a step" in m for m in messages) == (step == 0.3)


@pytest.mark.parametrize(
    ("seconds", "text"),
    (
        (0.4, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2.0 h"),
        (9000, "2.5 h"),
    ),
)
def test_durations_of_a_training(seconds, text):
    assert model_card._time(seconds) == text


def test_info_describes_models_and_midi_files(model, music, capsys):
    assert run("info", model) == 0
    out = capsys.readouterr().out
    for what in ("3, 4, 5 units", "4 tunes, 160 steps", "genProbThreshold", "nats per step"):
        assert what in out
    assert run("info", model, "--json") == 0
    assert json.loads(capsys.readouterr().out)["settings"]["h2_length"] == 4
    assert run("info", music / "0.mid") == 0
    assert "ticks per quarter note" in capsys.readouterr().out
    assert run("info", music / "0.mid", "--json") == 0
    assert json.loads(capsys.readouterr().out)["seconds"] == pytest.approx(12)


def test_info_has_one_form_for_numbers_keys_and_steps(model, capsys):
    content = model_file.read(model)
    content["metadata"] |= {"keys": "all", "steps_per_beat": 4.0, "tempo": 90, "sustain": True}
    content["metadata"]["trained_on"][-1]["dataset"] = "84 tunes, 12345 steps"
    facts = model_card.facts("model.npz", content)
    assert facts["Trained on"].startswith("7 tunes in twelve keys, 12,345 steps in all, validated")
    assert facts["Time step"] == "4 steps per beat (quarter note)"
    assert facts["Pitches"] == "88, A0 (21) to C8 (108)"
    assert facts["Read with"] == (
        "all tunes at 90 beats a minute, the sustain pedal, each tune in all twelve keys"
    )
    lines = model_card.text("model.npz", content).splitlines()
    names = [line.split("  ")[0] for line in lines]
    assert len([name for name in names if "keys" in name.lower()]) == 0
    assert not {each for each in names if each.startswith("training_") or each == "baseline"}


def test_info_on_a_checkpoint_without_its_state_says_so(files, tmp_path, capsys):
    with np.load(files / "checkpoint.npz") as content:
        arrays = dict(content)
    assert run("info", files / "checkpoint.npz") == 0
    assert "of a training: 1 epoch complete" in capsys.readouterr().out
    for checkpoint in ({}, {"training": {}, "before": {}, "state": {}}):
        arrays["checkpoint"] = np.array(json.dumps(checkpoint))
        np.savez(tmp_path / "c.npz", **arrays)
        assert run("info", tmp_path / "c.npz") == 1
        assert "c.npz is damaged: " in capsys.readouterr().err


def test_a_sound_in_which_no_note_sounds_is_not_written(tmp_path, capsys):
    midiwrite(tmp_path / "silent.mid", np.zeros((9, 88)), (21, 109), 0.3)
    assert run("render", tmp_path / "silent.mid", "-o", tmp_path / "x.wav") == 1
    assert "has no notes to play, so nothing is written" in capsys.readouterr().err
    assert not (tmp_path / "x.wav").exists()


def test_the_model_card_is_markdown_that_nothing_breaks(model, tmp_path, capsys):
    loaded = RNN4Music.from_file(model)
    loaded.metadata |= {"licence": "CC | <b>0</b>", "composer": "a_b*c\n# no heading"}
    path = loaded.saveParameters(tmp_path / "my_model")
    assert run("info", path, "--markdown") == 0
    card = capsys.readouterr().out
    headings = [line for line in card.splitlines() if line.startswith("#")]
    assert headings == [
        r"# my\_model", "## Model", "## Settings", "## Training", "## Results", "## Use",
        "## Limits", "## Licence",
    ]  # fmt: skip
    assert r"CC \| &lt;b&gt;0&lt;/b&gt;" in card and r"a\_b\*c \# no heading" in card
    assert f"{min(loaded.history.validation):.3f} nats per step" in card
    assert "threshold=" not in card and 'sampling="systematic"' in card  # the model has a threshold


def test_the_code_of_a_model_card_composes(model, chords, capsys):
    for path in (model, chords):
        assert run("info", path, "--markdown") == 0
        (code,) = re.findall("```python\n(.*?)```", capsys.readouterr().out, re.S)
        code += "print(tune.shape)"
        command = [sys.executable, "-c", code]
        shown = subprocess.check_output(command, cwd=path.parent, text=True)
        assert shown == "(300, 88)\n"


def test_invalid_metadata_are_shown_or_refused(model, tmp_path, capsys):
    loaded = RNN4Music.from_file(model)
    loaded.metadata = {"trained_on": ["elsewhere", {}], "time_step": "short", "lowest_pitch": 21}
    loaded.metadata["data"] = "\x1b]0;title\x07\nkeys  forged"
    path = loaded.saveParameters(tmp_path / "odd")
    assert run("info", path) == 0
    assert "\\x1b]0;title\\x07\\nkeys  forged\n" in capsys.readouterr().out
    assert run("info", path, "--markdown") == 0
    assert run("compose", path, "-o", tmp_path / "t.mid", "--steps", 2) == 1
    assert "error: dt must be a number, not str 'short'" in capsys.readouterr().err
    assert run("compose", path, "-o", tmp_path / "t.mid", "--steps", 2, "--dt", 0.2) == 0


@pytest.mark.parametrize(
    ("arguments", "texts"),
    (
        (["roll", "{tune}"], {"seconds", "pitch", "C4", "0.mid: 80 notes"}),
        (["learning", "{model}"], {"epoch", "nats per step", "validation", "training"}),
        (["probabilities", "{model}", "--tune", "{tune}"], {"seconds", "probability", "C4"}),
        (
            ["activations", "{model}", "--tune", "{tune}", "--part", "forget"],
            {
                "forget gate",
                "3 units",  # of the first layer
                "a row is a unit: yellow keeps its memory, blue erases it",
            },
        ),
        (
            ["activations", "{model}", "--tune", "{tune}", "--layer", "3", "--dt", "0.6"],
            {"seconds", "tanh c", "Layer 3 of model.npz reads 0.mid"},
        ),
        (["chords", "{chords}", "--tune", "{tune}"], {"effect (nats)", "with this note", "12"}),
    ),
)
def test_pictures(model, chords, music, tmp_path, arguments, texts, capsys):
    names = {"model": model, "chords": chords, "tune": music / "0.mid"}
    arguments = [each.format(**names) for each in arguments]
    assert run("plot", *arguments, "-o", tmp_path / "p.svg") == 0
    drawn = set(re.findall("<!-- (.*?) -->", (tmp_path / "p.svg").read_text("utf8")))
    assert texts <= drawn, drawn
    assert str(tmp_path / "p.svg") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "title"),
    (
        (os.fsdecode(b"caf\xe9.mid"), "caf?.mid: 80 notes"),
        (f"begin {'x' * 150} end.mid", f"begin {'x' * 13}…xx end.mid: 80 notes"),
    ),
)
def test_titles_have_odd_and_long_names(music, tmp_path, name, title):
    try:
        shutil.copy(music / "0.mid", tmp_path / name)
    except OSError:
        pytest.skip("file names are Unicode here")
    assert run("plot", "roll", tmp_path / name, "-o", tmp_path / "p.svg") == 0
    assert title in (tmp_path / "p.svg").read_text("utf8")


def test_long_titles_stand_above_the_line_on_how_to_read_the_picture():
    from matplotlib.figure import Figure

    axes = Figure((12, 4), layout="constrained").add_subplot()
    for text, is_above in (("m.npz reads a.mid", False), ("m" * 30 + " reads " + "a" * 30, True)):
        plot._title(axes, text, "how " * 19)
        axes.figure.draw_without_rendering()
        title, how = axes._left_title.get_window_extent(), axes._right_title.get_window_extent()
        first_line = (title.y0 + title.y1) / 2 if is_above else title.y0
        assert (title.x1 > how.x0) == is_above and (first_line >= how.y1 - 2) == is_above


@pytest.mark.parametrize("window", ("50", [1], 1, True))
def test_a_learning_curve_of_windows_of_unknown_length(model, tmp_path, window):
    loaded = RNN4Music.from_file(model)
    loaded.metadata["trained_on"] = [{"window": window}]
    path = loaded.saveParameters(tmp_path / "odd")
    assert run("plot", "learning", path, "-o", tmp_path / "p.svg") == 0
    assert "<!-- overfitting" not in (tmp_path / "p.svg").read_text("utf8")


def test_probabilities_are_drawn_at_the_step_that_they_predict(model, music, tmp_path, monkeypatch):
    drawn = []

    def draw(panels, *rolls, **how):
        drawn.append((*rolls, how))

    monkeypatch.setattr(plots, "plot_composition", draw)
    tune = music / "0.mid"
    assert run("plot", "probabilities", model, "--tune", tune, "-o", tmp_path / "p.png") == 0
    ((roll, probabilities, how),) = drawn
    np.testing.assert_array_equal(roll, load_midi(tune)[0])
    assert how == {"time_step": 0.3, "beats": None, "lowest_pitch": 21, "onsets": False}
    assert not probabilities[0].any()
    predicted = RNN4Music.from_file(model).predict(roll)
    np.testing.assert_allclose(probabilities[1:], predicted[:-1], rtol=1e-4)


def test_plot_roll_draws_every_note_at_its_own_time(tmp_path, capsys, monkeypatch):
    roll = np.zeros((400, 88))
    roll[::2, 40] = 1  # 200 notes of a 16th of a second, a fifth of the loader's step
    midiwrite(tmp_path / "fast.mid", roll, (21, 109), beats=Beats(4, 240, (3, 4)))
    drawn, bars = [], []

    def plot_notes(axes, notes, bars_of_file):
        drawn.extend(notes)
        bars.append(bars_of_file)

    monkeypatch.setattr(plots, "plot_notes", plot_notes)
    assert run("plot", "roll", tmp_path / "fast.mid", "-o", tmp_path / "p.png") == 0
    assert capsys.readouterr().out.endswith("p.png, 200 notes\n")
    assert drawn == midiread(tmp_path / "fast.mid", (0, 128)).notes and len(drawn) == 200
    np.testing.assert_array_equal(bars[0], np.arange(0, 25, 0.75))
    assert run("plot", "roll", tmp_path / "fast.mid", "--dt", "0.1") == 1
    assert "leave out --dt" in capsys.readouterr().err
    (tmp_path / "drums.mid").write_bytes(
        b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk\0\0\0\x10\0\x90<@`\x80<\0\0\x99<@`\x89<\0"
    )
    assert run("plot", "roll", tmp_path / "drums.mid", "-o", tmp_path / "p.png") == 0
    assert capsys.readouterr().out.endswith("p.png, 1 note (1 on drums not drawn)\n")
    midiwrite(tmp_path / "rest.mid", 0 * roll, (21, 109), 0.3)
    assert run("plot", "roll", tmp_path / "rest.mid", "-o", tmp_path / "none.png") == 1
    assert "has no notes to draw" in capsys.readouterr().err
    assert not (tmp_path / "none.png").exists()


def test_pictures_that_need_a_tune_name_the_flag(model, tmp_path, capsys):
    assert run("plot", "activations", model, "-o", tmp_path / "p.png") == 1
    assert "give --tune MID" in capsys.readouterr().err


def test_rendering_lasts_as_long_as_the_file(music, tmp_path, capsys):
    for name in ("t.wav", "t.mp3"):
        assert run("render", music / "0.mid", "-o", tmp_path / name) == 0
        assert (tmp_path / name).stat().st_size > 1000
    with wave.open(str(tmp_path / "t.wav")) as sound:
        assert sound.getnframes() == 12 * sound.getframerate()
    assert "12.0 s" in capsys.readouterr().out


def test_the_demo_trains_composes_and_writes_a_page(tmp_path, capsys, monkeypatch):
    (tmp_path / "demo").mkdir()
    (tmp_path / "music").mkdir()
    for k in range(9):  # of which it holds out 6 %: one
        tune_file(tmp_path / "music" / f"{k}.mid", k, n_steps=20)
    folders, results = [], []

    def write_chorales(folder):
        folders.append(folder)
        return tmp_path / "music"

    def train(settings, train=experiment_run.train):
        results.append(train(settings))
        return results[-1]

    monkeypatch.setattr("rnn4music.data.write_chorales", write_chorales, raising=False)
    monkeypatch.setattr(experiment_run, "train", train)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    flags = ["--minutes", 0.01, "-o", tmp_path / "demo"]
    assert run("demo", *flags) in (0, _common.ABOVE_BASELINE)
    out, err = capsys.readouterr()
    assert folders == [tmp_path / "cache" / "rnn4music" / "chorales"]
    assert "the demo learns from Bach's chorales for 0.01 minutes" in err
    assert "about 0.51 minutes in all" in err
    assert f"Bach's chorales: MIDI files in {tmp_path / 'music'}" in err
    assert {each.name for each in (tmp_path / "demo").iterdir()} == {
        "demo.npz", "demo.mid", "demo.wav", "demo.png", "demo.html",
    }  # fmt: skip
    assert f"open {(tmp_path / 'demo' / 'demo.html').as_uri()} in a browser" in out
    (held_out,) = load_midi(tmp_path / "music").split(0.06, 0, seed=1).validation.names
    page = (tmp_path / "demo" / "demo.html").read_text("utf8")
    assert f"<dd>20 steps of {held_out}</dd>" in page  # the tune is continued
    assert f"{held_out.removesuffix('.mid')}, continued" in page
    assert RNN4Music.from_file(tmp_path / "demo" / "demo.npz").metadata["keys"] == "all"
    composed = describe(tmp_path / "demo" / "demo.mid")
    with wave.open(str(tmp_path / "demo" / "demo.wav")) as sound:
        seconds = sound.getnframes() / sound.getframerate()
    assert seconds == pytest.approx(composed.seconds, abs=1e-3)
    assert sum(track.n_notes for track in composed.tracks) > 0
    before = (tmp_path / "demo" / "demo.npz").read_bytes()
    assert run("demo", *flags) == 1
    assert "give another folder with -o, or --force to replace it" in capsys.readouterr().err
    assert (tmp_path / "demo" / "demo.npz").read_bytes() == before

    # with the same result in place of a training: composes unless it was stopped
    (trained,) = results
    monkeypatch.setattr(experiment_run, "train", lambda settings: trained)
    flags += ["--data", tmp_path / "music", "--force"]
    for is_stopped, status in ((False, 0), (True, 130)):
        (tmp_path / "demo" / "demo.html").unlink()
        trained.history.baseline, trained.history.interrupted = np.inf, is_stopped
        assert run("demo", *flags) == status
        assert (tmp_path / "demo" / "demo.html").exists() != is_stopped
    assert len(folders) == 1


def test_the_cache_directory_is_where_the_system_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert paths.user_cache() == tmp_path / "home" / ".cache" / "rnn4music"
    assert (tmp_path / "home" / ".cache" / "rnn4music").is_dir()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert paths.user_cache() == tmp_path / "home" / "Library" / "Caches" / "rnn4music"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert paths.user_cache() == tmp_path / "home" / "Library" / "Caches" / "rnn4music"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert paths.user_cache() is None


def test_without_a_home_directory_there_is_no_cache_directory(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def no_home(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.expanduser", no_home)
    assert paths.user_cache() is None


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_home_directory_must_be_absolute(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("HOME", home)
    assert paths.user_cache() is None
    assert not list(tmp_path.iterdir())


def test_a_standard_set_is_not_overwritten_by_what_learned_from_it(tmp_path, capsys):
    (tmp_path / "set.npz").write_bytes(b"a set")
    assert run("train", tmp_path / "set.npz", "-o", tmp_path / "set.npz", "--force") == 1
    assert "is read or written twice" in capsys.readouterr().err
    assert (tmp_path / "set.npz").read_bytes() == b"a set"


def test_a_file_that_is_not_a_model_is_refused(tmp_path, capsys):
    (tmp_path / "README.md").write_text("# Read me")
    assert run("info", tmp_path / "README.md") == 1
    assert "README.md is a text file, but info needs a model" in capsys.readouterr().err


def test_it_works_with_its_output_closed(model):
    script = "import sys; sys.stdout = None; from rnn4music.cli import main; "
    script += f"sys.exit(main(['info', {str(model)!r}]))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_it_works_in_a_pipe_that_closes_early(model):
    command = [sys.executable, "-m", "rnn4music", "info", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.wait(30) == 1
        assert process.stderr.read() == b""


def test_a_checkpoint_of_another_training_is_described_by_the_flags():
    existing = {"window": 100, "R1": 0.1, "R2": 0.1, "h1_length": 8, "h2_length": 8, "dataset": "a"}
    expected = {"window": 50, "R1": 0.2, "R2": 0.1, "h1_length": 8, "h2_length": 9, "dataset": "b"}
    with pytest.raises(AnotherTraining) as raised:
        check_same("night.npz", existing, expected)
    assert "trained with window 100, not 50; R1 0.1, not 0.2; h2" in str(raised.value)
    sentence = _common.sentence(raised.value)
    assert (
        "it was trained with --window 100, not 50; --learning-rates 0.1 0.1, not 0.2 0.1"
        in sentence
    )
    assert "--units 8 8, not 8 9; the training music 'a', not 'b'. Resume it" in sentence
    assert "--keep-silence" not in sentence
    with pytest.raises(AnotherTraining) as raised:
        check_same("night.npz", existing, expected, keeps_silence=True)
    assert "give --keep-silence (in Python keep_silence=True)" in _common.sentence(raised.value)


# ---- beats

SUITED = [*SMALL[1:], "--chord-units", "4", "--keys", "own"]


@pytest.fixture(scope="module")
def waltzes(tmp_path_factory):
    """Six tunes in 3/4 at 90 quarter notes per minute, of eighths, louder on the first beat."""
    folder, rng = tmp_path_factory.mktemp("waltzes"), np.random.default_rng(6)
    for k in range(6):
        roll = np.zeros((60, 88), bool)
        roll[np.arange(60), rng.integers(30, 50, 60)] = True
        roll[::2, 20] = True
        velocity = np.where(np.arange(60) % 6 == 0, 100, 70)[:, None] * np.ones_like(roll, int)
        beats = Beats(2, 90.0, (3, 4), 0, (-1, False))
        midiwrite(folder / f"{k}.mid", roll, beats=beats, velocity=velocity)
    return folder


@pytest.fixture(scope="module")
def waltz(waltzes, tmp_path_factory):
    """A model that was trained on them, without a word about steps."""
    path = tmp_path_factory.mktemp("waltz") / "waltz.npz"
    train(waltzes, "-o", path, *SUITED, "--epochs", 2)
    return path


@pytest.mark.usefixtures("no_updates")
def test_training_chooses_the_steps_and_says_why(waltzes, tmp_path, capsys):
    train(waltzes, "-o", tmp_path / "w", *SUITED, "--epochs", 1)
    expected = "2 steps per beat: 100% of the note onsets lie on them (1 per beat: "
    err = capsys.readouterr().err
    assert err.startswith(expected) and "--steps-per-beat or --dt sets another length" in err
    for flags in (["--dt", 0.25], ["--steps-per-beat", 4], ["--start-from", tmp_path / "w.npz"]):
        given = [] if "--start-from" in flags else SUITED
        train(waltzes, "-o", tmp_path / "x", *flags, *given, "--epochs", 1, "--force")
        assert "lie on them" not in capsys.readouterr().err
    assert run("convert", waltzes, tmp_path / "store", "--onsets") == 0
    assert capsys.readouterr().err.startswith(expected)
    assert RollStore(tmp_path / "store").options["steps_per_beat"] == 2


def test_a_model_knows_tempo_metre_and_accents_of_its_music(waltz, waltzes, tmp_path, capsys):
    metadata = RNN4Music.from_file(waltz).metadata
    assert metadata["steps_per_beat"] == 2 and metadata["time_step"] == pytest.approx(1 / 3)
    tempo, meter = metadata["beats"]["tempo"], metadata["beats"]["meter"]
    assert tempo == pytest.approx(90, abs=1e-3) and meter == [3, 4]
    accents = metadata["accents"]["positions"]
    assert len(accents) == 6 and accents[0] > 2 > 0 > max(accents[1:])
    assert run("info", waltz) == 0
    shown = capsys.readouterr().out
    assert "2 steps per beat (quarter note), at 90 quarter notes per minute in 3/4" in shown
    # Python records the same
    model = small_model(io_length=176)
    tunes = load_midi(waltzes, steps_per_beat="auto", onsets=True)
    model.train(tunes, 1, 1, 5, 20, progress=False)
    for name in ("beats", "steps_per_beat", "time_step", "onsets"):
        assert model.metadata[name] == metadata[name]
    assert len(model.metadata["accents"]["positions"]) == 6


def test_a_tune_has_the_tempo_metre_and_accents_of_the_music(waltz, tmp_path, capsys):
    path = tmp_path / "t.mid"
    seed = "--seed", 3, "--temperature", 0.3, "--threshold", 0
    assert run("compose", waltz, "-o", path, "--bars", 4, *seed, "--json") == 0
    assert json.loads(capsys.readouterr().out)["time_step"] == pytest.approx(1 / 3)
    content = midiread(path, steps_per_beat=2)
    assert len(content.piano_roll) == 4 * 6 and content.meter == (3, 4)
    assert content.tempo == pytest.approx(90, abs=1e-3)
    assert content.beats.first_step == 0 and content.key is not None
    is_first = [round(note.start * 90 / 60 * 2) % 6 == 0 for note in content.notes]
    first, others = (
        [velocity for velocity, first in zip(content.velocities, is_first) if first == wanted]
        for wanted in (True, False)
    )
    assert min(first) > max(others)
    flags = "--tempo", 60, "--meter", "6/8", "--bars", 3
    assert run("compose", waltz, "-o", path, *flags, *seed) == 0
    content = midiread(path, steps_per_beat=2)
    assert (content.tempo, content.meter) == (60, (6, 8)) and len(content.piano_roll) == 18


def test_a_tune_has_the_tempo_metre_and_bar_of_its_start(waltz, tmp_path, capsys):
    start = tmp_path / "start.mid"
    roll = np.zeros((11, 88))
    roll[:, 40] = 1
    midiwrite(start, roll, beats=Beats(2, 75.0, (4, 4), 3, (2, True)), onset_roll=roll)
    flags = "-o", tmp_path / "t.mid", "--start", start, "--bars", 2, "--seed", 1
    for with_start, first_step, n_steps in (
        ([], 3 + 11 - 8, 2 + 16),
        (["--with-start"], 3, 11 + 18),
    ):
        assert run("compose", waltz, *flags, *with_start) == 0
        content = midiread(tmp_path / "t.mid", steps_per_beat=2)
        assert content.beats == Beats(2, 75.0, (4, 4), first_step, (2, True))
        assert len(content.piano_roll) == n_steps
    assert run("compose", waltz, *flags, "--meter", "2/4") == 0
    content = midiread(tmp_path / "t.mid", steps_per_beat=2)
    assert content.beats == Beats(2, 75.0, (2, 4), 2, (2, True))


def test_a_score_is_written_beside_the_tune(waltz, tmp_path):
    pytest.importorskip("music21", reason="the extra `musicxml` is not installed")
    path = tmp_path / "t.musicxml"
    assert run("compose", waltz, "-o", tmp_path / "t.mid", "--bars", 2, "--musicxml", path) == 0
    score = path.read_text()
    assert "<beats>3</beats>" in score and 'tempo="90"' in score


@pytest.mark.parametrize(
    ("flags", "message"),
    (
        (
            ["--meter", "3"],
            "--meter must be a time signature such as 3/4, with 1 to 255 of 1, 2, 4",
        ),
        (["--meter", "3/5"], "1, 2, 4, 8, 16, 32, 64, but is '3/5'"),
        (["--meter", "x/4"], "1, 2, 4, 8, 16, 32, 64, but is 'x/4'"),
        (["--bars", "2", "--steps", "9"], "--steps and --bars exclude each other"),
        (["--tempo", "0"], "--tempo must be finite and at least 4 and at most 1000, but is 0"),
    ),
)
def test_invalid_tempos_and_metres_are_refused(waltz, tmp_path, capsys, flags, message):
    assert run("compose", waltz, "-o", tmp_path / "t.mid", *flags) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("flag", ("--tempo", "--meter", "--bars", "--musicxml"))
def test_bars_need_a_model_that_reads_by_the_beat(model, tmp_path, capsys, flag):
    value = {"--meter": "3/4", "--musicxml": tmp_path / "t.xml"}.get(flag, 60)
    assert run("compose", model, "-o", tmp_path / "t.mid", flag, value) == 1
    expected = f"{flag} has no effect without a model whose steps are parts of a beat"
    assert expected in capsys.readouterr().err


def test_metadata_without_sense_give_tunes_without_accents(waltz, tmp_path, capsys):
    model = RNN4Music.from_file(waltz)
    empty = {"mean": 90, "positions": [], "heights": []}
    for beats, accents in (
        ("fast", 7),
        ({"tempo": 120}, {"mean": None}),
        ({}, empty),
        ({"meter": [3, 4]}, {**empty, "heights": "low"}),
    ):
        model.metadata |= {"beats": beats, "accents": accents}
        path = model.saveParameters(tmp_path / "odd")
        assert run("info", path) == 0
        assert run("compose", path, "-o", tmp_path / "t.mid", "--steps", 9) == 0
        assert set(midiread(tmp_path / "t.mid").velocities) <= {90}
    model.metadata["beats"] = {"meter": [3, 7]}
    path = model.saveParameters(tmp_path / "odd")
    assert run("compose", path, "-o", tmp_path / "t.mid") == 1
    assert (
        "the model's metadata have invalid beats: meter=[3, 7] must be" in capsys.readouterr().err
    )


def test_a_score_that_cannot_be_written_is_found_before_composing(waltz, tmp_path, capsys):
    model = RNN4Music.from_file(waltz)
    model.metadata["steps_per_beat"] = 5
    path = model.saveParameters(tmp_path / "fifths")
    tune = tmp_path / "t.mid"
    assert run("compose", path, "-o", tune, "--musicxml", tmp_path / "t.xml") == 1
    assert "a step of 1/5 quarter notes cannot be written in notes" in capsys.readouterr().err
    assert not tune.exists()
