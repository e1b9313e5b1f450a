"""``rnn4music compose``, which computes with NumPy alone, and so starts immediately."""

import itertools
import math
import secrets
import warnings
from functools import partial
from pathlib import Path

from rnn4music import experiment, render, saving
from rnn4music._utils.options import Option
from rnn4music._utils.paths import PAGES, check_suffix
from rnn4music.cli._common import (
    PICTURES,
    SOUNDFONT,
    Result,
    check_effect,
    check_soundfont,
    read_network,
)
from rnn4music.training.history import warn_of_baseline

SUMMARY = "compose with a trained model"
EXAMPLES = """\
  rnn4music compose model.npz                               300 steps from silence, to tune.mid
  rnn4music compose model.npz --count 5 --seed 1 --html five.html
  rnn4music compose model.npz --count 20 --best 3           the 3 most like the training music
  rnn4music compose model.npz --start bach.mid --with-start --wav bach.wav --png bach.png

Files that exist already are replaced. Composing needs only NumPy.
"""
ARGUMENTS = (Option("model", str, ..., "model to compose with", "MODEL"),)
OPTIONS = (
    Option("start", str, "none", "MIDI file to continue, or none to begin from silence", "FILE"),
    Option("start_steps", int, 50, "number of steps of the start to read", "N", low=1),
    Option("steps", int, 300, "number of steps to compose; by default up to the end of a bar", "N",
           low=1, high=10**6),
    Option("bars", int, None, "number of whole bars to compose, instead of --steps", "N", low=1,
           high=10**4),
    Option("tempo", float, None, "quarter notes per minute (the start's, or that of the music "
           "learned from)", "BPM", low=4, high=1000),
    Option("meter", str, None, "time signature, such as 3/4 (the start's, or that of the music "
           "learned from)", "N/D"),
    Option("output", str, None, "MIDI file (tune.mid, or tune_2.mid and so on if it exists)",
           "MID"),
    Option("musicxml", str, None, "score for notation programs (needs music21)", "FILE"),
    Option("wav", str, None, "sound file, uncompressed", "FILE"),
    Option("mp3", str, None, "sound file, compressed", "FILE"),
    Option("png", str, None, "picture (.png, .pdf, .svg) of the notes and their probabilities",
           "FILE"),
    Option("html", str, None, "web page with a player, the moving roll and the MIDI file", "FILE"),
    SOUNDFONT,
    Option("title", str, None, "title of the tune, in its files and on its page", "TEXT"),
    Option("count", int, None, "compose K tunes: tune-1.mid, tune-2.mid, …", "K", low=1),
    Option("best", int, None, "of the K tunes, keep the N that are most like the training music, "
           "and not copied from it", "N", low=1),
    Option("threshold", float, None, "notes of at most this probability never sound (the model's)",
           "P", low=0, high=1),
    Option("temperature", float, None, "below 1: likely notes become likelier; above 1: less "
           "likely (1, and 0.9 for models with chords)", "X", low=0.01, high=100),
    Option("density", float, 1.0, "the odds of all notes are multiplied by this: above 1, more of "
           "them sound", "X", low=0.001, high=1000),
    Option("sampling", str, None, "of models without chords: draw the notes of a step together "
           "(systematic, the default), or each by itself", choices=("systematic", "independent")),
    Option("seed", int, None, "random seed; the same seed composes the same tune", "S", low=0),
    Option("with_start", bool, False, "put the start before the composed tune, in all files"),
    Option("dt", float, None, "length of a step in seconds (the model's, or 0.3)", "SECONDS",
           above=0),
)  # fmt: skip
SUFFIXES = {
    "output": (".mid", ".midi"),
    "musicxml": (".musicxml", ".xml"),
    "wav": (".wav",),
    "mp3": (".mp3",),
    "png": PICTURES,
    "html": PAGES,
}
MOSTLY = 0.5  # fraction of silent steps above which there is a warning
UNHEARD = 0.2  # fraction of the strikes that have no note, above which there is a warning
DENSE = 10  # mean number of notes at a time above which there is a warning


