"""A tune as a page to look at and listen to: one HTML file without references to others.

`page.html` is the template. It holds the markup, the style and the one script; the sound and
the MIDI file stand in the page as data: URIs. The Content-Security-Policy allows that style and
that script by their hashes, and no request to anywhere.

Conventions
-----------
A tune is anything with the attributes of `rnn4music.render.tune.Tune`; a note is a run of steps in
which a pitch is on. In the page a step counts from the first composed one: the given start has
negative steps; it is drawn and not played. Text of the user stands only in HTML text and
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

    Parameters
    ----------
    recordings : list of Recording
        At least one; each has a section of the page.
    metadata : dict, optional
        How the tunes were made: names to values, or headings to dicts of those. Values are shown
        as `str` returns them.
    title : str, optional
        Default: the title of the tune, or the number of tunes.

    Returns
    -------
    str
        The same for the same arguments.
    """
    metadata = metadata or {}
    if not isinstance(metadata, Mapping):
        kind = type(metadata).__name__
        raise TypeError(f"metadata must be a dict of names to values, not {kind}")
    template = resources.files("rnn4music.render").joinpath("page.html").read_text("utf-8")
    head, section, tail = template.split("<!-- tune -->\n")
    style, script = (_between(template, tag) for tag in ("style", "script"))
    names = [
        recording.tune.title or ("A tune" if len(recordings) == 1 else f"Tune {k}")
        for k, recording in enumerate(recordings, start=1)
    ]
    if title is None:
        title = names[0] if len(names) == 1 else f"{len(names)} tunes"
    values = {
        "policy": "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"media-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'",
        "title": _text(title),
        "metadata": _metadata(metadata),
    }
    sections = [
        _filled(section, _section(recording, name, k, len(names)))
        for k, (recording, name) in enumerate(zip(recordings, names), start=1)
    ]
    return _filled(head, values) + "".join(sections) + _filled(tail, values)


def fragment(tune, audio):
    """Return the roll and a player of a tune as a piece of HTML without style sheet or script.

    Parameters
    ----------
    tune : Tune
    audio : bytes
        MP3.

    Returns
    -------
    str
    """
    heading = f"<strong>{_text(tune.title)}</strong><br>" if tune.title else ""
    return (
        f'<div style="max-width: 60em"><p>{heading}{_text(facts(tune))}</p>\n'
        f"{picture(tune)}\n"
        f'<audio controls preload="metadata" src="{_data_uri("audio/mpeg", audio)}" '
        f'aria-label="Player: {_text(tune.title or "A tune")}" style="width: 100%"></audio></div>'
    )


def facts(tune):
    """Return a sentence on the notes, range and length of a tune."""
    pitches = notes(tune.roll, tune.lowest_pitch)[:, 0]
    counted = f"{len(pitches):,} note{'s' * (len(pitches) != 1)}" if len(pitches) else "Silence"
    if len(pitches):
        low, high = (pitch_name(p).replace("#", "♯") for p in (pitches.min(), pitches.max()))
        counted += f" on {low}" if low == high else f" from {low} to {high}"
    steps = f"{len(tune.roll)} step{'s' * (len(tune.roll) != 1)} of {tune.time_step:g}\u00a0s"
    start = "" if tune.start is None else f", after a given start of {len(tune.start)}"
    return f"{counted} in {tune.seconds:.1f} seconds: {steps}{start}."


def notes(roll, lowest_pitch, first_step=0):
    """Return the notes of a roll, by start, then pitch.

    Parameters
    ----------
    roll : (T, P)
    lowest_pitch : int
        MIDI pitch of column 0.
    first_step : int
        The number of row 0.

    Returns
    -------
    (number of notes, 3) int
        Pitch, first step, and number of steps.
    """
    column, first, end = pianoroll.notes(roll).T
    rows = np.column_stack([column + lowest_pitch, first + first_step, end - first])
    return rows[np.lexsort((rows[:, 0], rows[:, 1]))]


