"""The heart's small parts: gates, costs, clipping, L1, RMSprop."""

import numpy as np
import pytest

from rnn4music import backend, costs, gates, updates
from rnn4music.graphs import parameters

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
    cost, derivative = costs.COSTS[name]
    ahead = evaluate(cost, Y=Y + 1e-6, k=k)
    behind = evaluate(cost, Y=Y - 1e-6, k=k)
    got = evaluate(derivative, Y=Y, k=k)
    np.testing.assert_allclose(got, (ahead - behind) / 2e-6, rtol=1e-7, atol=1e-9)


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
    def rule(parameter, gradient, mean_square, rate, epsilon):
        after, (mean_square,) = updates.rmsprop(
            parameter, gradient, (mean_square,), rate, epsilon, n_updates=None
        )
        return after, mean_square

    parameter, mean_square = evaluate(
        rule,
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