def run(args, midi=True):
    """Compose with a model, and write the files that the flags name; `midi`: with a MIDI file."""
    from midi.text import count
    from rnn4music._utils.console import Bar
    from rnn4music.data import transpose
    from rnn4music.data.notation import bar_columns
    from rnn4music.experiment import notation

    args.model = experiment.inputs.model_path(args.model, "compose")
    outputs = _outputs(args, midi)
    replaced = [str(path) for path in _all_files(outputs, args) if path.exists()]
    network, content = read_network(args.model)
    music, metadata = experiment.music, content["metadata"]
    reading = music.ReadingOptions.of_model(
        metadata, network.n_pitches, args.dt, network.conditions
    )
    best, _, baseline = saving.model_card.best_validation(content)
    if best is not None and baseline is not None and best > baseline:
        warn_of_baseline(best, baseline, stacklevel=2)
    if args.dt is None:
        music.log_assumed_step(args.model, metadata, "--dt")
    _check_beats(args, metadata)
    begin, start, semitones, begun = None, None, 0, "silence"
    if args.start != "none":
        begin = reading.read_tune(args.start, args.start_steps)
        start, semitones = begin.roll, begin.semitones
        begun = f"{count(len(start), 'step')} of {Path(args.start).name}"
        if "start_steps" in args.given and len(start) < args.start_steps:
            warnings.warn(
                f"{args.start} has only {count(len(start), 'step')}, fewer than --start-steps "
                f"{args.start_steps}: all of it is read",
                stacklevel=2,
            )
    beats = notation.beats_of(
        metadata, reading, begin, args.tempo, notation.parsed_meter(args.meter)
    )
    notation.log_other_meter(metadata, beats)
    if args.musicxml:
        from rnn4music.render import musicxml

        musicxml.checked(beats)
    n_steps = _n_steps(args, beats, 0 if start is None else len(start))
    threshold, has_chords = args.threshold, content["settings"]["chord_units"] is not None
    if threshold is None:
        threshold = content["settings"].get("genProbThreshold", 0.1)
    settings = {
        "temperature": args.temperature or (0.9 if has_chords else 1.0),
        "sampling": args.sampling or ("independent" if has_chords else "systematic"),
        "density": args.density,
        "threshold": threshold,
        "seed": secrets.randbits(32) if args.seed is None else args.seed,
    }
    track = partial(Bar, desc="composing", unit="step", delay=1)
    given, known = start, None
    if reading.bars and start is None:
        known = bar_columns(beats, n_steps)
    elif reading.bars:
        given, known = notation.with_bars(start, beats, n_steps)
    composed = network.gen_music(
        given,
        n_steps,
        args.count or 1,
        conditions=known,
        around=saving.metadata.log_odds(metadata),
        track=track,
        **settings,
    )
    kept, reasons = range(len(outputs)), []
    if args.best:
        kept, reasons = _best(args, metadata, composed[0], reading.onsets)
    if start is not None:
        start = transpose(start, -semitones, onsets=reading.onsets)
    tunes, files, title = [], [], _title(args, metadata)
    for number, (names, k) in enumerate(zip(outputs, kept), start=1):
        rolls = [rolls[k] for rolls in composed]
        rolls = [transpose(roll, -semitones, onsets=reading.onsets) for roll in rolls]
        tune = render.Tune(
            rolls[0], None if beats else reading.time_step, reading.pitch_range[0], start, rolls[1],
            title if len(outputs) == 1 else f"{title} {number}",
            with_start=args.with_start and start is not None, onsets=reading.onsets,
            beats=notation.with_key(beats, rolls[0], reading),
            velocity=notation.velocities_of(metadata, reading, beats, rolls[0], begin),
        )  # fmt: skip
        write = {"output": tune.write_midi, "png": tune.write_picture}
        write["musicxml"] = tune.write_musicxml
        write["wav"] = partial(tune.write_wav, soundfont=args.soundfont)
        write["mp3"] = partial(tune.write_mp3, soundfont=args.soundfont)
        files += [str(write[name](file)) for name, file in names.items()]
        tunes.append(tune)
    if args.html:
        shown = settings.keys() - ({"sampling"} if has_chords else set())  # the only one possible
        facts = {name.capitalize(): value for name, value in settings.items() if name in shown}
        if beats:
            facts = {"Tempo and metre": notation.in_words(tunes[0].beats), **facts}
        facts = {
            "Composing": {"Start": begun, "Steps": n_steps, **facts},
            "Model": saving.model_card.facts(args.model, content),
        }
        files.append(render.write_page(args.html, tunes, facts, title, args.soundfont))
    return _result(files, replaced, tunes, reasons, settings)


