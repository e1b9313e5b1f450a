"""A tune as a page to look at and listen to: one HTML file without references to others.

`page.html` is the template. It holds the markup, the style and the one script; the sound and
the MIDI file stand in the page as data: URIs. The Content-Security-Policy allows that style and
that script by their hashes, and no request to anywhere.

Conventions
-----------
A tune is anything with the attributes of `rnn4music.render.tune.Tune`; a note is a run of steps in
which a pitch is on. In the page a step counts from the first composed one: the given start has
negative steps; it is drawn and not played. The user's text appears only in HTML text and
attributes, escaped; the script reads only numbers.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

import numpy as np

from midi.pitches import pitch_name
from rnn4music.data import pianoroll

_LEAST_PITCHES = 25  # rows that are drawn, even of a tune with one pitch
_LEAST_PROBABILITY = 0.05  # of the pitches in view


class Recording(NamedTuple):
    """A tune, with its sound as MP3 and its MIDI file, both as bytes."""

    tune: object
    audio: bytes
    midi: bytes


def page(recordings, metadata=None, title=None):
    """Return a page with a player, a moving piano roll and a MIDI file of each tune.

    The same arguments, which are described in `tune.write_page`, return the same page.
    """
    metadata = metadata or {}
    if not isinstance(metadata, Mapping):
        kind = type(metadata).__name__
        raise TypeError(f"metadata must be a dict of names to values, not {kind}")
    template = resources.files("rnn4music.render").joinpath("page.html").read_text("utf-8")
    head, section, tail = template.split("<!-- tune -->\n")
    n_tunes = len(recordings)
    names = [
        recording.tune.title or ("A tune" if n_tunes == 1 else f"Tune {k}")
        for k, recording in enumerate(recordings, start=1)
    ]
    if title is None:
        title = names[0] if n_tunes == 1 else f"{n_tunes} tunes"
    values = {"policy": _policy(template), "title": _text(title), "metadata": _metadata(metadata)}
    sections = [
        _filled(section, _section(recording, name, k, n_tunes))
        for k, (recording, name) in enumerate(zip(recordings, names), start=1)
    ]
    return _filled(head, values) + "".join(sections) + _filled(tail, values)


def fragment(tune, audio):
    """Return the roll and a player of a tune and its MP3 as HTML without style sheet or script."""
    heading = f"<strong>{_text(tune.title)}</strong><br>" if tune.title else ""
    return (
        f'<div style="max-width: 60em"><p>{heading}{_text(facts(tune))}</p>\n'
        f"{picture(tune)}\n"
        f'<audio controls preload="metadata" src="{_data_uri("audio/mpeg", audio)}" '
        f'aria-label="Player: {_text(tune.title or "A tune")}" style="width: 100%"></audio></div>'
    )


def facts(tune):
    """Return a sentence on the notes, range and length of a tune."""
    pitches = _notes(tune)[1][:, 0]
    counted = f"{len(pitches):,} note{'s' * (len(pitches) != 1)}" if len(pitches) else "Silence"
    if len(pitches):
        low, high = (pitch_name(p).replace("#", "♯") for p in (pitches.min(), pitches.max()))
        counted += f" on {low}" if low == high else f" from {low} to {high}"
    steps = f"{len(tune.roll)} step{'s' * (len(tune.roll) != 1)} of {tune.time_step:g}\u00a0s"
    start = "" if tune.start is None else f", after a given start of {len(tune.start)}"
    return f"{counted} in {tune.seconds:.1f} seconds: {steps}{start}."


def picture(tune):
    """Return the roll of a tune as an SVG element, in the colour of the text around it.

    A step and a pitch are one unit.
    """
    low, high = _pitches_in_view(tune)
    paths = ""
    for notes, opacity in zip(_notes(tune), (0.4, 1)):
        outlines = "".join(
            f"M{start} {high - pitch}h{length}v.8h-{length}z"
            for pitch, start, length in notes.tolist()
        )
        paths += f'<path d="{outlines}" fill="currentColor" fill-opacity="{opacity}"/>'
    n_given = _n_given(tune)
    return (
        f'<svg role="img" aria-label="Piano roll. {_text(facts(tune))}" '
        f'viewBox="{-n_given} 0 {n_given + len(tune.roll)} {high - low + 1}" '
        f'preserveAspectRatio="none" width="100%" height="220">{paths}</svg>'
    )


def _n_given(tune):
    return 0 if tune.start is None else len(tune.start)


def _notes(tune):
    """Return the notes of the start, at negative steps, and those of the tune.

    Each array is (notes, 3): pitch, first step, number of steps; by start, then pitch.
    """
    result = []
    given = tune.roll[:0] if tune.start is None else tune.start
    for roll, first_step in ((given, -len(given)), (tune.roll, 0)):
        column, first, end = pianoroll.notes(roll).T
        notes = np.column_stack([column + tune.lowest_pitch, first + first_step, end - first])
        result.append(notes[np.lexsort((notes[:, 0], notes[:, 1]))])
    return result


def _pitches_in_view(tune):
    """Return the lowest and the highest pitch that are drawn, both included."""
    rolls = [roll for roll in (tune.roll, tune.start, tune.probabilities) if roll is not None]
    used = np.flatnonzero(np.vstack(rolls).max(axis=0) >= _LEAST_PROBABILITY)
    low, high = (used[0] - 2, used[-1] + 2) if len(used) else (27, 51)
    missing = max(_LEAST_PITCHES - (high - low + 1), 0)
    low, high = low - missing // 2, high + missing - missing // 2
    return max(int(low) + tune.lowest_pitch, 0), min(int(high) + tune.lowest_pitch, 127)


def _section(recording, name, number, n_tunes):
    """Return the values for a tune's section of the template."""
    tune = recording.tune
    heading_id = "title" if n_tunes == 1 else f"tune-{number}"
    stem = re.sub(r"[^\w-]+", "-", tune.title)[:60].strip("-_") or "tune"
    return {
        "heading_id": heading_id,
        "heading": "" if n_tunes == 1 else f'<h2 id="{heading_id}">{_text(name)}</h2>',
        "number": str(number),
        "name": _text(name),
        "facts": _text(facts(tune)),
        "seconds": f"{tune.seconds:.1f}",
        "audio": _data_uri("audio/mpeg", recording.audio),
        "midi": _data_uri("audio/midi", recording.midi),
        "file_name": _text(f"{stem}.mid" if n_tunes == 1 else f"{stem}-{number}.mid"),
        "picture": picture(tune),
        "data": json.dumps(_numbers(tune), separators=(",", ":")),
    }


