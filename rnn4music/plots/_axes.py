"""Checks, images, axes and files shared by all plots.

Conventions
-----------
The first axis of an array, usually time, runs to the right. The x coordinates are always seconds,
even where the ticks are bar numbers. Bar 1 is the first whole one, counted from the first step that
is drawn, so that an upbeat is bar 0.
"""

import os
import warnings

import numpy as np
from matplotlib.collections import PolyCollection

from midi import onset_notes
from midi.files import written_whole
from midi.pitches import pitch_class_name, pitch_name
from rnn4music.data import pianoroll

COMPOSED, GIVEN = "#2d6a9a", "#8f6220"  # as on pages
_GRID = {"color": "0.15", "linewidth": 0.6}
_MOST_LABELS, _MOST_LINES = 12, 60  # bar numbers; lines of bars, and of beats
_MOST_COLUMNS = 2000  # of an image; with more, a pixel shows the mean of its columns


def write_figure(figure, path, dpi):
    """Write a figure whole or not at all, in the format given by the suffix of `path`."""
    ending = os.path.splitext(os.fsdecode(path))[1][1:]
    with warnings.catch_warnings(), written_whole(path) as file:
        warnings.filterwarnings("ignore", "Glyph")  # a character in the title missing from the font
        figure.savefig(file, format=ending, dpi=dpi)


def validate_roll(name, roll, shape=None):
    """Return a (T, P) roll or probabilities as floats; raise unless they have `shape`, if given."""
    roll = validate_matrix(name, roll, shape)
    return np.asarray(pianoroll.validate(name, roll), float)


def validate_matrix(name, matrix, shape=None):
    """Return a matrix of finite numbers; raise unless it has `shape`, if given."""
    matrix = pianoroll.numeric_array(name, matrix)
    if shape is not None and matrix.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, but has {matrix.shape}")
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"{name} must have two non-empty axes, but its shape is {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} holds NaN or infinity; only finite numbers can be drawn")
    return matrix


def draw(axes, array, left, right, bottom, colours, low=0.0, high=1.0, label=None, extend=None):
    """Draw an array (columns, rows) as an image from `left` to `right`, upwards from `bottom`.

    The colour scale covers `low` to `high`. If `label` is given, a labelled colour bar is drawn
    beside the Axes without shrinking it.
    """
    image = axes.imshow(
        array.T,
        extent=(left, right, bottom, bottom + array.shape[1]),
        cmap=colours,
        vmin=low,
        vmax=high,
        origin="lower",
        aspect="auto",
        interpolation="nearest" if len(array) <= _MOST_COLUMNS else "auto",
    )
    if label is not None:
        beside = axes.inset_axes((1.015, 0, 0.02, 1))
        axes.figure.colorbar(image, cax=beside, label=label, extend=extend)


def outline(axes, roll, time_step, lowest_pitch, onset_roll=None):
    """Draw an outline around each note of a roll."""
    column, first, end = onset_notes(roll, onset_roll).T
    style = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.7}
    boxes(axes, column + lowest_pitch, first * time_step, end * time_step, **style)


def boxes(axes, pitch, start, end, **style):
    """Draw a box for each note; start and end are in seconds."""
    low, high = pitch - 0.5, pitch + 0.5
    corners = np.stack([start, low, end, low, end, high, start, high], axis=1)
    axes.add_collection(PolyCollection(list(corners.reshape(-1, 4, 2)), **style))


def time_axis(axes, first, end, time_step, beats=None):
    """Set the time axis to steps `first` to `end`, labelled in seconds or bars.

    The axis label is omitted where the tick labels are hidden, as on the upper Axes of a shared
    time axis.
    """
    axes.set_xlim(first * time_step, end * time_step)
    if axes.xaxis.get_major_ticks(1)[0].label1.get_visible():
        axes.set_xlabel("seconds" if beats is None else "bar")
    if beats is None:
        return
    bar = float(beats.steps_per_bar)
    lines = np.arange(-beats.first_step % bar, end - first, bar)
    bar_lines(axes, (first + lines) * time_step)
    beat = bar / beats.counts_per_bar
    others = np.arange(-beats.first_step % beat, end - first, beat)
    if len(others) <= _MOST_LINES * 2:
        axes.set_xticks((first + others) * time_step, minor=True)
        axes.grid(axis="x", which="minor", alpha=0.12, **_GRID)


def bar_lines(axes, seconds):
    """Draw a line at the beginning of each bar, and number the bars from 1 on."""
    every = 1
    while len(seconds) > _MOST_LABELS * every:
        every *= 2
    drawn = 1 if len(seconds) <= _MOST_LINES else every
    numbers = range(1, len(seconds) + 1, drawn)
    names = [str(number) if (number - 1) % every == 0 else "" for number in numbers]
    axes.set_xticks(seconds[::drawn], names)
    axes.grid(axis="x", alpha=0.35, **_GRID)


def seconds_on_top(axes):
    """Show seconds above Axes whose time axis has bars."""
    axes.secondary_xaxis("top").set_xlabel("seconds")


def fit_pitches(axes, rolls, lowest_pitch):
    """Set the pitch axis to the pitches that occur in the rolls, with a margin."""
    used = np.flatnonzero(np.vstack(rolls).max(axis=0) > 0.01)
    low, high = (used[0], used[-1]) if len(used) else (0, rolls[0].shape[1] - 1)
    pitch_axis(axes, lowest_pitch + low - 3, lowest_pitch + high + 3)


def pitch_axis(axes, low, high):
    """Set the pitch axis; label all naturals, C, E and G, or C alone, depending on the range."""
    axes.set_ylim(low, high)
    named = "CDEFGAB" if high - low <= 15 else "CEG" if high - low <= 25 else "C"
    pitches = [p for p in range(128) if low < p < high and pitch_class_name(p) in named]
    axes.set_yticks(pitches, map(pitch_name, pitches))
    axes.set_yticks([p - 0.5 for p in range(0, 128, 12) if low < p - 0.5 < high], minor=True)
    axes.grid(axis="y", which="minor", alpha=0.35, **_GRID)  # below each C
    axes.tick_params(axis="y", which="minor", length=0)
    axes.set_ylabel("pitch")
