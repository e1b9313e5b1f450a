"""The oracle itself, against numbers computed by hand and central differences."""

import numpy as np
import oracle
from conftest import SIZES, initial_states, random_roll, small_model


def one_unit_parameters():
    """Return zero weights for one unit in each layer and one key."""
    parameters = {}
    for n in (1, 2, 3):
        parameters[f"layer{n}/input_to_gates"] = np.zeros((1, 4))
        if n > 1:
            parameters[f"layer{n}/below_to_gates"] = np.zeros((1, 4))
        parameters[f"layer{n}/hidden_to_gates"] = np.zeros((1, 4))
        parameters[f"layer{n}/bias"] = np.zeros(4)
        for gate in ("input", "forget", "output"):
            parameters[f"layer{n}/peephole_{gate}"] = np.zeros(1)
        parameters[f"output/layer{n}_to_output"] = np.zeros((1, 1))
    parameters["output/bias"] = np.zeros(1)
    return parameters


def test_one_step_by_hand():
    parameters = one_unit_parameters()
    parameters["layer1/input_to_gates"][0] = [1, -1, 0.5, 2]
    parameters["layer1/hidden_to_gates"][0] = [0.5, 0.25, 1, -1]
    parameters["layer1/peephole_input"][:] = 2
    parameters["layer1/peephole_forget"][:] = 1
    parameters["layer1/peephole_output"][:] = -1
    layer = oracle.run_layer(parameters, 1, np.ones((1, 1)), None, np.array([0.2]), np.array([0.5]))
    # i = σ(1 + 0.1 + 1) = σ(2.1), f = σ(−1 + 0.05 + 0.5) = σ(−0.45), g = tanh(0.5 + 0.2)
    assert np.isclose(layer["i"][0, 0], 0.890903179, atol=1e-9)
    assert np.isclose(layer["f"][0, 0], 0.389360766, atol=1e-9)
    assert np.isclose(layer["g"][0, 0], 0.604367777, atol=1e-9)
    # c = 0.389360766 · 0.5 + 0.890903179 · 0.604367777, o = σ(2 − 0.2 − c), h = o tanh c
    assert np.isclose(layer["c"][0, 0], 0.733113557, atol=1e-9)
    assert np.isclose(layer["o"][0, 0], 0.744004353, atol=1e-9)
    assert np.isclose(layer["h"][0, 0], 0.464977794, atol=1e-9)


def test_complex_steps_agree_with_central_differences(rng):
    model = small_model()
    parameters, initial = model.get_parameters(), initial_states(model)
    inputs, targets = (random_roll(rng, 4, 2, SIZES["io_length"]) for _ in range(2))
    for name in ("cross_entropy", "squared_error"):
        gradients = oracle.gradients(parameters, initial, inputs, targets, name)
        for key, array in parameters.items():
            direction = rng.normal(size=array.shape)
            ahead, behind = (
                oracle.cost({**parameters, key: array + moved}, initial, inputs, targets, name)
                for moved in (1e-5 * direction, -1e-5 * direction)
            )
            expected = (ahead - behind) / 2e-5
            assert np.isclose((gradients[key] * direction).sum(), expected, rtol=1e-6, atol=1e-7), (
                key
            )
