"""Bach's chorales from the corpus of music21, as MIDI files and as a dataset."""

from functools import partial
from pathlib import Path

from rnn4music._utils.console import Bar
from rnn4music._utils.processes import in_processes, n_cores
from rnn4music.data.midi_files import load_midi


def load_chorales(folder="data/chorales", **options):
    """Read the chorales as piano rolls, written to the folder first where they are not there.

    Parameters
    ----------
    folder : path
    **options
        Those of `load_midi`, for example ``steps_per_beat=2``; by default steps of 0.3
        seconds, which are eighth notes here.

    Returns
    -------
    Dataset
    """
    return load_midi(write_chorales(folder), **options)


def write_chorales(folder, seconds_per_quarter=0.6):
    """Write the chorales as .mid files, those that are not there yet.

    Each bar is written once, without its repeats, and tied notes as one. Takes about half a
    minute on two cores, with a progress bar; stopped in between, it goes on where it was.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    seconds_per_quarter : float
        The tempo; by default an eighth note lasts 0.3 seconds.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    ImportError
        If music21 is not installed; the message has the command that mends it.
    """
    try:
        from music21 import corpus
    except ImportError:
        raise ImportError(
            "the chorales come with music21; run: python -m pip install music21"
        ) from None
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted({str(name) for name in corpus.chorales.Iterator(returnType="filename")})
    files = {name: folder / f"{Path(name).name}.mid" for name in names}
    missing = [(name, path) for name, path in files.items() if not path.exists()]
    if missing:
        write = partial(_write_chorale, seconds_per_quarter)
        written = in_processes(write, missing, min(n_cores(), len(missing)))
        for _ in Bar(written, "chorales", len(missing), unit="file"):
            pass
    return folder


def _write_chorale(seconds_per_quarter, name_and_path):
    from music21 import corpus, tempo

    name, path = name_and_path
    notes = corpus.parse(name).stripTies().flatten().notes.stream()
    notes.insert(0, tempo.MetronomeMark(number=60 / seconds_per_quarter))
    unfinished = path.with_suffix(".part")
    notes.write("midi", unfinished)
    unfinished.rename(path)
