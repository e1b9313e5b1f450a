"""Finding MIDI files in folders, .zip files and patterns, and reading many as piano rolls."""

import glob
import os
import stat
import zipfile
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from midi import MidiError
from midi.files import SUFFIXES, opened
from midi.reading import (
    PIANO,
    Options,
    check_options,
    checked_flag,
    checked_pitch_range,
    read_bytes,
    summary,
)
from rnn4music._utils import checks, npz
from rnn4music._utils.console import Bar
from rnn4music._utils.processes import in_processes, n_cores
from rnn4music.data.dataset import Dataset, outcome
from rnn4music.data.keys import find_key, semitones_to_c, transpose
from rnn4music.data.shards import Tune, cached

MOST_CELLS = 10**7  # of one roll: nine hours of piano at 0.3 s
MOST_BYTES = 2**24  # of one file
_BYTES_WORTH_PROCESSES = 2**24
_EVERY_PITCH = (0, 128)


def load_midi(
    source,
    pitch_range=PIANO,
    time_step=None,
    *,
    steps_per_beat=None,
    tempo=None,
    sustain=False,
    drums=False,
    keep_short=False,
    to_c=False,
    min_steps=1,
    short_tunes="skip",
    strict=False,
    most_cells=MOST_CELLS,
    cache=None,
    workers=None,
    progress=True,
):
    """Read many MIDI files as piano rolls.

    Parameters
    ----------
    source : path or list of paths
        A folder (with those in it, linked ones too), a .zip, a pattern such as
        ``"music/**/*.mid"``, a file, or a list of these. Of folders, patterns and .zip files
        every file that ends in .mid, .midi, .kar or .rmi is read, in upper or lower case.
    pitch_range : (int, int)
        Half-open range of MIDI pitches; (21, 109) is the piano.
    time_step : float
        Seconds; 0.3 unless `steps_per_beat` is given.
    steps_per_beat : float
        Steps per quarter note, instead of `time_step`: a step is the same note value in all
        files, however fast they are played.
    tempo : float
        Quarter notes per minute, instead of the tempos in the files.
    sustain : bool
        Let the sustain pedal lengthen notes.
    drums : bool
        Read the drum channel as if its notes were pitches.
    keep_short : bool
        Let notes between two steps be on in the one before. Off by default: in 225 piano
        pieces at 0.3 s a quarter of all notes lies between two steps, but with them three
        times as many steps (23 % instead of 8 %) have pitches a second apart sound together
        that are played one after the other. A shorter step loses less: 5 % at 0.15 s.
    to_c : bool
        Move each tune to C major or A minor, by at most six semitones; the key is found as
        `rnn4music.data.keys` says. (`Dataset.in_keys` gives all twelve keys instead.)
    min_steps : int
        Tunes of fewer steps are too short.
    short_tunes : {"skip", "repeat", "pad"}
        What to do with tunes that are too short: skip them, repeat them until they are long
        enough, or pad them with silence.
    strict : bool
        Skip damaged files; otherwise what is complete in them is read.
    most_cells : int
        A file whose roll would have more cells (steps times pitches) is skipped.
    cache : path
        A folder, made if it is not there, in which what was read is kept: the next call with
        the same contents of the files and the same options is several times faster. It may be
        deleted at any time, and several programs may use it at once.
    workers : int
        Processes; by default one, and as many as there are cores from 16 MiB on.
    progress : bool
        Show a progress bar if it takes longer than a second.

    Returns
    -------
    Dataset
        The tunes sorted by name, those of a list in its order.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or file, or none with such an ending.
    ValueError
        If nothing is left; the message has the reasons.

    Warns
    -----
    DatasetWarning
        With a table, if files were skipped or read in part.
    """
    sampling = SamplingOptions.validate(
        pitch_range, time_step, steps_per_beat=steps_per_beat, tempo=tempo, sustain=sustain,
        drums=drums, keep_short=keep_short, to_c=to_c, strict=strict, most_cells=most_cells,
    )  # fmt: skip
    progress = checked_flag("progress", progress)
    min_steps = checks.integer("min_steps", min_steps, 1)
    checks.choice("short_tunes", short_tunes, ("skip", "repeat", "pad"))
    files = find_files(source)
    workers = n_workers(workers, files)

    def read():
        tunes = in_processes(partial(read_file, sampling), files, workers)
        return Bar(tunes, "reading", len(files), unit="file", disable=not progress, delay=1)

    try:
        tunes = cached(cache, ("midi", *sampling), files, sampling.n_pitches, read)
    finally:
        forget_zips()
    tunes = [_long_enough(tune, min_steps, short_tunes) for tune in tunes]
    used = [tune for tune in tunes if not tune.reason]
    dataset = Dataset([tune.roll for tune in used], [tune.name for tune in used], *outcome(tunes))
    dataset.report(len(files))
    return dataset


