"""Pictures of piano rolls and probabilities, on a Matplotlib Axes that the caller made.

Conventions
-----------
Time runs to the right in seconds, pitch upwards; each function draws on `axes` and
returns it.
"""

import numpy as np


def plot_piano_roll(axes, roll, time_step, lowest_pitch=21, start=None):
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
        What came before `roll`: drawn before second 0, and set off by colour.

    Returns
    -------
    matplotlib.axes.Axes
    """
    roll = np.asarray(roll, float)
    if start is not None:
        _image(axes, np.asarray(start, float), time_step, lowest_pitch, -len(start), "Blues")
        axes.axvline(0, color="tab:blue", linewidth=1)
    _image(axes, roll, time_step, lowest_pitch, 0, "gray_r")
    axes.set_xlim(-time_step * (0 if start is None else len(start)), time_step * len(roll))
    _fit_pitches(axes, roll if start is None else np.vstack([start, roll]), lowest_pitch)
    return axes


def plot_probabilities(axes, probabilities, time_step, lowest_pitch=21):
    """Draw the probability of each note, with a colour bar.

    Parameters
    ----------
    axes, time_step, lowest_pitch
        As for `plot_piano_roll`.
    probabilities : (T, P)

    Returns
    -------
    matplotlib.axes.Axes
    """
    probabilities = np.asarray(probabilities, float)
    image = _image(axes, probabilities, time_step, lowest_pitch, 0, "gist_stern_r")
    axes.figure.colorbar(image, ax=axes, label="probability")
    _fit_pitches(axes, probabilities, lowest_pitch)
    return axes


def plot_learning_curve(axes, validation, floor=None, **line):
    """Draw the validation over the epochs, with a mark at the best.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    validation : list of float or None
        Nats per step after each epoch, such as ``history.validation``.
    floor : float, optional
        What a baseline scores: a dashed line.
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
        axes.plot(epochs[best], nats[best], "o", color=curve.get_color())
    if floor is not None:
        axes.axhline(floor, color="grey", linestyle="--", linewidth=1)
    axes.set(xlabel="epoch", ylabel="nats per step")
    return axes


def _image(axes, roll, time_step, lowest_pitch, first_step, colours):
    seconds = first_step * time_step, (first_step + len(roll)) * time_step
    pitches = lowest_pitch - 0.5, lowest_pitch + roll.shape[1] - 0.5
    return axes.imshow(
        roll.T,
        extent=(*seconds, *pitches),
        cmap=colours,
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )


def _fit_pitches(axes, roll, lowest_pitch):
    """Show the pitches that occur, a little more, and the names of the Cs among them."""
    columns = np.flatnonzero(np.asarray(roll).max(axis=0, initial=0) > 0.01)
    low, high = (columns[0], columns[-1]) if len(columns) else (0, roll.shape[1] - 1)
    axes.set_ylim(lowest_pitch + low - 3, lowest_pitch + high + 3)
    octaves = [pitch for pitch in range(0, 128, 12) if axes.get_ylim()[0] < pitch]
    octaves = [pitch for pitch in octaves if pitch < axes.get_ylim()[1]]
    axes.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
    axes.set(xlabel="seconds", ylabel="pitch")
