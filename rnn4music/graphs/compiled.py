"""The compiled functions of a network: forward pass, gradients, updates of the weights.

Window lengths and numbers of tunes are fixed for engines that compile for one shape
(`backend.tensor`). All settings are inputs, so that changing one never recompiles.

Conventions
-----------
T steps, B tunes, P pitches; with Q conditions rows have P + Q columns. `mask` (T, B) is the weight
of each step of each tune in the cost: 1 / number of tunes, and 0 where a minibatch is padded.
`states` is the flat list hidden 1, cell 1, hidden 2, … of the layers' states, (B, H) each. `noise`
is the list of arrays that a `NoiseKind` requires.
"""

import functools
from typing import NamedTuple

from rnn4music import backend, network, updates
from rnn4music._utils.lazy import paused_collector
from rnn4music.chords import chord_units_before
from rnn4music.costs import total_and_derivative
from rnn4music.graphs.parameters import named, unnamed
from rnn4music.linear import flat, noise_added
from rnn4music.lstm import State


def paired(states):
    """Return a tuple of `State` from a flat list hidden 1, cell 1, hidden 2, …"""
    return tuple(State(*states[k : k + 2]) for k in range(0, len(states), 2))


def flattened(states):
    """Return the flat list of a tuple of `State`."""
    return [array for state in states for array in state]


def of_tunes(states):
    """Return `flattened` results, of which each device has those of its tunes."""
    return [backend.over_tunes(array, 0) for array in flattened(states)]


class NoiseKind(NamedTuple):
    """The noise in an update; each kind adds inputs to the function, in this order."""

    dropout: bool = False  # a mask (B, H) for each layer
    weight_noise: bool = False  # a vector (N,), added to all elements of the weight matrices


NO_NOISE = NoiseKind()

SETTINGS = "rate1", "rate2", "rate3", "rate_output", "bound", "epsilon", "l1"
"""The names of what `CompiledNetwork.update` takes as settings, in their order."""

_GROUPS = "layer1", "layer2", "layer3", "output"  # of parameters, one learning rate each


def compiled_once(build):
    """Cache in the network what a function compiles for a shape and options."""
    build = paused_collector()(build)

    @functools.wraps(build)
    def compiled(network, shape, *options):
        key = build.__name__, backend.compiled_shape(shape), *options
        if key not in network.compiled:
            network.compiled[key] = build(network, shape, *options)
        return network.compiled[key]

    return compiled