def _long_enough(tune, min_steps, short_tunes):
    if tune.reason or len(tune.roll) >= min_steps:
        return tune
    if short_tunes == "repeat":
        return tune._replace(roll=np.resize(tune.roll, (min_steps, tune.roll.shape[1])))
    if short_tunes == "pad":
        return tune._replace(roll=np.pad(tune.roll, ((0, min_steps - len(tune.roll)), (0, 0))))
    return tune._replace(reason=f"too short: {len(tune.roll)} steps, min_steps={min_steps}")


# ---- which files


class File(NamedTuple):
    """A file on disk, or a member of a .zip."""

    name: str
    path: str
    member: str | None = None
    size: int = 0
    stamp: int = 0  # of its last change: nanoseconds, or its CRC in the .zip

    def read(self):
        """Return the bytes."""
        if self.size > MOST_BYTES:
            raise MidiError(f"it has {self.size} bytes; more than {MOST_BYTES} are not read")
        if self.member is None:
            with opened(self.path) as file:
                return file.read()
        archive = _open_zip(self.path)
        if archive.getinfo(self.member).compress_type not in npz.METHODS:
            raise MidiError("in the .zip it is compressed by a method that is not read")
        with archive.open(self.member) as file:
            data = file.read(MOST_BYTES + 1)  # what it says of its size may be wrong
        if len(data) > MOST_BYTES:
            raise MidiError(f"it has more than {MOST_BYTES} bytes, which are not read")
        return data


_open_zip = lru_cache(maxsize=1)(zipfile.ZipFile)


def forget_zips():
    """Close what is open, so that a .zip that is replaced is opened anew."""
    _open_zip.cache_clear()


def find_files(source):
    """List the MIDI files of a folder, a .zip, a pattern, a file, or a list of these."""
    if not isinstance(source, (str, os.PathLike)):
        if not np.iterable(source):
            raise TypeError(
                f"the source must be a path or a list of paths, not {type(source).__name__}"
            )
        files = [file for each in source for file in find_files(each)]
        if not files:
            raise ValueError("the list of files is empty; give at least one")
        return files
    if not os.fspath(source):
        raise ValueError('the source is empty; for the current folder give "."')
    path = Path(source).expanduser()
    if path.is_dir():
        inside = sorted(map(Path, _inside(path)))
        files = _midi_files((each, each.relative_to(path)) for each in inside)
    elif path.suffix.lower() == ".zip" and path.is_file():
        files = _zip_members(path)
    elif path.exists():
        return [_file(path, path) or File(path.as_posix(), os.fspath(path))]
    else:
        matches = [Path(each) for each in sorted(glob.glob(os.fspath(path), recursive=True))]
        if not matches:
            raise FileNotFoundError(f"there is no file or folder {source}, and nothing matches it")
        files = _midi_files((each, each) for each in matches)
    if not files:
        raise FileNotFoundError(
            f"{source} has no files that end in {', '.join(SUFFIXES)}; folders that a pattern "
            "matches, and .zip files in folders, are read if they are named themselves"
        )
    return files


def _inside(folder):
    """Yield the paths of all that is in a folder, each folder once, linked ones last."""
    seen = set()
    for each, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(each)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort(key=lambda name: (os.path.islink(os.path.join(each, name)), name))
        yield from (os.path.join(each, name) for name in names)


