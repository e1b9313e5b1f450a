"""``rnn4music compose`` and ``render``: with NumPy alone, so that they start at once."""

import secrets
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from midi.files import written_whole
from rnn4music import checks, model_card, sound
from rnn4music.commands import (
    Result,
    check_outputs,
    pitch_range,
    read_network,
    read_tune,
    seconds_per_step,
)
from rnn4music.screen import SCREEN
from rnn4music.tune import Tune, write_page

MOSTLY = 0.5
"""Share of silent steps from which on there is a warning."""


def compose(asked):
    """Compose with a model, and write what was asked for."""
    network, content = read_network(asked.model)
    outputs = {"mid": asked.output, "wav": asked.wav, "png": asked.png, "html": asked.html}
    check_outputs(outputs.values(), [asked.model, asked.start])
    start = _start(asked, network, content)
    steps = checks.integer("steps", asked.steps, low=1)
    count = checks.optional_integer("count", asked.count)
    settings = _settings(asked, content)
    track = partial(tqdm, desc="composing", unit="step", delay=1, file=SCREEN)
    rolls, probabilities = network.gen_music(start, steps, count or 1, track=track, **settings)

    tunes = _tunes(asked, content, start, rolls, probabilities)
    files = []
    for k, tune in enumerate(tunes, start=1):
        names = {kind: _numbered(name, k, count) for kind, name in outputs.items() if name}
        files.append(tune.write_midi(names["mid"]))
        if asked.wav:
            files.append(tune.write_wav(names["wav"], asked.soundfont))
        if asked.png:
            files.append(tune.write_picture(names["png"]))
    if asked.html:
        about = _about(asked, content, settings)
        title = f"Composed by {Path(asked.model).stem}"
        files.append(write_page(asked.html, tunes, about, title, asked.soundfont))
    return _composed([str(file) for file in files], rolls, tunes[0].time_step, settings)


def _start(asked, network, content):
    """Return the rows of the given file that are continued, or None."""
    n_steps = checks.integer("start-steps", asked.start_steps, low=1)
    if asked.start == "none":
        return None
    keys = pitch_range(content["notes"], network.n_pitches)
    start = read_tune(asked.start, content["notes"], keys, asked.dt)[:n_steps]
    if not start.any():
        raise ValueError(
            f"the first {len(start)} steps of {asked.start} are silent in the model's pitch range "
            f"{keys}; give more --start-steps, or --start none"
        )
    return start


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
    notes = content["notes"]
    time_step, (lowest, _) = seconds_per_step(notes, asked.dt), pitch_range(notes, rolls.shape[2])
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


def _numbered(name, k, count):
    """Return a file's name, with a number where there are several."""
    path = Path(name)
    return path if count is None else path.with_name(f"{path.stem}-{k}{path.suffix}")


def _about(asked, content, settings):
    """Return what a page tells of how its tunes were made."""
    start = "silence" if asked.start == "none" else f"{asked.start_steps} steps of {asked.start}"
    made = {"Start": start, "Steps": asked.steps}
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
    kind = Path(asked.output).suffix.lower()
    if kind not in (".wav", ".mp3"):
        raise ValueError(f"{asked.output} has to end in .wav or .mp3")
    check_outputs([asked.output], [asked.tune])
    samples = sound.render(asked.tune, asked.soundfont)
    if kind == ".mp3":
        with written_whole(asked.output) as file:
            file.write(sound.encoded(samples, "MP3"))
    else:
        sound.write_wav(asked.output, samples)
    seconds = len(samples) / sound.SAMPLE_RATE
    return Result(
        {"file": str(asked.output), "seconds": seconds}, f"wrote {asked.output}, {seconds:.1f} s"
    )
