"""The timed job: a model, its tunes, and the comparison with a peer."""

import numpy as np

from benchmarks import peers
from benchmarks.settings import N_PITCHES
from rnn4music import RNN4Music
from rnn4music.evaluation import scores

RATE = 0.001
DENSITY = 0.04  # of notes in a piano roll: three or four at a time
STABLE_UNITS = 120  # gradients do not grow from step to step with at most this many units
TOLERANCE = 1e-4  # relative, float32
UPDATES_BEFORE = 3
TOLERANCE_AFTER_UPDATES = 5e-3  # relative; at H = 800, weights changed by 1e-7 change it by 1e-3


class Disagreement(ValueError):
    """A peer computes something else; the message names the quantity."""


def model_and_tunes(hidden, batch, steps, chord_units=None):
    """Return an untrained model and a minibatch of random tunes (B, T + 1, P).

    The matrices between many units are scaled down: otherwise the gradients would grow from step
    to step, and rounding errors with them, so that no two programs in float32 would agree.
    """
    sizes = hidden, hidden, hidden, N_PITCHES
    model = RNN4Music(*sizes, RATE, RATE, RATE, RATE, seed=1, chord_units=chord_units)
    weights, rng = model.get_parameters(), np.random.default_rng(2)
    for name in weights:
        if name.endswith(("/hidden_to_gates", "/below_to_gates")):
            weights[name] = weights[name] * min(1, (STABLE_UNITS / hidden) ** 0.5)
        # pitches begin independent, and no other gradient reaches these
        if name in ("chords/chords_to_output", "chords/pitches_to_output"):
            weights[name] = rng.normal(0, 0.1, weights[name].shape)
    model.set_parameters(weights)
    sounds = np.random.default_rng(1).random((batch, steps + 1, N_PITCHES)) < DENSITY
    return model, sounds.astype("float32")


def update_once(hidden, batch, steps):
    """Build a model, update it once, and print "updated"."""
    model, tunes = model_and_tunes(hidden, batch, steps)
    model.train(tunes, 1, 1, batch, steps + 1, progress=False)
    print("updated", flush=True)


def save_model(path, hidden, batch, steps):
    """Save an untrained model and print "saved"."""
    model, _ = model_and_tunes(hidden, batch, steps)
    model.metadata["time_step"] = 0.2
    model.saveParameters(path)
    print("saved", flush=True)


def update_from_folder(folder, cache, hidden, batch, steps):
    """Build a model, update it once with MIDI files of a folder, and print "updated".

    `cache` is a folder for piano rolls, or None.
    """
    from rnn4music import load_midi

    tunes = load_midi(folder, cache=cache, progress=False)
    model = RNN4Music(hidden, hidden, hidden, N_PITCHES, RATE, RATE, RATE, RATE, seed=1)
    model.train(tunes[:batch], 1, 1, batch, steps + 1, progress=False)
    print("updated", flush=True)


def initial_states(model):
    """Return the states at t = −1 as a dict of name (``layer1/hidden``, …) to (H,)."""
    group = "initial/"
    arrays = model._store.arrays()
    return {name.removeprefix(group): a for name, a in arrays.items() if name.startswith(group)}


def build_peer(name, model):
    """Return a peer with the sizes, states and settings of the model."""
    initial = initial_states(model)
    settings = model.R1, model.gradClip, model.chord_units
    return peers.build(name, model.io_length, model.h1_length, initial, *settings)


def share_weights(model, peer, weights, has_peepholes):
    """Set the weights of the model and the peer; peepholes are 0 if the peer has none."""
    if not has_peepholes:
        weights = {
            name: 0 * array if "/peephole" in name else array for name, array in weights.items()
        }
    model.set_parameters(weights)
    model.resetRMSgrads()
    peer.set_parameters(weights)


def difference(model, peer, windows):
    """Compare cost, probabilities and gradients on windows (T + 1, B, P) with shared weights.

    Returns
    -------
    float
        The largest relative difference.

    Raises
    ------
    Disagreement
        If it exceeds `TOLERANCE`: the networks differ.
    """
    inputs, following = windows[:-1], windows[1:]
    cost, gradients = model.gradients(inputs, following)
    probabilities = scores.sigmoid(model._run(inputs, following))
    their_cost, their_gradients = peer.gradients(windows)
    differences = {
        "cost": abs(cost - their_cost) / cost,
        "probabilities": relative(probabilities, peer.probabilities(inputs, following)),
        **{name: relative(gradients[name], theirs) for name, theirs in their_gradients.items()},
    }
    worst = max(differences, key=lambda name: differences[name])
    if not max(differences.values()) < TOLERANCE:
        raise Disagreement(f"its {worst} differs: relative {differences[worst]:.1e}")
    return float(differences[worst])


def difference_after_updates(model, peer, windows):
    """Compare the costs after `UPDATES_BEFORE` updates of both, starting from shared weights.

    Returns
    -------
    float
        The relative difference.

    Raises
    ------
    Disagreement
        If it exceeds `TOLERANCE_AFTER_UPDATES`: the update rules differ.
    """
    tunes = windows.swapaxes(0, 1)
    n = UPDATES_BEFORE + 1
    ours = model.train(tunes, n, 1, *tunes.shape[:2], progress=False).cost[-1]
    theirs = [peer.update(windows) for _ in range(n)][-1]
    error = abs(ours - theirs) / ours
    if not error < TOLERANCE_AFTER_UPDATES:
        raise Disagreement(f"its cost after {UPDATES_BEFORE} updates differs: relative {error:.1e}")
    return float(error)


def relative(ours, theirs):
    """Return the norm of the difference of two arrays relative to that of the second."""
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
