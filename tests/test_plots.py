"""Plots, checked by reading back what is on the Axes."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from midi import Beats  # noqa: E402
from rnn4music import plots  # noqa: E402
from rnn4music.training import History  # noqa: E402

LOWEST = 21


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    figure.canvas.draw()  # drawing raises no warning
    plt.close(figure)


@pytest.fixture
def panels():
    figure, axes = plt.subplots(2, sharex=True, layout="constrained")
    yield axes
    plt.close(figure)


def roll_of(n_steps, *notes):
    """Return a roll with these (step, pitch) cells on."""
    roll = np.zeros((n_steps, 88))
    for step, pitch in notes:
        roll[step, pitch - LOWEST] = 1
    return roll


def names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def value_at(image, x, y):
    """Return the value of an image at a point in the coordinates of its Axes."""
    assert image.origin == "lower"
    left, right, bottom, top = image.get_extent()
    array = image.get_array()
    row = int((y - bottom) / (top - bottom) * array.shape[0])
    return array[row, int((x - left) / (right - left) * array.shape[1])]


def cielab(rgb):
    """Return L*, a*, b* (n, 3) of sRGB colours (n, 3) in [0, 1], for the white point D65."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array(
        [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
    )
    t = xyz / [0.9505, 1, 1.089]
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def lightness(*rgb):
    """Return CIE L* of an sRGB colour in [0, 1]."""
    return cielab(np.array([rgb]))[0, 0]


# ---- tunes


def test_piano_roll_with_a_start(axes):
    start, roll = roll_of(4, (0, 51)), roll_of(10, (9, 71))
    assert plots.plot_piano_roll(axes, roll, 0.5, start=start) is axes
    assert axes.get_xlim() == (-2, 5)
    given, composed = axes.images
    assert given.get_extent() == [-2, 0, 20.5, 108.5]
    assert composed.get_extent() == [0, 5, 20.5, 108.5]
    np.testing.assert_array_equal(composed.get_array(), roll.T)
    low, high = axes.get_ylim()
    assert low < 51 and 71 < high and axes.get_xlabel() == "seconds"
    assert names(axes.yaxis) == ["C4", "C5"]


def test_a_note_is_drawn_at_its_time_and_pitch(axes):
    start, roll = roll_of(4, (1, 60)), roll_of(10, (7, 64))
    plots.plot_piano_roll(axes, roll, 0.25, start=start)
    given, composed = axes.images
    assert value_at(composed, 7 * 0.25 + 0.01, 64) == value_at(composed, 8 * 0.25 - 0.01, 64) == 1
    assert value_at(given, -3 * 0.25 + 0.01, 60) == 1
    assert composed.get_array().sum() == given.get_array().sum() == 1
    on, off = given.get_cmap()(1.0), given.get_cmap()(0.0)
    assert on != composed.get_cmap()(1.0) and off != composed.get_cmap()(0.0)
    assert [list(line.get_xdata()) for line in axes.lines] == [[0, 0]]


def test_no_note_of_a_very_long_roll_vanishes_between_pixels():
    figure, axes = plt.subplots(figsize=(4, 2), dpi=50)
    roll = np.zeros((40000, 12))
    roll[20001, 5] = roll[20002:20040, 6] = 1
    plots.plot_piano_roll(axes, roll, 0.3, 60)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    figure.canvas.draw()
    inside = np.asarray(figure.canvas.buffer_rgba())[15:85, 40:170, 0]
    assert inside.min() < 250
    plt.close(figure)


@pytest.mark.parametrize(
    "pitches, expected",
    (
        ((36, 84), ["C2", "C3", "C4", "C5", "C6"]),
        ((60, 76), ["C4", "E4", "G4", "C5", "E5"]),
        ((59, 62), ["A3", "B3", "C4", "D4", "E4"]),
    ),
)
def test_a_narrow_pitch_range_has_more_labels(axes, pitches, expected):
    plots.plot_piano_roll(axes, roll_of(3, *((1, pitch) for pitch in pitches)), 0.3)
    assert names(axes.yaxis) == expected
    for place, name in zip(axes.get_yticks(), names(axes.yaxis)):
        assert "C D EF G A B"[int(place) % 12] == name[0] and place // 12 - 1 == int(name[1:])


def test_another_lowest_pitch(axes):
    plots.plot_piano_roll(axes, np.eye(12), 1, lowest_pitch=60)
    assert axes.images[0].get_extent() == [0, 12, 59.5, 71.5]
    assert "C4" in names(axes.yaxis)


