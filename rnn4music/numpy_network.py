"""A trained network in NumPy alone: read a model's file, predict, compose, look inside.

Anyone with NumPy can compose with it: this file needs nothing else of the package, and may be
copied beside the model.

>>> from rnn4music import NumpyNetwork                          # doctest: +SKIP
>>> network = NumpyNetwork.from_file("model.npz")               # doctest: +SKIP
>>> tune, probabilities = network.gen_music(None, 300)          # doctest: +SKIP

Equations (1) to (7), their letters and the layout of the weights are those of `lstm`,
`network` and `gates`; here they stand in the order in which they are computed. It computes in
double precision: the tunes are those of a float64 model's `genMusic`, note for note.

Conventions
-----------
T steps, B tunes, P pitches, H units of a layer. A state is a pair h, c of (B, H) arrays.
"""

import errno
import json
import os

import numpy as np

GATES = ("input", "forget", "candidate", "output")  # side by side in the fused weights
MOST_EXPANDED, MOST_TIMES = 2**30, 100
"""The arrays of a file may have this many bytes, or this many times those of the file."""


def sigmoid(a):
    """Return σ(a), by a form that never overflows."""
    return 0.5 * np.tanh(0.5 * a) + 0.5


def _numbers(array):
    """Return finite numbers in double precision, or raise ValueError."""
    array = np.asarray(array)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError("its arrays must hold finite numbers")
    return array.astype(float)


def _check_entries(entries, size):
    """Raise ValueError for entries that NumPy does not write, or that may be a zip bomb."""
    if sum(entry.file_size for entry in entries) > max(MOST_EXPANDED, MOST_TIMES * size):
        raise ValueError(f"its {size} bytes claim to hold far more")
    for entry in entries:
        if entry.compress_type not in (0, 8) or not entry.filename.endswith(".npy"):
            raise ValueError(f"NumPy has not written {entry.filename!r}")


