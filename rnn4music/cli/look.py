"""``rnn4music info`` and ``plot``."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from midi import midiread
from midi.contents import describe
from midi.files import SUFFIXES, opened
from rnn4music._utils import checks
from rnn4music.cli._common import (
    PICTURES,
    TIME_STEP,
    Result,
    check_ending,
    check_outputs,
    pitch_range,
    read_network,
    read_tune,
    seconds_per_step,
    without_nan,
)
from rnn4music.numpy_network import GATES
from rnn4music.saving import model_card, model_file
from rnn4music.training.history import History


def info(asked):
    """Say what is in a model, or in a MIDI file."""
    if _is_midi(asked.file):
        contents = describe(asked.file)
        return Result(without_nan(asdict(contents)), str(contents))
    content = model_file.read(asked.file)
    values = {name: content[name] for name in ("settings", "history", "metadata")}
    card = model_card.markdown if asked.markdown else model_card.text
    return Result({"file": str(asked.file), **without_nan(values)}, card(asked.file, content))


def _is_midi(name):
    try:
        with opened(name) as file:
            return file.read(4) in (b"MThd", b"RIFF")
    except (FileNotFoundError, IsADirectoryError):  # a model may lack its suffix
        return Path(name).suffix.lower() in SUFFIXES


def plot(asked):
    """Draw a picture to a file."""
    from matplotlib.figure import Figure  # which `info` can do without

    from rnn4music import plots
    from rnn4music.plots._axes import write_figure

    check_ending(asked.output, PICTURES)
    inputs = [asked.file, model_file.npz_path(asked.file), *([asked.tune] if asked.tune else [])]
    check_outputs([asked.output], inputs)
    figure = Figure(figsize=(12, 4), layout="constrained")
    draw = {"roll": _plot_roll, "learning": _plot_learning, "weights": _plot_weights}
    draw.get(asked.what, _plot_reading)(asked, figure, plots)
    write_figure(figure, asked.output, dpi=150)
    return Result({"file": str(asked.output)}, f"wrote {asked.output}")


def _plot_roll(asked, figure, plots):
    time_step = checks.number("dt", TIME_STEP if asked.dt is None else asked.dt, above=0)
    roll = midiread(asked.file, (0, 128), time_step).piano_roll
    if not roll.any():
        raise ValueError(f"{asked.file} has no notes")
    plots.plot_piano_roll(figure.add_subplot(), roll, time_step, 0)


def _plot_learning(asked, figure, plots):
    history = History.from_dict(model_file.read(asked.file)["history"])
    if not history.cost:
        raise ValueError(f"{asked.file} has not been trained, so there is no curve to draw")
    plots.plot_history(figure.add_subplot(), history)


def _plot_weights(asked, figure, plots):
    content = model_file.read(asked.file)
    group = f"layer{asked.layer}/"
    matrices = {
        key.removeprefix("parameters/"): array
        for key, array in content["arrays"].items()
        if key.startswith(f"parameters/{group}") and array.ndim == 2
    }
    lowest_pitch, _ = pitch_range(content["metadata"], content["settings"]["io_length"])
    figure.set_size_inches(12, 5 * len(matrices))
    for axes, name in zip(figure.subplots(len(matrices)), matrices):
        plots.plot_weights(axes, matrices, name, lowest_pitch)


def _plot_reading(asked, figure, plots):
    """Draw what goes on in a network while it reads a tune."""
    if asked.tune is None:
        raise ValueError(f"plot {asked.what} needs a tune that the model reads: give --tune FILE")
    network, content = read_network(asked.file)
    metadata = content["metadata"]
    time_step, keys = seconds_per_step(metadata, asked.dt), pitch_range(metadata, network.n_pitches)
    roll, _ = read_tune(asked.tune, metadata, keys, asked.dt)
    if asked.what == "activations":
        checks.choice("part", asked.part, (*GATES, "cell", "hidden"))
        activations = network.activations(roll)[asked.layer - 1]
        plots.plot_activations(figure.add_subplot(), activations, asked.part, time_step)
        return
    figure.set_size_inches(12, 8)
    # what is predicted at a step is for the next one
    probabilities = np.vstack([np.zeros(network.n_pitches), network.predict(roll)[:-1]])
    panels = figure.subplots(2, sharex=True)
    plots.plot_composition(panels, roll, probabilities, time_step, keys[0])