def bar_numbers(axes):
    """Return the number of each labelled bar by its second."""
    places = zip(axes.get_xticks().tolist(), names(axes.xaxis))
    return {place: int(name) for place, name in places if name}


def test_bars_are_numbered_from_the_first_row(axes):
    start, roll = roll_of(8, (0, 60)), roll_of(20, (3, 60))
    plots.plot_piano_roll(axes, roll, start=start, beats=Beats(1, 120))
    assert axes.get_xlabel() == "bar" and axes.get_xlim() == (-4, 10)
    assert bar_numbers(axes) == {-4: 1, -2: 2, 0: 3, 2: 4, 4: 5, 6: 6, 8: 7}
    beats = [second for second in np.arange(-4, 10, 0.5) if second % 2]
    np.testing.assert_array_equal(axes.get_xticks(minor=True), beats)
    assert all(line.get_visible() for line in axes.get_xgridlines())
    (top,) = axes.child_axes
    axes.figure.canvas.draw()
    assert top.get_xlabel() == "seconds" and top.get_xlim() == (-4, 10)


def test_an_upbeat_is_bar_0(axes):
    beats = Beats(1, 60, (3, 4), first_step=1)
    plots.plot_piano_roll(axes, roll_of(9), 1, start=roll_of(6), beats=beats)
    assert bar_numbers(axes) == {-4: 1, -1: 2, 2: 3, 5: 4, 8: 5}
    axes.clear()
    plots.plot_piano_roll(axes, roll_of(12), beats=Beats(2, 30, (6, 8), first_step=2))
    assert bar_numbers(axes) == {4: 1, 10: 2}
    np.testing.assert_array_equal(axes.get_xticks(minor=True), [1, 7])


@pytest.mark.parametrize(
    "meter, every",
    (((4, 4), 1), ((3, 4), 1), ((6, 8), 1.5), ((3, 8), 0.5), ((2, 2), 2), ((12, 8), 1.5)),
)
def test_beats_are_those_that_musicians_count(axes, meter, every):
    plots.plot_probabilities(axes, roll_of(48), beats=Beats(2, 30, meter))
    bar = 4 * meter[0] / meter[1]  # quarter notes
    np.testing.assert_allclose(axes.get_xticks(), np.arange(0, 24, bar) * 2)
    beats = set(np.arange(0, 24, every) * 2) - set(axes.get_xticks())
    np.testing.assert_allclose(axes.get_xticks(minor=True), sorted(beats))
    assert len(axes.child_axes) == 1  # the colour bar


def test_a_bar_need_not_be_a_whole_number_of_steps(axes):
    plots.plot_piano_roll(axes, roll_of(6), beats=Beats(1, 60, (3, 8), first_step=1))
    assert bar_numbers(axes) == {0.5: 1, 2: 2, 3.5: 3, 5: 4}


def test_only_some_of_many_bars_are_numbered(axes):
    plots.plot_piano_roll(axes, roll_of(160), beats=Beats(1, 240))
    assert bar_numbers(axes) == {bar - 1: bar for bar in range(1, 41, 4)}
    np.testing.assert_array_equal(axes.get_xticks(), np.arange(40))
    axes.clear()
    plots.plot_piano_roll(axes, roll_of(2000), beats=Beats(1, 240))
    assert bar_numbers(axes) == {bar - 1: bar for bar in range(1, 501, 64)}
    assert len(axes.get_xticks()) == 8 and not len(axes.get_xticks(minor=True))


def test_a_line_is_drawn_below_each_c(axes):
    plots.plot_piano_roll(axes, roll_of(3, (1, 50), (1, 74)), 0.3)
    np.testing.assert_array_equal(axes.get_yticks(minor=True), [47.5, 59.5, 71.5])


def test_probabilities_have_a_colour_bar_that_takes_no_room(axes):
    before = axes.get_position().bounds
    assert plots.plot_probabilities(axes, np.zeros((10, 88)), 0.3) is axes
    axes.figure.canvas.draw()
    assert axes.get_position().bounds == before
    ramp = cielab(axes.images[0].get_cmap()(np.linspace(0, 1, 129))[:, :3])
    assert ramp[0, 0] == pytest.approx(100, abs=0.1) and ramp[-1, 0] < 30
    assert (np.diff(ramp[:, 0]) < 0).all()  # ever darker, and evenly so, in colour too
    for steps in (np.diff(ramp[::8, 0]), np.linalg.norm(np.diff(ramp[::8], axis=0), axis=1)):
        assert abs(steps).max() < 1.15 * abs(steps).min()
    assert axes.images[0].get_clim() == (0, 1)
    (bar,) = axes.child_axes
    assert bar.get_ylabel() == "probability"


