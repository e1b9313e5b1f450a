"""The eight defects of the 2015 program, none of which this library may have.

For defects of the forward and backward pass, the independent oracle gives the right values, in
cases where the wrong formula would give others.
"""

import numpy as np
import oracle
import pytest
from conftest import SIZES, initial_states, random_roll, small_model

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(3)
    model = small_model(seed=9)
    inputs, targets = (random_roll(rng, 5, 2, SIZES["io_length"]) for _ in range(2))
    cost, gradients = model.gradients(inputs, targets)
    expected = oracle.gradients(model.get_parameters(), initial_states(model), inputs, targets)
    return model, inputs, targets, gradients, expected


def test_defect_1_errors_meet_the_inputs_of_their_own_step(case):
    model, inputs, targets, gradients, expected = case
    np.testing.assert_allclose(
        gradients["layer1/input_to_gates"], expected["layer1/input_to_gates"], rtol=1e-9, atol=1e-12
    )
    # The order of time must matter here, or the comparison above would prove nothing.
    reversed_gradients = model.gradients(inputs[::-1].copy(), targets)[1]
    difference = reversed_gradients["layer1/input_to_gates"] - gradients["layer1/input_to_gates"]
    assert np.abs(difference).max() > 1e-3


def test_defect_2_output_peephole_error_belongs_to_its_own_step(case):
    model, inputs, targets, gradients, expected = case
    # With a single step there is no step t + 1 to take it from; the input weights' gradient must
    # still contain the output peephole's term.
    one = inputs[:1], targets[:1]
    parameters, initial = model.get_parameters(), initial_states(model)
    ours = model.gradients(*one)[1]["layer3/input_to_gates"]
    right = oracle.gradients(parameters, initial, *one)["layer3/input_to_gates"]
    without = {**parameters, "layer3/peephole_output": 0 * parameters["layer3/peephole_output"]}
    wrong = oracle.gradients(without, initial, *one)["layer3/input_to_gates"]
    np.testing.assert_allclose(ours, right, rtol=1e-9, atol=1e-12)
    assert np.abs(right - wrong).max() > 1e-4


def test_defect_3_every_layer_s_output_gate_reads_the_cell_state(case):
    model, inputs, _, gradients, expected = case
    for n in (1, 2, 3):
        name = f"layer{n}/peephole_output"
        np.testing.assert_allclose(gradients[name], expected[name], rtol=1e-9, atol=1e-12)
    # Forward: a layer 1 that read the candidate's pre-activation would predict otherwise.
    parameters, initial = model.get_parameters(), initial_states(model)
    Y, _ = oracle.run(parameters, initial, inputs[:, 0])
    np.testing.assert_allclose(model.predict(inputs[:, 0]), oracle.sigma(Y), rtol=1e-9)


def test_defect_4_rmsprop_remembers_the_gradient_not_the_step(tunes):
    model = small_model(R1=0.01, R2=0.01, R3=0.01, Rout=0.01, gradClip=1e9)
    windows = np.array([np.resize(tune, (6, 7)) for tune in tunes[:2]])
    mean_squares = {name: 0.0 for name in model.get_parameters()}
    for _ in range(3):
        before = model.get_parameters()
        _, gradients = model.gradients(
            *(windows[:, cut].swapaxes(0, 1) for cut in (slice(-1), slice(1, None)))
        )
        model.train(windows, 1, 1, 2, 6, progress=False)
        after = model.get_parameters()
        for name, gradient in gradients.items():
            mean_squares[name] = 0.9 * mean_squares[name] + 0.1 * gradient**2
            step = 0.01 * gradient / np.sqrt(np.maximum(1e-5, mean_squares[name]))
            np.testing.assert_allclose(after[name], before[name] - step, rtol=1e-9, atol=1e-12)


def test_defect_5_generation_follows_the_network_step_by_step():
    model = small_model(seed=4, genProbThreshold=0.45)
    start = random_roll(np.random.default_rng(8), 6, SIZES["io_length"])
    tune, probabilities = model.genMusic(start, 40)
    # Start and tune, replayed through the network, must give these odds at each step: the first
    # sample is thresholded too, and every layer continues from its own last state.
    odds = model.predict(np.vstack([start, tune]))[len(start) - 1 : -1]
    odds = np.where(odds > 0.45, odds, 0)
    np.testing.assert_allclose(probabilities, odds, rtol=1e-9)
    assert (odds[0] == 0).any() and (odds[0] > 0).any()
    compiled = dict(model._network.compiled)
    model.genMusic(start[:2], 100)
    model.genMusic(None, 3)
    assert model._network.compiled == compiled


def test_defect_6_cost_and_derivative_agree_where_the_output_saturates():
    model = small_model(muRand=0.5)
    parameters = model.get_parameters()
    bias = parameters["output/bias"]
    bias[:] = [80, -80, 40, -40, 0, 200, -200]
    model.set_parameters(parameters)
    inputs = np.ones((3, 1, 7))
    targets = np.zeros((3, 1, 7))
    cost, gradients = model.gradients(inputs, targets)
    assert np.isfinite(cost)
    # y = σ(80) counts in full: at each step the cost rises by as much as the bias
    np.testing.assert_allclose(gradients["output/bias"][[0, 5]], [3, 3], rtol=1e-12)
    bias[0] += 1
    model.set_parameters(parameters)
    np.testing.assert_allclose(model.gradients(inputs, targets)[0] - cost, 3, rtol=1e-9)


def test_defect_7a_the_last_step_of_a_window_counts(rng):
    model = small_model()
    roll = random_roll(rng, 8, SIZES["io_length"])
    changed = roll.copy()
    changed[-1] = 1 - changed[-1]
    costs = []
    for tune in (roll, changed):
        other = small_model()
        costs.append(other.train([tune], 1, 1, 1, 8, progress=False).cost[0])
        expected = oracle.cost(
            model.get_parameters(), initial_states(model), tune[:-1, None], tune[1:, None]
        )
        np.testing.assert_allclose(costs[-1], expected, rtol=1e-10)
    assert costs[0] != costs[1]


def test_defect_7b_the_whole_output_layer_learns_at_rout_and_each_layer_at_its_own(tunes):
    rates = {"R1": 0.0, "R2": 0.0, "R3": 0.0, "Rout": 0.0}
    groups = {"R1": "layer1/", "R2": "layer2/", "R3": "layer3/", "Rout": "output/"}
    for name, prefix in groups.items():
        model = small_model(**{**rates, name: 0.01})
        before = model.get_parameters()
        model.train(tunes, 1, 1, 3, 6, progress=False)
        for key, after in model.get_parameters().items():
            assert (after != before[key]).any() == key.startswith(prefix), key


def test_defect_7c_an_epoch_visits_every_tune_once(tunes):
    model = small_model(R1=0, R2=0, R3=0, Rout=0)
    history = model.train(tunes, 1, 1, 1, 6, progress=False)
    expected = []
    for tune in tunes:
        window = np.resize(tune, (6, 7))[:, None]
        expected.append(model.gradients(window[:-1], window[1:])[0])
    np.testing.assert_allclose(sorted(history.cost), sorted(expected), rtol=1e-9)


def test_defect_8_loading_other_dimensions_is_refused_and_changes_nothing(tmp_path):
    small_model(h2_length=6).saveParameters(tmp_path / "other")
    model = small_model()
    before = model.get_parameters()
    with pytest.raises(ValueError, match="h2_length 6, not 5"):
        model.loadParameters(tmp_path / "other")
    assert model.h2_length == 5
    for name, array in model.get_parameters().items():
        np.testing.assert_array_equal(array, before[name])
