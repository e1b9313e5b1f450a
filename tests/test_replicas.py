"""Training on several devices and processes equals training on one, and ends when one is lost."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from typing import Any

import numpy as np
import pytest

from rnn4music import RNN4Music, backend
from rnn4music.distributed import cluster, launch, replicas
from rnn4music.training import replicated
from rnn4music.training.callbacks import Callback
from rnn4music.training.config import TrainConfig

pytestmark = pytest.mark.skipif(backend.ENGINE != "jax", reason="other engines have one device")

P = 7
RATES: dict = {"R1": 0.01, "R2": 0.01, "R3": 0.01, "Rout": 0.01}
NOISY = {"windows": "all", "dropout": 0.3, "weight_noise": 0.1}
OPTIONS: dict = {
    "plain": {},
    "averaged": {**NOISY, "output_noise": 0.05, "averaging": 0.9},
    "in segments": {"windows": "all", "steps_at_once": 6, "dropout": 0.2},
    "chords": NOISY,
}
EPOCHS = 7
DRAWN = np.random.default_rng(0)
TUNES = [(DRAWN.random((length, P)) < 0.3).astype(float) for length in DRAWN.integers(12, 40, 13)]


@pytest.fixture(scope="module")
def four_devices():
    """Let JAX compute on four devices, which are threads of this process."""
    import jax
    from jax.extend.backend import clear_backends

    before = jax.config.jax_num_cpu_devices  # pyright: ignore[reportAttributeAccessIssue]
    clear_backends()
    jax.config.update("jax_num_cpu_devices", 4)
    yield jax.devices()
    clear_backends()
    jax.config.update("jax_num_cpu_devices", before)


def new_model(name):
    units = 8 if name == "chords" else None
    return RNN4Music(5, 4, 6, io_length=P, **RATES, seed=3, dtype="float64", chord_units=units)


def trained(name, **options: Any):
    model = new_model(name)
    epochs = 18 if name == "plain" else EPOCHS  # so that there are fifty updates
    model.train(TUNES, 1, epochs, 5, 13, 0.001, progress=False, **options, **OPTIONS[name])
    return model


@functools.cache
def trained_alone(name):
    return trained(name)


def assert_alike(model, other, tolerance=1e-10):
    assert len(model.history.cost) == len(other.history.cost) >= 50
    np.testing.assert_allclose(model.history.cost, other.history.cost, rtol=tolerance)
    for name, array in model.get_parameters().items():
        error = np.abs(array - other.get_parameters()[name]).max()
        assert error <= tolerance * np.abs(array).max(), name
    for one, two in zip(model._last_gradients, other._last_gradients, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("name", OPTIONS)
def test_devices_learn_what_one_learns(four_devices, name, n):
    assert_alike(trained_alone(name), trained(name, devices=n))


def test_all_devices_are_used_and_one_is_no_replica(four_devices, capsys):
    with launch.replicas("all") as found:
        assert found is not None and found.mesh.size == 4
    with launch.replicas(1) as found:
        assert found is None
    trained("plain", devices="all")
    assert "divided among 4 devices\nits 5 tunes take as long as 8" in capsys.readouterr().err


def test_a_model_goes_on_alone_after_training_on_devices(four_devices):
    one, two = (new_model("plain") for _ in range(2))
    for devices in (2, None):
        one.train(TUNES, 1, 6, 5, 13, progress=False, devices=devices)
        two.train(TUNES, 1, 6, 5, 13, progress=False)
    for name, array in one.get_parameters().items():
        np.testing.assert_allclose(array, two.get_parameters()[name], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(one.predict(TUNES[0]), two.predict(TUNES[0]), rtol=1e-9)


def test_a_callback_that_changes_weights_and_rates_is_obeyed(four_devices):
    class Changing(Callback):
        def on_update(self, model, history):
            if len(history.cost) == 9:
                model.setNewRates(0.001, 0.002, 0.003, 0.004)
                store = model._store
                store.set_weights({"output/bias": np.full(P, 0.3)})

    one = trained("plain", callbacks=Changing())
    assert_alike(one, trained("plain", devices=4, callbacks=Changing()))
    assert one.history.cost != trained_alone("plain").history.cost


def test_an_interrupted_update_is_forgotten_everywhere(four_devices, monkeypatch):
    """The other processes may have made it: the weights before it are sent again."""
    sent, calls = [], []
    run, send = replicas.Replicas.run, replicas.Replicas.send

    def interrupting(self, function, *arguments):
        calls.append(function)
        result = run(self, function, *arguments)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(replicas.Replicas, "run", interrupting)

    def noting(self, what, *arguments, **options):
        sent.append(what)
        return send(self, what, *arguments, **options)

    monkeypatch.setattr(replicas.Replicas, "send", noting)
    model = new_model("plain")
    with launch.replicas(2) as found:
        config = TrainConfig(epochs=18, batch_size=5, window=13)
        trainer = replicated.ReplicatedTrainer(model, TUNES, None, config, replicas=found)
        with pytest.raises(KeyboardInterrupt):
            trainer.run([], False)
        assert len(model.history.cost) == 29
        del sent[:]
        trainer.update(next(iter(trainer.minibatches(1))), 0)
    assert sent == ["weights", "update"]


def test_other_processes_begin_with_the_states_of_the_checkpoint(
    four_devices, tmp_path, monkeypatch
):
    begun = []

    def send(self, what, task=None, arrays=(), then=None, given=()):
        if what == "begin":
            begun.append(arrays)
        return then and then(*given)

    monkeypatch.setattr(replicas.Replicas, "send", send)
    path, options = tmp_path / "night.npz", {"devices": 2, "progress": False, "resume": True}
    for epochs in (1, 2):  # without a seed, each model draws initial states of its own
        model = RNN4Music(5, 4, 6, io_length=P, seed=None)
        model.train(TUNES, 1, epochs, 5, 13, checkpoint=path, **options)
    for one, two in zip(*begun, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_lost_process_leaves_a_checkpoint_with_every_complete_update(
    four_devices, tmp_path, monkeypatch
):
    calls, run = [], replicas.Replicas.run

    def losing(self, function, *arguments):
        calls.append(function)
        if len(calls) == 30:
            raise replicas.PeersLost("process 1 of 2 is lost")
        return run(self, function, *arguments)

    path = tmp_path / "night.npz"
    with monkeypatch.context() as patched:
        patched.setattr(replicas.Replicas, "run", losing)
        with pytest.raises(ConnectionError, match="process 1 of 2 is lost"):
            trained("averaged", devices=2, checkpoint=path, checkpoint_every=1000)
    assert len(RNN4Music.from_file(path).history.cost) == 29
    resumed = trained("averaged", devices=2, checkpoint=path, resume=True)
    whole = trained("averaged", devices=2)
    assert resumed.history.cost == whole.history.cost
    for name, array in whole.get_parameters().items():
        np.testing.assert_array_equal(resumed.get_parameters()[name], array)


# ---- messages between processes


class Both:
    """Two ends of a connection; `summed` adds what they give, as the processes' devices do."""

    def __init__(self):
        self.barrier, self.given = threading.Barrier(2), []

    def summed(self, array, end):
        self.given.append(array)
        self.barrier.wait()
        total = sum(self.given)
        if self.barrier.wait() == 0:
            self.given.clear()
        self.barrier.wait()
        return total


