"""Learning curves."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from rnn4music._utils import checks


def plot_learning_curve(axes, validation, baseline=None, **line):
    """Draw the validation score after each epoch, and mark the best.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    validation : list of float or None
        Nats per step after each epoch, as in ``history.validation``.
    baseline : float, optional
        Score of each pitch's Markov chain (``history.baseline``), drawn as a dashed, labelled line.
    **line
        Passed to ``axes.plot``, such as ``color`` and ``label``.

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
    if baseline is not None:
        axes.axhline(baseline, color="0.4", linestyle="--", linewidth=1)
        label, place = "each pitch's Markov chain", ((1, baseline), (-3, 2))
        units = axes.get_yaxis_transform(), "offset points"
        axes.annotate(label, *place, *units, ha="right", color="0.4", fontsize="small")
    axes.set(xlabel="epoch", ylabel="nats per step")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    return axes


def plot_history(axes, history, steps=None, disturbed=False):
    """Draw the cost and the validation of a training, and mark each lowering of the learning rates.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    history : training.History
        History of one or more trainings. All epochs are assumed to have the same number of updates.
    steps : float, optional
        Predictions in a window: its length − 1. The cost is divided by this number so that it
        can be compared with the validation (the result is too low for padded windows). If None,
        the cost is drawn only if there is no validation, in nats per tune and window.
    disturbed : bool
        Whether the network learned with dropout or weight noise, which the legend then says: they
        raise the cost, but not the validation.

    Returns
    -------
    matplotlib.axes.Axes

    Notes
    -----
    The thin line is the cost of each update. Its mean over an epoch is drawn at the middle of the
    epoch, because the weights change during it. The validation is drawn at the end of the epoch.
    The highest values, those of the first updates, are outside the axis limits.
    """
    if not history.cost:
        raise ValueError("the history has no updates; train first")
    n_epochs = max(history.epochs, 1)
    in_view = [nats for nats in history.validation if nats is not None]
    curves = [list(in_view)]
    baseline = history.baseline if in_view else None
    if in_view:
        plot_learning_curve(axes, history.validation, baseline, label="validation")
        in_view += [] if baseline is None else [baseline]
    if steps is not None or not in_view:
        axes.set(xlabel="epoch", ylabel="nats per " + ("step" if steps else "tune and window"))
        cost = np.array(history.cost)
        cost /= 1 if steps is None else checks.number("steps", steps, above=0)
        means = [epoch.mean() for epoch in np.array_split(cost, n_epochs)]
        epochs = np.arange(1, len(cost) + 1) * n_epochs / len(cost)
        axes.plot(epochs, cost, color="C1", linewidth=0.4, alpha=0.4, zorder=1)
        label = "training" + ", with dropout or noise" * disturbed
        axes.plot(np.arange(n_epochs) + 0.5, means, color="C1", label=label)
        curves.append(means)
        in_view += [*means, *np.quantile(cost, (0.01, 0.9))]
    for number, epoch in enumerate(1 + np.flatnonzero(np.diff(history.rate_factor) < 0)):
        label = "_" if number else "rates lowered"
        axes.axvline(epoch, color="0.6", linestyle=":", linewidth=1, label=label, zorder=0)
    low, high = min(in_view), max(in_view)
    if baseline is not None:  # the first epochs are often far above
        high = max(baseline, *(nats for curve in curves for nats in curve[len(curve) // 2 :]))
    margin = 0.1 * (high - low) or 1
    axes.set(xlim=(0, 1.02 * n_epochs), ylim=(low - margin, high + margin))
    top = baseline if baseline is not None and baseline > (low + high) / 2 else high + margin
    axes.legend(  # below the baseline, whose label is above it
        loc="upper right",
        bbox_to_anchor=(1, top),
        bbox_transform=axes.get_yaxis_transform(),
        edgecolor="none",
        fontsize="small",
    )
    return axes
