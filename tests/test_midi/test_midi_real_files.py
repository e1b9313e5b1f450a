"""Real files: agreement with independent libraries, and odd files.

The files are in the folder that RNN4MUSIC_TEST_DATA names, or in `shared` beside the
repository: midi/piano holds real pieces, midi/odd the test files of parsers.
"""

import contextlib
import os
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from midi import MidiError, MidiWarning, midiread

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("RNN4MUSIC_TEST_DATA") or ROOT.parent / "shared") / "midi"
EVERY_PITCH = (0, 128)

# The expected result for each odd file: (rows at dt = 0.3, notes, reported damage), or the
# reason why it is refused.
ODD = {
    # format 0 with two tracks: they start together
    "jazzsoft__test-2-tracks-type-0.mid": (15, 16, ""),
    "jazzsoft__test-2-tracks-type-1.mid": (15, 16, ""),
    # format 2: independent tracks, one after the other
    "jazzsoft__test-2-tracks-type-2.mid": (30, 16, ""),
    "jazzsoft__test-c-major-scale.mid": (14, 8, ""),
    # a byte after the end-of-track event is ignored
    "jazzsoft__test-corrupt-file-extra-byte.mid": (14, 8, ""),
    # the last byte, the length of the end-of-track event, is missing: all notes are there
    "jazzsoft__test-corrupt-file-missing-byte.mid": (14, 8, "should have 246 bytes"),
    "jazzsoft__test-empty-file.mid": "empty",
    # a track without events has no length
    "jazzsoft__test-empty.mid": (0, 0, ""),
    # system messages are not allowed, but their lengths are known: they are skipped
    "jazzsoft__test-illegal-message-all.mid": (14, 8, "0xF1 at byte 187"),
    "jazzsoft__test-illegal-message-f4.mid": (14, 8, "0xF4 at byte 205"),
    "jazzsoft__test-karaoke-kar.mid": (36, 29, ""),
    "jazzsoft__test-multichannel-chords-0.mid": (14, 24, ""),
    # a chunk of another name is skipped, as the standard requires
    "jazzsoft__test-non-midi-track.mid": (14, 8, ""),
    "jazzsoft__test-not-a-midi-file.mid": "not a MIDI file",
    "jazzsoft__test-note-on-velocity.mid": (15, 9, ""),
    # many programs write running status across meta and system exclusive events
    "jazzsoft__test-running-status-metaevent.mid": (14, 8, ""),
    "jazzsoft__test-running-status-sysex.mid": (14, 8, ""),
    # the roll lasts to the end of the track, even in silence
    "jazzsoft__test-silence-end-of-track.mid": (17, 0, ""),
    "jazzsoft__test-smpte-offset.mid": (14, 8, ""),
    "jazzsoft__test-track-length.mid": (5, 1, ""),
    "jazzsoft__test-vlq-2-byte.mid": (14, 8, ""),
    "jazzsoft__test-vlq-4-byte.mid": (14, 8, ""),
    "muspy__multichannel.mid": (2, 4, ""),
    # as SMPTE, 0xFFFF is one frame per second of 255 ticks, which the standard does not allow
    "muspy__negative-ticks-per-beat.mid": "time division 0xFFFF is not valid",
    "muspy__tempos.mid": (15, 2, ""),
    # the header announces no tracks: a file without music
    "muspy__type2.mid": (0, 0, ""),
    "muspy__zero-ticks-per-beat.mid": "a quarter note has 0 ticks",
    "noteseq__event_order.mid": (34, 3, ""),
    "pythonmidi__mary.mid": (62, 34, ""),
}


def files(folder):
    found = sorted((DATA / folder).glob("*.mid"))
    if not found:
        pytest.skip(
            f"no .mid files in {DATA / folder}; RNN4MUSIC_TEST_DATA may name another folder"
        )
    return found


def test_every_odd_file_has_a_row():
    assert {path.name for path in files("odd")} <= ODD.keys()


@pytest.mark.parametrize("name", ODD)
def test_what_the_odd_files_hold(name):
    files("odd")
    path = DATA / "odd" / name
    if not path.exists():
        pytest.skip(f"{path} is missing")
    expected = ODD[name]
    if isinstance(expected, str):
        with pytest.raises(MidiError, match=expected):
            midiread(path)
        return
    n_rows, n_notes, damage = expected
    expectation = pytest.warns(MidiWarning, match=damage) if damage else contextlib.nullcontext()
    with expectation:
        content = midiread(path, EVERY_PITCH)
    assert (len(content.piano_roll), len(content.notes)) == (n_rows, n_notes)