class End(replicas.Replicas):
    """One of two processes, without devices."""

    def __init__(self):
        self.n_processes, self._n_words, self._processes = 2, 0, None
        self.jax: Any = types.SimpleNamespace(is_loss=lambda error: False)

    def run(self, function, *arguments):
        return function(*arguments)


def test_messages_of_any_sizes_arrive():
    rng = np.random.default_rng(1)
    messages: list = [("begin", {"a": [1, None, 0.5]}, [])]
    for shape in ((), (3,), (2, 3), (200, 17), (1, 1), (5, 0), (31, 2, 3)):
        arrays = [rng.random(shape), rng.integers(0, 255, shape).astype("uint8")]
        messages.append(("update", [[7, 2**62], True], arrays))
    both, first, other = Both(), End(), End()
    first.jax.summed = other.jax.summed = both.summed
    received = []
    follower = threading.Thread(target=lambda: received.extend(other.receive() for _ in messages))
    follower.start()
    for message in messages:
        first.send(*message)
    follower.join(20)
    for (what, task, arrays), (same_what, same_task, same) in zip(messages, received, strict=True):
        assert (what, task) == (same_what, same_task)
        for array, copy in zip(arrays, same, strict=True):
            assert array.dtype == copy.dtype
            np.testing.assert_array_equal(array, copy)


