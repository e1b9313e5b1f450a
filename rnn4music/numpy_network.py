"""A trained network in NumPy alone: read a model's file, predict, compose, look inside.

For those who got a model from somebody and have no engine: this one file and NumPy are
enough, and it may be copied beside the model.

>>> from rnn4music.numpy_network import NumpyNetwork            # doctest: +SKIP
>>> network = NumpyNetwork.from_file("model.npz")               # doctest: +SKIP
>>> tune, probabilities = network.gen_music(None, 300)          # doctest: +SKIP

Equations (1) to (7), their letters and the layout of the weights are those of `lstm`,
`network` and `gates`; here they stand in the order in which they are computed. It computes in
double precision: the tunes are those of a float64 model's `genMusic`, note for note.

Conventions
-----------
T steps, B tunes, P pitches, H units of a layer. A state is a pair h, c of (B, H) arrays.
"""

import json

import numpy as np

GATES = ("input", "forget", "candidate", "output")  # side by side in the fused weights


def sigmoid(a):
    """Return σ(a), by a form that never overflows."""
    return 0.5 * np.tanh(0.5 * a) + 0.5


class NumpyNetwork:
    """The network of a saved model.

    Parameters
    ----------
    parameters : dict of str to array
        As `RNN4Music.get_parameters` returns them.
    initial : dict of str to (H,), optional
        ``layer1/hidden``, ``layer1/cell``, …: the states at t = −1; zeros without it.
    settings : dict, optional
        As `RNN4Music.settings` returns them. Used are ``genProbThreshold`` and, for the random
        numbers, ``dtype``: a float32 model draws shorter ones.
    random_state : dict, optional
        State of the generator that samples; without it each object draws other numbers.
    """

    def __init__(self, parameters, initial=None, settings=None, random_state=None):
        self.layers = [{}, {}, {}]
        self.output = {}
        for name, array in parameters.items():
            group, name = name.split("/")
            part = self.output if group == "output" else self.layers[int(group[-1]) - 1]
            part[name] = np.asarray(array, float)
        self.n_pitches = len(self.output["bias"])
        self.initial = [
            [
                np.asarray(initial[f"layer{n}/{part}"] if initial else 0 * layer["peephole_input"])
                for part in ("hidden", "cell")
            ]
            for n, layer in enumerate(self.layers, start=1)
        ]
        self.settings = {"genProbThreshold": 0.1, "dtype": "float64", **(settings or {})}
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
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            settings, random_state = (
                json.loads(str(arrays[key])) for key in ("settings", "random_state")
            )
            return cls.from_arrays(arrays, settings, random_state)
        except OSError:
            raise
        except Exception as error:
            raise ValueError(f"{path} is no model of rnn4music, or damaged: {error!r}") from error

    @classmethod
    def from_arrays(cls, arrays, settings=None, random_state=None):
        """Take a dict of arrays under the names that they have in a file."""
        parameters, initial = {}, {}
        groups = {"parameters": parameters, "initial": initial}
        for key, array in arrays.items():
            group, _, name = key.partition("/")
            groups.get(group, {})[name] = array  # what is of no other use is dropped
        return cls(parameters, initial, settings, random_state)

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

    def activity(self, inputs):
        """Return what goes on in each layer while it reads a tune.

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
            _, states, activity = self._step(x, states)
            rows.append(activity)
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

        `track` may be tqdm, or whatever goes through the steps and tells of it.
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
            if sampling == "systematic":  # keys end to end on a line, with points 1 apart
                points = np.ceil(np.cumsum(y, axis=1) - uniform)  # up to the end of each key
                sounds = (np.diff(points, axis=1, prepend=0) > 0) & (y > 0)
            else:
                sounds = uniform < y
            tunes[:, t], probabilities[:, t] = sounds, y
            Y, states, _ = self._step(tunes[:, t], states)
        return (tunes[0], probabilities[0]) if count is None else (tunes, probabilities)

    def _step(self, x, states):
        """Advance by one step: pre-activations (B, P), the new states, each layer's activity."""
        Y, u = self.output["bias"], None
        new_states, activities = [], []
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
            activities.append({**dict(zip(GATES, (i, f, g, o))), "cell": c, "hidden": h})
        return Y, new_states, activities

    def _initial_states(self, n_tunes):
        return [[np.tile(vector, (n_tunes, 1)) for vector in pair] for pair in self.initial]
