"""Training on several devices: each makes every update, on its share of the tunes.

The weights and the optimiser's averages are on all devices. A device runs forward and backward
through its columns of a minibatch. The gradients are summed over the devices, and each changes its
weights by the sum. A column has the weight 1 / number of tunes in the whole minibatch, so the sum
is the gradient of the minibatch (Dean et al. 2012 and many since; no device is ever ahead).

The first process has the training: it reads the music, validates, writes checkpoints, and decides
when to stop. For each update it sends the windows of the minibatch, one bit for a pitch. Noise is
drawn in each process from the update's key. It sends the weights when something else than an
update has changed them, and once an epoch, since processors of different kinds round differently.

    python -m rnn4music.training.replicated ADDRESS N K      process K of N, for the first one
"""

import dataclasses
import json
import sys

import numpy as np

from rnn4music._utils.console import log
from rnn4music.distributed.replicas import (
    PeersLost,
    Replicas,
    connect,
    connect_to_launched,
    launched,
)
from rnn4music.graphs.compiled import CompiledNetwork
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
        self.replicas, network, store = replicas, self.network, self.store
        self.updater = Updater(network.on(replicas.mesh), self.config)
        n, B = replicas.mesh.size, self.config.batch_size
        if B % n:
            log(
                f"a minibatch of {B} tunes does not divide by {n} devices: each computes "
                f"{self.updater.n_tunes}, some of them empty"
            )
        self.left = None  # the values of the weights and averages after the last update
        sizes = list(store.state_sizes.values())[::2]
        task = {
            "store": [sizes, store.n_pitches, store.dtype, list(store.averages)],
            "others": [store.chord_units, store.n_conditions],
            "network": [network.cost_name, network.optimiser_name],
            "config": dataclasses.asdict(self.config),
        }
        replicas.send(json.dumps(["begin", task]))

    def run(self, *arguments, **options):
        """See `Trainer`."""
        try:
            return super().run(*arguments, **options)
        finally:  # the devices may not be there afterwards
            self.store.restore(self.store.snapshot())
            gradients = self.model._last_gradients
            self.model._last_gradients = gradients and [np.asarray(each) for each in gradients]

    def complete_epoch(self):
        """See `Trainer`."""
        super().complete_epoch()
        self.left = None

    def _change(self, windows, mask, states, key):
        settings, values = self._settings(), self.store.snapshot()
        if self.left is None or any(a is not b for a, b in zip(values, self.left)):
            self.replicas.send(json.dumps(["weights", None]), *values)
        cells = windows.astype(bool)
        is_binary = np.array_equal(cells, windows)
        sent = np.packbits(cells, axis=-1) if is_binary else windows
        what = json.dumps(["update", [key, is_binary]])
        self.replicas.send(what, sent, mask, *settings, *states)
        cost, gradients, after = self.replicas.run(
            self.updater, windows, mask, states, key, settings
        )
        self.last_gradients, self.states_after = gradients, after
        self.left = self.store.snapshot()
        return cost


def serve(replicas):
    """Do what the first process asks, until it ends."""
    updater, store = None, None
    while True:
        what, arrays = replicas.receive()
        what, task = json.loads(what)
        if what == "end":
            return
        if what == "begin":
            store = ParameterStore(*task["store"], *task["others"])
            network = CompiledNetwork(store, *task["network"], replicas.mesh)
            updater = Updater(network, TrainConfig(**task["config"]))
        elif what == "weights":
            store.restore(arrays)
        elif what == "update":
            (*key,), is_binary = task
            windows, mask, *others = arrays
            if is_binary:
                n = updater.shape[2]
                windows = np.unpackbits(windows, axis=-1, count=n).astype(store.dtype)
            settings, states = others[:7], others[7:]
            replicas.run(updater, windows, mask, states, key, settings)


def join():
    """Join the processes of a launcher: `srun`, `mpirun`, `torchrun`, or what sets its variables.

    The first process returns; ``train(…, devices="all")`` then uses the devices of all. The others
    compute for it, and exit when it ends. Call it at the top of a script, before anything is read
    or written. A process that no launcher started just returns.

    Raises
    ------
    ConnectionError
        If not all processes are there within a minute.
    """
    if launched() == 1 or _joined:
        return
    connect_to_launched()
    _joined.append(True)
    _follow()


_joined = []


def _follow():
    """Serve the first process, and exit; return in the first process."""
    import jax

    if jax.process_index() == 0:
        return
    try:
        serve(Replicas(jax.devices()))
    except PeersLost as error:
        log(f"error: {error}")
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    address, n, k = sys.argv[1:]
    connect(address, int(n), int(k))
    _follow()
