"""A trained network in NumPy alone: reads a model file, predicts, composes, shows activations.

Anyone with NumPy can compose with it: this file imports nothing else from the package, and may
be copied beside the model.

>>> from rnn4music import NumpyNetwork                          # doctest: +SKIP
>>> network = NumpyNetwork.from_file("model.npz")               # doctest: +SKIP
>>> tune, probabilities = network.gen_music(None, 300)          # doctest: +SKIP

Equations (1) to (11), their letters and the layout of the weights are those of `lstm`, `network`,
`gates` and `chords`. The arithmetic is in double precision: the tunes are those of a float64
model's `genMusic`, note for note.

Conventions
-----------
T steps, B tunes, P pitches, Q conditions, H units of a layer, K chord units. Rows are (P + Q,): the
network reads the pitches of a row with the conditions of the next. The activations of a layer at
one step are a dict of (B, H) arrays; among them are the hidden and the cell state, which the next
step reads.
"""

import errno
import json
import os
from collections import deque

import numpy as np

GATES = ("input", "forget", "candidate", "output")  # side by side in the fused weights
MOST_EXPANDED, MOST_TIMES = 2**24, 20  # limit of the arrays: bytes, or this many file sizes
DRAWN_AT_ONCE = 1000  # rows that `predict` draws together


def sigmoid(a):
    """Return σ(a) in a form that never overflows."""
    return 0.5 * np.tanh(0.5 * a) + 0.5


def _shapes(P, sizes, K, Q):
    """Return the shape of each array of a network, and of its initial states, by name.

    Without chords K is None; without chord units it is 0.
    """
    shapes: dict = {"output/bias": (P,)}
    for n, H in enumerate(sizes, start=1):
        layer = {"input_to_gates": (P + Q, 4 * H), "hidden_to_gates": (H, 4 * H), "bias": (4 * H,)}
        vectors = "peephole_input", "peephole_forget", "peephole_output", "hidden", "cell"
        layer |= dict.fromkeys(vectors, (H,))
        if n > 1:
            layer["below_to_gates"] = (sizes[n - 2], 4 * H)
        shapes |= {f"layer{n}/{name}": shape for name, shape in layer.items()}
        shapes[f"output/layer{n}_to_output"] = (H, P)
        if K:
            shapes[f"chords/layer{n}_to_chords"] = (H, K)
    if K:
        shapes["chords/pitches_to_chords"], shapes["chords/chords_to_output"] = (P, K), (K, P)
        shapes["chords/bias"] = (K,)
    if K is not None:
        shapes["chords/pitches_to_output"] = (P, P)
    return shapes


