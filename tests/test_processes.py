"""Work in a separate process, which may crash, hang, use too much memory, or give false answers."""

import multiprocessing
import os
import time

import numpy as np
import pytest

from rnn4music._utils import processes
from rnn4music._utils.processes import ProcessCrashed, in_limited_process

LIMITS = {"most_memory": 2**29, "most_bytes": 2**20, "seconds": 20}


def described(file, text, number):
    os.write(1, b"what a library prints")
    numbers = np.frombuffer(file.read(), np.uint8)
    return {text: numbers * np.float32(number), "ö": np.zeros((0, 3), np.int64)}


def crashing(_):
    os.abort()


def leaving(_):
    os._exit(1)


def sleeping(_):
    time.sleep(60)


def growing(_):
    return {"zeros": np.zeros(2**30, np.uint8)}


def talking(_):
    return {"zeros": np.zeros(2**21, np.uint8)}


def raising(_, kind, *arguments):
    raise {"value": ValueError, "import": ImportError, "key": KeyError, "os": OSError}[kind](
        *arguments
    )


def test_a_function_answers_with_arrays(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(5)))
    with open(tmp_path / "file", "rb") as file:
        found = in_limited_process(described, ["ab", 0.5], file, **LIMITS)
    assert found.keys() == {"ab", "ö"} and found["ö"].shape == (0, 3)
    assert found["ab"].dtype == np.float32
    assert found["ab"].tolist() == [0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    (
        (crashing, [], ProcessCrashed, "reading it crashes a process"),
        (leaving, [], OSError, "the process for leaving failed before it could answer"),
        (growing, [], ProcessCrashed, "it takes more than 512 MiB of memory"),
        (talking, [], ProcessCrashed, "it holds more than 1048576 bytes"),
        (raising, ["value", "é\n"], ValueError, "^é\n$"),
        (raising, ["import", "a package"], ImportError, "^a package$"),
        (raising, ["os", 5, "a disk"], OSError, "a disk"),
        (raising, ["key", "x"], OSError, "the process for raising failed before"),
    ),
)
def test_an_error_in_the_process_is_raised_here(function, arguments, error, message):
    with pytest.raises(error, match=message):
        in_limited_process(function, arguments, **LIMITS)


def test_a_process_that_takes_too_long_is_ended():
    start = time.monotonic()
    with pytest.raises(ProcessCrashed, match="it takes more than 1 seconds"):
        in_limited_process(sleeping, [], **{**LIMITS, "seconds": 1})
    assert time.monotonic() - start < 20


def test_an_answer_is_not_trusted(tmp_path):
    def read(content):
        (tmp_path / "answer").write_bytes(content)
        with open(tmp_path / "answer", "rb") as file:
            return processes._arrays(file, 1000)

    def npz(**arrays):
        np.savez(tmp_path / "arrays.npz", **arrays)
        return (tmp_path / "arrays.npz").read_bytes()

    good = npz(x=np.arange(3))
    assert read(good)["x"].tolist() == [0, 1, 2]
    for answer in (
        *(b"", good[:-1], good[:50], good + b"x", good.replace(b"(3,)", b"(9,)")),
        *(npz(x=np.zeros(1000)), npz(error=np.array(3)), npz(error=np.array(["SystemExit", "x"]))),
    ):
        with pytest.raises(ProcessCrashed, match="no usable answer"):
            read(answer)
    assert read(npz(x=np.array([sleeping]))) == {}  # nothing is unpickled


def test_a_daemonic_process_can_start_one():
    """Workers of a multiprocessing pool are daemonic: multiprocessing allows them no children."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with pytest.raises(ValueError, match="from there"):
            pool.apply(in_limited_process, (raising, ["value", "from there"]), LIMITS)


def stopping(item):
    return next(iter([item] if item else []))


@pytest.mark.parametrize("workers", (1, 2))
def test_a_task_that_stops_is_an_error_and_not_the_end(workers):
    results = processes.in_processes(stopping, [1, 2, 0, 4], workers)
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(results)