def test_probabilities_in_the_colours_of_2015(axes):
    plots.plot_probabilities(axes, np.zeros((10, 88)), colours="gist_stern_r")
    assert axes.images[0].get_cmap().name == "gist_stern_r"


def test_sampled_notes_are_outlined(axes):
    roll = roll_of(10, (2, 60), (3, 60), (4, 60), (4, 67), (6, 60))
    plots.plot_probabilities(axes, 0.5 * roll, 0.5, start=roll[:3], roll=roll)
    assert set(boxes(axes)) == {(1, 59.5, 2.5, 60.5), (2, 66.5, 2.5, 67.5), (3, 59.5, 3.5, 60.5)}


def test_struck_notes_have_heads(axes):
    roll, struck = (roll_of(6, *((step, 60) for step in steps)) for steps in ((0, 1, 2, 4), (2,)))
    start = roll_of(2, (0, 64), (1, 60))  # C4 is held over the end of the start
    whole = {"roll": np.hstack([roll, struck]), "start": np.hstack([start, 0 * start])}
    plots.plot_piano_roll(axes, time_step=0.5, **whole, onsets=True)
    heads = boxes(axes)
    assert [(left, low + 0.5) for left, low, _, _ in heads] == [
        (-1, 64), (-0.5, 60), (1, 60), (2, 60),
    ]  # fmt: skip
    assert all(0.1 <= right - left <= 0.25 for left, _, right, _ in heads)  # at most half a step
    colours = axes.collections[0].get_facecolors()
    of_notes = [image.get_cmap()(1.0) for image in axes.images]
    for heads, notes in zip((colours[:2], colours[2:]), of_notes):
        assert (heads == heads[0]).all() and (heads[0, :3] < np.array(notes)[:3]).all()
    held = axes.images[1].get_array()
    assert ((held > 0) == (roll.T > 0)).all() and held.shape == (88, 6) and held.max() < 0.8


def test_probabilities_of_a_roll_with_onsets(panels):
    roll, struck = roll_of(4, (1, 60), (2, 60)), roll_of(4, (2, 60))
    whole = np.hstack([roll, struck])
    plots.plot_probabilities(panels[0], 0.5 * whole, 1, roll=whole, onsets=True)
    assert boxes(panels[0]) == [(1, 59.5, 2, 60.5), (2, 59.5, 3, 60.5)]
    np.testing.assert_array_equal(panels[0].images[0].get_array(), 0.5 * roll.T)
    for panel in panels:
        panel.clear()
    plots.plot_composition(panels, whole, 0.5 * whole, 1, onsets=True)
    assert len(boxes(panels[0])) == 2
    with pytest.raises(ValueError, match="an even width"):
        plots.plot_piano_roll(panels[0], whole[:, 1:], 1, onsets=True)


@pytest.mark.parametrize("shared", (True, False))
@pytest.mark.parametrize("layout", (None, "constrained", "tight"))
def test_roll_and_probabilities_are_aligned(layout, shared):
    figure, panels = plt.subplots(2, sharex=shared, layout=layout)
    roll = roll_of(10, (2, 60), (3, 72))
    probabilities = 0.5 * roll + 0.3 * roll_of(10, (9, 40))
    start = roll_of(4, (1, 90))
    assert plots.plot_composition(panels, roll, probabilities, 0.5, LOWEST, start) is panels
    figure.canvas.draw()
    upper, lower = panels
    for one, other in zip(upper.get_position().intervalx, lower.get_position().intervalx):
        assert one == pytest.approx(other, abs=1e-12)
    assert upper.get_xlim() == lower.get_xlim() == (-2, 5)
    assert upper.get_ylim() == lower.get_ylim()
    assert upper.get_ylim()[0] < 40 and 90 < upper.get_ylim()[1]
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("", "seconds")
    assert not any(label.get_visible() for label in upper.get_xticklabels())
    assert any(label.get_visible() for label in lower.get_xticklabels())
    np.testing.assert_array_equal(lower.images[-1].get_array(), probabilities.T)
    np.testing.assert_array_equal(upper.images[-1].get_array(), roll.T)
    plt.close(figure)


