"""Plots of a network: activations, occlusion, chords.

Conventions
-----------
As in `plots.pianoroll`. The colour scale of a signed quantity is symmetric about 0.
"""

import numpy as np

from midi.text import count
from rnn4music._utils import checks
from rnn4music.data import pianoroll
from rnn4music.evaluation.occlusion import validate_position
from rnn4music.plots import _axes


def plot_activations(
    axes, activations, what="cell", time_step=None, *, n_given=0, beats=None, order=None
):
    """Draw a quantity of each unit of a layer at each step of a tune, with a colour bar.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    activations : dict of str to (T, H)
        Activations of one layer, such as ``network.activations(roll)[0]`` of a `NumpyNetwork`.
    what : {"cell", "input", "forget", "candidate", "output", "hidden"}
        Quantity to draw. The cell state is drawn as its tanh, as the output gate receives it.
    time_step, beats
        As for `plot_piano_roll`.
    n_given : int
        Number of rows before second 0, such as the rows of a start.
    order : (H,) int, optional
        The unit in each row, from the bottom; default ``similar_units(activations)``.

    Returns
    -------
    matplotlib.axes.Axes
    """
    checks.choice("what", what, activations)
    values = _axes.validate_matrix(what, activations[what])
    values = values[:, similar_units(activations) if order is None else order]
    first, end = -n_given, len(values) - n_given
    time_step = pianoroll.step_seconds(time_step, beats)
    if what in ("input", "forget", "output"):
        label, colours, low = f"{what} gate", "viridis", 0
    else:
        names = {"cell": "tanh c", "hidden": "hidden state"}
        label, colours, low = names.get(what, what), "RdBu_r", -1
    values = np.tanh(values) if what == "cell" else values
    span = first * time_step, end * time_step
    _axes.draw(axes, values, *span, 0, colours, low, label=label)
    _axes.time_axis(axes, first, end, time_step, beats)
    axes.set(ylabel=count(values.shape[1], "unit"), yticks=[])
    return axes


def similar_units(activations):
    """Order the units of a layer so that neighbours have similar cell states.

    Parameters
    ----------
    activations : dict of str to (T, H)
        Activations of one layer.

    Returns
    -------
    (H,) int
        Leaves of a hierarchical clustering (average linkage, Euclidean distance between the
        tanh c of all steps), in the order that minimises the distance between neighbours.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    cells = np.tanh(_axes.validate_matrix("cell", activations["cell"])).T
    if len(cells) == 1:
        return np.zeros(1, int)
    return leaves_list(linkage(cells, "average", optimal_ordering=True))


def plot_occlusion(
    axes, roll, effects, step, column, time_step=None, lowest_pitch=21, *, beats=None
):
    """Draw the effect of each earlier note on the prediction of one note.

    Parameters
    ----------
    axes, time_step, lowest_pitch, beats
        As for `plot_piano_roll`.
    roll, step, column
        As for `evaluation.occlusion_effects`. The predicted note is outlined.
    effects : (T, P)
        Result of `evaluation.occlusion_effects`. Red notes make the predicted note likelier, blue
        notes make it less likely, and grey notes have no effect.

    Returns
    -------
    matplotlib.axes.Axes
    """
    roll = _axes.validate_roll("roll", roll)
    effects = _axes.validate_matrix("effects", effects, roll.shape)
    step, column = validate_position(roll, step, column)
    time_step = pianoroll.step_seconds(time_step, beats)
    limit = np.abs(effects).max() or 1
    earlier = np.ma.masked_where(roll[:step] == 0, effects[:step])
    where = 0, step * time_step, lowest_pitch - 0.5
    _axes.draw(axes, earlier, *where, "coolwarm", -limit, limit, label="effect (nats)")
    predicted = np.zeros((step + 1, roll.shape[1]))
    predicted[step, column] = 1
    _axes.outline(axes, predicted, time_step, lowest_pitch)
    _axes.time_axis(axes, 0, step + 1, time_step, beats)
    _axes.fit_pitches(axes, [roll[:step], predicted], lowest_pitch)
    return axes


def plot_chord_effects(axes, effects):
    """Draw which notes make which others of the same chord likelier.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    effects : (N, N)
        Result of `evaluation.chord_effects`. Red: with the note of the row, the note of the column
        is likelier; blue: less likely. Both are counted in semitones above the lowest note.

    Returns
    -------
    matplotlib.axes.Axes
    """
    effects = np.ma.masked_invalid(np.asarray(effects, float))
    if effects.ndim != 2 or effects.shape[0] != effects.shape[1] or not effects.count():
        raise ValueError(f"effects must be as chord_effects returns them, not {effects.shape}")
    limit = np.abs(effects).max() or 1
    n = len(effects)
    _axes.draw(axes, effects.T, -0.5, n - 0.5, -0.5, "RdBu_r", -limit, limit, label="effect (nats)")
    ticks = [k for k in range(n) if k % 12 in (0, 3, 4, 7)]  # octaves, thirds, fifths
    axes.set(xticks=ticks, yticks=ticks)
    axes.set(xlabel="this note (semitones above the lowest)", ylabel="with this note")
    return axes
