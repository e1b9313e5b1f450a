"""``rnn4music plot``."""

from pathlib import Path

from rnn4music import evaluation, experiment, plots, saving, training
from rnn4music._utils.options import Option
from rnn4music._utils.paths import check_suffix
from rnn4music.cli._common import PICTURES, Result, check_effect, read_network

SUMMARY = "draw a tune, or a model's learning curve, probabilities, activations or chords"
EXAMPLES = """\
  rnn4music plot roll tune.mid -o tune.png
  rnn4music plot learning model.npz -o learning.pdf
  rnn4music plot probabilities model.npz --tune tune.mid -o odds.png
  rnn4music plot activations model.npz --tune tune.mid --layer 2 --part forget
  rnn4music plot chords model.npz --tune tune.mid
"""
ARGUMENTS = (
    Option("what", str, ..., "roll, learning, probabilities, activations or chords", "PLOT",
           choices=("roll", "learning", "probabilities", "activations", "chords")),
    Option("file", str, ..., "a MIDI file for roll, otherwise a model", "FILE"),
)  # fmt: skip
OPTIONS = (
    Option("tune", str, None, "MIDI file that the model reads, for probabilities, activations and "
           "chords", "MID"),
    Option("layer", int, 1, "layer of the network, for activations", choices=(1, 2, 3)),
    Option("part", str, "cell", "which activations of the layer",
           choices=("cell", "hidden", "input", "forget", "candidate", "output")),
    Option("dt", float, None, "length of a step of the tune that the model reads, in seconds (the "
           "model's, or 0.3)", "SECONDS", above=0),
    Option("output", str, "picture.png", "picture file, .png, .pdf or .svg", "FILE"),
)  # fmt: skip
_LONGEST = 30  # characters of a name in a title
_HOW_TO_READ = {
    "cell": "a row is a unit, beside similar ones: a colour that lasts is kept in memory",
    "hidden": "a row is a unit, beside similar ones: white passes nothing on",
    "candidate": "a row is a unit: what it may add to its memory, if the input gate lets it in",
    "input": "a row is a unit: yellow lets new content in, blue keeps it out",
    "forget": "a row is a unit: yellow keeps its memory, blue erases it",
    "output": "a row is a unit: yellow shows its memory to others, blue hides it",
}


def run(args):
    """Draw a picture to a file."""
    from matplotlib.figure import Figure

    from rnn4music.plots._axes import write_figure

    kinds = experiment.inputs
    check_suffix(args.output, PICTURES)
    what, tune = args.what, args.what in ("probabilities", "activations", "chords")
    check_effect(args, "tune", tune, "probabilities, activations or chords")
    for name in ("layer", "part"):
        check_effect(args, name, what == "activations", "activations")
    check_effect(args, "dt", tune or what == "roll", "a tune")
    if what == "roll":
        kinds.check_input(args.file, (kinds.MIDI,), "plot roll needs a MIDI file")
    else:
        args.file = kinds.model_path(args.file, f"plot {what}")
    if tune and args.tune is None:
        raise ValueError(f"plot {what} needs a tune for the model to read: give --tune MID")
    if tune:
        kinds.check_input(args.tune, (kinds.MIDI,), "--tune needs a MIDI file")
    kinds.check_outputs([args.output], [args.file, *([args.tune] if args.tune else [])])
    figure = Figure(figsize=(12, 4), layout="constrained")
    draw = {"roll": _plot_roll, "learning": _plot_learning}.get(args.what, _plot_network)
    drawn = draw(args, figure)
    write_figure(figure, args.output, dpi=150)
    return Result({"file": args.output}, f"wrote {args.output}{f', {drawn}' if drawn else ''}")


