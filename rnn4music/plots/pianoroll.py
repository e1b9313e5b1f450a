"""Pictures of tunes, of training and of the network, on a Matplotlib Axes that the caller made.

>>> figure, axes = plt.subplots(layout="constrained")           # doctest: +SKIP
>>> plot_piano_roll(axes, tune, 0.3, start=start)               # doctest: +SKIP
>>> figure.savefig("tune.pdf", dpi=300)                         # doctest: +SKIP

Conventions
-----------
A function draws on `axes` and returns it; sizes, fonts and titles are the caller's. Time runs to
the right and pitch upwards; row t of an array fills the time from t to t + 1 steps. Colour bars
stand beside the Axes without taking room from it, so that pictures one above the other have the
same time axis.
"""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from rnn4music._utils import checks
from rnn4music.plots._axes import (
    checked_roll,
    colour_bar,
    fit_pitches,
    image,
    outline,
    pitch_axis,
    time_axis,
)
from rnn4music.plots.network import plot_activity, plot_influence, plot_weights, similar_units

__all__ = [
    "plot_activity",
    "plot_composition",
    "plot_history",
    "plot_influence",
    "plot_learning_curve",
    "plot_piano_roll",
    "plot_probabilities",
    "plot_weights",
    "similar_units",
]

_GIVEN = LinearSegmentedColormap.from_list("given", ["#e8f0f8", "#1f77b4"])


def plot_piano_roll(axes, roll, time_step, lowest_pitch=21, start=None, *, steps_per_bar=None):
    """Draw a piano roll, black where a note sounds.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    roll : (T, P)
        What was composed, or any other roll.
    time_step : float
        Seconds that a row lasts.
    lowest_pitch : int
        MIDI pitch of column 0.
    start : (S, P), optional
        What came before `roll`: drawn before second 0, and set off by colour and a line.
    steps_per_bar : int, optional
        Number the bars instead of the seconds. They are counted from the first row of all;
        bar 1 is the first that begins in `roll`.

    Returns
    -------
    matplotlib.axes.Axes
    """
    roll = checked_roll("roll", roll)
    _draw_tune(axes, roll, "gray_r", time_step, lowest_pitch, start, steps_per_bar)
    return axes


def plot_probabilities(
    axes, probabilities, time_step, lowest_pitch=21, start=None, *, roll=None, steps_per_bar=None
):
    """Draw the probability of each note, with a colour bar.

    Parameters
    ----------
    axes, time_step, lowest_pitch, start, steps_per_bar
        As for `plot_piano_roll`.
    probabilities : (T, P)
    roll : (T, P), optional
        The notes that were sampled: drawn as outlines, for which a step needs some room.

    Returns
    -------
    matplotlib.axes.Axes
    """
    probabilities = checked_roll("probabilities", probabilities)
    if roll is not None:
        roll = checked_roll("roll", roll, probabilities.shape)
    drawn = _draw_tune(
        axes, probabilities, "gist_stern_r", time_step, lowest_pitch, start, steps_per_bar
    )
    colour_bar(axes, drawn, "probability")
    if roll is not None:
        outline(axes, roll, time_step, lowest_pitch)
    return axes


def plot_composition(
    axes, roll, probabilities, time_step, lowest_pitch=21, start=None, *, steps_per_bar=None
):
    """Draw what was composed, and below it the probabilities, on the same time and pitch axes.

    Parameters
    ----------
    axes : pair of matplotlib.axes.Axes
        One above the other, as ``figure.subplots(2, sharex=True)`` returns them.
    roll, probabilities : (T, P)
        As `genMusic` returned them.
    time_step, lowest_pitch, start, steps_per_bar
        As for `plot_piano_roll`.

    Returns
    -------
    pair of matplotlib.axes.Axes
    """
    upper, lower = axes
    probabilities = checked_roll("probabilities", probabilities, np.shape(roll))
    plot_piano_roll(upper, roll, time_step, lowest_pitch, start, steps_per_bar=steps_per_bar)
    plot_probabilities(
        lower, probabilities, time_step, lowest_pitch, start, steps_per_bar=steps_per_bar
    )
    limits = np.array([upper.get_ylim(), lower.get_ylim()])
    for each in (upper, lower):
        pitch_axis(each, limits.min(), limits.max())
    upper.set_xlabel("")
    upper.tick_params(labelbottom=False)
    return axes