def boxes(axes):
    (collection,) = axes.collections
    return corners(collection)


def corners(collection):
    corners = [path.vertices for path in collection.get_paths()]
    return [(*c.min(axis=0).tolist(), *c.max(axis=0).tolist()) for c in corners]


def test_notes_are_drawn_at_their_own_times_without_a_grid(axes):
    notes = [(60, 0.125, 0.225), (60, 0.25, 0.2500001), (64, 0.3, 7.5), (60, 1, 1)]
    assert plots.plot_notes(axes, notes) is axes
    shortest = 7.5 / 1000  # so that it is visible
    whole, heads = map(corners, axes.collections)
    assert whole == [
        (start, p - 0.5, max(end, start + shortest), p + 0.5) for p, start, end in notes
    ]
    lengths = [0.3 * 0.1, shortest, 7.5 / 200, shortest]
    assert heads == [
        (start, p - 0.5, pytest.approx(start + length), p + 0.5)
        for (p, start, _), length in zip(notes, lengths)
    ]
    colours = [each.get_facecolor()[0, :3] for each in axes.collections]
    assert (colours[1] < colours[0]).all()  # darker
    assert axes.get_xlim() == (0, 7.5) and axes.get_ylim() == (57, 67)
    assert axes.get_xlabel() == "seconds" and "C4" in names(axes.yaxis)


def test_the_bars_of_notes_are_numbered(axes):
    """As where the tempo falls."""
    plots.plot_notes(axes, [(60, 0, 1), (64, 1, 7)], bars=[0.5, 1.5, 3.5, 7])
    assert bar_numbers(axes) == {0.5: 1, 1.5: 2, 3.5: 3}
    assert axes.get_xlim() == (0, 7) and axes.get_xlabel() == "bar"
    assert axes.child_axes[0].get_xlabel() == "seconds"


