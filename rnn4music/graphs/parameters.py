"""A model's shared variables: weights, the optimiser's averages, initial states."""

import numpy as np

from rnn4music import backend
from rnn4music.chords import BEGIN_AT_ZERO, ChordParameters, chord_shapes
from rnn4music.data import pianoroll
from rnn4music.lstm import LayerParameters, State
from rnn4music.network import NetworkParameters, OutputParameters

WEIGHTS, INITIAL, COUNT = "parameters", "initial", "optimiser/n_updates"
"""Prefixes of the arrays' names in a file, and the name of the count of updates.

The averages' names begin with the name of the average.
"""


def shapes(layer_sizes, n_pitches, chord_units=None, n_conditions=0):
    """Return the shapes of all parameters, as `NetworkParameters`."""
    P, n_inputs = n_pitches, n_pitches + n_conditions
    layers = []
    below = None
    for H in layer_sizes:
        beneath = None if below is None else (below, 4 * H)
        matrices = (n_inputs, 4 * H), beneath, (H, 4 * H)
        layers.append(LayerParameters(*matrices, (4 * H,), (H,), (H,), (H,)))
        below = H
    output = OutputParameters._make([*((H, P) for H in layer_sizes), (P,)])
    chords = None if chord_units is None else chord_shapes(layer_sizes, P, chord_units)
    return NetworkParameters(tuple(layers), output, chords)


def named(parameters):
    """Return a dict from names such as ``layer1/bias`` to the parameters, in a fixed order."""
    groups = [(f"layer{n}", layer) for n, layer in enumerate(parameters.layers, start=1)]
    groups.append(("output", parameters.output))
    if parameters.chords is not None:
        groups.append(("chords", parameters.chords))
    return {
        f"{group}/{field}": value
        for group, fields in groups
        for field, value in zip(fields._fields, fields)
        if value is not None
    }


def unnamed(mapping):
    """Return the `NetworkParameters` for a dict as `named` returns it."""

    def gather(kind, group):
        return kind(*(mapping.get(f"{group}/{field}") for field in kind._fields))

    layers = tuple(gather(LayerParameters, f"layer{n}") for n in (1, 2, 3))
    has_chords = any(name.startswith("chords/") for name in mapping)
    chords = gather(ChordParameters, "chords") if has_chords else None
    return NetworkParameters(layers, gather(OutputParameters, "output"), chords)


