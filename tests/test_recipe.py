"""The settings that `train` chooses, and those that a user gives instead."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import OF_TINY_MODELS, small_model

from midi import Beats, midiread, midiwrite
from rnn4music import RNN4Music, cli
from rnn4music.cli._common import ABOVE_BASELINE
from rnn4music.data import convert, load_midi
from rnn4music.evaluation import score_baselines
from rnn4music.experiment import config, recipe, run

pytestmark = [
    *OF_TINY_MODELS,
    pytest.mark.filterwarnings("default:--validation 0.1 of 4 tunes holds out none"),
]


def settings_of(**given):
    return config.complete({"data": "music", **given})


def chosen(n_steps, n_rolls=120, keys="all", n_validated=1, **given):
    """Return the settings for an amount of music."""
    tunes = _Tunes([None] * n_rolls, n_steps * (12 if keys == "all" else 1))
    parts = {"train": tunes, "validation": [None] * n_validated}
    music = SimpleNamespace(parts=parts, metadata={"keys": keys})
    return recipe.for_training(recipe.for_reading(settings_of(**given)), music)


class _Tunes(list):
    def __init__(self, tunes, n_steps):
        super().__init__(tunes)
        self.lengths = np.array([n_steps])


def test_what_a_user_gives_is_kept():
    given = {"units": [7, 8, 9], "dropout": 0.1, "optimiser": "rmsprop", "chord_units": 0}
    settings = chosen(5000, **given)
    assert {name: getattr(settings, name) for name in given} == given
    assert settings.windows == "random" and settings.beginnings and settings.output_noise == 0


def test_classic_changes_nothing():
    settings = settings_of(classic=True)
    assert recipe.for_reading(settings) is settings
    assert recipe.for_training(settings, None) is settings


def test_little_music_is_regularised_more():
    little, much = chosen(recipe.SMALL - 1), chosen(recipe.SMALL)
    assert little.dropout >= much.dropout and little.weight_noise >= much.weight_noise
    assert sum(little.units) < sum(much.units)
    # music counts before it is transposed
    for keys in ("own", "c", "all"):
        assert chosen(recipe.SMALL - 1, keys=keys).units == little.units


@pytest.mark.parametrize("n_rolls", (3, 120, 100_000))
def test_the_length_of_a_training_is_a_number_of_updates(n_rolls):
    settings = chosen(5000, n_rolls)
    per_epoch = max(1, n_rolls // settings.batch_size)
    assert recipe.UPDATES <= settings.epochs * per_epoch < recipe.UPDATES + per_epoch
    assert settings.decay_patience < settings.patience or per_epoch > recipe.END_AFTER
    assert settings.patience * per_epoch >= recipe.END_AFTER


def test_without_validation_training_is_short_and_has_no_patience():
    settings = chosen(5000, n_validated=0)
    assert settings.patience is None and settings.decay_patience is None
    assert settings.epochs * (120 // settings.batch_size) < recipe.UPDATES / 2


def test_what_is_given_decides_what_fits_it():
    assert chosen(5000, cost="squared_error").chord_units is None
    assert chosen(5000, optimiser="rmsprop").learning_rates == (0.001,)
    assert chosen(5000, optimiser="adam").learning_rates == (0.004,)
    assert chosen(5000, optimiser="rmsprop", learning_rates=[0.01]).learning_rates == [0.01]


def test_files_are_read_with_onsets_in_all_keys(tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    midiwrite(folder / "a.mid", np.eye(88, dtype=int), (21, 109), 0.3)
    assert recipe.for_reading(settings_of()).onsets
    assert recipe.for_reading(settings_of()).keys == "all"
    assert recipe.for_reading(settings_of(keys="c")).keys == "c"
    standard = settings_of(data=str(tmp_path / "set.mat"))
    assert not recipe.for_reading(standard).onsets and recipe.for_reading(standard).keys == "all"
    for to_c, keys in ((False, "all"), (True, "own")):
        convert(folder, tmp_path / f"store{to_c}", to_c=to_c, progress=False)
        store = recipe.for_reading(settings_of(data=str(tmp_path / f"store{to_c}")))
        assert (store.onsets, store.keys) == (False, keys)
    further = settings_of(start_from="model.npz")
    assert recipe.for_reading(further) is further


def write_music(folder, monkeypatch):
    """Write eight tunes of one voice, and work in their folder."""
    monkeypatch.chdir(folder)
    rng = np.random.default_rng(1)
    (folder / "music").mkdir()
    for k in range(8):
        roll = np.zeros((32, 88), int)
        roll[np.arange(32), rng.integers(35, 45, 32)] = 1
        midiwrite(folder / "music" / f"{k}.mid", roll, beats=Beats(2, 80.0, (2, 4)))


def test_training_without_a_flag_uses_it_and_compose_needs_none(tmp_path, monkeypatch, capsys):
    write_music(tmp_path, monkeypatch)
    assert cli.main(["train", "music", "--minutes", "0.02", "--quiet"]) in (0, ABOVE_BASELINE)
    model = RNN4Music.from_file("model.npz")
    assert model.chord_units == 264 and model.io_length == 176 and model.optimiser == "adam"
    (trained_on,) = model.metadata["trained_on"]
    assert trained_on["beginnings"] and trained_on["windows"] == "random"
    assert cli.main(["compose", "model.npz", "--bars", "2"]) == 0
    assert "80 quarter notes per minute, 2/4" in capsys.readouterr().out
    m, how = model.metadata["log_odds"], {"seed": 1, "density": 3.0, "temperature": 0.6}
    assert m < 0
    flags = [str(word) for name, value in how.items() for word in (f"--{name}", value)]
    assert cli.main(["compose", "model.npz", "--steps", "20", "-o", "dense.mid", *flags]) == 0
    expected, _ = model.to_numpy().gen_music(None, 20, around=m, **how)
    found = midiread("dense.mid", steps_per_beat=2).piano_roll
    np.testing.assert_array_equal(found, expected[: len(found), :88])
    assert cli.main(["page", "model.npz", "-o", "page.html", "--density", "3"]) == 0
    page = Path("page.html").read_text("utf8")
    assert f'"around":{m}' in page and 'id="density"' in page and 'value="3"' in page
    assert cli.main(
        ["train", "music", "--start-from", "model.npz", "-o", "further", "--epochs", "1", "--quiet"]
    ) in (0, ABOVE_BASELINE)
    assert RNN4Music.from_file("further.npz").h1_length == model.h1_length


def test_a_model_is_told_where_bars_begin_wherever_it_is_used(tmp_path, monkeypatch, capsys):
    write_music(tmp_path, monkeypatch)
    small = [
        "--classic",
        "--bar-positions",
        "--steps-per-beat",
        "2",
        "--epochs",
        "1",
        "--units",
        "8",
    ]
    log = ["--tensorboard", "log"]
    assert cli.main(["train", "music", *small, *log, "--quiet"]) in (0, ABOVE_BASELINE)
    model = RNN4Music.from_file("model.npz")
    assert model.conditions == 24 and model.metadata["bars"]
    held_out = load_midi("music", steps_per_beat=2).split(1 / 8, 0).validation
    assert model.metadata["log_odds"] == pytest.approx(
        model.evaluate(held_out.with_bars()).log_odds, abs=0.001
    )
    bare, with_bars = (score_baselines(each, each) for each in (held_out, held_out.with_bars()))
    assert str(bare) == str(with_bars)
    assert cli.main(["compose", "model.npz", "--bars", "2"]) == 0
    assert cli.main(["evaluate", "model.npz", "music"]) == 0
    assert "trained on 7 of 8 tunes" in capsys.readouterr().out
    assert cli.main(["compose", "model.npz", "--start", "music/0.mid", "--start-steps", "9"]) == 0
    for picture in ("activations", "probabilities"):
        assert cli.main(["plot", picture, "model.npz", "--tune", "music/0.mid"]) == 0
    for refused, message in (
        (["compose", "model.npz", "--dt", "0.3"], "leave out --dt"),
        (
            ["train", "music", "--start-from", "model.npz", "-o", "x", "--no-bar-positions"],
            "cannot change",
        ),
        (["train", "music", "--bar-positions", "--dt", "0.3", "-o", "x"], "and no --dt, or leave"),
    ):
        assert cli.main(refused) in (1, 2)
        assert message in capsys.readouterr().err


def test_what_was_learned_is_saved_if_what_follows_fails(tmp_path, monkeypatch):
    def fail(model, music):
        raise ValueError("no score")

    write_music(tmp_path, monkeypatch)
    monkeypatch.setattr(run, "_log_odds", fail)
    small = ["--classic", "--dt", "0.3", "--epochs", "1", "--units", "8", "--quiet"]
    assert cli.main(["train", "music", *small]) == 1
    assert len(RNN4Music.from_file("model.npz").history.cost) > 0


def test_an_old_model_is_trained_further_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_model(io_length=88).saveParameters("old")
    (tmp_path / "music").mkdir()
    for k in range(4):
        roll = np.roll(np.eye(88, dtype=int)[30:60], k, axis=1)
        midiwrite(tmp_path / "music" / f"{k}.mid", roll, (21, 109), 0.3)
    command = ["train", "music", "--start-from", "old.npz", "-o", "new", "--epochs", "1"]
    assert cli.main([*command, "--dt", "0.3", "--quiet"]) in (0, ABOVE_BASELINE)
    model = RNN4Music.from_file("new.npz")
    assert model.chord_units is None and model.io_length == 88 and not model.metadata["onsets"]
