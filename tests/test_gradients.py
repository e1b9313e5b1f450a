"""The hand-written pass, stage by stage: the first failing test points to the first error.

Every gradient array is compared by name with the oracle (complex steps), with the engine's
automatic differentiation, and with central differences of the package's own cost.
"""

import functools
import itertools

import numpy as np
import oracle
import pytest
from conftest import SIZES, chord_model, initial_states, random_roll, small_model

from rnn4music import backend, network
from rnn4music.graphs.compiled import NoiseKind, paired
from rnn4music.graphs.parameters import named, shapes
from rnn4music.kernels import dispatch

pytestmark = pytest.mark.core

COSTS = ("cross_entropy", "squared_error")
CHORD_UNITS = {"chords": 8, "chords without units": 0, "chords with dropout and weight noise": 8}
CHORD_UNITS["chords and conditions"] = 8
CONDITIONS = {"chords and conditions": 2}
DISTURBED = "dropout and weight noise", "chords with dropout and weight noise"
T, B, P = 6, 2, SIZES["io_length"]


CASES = [*COSTS, "chords without units", "chords and conditions", *DISTURBED]


def model_of(name, **settings):
    """Return the model of a case."""
    return chord_model(
        CHORD_UNITS.get(name), seed=5, conditions=CONDITIONS.get(name, 0), **settings
    )


class Case:
    """A model, a minibatch, and the model's cost and gradients."""

    KIND = NoiseKind()

    def __init__(self, name):
        rng = np.random.default_rng(len(name))
        cost = name if name in COSTS else "cross_entropy"
        self.model = model_of(name, cost=cost)
        self.inputs, self.targets = random_roll(rng, T, B, P), random_roll(rng, T, B, P)
        known = rng.random((2, T, B, self.model.conditions))
        self.inputs, self.targets = np.concatenate([[self.inputs, self.targets], known], axis=-1)
        self.parameters = self.model.get_parameters()
        self.initial = initial_states(self.model)
        self.data = self.inputs, self.targets
        self.masks = None
        self.cost, self.gradients = self.evaluate()

    def evaluate(self):
        """Return the package's cost and gradients at the model's weights."""
        return self.model.gradients(*self.data)

    def seen(self):
        """Return the parameters that the network used, with noise if there is any."""
        return self.parameters


class DisturbedCase(Case):
    """A case in an update with dropout and weight noise, whose learning rates are 0."""

    KIND = NoiseKind(dropout=True, weight_noise=True)

    def __init__(self, name):
        rng = np.random.default_rng(CASES.index(name))
        windows = random_roll(rng, T + 1, B, P)
        self.model = model_of(name, R1=0, R2=0, R3=0, Rout=0)
        self.data = self.inputs, self.targets = windows[:-1], windows[1:]
        self.windows = windows
        self.parameters = self.model.get_parameters()
        self.initial = initial_states(self.model)
        self.masks = [2.0 * (rng.random((B, H)) < 0.5) for H in (3, 5, 4)]
        self.masks[0][0, 0] = self.masks[1][0, 0] = self.masks[2][0, 0] = 2
        self.masks[0][1, 0] = self.masks[1][1, 0] = self.masks[2][1, 0] = 0
        self.noise = rng.normal(0, 0.3, self.model._store.n_in_matrices())
        self.cost, self.gradients = self.evaluate()

    def evaluate(self):
        update = self.model._network.update((T, B, P), self.KIND)
        states = [np.tile(vector, (B, 1)) for vector in self.model._store.initial_states()]
        weights, settings = np.full((T, B), 1 / B), (0, 0, 0, 0, 30, 1e-5, 0)
        settings = [np.asarray(value, "float64") for value in settings]
        cost, *arrays = update(self.windows, weights, *states, *self.masks, self.noise, *settings)
        return float(cost), dict(zip(self.parameters, map(np.array, arrays)))

    def seen(self):
        start, noisy = 0, dict(self.parameters)
        for name, array in self.parameters.items():
            if array.ndim == 2:
                noise = self.noise[start : start + array.size].reshape(array.shape)
                noisy[name], start = array + noise, start + array.size
        assert start == len(self.noise)
        return noisy


