"""A tune as one self-contained HTML page with a player and a moving piano roll.

The template `page.html` contains the markup, one style sheet and one script. The sound and the
MIDI file are embedded as data: URIs. The Content-Security-Policy allows the style sheet and the
script by their hashes, and no network requests.

Conventions
-----------
A tune is an object with the attributes of `rnn4music.render.tune.Tune`. Consecutive steps in which
a pitch is on are one note, unless strikes divide it. In tunes with onsets, the head of a note, in a
stronger colour, marks where it is struck; a note held over from the start has none. Steps are
counted from the first composed one, so those of the given start are negative. The sound of a page
begins with the start, and the page shows times in that sound. Bars are counted from its beginning
too; bar 1 is the first whole one. Text from the user appears only in
HTML text and attributes, escaped; the script reads only numbers.
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

from midi import canonical_onsets, onset_notes, split_onsets
from midi.pitches import pitch_name
from midi.text import count
from rnn4music.data import pianoroll

_LEAST_PITCHES = 25  # rows drawn, even for a single pitch
_LEAST_PROBABILITY = 0.05  # that brings a pitch into view
_GIVEN, _COMPOSED, _LINES = "#a8772c", "#3d82b8", "#808080"  # on light and dark backgrounds
_MOST_LABELS = 12  # of bars or seconds
_HEAD = 0.3  # steps


class Recording(NamedTuple):
    """A tune with its sound, MP3 with the start if there is one, and its MIDI file, as bytes."""

    tune: object
    audio: bytes
    midi: bytes


def page(recordings, metadata=None, title=None):
    """Return a page with a player, a moving piano roll and a MIDI file for each tune.

    Parameters as for `tune.write_page`. The same arguments give the same page.
    """
    metadata = metadata or {}
    if not isinstance(metadata, Mapping):
        kind = type(metadata).__name__
        raise TypeError(f"metadata must be a dict of names to values, not {kind}")
    template = template_of("page.html")
    head, section, tail = template.split("<!-- tune -->\n")
    n_tunes = len(recordings)
    names = [
        recording.tune.title or ("A tune" if n_tunes == 1 else f"Tune {k}")
        for k, recording in enumerate(recordings, start=1)
    ]
    if title is None:
        title = names[0] if n_tunes == 1 else f"{n_tunes} tunes"
    values = {"policy": policy(template), "title": _text(title), "metadata": section_of(metadata)}
    sections = [
        _filled(section, _section(recording, name, k, n_tunes))
        for k, (recording, name) in enumerate(zip(recordings, names), start=1)
    ]
    return _filled(head, values) + "".join(sections) + _filled(tail, values)


def fragment(tune, audio, reason=""):
    """Return the roll and a player of a tune, as HTML without a style sheet or script.

    `audio` is the MP3; None omits the player. `reason` says why, or what the player leaves out.
    """
    heading = f"<strong>{_text(tune.title)}</strong><br>" if tune.title else ""
    player = f"<p>There is no player: {_text(reason)}.</p>"
    if audio is not None:
        player = (
            f'<audio controls preload="metadata" src="{_data_uri("audio/mpeg", audio)}" '
            f'aria-label="Player: {_text(tune.title or "A tune")}" style="width: 100%"></audio>'
        )
        player += f"<p>{_text(reason)}</p>" if reason else ""
    return (
        f'<div style="max-width: 60em"><p>{heading}{_text(facts(tune))}</p>\n'
        f"{_with_axes(tune)}\n{_legend(tune)}{player}</div>"
    )


def _with_axes(tune):
    """Return `picture`, with the names of pitches beside it, and bars or seconds below it."""
    low, high = _pitches_in_view(tune)
    n_given, height = _n_given(tune), high - low + 1
    n_steps, labels = n_given + len(tune.roll), []
    for pitch in range(low, high + 1):
        if pitch % 12 == 0:
            place = f"right: 100%; top: {100 * (high - pitch + 0.5) / height:.4g}%"
            labels.append((place, "translate(-0.4em, -50%)", pitch_name(pitch)))
    if tune.beats is None:
        seconds, every = n_steps * tune.time_step, 10.0 ** np.floor(np.log10(tune.time_step))
        while seconds > _MOST_LABELS * every:
            every *= 2.5 if f"{every:e}"[0] == "2" else 2  # 1, 2, 5, 10, …
        first = np.ceil(round(-tune.start_seconds / every, 6))
        numbers = every * np.arange(first, seconds / every + first)
        below, places = "seconds", numbers / tune.time_step + n_given
    else:
        places = _bar_lines(tune) + n_given
        every = -(-len(places) // _MOST_LABELS)
        below, numbers = "bar", np.arange(1, len(places) + 1)[::every]
        places = places[::every]
    for place, number in zip(places.tolist(), numbers.tolist()):
        if place <= n_steps:
            where = f"top: 100%; left: {100 * place / n_steps:.4g}%"
            labels.append((where, "translateX(-50%)", f"{round(number, 6) + 0.0:g}"))
    labels.append(("top: 100%; left: 50%", "translate(-50%, 1.3em)", below))
    spans = "".join(
        f'<span style="position: absolute; {place}; transform: {moved}">{text}</span>'
        for place, moved, text in labels
    )
    frame = f"position: relative; margin: 0 1em 3em 3em; border: 1px solid {_LINES}"
    drawing = f'<div style="color: {_COMPOSED}; line-height: 0">{picture(tune)}</div>'
    return f'<div style="{frame}; font-size: 85%; line-height: 1.4">{drawing}{spans}</div>'


def _bar_lines(tune):
    """Return the step at which each bar begins, counted from the first composed one."""
    bar, n_given = float(tune.beats.steps_per_bar), _n_given(tune)
    return np.arange(-tune.beats.first_step % bar, n_given + len(tune.roll), bar) - n_given


def _legend(tune):
    """Return a line naming the colours of `picture`; empty without a start."""
    if tune.start is None:
        return ""
    played = "played first" if tune.with_start else "not played"
    return (
        f'<p><span style="color: {_GIVEN}">■</span> given start ({played})'
        f'&emsp;<span style="color: {_COMPOSED}">■</span> composed</p>\n'
    )


def facts(tune):
    """Return a sentence with the number of notes, the range and the length of a tune."""
    pitches = _notes(tune)[1][:, 0]
    notes = count(len(pitches), "note") if len(pitches) else "Silence"
    if len(pitches):
        low, high = pitch_name(pitches.min()), pitch_name(pitches.max())
        notes += f" on {low}" if low == high else f" from {low} to {high}"
    steps = f"{count(len(tune.roll), 'step')} of {tune.time_step:g}\u00a0s"
    if tune.beats is not None:
        above, below = tune.beats.meter
        steps += f", in {above}/{below} at {tune.beats.tempo:g} quarter notes per minute"
    if tune.start is not None:
        steps += f", after a given start of {count(len(tune.start), 'step')}"
    dropped = ""
    if tune.n_dropped_onsets:
        n_struck = int(np.count_nonzero(split_onsets(tune.roll)[1]))
        are = "is" if tune.n_dropped_onsets == 1 else "are"
        dropped = f" {tune.n_dropped_onsets:,} of {count(n_struck, 'strike')} {are} of a silent"
        dropped += " pitch and left out."
    return f"{notes} in {tune.seconds:,.1f} seconds: {steps}.{dropped}"


def picture(tune):
    """Return the roll of a tune as an SVG element, one unit per step and per pitch.

    Composed notes have the colour of the surrounding text; the start has its own and is shaded.
    With onsets, notes are paler than their heads.
    """
    low, high = _pitches_in_view(tune)
    paths = ""
    opacity = ' fill-opacity="0.65"' if tune.onsets else ""
    for notes, colour in zip(_notes(tune), (_GIVEN, "currentColor")):
        outlines = "".join(
            f"M{start} {high - pitch}h{length}v.8h-{length}z"
            for pitch, start, length in notes.tolist()
        )
        paths += f'<path d="{outlines}" fill="{colour}"{opacity}/>'
    heads = ["", ""]
    for pitch, step in _heads(tune).tolist():
        heads[step >= 0] += f"M{step} {high - pitch}h{_HEAD}v.8h-{_HEAD}z"
    for outlines, colour in zip(heads, (_GIVEN, "currentColor")):
        paths += f'<path d="{outlines}" fill="{colour}"/>' * bool(outlines)
    n_given, height = _n_given(tune), high - low + 1
    stroke = f'stroke="{_LINES}" stroke-opacity="0.5" vector-effect="non-scaling-stroke"'
    lines = [f"M{-n_given} {high - pitch + 1}h{n_given + len(tune.roll)}"  # below each C
             for pitch in range(low + 1, high + 1) if pitch % 12 == 0]  # fmt: skip
    if tune.beats is not None:
        lines += [f"M{line:g} 0v{height}" for line in _bar_lines(tune).tolist()]
    paths = f'<path d="{"".join(lines)}" {stroke}/>' * bool(lines) + paths
    if n_given:
        place = f'x="{-n_given}" y="0" width="{n_given}" height="{height}"'
        paths = f'<rect {place} fill="{_GIVEN}" fill-opacity="0.15"/>' + paths
    return (
        f'<svg role="img" aria-label="Piano roll. {_text(facts(tune))}" '
        f'viewBox="{-n_given} 0 {n_given + len(tune.roll)} {height}" '
        f'preserveAspectRatio="none" width="100%" height="220">{paths}</svg>'
    )


def _n_given(tune):
    return 0 if tune.start is None else len(tune.start)


def _notes(tune):
    """Return the notes of the start, at negative steps, and the composed notes.

    Each array is (notes, 3): pitch, first step, number of steps; sorted by first step, then pitch.
    """
    result = []
    given = tune.roll[:0] if tune.start is None else tune.start
    for roll, first_step in ((given, -len(given)), (tune.roll, 0)):
        column, first, end = onset_notes(*pianoroll.halves(roll, tune.onsets)).T
        notes = np.column_stack([column + tune.lowest_pitch, first + first_step, end - first])
        result.append(notes[np.argsort(first, kind="stable")])  # columns were in order
    return result


def _heads(tune):
    """Return the pitch and the step of each head, by step: (heads, 2); empty without onsets."""
    if not tune.onsets:
        return np.zeros((0, 2), int)
    whole = tune.roll if tune.start is None else np.vstack([tune.start, tune.roll])
    step, column = np.nonzero(canonical_onsets(*split_onsets(whole)))
    return np.column_stack([column + tune.lowest_pitch, step - _n_given(tune)])


def _pitches_in_view(tune):
    """Return the lowest and the highest pitch to draw, both inclusive."""
    rolls = [roll for roll in (tune.roll, tune.start, tune.probabilities) if roll is not None]
    used = np.flatnonzero(np.vstack(rolls)[:, : tune.n_pitches].max(axis=0) >= _LEAST_PROBABILITY)
    low, high = (used[0] - 2, used[-1] + 2) if len(used) else (27, 51)
    missing = max(_LEAST_PITCHES - (high - low + 1), 0)
    low, high = low - missing // 2, high + missing - missing // 2
    return max(int(low) + tune.lowest_pitch, 0), min(int(high) + tune.lowest_pitch, 127)


def _section(recording, name, number, n_tunes):
    """Return the values of a tune's section in the template."""
    tune = recording.tune
    heading_id = "title" if n_tunes == 1 else f"tune-{number}"
    stem = re.sub(r"[^\w-]+", "-", tune.title)[:60].strip("-_") or "tune"
    return {
        "heading_id": heading_id,
        "heading": "" if n_tunes == 1 else f'<h2 id="{heading_id}">{_text(name)}</h2>',
        "number": str(number),
        "name": _text(name),
        "facts": _text(facts(tune)),
        "seconds": f"{tune.start_seconds + tune.seconds:.1f}",
        "audio": _data_uri("audio/mpeg", recording.audio),
        "midi": _data_uri("audio/midi", recording.midi),
        "file_name": _text(f"{stem}.mid" if n_tunes == 1 else f"{stem}-{number}.mid"),
        "picture": picture(tune),
        "given": "" if tune.start is None else " The sound begins with the given start, in brown.",
        "data": json.dumps(_numbers(tune), separators=(",", ":")),
    }


