"""From folders of MIDI files to piano rolls, and the chorales that the example learns from.

Conventions
-----------
A piano roll is (T, P), one row per time step and one column per pitch of a half-open range.
Nothing is left out in silence: what cannot be read is returned with its reason.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from midi import MidiError, midiread

SUFFIXES = (".mid", ".midi")


def read_folder(folder, pitch_range=(21, 109), time_step=0.3):
    """Read all MIDI files in a folder and the folders in it.

    Parameters
    ----------
    folder : path
    pitch_range : (int, int)
        Half-open range of MIDI pitches.
    time_step : float
        Seconds.

    Returns
    -------
    rolls : dict of pathlib.Path to (T, P)
        The piano rolls, as booleans, sorted by path.
    left_out : dict of pathlib.Path to str
        Which files could not be read or hold no notes, and why.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    rolls, left_out = {}, {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            try:
                roll = midiread(path, pitch_range, time_step).piano_roll
            except (MidiError, OSError) as error:
                left_out[path] = str(error)
            else:
                if roll.any():
                    rolls[path] = roll.astype(bool)
                else:
                    left_out[path] = f"{path}: no notes within the pitch range {pitch_range}"
    return rolls, left_out


def transpose(roll, semitones):
    """Return the (T, P) roll shifted upwards; notes that leave the range are left out."""
    shifted = np.zeros_like(roll)
    P = roll.shape[1]
    low, high = max(semitones, 0), P + min(semitones, 0)
    if low < high:
        shifted[:, low:high] = roll[:, low - semitones : high - semitones]
    return shifted


def write_chorales(folder, seconds_per_quarter=0.6):
    """Write the Bach chorales of music21's corpus as .mid files, those that are not there yet.

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
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted({str(name) for name in corpus.chorales.Iterator(returnType="filename")})
    files = {name: folder / f"{Path(name).name}.mid" for name in names}
    missing = [(name, path) for name, path in files.items() if not path.exists()]
    if missing:
        write = partial(_write_chorale, seconds_per_quarter)
        with ProcessPoolExecutor() as pool:
            list(tqdm(pool.map(write, missing), "chorales", len(missing), unit="file"))
    return folder


def _write_chorale(seconds_per_quarter, name_and_path):
    from music21 import corpus, tempo

    name, path = name_and_path
    notes = corpus.parse(name).stripTies().flatten().notes.stream()
    notes.insert(0, tempo.MetronomeMark(number=60 / seconds_per_quarter))
    unfinished = path.with_suffix(".part")
    notes.write("midi", unfinished)
    unfinished.rename(path)
