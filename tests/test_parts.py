"""The heart's small parts: gates, costs, clipping, L1, RMSprop."""

import numpy as np
import pytest
from conftest import small_model

from rnn4music import backend, costs, gates, optimisers, parameters, updates

pytestmark = pytest.mark.core


def evaluate(expression, **arrays):
    """Compile `expression(**symbolic inputs)` and call it on the arrays."""
    arrays = {name: np.asarray(array, "float64") for name, array in arrays.items()}
    symbols = {name: backend.tensor(name, "float64", a.shape) for name, a in arrays.items()}
    result = expression(**symbols)
    outputs = list(result) if isinstance(result, tuple) else [result]
    results = [
        np.asarray(r) for r in backend.function(list(symbols.values()), outputs)(*arrays.values())
    ]
    return results if isinstance(result, tuple) else results[0]


def test_gates_are_cut_in_their_order_and_joined_again(rng):
    fused = rng.normal(size=(2, 3, 12))
    parts = evaluate(lambda a: tuple(gates.split(a)), a=fused)
    for k, part in enumerate(parts):
        np.testing.assert_array_equal(part, fused[..., 3 * k : 3 * k + 3])
    np.testing.assert_array_equal(evaluate(lambda a: gates.join(gates.split(a)), a=fused), fused)


@pytest.mark.parametrize("name", sorted(costs.COSTS))
def test_cost_derivative(name):
    Y = np.linspace(-6, 6, 49).reshape(7, 7)
    k = np.arange(49.0).reshape(7, 7) % 2
    cost = costs.COSTS[name]
    ahead = evaluate(cost.value, Y=Y + 1e-6, k=k)
    behind = evaluate(cost.value, Y=Y - 1e-6, k=k)
    derivative = evaluate(cost.derivative, Y=Y, k=k)
    np.testing.assert_allclose(derivative, (ahead - behind) / 2e-6, rtol=1e-7, atol=1e-9)


def test_cross_entropy_is_exact_and_finite_where_the_sigmoid_saturates():
    Y = np.array([-800.0, -60.0, -1.0, 0.0, 1.0, 60.0, 800.0])
    off = evaluate(costs.cross_entropy, Y=Y, k=np.zeros(7))
    np.testing.assert_allclose(off, np.logaddexp(0, Y), rtol=1e-14, atol=0)
    on = evaluate(costs.cross_entropy, Y=Y, k=np.ones(7))
    np.testing.assert_allclose(on, np.logaddexp(0, -Y), rtol=1e-12, atol=1e-14)


def test_clip_limits_each_element():
    clipped = evaluate(updates.clip, gradient=[-40.0, -3.0, 0.0, 5.0, 31.0], bound=30.0)
    np.testing.assert_array_equal(clipped, [-30, -3, 0, 5, 30])


def test_l1_pulls_towards_zero_and_leaves_zero_alone():
    pull = evaluate(updates.l1_penalty, parameter=[-2.0, 0.0, 0.1], strength=0.5)
    np.testing.assert_array_equal(pull, [-0.5, 0, 0.5])


def test_rmsprop_by_hand():
    parameter, mean_square = evaluate(
        updates.rmsprop,
        parameter=[1.0, 1.0, 1.0],
        gradient=[2.0, -2.0, 1e-4],
        mean_square=[1.0, 0.0, 0.0],
        rate=0.5,
        epsilon=1e-5,
    )
    # 0.9 · 1 + 0.1 · 4 = 1.3; 0.1 · 4 = 0.4; 0.1 · 1e-8 = 1e-9, below the floor
    np.testing.assert_allclose(mean_square, [1.3, 0.4, 1e-9], rtol=1e-14)
    expected = [1 - 1 / np.sqrt(1.3), 1 + 1 / np.sqrt(0.4), 1 - 0.5e-4 / np.sqrt(1e-5)]
    np.testing.assert_allclose(parameter, expected, rtol=1e-14)


def steps(name, gradients, rate, n_averages):
    """Apply an optimiser to a scalar parameter, one gradient after the other."""
    optimiser = optimisers.OPTIMISERS[name]
    assert len(optimiser.averages) == n_averages
    w, g, n, *averages = symbols = [
        backend.tensor(letter, "float64", ()) for letter in ["w", "g", "n", *"abc"[:n_averages]]
    ]
    rate, epsilon = (backend.constant(value, "float64") for value in (rate, 1e-5))
    parameter, new = optimiser.rule(w, g, averages, rate, epsilon, n)
    step = backend.function(symbols, [parameter, *new])
    weights, values = [], [np.zeros(())] * n_averages
    for number, gradient in enumerate(gradients, start=1):
        w = np.asarray(weights[-1] if weights else 1.0)
        w, *values = step(w, np.asarray(gradient), np.asarray(float(number)), *values)
        weights.append(float(w))
    return weights


