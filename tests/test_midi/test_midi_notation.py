"""Files with beats in a notation program: music21 reads them as they were written."""

from fractions import Fraction

import numpy as np
import pytest

from midi import Beats, midiwrite, onset_notes

converter = pytest.importorskip("music21.converter")


def random_tune(rng, grid, meter, with_upbeat):
    """Return a roll and an onset roll of a few bars, and their beats."""
    steps_per_bar = int(Beats(grid, meter=meter).steps_per_bar)
    first_step = 0
    if with_upbeat:  # of quarter notes on grids of triplets: no time signature lasts a triplet
        unit = grid if grid % 3 == 0 else 1
        first_step = int(unit * rng.integers(1, steps_per_bar / unit))
    shape = int(rng.integers(3, 6)) * steps_per_bar - first_step, 5
    roll, onset_roll = rng.random(shape) < 0.6, rng.random(shape) < 0.3
    roll[0, 0] = roll[-1, 0] = True
    # music21 10.5 fails to divide notes that cross two bar lines where there are several voices
    onset_roll[2 * steps_per_bar - first_step :: 2 * steps_per_bar] = True
    key = int(rng.integers(-7, 8)), bool(rng.integers(2))
    return roll, onset_roll, Beats(grid, int(rng.integers(40, 200)), meter, first_step, key)


def single_notes(measure):
    """Return the notes of a measure with their offsets and ends, those of chords one by one."""
    notes = []
    for element in measure.recurse().notes:
        offset = element.getOffsetInHierarchy(measure)
        end = offset + element.quarterLength  # the notes of a chord may have another
        notes += [(offset, note, end) for note in getattr(element, "notes", [element])]
    return sorted(notes, key=lambda note: note[0])


def untied(measures):
    """Return (pitch, start, end) of all notes; assert that only bar lines divide notes."""
    found, tied, bar_line = [], {}, 0
    for measure in measures:  # whose own offsets are too late in music21 10.5 if voices end late
        for offset, note, end in single_notes(measure):
            kind, pitch = note.tie.type if note.tie else "", note.pitch.midi
            assert end <= measure.barDuration.quarterLength
            begin = bar_line + offset
            if kind in ("stop", "continue"):
                assert offset == 0
                begin = tied.pop(pitch)
            if kind in ("start", "continue"):
                assert end == measure.barDuration.quarterLength
                tied[pitch] = begin
            else:
                found.append((pitch, begin, bar_line + end))
        bar_line += measure.barDuration.quarterLength
    assert not tied
    return sorted((pitch, on_grid(begin), on_grid(end)) for pitch, begin, end in found)


def on_grid(offset):
    """Return an offset, which may be a float near a triplet, as a fraction."""
    return Fraction(offset).limit_denominator(96)


@pytest.mark.parametrize("with_upbeat", [False, True])
@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (6, 8), (2, 4)])
@pytest.mark.parametrize("grid", [1, 2, 3, 4, 6, 8, 12])
def test_music21_reads_what_was_written(tmp_path, grid, meter, with_upbeat):
    rng = np.random.default_rng([grid, *meter, with_upbeat])
    for number in range(3):
        roll, onset_roll, beats = random_tune(rng, grid, meter, with_upbeat)
        path = tmp_path / f"{number}.mid"
        midiwrite(path, roll, (60, 65), onset_roll=onset_roll, beats=beats, format=number % 2)
        expected = [
            (60 + column, first * beats.step, end * beats.step)
            for column, first, end in onset_notes(roll, onset_roll).tolist()
        ]
        bar = beats.steps_per_bar * beats.step
        n_bars = -(-(len(roll) + beats.first_step) // beats.steps_per_bar)
        lengths = [bar - beats.first_step * beats.step, *[bar] * (n_bars - 1)]
        # By default it rounds to sixteenths and triplets, and gives notes that start together
        # one length if their ends are at most a sixteenth apart.
        for exact in (False, True) if grid in (1, 2, 4) else (True,):
            rounding = {"quantizePost": False} if exact else {}
            score = converter.parse(path, forceSource=True, **rounding)
            (part,) = score.parts
            measures = list(part.getElementsByClass("Measure"))
            assert [measure.barDuration.quarterLength for measure in measures] == lengths
            assert not exact or untied(measures) == expected
            if grid % 3:
                assert not any(note.duration.tuplets for note in part.recurse().notesAndRests)
            (mark,) = part.recurse().getElementsByClass("MetronomeMark")
            assert round(mark.number) == beats.tempo
            (key,) = part.recurse().getElementsByClass("Key")
            assert (key.sharps, key.mode == "minor") == beats.key