def plot_learning_curve(axes, validation, floor=None, **line):
    """Draw the validation over the epochs, with a mark at the best.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    validation : list of float or None
        Nats per step after each epoch, such as ``history.validation``.
    floor : float, optional
        ``history.floor``, what each key's own Markov chain scores: a dashed line that says so.
    **line
        Passed to ``axes.plot``: colour, label, …

    Returns
    -------
    matplotlib.axes.Axes
    """
    nats = np.array([np.nan if value is None else value for value in validation], float)
    epochs = np.arange(1, len(nats) + 1)
    (curve,) = axes.plot(epochs, nats, **line)
    if np.isfinite(nats).any():
        best = int(np.nanargmin(nats))
        axes.plot(epochs[best], nats[best], "o", color=curve.get_color(), markersize=4)
    if floor is not None:
        axes.axhline(floor, color="0.4", linestyle="--", linewidth=1)
        axes.annotate(
            "each key's Markov chain",
            (1, floor),
            (-3, 2),
            axes.get_yaxis_transform(),
            "offset points",
            ha="right",
            color="0.4",
            fontsize="small",
        )
    axes.set(xlabel="epoch", ylabel="nats per step")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    return axes


def plot_history(axes, history, steps=None):
    """Draw how training went: the cost, the validation, and where the rates were lowered.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    history : training.History
        Of one training or several; the epochs are taken to have the same number of updates.
    steps : float, optional
        Predictions in a window, lengthOfMB − 1: what the cost is divided by to be compared with
        the validation. (Of windows that are filled up it makes too little.) Without it the cost
        is drawn only where there is no validation, in nats per tune and window.

    Returns
    -------
    matplotlib.axes.Axes

    Notes
    -----
    The cost is that of each update, thin, and its mean over each epoch, in the epoch's middle:
    it is taken while the weights still change, the validation at the epoch's end. The highest
    costs, those of the first updates, lie outside the picture.
    """
    if not history.cost:
        raise ValueError("the history has no updates; train first")
    n_epochs = max(history.epochs, 1)
    in_view = [nats for nats in history.validation if nats is not None]
    floor = history.floor if in_view else None
    if in_view:
        plot_learning_curve(axes, history.validation, floor, label="validation")
        in_view += [] if floor is None else [floor]
    if steps is not None or not in_view:
        unit = "nats per tune and window" if steps is None else "nats per step"
        axes.set(xlabel="epoch", ylabel=unit)
        cost = np.array(history.cost)
        cost /= 1 if steps is None else checks.number("steps", steps, above=0)
        means = [part.mean() for part in np.array_split(cost, n_epochs)]
        epochs = np.arange(1, len(cost) + 1) * n_epochs / len(cost)
        axes.plot(epochs, cost, color="C1", linewidth=0.4, alpha=0.4, zorder=1)
        axes.plot(np.arange(n_epochs) + 0.5, means, color="C1", label="training")
        in_view += [*means, *np.quantile(cost, (0.01, 0.9))]
    for number, epoch in enumerate(1 + np.flatnonzero(np.diff(history.rate_factor) < 0)):
        label = "_" if number else "rates lowered"
        axes.axvline(epoch, color="0.6", linestyle=":", linewidth=1, label=label, zorder=0)
    low, high = min(in_view), max(in_view)
    margin = 0.1 * (high - low) or 1
    axes.set(xlim=(0, 1.02 * n_epochs), ylim=(low - margin, high + margin))
    top = floor if floor is not None and floor > (low + high) / 2 else high + margin
    axes.legend(  # below the floor, whose name stands above it
        loc="upper right",
        bbox_to_anchor=(1, top),
        bbox_transform=axes.get_yaxis_transform(),
        edgecolor="none",
        fontsize="small",
    )
    return axes


def _draw_tune(axes, rows, colours, time_step, lowest_pitch, start, steps_per_bar):
    """Draw rolls or probabilities, after their start; return the image of the rows."""
    time_step = checks.number("time_step", time_step, above=0)
    bottom = checks.integer("lowest_pitch", lowest_pitch, low=0) - 0.5
    drawn, n_given = [rows], 0
    if start is not None:
        given = checks.piano_roll("start", start, rows.shape[1])
        drawn, n_given = [given, rows], len(given)
        image(axes, np.asarray(given, float), -n_given * time_step, 0, bottom, _GIVEN)
        axes.axvline(0, color="tab:blue", linewidth=1)
    result = image(axes, rows, 0, len(rows) * time_step, bottom, colours)
    time_axis(axes, -n_given, len(rows), time_step, steps_per_bar)
    fit_pitches(axes, drawn, lowest_pitch)
    return result