def test_a_silent_process_is_lost(monkeypatch):
    """A machine that lost its power closes no connection: the call would wait forever."""
    told, connection_reset = threading.Event(), threading.Event()
    at_exit, left = [], []
    monkeypatch.setattr(replicas.atexit, "register", at_exit.append)
    monkeypatch.setattr(replicas, "leave", left.append)
    waiting = End()
    waiting._asked, waiting._answers = (replicas.queue.SimpleQueue() for _ in range(2))
    waiting._loss, waiting.jax.alive = None, lambda them: told.wait() and them[:1]
    waiting._worker = threading.Thread(target=waiting._work, daemon=True)
    waiting._worker.start()
    threading.Thread(target=waiting._watch, daemon=True).start()
    assert replicas.Replicas.run(waiting, lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        replicas.Replicas.run(waiting, lambda: 1 / 0)
    waiting._answers.put(("of a call that Ctrl-C interrupted", 7, None))
    assert replicas.Replicas.run(waiting, lambda: 6) == 6
    told.set()
    with pytest.raises(replicas.PeersLost, match="process 1 of 2 gives no sign of life"):
        replicas.Replicas.run(waiting, connection_reset.wait)
    at_exit[0]()
    assert left == [1]
    connection_reset.set()
    waiting._asked.put(None)
    waiting._worker.join(10)
    at_exit[0]()  # nothing waits: the program's own exit status
    assert left == [1]


def test_an_interrupted_call_ends_before_the_interruption():
    """Else the others would wait for it, and it would change weights that are given back."""

    class Interrupting(replicas.queue.SimpleQueue):
        def __init__(self):
            self.is_first = True

        def get(self, *arguments, **options):
            if self.is_first:
                self.is_first = False
                raise KeyboardInterrupt
            return super().get(*arguments, **options)

    done, waiting = [], End()
    waiting.run = functools.partial(replicas.Replicas.run, waiting)
    waiting._asked, waiting._answers = replicas.queue.SimpleQueue(), Interrupting()
    waiting._loss, waiting._exchange = None, lambda message: done.append("sent")
    threading.Thread(target=waiting._work, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        waiting.send("update", then=lambda: time.sleep(0.3) or done.append("changed"))
    assert done == ["sent", "changed"]
    assert waiting.run(lambda: 4) == 4
    waiting.close()


# ---- where processes come from


def test_what_is_no_place_to_compute(four_devices, monkeypatch):
    wrong: dict
    for wrong, said in (
        ({"devices": 0}, "devices must be at least 1"),
        ({"devices": 5}, "devices=5 must be at most 4, which JAX has here"),
        ({"cluster": 0}, "cluster must be at least 1"),
        ({"devices": "all", "cluster": 2}, "not both"),
    ):
        with pytest.raises(ValueError, match=said):
            trained("plain", **wrong)
    with pytest.raises(TypeError, match="cluster must be a number of processes.*not True"):
        trained("plain", cluster=True)
    with monkeypatch.context() as patched:
        patched.setattr(backend, "ENGINE", "numba")
        with pytest.raises(ValueError, match="the engine is 'numba'"):
            launch.replicas("all").__enter__()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "frozen", True, raising=False)
        with pytest.raises(ValueError, match="cluster=2 starts .* a frozen program"):
            trained("plain", cluster=2)
    monkeypatch.setattr(launch, "_joined", [object()])
    with pytest.raises(ValueError, match="has joined others already"):
        trained("plain", cluster=2)


def test_flags_name_numbers_and_addresses():
    assert launch.parsed(None, None) == {"devices": None, "cluster": None}
    assert launch.parsed("all", None)["devices"] == "all"
    assert launch.parsed("2", None)["devices"] == 2
    assert launch.parsed(None, "3")["cluster"] == 3
    assert launch.parsed(None, "tcp://10.0.0.1:8786")["cluster"] == "tcp://10.0.0.1:8786"
    for devices, where in (("some", None), ("0", None), (None, "here"), (None, "-1")):
        with pytest.raises(ValueError, match="is neither"):
            launch.parsed(devices, where)
    assert cluster.parsed("tcp://10.0.0.1:8786") == "tcp://10.0.0.1:8786"
    with pytest.raises(ValueError, match="--cluster 2 is not a scheduler's address"):
        cluster.parsed("2")


TORCHRUN = {"MASTER_ADDR": "node1", "MASTER_PORT": "29500", "WORLD_SIZE": "4", "RANK": "2"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, []),
        (TORCHRUN, [("node1:29500", 4, 2)]),
        ({**TORCHRUN, "TORCHELASTIC_RUN_ID": "none"}, [("node1:29501", 4, 2)]),
        ({**TORCHRUN, "WORLD_SIZE": "1"}, []),
        ({"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "1"}, [(None, None, None)]),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, []),
        ({"SLURM_NTASKS": "3", "SLURM_PROCID": "0"}, []),  # a batch script outside of srun
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}, [(None, None, None)]),
    ],
)
def test_launchers_are_known_by_their_variables(monkeypatch, variables, expected):
    for name in {*TORCHRUN, *(name for pair in launch.LAUNCHERS for name in pair)}:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    asked = []
    for name in ("connect", "follow"):
        monkeypatch.setattr(launch, name, lambda *arguments: asked.append(arguments))
    assert launch.connect_to_launched() == bool(expected)
    assert (launch.n_launched() > 1) == bool(expected)
    assert asked == expected


