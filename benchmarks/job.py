"""The job that is timed: our model, its tunes, and whether a peer computes the same."""

import numpy as np

from rnn4music import RNN4Music

N_PITCHES = 88
RATE = 0.001
DENSITY = 0.04  # of notes in a piano roll: three or four keys at a time
TOLERANCE = 1e-4  # relative, float32


def model_and_tunes(hidden, batch, steps):
    """Return an untrained model and a minibatch's worth of random tunes (B, T + 1, P)."""
    model = RNN4Music(hidden, hidden, hidden, N_PITCHES, RATE, RATE, RATE, RATE, seed=1)
    sounds = np.random.default_rng(1).random((batch, steps + 1, N_PITCHES)) < DENSITY
    return model, sounds.astype("float32")


def update_once(hidden, batch, steps):
    """Build a model, update it once, say so."""
    model, tunes = model_and_tunes(hidden, batch, steps)
    model.train(tunes, 1, 1, batch, steps + 1, progress=False)
    print("updated", flush=True)


def initial_states(model):
    """Return a dict of name to (H,): ``layer1/hidden``, … at t = −1."""
    group = "initial/"
    arrays = model._store.arrays()
    return {name.removeprefix(group): a for name, a in arrays.items() if name.startswith(group)}


def share_weights(model, peer):
    """Give the peer the model's weights, with all peepholes 0 in both."""
    weights = {
        name: 0 * array if "/peephole" in name else array
        for name, array in model.get_parameters().items()
    }
    model.set_parameters(weights)
    peer.set_parameters(weights)


def difference(model, peer, windows):
    """Compare the cost and the gradients of windows (T + 1, B, P), weights being shared.

    Returns
    -------
    float
        The largest relative difference.

    Raises
    ------
    ValueError
        If it exceeds `TOLERANCE`: the two are not the same network.
    """
    cost, gradients = model.gradients(windows[:-1], windows[1:])
    their_cost, their_gradients = peer.gradients(windows)
    differences = {"cost": abs(cost - their_cost) / cost}
    for name, theirs in their_gradients.items():
        differences[name] = np.linalg.norm(gradients[name] - theirs) / np.linalg.norm(theirs)
    worst = max(differences, key=lambda name: differences[name])
    if not differences[worst] < TOLERANCE:
        raise ValueError(f"the peer computes another {worst}: relative {differences[worst]:.1e}")
    return float(differences[worst])
