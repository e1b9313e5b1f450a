"""A page in which a trained network composes, in the browser and offline, with a player and a roll.

The template `live.html` includes the network (`network.js`), which runs in a Web Worker, and the
page's script. The page holds the weights in half precision, and only what composing needs. Its
Content-Security-Policy allows its own script and worker, and no network requests.

Why this page and that of `html` are two: that one holds recordings and needs no script to be heard;
this one holds no sound. They share the style sheet and the drawing of the roll.
"""

import base64
import html
import json
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np

from midi.files import written_whole
from midi.writing import choose_grid
from rnn4music.render.html import policy, section_of, template_of, valid

LARGEST_HALF = 65504


def write_live_page(
    path,
    network,
    reading,
    *,
    title="",
    by=None,
    licence=None,
    beats=None,
    fixed=None,
    accents=None,
    openings=(),
    length=None,
    seed=1,
    temperature=1.0,
    density=1.0,
    around=0.0,
    threshold=None,
    sampling="systematic",
    metadata=None,
):
    """Write an HTML page in which a network composes, and return `path`.

    Parameters
    ----------
    path : path
        File to write, whole or not at all.
    network : NumpyNetwork
    reading : dict
        How the network reads music: the fields of `experiment.music.ReadingOptions`.
    title, by, licence : str, optional
        Of the page; whose music it is, and under which licence it may be used.
    beats : midi.Beats, optional
        Tempo and metre of what is composed from silence, if steps are parts of a beat.
    fixed : dict, optional
        ``tempo`` and ``meter`` of all that is composed, in place of a start's.
    accents : data.accents.Accents, optional
        How hard notes are struck; by default all velocities are 90.
    openings : list of (str, experiment.music.Start)
        Names, and beginnings to choose from.
    length : int, optional
        Bars to compose, or steps if `beats` is None; default 16 bars, or 120 steps.
    seed, temperature, density, threshold, sampling
        Values that the page shows first; the threshold's default is the network's.
    around : float
        As for `genMusic`.
    metadata : dict, optional
        How the network was made: values by name, or such dicts by heading.
    """
    if threshold is None:
        threshold = network.settings["genProbThreshold"]
    names, sizes, values, bits = packed(network)
    data = {"names": names, "sizes": sizes, "bits": bits}
    data |= {"hasChords": network.chord_units is not None, "sampling": sampling}
    data |= {"grid": _grid(reading), "secondsGrid": _seconds_grid(reading)}
    data |= {"learned": _beats(beats), "fixed": fixed or {}, "around": around}
    data |= {"accents": accents and accents._asdict()}
    data["openings"] = [_opening(start) for _, start in openings]
    stem = re.sub(r"[^\w-]+", "-", title)[:60].strip("-_") or "tune"
    byline = [f"by {by}"] * bool(by) + [f"licence: {licence}"] * bool(licence)
    template = template_of("live.html")
    filled = {
        "policy": policy(template, "; worker-src blob:"),
        "title": _text(title or "A network that composes"),
        "byline": f'<p class="by">{_text(" · ".join(byline))}</p>' if byline else "",
        "openings": "".join(
            f'<option value="{k}">{_text(name)}</option>' for k, (name, _) in enumerate(openings)
        ),
        "metadata": section_of(metadata or {}, folded=True),
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "file_name": _text(f"{stem}.mid"),
        "weights": values,
    }
    shown = {"seed": seed, "threshold": threshold}
    shown["length"] = length or (120 if beats is None else 16)
    filled |= {name: f"{value:.15g}" for name, value in shown.items()}
    filled["temperature"] = _slider(temperature, "0.1", "2")
    filled["density"] = _slider(density, "0.25", "4")
    document = re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], template)
    with written_whole(path) as file:
        file.write(document.encode("utf-8"))
    return path


def packed(network, bits=16):
    """Return a network's weights and initial states as `network.js` reads them.

    Parameters
    ----------
    network : NumpyNetwork
    bits : int
        16 or 32, of each number; 32 replace 16 where a weight is too large for these.

    Returns
    -------
    names : list of str
    sizes : list of int
    values : str
        The arrays one after another, row by row, in base64.
    bits : int
    """
    layers = {f"layer{n}": layer for n, layer in enumerate(network.layers, start=1)}
    groups = {**layers, "output": network.output, "chords": network.chords}
    arrays = {f"{group}/{name}": array for group in groups for name, array in groups[group].items()}
    values = np.concatenate([array.ravel() for array in arrays.values()])
    if np.abs(values).max() > LARGEST_HALF:
        bits = 32
    text = base64.b64encode(values.astype(f"<f{bits // 8}").tobytes()).decode("ascii")
    return list(arrays), [array.size for array in arrays.values()], text, bits


def _text(value):
    return html.escape(valid(value))


def _slider(value, low, high):
    """Return the attributes of a slider from `low` to `high`, or farther, that has `value`."""
    value, step = Decimal(f"{value:.15g}"), Decimal("0.05")
    if value % step:
        step = Decimal(1).scaleb(min(int(value.as_tuple().exponent), -2))
    low, high = min(Decimal(low), value), max(Decimal(high), value)
    return f'min="{low}" max="{high}" step="{step}" value="{value}"'


def _grid(reading):
    """Return how a model reads music, as `music.js` describes it."""
    per_beat, (lowest, highest) = reading["steps_per_beat"], reading["pitch_range"]
    step = 1 / Fraction(str(per_beat)) if per_beat else Fraction(str(reading["time_step"]))
    return {
        "pitches": highest - lowest,
        "lowest": lowest,
        "onsets": reading["onsets"],
        "step": [step.numerator, step.denominator],
        "inBeats": bool(per_beat),
        "tempo": reading["tempo"],
        "sustain": reading["sustain"],
        "keepShort": reading["keep_short"],
        "keepSilence": reading["keep_silence"],
        "toC": reading["to_c"],
        "bars": reading["bars"],
    }


def _seconds_grid(reading):
    """Return the tempo and the ticks of a MIDI file without beats; `ticks` is those of a step."""
    step = Fraction(str(reading["time_step"]))
    grid = choose_grid(step)
    ticks = step / grid.tick
    numbers = [ticks.numerator, ticks.denominator]
    return {"tempo": grid.tempo, "division": grid.division, "ticks": numbers}


def _beats(beats):
    if beats is None:
        return None
    facts = {name: getattr(beats, name) for name in ("tempo", "meter", "key")}
    return {**facts, "firstStep": beats.first_step}


def _opening(start):
    """Return a start as `startOf` in `music.js` does."""
    return {
        "roll": [np.flatnonzero(row).tolist() for row in start.roll],
        "velocities": [
            [[column, int(row[column])] for column in np.flatnonzero(row).tolist()]
            for row in start.velocity
        ],
        "semitones": start.semitones,
        "beats": _beats(start.beats),
    }
