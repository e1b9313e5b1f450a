"""``rnn4music compose`` and ``render``: with NumPy alone, so that they start at once."""

import itertools
import secrets
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from midi.files import written_whole
from rnn4music._utils import checks
from rnn4music._utils.console import STDERR
from rnn4music.cli._common import (
    PAGES,
    PICTURES,
    SOUNDS,
    TUNES,
    Result,
    check_ending,
    check_outputs,
    pitch_range,
    read_network,
    read_tune,
    seconds_per_step,
)
from rnn4music.data.keys import transpose
from rnn4music.render import synthesizer
from rnn4music.render.tune import Tune, write_page
from rnn4music.saving import model_card
from rnn4music.saving.model_file import npz_path

ENDINGS = {"mid": TUNES, "wav": SOUNDS[:1], "png": PICTURES, "html": PAGES}
MOSTLY = 0.5
"""Share of silent steps from which on there is a warning."""


def compose(asked):
    """Compose with a model, and write what was asked for."""
    count = checks.optional_integer("count", asked.count)
    outputs = _outputs(asked, count)
    network, content = read_network(asked.model)
    start, semitones = _start(asked, network, content)
    steps = checks.integer("steps", asked.steps, low=1)
    settings = _settings(asked, content)
    track = partial(tqdm, desc="composing", unit="step", delay=1, file=STDERR)
    rolls, probabilities = network.gen_music(start, steps, count or 1, track=track, **settings)
    back = [[transpose(roll, -semitones) for roll in each] for each in (rolls, probabilities)]
    given = None if start is None else transpose(start, -semitones)

    tunes = _tunes(asked, content, given, *back)
    files = []
    for tune, names in zip(tunes, outputs):
        files.append(tune.write_midi(names["mid"]))
        if "wav" in names:
            files.append(tune.write_wav(names["wav"], asked.soundfont))
        if "png" in names:
            files.append(tune.write_picture(names["png"]))
    if asked.html:
        about = _about(asked, content, given, settings)
        title = f"Composed by {Path(asked.model).stem}"
        files.append(write_page(asked.html, tunes, about, title, asked.soundfont))
    return _composed([str(file) for file in files], rolls, tunes[0].time_step, settings)


def _outputs(asked, count):
    """Return the names of each tune's files, by kind, once nothing is in the way."""
    if asked.output is None:
        asked.output = _free_name(count)
    asked_for = {"mid": asked.output, "wav": asked.wav, "png": asked.png}
    outputs = []
    for k in range(1, (count or 1) + 1):
        names = {kind: Path(name) for kind, name in asked_for.items() if name is not None}
        if count is not None:
            names = {kind: n.with_name(f"{n.stem}-{k}{n.suffix}") for kind, n in names.items()}
        outputs.append(names)
    for kind, name in (*asked_for.items(), ("html", asked.html)):
        if name is not None:
            check_ending(name, ENDINGS[kind])
    everything = [name for names in outputs for name in names.values()]
    everything += [asked.html] if asked.html is not None else []
    check_outputs(everything, [asked.model, npz_path(asked.model), asked.start])
    return outputs


def _free_name(count):
    """Return tune.mid, or tune_2.mid, …: the first that loses no earlier tune."""
    for k in itertools.count(1):
        stem = "tune" if k == 1 else f"tune_{k}"
        first = f"{stem}.mid" if count is None else f"{stem}-1.mid"
        if not Path(first).exists():
            return f"{stem}.mid"


def _start(asked, network, content):
    """Return the rows of the given file that are continued, or None, and how they were moved."""
    n_steps = checks.integer("start-steps", asked.start_steps, low=1)
    if asked.start == "none":
        return None, 0
    keys = pitch_range(content["metadata"], network.n_pitches)
    roll, semitones = read_tune(asked.start, content["metadata"], keys, asked.dt)
    start = roll[:n_steps]
    if not start.any():
        raise ValueError(
            f"the first {len(start)} steps of {asked.start} are silent in the model's pitch range "
            f"{keys}; give more --start-steps, or --start none"
        )
    return start, semitones


def _settings(asked, content):
    """Return how each note is drawn; a seed is drawn where none was given, to be told."""
    threshold = asked.threshold
    if threshold is None:
        threshold = content["settings"].get("genProbThreshold", 0.1)
    return {
        "temperature": checks.number("temperature", asked.temperature, low=0.01, high=100),
        "sampling": asked.sampling,
        "threshold": checks.number("threshold", threshold, low=0, high=1),
        "seed": secrets.randbits(32)
        if asked.seed is None
        else checks.integer("seed", asked.seed, 0),
    }


def _tunes(asked, content, start, rolls, probabilities):
    """Return a `Tune` of each roll; with --with-start the start is a part of it."""
    metadata = content["metadata"]
    time_step = seconds_per_step(metadata, asked.dt)
    lowest, _ = pitch_range(metadata, rolls[0].shape[1])
    stem = Path(asked.output).stem
    tunes = []
    for k, (roll, odds) in enumerate(zip(rolls, probabilities), start=1):
        title = stem if asked.count is None else f"{stem} {k}"
        if start is not None and asked.with_start:
            whole, all_odds = np.vstack([start, roll]), np.vstack([start, odds])
            tunes.append(Tune(whole, time_step, lowest, None, all_odds, title))
        else:
            tunes.append(Tune(roll, time_step, lowest, start, odds, title))
    return tunes


def _about(asked, content, start, settings):
    """Return what a page tells of how its tunes were made."""
    begun = "silence" if start is None else f"{len(start)} steps of {Path(asked.start).name}"
    made = {"Start": begun, "Steps": asked.steps}
    made |= {name.capitalize(): value for name, value in settings.items()}
    return {"Composing": made, "Model": model_card.facts(asked.model, content)}


def _composed(files, rolls, time_step, settings):
    """Return the result, with a warning where hardly anything sounds."""
    tunes, lines = [], []
    for roll in rolls:
        sounding = roll.sum(axis=1)
        seconds, silent = len(roll) * time_step, float((sounding == 0).mean())
        at_a_time = float(sounding.mean())
        tunes.append({"seconds": seconds, "notes_at_a_time": at_a_time, "silent": silent})
        lines.append(
            f"{len(roll)} steps, {seconds:.1f} s, {at_a_time:.1f} notes at a time, "
            f"{silent:.0%} of the steps silent"
        )
    least = min(tune["silent"] for tune in tunes)
    if least > MOSTLY:
        warnings.warn(
            f"{least:.0%} of the steps are silent: a lower --threshold than "
            f"{settings['threshold']:g} lets more sound",
            stacklevel=2,
        )
    lines.append(f"wrote {', '.join(files)} (seed {settings['seed']})")
    values = {"files": files, "tunes": tunes, "time_step": time_step, **settings}
    return Result(values, "\n".join(lines))


def render(asked):
    """Make a sound of a MIDI file."""
    check_ending(asked.output, SOUNDS)
    check_outputs([asked.output], [asked.tune])
    samples = synthesizer.render(asked.tune, asked.soundfont)
    if not len(samples):
        raise ValueError(f"{asked.tune} lasts 0 seconds")
    with written_whole(asked.output) as file:
        file.write(synthesizer.encoded(samples, Path(asked.output).suffix[1:].upper()))
    seconds = len(samples) / synthesizer.SAMPLE_RATE
    return Result(
        {"file": str(asked.output), "seconds": seconds}, f"wrote {asked.output}, {seconds:.1f} s"
    )
