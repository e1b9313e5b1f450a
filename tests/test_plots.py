"""What the pictures show, read back from the Axes."""

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from rnn4music.plots import plot_piano_roll, plot_probabilities  # noqa: E402


def test_piano_roll_with_its_start():
    figure, axes = plt.subplots()
    start, roll = np.zeros((4, 88)), np.zeros((10, 88))
    start[0, 30], roll[9, 50] = 1, 1
    assert plot_piano_roll(axes, roll, 0.5, start=start) is axes
    assert axes.get_xlim() == (-2, 5)
    given, composed = axes.images
    assert given.get_extent() == [-2, 0, 20.5, 108.5]
    assert composed.get_extent() == [0, 5, 20.5, 108.5]
    np.testing.assert_array_equal(composed.get_array(), roll.T)
    low, high = axes.get_ylim()
    assert low < 21 + 30 and 21 + 50 < high
    assert [label.get_text() for label in axes.get_yticklabels()] == ["C4", "C5"]
    plt.close(figure)


def test_probabilities_have_a_colour_bar_and_silence_can_be_drawn():
    figure, axes = plt.subplots()
    assert plot_probabilities(axes, np.zeros((10, 88)), 0.3) is axes
    assert len(figure.axes) == 2 and axes.images[0].get_cmap().name == "gist_stern_r"
    figure.canvas.draw()
    plt.close(figure)
