"""``rnn4music compose``: with NumPy alone, so that it starts immediately."""

import itertools
import secrets
import warnings
from functools import partial
from pathlib import Path

from rnn4music import experiment, render, saving
from rnn4music._utils.options import Option
from rnn4music._utils.paths import check_outputs, check_suffix
from rnn4music.cli._common import PICTURES, SOUNDFONT, SOUNDS, Result, read_network

SUMMARY = "compose with a trained model"
EXAMPLES = """\
  rnn4music compose model.npz                               300 steps from silence: tune.mid
  rnn4music compose model.npz --count 5 --seed 1 --html five.html
  rnn4music compose model.npz --start bach.mid --with-start --wav bach.wav --png bach.png

Needs no engine: it computes with NumPy alone.
"""
ARGUMENTS = (Option("model", str, ..., "file of the model", "MODEL"),)
OPTIONS = (
    Option("start", str, "none", "MIDI file to continue; none: begin from silence", "FILE"),
    Option("start_steps", int, 50, "steps of the start that the network reads", "N", low=1),
    Option("steps", int, 300, "steps to compose", "N", low=1),
    Option("output", str, None, "MIDI file (tune.mid, or tune_2.mid and so on if that exists)",
           "MID"),
    Option("wav", str, None, "sound file", "FILE"),
    Option("png", str, None, "picture of the notes and their probabilities", "FILE"),
    Option("html", str, None, "web page with a player, the moving roll and the MIDI file", "FILE"),
    SOUNDFONT,
    Option("count", int, None, "compose K tunes: tune-1.mid, tune-2.mid, …", "K", low=1),
    Option("threshold", float, None, "notes that are not more probable than this never sound "
           "(the model's)", "P", low=0, high=1),
    Option("temperature", float, 1.0, "below 1 likely notes become likelier, above 1 rarer", "X",
           low=0.01, high=100),
    Option("sampling", str, "systematic", "draw the notes of a step together, or each by itself",
           choices=("systematic", "independent")),
    Option("seed", int, None, "the same seed composes the same tune", "S", low=0),
    Option("with_start", bool, False, "put the start before the tune, in all files"),
    Option("dt", float, None, "length of a step (the model's, or 0.3)", "SECONDS", above=0),
)  # fmt: skip
SUFFIXES = {
    "output": (".mid", ".midi"),
    "wav": SOUNDS[:1],
    "png": PICTURES,
    "html": (".html", ".htm"),
}
MOSTLY = 0.5  # share of silent steps above which there is a warning


def run(args):
    """Compose with a model, and write what the flags name."""
    import numpy as np

    from rnn4music._utils.console import Bar
    from rnn4music.data import transpose

    outputs = _outputs(args)
    network, content = read_network(args.model)
    reading = experiment.music.ReadingOptions.of_model(
        content["metadata"], network.n_pitches, args.dt
    )
    start, semitones, begun = None, 0, "silence"
    if args.start != "none":
        start, semitones = reading.read_tune(args.start, args.start_steps)
        begun = f"{len(start)} steps of {Path(args.start).name}"
    threshold = args.threshold
    if threshold is None:
        threshold = content["settings"].get("genProbThreshold", 0.1)
    settings = {
        "temperature": args.temperature,
        "sampling": args.sampling,
        "threshold": threshold,
        "seed": secrets.randbits(32) if args.seed is None else args.seed,
    }
    track = partial(Bar, desc="composing", unit="step", delay=1)
    composed = network.gen_music(start, args.steps, len(outputs), track=track, **settings)
    if start is not None:
        start = transpose(start, -semitones)
    tunes, files, stem = [], [], Path(args.output).stem
    for number, (names, *rolls) in enumerate(zip(outputs, *composed), start=1):
        rolls, before = [transpose(roll, -semitones) for roll in rolls], start
        if start is not None and args.with_start:
            rolls, before = [np.vstack([start, roll]) for roll in rolls], None
        title = stem if args.count is None else f"{stem} {number}"
        tune = render.Tune(
            rolls[0], reading.time_step, reading.pitch_range[0], before, rolls[1], title
        )
        write = {"output": tune.write_midi, "png": tune.write_picture}
        write["wav"] = partial(tune.write_wav, soundfont=args.soundfont)
        files += [str(write[name](file)) for name, file in names.items()]
        tunes.append(tune)
    if args.html:
        facts = {name.capitalize(): value for name, value in settings.items()}
        facts = {
            "Composing": {"Start": begun, "Steps": args.steps, **facts},
            "Model": saving.model_card.facts(args.model, content),
        }
        title = f"Composed by {Path(args.model).stem}"
        files.append(render.write_page(args.html, tunes, facts, title, args.soundfont))
    return _result(files, composed[0], reading.time_step, settings)


def _outputs(args):
    """Return the files of each tune, by option, once nothing is in the way of any."""
    if args.output is None:
        stems = itertools.chain(["tune"], (f"tune_{k}" for k in itertools.count(2)))
        suffix = ".mid" if args.count is None else "-1.mid"
        args.output = next(f"{stem}.mid" for stem in stems if not Path(stem + suffix).exists())
    for name, suffixes in SUFFIXES.items():
        if getattr(args, name) is not None:
            check_suffix(getattr(args, name), suffixes)
    names = {name: getattr(args, name) for name in ("output", "wav", "png")}
    names = {name: Path(file) for name, file in names.items() if file is not None}
    numbers = [""] if args.count is None else [f"-{k}" for k in range(1, args.count + 1)]
    outputs = [
        {name: path.with_name(path.stem + number + path.suffix) for name, path in names.items()}
        for number in numbers
    ]
    files = [path for names in outputs for path in names.values()]
    files += [] if args.html is None else [args.html]
    check_outputs(files, [args.model, saving.model_file.npz_path(args.model), args.start])
    return outputs


def _result(files, rolls, time_step, settings):
    """Return the result; warn where hardly anything sounds."""
    tunes, lines = [], []
    for roll in rolls:
        sounding = roll.sum(axis=1)
        seconds, silent = len(roll) * time_step, float((sounding == 0).mean())
        mean = float(sounding.mean())
        tunes.append({"seconds": seconds, "notes_at_a_time": mean, "silent": silent})
        lines.append(
            f"{len(roll)} steps, {seconds:.1f} s, {mean:.1f} notes at a time, "
            f"{silent:.0%} of the steps silent"
        )
    least = min(tune["silent"] for tune in tunes)
    if least > MOSTLY:
        warnings.warn(
            f"{least:.0%} of the steps are silent: a lower --threshold than "
            f"{settings['threshold']:g} lets more notes sound",
            stacklevel=2,
        )
    lines.append(f"wrote {', '.join(files)} (seed {settings['seed']})")
    values = {"files": files, "tunes": tunes, "time_step": time_step, **settings}
    return Result(values, "\n".join(lines))