class CompiledNetwork:
    """The compiled functions on one `ParameterStore`, each compiled when it is first needed.

    Every such method takes the (T, B, P) shape of the network's inputs and returns a function
    of arrays.

    Parameters
    ----------
    store : parameters.ParameterStore
    cost : str
        A key of `costs.COSTS`.
    optimiser : str
        A key of `updates.OPTIMISERS`.
    mesh : jax.sharding.Mesh, optional
        Devices that run each function together. Shapes are then those of a device's share of the
        tunes, and the functions take and return the arrays of all tunes.
    """

    def __init__(self, store, cost, optimiser="rmsprop", mesh=None):
        self.store, self.mesh = store, mesh
        self.n_devices = 1 if mesh is None else mesh.size
        self.cost, self.optimiser = cost, optimiser
        self.parameters = unnamed(store.weights)
        self.compiled = {}

    def on(self, mesh):
        """Return this network on the devices of a mesh."""
        return CompiledNetwork(self.store, self.cost, self.optimiser, mesh)

    def is_compiled(self, name, shape, *options):
        """Return whether the method of this name has its function for this shape."""
        return (name, backend.compiled_shape(shape), *options) in self.compiled

    @compiled_once
    def forward(self, shape, kind=NO_NOISE):
        """Compile (inputs, *states, *noise) → [pre-activations (T, B, P), *states after].

        If the store `reads_following`, a second argument after the inputs is the rows after them.
        """
        rows, states = [self.input("inputs", shape, tunes=1)], self.state_inputs(shape[1])
        if self.store.reads_following:
            rows.append(self.input("following", shape, tunes=1))
        noise, parameters, masks = self._noisy(shape[1], kind)
        inputs, following = self._read(*rows)
        Y, activations = network.forward(inputs, paired(states), parameters, masks, following)
        return self.function(
            [*rows, *states, *noise],
            [backend.over_tunes(Y, 1), *of_tunes(_last_states(activations))],
        )

    @compiled_once
    def before_chords(self, shape):
        """Compile (inputs, *states) → [Y and a side by side (T, B, P + K), *states after].

        They are what `chords.draw_pitches` takes: what is known before any pitch is drawn. Not for
        networks with conditions.
        """
        inputs, states = self.input("inputs", shape), self.state_inputs(shape[1])
        parameters = self.parameters._replace(chords=None)
        known, activations = network.forward(inputs, paired(states), parameters)
        hidden = [flat(layer.hidden) for layer in activations.layers]
        a = chord_units_before(hidden, self.parameters.chords)
        if a is not None:
            a = a.reshape((*backend.shape_of(known)[:2], self.store.chord_units))
            known = backend.concatenate([known, a], axis=2)
        return self.function([inputs, *states], [known, *flattened(_last_states(activations))])

    @compiled_once
    def cost_and_gradients(self, shape, kind):
        """Compile the cost of predicting targets, and its gradients, unclipped.

        The function takes rows, the rows after them, the mask, the states before, the
        derivatives with respect to the states after (0 where nothing follows), and the noise. It
        returns [cost, *gradients, *states after, *derivatives with respect to the states before].
        """
        rows, following = (self.input(name, shape, tunes=1) for name in ("inputs", "targets"))
        inputs, targets = self._read(rows, following)
        mask = self.input("mask", shape[:2], tunes=1)
        states, d_after = self.state_inputs(shape[1]), self.state_inputs(shape[1])
        noise, *noisy = self._noisy(shape[1], kind)
        cost, gradients, after, d_before = self._cost_and_gradients(
            inputs, targets, mask, paired(states), paired(d_after), *noisy
        )
        return self.function(
            [rows, following, mask, *states, *d_after, *noise],
            [cost, *gradients.values(), *of_tunes(after), *of_tunes(d_before)],
        )

    @compiled_once
    def apply_gradients(self, shape):
        """Compile (*gradients, *settings as for `update`) → [], which changes the store.

        It depends on no inputs, so `shape` is ().
        """
        gradients = {name: self.input(name, shape) for name, shape in self.store.shapes.items()}
        settings = self._setting_inputs()
        changes = self._changes(gradients, settings)
        return self.function([*gradients.values(), *settings], [], changes)

    @compiled_once
    def update(self, shape, kind):
        """Compile one update: forward, backward, clipping, L1 penalty, and the optimiser's rule.

        The function takes windows (T + 1, B, P), the mask, the states before them, the noise,
        and the settings: the learning rates of the three layers and the output, the bound on the
        gradient, epsilon and the strength of the L1 penalty. It changes the store and returns
        [cost, *gradients, *states after]; the gradients are unclipped.
        """
        T, B, P = shape
        windows = self.input("windows", (T + 1, B, P), tunes=1)
        mask = self.input("mask", (T, B), tunes=1)
        states = self.state_inputs(B)
        noise, *noisy = self._noisy(B, kind)
        initial = paired(states)
        nothing = tuple(State(*map(backend.zeros_like, state)) for state in initial)
        cost, gradients, after, _ = self._cost_and_gradients(
            *self._read(windows[:-1], windows[1:]), mask, initial, nothing, *noisy
        )
        settings = self._setting_inputs()
        return self.function(
            [windows, mask, *states, *noise, *settings],
            [cost, *gradients.values(), *of_tunes(after)],
            self._changes(gradients, settings),
        )

    # ---- parts of these functions

    def function(self, inputs, outputs, changes=()):
        """Compile a graph for the devices of this network."""
        return backend.function(inputs, outputs, changes, self.mesh)

    def input(self, name, shape, tunes=None):
        """Return an input in the store's dtype; `tunes` is its axis of tunes, if it has one."""
        return backend.over_tunes(backend.tensor(name, self.store.dtype, shape), tunes)

    def state_inputs(self, n_tunes):
        """Return a flat list of inputs for the states of `n_tunes` tunes."""
        sizes = self.store.state_sizes.items()
        return [self.input(name, (n_tunes, H), tunes=0) for name, H in sizes]

    def _read(self, rows, following=None):
        """Return the network's inputs and its targets, for rows and the rows after them."""
        if not self.store.n_conditions or following is None:
            return rows, following
        P = self.store.n_pitches
        return network.with_conditions(rows, following, P), following[:, :, :P]

    def _setting_inputs(self):
        return [self.input(name, ()) for name in SETTINGS]

    def _cost_and_gradients(self, inputs, targets, mask, initial, d_after, parameters, masks):
        """Return the cost, a dict of gradients, the states after, the derivatives before."""
        Y, activations = network.forward(inputs, initial, parameters, masks, targets)
        cost, d_Y = total_and_derivative(self.cost, Y, targets, mask)
        gradients, d_before = network.backward(
            d_Y, d_after, inputs, initial, activations, parameters, masks, targets
        )
        gradients = named(gradients)
        if self.mesh is not None:  # a tune counts 1 / tunes of the minibatch on all devices
            cost, *sums = backend.sum_over_replicas([cost, *gradients.values()])
            gradients = dict(zip(gradients, sums))
        return cost, gradients, _last_states(activations), d_before

    def _changes(self, gradients, settings):
        """Return the new expression of each weight and average: clip, L1, optimiser's rule."""
        *rates, bound, epsilon, l1 = settings
        names, parameters = self.store.weights.keys(), self.store.weights.values()
        groups = [name.split("/")[0].replace("chords", "output") for name in names]
        averages = list(zip(*(variables.values() for variables in self.store.averages.values())))
        n_updates = self.store.n_updates + backend.constant(1, self.store.dtype)
        results = updates.all_changed(
            self.optimiser,
            list(parameters),
            [gradients[name] for name in names],
            averages,
            [rates[_GROUPS.index(group)] for group in groups],
            [None if name.endswith("/bias") else l1 for name in names],
            (bound, epsilon, n_updates),
        )
        changes = [(self.store.n_updates, n_updates)]
        for parameter, own, (new_parameter, new_averages) in zip(parameters, averages, results):
            changes += [(parameter, new_parameter), *zip(own, new_averages)]
        return changes

    def _noisy(self, n_tunes, kind):
        """Return the noise's inputs, the parameters with noise, and the dropout masks.

        Noise is added to the weight matrices for the forward and backward pass only. The gradient
        is taken at the noisy weights and changes the noise-free ones (Graves 2013, section 4.1).
        """
        inputs, parameters, masks = [], self.parameters, network.NO_MASKS
        if kind.dropout:
            units = list(self.store.state_sizes.values())[::2]
            masks = tuple(self.input("dropout", (n_tunes, H), tunes=0) for H in units)
            inputs += masks
        if kind.weight_noise:
            noise = self.input("noise", (self.store.n_in_matrices(),))
            inputs.append(noise)
            names = [name for name, shape in self.store.shapes.items() if len(shape) == 2]
            added = noise_added(noise, [self.store.weights[name] for name in names])
            noisy = dict(zip(names, added))
            parameters = unnamed({**self.store.weights, **noisy})
        return inputs, parameters, masks


def _last_states(activations):
    """Return the states after the last step: a tuple of `State`."""
    return tuple(State(layer.hidden[-1], layer.cell[-1]) for layer in activations.layers)
