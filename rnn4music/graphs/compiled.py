"""The compiled functions of a network: update, gradients, forward, sampling, and pieces.

Window lengths and numbers of tunes are fixed where the engine wants them fixed
(`backend.tensor`); all settings are inputs, so that changing one never compiles anything.

Conventions
-----------
T steps, B tunes, P pitches. `weights` (T, B) says how much each step of each tune counts:
1 / number of tunes, and 0 where a minibatch is padded. `states` is the flat list hidden 1,
cell 1, hidden 2, … of what each layer carries: (H,) at t = −1, where all tunes start
alike, and (B, H) where they have gone their own ways.
"""

import functools
from typing import NamedTuple

from rnn4music import backend, network, updates
from rnn4music.costs import COSTS
from rnn4music.graphs.parameters import named, unnamed
from rnn4music.kernels import dispatch
from rnn4music.lstm import State
from rnn4music.updates import OPTIMISERS


def paired(states):
    """Return the tuple of `State` of a flat list hidden 1, cell 1, hidden 2, …"""
    return tuple(State(*states[k : k + 2]) for k in range(0, len(states), 2))


def flattened(states):
    """Return the flat list of a tuple of `State`."""
    return [array for state in states for array in state]


class Regularised(NamedTuple):
    """What an update is disturbed by; each takes inputs of its own, in this order."""

    dropout: bool = False  # a mask (B, H) for each layer
    noise: bool = False  # the noise (N,) on all elements of the weight matrices


PLAIN = Regularised()


def _compiled_once(build):
    """Make a method that compiles a function for a shape return the same one ever after."""

    @functools.wraps(build)
    def compiled(self, shape, *options):
        key = build.__name__, backend.compiled_shape(shape), *options
        if key not in self._compiled:
            with dispatch.in_use():
                self._compiled[key] = build(self, shape, *options)
        return self._compiled[key]

    return compiled


