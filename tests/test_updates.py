"""The optimisers, each against its paper's formula."""

import numpy as np
import pytest
from conftest import small_model

from rnn4music import backend, updates


def steps(name, gradients, rate, n_averages):
    """Apply an optimiser to a scalar parameter for each gradient; return the weights."""
    optimiser = updates.OPTIMISERS[name]
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


@pytest.mark.core
def test_the_rmsprop_of_the_table_is_that_of_2015():
    expected, w, m = [], 1.0, 0.0
    for g in GRADIENTS:
        m = 0.9 * m + 0.1 * g * g
        w -= 0.1 * g / np.sqrt(max(1e-5, m))
        expected.append(w)
    np.testing.assert_allclose(steps("rmsprop", GRADIENTS, 0.1, 1), expected, rtol=1e-12)


@pytest.mark.core
def test_graves_s_rule_is_his_equations_38_to_41():
    """The letters and constants are his: the averages n and g, the step Δ."""
    expected, w, n, mean, delta = [], 1.0, 0.0, 0.0, 0.0
    for epsilon in GRADIENTS:
        n = 0.95 * n + 0.05 * epsilon**2
        mean = 0.95 * mean + 0.05 * epsilon
        delta = 0.9 * delta - 1e-4 * epsilon / np.sqrt(n - mean**2 + 1e-4)
        w += delta
        expected.append(w)
    np.testing.assert_allclose(steps("graves", GRADIENTS, 1e-4, 3), expected, rtol=1e-12)


@pytest.mark.core
def test_graves_s_rule_survives_a_constant_gradient_in_single_precision():
    """Rounding may make m − a² negative."""
    model = small_model(optimiser="graves", dtype="float32", R1=1e-4)
    change, zero = model._network.apply_gradients(()), model._store.snapshot()
    settings = [np.asarray(x, "float32") for x in (1e-4, 1e-4, 1e-4, 1e-4, 30, 1e-5, 0)]
    for gradient in (18.5, 23.5, 30.0):
        model._store.restore(zero)
        gradients = [np.full(s, gradient, "float32") for s in model._store.shapes.values()]
        for _ in range(400):
            change(*gradients, *settings)
        assert model._store.is_finite(), gradient


@pytest.mark.core
def test_adam_is_its_paper_s_algorithm_1():
    expected, w, m, v = [], 1.0, 0.0, 0.0
    for t, g in enumerate(GRADIENTS, start=1):
        m, v = 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        w -= 0.01 * m_hat / (np.sqrt(v_hat) + 1e-8)
        expected.append(w)
    np.testing.assert_allclose(steps("adam", GRADIENTS, 0.01, 2), expected, rtol=1e-10)


@pytest.mark.parametrize("name", sorted(updates.OPTIMISERS))
def test_optimisers_find_the_bottom_of_a_bowl(name, rng):
    """Minimise ½ Σ a (w − w₀)² with slopes a of very different size."""
    optimiser, bottom, slopes = (
        updates.OPTIMISERS[name],
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
