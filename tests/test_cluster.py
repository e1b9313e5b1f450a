"""Training on the workers of a Dask cluster equals training in one process, whichever dies."""

import contextlib
import functools
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest

from rnn4music import RNN4Music
from rnn4music.distributed import cluster
from rnn4music.training import data_parallel, replica
from rnn4music.training.callbacks import Callback
from rnn4music.training.config import TrainConfig

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

P = 7
RATES = {"R1": 0.01, "R2": 0.01, "R3": 0.01, "Rout": 0.01}


OPTIONS = {
    "plain": {},
    "all of it": {
        "windows": "all",
        "dropout": 0.3,
        "weight_noise": 0.1,
        "output_noise": 0.05,
        "averaging": 0.9,
    },
    "in pieces": {"windows": "all", "steps_at_once": 6, "dropout": 0.2},
    "chords": {"windows": "all", "dropout": 0.3, "weight_noise": 0.1},
}
DRAWN = np.random.default_rng(0)
TUNES = [(DRAWN.random((length, P)) < 0.3).astype(float) for length in DRAWN.integers(12, 40, 13)]


@pytest.fixture(scope="module")
def two_workers():
    with cluster.connected(2) as client:
        yield client


def trained(name, on=None, **options):
    chord_units = 8 if name == "chords" else None
    model = RNN4Music(
        5, 4, 6, io_length=P, **RATES, seed=3, dtype="float64", chord_units=chord_units
    )
    options |= OPTIONS[name]
    model.train(TUNES, 1, 7, 5, 13, 0.001, cluster=on, progress=False, **options)
    return model


@functools.cache
def trained_in_one_process(name):
    return trained(name)


def assert_alike(model, other, tolerance):
    assert len(model.history.cost) == len(other.history.cost) >= 20
    np.testing.assert_allclose(model.history.cost, other.history.cost, rtol=tolerance)
    for name, array in model.get_parameters().items():
        error = np.abs(array - other.get_parameters()[name]).max()
        assert error <= tolerance * np.abs(array).max(), name


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 4])
def test_twenty_updates_on_workers_are_those_of_one_process(n_workers):
    assert_alike(trained_in_one_process("plain"), trained("plain", on=n_workers), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_two_workers_and_every_way_to_make_an_update(two_workers, name, capsys):
    model = trained(name, two_workers)
    assert_alike(trained_in_one_process(name), model, 1e-10)
    found = re.search(
        r"on 2 workers: (\d+) updates after the first, ([\d.]+) ms each, of which ([\d.]+) ms "
        r"computing; ([\d.]+) MB sent and ([\d.]+) MB received per update",
        capsys.readouterr().err,
    )
    n_updates, milliseconds, computing, sent, received = map(float, found.groups())
    seconds = model.history.seconds[1:]
    assert n_updates == len(seconds)
    assert computing <= milliseconds <= 1e3 * np.mean(seconds) + 0.1
    weights = 8e-6 * sum(array.size for array in model.get_parameters().values())
    assert sent >= 2 * weights - 0.01 and received >= 2 * weights - 0.01


class Killing(Callback):
    """Ends worker processes after some updates."""

    def __init__(self, client, victims):
        self.client, self.victims = client, victims

    def on_update(self, model, history):
        n_victims = self.victims.get(len(history.cost), 0)
        processes = sorted(self.client.run(os.getpid).items()) if n_victims else []
        for _, process in processes[:n_victims]:
            os.kill(process, signal.SIGKILL)


@pytest.mark.slow
def test_workers_that_die_change_no_bit(two_workers, capsys):
    undisturbed = trained("all of it", two_workers)
    killing = Killing(two_workers, {4: 1, 12: 2})  # then no worker is left until two are replaced
    disturbed = trained("all of it", two_workers, callbacks=killing)
    assert "is lost" in capsys.readouterr().err
    assert disturbed.history.cost == undisturbed.history.cost
    for name, array in undisturbed.get_parameters().items():
        np.testing.assert_array_equal(disturbed.get_parameters()[name], array)


@pytest.fixture
def a_scheduler(tmp_path):
    """Yield the process and the address of a scheduler with one worker."""
    file, distributed = tmp_path / "scheduler", "distributed.cli.dask_"
    options = [["scheduler", "--port", "0", "--host", "127.0.0.1", "--scheduler-file"]]
    options += [["worker", "--nthreads", "1", "--no-nanny", "--death-timeout", "5"]]
    options[1] += ["--local-directory", str(tmp_path), "--scheduler-file"]
    with contextlib.ExitStack() as at_the_end, open(os.devnull, "wb") as nowhere:
        processes = []
        for name, *flags in options:
            command = [sys.executable, "-m", distributed + name, *flags, str(file)]
            command += ["--no-dashboard"]
            process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
            for end in (process.wait, process.kill):  # called in reverse order
                at_the_end.callback(end)
            processes.append(process)
            until = time.monotonic() + 30
            while not (file.exists() and file.stat().st_size) and time.monotonic() < until:
                time.sleep(0.05)
        yield processes[0], json.loads(file.read_text())["address"]


@pytest.mark.slow
def test_the_end_of_the_scheduler_leaves_a_checkpoint(a_scheduler, tmp_path, monkeypatch):
    import dask

    scheduler, address = a_scheduler
    monkeypatch.setattr(cluster, "SECONDS_TO_ANSWER", 1)

    class Ending(Callback):
        def on_update(self, model, history):
            if len(history.cost) == 5:
                scheduler.kill()

    path = tmp_path / "night.npz"
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(cluster.ClusterLost, match="scheduler no longer answers"),
    ):
        trained("plain", address, checkpoint=path, checkpoint_every=100, callbacks=Ending())
    assert len(RNN4Music.from_file(path).history.cost) >= 5
    resumed = trained("plain", checkpoint=path, resume=True)
    assert_alike(trained_in_one_process("plain"), resumed, 1e-10)