def _best(args, metadata, rolls, onsets):
    """Return the positions of the best tunes, the best first, and why each was kept."""
    found = [experiment.training_music.likeness(metadata, roll, onsets) for roll in rolls]
    if None in found:
        raise ValueError(
            f"{args.model} does not record what its training music is like, which --best needs: "
            f"train it further with rnn4music train --start-from {args.model}, which leaves copies "
            "unknown, or train again"
        )
    order = sorted(range(len(found)), key=lambda k: -found[k].score)
    mean = sum(each.alike for each in found) / len(found)
    reasons = [
        {"number": k + 1, "of": len(found), "mean_alike": mean, **found[k]._asdict()} for k in order
    ]
    return order[: args.best], reasons[: args.best]


def _title(args, metadata):
    """Return ``--title``, or a title made from the start, the training music, or the file name."""
    if args.title is not None:
        return args.title
    if args.start != "none":
        return f"{Path(args.start).stem}, continued"
    return title_of_music(metadata) or Path(args.output or args.html).stem


def title_of_music(metadata):
    """Return a title made from the name of a model's training music, or None."""
    from midi.files import SUFFIXES as MIDI_SUFFIXES

    music = metadata.get("data")
    if isinstance(music, str):
        of_files = (".zip", *MIDI_SUFFIXES, *experiment.inputs.SUFFIXES_OF_SETS)
        music = Path(music).stem if music.lower().endswith(of_files) else music
        if music.strip("* "):  # earlier versions recorded the pattern of the files
            return f"In the style of {music}"
    return None


def _check_beats(args, metadata):
    """Raise ValueError if an option is given that needs bars, and there are none."""
    needs = "a model whose steps are parts of a beat: train it on MIDI files with --steps-per-beat"
    if metadata.get("steps_per_beat") and args.dt is not None:
        needs = "beats: --dt gives steps of seconds instead. Leave out one of the two"
    has_beats = metadata.get("steps_per_beat") and args.dt is None
    for name in ("bars", "tempo", "meter", "musicxml"):
        check_effect(args, name, has_beats, needs)


def _n_steps(args, beats, n_given):
    """Return the number of steps to compose: whole bars, if none is given and they are known.

    They follow the end of a bar that is begun.
    """
    n_bars = args.bars
    if n_bars is None:
        if beats is None or "steps" in args.given:
            return args.steps
        n_bars = math.ceil(args.steps / beats.steps_per_bar)
    elif "steps" in args.given:
        raise ValueError("--steps and --bars exclude each other: give one of them")
    rest = -(beats.first_step + n_given) % beats.steps_per_bar
    return math.ceil(rest + n_bars * beats.steps_per_bar)


def _outputs(args, midi):
    """Return the files of each tune, by option, after checking that all can be written."""
    from midi.files import expanded

    is_continued, sounds = args.start != "none", (args.wav, args.mp3, args.html)
    check_effect(
        args, "best", args.count is not None, "--count, the number of tunes to choose from"
    )
    if args.best and args.best > args.count:
        raise ValueError(
            f"--best {args.best} is more than --count {args.count}: give a smaller one"
        )
    check_effect(args, "start_steps", is_continued, "--start")
    check_effect(args, "with_start", is_continued, "--start")
    check_effect(args, "soundfont", any(sounds), "--wav, --mp3 or --html")
    check_soundfont(args)
    if is_continued:
        kinds = (experiment.inputs.MIDI,)
        experiment.inputs.check_input(args.start, kinds, "--start needs a MIDI file")
    if args.output is None and midi:
        stems = itertools.chain(["tune"], (f"tune_{k}" for k in itertools.count(2)))
        suffix = ".mid" if args.count is None else "-1.mid"
        args.output = next(f"{stem}.mid" for stem in stems if not Path(stem + suffix).exists())
    for name, suffixes in SUFFIXES.items():
        if getattr(args, name) is not None:
            check_suffix(getattr(args, name), suffixes)
    names = {name: getattr(args, name) for name in ("output", "musicxml", "wav", "mp3", "png")}
    names = {name: expanded(file) for name, file in names.items() if file is not None}
    n_tunes = args.best or args.count
    numbers = [""] if n_tunes is None else [f"-{k}" for k in range(1, n_tunes + 1)]
    outputs = [
        {name: path.with_name(path.stem + number + path.suffix) for name, path in names.items()}
        for number in numbers
    ]
    inputs = [args.model, *([args.start] if is_continued else [])]
    inputs += [] if args.soundfont is None else [args.soundfont]
    experiment.inputs.check_outputs(_all_files(outputs, args), inputs)
    return outputs