@pytest.fixture(scope="module")
def built():
    """Return a function that builds a case once for all tests."""
    return functools.cache(lambda name: (DisturbedCase if name in DISTURBED else Case)(name))


@pytest.fixture(params=CASES)
def case(request, built):
    return built(request.param)


@pytest.fixture(scope="module")
def activity():
    """Return a case, and every layer's activity in its forward pass."""
    case = Case("cross_entropy")
    compiled = case.model._network
    inputs = backend.tensor("inputs", "float64", case.inputs.shape)
    states = compiled.state_inputs(B)
    pairs = [network.State(*states[k : k + 2]) for k in (0, 2, 4)]
    with dispatch.plain_graphs():
        Y, activities = network.forward(inputs, pairs, compiled.parameters)
    of_layers = [a for each in activities.layers for a in each]
    run = backend.function([inputs, *states], [Y, *of_layers])
    rows = [np.tile(vector, (B, 1)) for vector in case.initial.values()]
    Y, *arrays = (np.asarray(array) for array in run(case.inputs, *rows))
    return case, Y, [dict(zip(("hidden", "cell", "gates"), arrays[k : k + 3])) for k in (0, 3, 6)]


@pytest.mark.parametrize("layer", (1, 2, 3))
@pytest.mark.parametrize("letter", "ifgoch")
def test_activity(activity, layer, letter):
    case, _, activities = activity
    ours = activities[layer - 1]
    for b in range(B):
        _, layers = oracle.run(case.parameters, case.initial, case.inputs[:, b])
        if letter in "ch":
            got = ours[{"c": "cell", "h": "hidden"}[letter]][:, b]
        else:
            gate = dict(zip("ifgo", oracle.GATES))[letter]
            got = oracle.unfuse(ours["gates"][:, b], gate)
        np.testing.assert_allclose(got, layers[layer - 1][letter], rtol=1e-12)


def test_output(activity):
    case, Y, _ = activity
    for b in range(B):
        expected, _ = oracle.run(case.parameters, case.initial, case.inputs[:, b])
        np.testing.assert_allclose(Y[:, b], expected, rtol=1e-12)


@pytest.mark.parametrize("chord_case", ("chords and conditions", "chords without units"))
def test_the_probabilities_of_all_rows_sum_to_one(built, chord_case):
    rng, n_conditions = np.random.default_rng(0), CONDITIONS.get(chord_case, 0)
    start, known = random_roll(rng, 1, P), rng.random((2, n_conditions))
    rows = np.array(list(itertools.product((0.0, 1.0), repeat=P)))
    tunes = [np.hstack([np.vstack([start, row]), known]) for row in rows]
    each = built(chord_case).model.evaluate(tunes).per_tune
    probabilities = np.exp([-tune.nats_per_step for tune in each])
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chord_case", ("chords and conditions", "chords without units"))
def test_a_pitch_changes_only_those_above_it(built, chord_case):
    model, n_columns = built(chord_case).model, P + CONDITIONS.get(chord_case, 0)
    rows = random_roll(np.random.default_rng(0), 2, T, 1, n_columns)
    inputs, following = np.repeat(rows, P, axis=2)
    turned = np.abs(following - np.eye(P, n_columns))  # pitch k in tune k
    changed = np.abs(model._run(inputs, turned) - model._run(inputs, following)) > 1e-9
    above = np.arange(P)[:, None] < np.arange(P)
    np.testing.assert_array_equal(changed, np.broadcast_to(above, changed.shape))


def test_cost(case):
    expected = oracle.cost(case.seen(), case.initial, *case.data, case.model.cost, case.masks)
    np.testing.assert_allclose(case.cost, expected, rtol=1e-12)