def _midi_files(paths):
    """List those of some paths, each with a name, that are MIDI files by their ending."""
    named = [each for each in paths if each[0].suffix.lower() in SUFFIXES]
    return [file for path, name in named if (file := _file(path, name))]


def _file(path, name):
    """Return a file, or None if it is a folder; a link to nothing is a file, and reported."""
    file = File(name.as_posix(), os.fspath(path))
    try:
        status = path.stat()
    except OSError:  # met again when it is read
        return file
    is_file = stat.S_ISREG(status.st_mode)
    return file._replace(size=status.st_size, stamp=status.st_mtime_ns) if is_file else None


def _zip_members(path):
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # damage makes zipfile raise all sorts
        if not npz.is_damage(error):
            raise
        raise ValueError(f"{path} is not a .zip file, or damaged: {error}") from None
    return sorted(
        File(each.filename, os.fspath(path), each.filename, each.file_size, each.CRC)
        for each in members
        if PurePosixPath(each.filename).suffix.lower() in SUFFIXES and not each.is_dir()
    )


# ---- reading them


class SamplingOptions(NamedTuple):
    """How files become piano rolls: the arguments of `load_midi`, validated."""

    options: Options
    pitch_range: tuple[int, int]
    to_c: bool

    @classmethod
    def validate(cls, pitch_range, time_step, *, to_c=False, most_cells=MOST_CELLS, **options):
        """Return the arguments of `load_midi`, or raise TypeError or ValueError."""
        to_c = checked_flag("to_c", to_c)
        pitch_range = checked_pitch_range(pitch_range, "pitch_range")
        read = _EVERY_PITCH if to_c else pitch_range
        options = check_options(
            read, time_step, most_cells=most_cells, dt_name="time_step", **options
        )
        return cls(options, pitch_range, to_c)

    @property
    def n_pitches(self):
        """Columns of the rolls."""
        return self.pitch_range[1] - self.pitch_range[0]

    def arguments(self):
        """Return the arguments of `validate`, as JSON may hold them."""
        options = self.options._asdict()
        step, in_beats, tempo = (options.pop(name) for name in ("step", "in_beats", "tempo"))
        return {
            **options,
            "pitch_range": list(self.pitch_range),
            "time_step": None if in_beats else float(step),
            "steps_per_beat": float(1 / step) if in_beats else None,
            "tempo": None if tempo is None else float(tempo),
            "to_c": self.to_c,
        }


def n_workers(workers, files):
    """Return how many processes read the files: `workers`, or as many as are worth it."""
    if workers is None:
        n_bytes = sum(file.size for file in files)
        workers = n_cores() if n_bytes >= _BYTES_WORTH_PROCESSES else 1
    return min(checks.integer("workers", workers, 1), len(files))


def read_file(sampling, file):
    """Read one file as a `Tune`, in whatever process."""
    options, pitch_range, to_c = sampling
    try:
        content = read_bytes(file.read(), options, dtype=bool)
    except MidiError as error:
        return Tune(file.name, reason=error.reason)
    except Exception as error:  # the disk's, zipfile's: one file must not end the rest
        where = "in the .zip, " if file.member else ""
        return Tune(file.name, reason=f"{where}{type(error).__name__}: {error}")
    roll, n_out_of_range = content.piano_roll, content.n_out_of_range
    n_notes = len(content.pitches)
    if to_c:
        key = find_key(roll, lowest_pitch=0)
        semitones = semitones_to_c(key) if key else 0
        roll = transpose(roll, semitones)[:, slice(*pitch_range)]
        pitches = content.pitches + semitones
        n_out_of_range = int(np.sum((pitches < pitch_range[0]) | (pitches >= pitch_range[1])))
        n_notes -= n_out_of_range
    dropped = {
        "too short for a step": content.n_too_short,
        "outside the pitch range": n_out_of_range,
        "never ended": content.n_never_ended,
        "drums": content.n_drums,
    }
    counts = {"n_notes": n_notes, **dropped}
    reason = ""
    if not roll.any():
        reasons = [f"{count} {why}" for why, count in dropped.items() if count]
        reason = f"none of its notes: {', '.join(reasons)}" if reasons else "it has no notes"
    return Tune(file.name, roll, reason, summary(content.damage), counts)
