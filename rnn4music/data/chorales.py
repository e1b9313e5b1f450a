"""Bach's chorales from music21's corpus, as MIDI files and as a dataset."""

from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from midi.files import expanded, written_whole
from rnn4music._utils.console import Bar, log
from rnn4music._utils.processes import in_processes, n_cores
from rnn4music.data.midi_files import load_midi

_VERSION = "2"  # of the files: another where they are written differently


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

    Repeats are not written out, and tied notes are one note. The files have the tempo, and the time
    and key signatures of the soprano; an upbeat is a short first bar. This takes about half a
    minute on two cores, with a progress bar. If interrupted, the next call continues where it
    stopped. Chorales that an earlier version of rnn4music wrote are written anew; the hidden file
    ``.version`` tells them apart.

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
    """
    try:
        from music21 import corpus
    except ImportError:
        raise ImportError("the chorales need music21; run: python -m pip install music21") from None
    folder = expanded(folder)
    folder.mkdir(parents=True, exist_ok=True)
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
    if missing:
        write = partial(_write_chorale, seconds_per_quarter)
        written = in_processes(write, missing, min(n_cores(), len(missing)))
        for _ in Bar(written, "chorales", len(missing), unit="file"):
            pass
    return folder


def _write_chorale(seconds_per_quarter, name_and_path):
    from music21 import corpus, meter, midi, tempo

    name, path = name_and_path
    score: Any = corpus.parse(name)
    soprano, notes = score.parts[0], score.stripTies().flatten().notes.stream()
    notes.insert(0, tempo.MetronomeMark(number=60 / seconds_per_quarter))
    first = soprano.getElementsByClass("Measure")[0]
    upbeat = Fraction(first.duration.quarterLength)
    upbeat = upbeat if 0 < upbeat < first.barDuration.quarterLength else 0
    if upbeat:
        numerator, denominator = (upbeat / 4).as_integer_ratio()
        notes.insert(0, meter.TimeSignature(f"{numerator}/{denominator}"))
    for each in soprano.flatten().getElementsByClass(["TimeSignature", "KeySignature"]):
        is_first = each.offset == 0 and isinstance(each, meter.TimeSignature)
        notes.insert(float(upbeat) if is_first else each.offset, each)
    content = midi.translate.music21ObjectToMidiFile(notes).writestr()
    with written_whole(path) as file:
        file.write(content)
