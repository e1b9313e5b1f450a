"""Plots of tunes on Matplotlib Axes.

>>> figure, axes = plt.subplots(layout="constrained")           # doctest: +SKIP
>>> plot_piano_roll(axes, tune, 0.3, start=start)               # doctest: +SKIP
>>> figure.savefig("tune.pdf", dpi=300)                         # doctest: +SKIP

Conventions
-----------
Each function draws on the caller's `axes` and returns it; sizes, fonts and titles are left to the
caller. Time runs to the right and pitch upwards. Row t of an array is drawn from step t to step
t + 1. A colour bar is drawn beside the Axes without shrinking it, so that the time axes of stacked
plots stay aligned.

With `onsets`, every roll has twice the columns: first the sounding ones, then the struck ones, as
`midi.onsets` describes. Notes are then paler, and begin with a dark head where they are struck.

Composed notes are blue and given ones brown, as on pages.
"""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb

from midi import canonical_onsets, split_onsets
from rnn4music._utils import checks
from rnn4music.data import pianoroll
from rnn4music.plots import _axes
from rnn4music.plots._axes import COMPOSED, GIVEN

_PROBABILITY = LinearSegmentedColormap.from_list(  # perceptually uniform; hues of page.html
    "probability",
    ["#ffffff", "#f1e2cd", "#e2c59d", "#d3a96f", "#c68a48", "#b56c40", "#9e513d", "#86363a",
     "#6d1a37"],
)  # fmt: skip
_HEAD = 0.3  # of a step, or of a note
_HEADS = np.array([1 / 1000, 1 / 200])  # the shortest and the longest, of the width of a picture
_HELD = 0.7  # strength of the colour that follows a head
_HEAD_COLOURS = {colour: tuple(0.5 * np.array(to_rgb(colour))) for colour in (COMPOSED, GIVEN)}


def plot_piano_roll(
    axes, roll, time_step=None, lowest_pitch=21, start=None, *, beats=None, onsets=False
):
    """Draw a piano roll in blue, after the start in brown, the colours of pages.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    roll : (T, P)
        Piano roll, such as a composed tune.
    time_step : float, optional
        Seconds per row. Default: that of `beats`, or 0.3.
    lowest_pitch : int
        MIDI pitch of column 0.
    start : (S, P), optional
        Steps before `roll`, drawn before second 0 and labelled "given".
    beats : midi.Beats, optional
        Draw bars and beats as lines, and number the bars, with seconds at the top. `first_step` is
        the place in its bar of the first row drawn, that of the start if there is one. Bar 1 is
        the first whole bar.
    onsets : bool
        Whether `roll` and `start` have their onset rolls beside them, (T, 2P) and (S, 2P).

    Returns
    -------
    matplotlib.axes.Axes
    """
    roll = _axes.validate_roll("roll", roll)
    _draw_tune(
        axes, roll, _from_white(COMPOSED), None, time_step, lowest_pitch, start, beats, onsets
    )
    if beats is not None:
        _axes.seconds_on_top(axes)
    return axes


def plot_notes(axes, notes, bars=None):
    """Draw notes at their own times, each as a box with a dark head.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    notes : sequence of (pitch, start, end)
        MIDI pitch and seconds of each note, such as ``midiread(path, (0, 128)).notes``.
    bars : sequence of float, optional
        Seconds at which bars 1, 2, … begin, such as ``midiread(path).bars``: number the bars, with
        seconds at the top.

    Returns
    -------
    matplotlib.axes.Axes

    Notes
    -----
    No note is lost or moved, unlike in a piano roll, whose steps hide notes shorter than a step. A
    box is at least a thousandth of the picture wide, so that a note of length 0 is visible. The
    heads show where a pitch is struck again.
    """
    table = pianoroll.numeric_array("notes", notes)
    if table.ndim != 2 or table.shape[1] != 3 or not len(table):
        raise ValueError(
            f"notes must be (pitch, start, end) of at least one note, but has shape {table.shape}"
        )
    pitch, start, end = table.astype(float).T
    if not (np.isfinite(table).all() and (end >= start).all() and 0 <= start.min()):
        raise ValueError("notes must have 0 <= start <= end, all finite")
    checks.number("the pitch of a note", pitch.min(), low=0)
    checks.number("the pitch of a note", pitch.max(), high=127)
    last = end.max() or 1
    shortest, longest = last * _HEADS
    held = _from_white(COMPOSED)(_HELD)
    _axes.boxes(axes, pitch, start, np.maximum(end, start + shortest), color=held, linewidths=0.4)
    heads = np.clip(_HEAD * (end - start), shortest, longest)
    _axes.boxes(axes, pitch, start, start + heads, color=_HEAD_COLOURS[COMPOSED], linewidths=0)
    axes.set_xlim(0, last)
    axes.set_xlabel("seconds")
    if bars is not None:
        bars = pianoroll.numeric_array("bars", bars)
        _axes.bar_lines(axes, bars[bars < last])
        axes.set_xlabel("bar")
        _axes.seconds_on_top(axes)
    _axes.pitch_axis(axes, pitch.min() - 3, pitch.max() + 3)
    return axes