def picture(tune):
    """Return the roll of a tune as an SVG element, in the colour of the text around it."""
    given, composed = _given(tune), notes(tune.roll, tune.lowest_pitch)
    low, high = _pitches_in_view(tune)
    first = 0 if tune.start is None else -len(tune.start)
    paths = "".join(
        f'<path d="{_path(drawn, high)}" fill="currentColor" fill-opacity="{opacity}"/>'
        for drawn, opacity in ((given, 0.4), (composed, 1))
    )
    return (
        f'<svg role="img" aria-label="Piano roll. {_text(facts(tune))}" '
        f'viewBox="{first} 0 {len(tune.roll) - first} {high - low + 1}" '
        f'preserveAspectRatio="none" width="100%" height="220">{paths}</svg>'
    )


def _path(rows, highest_pitch):
    """Return notes as the outline of an SVG path; a step and a pitch are one unit."""
    return "".join(
        f"M{start} {highest_pitch - pitch}h{length}v.8h-{length}z"
        for pitch, start, length in rows.tolist()
    )


def _given(tune):
    """Return the notes of the start, at negative steps."""
    if tune.start is None:
        return np.zeros((0, 3), int)
    return notes(tune.start, tune.lowest_pitch, first_step=-len(tune.start))


def _pitches_in_view(tune):
    """Return the lowest and the highest pitch that are drawn, both included."""
    is_used = (np.asarray(tune.roll) > 0).any(axis=0)
    if tune.start is not None:
        is_used |= (np.asarray(tune.start) > 0).any(axis=0)
    if tune.probabilities is not None:
        is_used |= (np.asarray(tune.probabilities) >= _LEAST_PROBABILITY).any(axis=0)
    used = np.flatnonzero(is_used)
    low, high = (used[0] - 2, used[-1] + 2) if len(used) else (27, 51)
    missing = max(_LEAST_PITCHES - (high - low + 1), 0)
    low, high = low - missing // 2, high + missing - missing // 2
    low, high = (max(int(pitch) + tune.lowest_pitch, 0) for pitch in (low, high))
    return low, min(high, 127)


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
    cells = b""
    if tune.probabilities is not None:
        n_steps, n_pitches = np.shape(tune.probabilities)
        levels = np.zeros((n_steps, 128), np.uint8)
        levels[:, tune.lowest_pitch : tune.lowest_pitch + n_pitches] = np.rint(
            255 * np.asarray(tune.probabilities, float)
        )
        cells = levels[:, low : high + 1].tobytes()
    return {
        "step": tune.time_step,
        "steps": len(tune.roll),
        "given": 0 if tune.start is None else len(tune.start),
        "low": low,
        "high": high,
        "notes": np.concatenate([_given(tune), notes(tune.roll, tune.lowest_pitch)])
        .ravel()
        .tolist(),
        "probabilities": base64.b64encode(cells).decode("ascii"),
    }


def _metadata(metadata):
    """Return the section on how the tunes were made; empty without metadata."""
    plain = {name: value for name, value in metadata.items() if not isinstance(value, Mapping)}
    parts = [("", plain)] if plain else []
    parts += [(name, value) for name, value in metadata.items() if isinstance(value, Mapping)]
    if not parts:
        return ""
    lists = "".join(f"<div>\n{_heading(name)}{_description(part)}</div>\n" for name, part in parts)
    return (
        '<section class="metadata" aria-labelledby="metadata">\n'
        f'<h2 id="metadata">How it was made</h2>\n<div class="sections">\n{lists}</div>\n</section>'
    )


def _heading(name):
    return f"<h3>{_text(name)}</h3>\n" if name else ""


def _description(part):
    rows = (f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>\n" for name, value in part.items())
    return f"<dl>\n{''.join(rows)}</dl>\n"


def _text(value):
    """Return a value as text for HTML; half a surrogate pair, as in some file names, becomes ?."""
    return html.escape(str(value).encode("utf-8", "replace").decode("utf-8"))


def _data_uri(kind, content):
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _between(template, tag):
    """Return the content of the template's only `tag` without attributes."""
    return template.split(f"<{tag}>")[1].split(f"</{tag}>")[0]


def _digest(content):
    """Return the name of an inline style or script in a Content-Security-Policy."""
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def _filled(template, values):
    """Replace each {{name}} once; the values are not searched for names."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)