def _numbers(tune):
    """Return the numbers for the script; probabilities are bytes, step by step."""
    low, high = _pitches_in_view(tune)
    levels = np.zeros((0, 128), np.uint8)
    if tune.probabilities is not None:
        sounding = np.asarray(tune.probabilities, float)[:, : tune.n_pitches]
        levels = np.zeros((len(sounding), 128), np.uint8)
        pitches = slice(tune.lowest_pitch, tune.lowest_pitch + tune.n_pitches)
        levels[:, pitches] = np.rint(255 * sounding)
    return {
        "step": tune.time_step,
        "steps": len(tune.roll),
        "given": _n_given(tune),
        "withStart": tune.with_start,
        **_bars(tune.beats),
        "low": low,
        "high": high,
        "notes": np.concatenate(_notes(tune)).ravel().tolist(),
        "heads": _heads(tune).ravel().tolist(),
        "probabilities": _base64(levels[:, low : high + 1].tobytes()),
    }


def _bars(beats):
    """Return the steps and the counts of a bar, 0 if unknown, and the place of the first step."""
    if beats is None:
        return {"bar": 0, "counts": 0, "firstStep": 0}
    bar = float(beats.steps_per_bar)
    return {"bar": bar, "counts": beats.counts_per_bar, "firstStep": beats.first_step}


