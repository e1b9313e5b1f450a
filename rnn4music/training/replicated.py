"""Training on several devices: each makes every update, from its share of the minibatch.

The weights and the optimiser's averages are on all devices. A device runs forward and backward
through its columns of a minibatch. The gradients are summed over the devices, and each changes its
weights by the sum. A column has the weight 1 / number of tunes in the whole minibatch, so the sum
is the gradient of the minibatch (Dean et al. 2012 and many since; no device is ever ahead).

With several processes the first one has the training: it reads the music, validates, writes
checkpoints, and decides when to stop. For each update it sends the windows, a bit for each pitch,
and states that are carried on. Noise is drawn in each process, from the update's key. The first
process sends the weights when anything but an update has changed them, and once an epoch, since
processors of different kinds round differently.
"""

import atexit
import dataclasses
import signal
import sys

import numpy as np

from rnn4music._utils.console import log
from rnn4music.distributed import launch
from rnn4music.distributed.replicas import PeersLost, leave
from rnn4music.graphs.compiled import SETTINGS, CompiledNetwork
from rnn4music.graphs.parameters import ParameterStore
from rnn4music.training.config import TrainConfig
from rnn4music.training.trainer import Trainer
from rnn4music.training.update import Updater


class ReplicatedTrainer(Trainer):
    """A `Trainer` whose updates are made on several devices.

    Parameters
    ----------
    *arguments
        Those of `Trainer`.
    replicas : distributed.replicas.Replicas
    """

    def __init__(self, *arguments, replicas):
        super().__init__(*arguments)
        self.replicas = replicas
        n, B = replicas.mesh.size, self.config.batch_size
        of = f" of {replicas.n_processes} processes" * (replicas.n_processes > 1)
        log(f"each minibatch is divided among {n} devices{of}")
        if B % n:
            log(f"its {B} tunes take as long as {-(-B // n) * n}, a multiple of {n}")
        self.updater = Updater(self.network.on(replicas.mesh), self.config)
        self.left = None  # the values of the weights and averages after the last update

    def run(self, *arguments, **options):
        """See `Trainer`."""
        store, network = self.store, self.network
        sizes = [*store.state_sizes.values()][::2]
        others = store.chord_units, store.n_conditions
        task = {
            "store": [sizes, store.n_pitches, store.dtype, [*store.averages], *others],
            "network": [network.cost, network.optimiser],
            "config": dataclasses.asdict(self.config),
        }
        self.replicas.send("begin", task, self.initial)  # those of the checkpoint, if there is one
        try:
            return super().run(*arguments, **options)
        finally:  # the devices may not be there afterwards
            self.store.restore(self.store.snapshot())
            gradients = self.model._last_gradients
            self.model._last_gradients = gradients and [np.asarray(each) for each in gradients]

    def complete_epoch(self):
        """See `Trainer`."""
        self.store.restore(self.store.snapshot())  # this process validates alone
        super().complete_epoch()

    def _change(self, windows, mask, states, key):
        values, settings = self.store.snapshot(), self._settings()
        if self.left is None or any(a is not b for a, b in zip(values, self.left)):
            self.replicas.send("weights", None, values)
        bits = windows.astype(bool)
        is_binary = np.array_equal(bits, windows)
        sent = np.packbits(bits, axis=-1) if is_binary else windows
        carried = [] if states is self.initial else states
        changed = self.replicas.send(
            "update",
            [key, is_binary],
            [sent, mask, *settings, *carried],
            then=self.updater,
            given=(windows, mask, states, key, settings),
        )
        cost, self.last_gradients, self.states_after = changed
        self.left = self.store.snapshot()
        return cost


def serve(replicas):
    """Carry out the messages of the first process, until it ends."""
    updater, initial = None, []
    while True:
        what, task, arrays = replicas.receive()
        if what == "end":
            return
        if what == "begin":
            store, (cost, optimiser) = ParameterStore(*task["store"]), task["network"]
            network = CompiledNetwork(store, cost, optimiser, replicas.mesh)
            updater, initial = Updater(network, TrainConfig(**task["config"])), arrays
        elif updater is not None and what == "weights":
            updater.store.restore(arrays)
        elif updater is not None and what == "update":
            (key, is_binary), (windows, mask, *others) = task, arrays
            if is_binary:
                windows = np.unpackbits(windows, axis=-1, count=updater.shape[2])
                windows = windows.astype(updater.store.dtype)
            settings, carried = others[: len(SETTINGS)], others[len(SETTINGS) :]
            replicas.run(updater, windows, mask, carried or initial, key, settings)


def join():
    """Join the processes of a launcher: srun, mpirun, or one that sets torchrun's variables.

    In the first process the function returns; ``train(…, devices="all")`` then uses the devices of
    all. The others compute for it, and exit when it ends. Call it at the top of a script, before
    anything is read or written. It does nothing in a process that no launcher has started.

    With SLURM's or Open MPI's variables JAX aborts the process if not all are there in a minute.

    Raises
    ------
    ConnectionError
        If not all processes are there within a minute, or they cannot connect.
    """
    if launch.connect_to_launched():
        _follow()
        atexit.register(launch.disconnect)


def _follow():
    """Serve the first process and exit, or return if this is the first one."""
    replicas = launch.joined()
    if replicas is None or replicas.is_first:
        return
    for number in (signal.SIGINT, signal.SIGTERM):  # the first process stops, and lets this one end
        signal.signal(number, signal.SIG_IGN)
    try:
        serve(replicas)
    except PeersLost as error:
        log(f"rnn4music: error: {error}; this process ends, too")
        leave(1)
    leave(0)


def main():
    """Be process K of N, which the first one has started: see `launch.PROGRAM`."""
    address, n, k = sys.argv[1:4]
    launch.follow(address, int(n), int(k))
    _follow()