class NumpyNetwork:
    """The network of a saved model.

    Parameters
    ----------
    parameters : dict of str to array
        As `RNN4Music.get_parameters` returns them.
    initial : dict of str to (H,), optional
        ``layer1/hidden``, ``layer1/cell``, …: the states at t = −1; zeros without it.
    settings : dict, optional
        As `RNN4Music.settings` returns them. ``genProbThreshold`` is used, and ``dtype``: a
        float32 model draws shorter random numbers.
    random_state : dict, optional
        State of the generator that samples; default a new one from the system.
    """

    def __init__(self, parameters, initial=None, settings=None, random_state=None):
        parts = {group: {} for group in ("layer1", "layer2", "layer3", "output")}
        for name, array in parameters.items():
            group, _, name = name.partition("/")
            parts[group][name] = _numbers(array)
        *self.layers, self.output = parts.values()
        self.n_pitches = self.output["bias"].size
        self.initial = [
            [
                _numbers(initial[f"layer{n}/{part}"]) if initial else 0 * layer["peephole_input"]
                for part in ("hidden", "cell")
            ]
            for n, layer in enumerate(self.layers, start=1)
        ]
        self.settings = {"genProbThreshold": 0.1, "dtype": "float64", **(settings or {})}
        self._check()
        self.rng = np.random.default_rng()
        if random_state is not None:
            self.rng.bit_generator.state = random_state

    @classmethod
    def from_file(cls, name):
        """Read what `RNN4Music.saveParameters` wrote; the suffix ``.npz`` may be left out.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is no model of rnn4music.
        """
        path = str(name) if str(name).endswith(".npz") else f"{name}.npz"
        try:
            if os.path.exists(path) and not os.path.isfile(path):
                raise OSError(errno.ENXIO, "not a regular file", path)  # opening a FIFO would block
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                _check_entries(file.zip.infolist(), os.fstat(stream.fileno()).st_size)
                if file.zip.testzip() is not None:  # NumPy may stop reading before the checksum
                    raise ValueError("a checksum is wrong")
                arrays = {key: file[key] for key in file.files}
            settings, random_state = (
                json.loads(str(arrays[key])) for key in ("settings", "random_state")
            )
            return cls.from_arrays(arrays, settings, random_state)
        except Exception as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # of the disk; in a damaged file a seek to a place that does not exist fails
            raise ValueError(
                f"{path} is not a model of rnn4music, or damaged: {error!r}"
            ) from error

    @classmethod
    def from_arrays(cls, arrays, settings=None, random_state=None):
        """Take a dict of arrays under the names that they have in a file."""
        parameters, initial = {}, {}
        groups = {"parameters": parameters, "initial": initial}
        for key, array in arrays.items():
            group, _, name = key.partition("/")
            groups.get(group, {})[name] = array  # the others are dropped
        return cls(parameters, initial, settings, random_state)

    def _check(self):
        """Raise ValueError or KeyError unless the arrays fit together."""
        P, below = self.n_pitches, None
        output: dict = {"bias": (P,)}
        for n, (layer, states) in enumerate(zip(self.layers, self.initial), start=1):
            H = layer["peephole_input"].size
            shapes = {"input_to_gates": (P, 4 * H), "hidden_to_gates": (H, 4 * H), "bias": (4 * H,)}
            shapes |= {f"peephole_{gate}": (H,) for gate in ("input", "forget", "output")}
            if n > 1:
                shapes["below_to_gates"] = (below, 4 * H)
            if not H or {name: array.shape for name, array in layer.items()} != shapes:
                raise ValueError(f"the arrays of layer{n} must have the shapes {shapes}")
            if any(state.shape != (H,) for state in states):
                raise ValueError(f"the initial states of layer{n} must have the shape {(H,)}")
            output[f"layer{n}_to_output"], below = (H, P), H
        if not P or {name: array.shape for name, array in self.output.items()} != output:
            raise ValueError(f"the output's arrays must have the shapes {output}")
        threshold, dtype = (self.settings[name] for name in ("genProbThreshold", "dtype"))
        if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
            raise ValueError(f"genProbThreshold must be from 0 to 1, but is {threshold!r}")
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, but is {dtype!r}")

    def predict(self, inputs):
        """Return the probabilities of each next step's notes.

        Parameters
        ----------
        inputs : (T, P) or (T, B, P)

        Returns
        -------
        array of the same shape
            Row t holds the probabilities for step t + 1.
        """
        inputs = np.asarray(inputs, float)
        rows = inputs[:, None] if inputs.ndim == 2 else inputs
        states, Y = self._initial_states(rows.shape[1]), []
        for x in rows:
            y, states, _ = self._step(x, states)
            Y.append(y)
        return sigmoid(np.array(Y)).reshape(inputs.shape)

    def activations(self, inputs):
        """Return the gates and states of each layer at each step of a tune.

        Parameters
        ----------
        inputs : (T, P)

        Returns
        -------
        list of dict of str to (T, H), one for each layer
            ``input``, ``forget``, ``candidate``, ``output`` (the gates), ``cell``, ``hidden``.
        """
        states, rows = self._initial_states(1), []
        for x in np.asarray(inputs, float)[:, None]:
            _, states, activations = self._step(x, states)
            rows.append(activations)
        return [
            {name: np.concatenate([row[n][name] for row in rows]) for name in rows[0][n]}
            for n in range(3)
        ]

    def gen_music(
        self,
        start,
        n,
        count=None,
        *,
        temperature=1,
        sampling="independent",
        threshold=None,
        seed=None,
        track=iter,
    ):
        """Compose, as `RNN4Music.genMusic` does; its arguments and results are the same.

        `track` iterates over the steps and may report on them, as tqdm does.
        """
        if threshold is None:
            threshold = self.settings["genProbThreshold"]
        if sampling not in ("independent", "systematic"):
            raise ValueError(f"sampling must be independent or systematic, not {sampling!r}")
        if not (0.01 <= temperature <= 100 and 0 <= threshold <= 1):
            raise ValueError(
                "temperature must be from 0.01 to 100 and threshold from 0 to 1, "
                f"but they are {temperature} and {threshold}"
            )
        given = np.zeros((1, self.n_pitches)) if start is None else np.asarray(start, float)
        if given.ndim != 2 or given.shape[1] != self.n_pitches or len(given) == 0:
            raise ValueError(f"start must be (steps, {self.n_pitches}), but is {given.shape}")
        if not ((given >= 0) & (given <= 1)).all():
            raise ValueError("start must hold zeros and ones; for velocities take (start > 0)")
        n_tunes = 1 if count is None else count
        n_random = 1 if sampling == "systematic" else self.n_pitches
        rng = self.rng if seed is None else np.random.default_rng(seed)
        states = self._initial_states(n_tunes)
        for x in given:
            Y, states, _ = self._step(np.tile(x, (n_tunes, 1)), states)
        tunes = np.zeros((n_tunes, n, self.n_pitches))
        probabilities = np.zeros_like(tunes)
        for t in track(range(n)):
            y = sigmoid(Y / temperature)
            y[y <= threshold] = 0
            uniform = rng.random((n_tunes, n_random), self.settings["dtype"])
            if sampling == "systematic":  # pitches end to end on a line, with points 1 apart
                points = np.ceil(np.cumsum(y, axis=1) - uniform)  # up to the end of each pitch
                sounds = (np.diff(points, axis=1, prepend=0) > 0) & (y > 0)
            else:
                sounds = uniform < y
            tunes[:, t], probabilities[:, t] = sounds, y
            Y, states, _ = self._step(tunes[:, t], states)
        return (tunes[0], probabilities[0]) if count is None else (tunes, probabilities)

    def _step(self, x, states):
        """Advance by one step: pre-activations (B, P), the new states, each layer's activations."""
        Y, u = self.output["bias"], None
        new_states, activations = [], []
        for n, (W, (h, c)) in enumerate(zip(self.layers, states), start=1):
            a = x @ W["input_to_gates"] + h @ W["hidden_to_gates"] + W["bias"]
            if u is not None:
                a = a + u @ W["below_to_gates"]
            a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
            i = sigmoid(a_i + W["peephole_input"] * c)  # (1)
            f = sigmoid(a_f + W["peephole_forget"] * c)  # (2)
            g = np.tanh(a_g)  # (3)
            c = f * c + i * g  # (4)
            o = sigmoid(a_o + W["peephole_output"] * c)  # (5)
            h = o * np.tanh(c)  # (6)
            Y = Y + h @ self.output[f"layer{n}_to_output"]  # (7), without its σ
            u = h
            new_states.append((h, c))
            activations.append({**dict(zip(GATES, (i, f, g, o))), "cell": c, "hidden": h})
        return Y, new_states, activations

    def _initial_states(self, n_tunes):
        return [[np.tile(vector, (n_tunes, 1)) for vector in pair] for pair in self.initial]