def section_of(metadata, folded=False):
    """Return the section on how something was made, plain values first, or an empty string."""
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
    lists = f'<div class="sections">\n{lists}</div>\n'
    if folded:
        summary = "<summary>How it was made</summary>"
        return f'<details class="metadata">\n{summary}\n{lists}</details>'
    heading = '<h2 id="metadata">How it was made</h2>'
    return f'<section class="metadata" aria-labelledby="metadata">\n{heading}\n{lists}</section>'


def valid(text):
    """Replace lone surrogates, as in file names that are not UTF-8, by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(value):
    """Return a value as escaped HTML text."""
    return html.escape(valid(str(value)))


def _base64(content):
    return base64.b64encode(content).decode("ascii")


def _data_uri(kind, content):
    return f"data:{kind};base64,{_base64(content)}"


def template_of(name):
    """Return a template with the files that it includes."""
    files = resources.files("rnn4music.render")
    text = files.joinpath(name).read_text("utf-8")
    return re.sub(r"\{\{include (\S+)\}\}\n", lambda match: template_of(match[1]), text)


def policy(template, more=""):
    """Return a Content-Security-Policy that allows the template's style sheet and script."""
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
    policy += f"media-src data:{more}"
    for tag in ("style", "script"):
        content = template.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        digest = _base64(hashlib.sha256(content.encode("utf-8")).digest())
        policy += f"; {tag}-src 'sha256-{digest}'"
    return policy


def _filled(template, values):
    """Replace each {{name}} by its value, once; placeholders within values are left alone."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)