def mido_notes(mido, path):
    """Return mido's notes as (pitch, start, end) in exact seconds, and the end of the file."""
    file = mido.MidiFile(path)
    tempos, notes, ends = [], [], []
    for track in file.tracks:
        now, sounding = 0, {}
        for message in track:
            now += message.time
            if message.type == "set_tempo":
                tempos.append((now, message.tempo))
            if message.type in ("note_on", "note_off") and message.channel != 9:
                voice = message.channel, message.note
                if message.type == "note_on" and message.velocity > 0:
                    sounding.setdefault(voice, []).append(now)
                elif sounding.get(voice):
                    notes.append((message.note, sounding[voice].pop(0), now))
        ends.append(now)
    changes = [(0, Fraction(0), 500_000)]
    for tick, tempo in sorted(tempos, key=lambda change: change[0]):
        since, base, before = changes[-1]
        passed = Fraction((tick - since) * before, file.ticks_per_beat * 10**6)
        changes.append((tick, base + passed, tempo))

    def seconds(tick):
        since, base, tempo = [change for change in changes if change[0] <= tick][-1]
        return base + Fraction((tick - since) * tempo, file.ticks_per_beat * 10**6)

    return [(pitch, seconds(start), seconds(end)) for pitch, start, end in notes], seconds(
        max(ends)
    )


def test_note_times_agree_with_mido():
    mido = pytest.importorskip("mido")
    dt = Fraction(3, 10)
    for path in sorted(files("piano"), key=os.path.getsize)[:120:3]:  # mido is slow
        notes, end = mido_notes(mido, path)
        content = midiread(path, EVERY_PITCH)
        assert Counter(content.notes) == Counter(
            (pitch, float(start), float(stop)) for pitch, start, stop in notes
        ), path.name
        expected = np.zeros((-(-end // dt), 128))
        for pitch, start, stop in notes:
            expected[-(-start // dt) : -(-stop // dt), pitch] = 1
        np.testing.assert_array_equal(content.piano_roll, expected, err_msg=path.name)
        strikes = [(-(-start // dt), pitch) for pitch, start, stop in notes
                   if -(-start // dt) < -(-stop // dt)]  # fmt: skip
        found = map(tuple, np.argwhere(content.onset_roll).tolist())
        assert set(found) == set(strikes), path.name
        assert content.n_merged == len(strikes) - len(set(strikes)), path.name


def test_note_times_agree_with_symusic():
    symusic = pytest.importorskip("symusic")
    for path in files("piano"):
        score = symusic.Score(path)
        ours = midiread(path, EVERY_PITCH)
        tempos = score.tempos.numpy()
        change, tempo = tempos["time"].astype(np.int64), tempos["mspq"].astype(np.int64)
        if len(change) == 0 or change[0] > 0:
            change, tempo = np.insert(change, 0, 0), np.insert(tempo, 0, 500_000)
        elapsed = np.concatenate(([0], np.cumsum(np.diff(change) * tempo[:-1])))
        theirs = []
        for track in score.tracks:
            if not track.is_drum:
                notes = track.notes.numpy()
                start = notes["time"].astype(np.int64)
                for ticks in (start, start + notes["duration"]):
                    at = np.searchsorted(change, ticks, side="right") - 1
                    units = elapsed[at] + (ticks - change[at]) * tempo[at]
                    theirs.append((notes["pitch"], units / (score.tpq * 1_000_000)))
        pitch = np.concatenate([pitch for pitch, _ in theirs[::2]])
        start = np.concatenate([times for _, times in theirs[::2]])
        end = np.concatenate([times for _, times in theirs[1::2]])
        expected = Counter(zip(pitch.tolist(), start.tolist(), end.tolist(), strict=True))
        found = Counter((note.pitch, note.start, note.end) for note in ours.notes)
        assert not expected - found, path.name
        # symusic drops a note that is struck twice at one tick and ended once
        extra = found - expected
        assert extra.total() == ours.n_cut and all(start == end for _, start, end in extra)
