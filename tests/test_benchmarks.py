import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import markov_nats_per_step

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # last, so that an installed package is tested where there is one

from benchmarks import machine, peers  # noqa: E402
from benchmarks.collection import lines_of_long_training  # noqa: E402
from benchmarks.settings import GRID, SUBSET, Settings, Size  # noqa: E402

TINY = Size(hidden=5, batch=3, steps=4)


@pytest.fixture(scope="module")
def job():
    if peers.present(["jax"])[1]:
        pytest.skip("the benchmarks compare in float32 on JAX, which is not installed")
    from benchmarks import job

    return job


@pytest.fixture(scope="module", params=(None, 100))
def ours(job, request):
    """Return a model without and with chords, its weights and windows."""
    model, tunes = job.model_and_tunes(*TINY, request.param)
    return model, model.get_parameters(), tunes.swapaxes(0, 1).copy()


@pytest.fixture(scope="module", params=peers.PEERS)
def name_and_peer(request, job, ours):
    skipped = peers.present([request.param])[1]
    if skipped:
        pytest.skip(skipped[request.param])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "available_cores", lambda: 1)
        return request.param, job.build_peer(request.param, ours[0])


@pytest.mark.slow
def test_peer_agrees(job, ours, name_and_peer):
    model, weights, windows = ours
    name, peer = name_and_peer
    has_peepholes = peers.PEERS[name].has_peepholes
    job.share_weights(model, peer, weights, has_peepholes)
    assert job.difference(model, peer, windows) < job.TOLERANCE
    compared = set(peer.gradients(windows)[1])
    assert compared == {name for name in weights if has_peepholes or "/peephole" not in name}
    if has_peepholes:
        assert job.difference_after_updates(model, peer, windows) < job.TOLERANCE_AFTER_UPDATES


@pytest.mark.slow
def test_a_peer_with_a_wrong_weight_is_refused(job, ours, name_and_peer):
    model, weights, windows = ours
    name, peer = name_and_peer
    has_peepholes = peers.PEERS[name].has_peepholes
    job.share_weights(model, peer, weights, has_peepholes)
    same = model.get_parameters()
    changed = {"layer2/hidden_to_gates", "chords/layer2_to_chords"} & set(same)
    for name in changed:
        wrong = same[name].copy()
        wrong[1, 2] += 0.1
        peer.set_parameters({**same, name: wrong})
        with pytest.raises(job.Disagreement, match="differs"):
            job.difference(model, peer, windows)


def test_a_peer_with_another_update_rule_is_refused(job, ours):
    model, weights, windows = ours

    class Stubborn:
        def set_parameters(self, mapping):
            pass

        def update(self, windows):
            return model.gradients(windows[:-1], windows[1:])[0] * 1.1

    job.share_weights(model, Stubborn(), weights, has_peepholes=True)
    with pytest.raises(job.Disagreement, match="after 3 updates"):
        job.difference_after_updates(model, Stubborn(), windows)


def test_refused_peers_are_named_and_not_timed(job, ours, monkeypatch):
    from benchmarks import updates
    from rnn4music.evaluation.scores import sigmoid

    model, weights, windows = ours

    class Other:
        def set_parameters(self, mapping):
            pass

        def gradients(self, windows):
            cost, gradients = model.gradients(windows[:-1], windows[1:])
            return cost, {**gradients, "output/bias": 2 * gradients["output/bias"]}

        def probabilities(self, inputs, following):
            return sigmoid(model._run(inputs, following))

    monkeypatch.setattr(job, "build_peer", lambda name, model: Other())
    agreeing, _, refused = updates.agreeing_peers(model, windows, ["jax"])
    assert agreeing == {}
    assert "output/bias" in refused["jax"]


def test_a_peer_that_composes_with_other_probabilities_is_refused(job):
    from benchmarks import generation

    model = generation.composer(TINY.hidden, 100)
    start = job.model_and_tunes(TINY.hidden, batch=1, steps=4)[1][0]

    def wrong(*arguments):
        tunes, probabilities = model.genMusic(*arguments)
        return tunes, 1.001 * probabilities

    refused = generation.disagreeing({"right": model.genMusic, "wrong": wrong}, model, start)
    assert list(refused) == ["wrong"] and "differ: relative 1.0e-03" in refused["wrong"]