GRADIENTS = [2.0, -3.0, 0.5, 1e-3, 40.0]


def test_the_rmsprop_of_the_table_is_that_of_2015():
    expected, w, m = [], 1.0, 0.0
    for g in GRADIENTS:
        m = 0.9 * m + 0.1 * g * g
        w -= 0.1 * g / np.sqrt(max(1e-5, m))
        expected.append(w)
    np.testing.assert_allclose(steps("rmsprop", GRADIENTS, 0.1, 1), expected, rtol=1e-12)


def test_graves_s_rule_is_his_equations_38_to_41():
    """With his letters: the averages n and g, the step Δ; his own constants."""
    expected, w, n, mean, delta = [], 1.0, 0.0, 0.0, 0.0
    for epsilon in GRADIENTS:
        n = 0.95 * n + 0.05 * epsilon**2
        mean = 0.95 * mean + 0.05 * epsilon
        delta = 0.9 * delta - 1e-4 * epsilon / np.sqrt(n - mean**2 + 1e-4)
        w += delta
        expected.append(w)
    np.testing.assert_allclose(steps("graves", GRADIENTS, 1e-4, 3), expected, rtol=1e-12)


@pytest.mark.parametrize("gradient", (18.5, 23.5, 30.0))
def test_graves_s_rule_survives_a_constant_gradient_in_single_precision(gradient):
    """Where m − a² is rounded below 0 there is still a root."""
    model = small_model(optimiser="graves", dtype="float32", R1=1e-4)
    change = model._network.change(())
    gradients = [np.full(s, gradient, "float32") for s in model._store.shapes.values()]
    settings = [np.asarray(x, "float32") for x in (1e-4, 1e-4, 1e-4, 1e-4, 30, 1e-5, 0)]
    for _ in range(400):
        change(*gradients, *settings)
    assert model._store.is_finite()


def test_adam_is_its_paper_s_algorithm_1():
    expected, w, m, v = [], 1.0, 0.0, 0.0
    for t, g in enumerate(GRADIENTS, start=1):
        m, v = 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        w -= 0.01 * m_hat / (np.sqrt(v_hat) + 1e-8)
        expected.append(w)
    np.testing.assert_allclose(steps("adam", GRADIENTS, 0.01, 2), expected, rtol=1e-10)


@pytest.mark.parametrize("name", sorted(optimisers.OPTIMISERS))
def test_optimisers_find_the_bottom_of_a_bowl(name, rng):
    """½ Σ a (w − w₀)² with slopes of very different size."""
    optimiser, bottom, slopes = (
        optimisers.OPTIMISERS[name],
        rng.normal(size=4),
        10.0 ** np.arange(-2, 2),
    )

    def rule(w, n, *, rate, **averages):
        gradient = (w - bottom) * slopes
        epsilon = backend.constant(1e-5, "float64")
        parameter, new = optimiser.rule(w, gradient, list(averages.values()), rate, epsilon, n)
        return (parameter, *new)

    arrays = {"w": np.zeros(4), "n": 1, "rate": 0.01}
    arrays |= {f"a{k}": np.zeros(4) for k in range(len(optimiser.averages))}
    symbols = {k: backend.tensor(k, "float64", np.shape(v)) for k, v in arrays.items()}
    step = backend.function(list(symbols.values()), list(rule(**symbols)))
    for n in range(1, 2000):
        arrays["n"], arrays["rate"] = np.asarray(float(n)), np.asarray(0.02 / np.sqrt(n))
        w, *averages = (np.asarray(r) for r in step(*arrays.values()))
        arrays |= {"w": w, **{f"a{k}": a for k, a in enumerate(averages)}}
    np.testing.assert_allclose(arrays["w"], bottom, atol=0.02)


def test_names_of_the_parameters_and_back():
    shapes = parameters.shapes((3, 5, 4), 7)
    names = parameters.named(shapes)
    assert names["layer1/input_to_gates"] == (7, 12)
    assert names["layer2/below_to_gates"] == (3, 20)
    assert names["layer3/below_to_gates"] == (5, 16)
    assert names["layer3/peephole_output"] == (4,)
    assert names["output/layer2_to_output"] == (5, 7)
    assert "layer1/below_to_gates" not in names
    assert parameters.unnamed(names) == shapes
