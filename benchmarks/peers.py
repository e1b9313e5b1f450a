"""Peers: the programs that rnn4music is compared with, and the packages they need.

A peer is a class that implements the same network in the form that is usual and fast in its
framework::

    Peer(n_pitches, n_units, initial, rate, bound, chord_units)
    set_parameters(mapping)         set the weights and reset the averages of RMSprop
    gradients(windows)              return the cost, and the unclipped gradients by name
    update(windows)                 make one update; return the cost before it as a float
    probabilities(inputs, following)   return those of the notes at each next step, (T, B, P)

Names of parameters are those of rnn4music. `windows` is a float32 array (T + 1, B, P). `initial`
maps ``layer1/hidden``, … to the states at t = −1, arrays (H,). `rate` is the learning rate, and
`bound` the limit of each element of the gradient. With `chord_units`, an integer, the network has
the chord output of `rnn4music.chords`; only this reads `following`, the row after each input.
"""

import importlib
from typing import NamedTuple

from benchmarks import machine
from benchmarks.settings import N_PITCHES

OURS, WITHOUT_CHORDS = "rnn4music", "rnn4music without chords"
EPSILON = 1e-5
"""Lower bound of the mean square of RMSprop."""


class Peer(NamedTuple):
    """The class of a peer, and what it needs."""

    title: str
    module: str  # in this package
    name: str  # of the class
    packages: tuple  # required packages
    extra: str  # extra of rnn4music that installs them
    has_peepholes: bool  # if False, all peepholes are 0 in the comparison


PEERS = {
    "torch-lstm": Peer(
        "torch nn.LSTM", "torch_lstm", "TorchLSTM", ("torch",), "benchmark-torch", False
    ),
    "torch-cell": Peer(
        "torch scripted cell", "torch_cell", "TorchCell", ("torch",), "benchmark-torch", True
    ),
    "jax": Peer("JAX autodiff", "jax_scan", "JaxScan", ("jax",), "benchmark", True),
    "pytensor": Peer(
        "PyTensor grad",
        "pytensor_gradient",
        "PyTensorGradient",
        ("pytensor", "jax"),
        "benchmark",
        True,
    ),
}
"""All peers, by their names on the command line."""

FASTEST = "torch-lstm", "torch-cell", "jax"
"""The peers of which one was the fastest at some size."""


def title(name):
    """Return the name of a program in tables."""
    return PEERS[name].title if name in PEERS else name


def present(names):
    """Separate peers that can run here from those that cannot.

    Returns
    -------
    present : list of str
    skipped : dict of name to reason
    """
    skipped = {}
    for name in names:
        missing = [package for package in PEERS[name].packages if not machine.installed(package)]
        if missing:
            skipped[name] = (
                f"no {' and no '.join(missing)}; python -m pip install '.[{PEERS[name].extra}]'"
            )
    return [name for name in names if name not in skipped], skipped


def build(name, n_pitches, n_units, initial, rate, bound, chord_units=None):
    """Return a peer that uses all cores of this process."""
    peer = PEERS[name]
    module = importlib.import_module(f"benchmarks.{peer.module}")
    if hasattr(module, "use_threads"):
        module.use_threads(machine.available_cores())
    make = getattr(module, peer.name)
    return make(n_pitches, n_units, initial, rate, bound, chord_units)


def update_once(name, hidden, batch, steps):
    """Build a peer without importing rnn4music, update it once, and print "updated"."""
    import numpy as np

    rng = np.random.default_rng(1)
    initial = {
        f"layer{n}/{field}": np.zeros(hidden, "float32")
        for n in (1, 2, 3)
        for field in ("hidden", "cell")
    }
    peer = build(name, N_PITCHES, hidden, initial, rate=0.001, bound=30)
    weights = {
        name: rng.normal(0, 0.1, shape).astype("float32")
        for name, shape in shapes(N_PITCHES, hidden).items()
    }
    peer.set_parameters(weights)
    peer.update((rng.random((steps + 1, batch, N_PITCHES)) < 0.04).astype("float32"))
    print("updated", flush=True)


def shapes(n_pitches, n_units):
    """Return the shapes of the parameters by name, without importing rnn4music."""
    P, H = n_pitches, n_units
    shapes = {}
    for layer in ("layer1", "layer2", "layer3"):
        shapes[f"{layer}/input_to_gates"] = (P, 4 * H)
        if layer != "layer1":
            shapes[f"{layer}/below_to_gates"] = (H, 4 * H)
        shapes[f"{layer}/hidden_to_gates"] = (H, 4 * H)
        shapes[f"{layer}/bias"] = (4 * H,)
        for gate in ("input", "forget", "output"):
            shapes[f"{layer}/peephole_{gate}"] = (H,)
        shapes[f"output/{layer}_to_output"] = (H, P)
    return {**shapes, "output/bias": (P,)}
