"""An independent LSTM in NumPy: one gate at a time, one tune at a time, nothing fused.

It uses the equations and the parameters' names, and shares no code with the package.
Its gradients come from the cost alone, by complex steps: for an analytic f the imaginary part of
f(w + iε)/ε is f'(w) without cancellation, since nothing is subtracted (Squire and Trapp, "Using
complex variables to estimate derivatives of real functions", 1998).
"""

import numpy as np

GATES = ("input", "forget", "candidate", "output")


def sigma(a):
    return 1 / (1 + np.exp(-a))


def unfuse(array, gate):
    width = array.shape[-1] // 4
    position = GATES.index(gate)
    return array[..., position * width : (position + 1) * width]


def run_layer(parameters, n, inputs, below, hidden, cell):
    """Run layer n over one tune (T, P); return a dict from letters to (T, H) arrays."""
    p = {field: parameters.get(f"layer{n}/{field}") for field in (
        "input_to_gates", "below_to_gates", "hidden_to_gates", "bias",
        "peephole_input", "peephole_forget", "peephole_output")}  # fmt: skip

    def known(gate, x, u, h):
        a = x @ unfuse(p["input_to_gates"], gate) + unfuse(p["bias"], gate)
        if u is not None:
            a = a + u @ unfuse(p["below_to_gates"], gate)
        return a + h @ unfuse(p["hidden_to_gates"], gate)

    rows = {letter: [] for letter in "ifgoch"}
    h, c = hidden, cell
    for t, x in enumerate(inputs):
        u = None if below is None else below[t]
        i = sigma(known("input", x, u, h) + p["peephole_input"] * c)
        f = sigma(known("forget", x, u, h) + p["peephole_forget"] * c)
        g = np.tanh(known("candidate", x, u, h))
        c = f * c + i * g
        o = sigma(known("output", x, u, h) + p["peephole_output"] * c)
        h = o * np.tanh(c)
        for letter, value in zip("ifgoch", (i, f, g, o, c, h)):
            rows[letter].append(value)
    return {letter: np.array(values) for letter, values in rows.items()}


def add_chords(parameters, seen, following, Y):
    """Add what the pitches below each pitch add to its pre-activation, directly and by units."""
    P = Y.shape[1]
    columns = []
    for k in range(P):
        known = following[:, :k] @ parameters["chords/pitches_to_output"][:k, k]
        for u, c in enumerate(parameters.get("chords/bias", ())):
            degree = u % (P - 1)
            if degree >= k:
                continue
            V = parameters["chords/pitches_to_chords"]
            a = c + following[:, : degree + 1] @ V[: degree + 1, u]
            for n, hidden in enumerate(seen, start=1):
                a = a + hidden @ parameters[f"chords/layer{n}_to_chords"][:, u]
            known = known + np.tanh(a) * parameters["chords/chords_to_output"][u, k]
        columns.append(Y[:, k] + known)
    return np.array(columns).T


def run(parameters, initial, inputs, masks=(1, 1, 1), following=None):
    """Run the network over one tune; return pre-activations (T, P) and the layers' activity.

    The output and the layer above see a layer's hidden state times its mask (H,). With chords, the
    pre-activations are those of the rows `following` (T, P). Columns beyond P are conditions, and
    those of `following` are read.
    """
    Y = parameters["output/bias"]
    if inputs.shape[1] > len(Y):
        pairs = zip(inputs, following)
        inputs = np.array([[*row[: len(Y)], *after[len(Y) :]] for row, after in pairs])
    below = None
    layers, seen = [], []
    for n in (1, 2, 3):
        hidden, cell = initial[f"layer{n}/hidden"], initial[f"layer{n}/cell"]
        layer = run_layer(parameters, n, inputs, below, hidden, cell)
        below = layer["h"] * masks[n - 1]
        seen.append(below)
        Y = Y + below @ parameters[f"output/layer{n}_to_output"]
        layers.append(layer)
    if "chords/pitches_to_output" in parameters:
        Y = add_chords(parameters, seen, following, Y)
    return Y, layers


def compose(parameters, initial, start, uniform, threshold, conditions):
    """Continue `start` (S, P + Q) by one step for each row of uniform numbers and conditions.

    A row has one number for each pitch, or a single one for systematic sampling. With chords, each
    pitch is drawn by itself, after those below it.
    """
    P, tune = len(parameters["output/bias"]), list(start)
    below = {name: v for name, v in parameters.items() if not name.startswith("chords/")}
    for row, known in zip(uniform, conditions):
        next_row = np.array([*np.zeros(P), *known])
        Y, layers = run(below, initial, np.array(tune), following=[*tune[1:], next_row])
        if len(below) < len(parameters):
            seen, drawn = [layer["h"][-1:] for layer in layers], np.zeros((1, len(row)))
            for k, number in enumerate(row):
                y = sigma(add_chords(parameters, seen, drawn, Y[-1:])[0, k])
                drawn[0, k] = number < y > threshold
            tune.append(np.array([*drawn[0], *known]))
            continue
        probabilities = sigma(Y[-1])
        probabilities[probabilities <= threshold] = 0
        if len(row) == 1:
            ends = np.cumsum(probabilities)
            points = row + np.arange(len(probabilities))
            sounding = np.searchsorted(ends, points[points < ends[-1]], side="right")
            sounds = np.isin(np.arange(len(probabilities)), sounding)
        else:
            sounds = row < probabilities
        tune.append(np.array([*sounds, *known], float))
    return np.array(tune[len(start) :])[:, :P]


def cost_of(Y, targets, cost):
    if cost == "cross_entropy":
        return (np.log(1 + np.exp(Y)) - targets * Y).sum()
    return ((sigma(Y) - targets) ** 2).sum() / 2


def cost(parameters, initial, inputs, targets, name="cross_entropy", masks=None):
    """Return the cost, summed over steps and keys, averaged over the tunes; masks are (B, H)."""
    total = 0
    for b in range(inputs.shape[1]):
        own = (1, 1, 1) if masks is None else [mask[b] for mask in masks]
        Y, _ = run(parameters, initial, inputs[:, b], own, targets[:, b])
        total = total + cost_of(Y, targets[:, b, : Y.shape[1]], name)
    return total / inputs.shape[1]


def gradients(parameters, initial, inputs, targets, name="cross_entropy", masks=None):
    """Return the gradient of `cost` with respect to every parameter, element by element."""
    step = 1e-30
    result = {}
    for key, array in parameters.items():
        result[key] = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            moved = array.astype(complex)
            moved[index] += 1j * step
            value = cost({**parameters, key: moved}, initial, inputs, targets, name, masks)
            result[key][index] = value.imag / step
    return result