class ParameterStore:
    """The shared variables of one model.

    Parameters
    ----------
    layer_sizes : tuple of int
    n_pitches : int
    dtype : str
    averages : tuple of str
        The names of the running averages that the optimiser keeps for each parameter.
    chord_units : int or None
    n_conditions : int
        As in `RNN4Music`.

    Attributes
    ----------
    reads_following : bool
        Whether the network reads the row that it predicts, too: its lower pitches, or conditions.
    weights : dict of name to shared variable
        The names are those of `named`.
    averages : dict of average to dict of name to shared variable
    n_updates : shared scalar
        Number of updates since the averages were last zero.
    initial : dict of name to shared (H,)
        ``layer1/hidden``, ``layer1/cell``, …: the states at t = −1.
    """

    def __init__(
        self,
        layer_sizes,
        n_pitches,
        dtype,
        averages=("mean_squares",),
        chord_units=None,
        n_conditions=0,
    ):
        self.dtype, self.n_pitches = dtype, n_pitches
        self.chord_units, self.n_conditions = chord_units, n_conditions
        self.has_chords = chord_units is not None
        self.reads_following = self.has_chords or n_conditions > 0
        self.shapes = named(shapes(layer_sizes, n_pitches, chord_units, n_conditions))
        self.state_sizes = {
            f"layer{n}/{field}": H
            for n, H in enumerate(layer_sizes, start=1)
            for field in State._fields
        }

        def zeros(shapes):
            return {
                name: backend.shared(np.zeros(shape, dtype), name) for name, shape in shapes.items()
            }

        self.weights = zeros(self.shapes)
        self.averages = {average: zeros(self.shapes) for average in averages}
        self.n_updates = backend.shared(np.zeros((), dtype), COUNT)
        self.initial = zeros(self.state_sizes)

    def n_in_matrices(self, group=""):
        """Return the number of elements of all weight matrices whose names begin with `group`."""
        return sum(
            shape[0] * shape[1]
            for name, shape in self.shapes.items()
            if len(shape) == 2 and name.startswith(group)
        )

    def draw_weights(self, rng, deviation):
        """Draw all weights and biases from a Gaussian around 0; `BEGIN_AT_ZERO` are 0."""
        for name, shape in self.shapes.items():
            own = 0 if name.removeprefix("chords/") in BEGIN_AT_ZERO else deviation
            self._set(self.weights[name], rng.normal(0, own, shape))

    def draw_initial(self, rng, highest):
        """Draw the states at t = −1 from U[0, highest]."""
        for name, size in self.state_sizes.items():
            self._set(self.initial[name], rng.uniform(0, highest, size))

    def initial_states(self):
        """Return the states at t = −1: a flat list of (H,) arrays."""
        return [np.array(vector.get_value(borrow=True)) for vector in self.initial.values()]

    def set_weights(self, arrays):
        """Set weights from a dict of name to array; all arrays must fit."""
        for name, array in arrays.items():
            self._set(self.weights[name], array)

    def zero_averages(self):
        """Reset the optimiser's averages and its count of updates."""
        for variables in self.averages.values():
            for name, shape in self.shapes.items():
                self._set(variables[name], np.zeros(shape))
        self._set(self.n_updates, 0)

    def arrays(self):
        """Return copies of all arrays, under their names in a model file."""
        return {key: np.array(v.get_value(borrow=True)) for key, v in self._variables().items()}

    def check(self, arrays, weights_only=False):
        """Return `arrays` converted to this store's dtype, under the same names.

        Raises
        ------
        ValueError
            Names the arrays that are missing, unknown, of another shape, or not finite.
        """
        expected = self._weights() if weights_only else self._variables()
        missing = [_shown(key) for key in expected if key not in arrays]
        unknown = [_shown(key) for key in arrays if key not in expected]
        if missing or unknown:
            raise ValueError(
                "the arrays do not fit the model"
                + (f"; missing: {', '.join(missing)}" if missing else "")
                + (f"; unknown: {', '.join(unknown)}" if unknown else "")
            )
        return {
            key: self.validate(key, arrays[key], np.shape(variable.get_value(borrow=True)))
            for key, variable in expected.items()
        }

    def validate(self, key, array, shape):
        """Return an array in this store's dtype, or raise unless it is finite and of that shape."""
        array = pianoroll.numeric_array(_shown(key), array)
        if array.shape != shape:
            raise ValueError(f"{_shown(key)} must have the shape {shape}, not {array.shape}")
        with np.errstate(over="ignore"):
            array = array.astype(self.dtype)
        if not np.isfinite(array).all():
            raise ValueError(f"{_shown(key)} holds NaN or infinity (in {self.dtype})")
        return array

    def assign(self, arrays):
        """Set the variables to arrays that `check` returned."""
        variables = self._variables()
        for key, array in arrays.items():
            variables[key].set_value(array)

    def snapshot(self):
        """Return the present weights and averages, for `restore`."""
        return [backend.snapshot(variable) for variable in self._trained()]

    def restore(self, snapshot):
        """Restore the weights and averages of a `snapshot`."""
        for variable, value in zip(self._trained(), snapshot):
            self._set(variable, value)

    def is_finite(self):
        """Return whether all weights and averages are finite."""
        return all(
            np.isfinite(np.asarray(variable.get_value(borrow=True))).all()
            for variable in self._trained()
        )

    def _weights(self):
        return {f"{WEIGHTS}/{name}": variable for name, variable in self.weights.items()}

    def _variables(self):
        """Return all shared variables, under their names in a model file."""
        averages = {
            f"{average}/{name}": variable
            for average, variables in self.averages.items()
            for name, variable in variables.items()
        }
        initial = {f"{INITIAL}/{name}": variable for name, variable in self.initial.items()}
        return {**self._weights(), **averages, COUNT: self.n_updates, **initial}

    def _trained(self):
        averages = [v for variables in self.averages.values() for v in variables.values()]
        return [*self.weights.values(), *averages, self.n_updates]

    def _set(self, variable, value):
        variable.set_value(np.array(value, dtype=self.dtype))


def _shown(key):
    """Return the name that users see: without the prefix ``parameters/``."""
    return key[len(WEIGHTS) + 1 :] if key.startswith(f"{WEIGHTS}/") else key


def print_summary(arrays):
    """Print a table of the arrays' shapes, mean absolute values, minima and maxima."""
    print(f"{'parameter':<28}{'shape':>12}{'mean size':>12}{'lowest':>12}{'highest':>12}")
    for name, array in arrays.items():
        array = np.asarray(array)
        shape = " x ".join(map(str, array.shape))
        print(
            f"{name:<28}{shape:>12}{np.abs(array).mean():>12.3g}"
            f"{array.min():>12.3g}{array.max():>12.3g}"
        )