@pytest.mark.slow
def test_what_is_no_cluster(monkeypatch, two_workers):
    with pytest.raises(TypeError, match="must be a number of workers.*not True"):
        cluster.connected(True).__enter__()
    with pytest.raises(ValueError, match="cluster=0 must be at least 1"):
        cluster.connected(0).__enter__()
    with pytest.raises(ConnectionError, match="no Dask scheduler at nowhere"):
        cluster.connected("nowhere").__enter__()
    for text, said in {"0": "at least 1", "-3": "at least 1", "abc": "neither a number"}.items():
        with pytest.raises(ValueError, match=said):
            cluster.parsed(text)
    with monkeypatch.context() as patched:
        patched.setattr("rnn4music._utils.version.__version__", "0.0.1")
        with pytest.raises(ConnectionError, match=r"has rnn4music .* this process has 0\.0\.1"):
            cluster.connected(two_workers).__enter__()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "frozen", True, raising=False)
        with pytest.raises(ConnectionError, match="cluster=2 .* a frozen program cannot"):
            cluster.connected(2).__enter__()
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'rnn4music\[cluster\]'"):
        cluster.connected(2).__enter__()


def listening(process):
    """Return the addresses, in the system's notation, at which a process listens."""
    inodes = set()
    for descriptor in os.listdir(f"/proc/{process}/fd"):
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(f"/proc/{process}/fd/{descriptor}"))
    found = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}") as file:
            rows = [line.split() for line in file][1:]
        found += [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sockets are listed in /proc")
def test_local_workers_listen_on_this_machine_alone(two_workers):
    for process in two_workers.run(os.getpid).values():
        places = listening(process)
        assert places and all(place.startswith("0100007F:") for place in places), places


@pytest.mark.slow
def test_a_queue_decides_how_many_parts_there_are(two_workers, monkeypatch):
    """With two of eight requested jobs running there are eight parts: the others may start."""
    assert cluster.n_requested(two_workers) == 2
    monkeypatch.setattr(two_workers, "cluster", types.SimpleNamespace(requested=set("abcdefgh")))
    assert cluster.n_requested(two_workers) == 8


def test_replicas_of_one_process_do_not_disturb_each_other(monkeypatch):
    config = TrainConfig(epochs=1, batch_size=4, window=9)
    task = ((3, 4, 5), P, "float64", "cross_entropy", 8), config, 4
    one = replica.Replica(*task)
    rng = np.random.default_rng(0)
    flat = rng.normal(size=sum(math.prod(shape) for shape in one.store.shapes.values()))
    states = [np.zeros((4, H)) for H in one.store.state_sizes.values()]
    roll = (rng.random((9, 4, P)) < 0.3).astype(float)
    part = replica.Part(slice(0, 4), roll, np.full((8, 4), 0.25), states, (1,))
    expected = one.gradient(flat, part).flat
    other = threading.Thread(target=replica.Replica, args=task)

    def draw_while_another_is_made(*key):
        other.start()
        other.join(1)  # long enough for its work, unless it waits for the lock
        return []

    monkeypatch.setattr(one.noise, "draw", draw_while_another_is_made)
    np.testing.assert_array_equal(one.gradient(flat, part).flat, expected)
    other.join()


@pytest.mark.slow
def test_another_client_in_the_same_process_changes_nothing(two_workers):
    with cluster.connected(1):  # the newest client, which Dask uses by default
        assert_alike(trained_in_one_process("plain"), trained("plain", two_workers), 1e-10)


def test_the_command_line_has_numbers_and_addresses():
    assert cluster.parsed("2") == 2
    assert cluster.parsed("tcp://10.0.0.1:8786") == "tcp://10.0.0.1:8786"


def test_the_megabytes_of_an_update_are_those_of_its_arrays(monkeypatch, capsys):
    """Weights go to both workers in float64; their gradients come back, here in float32."""

    class Idle:
        n_used, wait = 2, lambda *_, **__: None

        def compute(self, flat, parts):
            flat = np.zeros(len(flat), "float32")
            return [
                replica.Gradient(1.0, flat, part.states, 0.5 * k) for k, part in enumerate(parts)
            ]

    monkeypatch.setattr(data_parallel, "n_requested", lambda client: 2)
    model = RNN4Music(60, 60, 60, io_length=P, dtype="float64", seed=1)
    config = TrainConfig(epochs=1, batch_size=4, window=9)
    trainer = data_parallel.ClusterTrainer(model, TUNES, None, config, client=None)
    trainer.workers, trainer._apply = Idle(), lambda gradients, cost: None
    for _ in range(3):
        trainer._change(np.zeros((9, 4, P)), np.full((8, 4), 0.25), trainer.initial, (1,))
    trainer.leave_result()
    found = re.search(
        r"on 2 workers: 2 updates after the first.* of which ([\d.]+) ms computing; "
        r"([\d.]+) MB sent and ([\d.]+) MB received per update",
        capsys.readouterr().err,
    )
    computing, sent, received = map(float, found.groups())
    megabytes = 1e-6 * sum(array.size for array in model.get_parameters().values())
    states = 1e-6 * 2 * 6 * (2 * 60) * 8  # of two parts, two columns each
    assert computing == 500  # the slowest part
    assert sent == pytest.approx(2 * 8 * megabytes + states, abs=0.01)
    assert received == pytest.approx(2 * 4 * megabytes + states, abs=0.01)


def test_rolls_travel_as_bits_and_probabilities_as_they_are():
    rng = np.random.default_rng(1)
    roll = (rng.random((5, 3, 11)) < 0.5).astype("float32")
    assert replica.packed(roll).nbytes == 5 * 3 * 2
    np.testing.assert_array_equal(replica.unpacked(replica.packed(roll), 11), roll)
    odds = rng.random((5, 3, 11)).astype("float32")
    np.testing.assert_array_equal(replica.unpacked(replica.packed(odds), 11), odds)


def test_arrays_travel_as_one():
    arrays = [np.arange(6.0).reshape(2, 3), np.array([7.0]), np.ones((1, 4))]
    shapes = [array.shape for array in arrays]
    for array, same in zip(arrays, replica.split(replica.flattened(arrays), shapes)):
        np.testing.assert_array_equal(same, array)


class Answer:
    """An actor whose calls have given outcomes."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)

    def gradient(self, weights, part):
        return self

    def result(self, timeout):
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome


class Workers(data_parallel.Workers):
    """Workers with given actors, and a new one whenever one is lost."""

    def __init__(self, *actors):
        super().__init__(None, None, len(actors))
        self.ready, self.others = dict(enumerate(actors)), iter(range(100, 200))

    def _look(self):
        while len(self.ready) < self.n_parts:
            self.ready[next(self.others)] = Answer(OSError("killed"))


@pytest.mark.slow
def test_a_part_that_kills_its_workers_ends_the_training():
    workers = Workers(Answer("gradient"), Answer(OSError("killed")))
    workers.ready[0].outcomes *= 5
    with pytest.raises(cluster.ClusterLost, match="part 1 .* lost with its worker 4 times"):
        workers.compute("weights", ["part", "part"])


def test_the_answer_of_a_worker_that_is_gone_is_not_awaited(monkeypatch):
    workers = Workers(Answer("first"), Answer(TimeoutError(), TimeoutError()))
    there = iter([[0, 1], [0]])
    monkeypatch.setattr(data_parallel, "addresses", lambda client: next(there))
    workers._look = lambda: None
    workers.ready[0].outcomes.append("second")
    assert workers.compute("weights", ["part", "part"]) == ["first", "second"]


def test_an_error_in_the_computation_is_raised_as_it_is():
    workers = Workers(Answer("gradient"), Answer(MemoryError("too large")))
    with pytest.raises(MemoryError, match="too large"):
        workers.compute("weights", ["part", "part"])
    assert len(workers.ready) == 2