EACH = [
    (case, name)
    for case in CASES
    for name in named(shapes((3, 5, 4), P, CHORD_UNITS.get(case), CONDITIONS.get(case, 0)))
]
each_gradient = pytest.mark.parametrize("case, name", EACH, indirect=["case"])


@functools.cache
def expected_gradients(case):
    return oracle.gradients(case.seen(), case.initial, *case.data, case.model.cost, case.masks)


@each_gradient
def test_gradient_agrees_with_the_oracle(case, name):
    expected = expected_gradients(case)
    assert np.abs(expected[name]).max() > 1e-4, "the case must exercise this parameter"
    scale = np.abs(expected[name]).max()
    np.testing.assert_allclose(case.gradients[name], expected[name], rtol=0, atol=1e-9 * scale)


@functools.cache
@dispatch.plain_graphs()
def automatic_gradients(case):
    """Return the engine's own derivatives of the forward graph's cost."""
    compiled = case.model._network
    rows, following = (backend.tensor(n, "float64", case.inputs.shape) for n in ("x", "k"))
    inputs, targets = compiled._read(rows, following)
    mask = backend.tensor("mask", "float64", (T, B))
    noise, *noisy = compiled._noisy(B, case.KIND)
    values = [*case.masks, case.noise] if noise else []
    states = compiled.state_inputs(B)
    initial, nothing = paired(states), paired([backend.zeros_like(state) for state in states])
    total, *_ = compiled._cost_and_gradients(inputs, targets, mask, initial, nothing, *noisy)
    if backend.ENGINE == "theano":
        from theano import grad
    else:
        from pytensor.gradient import grad
    derivatives = grad(total, list(case.model._store.weights.values()))
    run = backend.function([rows, following, mask, *states, *noise], derivatives)
    rows = [np.tile(vector, (B, 1)) for vector in case.initial.values()]
    return dict(zip(case.parameters, run(*case.data, np.full((T, B), 1 / B), *rows, *values)))


@each_gradient
def test_gradient_agrees_with_automatic_differentiation(case, name):
    automatic = automatic_gradients(case)
    assert case.gradients[name].any(), "the case must exercise this parameter"
    scale = np.abs(automatic[name]).max()
    np.testing.assert_allclose(case.gradients[name], automatic[name], rtol=0, atol=1e-9 * scale)


@each_gradient
def test_gradient_agrees_with_finite_differences(case, name):
    rng = np.random.default_rng(list(case.parameters).index(name))
    direction = rng.normal(size=case.parameters[name].shape)

    def cost_at(distance):
        moved = case.parameters[name] + distance * direction
        case.model.set_parameters({**case.parameters, name: moved})
        return case.evaluate()[0]

    difference = (cost_at(1e-5) - cost_at(-1e-5)) / 2e-5
    case.model.set_parameters(case.parameters)
    np.testing.assert_allclose(
        (case.gradients[name] * direction).sum(), difference, rtol=1e-6, atol=1e-8
    )


def test_all_parameters_have_a_gradient_of_their_shape(case):
    assert list(case.gradients) == list(case.parameters)
    for name, array in case.parameters.items():
        assert case.gradients[name].shape == array.shape


def test_float32_gradients_are_those_of_float64_rounded(case):
    if case.masks is not None:
        pytest.skip("masks and noise exist only in updates")
    own = {name: getattr(case.model, name) for name in ("cost", "chord_units", "conditions")}
    model = small_model(**own, dtype="float32")
    parameters = {name: array.astype("float32") for name, array in case.parameters.items()}
    model.set_parameters(parameters)
    arrays = model._store.arrays()
    arrays |= {f"initial/{name}": array for name, array in case.initial.items()}
    model._store.assign(model._store.check(arrays))
    cost, gradients = model.gradients(*case.data)
    assert np.isclose(cost, case.cost, rtol=1e-5)
    for name, array in gradients.items():
        assert array.dtype == np.float32
        scale = np.abs(case.gradients[name]).max()
        np.testing.assert_allclose(array, case.gradients[name], rtol=0, atol=2e-5 * scale)
