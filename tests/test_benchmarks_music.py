"""The comparison of composed tunes with real ones: figures, tables and errors."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # last, so that an installed package is tested where there is one

from benchmarks import music  # noqa: E402
from rnn4music import RNN4Music  # noqa: E402
from rnn4music.evaluation.music_metrics import (  # noqa: E402
    longest_copy,
    mean_overlap,
    mean_statistics,
    overlap,
)

UNITS = {"h1_length": 4, "h2_length": 4, "h3_length": 4, "io_length": 88}


def chord_tune(rng, n_steps):
    """Return a tune of three voices, as a list of the pitches of each step."""
    roots = rng.integers(48, 60, n_steps)
    return [[int(root), int(root) + 4, int(root) + rng.integers(7, 10).item()] for root in roots]


def rolls_of(tunes):
    rolls = [np.zeros((len(tune), 88), bool) for tune in tunes]
    for roll, tune in zip(rolls, tunes):
        for step, pitches in zip(roll, tune):
            step[[pitch - 21 for pitch in pitches]] = True
    return rolls


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(3)
    sizes = {"train": (60, 50, 40), "valid": (40, 33), "test": (58, 47, 20)}
    return {name: [chord_tune(rng, n) for n in lengths] for name, lengths in sizes.items()}


@pytest.fixture(scope="module")
def folder(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    (folder / "set.json").write_text(json.dumps(parts))
    RNN4Music(**UNITS, seed=4).saveParameters(folder / "saved")
    return folder


def run(folder, *words):
    report = folder / "report.json"
    data = ["JSB_Chorales", "--data", str(folder / "set.json"), "--json", str(report)]
    music.main([*data, *map(str, words)])
    return json.loads(report.read_text())


def test_figures_equal_the_statistics_of_the_tunes(parts):
    training, real, tunes = (rolls_of(parts[name]) for name in ("train", "test", "valid"))
    tunes.append(training[1][5:30])
    figures = music.Compared(real, training, n_searched=2).figures(tunes)
    statistics, of_real = mean_statistics(tunes), mean_statistics(real)
    for name in ("polyphony", "note_density", "silent_share", "self_similarity", "pitch_range"):
        assert figures[name] == getattr(statistics, name)
    assert figures["alike"] == mean_overlap(overlap(tunes, real))
    apart = np.abs(statistics.interval_histogram - of_real.interval_histogram).sum() / 2
    assert figures["intervals"] == pytest.approx(apart)
    assert figures["n_tunes"] == 3
    changes = [longest_copy(tune, training).n_changes for tune in tunes[:2]]
    assert figures["copied"] == [np.median(changes), max(changes)]
    all_searched = music.Compared(real, training, n_searched=9).figures(tunes)
    assert all_searched["copied"][1] >= 20  # the passage of a training tune is found
    assert all_searched["copied_steps"] >= 25


def test_chords_do_not_depend_on_the_key(parts):
    training = rolls_of([[[60, 64, 67], [62, 65], []]])
    compared = music.Compared(training * 2, training, 0)
    tunes = rolls_of([[[50, 54, 57], [50, 54, 58], [70, 73], []], [[], []]])
    assert compared.figures(tunes)["known_chords"] == pytest.approx(2 / 3)
    assert compared.figures([np.zeros((9, 88))] * 2)["known_chords"] == 0
    assert compared.figures(tunes)["copied"] is None


def test_endings():
    rng = np.random.default_rng(0)
    lively = np.zeros((40, 88))
    lively[np.arange(40), rng.permutation(88)[:40]] = 1
    dead, stuck, to_and_fro, full = (lively.copy() for _ in range(4))
    dead[-16:] = 0
    stuck[-32:] = lively[3]
    to_and_fro[-32::2], to_and_fro[-31::2] = lively[3], lively[4]
    full[-5:, :7] = 1
    tunes = [lively, dead, stuck, to_and_fro, full, np.zeros((40, 88)), full[:36]]
    found = [music.endings([tune]) for tune in tunes]
    assert [each["silent"] for each in found] == [0, 1, 0, 0, 0, 1, 0]
    assert [each["stuck"] for each in found] == [0, 0, 1, 1, 0, 0, 0]
    assert [each["crowded"] for each in found] == [0, 0, 0, 0, 1, 0, 0]
    assert found[1]["silence"] == 16 / 20
    assert music.endings(tunes)["stuck"] == pytest.approx(2 / 7)


@pytest.mark.slow
def test_composed_tunes_are_compared_with_the_rests_of_real_ones(folder, capsys):
    words = ["--models", folder / "saved.npz", "--tunes", 5, "--steps", 32, "--start", 10,
             "--thresholds", 0.1, 0.6, "--temperatures", 0.5, "--seed", 2]  # fmt: skip
    report = run(folder, *words)
    labels = [row["label"] for row in report["rows"]]
    assert labels == ["test tunes", "validation tunes", "training tunes", *["saved"] * 4]
    assert [row["n_tunes"] for row in report["rows"]] == [3, 2, 3, *[5] * 4]

    data = json.loads((folder / "set.json").read_text())
    training, test = rolls_of(data["train"]), rolls_of(data["test"])
    real = [tune[10:42] for tune in test]
    compared = music.Compared(real, training, 100)
    assert report["rows"][0] == {
        "label": "test tunes",
        **json.loads(json.dumps(compared.figures(real))),
        "endings": music.endings(real[:2]),
    }
    model = RNN4Music.from_file(folder / "saved")
    model.genProbThreshold, model._rng = 0.6, np.random.default_rng(2)
    options = {"temperature": 0.5, "sampling": "systematic"}
    starts = [test[k % 3][:10] for k in range(5)]
    tunes = [model.genMusic(start, 32, **options)[0] for start in starts]
    last = report["rows"][-1]
    assert (last["sampling"], last["temperature"], last["threshold"]) == ("systematic", 0.5, 0.6)
    cut = [tune[: len(real[k % 3])] for k, tune in enumerate(tunes)]
    assert len(cut[2]) == len(cut[0]) - 22
    np.testing.assert_equal(last["polyphony"], mean_statistics(cut).polyphony)
    assert last["endings"] == music.endings(tunes)

    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("| saved | systematic | 0.6 | 0.5 |") for line in lines) == 2
    nats = model.evaluate([tune.astype(float) for tune in test]).nats_per_step
    assert report["predicted"]["saved"]["nats_per_step"] == pytest.approx(nats)
    assert any(line.startswith(f"| saved | {nats:.2f} |") for line in lines)


@pytest.mark.slow
def test_quick_trains_saves_and_draws(folder):
    kept = folder / "kept"
    words = ["--quick", "--samplings", "systematic", "--folder", kept, "--plot", folder / "p.png"]
    report = run(folder, *words)
    labels = ["2015:1"] * 2 + ["recipe:1"] * 2 + ["chords:1"]  # which has no threshold
    assert [row["label"] for row in report["rows"][3:]] == labels
    assert report["rows"][-1]["sampling"] == "by pitch" and report["rows"][-1]["threshold"] == 0
    assert (folder / "p.png").stat().st_size > 10_000
    rule, recipe = (
        RNN4Music.from_file(kept / f"JSB_Chorales-{name}-1-1") for name in ("2015", "recipe")
    )
    assert (rule.optimiser, recipe.optimiser) == ("rmsprop", "adam")
    assert (rule.history.epochs, recipe.history.epochs) == (1, 1)
    assert rule.history.validation in ([], [None]) and recipe.history.validation[0] > 0
    again = run(folder, "--models", kept / "JSB_Chorales-2015-1-1.npz", "--samplings",
                "systematic", "--thresholds", 0, "--tunes", 3, "--steps", 40)  # fmt: skip
    first = {**report["rows"][3], "label": "JSB_Chorales-2015-1-1"}
    np.testing.assert_equal(again["rows"][3], first)


def test_predictions():
    class Oracle:
        """A model with fixed probabilities."""

        chord_units = None

        def predict(self, tune):
            odds = np.zeros((len(tune), 88))
            odds[:, :3] = [1, 0.5, 0.1]
            return odds

        def evaluate(self, tunes):
            return RNN4Music(**UNITS, seed=1).evaluate(tunes)

    tune = np.zeros((6, 88))
    tune[1:, 0] = tune[1:3, 1] = 1  # 2, 2, 1, 1, 1 notes where 1.6 are expected
    found = music.predictions(Oracle(), [tune], [0, 0.3])
    assert found["notes"] == pytest.approx(1.6)
    assert found["kept"] == pytest.approx([1, 1.5 / 1.6])
    assert found["strays_real"] == pytest.approx(np.sqrt((2 * 0.16 + 3 * 0.36) / 5))
    assert found["strays_independent"] == pytest.approx(np.sqrt(0.25 + 0.09))
    assert found["strays_systematic"] == pytest.approx(np.sqrt(0.6 * 0.4))


@pytest.mark.parametrize("words, message", [
    (["--models", "2015"], "'2015' lacks its number of epochs; give 2015:20"),
    (["--models", "recipe:0"], "lacks its number of epochs; give recipe:20"),
    (["--models", "none.npz"], "'none.npz' is neither a training nor a file"),
    (["--thresholds", "1.5"], "a threshold must be finite and at least 0 and at most 1"),
    (["--temperatures", "0"], "a temperature must be finite and at least 0.01"),
    (["--tunes", "1"], "--tunes must be at least 2"),
    (["--steps", "10"], "--steps must be at least 32"),
    (["--samplings", "random"], "invalid choice: 'random'"),
])  # fmt: skip
def test_invalid_arguments(folder, capsys, words, message):
    with pytest.raises(SystemExit):
        run(folder, *words)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words, message", [
    (["--data", "elsewhere.mat"], "there is no file elsewhere.mat"),
    (["--start", "45"], "1 test tunes have more than --start 45"),
])  # fmt: skip
def test_unusable_data(folder, words, message):
    with pytest.raises(SystemExit, match=message):
        run(folder, "--models", folder / "saved.npz", *words)