def test_launched_processes_that_cannot_meet(monkeypatch):
    monkeypatch.setattr(launch, "SECONDS_TO_BEGIN", 0.3)
    with launch.socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        for name, value in {**TORCHRUN, "MASTER_PORT": port, "MASTER_ADDR": "127.0.0.1"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(ConnectionError, match=f"port {port} .* set another MASTER_PORT"):
            launch.connect_to_launched()
    with pytest.raises(ConnectionError, match=r"not all of 4 .* 1 are here after 0\.3 s"):
        launch.connect_to_launched()
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ConnectionError, match=f"does not answer at 127.0.0.1:{port} within"):
        launch.connect_to_launched()
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(ValueError, match="RANK=4 must be below WORLD_SIZE=4"):
        launch.connect_to_launched()
    monkeypatch.setenv("MASTER_PORT", "http")
    with pytest.raises(ValueError, match="MASTER_PORT='http' must be a whole number"):
        launch.connect_to_launched()
    with pytest.warns(UserWarning, match="one of 4 processes.*join"):
        launch.replicas(1).__enter__()


# ---- processes


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_two_processes_learn_what_one_learns(name):
    from jax import config

    alone, settings = trained_alone(name), dict(config.values)
    assert_alike(alone, trained(name, cluster=2))
    assert config.values == settings


@pytest.mark.slow
def test_four_processes_learn_what_one_learns():
    assert_alike(trained_alone("averaged"), trained("averaged", cluster=4))


def others():
    """Return the numbers of the processes that serve this one."""
    listed = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())],
                            capture_output=True, text=True, check=True)  # fmt: skip
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if launch.PROGRAM in line]


