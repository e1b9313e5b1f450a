"""Effects of notes on predictions, on networks with known effects."""

import numpy as np
import pytest
from conftest import chord_model, random_roll

from rnn4music.evaluation import chord_effects, occlusion_effects
from rnn4music.evaluation import occlusion as module
from rnn4music.numpy_network import NumpyNetwork


class LastSteps:
    """A network whose log-odds in column 0 are a bias plus weights of the last three steps."""

    weights = np.array([[0, 2, 1], [0, 0, -3], [0.5, 0, 0]])  # (steps back, columns)
    calls = 0

    def predict(self, inputs, following=None):
        self.calls += 1
        Y = np.full(inputs.shape, 0.7)
        for back, weights in enumerate(self.weights):
            Y[back:, ..., 0] += inputs[: len(inputs) - back] @ weights
        return 1 / (1 + np.exp(-Y))


ROLL = np.array([[1, 0, 0], [0, 1, 1], [0, 1, 1], [0, 1, 0], [1, 1, 1]])


def test_each_note_has_its_weights():
    """The notes in steps 0 to 3 act on step 4, except that of step 0, which is forgotten."""
    effects = occlusion_effects(LastSteps(), ROLL, 4, 0)
    held, ended = 2, -3  # column 1 in the last step; column 2 in the one before
    expected = [[0, 0, 0], [0, held, ended], [0, held, ended], [0, held, 0], [0, 0, 0]]
    np.testing.assert_allclose(effects, expected, atol=1e-12)


def test_what_was_forgotten_is_found_earlier():
    assert occlusion_effects(LastSteps(), ROLL, 3, 0)[0, 0] == pytest.approx(0.5)


def test_the_step_after_the_last_can_be_asked_for():
    """The note of column 2 in step 4 follows a rest and is a note of its own."""
    effects = occlusion_effects(LastSteps(), ROLL, 5, 0)
    np.testing.assert_allclose(effects[4], [0, 2, 1], atol=1e-12)
    np.testing.assert_allclose(effects[2, 2], 0, atol=1e-12)


def test_with_chords_the_lower_notes_of_the_step_count():
    class Together:
        """A network in which a note in column 2 acts on column 0 together with the next row's 1."""

        def predict(self, inputs, following=0.5):
            following = np.broadcast_to(following, inputs.shape)
            return 1 / (1 + np.exp(-(inputs[..., 2:] * following[..., 1:2] + 0 * inputs)))

    roll = ROLL.copy()
    for sounds in (1, 0):
        roll[2, 1] = sounds
        assert occlusion_effects(Together(), roll, 2, 0)[1, 2] == pytest.approx(sounds)
    assert occlusion_effects(Together(), roll, 5, 0)[4, 2] == pytest.approx(0.5)