def test_missing_peers_are_skipped_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setattr(machine, "installed", lambda package: package != "torch")
    present, skipped = peers.present(list(peers.PEERS))
    assert set(skipped) == {"torch-lstm", "torch-cell"}
    assert all("pip install '.[benchmark-torch]'" in reason for reason in skipped.values())
    assert set(present) == set(peers.PEERS) - set(skipped)


def test_shapes_equal_those_of_the_model(job):
    weights = job.model_and_tunes(*TINY)[0].get_parameters()
    assert peers.shapes(88, TINY.hidden) == {name: w.shape for name, w in weights.items()}


def test_operations_of_an_update_by_hand():
    from benchmarks import arithmetic

    # One unit, pitch and row: 12 products with the input, 20 with hidden states, 3 to the output.
    # All of them count twice (forward, weight gradients), and all but the 12 once more (backward).
    assert arithmetic.update_operations(Size(1, 1, 1), 1) == 2 * (35 + 23 + 35)
    assert arithmetic.update_operations(Size(1, 3, 4), 1) == 12 * 2 * (35 + 23 + 35)
    assert arithmetic.roll_share(Size(1, 3, 4), 1) == 24 / (35 + 23 + 35)
    # Three chord units: 3 products with V and 1 with L, 9 with C and 3 with U
    with_chords = 2 * (35 + 23 + 35 + 4 + 4 + 3 * 12)
    assert arithmetic.update_operations(Size(1, 1, 1), 1, 3) == with_chords


def test_memory_bound_by_hand():
    from benchmarks import memory

    assert memory.bytes_per_step(hidden=120, batch=5) == 64 * 5 * 360 + 8 * 88 * 4 * 5


def test_settings_round_trip_through_json():
    settings = Settings(sizes=[TINY], peers=["jax"])
    again = Settings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert (again.sizes, again.main, again.peers) == ([TINY], settings.main, ["jax"])
    assert isinstance(again.sizes[0], Size) and isinstance(again.main, Size)


def test_sizes():
    assert Size.parse("120,5,100") == Size(hidden=120, batch=5, steps=100)
    assert len(set(SUBSET)) == len(SUBSET)
    assert len({size for size in GRID if size.steps == 100}) == 5 * 4
    longer = {size[:2] for size in GRID if size.steps == 400}
    assert (400, 32) in longer and (800, 32) not in longer and len(GRID) == 5 * 4 + len(longer)
    for text in ("120,5", "120,5,0", "120,5,x"):
        with pytest.raises(ValueError):
            Size.parse(text)


def run(*arguments, environment=None):
    import os

    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )


def test_the_grid_of_two_runs_is_one_table():
    from benchmarks import updates

    def run(threads, ms, *ratios):
        names = ("torch-lstm", "jax")[: len(ratios)]
        one = {
            "size": TINY._asdict(),
            "update_ms": {"rnn4music": {"median": ms}},
            "times_as_fast": {name: {"median": ratio} for name, ratio in zip(names, ratios)},
        }
        return {
            "threads": threads,
            "machine": {"cores_used": 3},
            "parts": {"updates": {"sizes": [one]}},
        }

    head, _, row = updates.grid_report([run("1", 8.0, 2.5), run("all", 4.0, 1.5, 1.25)]).split("\n")
    titles = "torch nn.LSTM | JAX autodiff"
    assert head == f"| H | B | T | one core: ms | {titles} | 3 cores: ms | {titles} |"
    assert row == "| 5 | 3 | 4 | 8.00 | 2.50 × | — | 4.00 | 1.50 × | 1.25 × |"