class NumpyNetwork:
    """The network of a saved model.

    Parameters
    ----------
    parameters : dict of str to array
        As `RNN4Music.get_parameters` returns them.
    initial : dict of str to (H,), optional
        ``layer1/hidden``, ``layer1/cell``, …: the states at t = −1; default zeros.
    settings : dict, optional
        As `RNN4Music.settings` returns them. Only ``genProbThreshold`` and ``dtype`` are used:
        a float32 model draws its random numbers in float32.
    random_state : dict, optional
        State of the generator that draws samples; default a new, unpredictable one.

    Raises
    ------
    ValueError, KeyError
        If the arrays do not fit together.
    """

    def __init__(self, parameters, initial=None, settings=None, random_state=None):
        arrays = {**parameters, **(initial or {})}
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        sizes = [arrays[f"layer{n}/peephole_input"].size for n in (1, 2, 3)]
        self.n_pitches = arrays["output/bias"].size
        has_chords = "chords/pitches_to_output" in arrays
        self.chord_units = arrays.get("chords/bias", np.empty(0)).size if has_chords else None
        self.conditions = max(0, len(arrays["layer1/input_to_gates"]) - self.n_pitches)
        groups = {group: {} for group in ("layer1", "layer2", "layer3", "output", "chords")}
        shapes = _shapes(self.n_pitches, sizes, self.chord_units, self.conditions)
        for name, shape in shapes.items():
            is_state = name.endswith(("/hidden", "/cell"))
            array = np.zeros(shape) if is_state and not initial else arrays.pop(name)
            if array.shape != shape or array.size == 0:
                raise ValueError(f"{name} must have the shape {shape}, but has {array.shape}")
            if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
                raise ValueError(f"{name} must hold finite numbers")
            group, _, name = name.partition("/")
            groups[group][name] = array.astype(float)
        if arrays:
            raise ValueError(f"the network has no {', '.join(arrays)}")
        # the layers with their states at t = −1
        *self.layers, self.output, self.chords = groups.values()
        threshold = 0 if has_chords else 0.1
        self.settings = {"genProbThreshold": threshold, "dtype": "float64", **(settings or {})}
        threshold, dtype = (self.settings[name] for name in ("genProbThreshold", "dtype"))
        if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
            raise ValueError(f"genProbThreshold must be from 0 to 1, but is {threshold!r}")
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, but is {dtype!r}")
        self.rng = np.random.default_rng()
        if random_state is not None:
            self.rng.bit_generator.state = random_state

    @classmethod
    def from_file(cls, name):
        """Read what `RNN4Music.saveParameters` wrote; the suffix ``.npz`` may be left out.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is not a model of rnn4music.
        """
        path = os.path.expanduser(os.fsdecode(name))
        path += "" if path.endswith(".npz") else ".npz"
        try:
            if os.path.exists(path) and not os.path.isfile(path):
                raise OSError(errno.ENXIO, "not a regular file", path)  # opening a FIFO would block
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                size, entries = os.fstat(stream.fileno()).st_size, file.zip.infolist()
                if sum(each.file_size for each in entries) > max(MOST_EXPANDED, MOST_TIMES * size):
                    raise ValueError(f"its {size} bytes claim to hold far more")
                for entry in entries:
                    if entry.compress_type not in (0, 8) or not entry.filename.endswith(".npy"):
                        raise ValueError(f"NumPy has not written {entry.filename!r}")
                if file.zip.testzip() is not None:  # NumPy may stop reading before the checksum
                    raise ValueError("a checksum is wrong")
                arrays = {key: file[key] for key in file.files}
            texts = (json.loads(str(arrays[key])) for key in ("settings", "random_state"))
            return cls.from_arrays(arrays, *texts)
        except Exception as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # of the disk; in a damaged file a seek to a place that does not exist fails
            what = f"{path} is not a model of rnn4music, or damaged"
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{what}: {reason or repr(error)}") from error

    @classmethod
    def from_arrays(cls, arrays, settings=None, random_state=None):
        """Build a network from a file's arrays by name; those that it does not need are ignored."""
        groups = {"parameters": {}, "initial": {}}
        for key, array in arrays.items():
            group, _, name = key.partition("/")
            groups.get(group, {})[name] = array
        return cls(**groups, settings=settings, random_state=random_state)

    def predict(self, inputs, following=None, samples=100):
        """Return the probabilities of the notes of each next step, as `RNN4Music.predict` does.

        Parameters
        ----------
        inputs : (T, P + Q) or (T, B, P + Q)
        following : array of the same shape, optional
            Row t is the step after row t of the inputs. With chords, the probability of each note
            is that given the lower notes of its row. Without this argument it is estimated. With
            conditions, `following` is needed.
        samples : int
            Rows that are drawn to estimate the probabilities of a row.

        Returns
        -------
        (T, P) or (T, B, P)
            Row t holds the probabilities for step t + 1.
        """
        inputs = np.asarray(inputs, float)
        if following is not None:
            following = np.asarray(following, float)
            if following.shape != inputs.shape:
                raise ValueError(
                    "inputs and following must have the same shape, but have "
                    f"{inputs.shape} and {following.shape}"
                )
        elif self.conditions:
            raise ValueError(
                "a network with conditions needs following: they are known of each row"
            )
        if samples < 1:
            raise ValueError(f"samples must be at least 1, but is {samples}")
        rows = inputs
        if following is not None:
            rows, following = self._with_conditions(inputs, following)
        Y, a = [], []
        for own, layers in self._read(rows[:, None] if rows.ndim == 2 else rows):
            Y.append(own)
            a.append(self._units_before(layers))
        Y = np.reshape(Y, (-1, self.n_pitches))
        a = np.reshape(a, (len(Y), self.chord_units or 0))
        if self.chord_units is None:
            probabilities = sigmoid(Y)
        elif following is not None:
            probabilities = sigmoid(self._with_chords(Y, a, following))
        else:
            probabilities = self._marginals(Y, a, samples)
        return probabilities.reshape(*inputs.shape[:-1], self.n_pitches)

    def activations(self, inputs):
        """Return the gates and states of each layer at each step of a tune.

        Parameters
        ----------
        inputs : (T, P), or with conditions (T + 1, P + Q)

        Returns
        -------
        list of dict of str to (T, H), one for each layer
            ``input``, ``forget``, ``candidate``, ``output`` (the gates), ``cell``, ``hidden``.
        """
        rows = np.asarray(inputs, float)
        if self.conditions:
            rows, _ = self._with_conditions(rows[:-1], rows[1:])
        steps = [layers for _, layers in self._read(rows[:, None])]
        return [
            {name: np.concatenate([layers[n][name] for layers in steps]) for name in steps[0][n]}
            for n in range(3)
        ]

    def gen_music(
        self,
        start,
        n,
        count=None,
        *,
        temperature=1.0,
        sampling="independent",
        threshold=None,
        seed=None,
        conditions=None,
        around=0.0,
        density=1.0,
        track=iter,
    ):
        """Compose as `RNN4Music.genMusic` does, with the same arguments and results.

        For the best music without chords pass ``sampling="systematic", threshold=0.02``. `track`
        iterates over the steps and may report on them, as tqdm does.
        """
        if threshold is None:
            threshold = self.settings["genProbThreshold"]
        if sampling not in ("independent", "systematic"):
            raise ValueError(f"sampling must be independent or systematic, not {sampling!r}")
        if sampling == "systematic" and self.chord_units is not None:
            raise ValueError(
                "sampling must be independent in a network with chords: it draws each pitch "
                "given those below it, and systematic sampling would draw them all at once"
            )
        if not (0.01 <= temperature <= 100 and 0 <= threshold <= 1):
            raise ValueError(
                "temperature must be from 0.01 to 100 and threshold from 0 to 1, "
                f"but they are {temperature} and {threshold}"
            )
        if not (0.001 <= density <= 1000 and -100 <= around <= 100):
            raise ValueError(
                "density must be from 0.001 to 1000 and around from -100 to 100, "
                f"but they are {density} and {around}"
            )
        offset = around * (temperature - 1) + temperature * np.log(density)
        width = self.n_pitches + self.conditions
        given = np.zeros((1, width)) if start is None else np.asarray(start, float)
        if given.ndim != 2 or given.shape[1] != width or len(given) == 0:
            raise ValueError(f"start must be (steps, {width}), but is {given.shape}")
        if not ((given >= 0) & (given <= 1)).all():
            raise ValueError("start must hold zeros and ones; for velocities take (start > 0)")
        n_tunes = 1 if count is None else count
        if n < 0 or n_tunes < 1:
            raise ValueError(
                f"n must be at least 0 and count at least 1, but they are {n} and {n_tunes}"
            )
        known = np.zeros((n, 0)) if conditions is None else np.asarray(conditions, float)
        if known.shape != (n, self.conditions) or not ((known >= 0) & (known <= 1)).all():
            raise ValueError(
                f"conditions must be ({n}, {self.conditions}) numbers from 0 to 1, but their shape "
                f"is {known.shape}"
            )
        n_random = 1 if sampling == "systematic" else self.n_pitches
        rng = self.rng if seed is None else np.random.default_rng(seed)
        nothing = np.zeros((1, self.conditions))  # after the last step
        next_known = np.concatenate([given[1:, self.n_pitches :], known, nothing])
        given = np.hstack([given[:, : self.n_pitches], next_known[: len(given)]])
        Y, layers = deque(self._read(np.repeat(given[:, None], n_tunes, axis=1)), maxlen=1).pop()
        tunes = np.zeros((n_tunes, n, self.n_pitches))
        probabilities = np.zeros_like(tunes)
        for t in track(range(n)):
            uniform = rng.random((n_tunes, n_random), self.settings["dtype"])
            Y = Y + offset
            if self.chord_units is not None:
                a = self._units_before(layers)
                sounds, y = self._draw(Y, a, uniform, temperature, threshold)
            else:
                y = sigmoid(Y / temperature)
                y[y <= threshold] = 0
                sounds = uniform < y
            if sampling == "systematic":  # pitches end to end on a line, with points 1 apart
                points = np.ceil(np.cumsum(y, axis=1) - uniform)  # up to the end of each pitch
                sounds = (np.diff(points, axis=1, prepend=0) > 0) & (y > 0)
            tunes[:, t], probabilities[:, t] = sounds, y
            if t + 1 < n:
                of_next = np.broadcast_to(known[t + 1], (n_tunes, self.conditions))
                Y, layers = self._step(np.hstack([tunes[:, t], of_next]), layers)
        return (tunes[0], probabilities[0]) if count is None else (tunes, probabilities)

    def _with_conditions(self, rows, following):
        """Return rows with the conditions of those after them, and the pitches of these."""
        P = self.n_pitches
        rows = np.concatenate([rows[..., :P], following[..., P:]], axis=-1)
        return rows, following[..., :P]

    def _read(self, rows):
        """Yield the pre-activations (B, P) and the layers' activations for each input row."""
        layers = [
            {name: np.tile(W[name], (rows.shape[1], 1)) for name in ("hidden", "cell")}
            for W in self.layers
        ]
        for x in rows:
            Y, layers = self._step(x, layers)
            yield Y, layers

    def _step(self, x, before):
        """Advance by one step: return the pre-activations and the layers' activations."""
        Y, layers = self.output["bias"], []
        for n, (W, last) in enumerate(zip(self.layers, before), start=1):
            h, c = last["hidden"], last["cell"]
            a = x @ W["input_to_gates"] + h @ W["hidden_to_gates"] + W["bias"]
            if layers:
                a = a + layers[-1]["hidden"] @ W["below_to_gates"]
            a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
            i = sigmoid(a_i + W["peephole_input"] * c)  # (1)
            f = sigmoid(a_f + W["peephole_forget"] * c)  # (2)
            g = np.tanh(a_g)  # (3)
            c = f * c + i * g  # (4)
            o = sigmoid(a_o + W["peephole_output"] * c)  # (5)
            h = o * np.tanh(c)  # (6)
            Y = Y + h @ self.output[f"layer{n}_to_output"]  # (7), without its σ
            layers.append({**dict(zip(GATES, (i, f, g, o))), "cell": c, "hidden": h})
        return Y, layers

    # ---- chords

    def _units_before(self, layers):
        """Return the chord units' pre-activations before any pitch is drawn, (B, K)."""
        if not self.chord_units:
            return np.zeros((len(layers[0]["hidden"]), 0))
        a = self.chords["bias"]
        for n, layer in enumerate(layers, start=1):
            a = a + layer["hidden"] @ self.chords[f"layer{n}_to_chords"]  # (9)
        return a

    def _draw(self, Y, a, uniform, temperature, threshold):
        """Draw the pitches of rows, from the lowest to the highest.

        Parameters
        ----------
        Y : (N, P)
            The pre-activations of (7).
        a : (N, K)
            As `_units_before` returns it.
        uniform : (N, P)
            Random numbers in [0, 1).

        Returns
        -------
        sample, probabilities : (N, P)
        """
        Y, P = Y.copy(), self.n_pitches
        L, V, U = self._chord_matrices()
        x, probabilities = np.zeros_like(Y), np.zeros_like(Y)
        for k in range(P):
            y = sigmoid(Y[:, k] / temperature)
            y[y <= threshold] = 0
            x[:, k], probabilities[:, k] = uniform[:, k] < y, y
            units = slice(k, None, max(1, P - 1))  # of degree k: they read the pitches up to k
            s = np.tanh(a[:, units] + x[:, : k + 1] @ V[: k + 1, units])  # (9) (10)
            Y[:, k + 1 :] += x[:, k : k + 1] * L[k, k + 1 :] + s @ U[units, k + 1 :]  # (11)
        return x, probabilities

    def _with_chords(self, Y, a, following):
        """Return the pre-activations (N, P) of the pitches given the lower ones of their row."""
        x, P = following.reshape(Y.shape), self.n_pitches
        L, V, U = self._chord_matrices()
        pitch, degree = np.arange(P), np.arange(len(U)) % max(1, P - 1)
        s = np.tanh(a + x @ (V * (pitch[:, None] <= degree)))  # (9) (10)
        return Y + s @ (U * (degree[:, None] < pitch)) + x @ (L * (pitch[:, None] < pitch))  # (11)

    def _marginals(self, Y, a, n_samples):
        """Estimate the probability of each pitch: the mean over rows drawn from each of N rows."""
        P = self.n_pitches
        # the same random numbers for all rows, in each call
        uniform = np.random.default_rng(0).random((n_samples, P), self.settings["dtype"])
        probabilities, n = np.empty_like(Y), max(1, DRAWN_AT_ONCE // n_samples)
        for first in range(0, len(Y), n):
            rows = slice(first, first + n)
            _, given_lower = self._draw(
                np.repeat(Y[rows], n_samples, axis=0),
                np.repeat(a[rows], n_samples, axis=0),
                np.tile(uniform, (len(Y[rows]), 1)),
                temperature=1,
                threshold=0,
            )
            probabilities[rows] = given_lower.reshape(-1, n_samples, P).mean(axis=1)
        return probabilities

    def _chord_matrices(self):
        """Return L, V and U; the last two have no columns or rows without chord units."""
        P, chords = self.n_pitches, self.chords
        V = chords.get("pitches_to_chords", np.zeros((P, 0)))
        return chords["pitches_to_output"], V, chords.get("chords_to_output", V.T)