def test_a_note_with_onsets_ends_where_it_is_struck_again():
    """Column 0 sounds throughout, and is struck in steps 0, 2 and 3."""
    strikes = np.zeros((5, 2))
    strikes[[0, 2, 3], 0] = strikes[3, 1] = 1
    sounding = np.array([[1, 0], [1, 0], [1, 0], [1, 1], [1, 1]])

    class Struck:
        """A network in which a strike of pitch 0 counts 2, and sounding 1, in the last step."""

        def predict(self, inputs, following=None):
            Y = np.zeros(inputs.shape)
            Y[..., 1] = inputs[..., 0] + 2 * inputs[..., 2]
            return 1 / (1 + np.exp(-Y))

    roll = np.hstack([sounding, strikes])
    effects = occlusion_effects(Struck(), roll, 3, 1, onsets=True)
    np.testing.assert_allclose(effects, [[0, 0], [0, 0], [3, 0], [0, 0], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(occlusion_effects(Struck(), roll, 4, 1, onsets=True)[3, 0], 3)
    held = np.hstack([sounding, np.zeros((5, 2))])
    np.testing.assert_allclose(
        occlusion_effects(Struck(), held, 2, 1, onsets=True)[:2, 0], [1, 1], atol=1e-12
    )


def test_in_parts_it_is_the_same(monkeypatch):
    whole, network = occlusion_effects(LastSteps(), ROLL, 5, 0), LastSteps()
    monkeypatch.setattr(module, "_MOST_CELLS", 2 * ROLL.size)
    np.testing.assert_array_equal(occlusion_effects(network, ROLL, 5, 0), whole)
    assert network.calls == 1 + 3  # five notes, two at a time


def test_a_network_of_one_weight():
    """In a network of one unit only pitch 1 of the last step affects pitch 0."""
    sizes = {"input_to_gates": (2, 4), "hidden_to_gates": (1, 4), "below_to_gates": (1, 4)}
    parameters = {f"layer{n}/{name}": np.zeros(sizes[name]) for n in (1, 2, 3) for name in sizes}
    for n in (1, 2, 3):
        parameters[f"layer{n}/bias"] = np.zeros(4)
        for gate in ("input", "forget", "output"):
            parameters[f"layer{n}/peephole_{gate}"] = np.zeros(1)
        parameters[f"output/layer{n}_to_output"] = np.zeros((1, 2))
    parameters["output/bias"] = np.zeros(2)
    del parameters["layer1/below_to_gates"]
    parameters["layer1/bias"][1] = -800  # forget everything
    parameters["layer1/input_to_gates"][1, 2] = 3  # the candidate sees pitch 1
    parameters["output/layer1_to_output"][0, 0] = 5
    network = NumpyNetwork(parameters)
    roll = np.array([[1, 1], [1, 0], [1, 1]])
    effects = occlusion_effects(network, roll, 3, 0)
    hidden = 0.5 * np.tanh(0.5 * np.tanh(3))
    np.testing.assert_allclose(effects, [[0, 0], [0, 0], [0, 5 * hidden]], atol=1e-12)
    np.testing.assert_array_equal(occlusion_effects(network, roll, 3, 1), np.zeros((3, 2)))


def test_silence_and_certainty_have_no_effect():
    class Certain:
        def predict(self, inputs, following=None):
            return np.ones(inputs.shape, np.float32)

    assert not occlusion_effects(Certain(), ROLL, 3, 0).any()
    assert not occlusion_effects(LastSteps(), np.zeros((4, 3)), 4, 0).any()


NEXT_TO_1 = 1 - 2.0**-24  # the largest number below 1 in single precision


@pytest.mark.parametrize(
    "dtype, without, with_note, expected",
    (
        (np.float32, 1e-9, 1e-8, np.log(10)),
        (np.float32, 1e-30, 1e-37, -7 * np.log(10)),
        (np.float32, 0, 1e-30, 18.26),  # 0 counts as 2⁻¹²⁶
        (np.float64, 1e-300, 1e-20, 280 * np.log(10)),
        (np.float32, 1 - 2.0**-23, NEXT_TO_1, np.log(2)),
        (np.float32, NEXT_TO_1, 1, 0),
        (np.float64, NEXT_TO_1, 1, 29 * np.log(2)),  # 1 counts as 1 − 2⁻⁵³
    ),
)
def test_the_effect_on_what_is_nearly_certain(dtype, without, with_note, expected):
    class OfOneNote:
        def predict(self, inputs, following=None):
            return np.where(inputs > 0, with_note, without).astype(dtype)

    effects = occlusion_effects(OfOneNote(), [[1]], 1, 0)
    np.testing.assert_allclose(effects, [[expected]], rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize(
    "step, column, message",
    (
        (0, 0, "step must be at least 1"),
        (6, 0, "step must be at most 5 for this roll, but is 6"),
        (1, 3, "column must be at most 2 for this roll, but is 3"),
        (1, -1, "column must be at least 0"),
    ),
)
def test_places_outside_the_roll_are_refused(step, column, message):
    with pytest.raises(ValueError, match=message):
        occlusion_effects(LastSteps(), ROLL, step, column)


def test_what_is_no_roll_is_refused():
    with pytest.raises(ValueError, match="roll holds values from 0 to 90"):
        occlusion_effects(LastSteps(), 90 * ROLL, 1, 0)
    with pytest.raises(ValueError, match="roll must have the shape"):
        occlusion_effects(LastSteps(), ROLL[0], 1, 0)
    with pytest.raises(ValueError, match="roll holds 0.5"):
        occlusion_effects(LastSteps(), 0.5 * ROLL, 1, 0)


def test_conditions_stay_and_are_read_with_the_step_that_they_belong_to(rng):
    model = chord_model(8, seed=3, conditions=2)
    rows = np.hstack([random_roll(rng, 6, 7), rng.random((6, 2))])
    effects = occlusion_effects(model, rows, 5, 4)
    pitch, first = np.argwhere(effects.T != 0)[0]
    without = rows.copy()
    end = first + 1
    while end < 5 and rows[end, pitch]:
        end += 1
    without[first:end, pitch] = 0
    odds = [model.predict(each[:5], rows[1:])[-1, 4] for each in (rows, without)]
    odds = np.log(odds) - np.log1p(-np.array(odds))
    assert effects[first, pitch] == pytest.approx(odds[0] - odds[1], rel=1e-9)
    with pytest.raises(ValueError, match="step must be at most 5"):
        occlusion_effects(model, rows, 6, 4)
    network = chord_model(8, seed=3)
    with pytest.raises(ValueError, match="roll holds 0"):
        occlusion_effects(network, rows[:, 1:8], 5, 4)
    assert np.isfinite(chord_effects(model, rows, widest=3)[0, 1])


# ---- chords


class Intervals:
    """A network in which a sounding pitch adds its own weight to each pitch above it."""

    chord_units = 0
    weights = np.triu(np.arange(1.0, 26).reshape(5, 5) / 10, 1)

    def predict(self, inputs, following):
        assert inputs.shape == following.shape
        Y = inputs @ np.ones((5, 5)) + following @ self.weights
        return 1 / (1 + np.exp(-Y))


def test_chord_effects_are_means_over_the_steps_by_interval():
    """The second and third step have the lowest pitches 1 and 3, the fourth is silent."""
    roll = np.array([[0, 0, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]])
    effects, W = chord_effects(Intervals(), roll, 4), Intervals.weights
    expected = np.full((5, 5), np.nan)
    expected[0, 1:4] = (W[1, 2] + W[3, 4]) / 2, W[1, 3], W[1, 4]
    expected[1, 2:4] = W[2, 3], W[2, 4]
    expected[2, 3] = W[3, 4]
    np.testing.assert_allclose(effects, expected, atol=1e-12)


def test_chord_effects_with_onsets_compare_sounding_notes():
    class Sounding(Intervals):
        """A network of five pitches whose ten columns include their strikes, which add nothing."""

        def predict(self, inputs, following):
            assert inputs.shape[-1] == 10 and not following[:, 5:].any()
            return np.hstack([super().predict(inputs[:, :5], following[:, :5])] * 2)

    roll = (np.random.default_rng(4).random((7, 5)) < 0.5).astype(float)
    expected = chord_effects(Intervals(), roll, 4)
    found = chord_effects(Sounding(), np.hstack([roll, roll]), 4, onsets=True)
    np.testing.assert_array_equal(found, expected)


def test_chord_effects_need_chords_and_notes():
    independent = Intervals()
    independent.chord_units = None
    with pytest.raises(ValueError, match="independent probabilities: train one with chord_units"):
        chord_effects(independent, np.ones((3, 5)))
    with pytest.raises(ValueError, match="no notes after its first step"):
        chord_effects(Intervals(), np.zeros((3, 5)))
