"""Bach's chorales from music21's corpus, as MIDI files and as a dataset."""

import itertools
import re
import zipfile
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

from midi.files import expanded
from midi.writing import USUAL_VELOCITY, key_message, meter_message, tempo_message, write_messages
from rnn4music._utils.console import Bar, log
from rnn4music.data.midi_files import load_midi

_DIVISION = 10080  # ticks per quarter note, as music21 has them
_CHANNELS = [channel for channel in range(16) if channel != 9]  # which is for drums
_SCORE = re.compile(r"(?!META-INF/).*\.(xml|musicxml)")  # a score's name in an archive
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_VERSION = "3"  # of the files: another where they are written differently


def load_chorales(folder="data/chorales", **options):
    """Read the chorales as piano rolls, after writing those that the folder lacks.

    Parameters
    ----------
    folder : path
    **options
        Options of `load_midi`, for example ``steps_per_beat=2``. The default step is 0.3
        seconds, an eighth note here.

    Returns
    -------
    Dataset
    """
    return load_midi(write_chorales(folder), **options)


def write_chorales(folder, seconds_per_quarter=0.6):
    """Write the chorales that the folder lacks as .mid files.

    Repeats are not written out, tied notes are one note, and grace notes are left out. The files
    have the tempo, and the time and key signatures of the soprano; an upbeat is a short first bar.
    A quarter note of silence follows the last notes. This takes a few seconds, with a progress bar.
    If interrupted, the next call continues where it stopped. Chorales that an earlier version of
    rnn4music wrote are written anew; the hidden file ``.version`` tells them apart.

    Parameters
    ----------
    folder : path
        Created if it does not exist.
    seconds_per_quarter : float
        The tempo. By default an eighth note lasts 0.3 seconds.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ImportError
        If music21 is not installed; the message has the command that installs it.
    ValueError
        If the format of the files cannot express the tempo.
    """
    tempo = round(seconds_per_quarter * 10**6)
    if not 1 <= tempo < 2**24:
        raise ValueError(f"seconds_per_quarter={seconds_per_quarter} must be from 1e-6 to 16.7")
    try:
        from music21 import corpus
    except ImportError:
        raise ImportError("the chorales need music21; run: python -m pip install music21") from None
    folder = expanded(folder)
    folder.mkdir(parents=True, exist_ok=True)
    scores = Path(corpus.__file__).parent
    names = sorted({str(name) for name in corpus.chorales.Iterator(returnType="filename")})
    files = {name: folder / f"{Path(name).name}.mid" for name in names}
    mark = folder / ".version"
    if not mark.exists() or mark.read_text("utf-8") != _VERSION:
        earlier = [path for path in files.values() if path.exists()]
        if earlier:
            log(f"the chorales in {folder} are from an earlier version, and are written anew")
        for path in earlier:
            path.unlink()
        mark.write_text(_VERSION, "utf-8")
    missing = [(name, path) for name, path in files.items() if not path.exists()]
    for name, path in Bar(missing, "chorales", unit="file", disable=not missing):
        _write_chorale(_source(scores, name), path, tempo)
    return folder


def _source(scores, name):
    """Return the file of a chorale: of "bwv112.5" and "bwv112.5-sc" the one named more exactly."""
    found = [path for path in scores.glob(f"{name}*") if path.suffix in (".mxl", ".xml")]
    if not found:
        raise FileNotFoundError(f"music21's corpus, in {scores}, has no {name}")
    return min(found, key=lambda path: len(path.name))


def _write_chorale(source, path, tempo):
    """Write a chorale in MusicXML as a MIDI file, at a tempo in microseconds per quarter note."""
    parts = [_Part(part) for part in _score(source).iter("part")]
    messages = [(0, tempo_message(tempo)), *parts[0].signatures()]
    for channel, part in zip(itertools.cycle(_CHANNELS), parts):
        for pitch, first, end in part.notes:
            messages.append((first, bytes((0x90 + channel, pitch, USUAL_VELOCITY))))
            messages.append((end, bytes((0x80 + channel, pitch, 0))))
    # at each tick signatures come first, then ends of notes, then starts
    messages.sort(key=lambda message: (message[0], (message[1][0] + 0x10) % 0x100))
    write_messages(path, [messages], _DIVISION, messages[-1][0] + _DIVISION)


def _score(source):
    """Return the root element of a MusicXML file, compressed or not."""
    if source.suffix == ".xml":
        return ElementTree.parse(source).getroot()  # noqa: S314, it comes with music21
    with zipfile.ZipFile(source) as archive:
        (name,) = (each for each in archive.namelist() if _SCORE.fullmatch(each))
        return ElementTree.fromstring(archive.read(name))  # noqa: S314


class _Part:
    """A part of a score in MusicXML; times are in ticks.

    Attributes
    ----------
    notes : list of [pitch, first, end]
        Tied notes are one note.
    meters, keys : list of (tick, signature)
    first_bar : int
        Length of the first bar.
    end : int
    """

    def __init__(self, part):
        self.notes, self.meters, self.keys = [], [], []
        self.end, self._divisions, self._tied = 0, 1, {}
        bars = [self._read_bar(bar) for bar in part.iter("measure")]
        self.first_bar = bars[0]

    def _read_bar(self, bar):
        """Read a bar, which begins where the last one ended; return its length."""
        begin = first = now = self.end
        for element in bar:
            if element.tag == "attributes":
                self._read_attributes(element, now)
            duration = int(element.findtext("duration", "0")) * _DIVISION // self._divisions
            if element.tag == "backup":
                now -= duration
            elif element.tag == "forward":
                now += duration
            elif element.tag == "note":
                if element.find("chord") is None:
                    first, now = now, now + duration
                if element.find("pitch") is not None and duration:  # a grace note has none
                    self._add_note(element, first, first + duration)
            self.end = max(self.end, now)
        return self.end - begin

    def _read_attributes(self, element, now):
        self._divisions = int(element.findtext("divisions", self._divisions))
        if element.find("time") is not None:
            meter = int(element.findtext("time/beats")), int(element.findtext("time/beat-type"))
            self.meters.append((now, meter))
        if element.find("key") is not None:
            is_minor = element.findtext("key/mode") == "minor"
            self.keys.append((now, (int(element.findtext("key/fifths")), is_minor)))

    def _add_note(self, element, first, end):
        step, octave = element.findtext("pitch/step"), int(element.findtext("pitch/octave"))
        pitch = 12 * (octave + 1) + _STEPS[step] + int(element.findtext("pitch/alter", "0"))
        ties = {tie.get("type") for tie in element.iter("tie")}
        note = self._tied.pop((pitch, first), None) if "stop" in ties else None
        if note is None:
            note = [pitch, first, end]
            self.notes.append(note)
        note[2] = end
        if "start" in ties:
            self._tied[pitch, end] = note

    def signatures(self):
        """Return (tick, message) of the signatures; an upbeat is a short first bar."""
        (_, (n_beats, unit)), *others = self.meters
        messages, begin = [], 0
        if self.first_bar < 4 * _DIVISION * n_beats // unit:
            begin = self.first_bar
            upbeat = Fraction(begin, 4 * _DIVISION).as_integer_ratio()
            messages.append((0, meter_message(upbeat)))
        meters = [(begin, (n_beats, unit)), *others]
        messages += [(now, meter_message(meter)) for now, meter in meters]
        return messages + [(now, key_message(key)) for now, key in self.keys]
