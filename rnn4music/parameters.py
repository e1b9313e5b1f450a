"""A model's arrays in the engine's hands: weights, RMSprop averages, initial states."""

import numpy as np

from rnn4music import backend, checks, network

GROUPS = ("parameters", "mean_squares", "initial")
"""What the names of a file's arrays begin with."""


class ParameterStore:
    """The shared variables of one model.

    Attributes
    ----------
    weights, mean_squares : dict of name to shared variable
        Under the names of `network.named`.
    initial : dict of name to shared (H,)
        ``layer1/hidden``, ``layer1/cell``, …: the states at t = −1.
    """

    def __init__(self, layer_sizes, n_pitches, dtype):
        self.dtype = dtype
        self.shapes = network.named(network.shapes(layer_sizes, n_pitches))
        self.state_sizes = {
            f"layer{n}/{field}": H
            for n, H in enumerate(layer_sizes, start=1)
            for field in network.State._fields
        }

        def zeros(shapes):
            return {
                name: backend.shared(np.zeros(shape, dtype), name) for name, shape in shapes.items()
            }

        self.weights = zeros(self.shapes)
        self.mean_squares = zeros(self.shapes)
        self.initial = zeros(self.state_sizes)

    def draw_weights(self, rng, deviation):
        """Draw all weights and biases from a Gaussian around 0."""
        for name, shape in self.shapes.items():
            self._set(self.weights[name], rng.normal(0, deviation, shape))

    def draw_initial(self, rng, highest):
        """Draw the states at t = −1 from U[0, highest]."""
        for name, size in self.state_sizes.items():
            self._set(self.initial[name], rng.uniform(0, highest, size))

    def zero_mean_squares(self):
        """Forget what RMSprop has seen."""
        for name, shape in self.shapes.items():
            self._set(self.mean_squares[name], np.zeros(shape))

    def arrays(self):
        """Return copies of all arrays under the names that `archive` gives them."""
        return {key: np.array(v.get_value()) for key, v in self._variables().items()}

    def check(self, arrays, groups=GROUPS):
        """Return `arrays` in this store's dtype if they fit it, under the same names.

        Raises
        ------
        ValueError
            That names what is missing, unknown, of another shape, or not finite.
        """
        expected = self._variables(groups)
        missing = [_shown(key) for key in expected if key not in arrays]
        unknown = [_shown(key) for key in arrays if key not in expected]
        if missing or unknown:
            raise ValueError(
                "the arrays do not fit the model"
                + (f"; missing: {', '.join(missing)}" if missing else "")
                + (f"; unknown: {', '.join(unknown)}" if unknown else "")
            )
        checked = {}
        for key, variable in expected.items():
            array = checks.numeric_array(_shown(key), arrays[key])
            shape = np.shape(variable.get_value(borrow=True))
            if array.shape != shape:
                raise ValueError(f"{_shown(key)} must have the shape {shape}, not {array.shape}")
            with np.errstate(over="ignore"):
                checked[key] = array.astype(self.dtype)
            if not np.isfinite(checked[key]).all():
                raise ValueError(f"{_shown(key)} holds NaN or infinity (in {self.dtype})")
        return checked

    def assign(self, checked):
        """Take over arrays that `check` returned."""
        variables = self._variables()
        for key, array in checked.items():
            variables[key].set_value(array)

    def snapshot(self):
        """Return the weights and averages as they are now, for `restore`."""
        return [backend.snapshot(variable) for variable in self._trained()]

    def restore(self, snapshot):
        """Put back what `snapshot` returned."""
        for variable, value in zip(self._trained(), snapshot):
            self._set(variable, value)

    def is_finite(self):
        """Return whether all weights and averages are finite."""
        return all(
            np.isfinite(np.asarray(variable.get_value(borrow=True))).all()
            for variable in self._trained()
        )

    def _variables(self, groups=GROUPS):
        """Return the shared variables under their names in the file."""
        return {
            f"{group}/{name}": variable
            for group, variables in zip(GROUPS, (self.weights, self.mean_squares, self.initial))
            if group in groups
            for name, variable in variables.items()
        }

    def _trained(self):
        return [*self.weights.values(), *self.mean_squares.values()]

    def _set(self, variable, value):
        variable.set_value(np.array(value, dtype=self.dtype))


def _shown(key):
    """Return an array's name as users know it: weights without their group."""
    return key.removeprefix("parameters/")


def print_summary(arrays):
    """Print a table: for each array its shape, mean absolute value, lowest and highest."""
    print(f"{'parameter':<28}{'shape':>12}{'mean size':>12}{'lowest':>12}{'highest':>12}")
    for name, array in arrays.items():
        array = np.asarray(array)
        shape = " x ".join(map(str, array.shape))
        print(
            f"{name:<28}{shape:>12}{np.abs(array).mean():>12.3g}"
            f"{array.min():>12.3g}{array.max():>12.3g}"
        )
