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

from rnn4music import backend, fast, network, updates
from rnn4music.costs import COSTS
from rnn4music.lstm import State


def paired(states):
    """Return the tuple of `State` of a flat list hidden 1, cell 1, hidden 2, …"""
    return tuple(State(*states[k : k + 2]) for k in range(0, len(states), 2))


def flattened(states):
    """Return the flat list of a tuple of `State`."""
    return [array for state in states for array in state]


def _compiled_once(build):
    """Make a method that compiles a function for a shape return the same one ever after."""

    @functools.wraps(build)
    def compiled(self, shape):
        key = build.__name__, backend.compiled_shape(shape)
        if key not in self._compiled:
            with fast.in_use():
                self._compiled[key] = build(self, shape)
        return self._compiled[key]

    return compiled


class CompiledNetwork:
    """The compiled functions on one `ParameterStore`, each made when it is first needed.

    Every method takes the (T, B, P) shape of the network's inputs and returns a function
    of arrays.
    """

    def __init__(self, store, cost):
        self.store = store
        self.cost = COSTS[cost]
        self.parameters = network.unnamed(store.weights)
        self._compiled = {}

    def is_compiled(self, name, shape):
        """Return whether the method of this name has its function for this shape."""
        return (name, backend.compiled_shape(shape)) in self._compiled

    @_compiled_once
    def gradients(self, shape):
        """Compile (inputs, targets, weights) → [cost, *gradients], unclipped."""
        inputs = self._input("inputs", shape)
        targets = self._input("targets", shape)
        weights = self._input("weights", shape[:2])
        total, gradients = self._cost_and_gradients(inputs, targets, weights)
        return backend.function([inputs, targets, weights], [total, *gradients.values()])

    @_compiled_once
    def update(self, shape):
        """Compile one update: forward, backward, clip, L1, RMSprop.

        The function takes windows (T + 1, B, P), weights (T, B), the four learning rates of
        the three layers and the output, gradClip, epsilon and sparseParam. It changes the
        store and returns [cost, *gradients], unclipped.
        """
        T, B, P = shape
        windows = self._input("windows", (T + 1, B, P))
        weights = self._input("weights", (T, B))
        settings = self._setting_inputs()
        total, gradients = self._cost_and_gradients(windows[:-1], windows[1:], weights)
        return backend.function(
            [windows, weights, *settings],
            [total, *gradients.values()],
            self._changes(gradients, settings),
        )

    @_compiled_once
    def piece(self, shape):
        """Compile the cost and the gradient of a piece of a window; see `pieces`.

        The function takes windows (T + 1, B, P), weights (T, B), the gradients of the pieces
        after this one, the states before the piece, and the derivatives at the states after
        it. It returns [cost, *gradients of this piece and those after it, *derivatives at the
        states before it].
        """
        T, B, P = shape
        windows = self._input("windows", (T + 1, B, P))
        weights = self._input("weights", (T, B))
        so_far = {name: self._input(name, shape) for name, shape in self.store.shapes.items()}
        states, d_states = self._state_inputs(B), self._state_inputs(B)
        total, gradients, d_before = self._piece(
            windows[:-1], windows[1:], weights, paired(states), paired(d_states)
        )
        sums = [so_far[name] + gradient for name, gradient in gradients.items()]
        return backend.function(
            [windows, weights, *so_far.values(), *states, *d_states],
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

    def _changes(self, gradients, settings):
        """Return what becomes of each weight and average: clip, L1, RMSprop."""
        *rates, bound, epsilon, sparsity = settings
        changes = []
        for name, parameter in self.store.weights.items():
            gradient = updates.clip(gradients[name], bound)
            if not name.endswith("/bias"):
                gradient = gradient + updates.l1_penalty(parameter, sparsity)
            mean_square = self.store.mean_squares[name]
            new_parameter, new_mean_square = updates.rmsprop(
                parameter, gradient, mean_square, rates[_group(name)], epsilon
            )
            changes += [(parameter, new_parameter), (mean_square, new_mean_square)]
        return changes

    @_compiled_once
    def forward(self, shape):
        """Compile (inputs, *states) → [pre-activations (T, B, P), *states after them]."""
        inputs = self._input("inputs", shape)
        states = self._state_inputs(shape[1])
        Y, activities = network.forward(inputs, paired(states), self.parameters)
        after = [State(activity.hidden[-1], activity.cell[-1]) for activity in activities]
        return backend.function([inputs, *states], [Y, *flattened(after)])

    @_compiled_once
    def sampling(self, shape):
        """Compile a window of composing.

        The function takes ``given`` (T, B, P) and ``is_given`` (T,), 1 where the network
        reads a row of `given` and 0 where it reads its own last sample; ``uniform``
        (T, B, P), random numbers in [0, 1); the threshold; ``last`` (B, P), the sample
        before the window; and the states. It returns [tune (T, B, P), probabilities
        (T, B, P), last, *states].
        """
        T, B, P = shape
        given = self._input("given", shape)
        is_given = self._input("is_given", (T,))
        uniform = self._input("uniform", shape)
        threshold = self._input("threshold", ())
        last = self._input("last", (B, P))
        states = self._state_inputs(B)
        names = list(self.store.weights)
        n_states = len(states)

        def step(given, is_given, uniform, last, *rest):
            states, (threshold, *weights) = rest[:n_states], rest[n_states:]
            x = backend.switch(is_given > 0, given, last)
            Y, states = network.network_step(
                x, paired(states), network.unnamed(dict(zip(names, weights)))
            )
            probabilities = backend.sigmoid(Y)
            probabilities = probabilities * (probabilities > threshold)
            sample = backend.cast(uniform < probabilities, self.store.dtype)
            return [sample, *flattened(states), probabilities]

        sample, *new_states, probabilities = backend.scan(
            step,
            sequences=[given, is_given, uniform],
            states=[last, *states, None],
            constants=[threshold, *self.store.weights.values()],
            n_steps=backend.shape_of(given)[0],
        )
        return backend.function(
            [given, is_given, uniform, threshold, last, *states],
            [sample, probabilities, sample[-1], *(state[-1] for state in new_states)],
        )

    def _cost_and_gradients(self, inputs, targets, weights):
        """Return the symbolic cost of a minibatch and the dict of its gradients."""
        n_tunes = backend.shape_of(inputs)[1]
        vectors = self.store.initial.values()
        initial = paired([backend.repeat_row(vector, n_tunes) for vector in vectors])
        nothing = tuple(State(*(backend.zeros_like(x) for x in state)) for state in initial)
        return self._piece(inputs, targets, weights, initial, nothing)[:2]

    def _piece(self, inputs, targets, weights, initial, d_after):
        """Return the cost, the dict of gradients, and the derivatives at the initial states."""
        Y, activities = network.forward(inputs, initial, self.parameters)
        weights = weights[:, :, None]
        total = backend.column_sums((self.cost.value(Y, targets) * weights).flatten())
        d_Y = self.cost.derivative(Y, targets) * weights
        gradients, d_before = network.backward(
            d_Y, d_after, inputs, initial, activities, self.parameters
        )
        return total, network.named(gradients), d_before

    def _input(self, name, shape):
        return backend.tensor(name, self.store.dtype, shape)

    def _setting_inputs(self):
        names = ("R1", "R2", "R3", "Rout", "gradClip", "epsilon", "sparseParam")
        return [self._input(name, ()) for name in names]

    def _state_inputs(self, n_tunes):
        sizes = self.store.state_sizes.items()
        return [self._input(name, (n_tunes, H)) for name, H in sizes]


def _group(name):
    """Return the index of a parameter's learning rate among R1, R2, R3, Rout."""
    return ("layer1", "layer2", "layer3", "output").index(name.split("/")[0])