class Killing(Callback):
    """Kills another process after some updates."""

    def on_update(self, model, history):
        if len(history.cost) == 20:
            os.kill(others()[0], signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_process_ends_the_training_which_goes_on_bit_for_bit(tmp_path):
    path, started = tmp_path / "night.npz", time.monotonic()
    with pytest.raises(replicas.PeersLost, match="one of 2 processes is lost"):
        trained("averaged", cluster=2, checkpoint=path, callbacks=Killing())
    assert time.monotonic() - started < 60
    assert not others()
    assert len(RNN4Music.from_file(path).history.cost) >= 20
    resumed = trained("averaged", cluster=2, checkpoint=path, resume=True)
    whole = trained("averaged", cluster=2)
    assert resumed.history.cost == whole.history.cost
    for name, array in whole.get_parameters().items():
        np.testing.assert_array_equal(resumed.get_parameters()[name], array)


@pytest.mark.slow
def test_dask_workers_start_the_processes():
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is missing")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as workers,
        distributed.Client(workers, set_as_default=False) as client,
    ):
        assert_alike(trained_alone("chords"), trained("chords", cluster=client))


PROGRAM = """
import json, sys
import numpy as np
from rnn4music import RNN4Music
from rnn4music.training import join

join()
print("once")
tunes = [np.random.default_rng(k).random((20, 7)) < 0.3 for k in range(6)]
model = RNN4Music(5, 4, 6, io_length=7, seed=3, dtype="float64")
for _ in range(2):
    model.train(tunes, 1, 2, 4, 13, devices=None if sys.argv[1:] else "all", progress=False)
print(json.dumps(model.history.cost))
"""


def launched(variables, n=2):
    """Run the program in n processes with a launcher's variables; return the processes."""
    processes = []
    for k in range(n):
        own = {name: value.format(k=k) for name, value in variables.items()}
        environment = {**os.environ, **own, "PYTHONWARNINGS": "ignore"}
        run = [sys.executable, "-c", PROGRAM]
        processes.append(
            subprocess.Popen(
                run, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    return processes


def free_port():
    with launch.socket.socket() as listener:
        listener.bind(("", 0))
        return str(listener.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "SLURM"])
def test_a_script_under_a_launcher_runs_once(launcher):
    alone = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM, "alone"],
                           capture_output=True, text=True, check=True)  # fmt: skip
    variables = {
        "torchrun": {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(),
                     "WORLD_SIZE": "2", "RANK": "{k}"},
        "SLURM": {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "localhost",
                  "SLURM_NTASKS": "2", "SLURM_PROCID": "{k}", "SLURM_LOCALID": "{k}",
                  "SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NUM_TASKS": "2"},
    }[launcher]  # fmt: skip
    processes = launched(variables)
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    (said, _), (nothing, _) = answers
    assert said.startswith("once\n[") and nothing == ""
    np.testing.assert_allclose(
        json.loads(said.splitlines()[1]), json.loads(alone.stdout.splitlines()[1]), rtol=1e-10
    )


@pytest.mark.slow
def test_others_end_with_a_sentence_when_the_first_is_killed():
    variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2",
                 "RANK": "{k}"}  # fmt: skip
    first, other = launched(variables)
    assert first.stdout.readline() == "once\n"
    first.kill()
    first.communicate()
    _, said = other.communicate(timeout=60)
    assert other.returncode not in (0, None)
    assert re.search("one of 2 processes is lost|another task died", said)


@pytest.mark.slow
def test_processes_that_do_not_come_are_an_error(monkeypatch):
    monkeypatch.setattr(launch, "PROGRAM", "raise SystemExit('no luck')")
    with pytest.raises(ConnectionError, match="not all of 2 processes have started: no luck"):
        trained("plain", cluster=2)
    assert_alike(trained_alone("plain"), trained("plain"), 0)  # JAX works as before


def test_serving_ends_when_the_first_process_says_so():
    told = iter([("other", None, []), ("end", None, [])])
    replicated.serve(types.SimpleNamespace(receive=lambda: next(told)))