@pytest.mark.parametrize(
    "notes, message",
    (
        ([], r"at least one note, but has shape \(0,\)"),
        ([(60, 1)], r"shape \(1, 2\)"),
        ([(60, 1, 0.5)], "start <= end"),
        ([(60, np.nan, 2)], "finite"),
        ([(60, -1, 2)], "0 <= start"),
        ([(128, 0, 1)], "pitch of a note must be .* at most 127, but is 128"),
    ),
)
def test_invalid_notes_are_rejected(axes, notes, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_notes(axes, notes)


@pytest.mark.parametrize(
    "call, message",
    (
        (lambda axes, roll: plots.plot_piano_roll(axes, roll[0], 0.3), r"non-empty axes.*\(88,\)"),
        (lambda axes, roll: plots.plot_piano_roll(axes, roll[:0], 0.3), r"\(0, 88\)"),
        (lambda axes, roll: plots.plot_piano_roll(axes, roll * np.nan, 0.3), "roll holds NaN"),
        (lambda axes, roll: plots.plot_piano_roll(axes, 90 * roll, 0.3), r"take \(roll > 0\)"),
        (
            lambda axes, roll: plots.plot_piano_roll(axes, roll, 0),
            "time_step=0 must be a finite",
        ),
        (
            lambda axes, roll: plots.plot_piano_roll(axes, roll, 1, start=roll[:, 1:]),
            "start must",
        ),
        (
            lambda axes, roll: plots.plot_piano_roll(axes, roll, 1, beats=Beats(4)),
            "time_step=1, but a step of the beats lasts 0.125 s",
        ),
        (
            lambda axes, roll: plots.plot_probabilities(axes, roll, 1, roll=roll[1:]),
            "roll must",
        ),
    ),
)
def test_invalid_rolls_are_rejected(axes, call, message):
    with pytest.raises(ValueError, match=message):
        call(axes, roll_of(4, (1, 60)))


def test_roll_and_probabilities_of_different_lengths_are_rejected(panels):
    with pytest.raises(ValueError, match=r"probabilities must have the shape \(4, 88\)"):
        plots.plot_composition(panels, roll_of(4), roll_of(5), 0.3)


# ---- training


def test_learning_curve_marks_the_best_epoch_and_the_baseline(axes):
    assert plots.plot_learning_curve(axes, [3, None, 1, 2], 2.5, color="green") is axes
    curve, best, baseline = axes.lines
    np.testing.assert_array_equal(curve.get_xydata(), [[1, 3], [2, np.nan], [3, 1], [4, 2]])
    assert best.get_xydata().tolist() == [[3, 1]]
    assert set(baseline.get_ydata()) == {2.5} and baseline.get_linestyle() == "--"
    assert [text.get_text() for text in axes.texts] == ["each pitch's Markov chain"]


def test_the_ticks_of_a_learning_curve_are_whole_epochs(axes):
    plots.plot_learning_curve(axes, [3, 1])
    assert {1, 2} <= {*axes.get_xticks()} and not any(axes.get_xticks() % 1)


def a_history(**changes):
    values = {
        "cost": [900.0, 60, 40, 40, 30, 10],
        "validation": [4.0, 3.0, 3.5],
        "rate_factor": [1.0, 1.0, 0.5],
        "baseline": 5.0,
        "epochs": 3,
    }
    return History(**{**values, **changes})


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_history_has_cost_and_validation_in_the_same_unit(axes):
    assert plots.plot_history(axes, a_history(), steps=10) is axes
    assert axes.get_ylabel() == "nats per step"
    validation, best, baseline, cost, means, lowered = axes.lines
    assert list(validation.get_ydata()) == [4, 3, 3.5] and best.get_xydata().tolist() == [[2, 3]]
    assert list(cost.get_xydata()[3]) == [2, 4]  # the fourth of six updates in three epochs
    assert means.get_xydata().tolist() == [[0.5, 48], [1.5, 4], [2.5, 2]]
    assert set(lowered.get_xdata()) == {2}  # the third epoch had the lower rates
    assert legend(axes) == ["validation", "training", "rates lowered"]


def test_the_legend_says_that_training_is_disturbed(axes):
    plots.plot_history(axes, a_history(), steps=10, disturbed=True)
    assert legend(axes)[1] == "training, with dropout or noise"


def test_the_first_epochs_do_not_determine_the_scale(axes):
    history = a_history(validation=[80.0, 9, 4, 3], cost=[900.0] * 4 + [40.0] * 12, epochs=4)
    plots.plot_history(axes, history, steps=10)
    assert 5 < axes.get_ylim()[1] < 6  # a little above the baseline
    axes.clear()
    history.validation[3] = 70.0  # overfitting
    plots.plot_history(axes, history, steps=10)
    assert axes.get_ylim()[1] > 70


def test_history_without_the_unit_of_the_cost_shows_the_validation_alone(axes):
    plots.plot_history(axes, a_history(rate_factor=[1.0] * 3))
    assert legend(axes) == ["validation"]
    assert axes.get_ylabel() == "nats per step" and axes.get_ylim()[1] < 6


def test_history_without_validation_shows_the_cost(axes):
    history = a_history(validation=[None] * 3, rate_factor=[1.0, 0.5, 0.25])
    plots.plot_history(axes, history)
    assert legend(axes) == ["training", "rates lowered"]
    assert axes.get_ylabel() == "nats per tune and window"
    assert not axes.texts  # no baseline, which is in nats per step


def test_history_of_a_training_interrupted_in_its_first_epoch(axes):
    plots.plot_history(axes, History(cost=[7.0, 3.0], baseline=5.0))
    cost, mean = axes.lines  # no baseline, which is in nats per step
    assert cost.get_xydata().tolist() == [[0.5, 7], [1, 3]]
    assert mean.get_xydata().tolist() == [[0.5, 5]]
    low, high = axes.get_ylim()
    assert low < 5 < high
    with pytest.raises(ValueError, match="no updates; train first"):
        plots.plot_history(axes, History())


# ---- inside the network


@pytest.fixture
def activations():
    """Return activations of four units; 0 and 3 are similar, and so are 1 and 2."""
    wave = np.sin(np.arange(12.0))
    cell = np.stack([wave, -2 * wave, -2.1 * wave, 1.1 * wave], axis=1)
    gate = np.tile([0.1, 0.2, 0.3, 0.4], (12, 1))
    return {"cell": cell, "forget": gate, "hidden": gate * np.tanh(cell)}


def test_activations_are_drawn_with_similar_units_side_by_side(axes, activations):
    order = plots.similar_units(activations)
    assert {*order[:2].tolist()} in ({0, 3}, {1, 2}) and sorted(order) == [0, 1, 2, 3]
    assert plots.plot_activations(axes, activations, time_step=0.5, n_given=4) is axes
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array(), np.tanh(activations["cell"]).T[order])
    assert image.get_extent() == [-2, 4, 0, 4] and axes.get_xlim() == (-2, 4)
    assert image.get_clim() == (-1, 1)


