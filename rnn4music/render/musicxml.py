"""Tunes as MusicXML, for notation programs and printers, written by music21.

A tune is music for piano on two staves: middle C and what is above it on the upper one. Notes of
a staff that begin and end together are a chord. Notes that overlap in other ways are in several
voices, numbered from the highest. Where a bar needs more than four voices, which notation programs
do not have, its notes are cut where any of them begins or ends, and tied. A note has an accidental
where its pitch is not that of the key, or of the last note at its place on the staff in the bar;
a note tied to one before has none.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from fractions import Fraction
from itertools import groupby
from typing import Any, NamedTuple

from midi import onset_notes, split_onsets
from midi.beats import checked_beats
from midi.files import written_whole
from midi.pitches import spelling
from midi.text import printable
from rnn4music.render import html, synthesizer

_MIDDLE_C = 60
_MOST_VOICES = 4
_FINEST = 96  # of the steps of a quarter note: a third of the shortest note value in use
CURE = "python -m pip install 'music21>=9'"


class _Piece(NamedTuple):
    """A note, or the part of one between two cuts; times in quarter notes."""

    start: Fraction
    end: Fraction
    pitch: int
    is_tied_before: bool = False
    is_tied_after: bool = False

    def cut(self, points):
        """Return the parts of the note between these sorted points, in order."""
        inside = points[bisect_right(points, self.start) : bisect_left(points, self.end)]
        bounds = [self.start, *inside, self.end]
        return [
            _Piece(
                start,
                end,
                self.pitch,
                self.is_tied_before or start > self.start,
                self.is_tied_after or end < self.end,
            )
            for start, end in zip(bounds, bounds[1:])
        ]


def write_musicxml(path, roll, lowest_pitch=21, beats=None, title="", onsets=False):
    """Write a roll as a MusicXML file for piano.

    Parameters
    ----------
    path : path
        The file to write, whole or not at all; .musicxml is the usual suffix.
    roll : (T, P), or (T, 2P) with `onsets`
        Zeros and ones.
    lowest_pitch : int
        MIDI pitch of column 0.
    beats : Beats
        How the steps lie in beats and bars, with tempo, metre and key. An upbeat becomes a
        shorter first bar.
    title : str
    onsets : bool
        Whether the roll has its struck columns beside the sounding ones.

    Returns
    -------
    path

    Raises
    ------
    ImportError
        If music21 is not installed (extra `musicxml`).
    TypeError, ValueError
        If an argument is invalid, as where there are no beats or the steps are no note values.
    """
    roll, lowest_pitch = synthesizer.validate(roll, lowest_pitch, onsets)
    exporter, beats = checked(beats)
    step = beats.step
    sounding, struck = split_onsets(roll) if onsets else (roll, None)
    notes = [
        _Piece((beats.first_step + first) * step, (beats.first_step + end) * step, pitch)
        for pitch, first, end in (onset_notes(sounding, struck) + [lowest_pitch, 0, 0]).tolist()
    ]
    score = _score(notes, (beats.first_step + len(roll)) * step, beats, title)
    content = exporter(score).parse()
    with written_whole(path) as file:
        file.write(content)
    return path


def checked(beats):
    """Return music21's exporter, and the beats.

    Raises the ImportError or ValueError of `write_musicxml`, before a tune is composed.
    """
    if beats is None:
        raise ValueError(
            "MusicXML needs steps that are parts of a beat: give "
            "beats=midi.Beats(steps_per_beat=4, tempo=120)"
        )
    beats = checked_beats(beats)
    step = beats.step
    if _FINEST % step.denominator:
        raise ValueError(
            f"a step of {step} quarter notes cannot be written in notes: steps_per_beat must be "
            "1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48 or 96"
        )
    try:
        from music21.musicxml.m21ToXml import GeneralObjectExporter
    except ImportError:
        raise ImportError(f'MusicXML needs music21 (the extra "musicxml"); run: {CURE}') from None
    return GeneralObjectExporter, beats


def _score(notes, end, beats, title):
    """Return the music21 score of notes, whose times count from a bar line."""
    from music21 import layout, metadata, stream

    staves: Any = [stream.PartStaff(id=name) for name in ("upper", "lower")]
    for staff, is_upper in zip(staves, (True, False)):
        staff.partName = "Piano"
        own = [note for note in notes if (note.pitch >= _MIDDLE_C) == is_upper]
        staff.append(_measures(own, end, beats, is_upper))
    score = stream.Score([*staves, layout.StaffGroup(staves, name="Piano", symbol="brace")])
    score.metadata = metadata.Metadata(title=printable(html.valid(title)) or "Untitled")
    score.metadata.composer = ""  # instead of music21's name
    return score


def _measures(notes, end, beats, is_upper):
    """Return the measures of a staff."""
    from music21 import bar, clef, key, meter, stream, tempo
    from music21.stream.enums import ShowNumber

    length = beats.steps_per_bar * beats.step
    upbeat = beats.first_step * beats.step
    lines = [number * length for number in range(-(-end // length))]
    pieces = defaultdict(list)
    for note in notes:
        for piece in note.cut(lines):
            pieces[piece.start // length].append(piece)
    measures = []
    for number, line in enumerate(lines):
        measure: Any = stream.Measure(number=number + (upbeat == 0))
        for voice_number, chords in enumerate(_voices(pieces[number]), start=1):
            voice = stream.Voice(id=str(voice_number))
            voice.append([*_elements(chords, max(line, upbeat), line + length, beats.key)])
            measure.insert(0, voice)
        _show_accidentals(measure, beats.key[0] if beats.key else 0)
        measures.append(measure)
    first = measures[0]
    if upbeat:
        first.showNumber = ShowNumber.NEVER  # "implicit": a bar that is not counted
        first.paddingLeft = upbeat
    first.insert(0, clef.TrebleClef() if is_upper else clef.BassClef())
    if beats.key is not None:
        sharps, is_minor = beats.key
        first.insert(0, key.KeySignature(int(sharps)).asKey("minor" if is_minor else "major"))
    first.insert(0, meter.TimeSignature("/".join(map(str, beats.meter))))
    if is_upper:
        first.insert(0, tempo.MetronomeMark(number=round(float(beats.tempo), 2)))
    measures[-1].rightBarline = bar.Barline("final")
    return measures


def _voices(pieces):
    """Return the voices of a bar: for each a list of chords, which are lists of pieces."""
    chords = defaultdict(list)
    for piece in pieces:
        chords[piece.start, piece.end].append(piece)
    voices = [[]]
    for chord in sorted(chords.values(), key=lambda chord: (chord[0].start, -chord[-1].pitch)):
        free = [voice for voice in voices if not voice or voice[-1][0].end <= chord[0].start]
        if not free:
            free = [[]]
            voices += free
        free[0].append(chord)
    if len(voices) > _MOST_VOICES:
        points = {point for piece in pieces for point in (piece.start, piece.end)}
        return _voices([part for piece in pieces for part in piece.cut(sorted(points))])
    return voices


def _show_accidentals(measure, sharps):
    """Show the accidentals of a bar that are needed, whichever voices its notes are in."""
    from music21 import pitch

    notes = [
        (element.offset, note)
        for voice in measure.voices
        for element in voice.notes
        for note in getattr(element, "notes", [element])
    ]
    in_force: dict[Any, Any] = {
        letter: (number < sharps) - (number >= 7 + sharps)
        for number, letter in enumerate("FCGDAEB")
    }  # by letter from the key, and by letter and octave from the bar; None after two at a time
    for _, together in groupby(sorted(notes, key=lambda each: each[0]), lambda each: each[0]):
        found = defaultdict(set)
        for _, note in together:
            name = note.pitch
            is_tied_before = note.tie is not None and note.tie.type != "start"
            place, raised = (name.step, name.octave), name.alter
            is_needed = not is_tied_before and in_force.get(place, in_force[name.step]) != raised
            if is_needed or raised:
                name.accidental = pitch.Accidental(raised)
                name.accidental.displayStatus = is_needed
            if not is_tied_before:
                found[place].add(raised)
        for place, signs in found.items():
            in_force[place] = signs.pop() if len(signs) == 1 else None


def _elements(chords, begin, end, key):
    """Yield the chords, notes and rests of a voice from `begin` to `end`."""
    from music21 import chord, note, pitch, tie

    for pieces in chords:
        start = pieces[0].start
        if start > begin:
            yield note.Rest(quarterLength=start - begin)
        begin = pieces[0].end
        notes = []
        for piece in pieces:
            letter, raised, octave = spelling(piece.pitch, key[0] if key else 0)
            if octave < 0:
                raise ValueError(f"pitch {piece.pitch} is below octave 0, the lowest of MusicXML")
            name = pitch.Pitch(letter, octave=octave, accidental=raised or None)
            notes.append(note.Note(name, quarterLength=begin - start))
            if piece.is_tied_before or piece.is_tied_after:
                kinds = {(False, True): "start", (True, True): "continue", (True, False): "stop"}
                notes[-1].tie = tie.Tie(kinds[piece.is_tied_before, piece.is_tied_after])
        yield notes[0] if len(notes) == 1 else chord.Chord(notes, quarterLength=begin - start)
    if begin < end:
        yield note.Rest(quarterLength=end - begin)
