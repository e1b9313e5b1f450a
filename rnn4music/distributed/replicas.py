"""Devices that make each update together: of this process, or of several processes.

All processes run the same program, in which XLA sums over the devices (NCCL on GPUs, gloo on
processors). The first process decides what is run, and sends it to the others; see
`training.replicated`. Nothing that arrives is executed.
"""

import atexit
import contextlib
import json
import os
import queue
import sys
import threading
import time
from typing import Any

import numpy as np

SILENCE = 20
"""Seconds without a sign of life after which a process counts as lost."""

SECONDS_TO_FINISH = 5
"""Seconds to wait for the rest of a call that is interrupted."""

REMEDY = "with a checkpoint, the same call resumes there (--checkpoint FILE --resume)"


class PeersLost(ConnectionError):
    """Another process that makes the updates has ended, or cannot be reached."""


class Replicas:
    """The devices, and the connection to the processes that have them.

    Parameters
    ----------
    devices : list of jax.Device
        Of all processes.

    Attributes
    ----------
    mesh : jax.sharding.Mesh
    n_processes : int
    is_first : bool
        Whether this is the process that decides.
    """

    def __init__(self, devices):
        from rnn4music.backend import devices as jax_devices

        self.jax, self.mesh = jax_devices, jax_devices.mesh_of(devices)
        self.n_processes, k = jax_devices.process_numbers()
        self.is_first = k == 0
        if self.n_processes == 1:
            return
        self._processes = jax_devices.first_of_each_process(devices)
        self._n_words, self._loss = 0, None  # words of the last message; a sentence
        self._asked, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        self._worker, watch = (
            threading.Thread(target=loop, daemon=True) for loop in (self._work, self._watch)
        )
        self._worker.start()
        watch.start()
        with jax_devices.silenced(1):  # gloo prints that it has connected
            for mesh in (self._processes, self.mesh):
                self.run(jax_devices.summed, np.zeros(1, "<u4"), mesh)

    def run(self, function, *arguments):
        """Return function(*arguments), which all processes call.

        Raises
        ------
        PeersLost
            If one of them has ended, or there is no sign of life for `SILENCE` seconds.
        """
        if self.n_processes == 1:
            return function(*arguments)
        if self._loss is not None:
            raise PeersLost(self._loss)
        ticket = object()
        self._asked.put((ticket, function, arguments))
        answered: Any = (None, None, None)
        try:
            while self._loss is None and answered[0] is not ticket:  # that of an interrupted call
                with contextlib.suppress(queue.Empty):
                    answered = self._answers.get(timeout=1)
        except BaseException:  # Ctrl-C: what is under way must change nothing afterwards
            with contextlib.suppress(queue.Empty):
                self._answers.get(timeout=SECONDS_TO_FINISH)
            raise
        if answered[0] is not ticket:  # the end would not survive a thread that waits forever
            atexit.register(lambda: self._worker.is_alive() and leave(1))
        _, result, error = answered
        if error is not None and self.jax.is_loss(error):
            self._loss = f"one of {self.n_processes} processes is lost; {REMEDY}"
        if self._loss is not None:
            raise PeersLost(self._loss) from error
        if error is not None:
            raise error
        return result

    def send(self, what, task=None, arrays=(), then=None, given=()):
        """Send a text, plain values and arrays to the other processes, which `receive` them.

        Return then(*given). The others call it, too: Ctrl-C does not come between.
        """
        if self.n_processes == 1:
            return then and self.run(then, *given)
        arrays = [np.asarray(array) for array in arrays]
        kinds = [(array.dtype.str, array.shape) for array in arrays]
        head = json.dumps([what, task, kinds]).encode()
        parts = [len(head).to_bytes(8, "little"), head, *(array.tobytes() for array in arrays)]
        try:
            return self.run(self._exchange_and_call, b"".join(parts), then, given)
        except PeersLost:
            raise
        except Exception as error:  # the others wait for what did not happen here
            self._loss = f"an error ended the work of {self.n_processes} processes ({error})"
            raise

    def _exchange_and_call(self, message, then, given):
        self._exchange(message)
        return then and then(*given)

    def receive(self):
        """Return the text, the values and the arrays that the first process sends next."""
        message = self.run(self._exchange, b"")
        start = 8 + int.from_bytes(message[:8], "little")
        what, task, kinds = json.loads(message[8:start])
        arrays = []
        for dtype, shape in kinds:
            size = np.prod(shape, dtype=int)
            arrays.append(np.frombuffer(message, dtype, size, start).reshape(shape))
            start += arrays[-1].nbytes
        return what, task, arrays

    def close(self):
        """Let the other processes end, and the threads of this one."""
        with contextlib.suppress(PeersLost):
            self.send("end")
        self._loss = self._loss or "the connection is closed"
        self._asked.put(None)

    def _exchange(self, message):
        """Return the message of the first process; those of the others are empty.

        It travels as a sum with zeros, first of the length of the message before: those of a
        training are alike. A longer one is sent again.
        """
        words = np.frombuffer(message + bytes(-len(message) % 4), "<u4")
        while True:
            n, given = self._n_words, np.zeros(1 + self._n_words, "<u4")
            given[0], given[1 : 1 + len(words)] = len(words), words[:n]
            summed = self.jax.summed(given, self._processes)
            self._n_words = int(summed[0])
            if self._n_words <= n:
                return summed[1 : 1 + self._n_words].tobytes()

    def _work(self):
        """Run what is asked in a thread of its own, which may have to wait forever."""
        while asked := self._asked.get():
            ticket, function, arguments = asked
            try:
                self._answers.put((ticket, function(*arguments), None))
            except BaseException as error:
                self._answers.put((ticket, None, error))

    def _watch(self):
        """Note processes that give no sign of life: a dead machine closes no connection."""
        everyone = range(self.n_processes)
        while self._loss is None and (alive := self.jax.alive(everyone)) is not None:
            if lost := {*everyone} - {*alive}:
                lost = f"process {min(lost)} of {self.n_processes}"
                self._loss = f"{lost} gives no sign of life; {REMEDY}"
            time.sleep(SILENCE / 4)


def leave(status):
    """End this process at once; some of its threads may wait forever for a lost one."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)