class CompiledNetwork:
    """The compiled functions on one `ParameterStore`, each made when it is first needed.

    Every method takes the (T, B, P) shape of the network's inputs and returns a function
    of arrays.
    """

    def __init__(self, store, cost, optimiser="rmsprop"):
        self.store = store
        self.cost_name, self.cost = cost, COSTS[cost]
        self.optimiser = OPTIMISERS[optimiser]
        self.parameters = unnamed(store.weights)
        self._compiled = {}

    def is_compiled(self, name, shape, *options):
        """Return whether the method of this name has its function for this shape."""
        return (name, backend.compiled_shape(shape), *options) in self._compiled

    @_compiled_once
    def gradients(self, shape):
        """Compile (inputs, targets, weights) → [cost, *gradients], unclipped."""
        inputs = self._input("inputs", shape)
        targets = self._input("targets", shape)
        weights = self._input("weights", shape[:2])
        total, gradients = self._whole(inputs, targets, weights)
        return backend.function([inputs, targets, weights], [total, *gradients.values()])

    @_compiled_once
    def update(self, shape, regularised):
        """Compile one update: forward, backward, clip, L1, and the optimiser's rule.

        The function takes windows (T + 1, B, P), weights (T, B), the states before them, what
        `Regularised` asks for, the four learning rates of the three layers and the output,
        gradClip, epsilon and sparseParam. It changes the store and returns [cost, *gradients,
        *states after the windows], the gradients unclipped.
        """
        inputs, gradients, results = self._learning(shape, regularised)
        settings = self._setting_inputs()
        return backend.function([*inputs, *settings], results, self._changes(gradients, settings))

    @_compiled_once
    def part(self, shape, regularised):
        """Compile what `update` does but for the change.

        The function takes windows, weights, states and disturbances, and returns the same.
        """
        inputs, _, results = self._learning(shape, regularised)
        return backend.function(inputs, results)

    @_compiled_once
    def piece(self, shape, regularised):
        """Compile the cost and the gradient of a piece of a window; see `pieces`.

        The function takes windows (T + 1, B, P), weights (T, B), the gradients of the pieces
        after this one, the states before the piece, the derivatives at the states after it,
        and what `Regularised` asks for. It returns [cost, *gradients of this piece and those
        after it, *derivatives at the states before it].
        """
        T, B, P = shape
        windows = self._input("windows", (T + 1, B, P))
        weights = self._input("weights", (T, B))
        so_far = {name: self._input(name, shape) for name, shape in self.store.shapes.items()}
        states, d_states = self._state_inputs(B), self._state_inputs(B)
        disturbances, disturbed = self._disturbed(B, regularised)
        total, gradients, _, d_before = self._cost_and_gradients(
            windows[:-1], windows[1:], weights, paired(states), paired(d_states), *disturbed
        )
        sums = [so_far[name] + gradient for name, gradient in gradients.items()]
        return backend.function(
            [windows, weights, *so_far.values(), *states, *d_states, *disturbances],
            [total, *sums, *flattened(d_before)],
        )

    @_compiled_once
    def change(self, shape):
        """Compile (gradients, settings as for `update`) → [], which changes the store.

        No tunes take part: the shape is ().
        """
        settings = self._setting_inputs()
        gradients = {name: self._input(name, shape) for name, shape in self.store.shapes.items()}
        changes = self._changes(gradients, settings)
        return backend.function([*gradients.values(), *settings], [], changes)

    def _learning(self, shape, regularised):
        """Return the inputs of an update, the dict of gradients, and all results."""
        T, B, P = shape
        windows = self._input("windows", (T + 1, B, P))
        weights = self._input("weights", (T, B))
        states = self._state_inputs(B)
        disturbances, disturbed = self._disturbed(B, regularised)
        initial = paired(states)
        total, gradients, after, _ = self._cost_and_gradients(
            windows[:-1], windows[1:], weights, initial, _no_states(initial), *disturbed
        )
        inputs = [windows, weights, *states, *disturbances]
        return inputs, gradients, [total, *gradients.values(), *flattened(after)]

    def _changes(self, gradients, settings):
        """Return what becomes of each weight and average: clip, L1, the optimiser's rule."""
        *rates, bound, epsilon, sparsity = settings
        n_updates = self.store.n_updates + backend.constant(1, self.store.dtype)
        changes = [(self.store.n_updates, n_updates)]
        for name, parameter in self.store.weights.items():
            gradient = updates.clip(gradients[name], bound)
            if not name.endswith("/bias"):
                gradient = gradient + updates.l1_penalty(parameter, sparsity)
            averages = [variables[name] for variables in self.store.averages.values()]
            rate = rates[_group(name)]
            new_parameter, new_averages = self.optimiser.rule(
                parameter, gradient, averages, rate, epsilon, n_updates
            )
            changes += [(parameter, new_parameter), *zip(averages, new_averages)]
        return changes

    def forward(self, shape):
        """Return (inputs, *states) → [pre-activations (T, B, P), *states after them]."""
        return self.regularised_forward(shape, PLAIN)

    @_compiled_once
    def regularised_forward(self, shape, regularised):
        """Compile `forward` with what `Regularised` asks for as further inputs."""
        inputs = self._input("inputs", shape)
        states = self._state_inputs(shape[1])
        disturbances, disturbed = self._disturbed(shape[1], regularised)
        Y, activities = network.forward(inputs, paired(states), *disturbed)
        return backend.function(
            [inputs, *states, *disturbances], [Y, *flattened(_last_states(activities))]
        )

    @_compiled_once
    def sampling(self, shape, systematic):
        """Compile a window of composing; `generation` says what systematic sampling is.

        The function takes ``given`` (T, B, P) and ``is_given`` (T,), 1 where the network
        reads a row of `given` and 0 where it reads its own last sample; ``uniform``
        (T, B, P), random numbers in [0, 1), for systematic sampling one for all the pitches of
        a step; the threshold; one over the temperature; ``last`` (B, P), the sample before the
        window; and the states. It returns [tune (T, B, P), probabilities (T, B, P), last,
        *states].
        """
        T, B, P = shape
        given = self._input("given", shape)
        is_given = self._input("is_given", (T,))
        uniform = self._input("uniform", shape)
        threshold = self._input("threshold", ())
        sharpness = self._input("sharpness", ())
        last = self._input("last", (B, P))
        states = self._state_inputs(B)
        names = list(self.store.weights)
        n_states = len(states)

        def step(given, is_given, uniform, last, *rest):
            states, (threshold, sharpness, *weights) = rest[:n_states], rest[n_states:]
            x = backend.switch(is_given > 0, given, last)
            Y, states = network.network_step(x, paired(states), unnamed(dict(zip(names, weights))))
            probabilities = backend.sigmoid(Y * sharpness)
            probabilities = probabilities * (probabilities > threshold)
            sounds = _systematic if systematic else _independent
            sample = backend.cast(sounds(probabilities, uniform), self.store.dtype)
            return [sample, *flattened(states), probabilities]

        sample, *new_states, probabilities = backend.scan(
            step,
            sequences=[given, is_given, uniform],
            states=[last, *states, None],
            constants=[threshold, sharpness, *self.store.weights.values()],
            n_steps=backend.shape_of(given)[0],
        )
        return backend.function(
            [given, is_given, uniform, threshold, sharpness, last, *states],
            [sample, probabilities, sample[-1], *(state[-1] for state in new_states)],
        )

    def _whole(self, inputs, targets, weights):
        """Return the cost and the dict of gradients of tunes from their beginning."""
        n_tunes = backend.shape_of(inputs)[1]
        vectors = self.store.initial.values()
        initial = paired([backend.repeat_row(vector, n_tunes) for vector in vectors])
        return self._cost_and_gradients(
            inputs, targets, weights, initial, _no_states(initial), self.parameters
        )[:2]

    def _cost_and_gradients(
        self, inputs, targets, weights, initial, d_after, parameters, masks=network.NO_MASKS
    ):
        """Return the cost, the dict of gradients, the states after, the derivatives before."""
        Y, activities = network.forward(inputs, initial, parameters, masks)
        weights = weights[:, :, None]
        total = backend.column_sums((self.cost.value(Y, targets) * weights).flatten())
        d_Y = self.cost.derivative(Y, targets) * weights
        gradients, d_before = network.backward(
            d_Y, d_after, inputs, initial, activities, parameters, masks
        )
        return total, named(gradients), _last_states(activities), d_before

    def _disturbed(self, n_tunes, regularised):
        """Return the inputs that disturb an update, and the parameters and masks with them.

        Noise is added to the weight matrices for the pass forward and back alone: the gradient
        is taken there, and changes the weights without noise (Graves 2013, section 4.1).
        """
        inputs, parameters, masks = [], self.parameters, network.NO_MASKS
        if regularised.dropout:
            units = list(self.store.state_sizes.values())[::2]
            masks = tuple(self._input("mask", (n_tunes, H)) for H in units)
            inputs += masks
        if regularised.noise:
            noise = self._input("noise", (self.store.n_in_matrices(),))
            inputs.append(noise)
            noisy, start = {}, 0
            for name, shape in self.store.shapes.items():
                noisy[name] = self.store.weights[name]
                if len(shape) == 2:
                    size = shape[0] * shape[1]
                    noisy[name] = noisy[name] + noise[start : start + size].reshape(shape)
                    start += size
            parameters = unnamed(noisy)
        return inputs, (parameters, masks)

    def _input(self, name, shape):
        return backend.tensor(name, self.store.dtype, shape)

    def _setting_inputs(self):
        names = ("R1", "R2", "R3", "Rout", "gradClip", "epsilon", "sparseParam")
        return [self._input(name, ()) for name in names]

    def _state_inputs(self, n_tunes):
        sizes = self.store.state_sizes.items()
        return [self._input(name, (n_tunes, H)) for name, H in sizes]


def _independent(probabilities, uniform):
    """Return which keys sound; both arguments are (B, P)."""
    return uniform < probabilities


def _systematic(probabilities, uniform):
    """Return the same, from random numbers that are alike for all keys.

    A key sounds if its piece of the line, from where the one before it ends, holds a point.
    """
    n_points = (probabilities.cumsum(axis=1) - uniform).ceil()  # in this piece and before
    before = backend.concatenate([n_points[:, :1] * 0, n_points[:, :-1]], axis=1)
    return (n_points > before) * (probabilities > 0)


def _no_states(states):
    """Return zeros in the shapes of a tuple of `State`."""
    return tuple(State(*(backend.zeros_like(array) for array in state)) for state in states)


def _last_states(activities):
    """Return the states after the last step: a tuple of `State`."""
    return tuple(State(activity.hidden[-1], activity.cell[-1]) for activity in activities)


def _group(name):
    """Return the index of a parameter's learning rate among R1, R2, R3, Rout."""
    return ("layer1", "layer2", "layer3", "output").index(name.split("/")[0])