def plot_probabilities(
    axes,
    probabilities,
    time_step=None,
    lowest_pitch=21,
    start=None,
    *,
    roll=None,
    beats=None,
    onsets=False,
    colours=_PROBABILITY,
):
    """Draw the probability that each pitch sounds, with a colour bar.

    Parameters
    ----------
    axes, time_step, lowest_pitch, start, beats
        As for `plot_piano_roll`.
    probabilities : (T, P)
        Probability of each note at each step.
    roll : (T, P), optional
        Sampled notes, drawn as outlines. They are visible only if a step is a few pixels wide.
    onsets : bool
        Whether the arrays have twice the columns. The probabilities of strikes are not drawn.
    colours : str or matplotlib.colors.Colormap
        Colour map. The default darkens evenly; "gist_stern_r" is that of the program of 2015.

    Returns
    -------
    matplotlib.axes.Axes
    """
    probabilities = _axes.validate_roll("probabilities", probabilities)
    if roll is not None:
        roll = _axes.validate_roll("roll", roll, probabilities.shape)
    time_step = pianoroll.step_seconds(time_step, beats)
    shown = probabilities, colours, "probability"
    _draw_tune(axes, *shown, time_step, lowest_pitch, start, beats, onsets)
    if roll is not None:
        roll, onset_roll = pianoroll.halves(roll, onsets)
        _axes.outline(axes, roll, time_step, lowest_pitch, onset_roll)
    return axes


def plot_composition(
    axes,
    roll,
    probabilities,
    time_step=None,
    lowest_pitch=21,
    start=None,
    *,
    beats=None,
    onsets=False,
):
    """Draw a composed tune above its probabilities, on the same time and pitch axes.

    Parameters
    ----------
    axes : pair of matplotlib.axes.Axes
        Upper and lower Axes, as ``figure.subplots(2, sharex=True)`` returns them.
    roll, probabilities : (T, P)
        Tune and probabilities as `genMusic` returns them.
    time_step, lowest_pitch, start, beats, onsets
        As for `plot_piano_roll`.

    Returns
    -------
    pair of matplotlib.axes.Axes
    """
    upper, lower = axes
    probabilities = _axes.validate_roll("probabilities", probabilities, np.shape(roll))
    how = time_step, lowest_pitch, start
    plot_piano_roll(upper, roll, *how, beats=beats, onsets=onsets)
    plot_probabilities(lower, probabilities, *how, beats=beats, onsets=onsets)
    limits = *upper.get_ylim(), *lower.get_ylim()
    for panel in (upper, lower):
        _axes.pitch_axis(panel, min(limits), max(limits))
    upper.set_xlabel("")
    upper.tick_params(labelbottom=False)
    return axes


def _draw_tune(axes, rows, colours, label, time_step, lowest_pitch, start, beats, onsets):
    """Draw a roll or probabilities, preceded by the start, and return the Axes."""
    time_step = pianoroll.step_seconds(time_step, beats)
    bottom = checks.integer("lowest_pitch", lowest_pitch, low=0) - 0.5
    given = rows[:0]
    if start is not None:
        given = np.asarray(pianoroll.validate("start", start, rows.shape[1]), float)
    n_given = len(given)
    if onsets:
        whole, struck = split_onsets(np.vstack([given, rows]))
        n_rolled = len(whole) if label is None else n_given  # the rest is probabilities
        if n_rolled:
            heads = whole[:n_rolled], struck[:n_rolled]
            _draw_heads(axes, *heads, n_given, time_step, lowest_pitch)
        whole[:n_rolled] *= _HELD
        given, rows = whole[:n_given], whole[n_given:]
    if start is not None:
        _axes.draw(axes, given, -n_given * time_step, 0, bottom, _from_white(GIVEN, 0.1))
        axes.axvline(0, color=GIVEN, linewidth=1)
        _name(axes, "given", "right", GIVEN)
        _name(axes, "composed", "left", COMPOSED)
    _axes.draw(axes, rows, 0, len(rows) * time_step, bottom, colours, label=label)
    _axes.time_axis(axes, -n_given, len(rows), time_step, beats)
    _axes.fit_pitches(axes, [given, rows], lowest_pitch)
    return axes


def _from_white(colour, tint=0.0):
    """Return a colour map from white, with a little of the colour, to the colour."""
    white = 1 - tint * (1 - np.array(to_rgb(colour)))
    return LinearSegmentedColormap.from_list("notes", [tuple(white), colour])


def _name(axes, text, side, colour):
    """Write what is on one side of second 0, at the top."""
    inside = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1}
    where = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points"}
    style = {"color": colour, "fontsize": "small", "bbox": inside, "clip_on": True}
    offset = -4 if side == "right" else 4, -3
    axes.annotate(text, (0, 1), offset, **where, **style, ha=side, va="top")


def _draw_heads(axes, roll, onset_roll, n_given, time_step, lowest_pitch):
    """Draw the heads of all struck notes; the first `n_given` rows are the start."""
    step, column = np.nonzero(canonical_onsets(roll, onset_roll))
    head = (step - n_given) * time_step
    of_kind = _HEAD_COLOURS[GIVEN], _HEAD_COLOURS[COMPOSED]
    colours = np.where((step < n_given)[:, None], *of_kind)
    style = {"facecolors": colours, "linewidths": 0}
    _axes.boxes(axes, column + lowest_pitch, head, head + _HEAD * time_step, **style)
