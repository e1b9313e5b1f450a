"""``rnn4music page``."""

from pathlib import Path

from rnn4music import experiment, render, saving
from rnn4music._utils.options import Option, by_name
from rnn4music._utils.paths import check_suffix
from rnn4music.cli import compose
from rnn4music.cli._common import Result, check_effect, read_network

SUMMARY = "write a web page in which a model composes"
EXAMPLES = """\
  rnn4music page model.npz -o page.html
  rnn4music page model.npz -o page.html --title "Evening" --by "Jo Berg" --start bach.mid

The page is one file. It holds the network, composes in any browser, and loads nothing. A file of
that name is replaced. The beginnings of the files of --start are put into the page: give only music
that you may give away.
"""
ARGUMENTS = compose.ARGUMENTS
_OF_COMPOSE = by_name(compose.OPTIONS)
OPTIONS = (
    Option("output", str, ..., "web page", "FILE"),
    Option("title", str, None, "title of the page", "TEXT"),
    Option("by", str, None, "whose music it is", "NAME"),
    Option("licence", str, None, "licence of the music (the model's)", "TEXT"),
    Option("start", str, None, "MIDI files; the page can continue their beginnings", "FILE", n="+"),
    _OF_COMPOSE["start_steps"],
    Option("steps", int, None, "number of steps to compose at a time (120)", "N", low=1, high=9999),
    Option("bars", int, None, "number of bars to compose at a time (16)", "N", low=1, high=9999),
    *(
        _OF_COMPOSE[name]
        for name in ("tempo", "meter", "threshold", "temperature", "density", "sampling")
    ),
    Option("seed", int, 1, "seed of the first piece", "S", low=0, high=2**53 - 1),
)


def run(args):
    """Write a page with a model's network."""
    import numpy as np

    from midi.files import expanded
    from rnn4music.experiment import notation

    args.model = experiment.inputs.model_path(args.model, "page")
    check_suffix(args.output, compose.SUFFIXES["html"])
    args.output = str(expanded(args.output))
    starts, midi = args.start or [], experiment.inputs.MIDI
    check_effect(args, "start_steps", starts, "--start")
    for file in starts:
        experiment.inputs.check_input(file, (midi,), "--start needs a MIDI file")
    experiment.inputs.check_outputs([args.output], [args.model, *starts])
    is_replaced = Path(args.output).exists()
    network, content = read_network(args.model)
    metadata, has_chords = content["metadata"], content["settings"]["chord_units"] is not None
    reading = experiment.music.ReadingOptions.of_model(
        metadata, network.n_pitches, n_conditions=network.conditions
    )
    fixed = {"tempo": args.tempo, "meter": notation.parsed_meter(args.meter)}
    beats = notation.beats_of(metadata, reading, None, *fixed.values())
    for name in ("bars", *fixed):
        check_effect(args, name, beats, "a model whose steps are parts of a beat")
    check_effect(args, "steps", not beats, "a model whose steps are seconds; give --bars")
    check_effect(args, "sampling", not has_chords, "a model without chords")
    reading.sampling()
    row = np.zeros((1, network.n_pitches))  # a tune has the checks of the pitches and the step
    step = None if beats else reading.time_step
    render.Tune(row, step, reading.pitch_range[0], onsets=reading.onsets, beats=beats)
    title = args.title
    if title is None:
        title = compose.title_of_music(metadata) or Path(args.model).stem
    licence = metadata.get("licence") if args.licence is None else args.licence
    facts = saving.model_card.facts(args.model, content)
    facts["Licence"] = licence or facts["Licence"]
    render.write_live_page(
        args.output, network, reading._asdict(), title=title, by=args.by, licence=licence,
        beats=beats, fixed={name: value for name, value in fixed.items() if value is not None},
        accents=notation.learned_accents(metadata), length=args.bars or args.steps,
        openings=[(Path(f).stem, reading.read_tune(f, args.start_steps)) for f in starts],
        seed=args.seed, density=args.density, around=saving.metadata.log_odds(metadata),
        temperature=args.temperature or (0.9 if has_chords else 1.0),
        threshold=args.threshold, sampling=args.sampling or "systematic",
        metadata={"Network": facts},
    )  # fmt: skip
    size = Path(args.output).stat().st_size
    text = f"wrote {args.output}, {size / 1e6:.1f} MB; open it in a browser"
    text += "\nreplaced an earlier file of that name" if is_replaced else ""
    values = {"file": args.output, "bytes": size, "replaced": is_replaced, "title": title}
    return Result(values, text)