@pytest.mark.slow
def test_one_command_writes_figures_and_names_what_it_skipped(job, tmp_path):
    # without torch, even if it is installed
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    figures, picture = tmp_path / "figures.json", tmp_path / "ratios.png"
    ran = run(
        *("updates", "--quick", "--threads", "1", "--peers", "torch-lstm", "jax"),
        *("--json", figures, "--plot", picture),
        environment={"PYTHONPATH": str(tmp_path), "ATEN_CPU_CAPABILITY": "avx2"},
    )
    assert ran.returncode == 0, ran.stderr
    assert "skipped torch-lstm: no torch" in ran.stdout
    assert "ATEN_CPU_CAPABILITY='avx2'" in ran.stdout
    report = json.loads(figures.read_text())
    assert report["settings"]["variables"]["ATEN_CPU_CAPABILITY"] == "avx2"
    assert report["machine"]["processor"] and report["machine"]["versions"]["numpy"]
    (one,) = report["runs"]
    assert one["threads"] == "1" and not one["failed"]
    updates = one["parts"]["updates"]
    assert set(updates["skipped"]) == {"torch-lstm"}
    assert set(updates["product_gflops"]) == {"numpy"}
    (size,) = updates["sizes"]
    assert set(size["update_ms"]) == {"rnn4music", "jax"} and not size["refused"]
    for name in ("rnn4music", "jax"):
        low, high = size["update_ms"][name]["quartiles"]
        assert 0 < low <= size["update_ms"][name]["median"] <= high
        assert size["share"][name] > 0
    assert size["times_as_fast"]["jax"]["median"] > 0
    assert size["agreement"]["jax"]["once"] < job.TOLERANCE
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["update"], "unknown part 'update'"),
        (["--sizes", "120,5"], "is not a size"),
        (["--rounds", "0"], "above 0"),
        (["--peers", "tensorflow"], "invalid choice"),
    ],
)
def test_wrong_arguments(arguments, message):
    ran = run(*arguments)
    assert ran.returncode == 2
    assert message in ran.stderr


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory):
    """Return the path of a random standard set."""
    import numpy as np

    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("set") / "tiny.npz"
    parts = {}
    for part, n_tunes in (("train", 9), ("valid", 4), ("test", 4)):
        tunes = np.empty(n_tunes, object)
        tunes[:] = [rng.random((rng.integers(5, 30), 88)) < 0.05 for _ in range(n_tunes)]
        parts[part] = tunes
    np.savez(path, **parts)
    return path