def _all_files(outputs, args):
    from midi.files import expanded

    files = [path for names in outputs for path in names.values()]
    return files + ([] if args.html is None else [expanded(args.html)])


def _result(files, replaced, composed, reasons, settings):
    """Return the result; warn of tunes that are mostly silent, or have very many notes."""
    from midi.text import count
    from rnn4music.experiment.notation import in_words

    tunes, lines, most_unheard = [], [], 0
    for tune in composed:
        sounding = tune.roll[:, : tune.n_pitches].sum(axis=1)
        silent, mean = float((sounding == 0).mean()), float(sounding.mean())
        tunes.append({"seconds": tune.seconds, "notes_at_a_time": mean, "silent": silent})
        words = ""
        if tune.beats:
            words = f"{in_words(tune.beats)}, "
            facts = {name: getattr(tune.beats, name) for name in ("tempo", "meter", "key")}
            tunes[-1] |= {"bars": float(len(tune) / tune.beats.steps_per_bar), **facts}
        lines.append(
            f"{count(len(tune), 'step')}, {tune.seconds:.1f} s, {words}{mean:.1f} notes at a "
            f"time, {silent:.0%} of the steps silent"
        )
        if tune.onsets:
            n_strikes, unheard = int(tune.roll[:, tune.n_pitches :].sum()), tune.n_dropped_onsets
            tunes[-1] |= {"strikes": n_strikes, "dropped_strikes": unheard}
            if unheard:
                lines[-1] += f"; {unheard:,} of {n_strikes:,} struck notes do not sound: left out"
                most_unheard = max(most_unheard, unheard / n_strikes)
    for k, why in enumerate(reasons):
        tunes[k] |= why
        copied = "copied: unknown" if why["copied"] is None else f"copied {why['copied']:.0%}"
        lines[k] += (
            f"\n  kept from {why['of']}, as number {why['number']}: alike {why['alike']:.2f} "
            f"(mean of all: {why['mean_alike']:.2f}), {copied}"
        )
    least = min(tune["silent"] for tune in tunes)
    if least > MOSTLY:
        remedy = f"a lower --threshold than {settings['threshold']:g} lets more notes sound"
        if settings["threshold"] == 0:
            remedy = "the model may have learned too little, or from tunes that are mostly silent"
        warnings.warn(f"{least:.0%} of the steps are silent: {remedy}", stacklevel=2)
    most = max(tune["notes_at_a_time"] for tune in tunes)
    if most > DENSE:
        warnings.warn(
            f"{most:.1f} notes sound at a time, more than music usually has: the model may have "
            "learned too little; --density below 1 gives fewer",
            stacklevel=2,
        )
    if most_unheard > UNHEARD:
        warnings.warn(
            f"{most_unheard:.0%} of the struck notes do not sound, and were left out: the model "
            "may have learned too little; train it longer",
            stacklevel=2,
        )
    lines.append(f"wrote {', '.join(files)} (seed {settings['seed']})")
    if replaced:
        lines.append(f"replaced earlier files: {', '.join(replaced)}")
    values = {"files": files, "replaced": replaced, "tunes": tunes}
    values["time_step"] = composed[0].time_step
    return Result({**values, **settings}, "\n".join(lines))