def _numbers(tune):
    """Return the numbers that the script draws; probabilities are bytes, step by step."""
    low, high = _pitches_in_view(tune)
    levels = np.zeros((0, 128), np.uint8)
    if tune.probabilities is not None:
        n_steps, n_pitches = tune.probabilities.shape
        levels = np.zeros((n_steps, 128), np.uint8)
        pitches = slice(tune.lowest_pitch, tune.lowest_pitch + n_pitches)
        levels[:, pitches] = np.rint(255 * np.asarray(tune.probabilities, float))
    return {
        "step": tune.time_step,
        "steps": len(tune.roll),
        "given": _n_given(tune),
        "low": low,
        "high": high,
        "notes": np.concatenate(_notes(tune)).ravel().tolist(),
        "probabilities": _base64(levels[:, low : high + 1].tobytes()),
    }


def _metadata(metadata):
    """Return the section on how the tunes were made, plain values first; empty without any."""
    plain = {name: value for name, value in metadata.items() if not isinstance(value, Mapping)}
    parts = [("", plain)] if plain else []
    parts += [(name, value) for name, value in metadata.items() if isinstance(value, Mapping)]
    lists = ""
    for heading, values in parts:
        lists += f"<div>\n<h3>{_text(heading)}</h3>\n" if heading else "<div>\n"
        rows = (f"<dt>{_text(name)}</dt><dd>{_text(values[name])}</dd>\n" for name in values)
        lists += f"<dl>\n{''.join(rows)}</dl>\n</div>\n"
    if not lists:
        return ""
    return (
        '<section class="metadata" aria-labelledby="metadata">\n'
        f'<h2 id="metadata">How it was made</h2>\n<div class="sections">\n{lists}</div>\n</section>'
    )


def valid(text):
    """Return text with ? for each half of a surrogate pair, as some file names have."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(value):
    """Return a value as text for HTML."""
    return html.escape(valid(str(value)))


def _base64(content):
    return base64.b64encode(content).decode("ascii")


def _data_uri(kind, content):
    return f"data:{kind};base64,{_base64(content)}"


def _policy(template):
    """Return the Content-Security-Policy that allows the template's one style and one script."""
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
    policy += "media-src data:"
    for tag in ("style", "script"):
        content = template.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        digest = _base64(hashlib.sha256(content.encode("utf-8")).digest())
        policy += f"; {tag}-src 'sha256-{digest}'"
    return policy


def _filled(template, values):
    """Replace each {{name}} once; the values are not searched for names."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)