def learning(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.learning", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_learning_benchmark_reports_the_scores_of_the_models(tiny_set, tmp_path):
    import numpy as np

    from rnn4music import RNN4Music
    from rnn4music.data.standard_sets import load_standard_set

    options = ["JSB_Chorales", "--data", tiny_set, "--seeds", 2, "--quick", "--rows",
               "like-for-like", "keys", "ensemble", "chords", "chords, keys", "chords, ensemble",
               "--folder", tmp_path / "runs",
               "--json", tmp_path / "r.json", "--plot", tmp_path / "r.png"]  # fmt: skip
    result = learning(*options)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    data = load_standard_set(tiny_set)
    test = list(data.test)
    for row, together in (("like-for-like", "ensemble"), ("chords", "chords, ensemble")):
        models = [
            RNN4Music.from_file(tmp_path / "runs" / f"JSB_Chorales-{row}-{seed}") for seed in (1, 2)
        ]
        assert all((model.chord_units is not None) == (row == "chords") for model in models)
        scores = [model.evaluate(test).nats_per_step for model in models]
        networks = report["rows"][row]
        assert [one["test"] for one in networks] == pytest.approx(scores, rel=1e-12)
        assert all(one["epochs"] == 2 and len(one["curve"]) == 2 for one in networks)
        nats = n_steps = 0
        for tune in test:  # the ensemble, computed from probabilities
            rolls = tune[:-1, None], tune[1:, None]
            Y = [model._run(*(roll.astype("float32") for roll in rolls)) for model in models]
            p = np.mean(1 / (1 + np.exp(-np.array(Y, float))), axis=0)[:, 0]
            nats -= (np.log(np.where(tune[1:], p, 1 - p))).sum()
            n_steps += len(tune) - 1
        assert report["ensembles"][together]["test"] == pytest.approx(nats / n_steps, rel=1e-5)
        assert f"{np.mean(scores):.3f} ± {np.std(scores, ddof=1):.3f}" in result.stdout
    assert all(len(report["rows"][row]) == 2 for row in ("keys", "chords, keys"))
    chain = markov_nats_per_step(list(data.train), test)
    assert report["baselines"]["each pitch's Markov chain"] == pytest.approx(chain)
    assert "| TCN (Bai et al. 2018) |  | 8.10 |" in result.stdout
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    again = learning(*options)  # everything is trained already
    assert "like-for-like, seed 1" in again.stdout
    assert (
        json.loads((tmp_path / "r.json").read_text())["rows"]["keys"][0]["test"]
        == (report["rows"]["keys"][0]["test"])
    )


@pytest.mark.parametrize("arguments, message", [
    (["JSB_Chorales"], "give a set and --data"),
    (["JSB_Chorales", "--data", "nowhere.mat"], "there is no file nowhere.mat"),
    (["JSB_Chorales", "--data", __file__, "--rows", "ensemble"], "networks of like-for-like"),
    (["JSB_Chorales", "--data", __file__, "--rows", "chords", "chords, keys, ensemble"],
     "networks of chords, keys; add"),
    (["JSB_Chorales", "--data", __file__, "--seeds", "0"], "at least 1"),
    (["Mozart", "--data", __file__], "invalid choice: 'Mozart'"),
])  # fmt: skip
def test_the_learning_benchmark_names_missing_arguments(arguments, message):
    result = learning(*arguments)
    assert result.returncode == 2 and message in result.stderr


@pytest.mark.parametrize("name", ("torch-lstm", "jax"))
def test_a_whole_training_of_a_peer_has_the_scores_of_ours(job, name, tmp_path):
    import numpy as np

    from benchmarks import trainings
    from benchmarks.recipes import Recipe

    if peers.present([name])[1]:
        pytest.skip(f"{name} is not installed")
    rng = np.random.default_rng(0)
    tunes = [(rng.random((n, 88)) < 0.05).astype("float32") for n in (9, 12, 5, 7, 60, 8, 3)]
    recipe = Recipe(units=5, chord_units=100, rate=0.02, windows="start", batch=4, length=9,
                    epochs=4, dropout=0, weight_noise=0, averaging=0.5, decay_patience=1,
                    patience=None)  # fmt: skip
    task = {"program": name, "seed": 1, "weights": tmp_path / "weights.npz", "profile": False}
    ours = trainings.train_ours(tunes[:4], tunes[4:], recipe, task)
    theirs = trainings.train_peer(tunes[:4], tunes[4:], recipe, task)
    assert ours["updates"] == theirs["updates"] == len(ours["seconds"]) == 4
    close = 1e-5 if peers.PEERS[name].has_peepholes else 0.02
    np.testing.assert_allclose(theirs["validation"], ours["validation"], rtol=close)
    np.testing.assert_allclose(theirs["cost"], ours["cost"], rtol=close)


def test_the_noise_of_the_peer_of_whole_trainings(job):
    import jax
    import numpy as np

    from benchmarks.jax_training import noisy
    from benchmarks.recipes import Recipe

    weights = {name: np.ones((40, 50), "float32") for name in ("layer1/a", "output/b")}
    weights["layer1/bias"] = np.ones(4, "float32")
    for output_noise, of_output in ((None, 0.2), (0, 0), (0.1, 0.1)):
        recipe = Recipe(weight_noise=0.2, output_noise=output_noise)
        drawn = noisy(recipe, weights, jax.random.key(1))
        deviations = {"layer1/a": 0.2, "output/b": of_output, "layer1/bias": 0}
        for name, deviation in deviations.items():
            assert np.std(drawn[name]) == pytest.approx(deviation, abs=0.01), name


def test_the_command_for_gpus_runs_dry(job, tmp_path):
    files = ["--json", tmp_path / "gpu.json", "--markdown", tmp_path / "gpu.md"]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--dry", *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["tests"]["passed"] > 1 and report["tests"]["complete"]
    assert report["peak_gflops"] > 0 and len(report["composing"]) == 1
    (size,) = report["updates"]
    assert "jax" in size["times_as_fast"] and not report["failed"] and not report["left_out"]
    assert (tmp_path / "gpu.md").read_text() in ran.stdout
    assert "a processor (dry run)" in ran.stdout


@pytest.mark.parametrize("status, said", [(-9, "ended with -9"), (None, "was stopped")])
def test_the_command_for_gpus_tells_of_measurements_that_crashed(status, said, monkeypatch, capsys):
    from benchmarks import gpu

    def crash(command, *_):
        report = {"failed": [], "device": "a GPU"}
        Path(command[command.index("--json") + 1]).write_text(json.dumps(report))
        return status

    tests = {"complete": True, "passed": 1, "failed": []}
    monkeypatch.setattr(gpu, "run", crash)
    monkeypatch.setattr(gpu, "core_tests", lambda *_: tests)
    with pytest.raises(SystemExit, match="1"):
        gpu.main([])
    assert f"failed: the process that measures {said}" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_for_whole_trainings_reports_each_program(job, tiny_set, tmp_path):
    command = ["JSB_Chorales", "--data", tiny_set, "--quick", "--epochs", 2, "--rounds", 1,
               "--threads", 1, "--peers", "jax", "--profile", "--json", tmp_path / "r.json",
               ]  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.trainings", *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    trainings = json.loads((tmp_path / "r.json").read_text())["runs"]["1"]
    assert set(trainings) == {"rnn4music", "jax"}
    for (training,) in trainings.values():
        assert training["updates"] == 2 * 2 and len(training["validation"]) == 2
        assert 0 < training["seconds"][0] < training["seconds"][1]
    assert "| JAX autodiff | 4 |" in ran.stdout and "validation  " in ran.stdout


@pytest.fixture
def scaling():
    return pytest.importorskip("benchmarks.scaling", reason="Linux alone has network devices")


def test_an_update_on_several_machines_on_paper(scaling):
    assert scaling.estimate(10, 1, 5e6, (1, 7), 3) == 13
    # 1 MB, that is 8 ms at 1 Gbit/s; each of two sums waits twice for 1 ms
    assert scaling.estimate(10, 2, 1e6, (1, 1), 3) == pytest.approx(10 + 8 + 4 + 3)
    assert scaling.estimate(10, 4, 1e6, (2, 1), 3) == pytest.approx(10 + 6 + 12 + 3)


def test_programs_alternate_and_stand_beside_the_estimate(scaling):
    asked = []

    class Program:
        def __init__(self, name, speed):
            self.name, self.speed = name, speed

        def updates(self, size, n, limits=None):
            asked.append((self.name, size.batch, n, limits))
            known = {"ms": size.batch / self.speed, "n_parameters": 200_000, "sent": 1.5}
            if self.speed > 1:
                known |= {"message": 2, "message bytes": 200_000, "sum": 3}
            return known

    one, two = Program("one", 1), Program("two", 1.6)
    programs = {scaling.ALONE: (one, None), scaling.TWO: (two, None), "slow": (two, (1, 0.5))}
    results = {TINY: scaling.measure(programs, TINY, 2)}
    once = [("one", TINY.batch), ("two", TINY.batch), ("two", TINY.batch), ("one", 2)]
    assert [each[:2] for each in asked[-8:]] == 2 * once
    assert [each[3] for each in asked[-4:]] == [None, None, (1, 0.5), None]
    lines = scaling.report(results, {name: limits for name, (_, limits) in programs.items()})
    rows = [[part.strip() for part in line.split("|")[2:-1]] for line in lines if "| H" in line]
    ms = TINY.batch / 1.6
    assert rows[1][1:3] == [f"{ms:.1f} ({ms:.1f}–{ms:.1f})", "1.60 × (1.60–1.60)"]
    expected = 2 + 2 + 3, 2 + 2 + 3 + 8 + 2
    assert [row[3] for row in rows[:4]] == ["", *(f"{each:.1f}" for each in expected), ""]


def test_a_link_needs_root(monkeypatch):
    link = pytest.importorskip("benchmarks.link")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(PermissionError, match="Linux and root"), link.joined():
        pass


def test_what_is_said_of_a_long_training_that_was_killed(tmp_path):
    """Two updates a second of 20 steps; the third is lost, and differs when it is repeated."""
    starts, rows = (100.0, 200.0), []
    for start, numbers, third in zip(starts, ((1, 2, 3), (3, 4, 5)), (7.0, 7.5)):
        rows.append({"opened": start + 4, "begun": start + 5, "steps_per_update": 20.0})
        for update, n in enumerate(numbers, start=1):
            at, cost = start + 10 + update / 2, third if n == 3 else float(n)
            row = {"n": n, "update": update, "at": at, "cost": cost}
            rows.append({**row, "seconds": 0.4, "cpu": update / 4, "mb": 500.0 + n})
    rows.append({"validation": 6.5, "baseline": 9.5, "validated": 217.5})
    log = tmp_path / "log"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    *said, validated = lines_of_long_training(log, starts)
    assert "4.0 s after the start of the process" in said[0] and "(1) after 10.5 s" in said[0]
    assert "training begun after 5.0 s, first update (3) after 10.5 s" in said[1]
    assert "killed after update 3: 1 updates lost and repeated, 0 of them with" in said[2]
    assert said[3].startswith("6 updates of 20 steps in 1.9 minutes")
    assert "2.0 updates and 40 steps per second, 4.0 and 80 per second of comp" in said[3]
    assert said[6:] == [
        "| 0–0 | 2.0 | 40 | 100.00 | 100.00 | 100 | 503 |",
        "| 2–2 | 2.0 | 40 | 100.00 | 100.00 | 100 | 505 |",
    ]
    assert "after 2.0 minutes, scored in 6 s: 6.500 nats" in validated
    rows[5]["cost"] = 7.0
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "1 of them with the same cost" in lines_of_long_training(log, starts)[2]