def test_similar_units_are_ordered_within_clusters():
    """The clustering alone does not determine which end of a cluster comes first."""
    places = np.array([0.5, 0.1, 0.32, 0.0, 0.71, 0.4])
    order = plots.similar_units({"cell": np.tile(np.arctanh(places), (3, 1))})
    assert sorted(places) in (list(places[order]), list(places[order])[::-1])


def test_gates_are_drawn_in_the_order_of_the_cells_or_a_given_order(axes, activations):
    plots.plot_activations(axes, activations, "forget")
    plots.plot_activations(axes, activations, "hidden", order=[3, 2, 1, 0])
    gate, hidden = axes.images
    assert gate.get_clim() == (0, 1) and hidden.get_clim() == (-1, 1)
    expected = [(k + 1) / 10 for k in plots.similar_units(activations)]
    assert gate.get_array()[:, 0].tolist() == pytest.approx(expected)
    np.testing.assert_array_equal(hidden.get_array()[0], activations["hidden"][:, 3])


def test_only_the_lowest_plot_of_a_stack_labels_the_time_axis(panels, activations):
    plots.plot_piano_roll(panels[0], roll_of(12, (1, 60)), beats=Beats(1, 200))
    plots.plot_activations(panels[1], activations, "forget", beats=Beats(1, 200))
    assert [axes.get_xlabel() for axes in panels] == ["", "bar"]
    assert names(panels[1].xaxis) == ["1", "2", "3"]
    panels[0].figure.canvas.draw()
    widths = [axes.get_position().intervalx for axes in panels]
    np.testing.assert_allclose(widths[0], widths[1], atol=1e-12)


def test_activations_of_one_unit(axes):
    cell = np.array([[-2.0], [0], [0.5], [1], [3]])
    plots.plot_activations(axes, {"cell": cell})
    np.testing.assert_array_equal(axes.images[0].get_array(), np.tanh(cell.T))
    assert axes.get_ylabel() == "1 unit"


def test_invalid_activations_are_rejected(axes, activations):
    with pytest.raises(ValueError, match="what must be one of 'cell', 'forget', 'hidden'"):
        plots.plot_activations(axes, activations, "gate")
    activations["cell"][3, 1] = np.nan
    with pytest.raises(ValueError, match="cell holds NaN"):
        plots.plot_activations(axes, activations)


def test_occlusion_colours_the_earlier_notes(axes):
    roll = roll_of(6, (0, 60), (1, 64), (4, 67))
    effects = np.zeros_like(roll)
    effects[1, 64 - LOWEST] = -2
    result = plots.plot_occlusion(axes, roll, effects, 3, 62 - LOWEST, 0.5)
    assert result is axes and axes.get_xlim() == (0, 2)
    (image,) = axes.images
    assert image.get_extent()[:2] == [0, 1.5] and image.get_clim() == (-2, 2)
    shown = image.get_array()
    assert shown.count() == 2  # notes only, not silence
    assert shown[60 - LOWEST, 0] == 0 and shown[64 - LOWEST, 1] == -2
    (frame,) = axes.collections
    assert frame.get_paths()[0].get_extents().bounds == (1.5, 61.5, 0.5, 1)
    with pytest.raises(ValueError, match="step must be at most 6 for this roll, but is 7"):
        plots.plot_occlusion(axes, roll, effects, 7, 0, 0.5)


def test_chord_effects_are_drawn_with_the_added_note_upwards(axes):
    effects = np.full((13, 13), np.nan)
    effects[4, 7], effects[0, 12] = 1.5, -0.5
    assert plots.plot_chord_effects(axes, effects) is axes
    (image,) = axes.images
    drawn = image.get_array()
    assert drawn[4, 7] == 1.5 and drawn[0, 12] == -0.5 and drawn.count() == 2
    assert image.get_clim() == (-1.5, 1.5) and image.get_extent() == [-0.5, 12.5, -0.5, 12.5]
    assert list(axes.get_xticks()) == list(axes.get_yticks()) == [0, 3, 4, 7, 12]
    with pytest.raises(ValueError, match="as chord_effects returns them"):
        plots.plot_chord_effects(axes, np.full((3, 3), np.nan))
