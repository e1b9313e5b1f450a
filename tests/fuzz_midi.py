"""Fuzz the MIDI reader, guided by coverage (needs atheris; not part of the suite).

    python tests/fuzz_midi.py -max_total_time=3600 -timeout=10 -rss_limit_mb=0 CORPUS

CORPUS is a folder, empty or with MIDI files, each after a byte that sets the options. Inputs that
cover new branches are added to it. (-rss_limit_mb=0: atheris itself grows by some KB per run.)
For any bytes and options the reader has to return a roll of zeros and ones that agrees with its
notes, or raise MidiError, in little time and memory. Leaving out silence loses no cell. The events
that it reads in runs must equal those that it reads one by one.
"""

import sys
from unittest import mock

import atheris

with atheris.instrument_imports(include=["midi"]):
    from midi import MidiError, events, reading

import numpy as np

MOST_CELLS = 100_000
NO_RUNS = mock.patch.object(events._Runs, "end", lambda self, position, end: position)


def read_anything(data):
    switches, file = data[0] if data else 0, data[1:]
    options = reading.check_options(
        (0, 128) if switches & 1 else (21, 109),
        dt=None if switches & 2 else (0.3, 1e-5, 7.77, 60.0)[switches >> 6],
        steps_per_beat=(4, 0.1, 3, 1000)[switches >> 6] if switches & 2 else None,
        tempo=120 if switches & 4 else None,
        drums=bool(switches & 8),
        sustain=bool(switches & 16),
        keep_short=bool(switches & 32),
        most_cells=MOST_CELLS,
    )
    try:
        content = reading.read_bytes(file, options)
    except MidiError as error:
        assert error.reason
        return
    check_roll(content, options)
    check_events(file)
    check_silence(file, options, content.piano_roll)
    strict = options._replace(strict=True)
    if content.damage:
        try:
            reading.read_bytes(file, strict)
        except MidiError:
            return
        raise AssertionError("a damaged file was read although strict")
    again = reading.read_bytes(file, strict)
    np.testing.assert_array_equal(again.piano_roll, content.piano_roll)


def check_events(file):
    _, found = events.read_events(file)
    with NO_RUNS:
        _, expected = events.read_events(file)
    for ours, theirs in zip(found, expected):
        np.testing.assert_array_equal(ours, theirs)


def check_silence(file, options, roll):
    shorter = reading.read_bytes(file, options._replace(most_silence=3))
    assert len(shorter.piano_roll) + shorter.n_silent == len(roll)
    np.testing.assert_array_equal(shorter.piano_roll.sum(axis=0), roll.sum(axis=0))


def check_roll(content, options):
    roll = content.piano_roll
    lowest, highest = options.pitch_range
    assert roll.shape[1] == highest - lowest and roll.size <= MOST_CELLS
    assert np.isin(roll, (0, 1)).all()
    assert {note.pitch for note in content.notes} <= set(range(lowest, highest))
    assert all(0 <= note.start <= note.end for note in content.notes)
    heard = set((np.flatnonzero(roll.any(axis=0)) + lowest).tolist())
    assert heard <= {note.pitch for note in content.notes}
    if options.keep_short:
        assert heard == {note.pitch for note in content.notes if note.start < note.end}
    assert content.n_too_short <= len(content.notes)


if __name__ == "__main__":
    atheris.Setup(sys.argv, read_anything)
    atheris.Fuzz()