def _plot_roll(args, figure):
    """Draw the notes of a MIDI file, and return how many there are, in words."""
    from midi import midiread
    from midi.text import count

    if args.dt is not None:
        raise ValueError("plot roll draws every note at its own time: leave out --dt")
    content = midiread(args.file, (0, 128), dt=60)  # long frames: only the notes are used
    omitted = {"on drums": content.n_drums, "without an end": content.n_never_ended}
    omitted = " and ".join(f"{n:,} {why}" for why, n in omitted.items() if n)
    omitted = f" ({omitted} not drawn)" if omitted else ""
    if not content.notes:
        raise ValueError(f"{args.file} has no notes to draw{omitted}")
    notes = count(len(content.notes), "note")
    axes = figure.add_subplot()
    plots.plot_notes(axes, content.notes, content.bars)
    _title(axes, f"{_name(args.file)}: {notes}", "a dark head is where a note is struck")
    return f"{notes}{omitted}"


def _plot_learning(args, figure):
    from midi.text import count

    content = saving.model_file.read(args.file)
    history = training.History.from_dict(content["history"])
    if not history.cost:
        raise ValueError(f"{args.file} has not been trained, so there is no curve to draw")
    past = saving.metadata.trainings(content["metadata"])
    windows = [training.get("window") for training in past]
    is_known = windows and all(type(n) is int and n > 1 and n == windows[0] for n in windows)
    steps = windows[0] - 1 if is_known else None
    noises = ("dropout", "weight_noise", "output_noise")
    disturbed = any(training.get(name) for training in past for name in noises)
    axes = plots.plot_history(figure.add_subplot(), history, steps, disturbed)
    how = "overfitting: training falls and validation rises"
    _title(axes, f"{_name(args.file)}: {count(history.epochs, 'epoch')}", how * bool(steps))


def _name(path):
    """Return the name of a file for a title: the ends of a long one, with Unicode text alone."""
    from rnn4music.render.html import valid

    name = valid(Path(path).name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 11]}…{name[-10:]}"


def _title(axes, text, how):
    """Write a title, and at its right, or below a long one, how to read the picture."""
    inches = len(text) / 10 + len(how) / 17  # about
    if inches > axes.figure.get_figwidth() - 1.6:  # which leaves room for axis and colour bar
        text += "\n"
    axes.set_title(text, loc="left", parse_math=False)
    axes.set_title(how, loc="right", parse_math=False, fontsize="small", color="0.35")


def _plot_network(args, figure):
    """Draw what a network expects and does while it reads a tune."""
    import numpy as np

    from rnn4music.experiment.notation import with_bars

    network, content = read_network(args.file)
    reading = experiment.music.ReadingOptions.of_model(
        content["metadata"], network.n_pitches, args.dt, network.conditions
    )
    tune = reading.read_tune(args.tune)
    roll, how = tune.roll, {"time_step": None if tune.beats else reading.time_step}
    how["beats"] = tune.beats
    rows, names = roll, f"{_name(args.file)} reads {_name(args.tune)}"
    if reading.bars:
        rows, of_next = with_bars(roll, tune.beats, n_more=1)
    if args.what == "activations":
        if reading.bars:  # the network reads the last step with what is known of the next
            rows = np.vstack([rows, np.hstack([np.zeros((1, network.n_pitches)), of_next])])
        activations = network.activations(rows)[args.layer - 1]
        axes = plots.plot_activations(figure.add_subplot(), activations, args.part, **how)
        _title(axes, f"Layer {args.layer} of {names}", _HOW_TO_READ[args.part])
        return
    if args.what == "chords":
        if network.chord_units is None:
            raise ValueError(f"{args.file} has no chords to draw: train with --chord-units")
        figure.set_size_inches(8, 6)
        effects = evaluation.chord_effects(network, rows, onsets=reading.onsets)
        axes = plots.plot_chord_effects(figure.add_subplot(), effects)
        _title(axes, names, "red: likelier together, blue: less likely")
        return
    figure.set_size_inches(12, 8)
    # at each step the network predicts the next; with chords, given the notes below each pitch
    probabilities = np.vstack([np.zeros(network.n_pitches), network.predict(rows[:-1], rows[1:])])
    panels = figure.subplots(2, sharex=True)
    how |= {"lowest_pitch": reading.pitch_range[0], "onsets": reading.onsets}
    plots.plot_composition(panels, roll, probabilities, **how)
    _title(panels[0], names, "above: the tune; below: what the network expects at each step")
