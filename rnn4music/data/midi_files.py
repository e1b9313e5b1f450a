"""Finding MIDI files in folders, .zip files and patterns, and reading them as piano rolls."""

import contextlib
import glob
import math
import os
import stat
import zipfile
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from midi import MidiError
from midi.events import HEAD, kind_of
from midi.files import SUFFIXES, expanded, opened
from midi.onsets import canonical_onsets
from midi.reading import (
    PIANO,
    RULES,
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
from rnn4music.data import grid, pianoroll
from rnn4music.data.accents import counted
from rnn4music.data.dataset import MERGED, OUTSIDE, STRUCK_AGAIN, TOO_SHORT, Dataset, outcome
from rnn4music.data.keys import find_key, semitones_to_c, transpose
from rnn4music.data.notation import Notation
from rnn4music.data.shards import Tune, cached

AUTO = "auto"
_BEATS_OF_SILENCE = 2  # instead of `pianoroll.SILENCE` where steps are parts of a beat
MOST_CELLS = 10**7  # of one roll: nine hours of piano at 0.3 s
MOST_BYTES = 2**24  # of a file
_BYTES_WORTH_PROCESSES = 2**24
_EVERY_PITCH = (0, 128)
_APPLE_DOUBLE = b"\0\5\x16\7"  # RFC 1740


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
    keep_silence=False,
    to_c=False,
    onsets=False,
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
        A folder (read with its subfolders and linked folders), a .zip file, a pattern such as
        ``"music/**/*.mid"``, a MIDI file, or a list of these. In folders, patterns and .zip files
        every file that ends in .mid, .midi, .kar or .rmi is read, in upper or lower case.
    pitch_range : (int, int)
        Half-open range of MIDI pitches; (21, 109) is the piano.
    time_step : float
        Seconds per step; 0.3 unless `steps_per_beat` is given.
    steps_per_beat : float or "auto"
        Steps per quarter note, instead of `time_step`: a step is the same note value in all
        files, whatever their tempo, and notes begin and end in the nearest steps. "auto" chooses
        a number that fits the notes, or a time step for performances that do not follow the
        beat; ``options`` has what was chosen. See `choose_grid`.
    tempo : float
        Quarter notes per minute, overriding the tempos in the files.
    sustain : bool
        Whether the sustain pedal lengthens notes.
    drums : bool
        Whether strokes of drums are read as pitches: those of channel 10, and of channels that
        XG, GS or General MIDI 2 turn into drums (see `midi.drums`).
    keep_short : bool
        Whether a note between two steps is on in the earlier one, or with `steps_per_beat` in
        the nearest one. Off by default: in 225 piano pieces at 0.3 s a quarter of all notes
        lies between two steps, but keeping them makes three times as many steps (23 % instead
        of 8 %) contain pitches a second apart that are played one after the other. A shorter
        step loses fewer notes: 5 % at 0.15 s.
    keep_silence : bool
        Whether silence before the first and after the last note of a file is kept. By default a
        tune ends one second after its last note, and begins with its first note if the silence
        before is longer than a second. With `steps_per_beat` the limit is two quarter notes
        instead. It is rounded up to whole steps. Drums do not count as notes unless `drums` is
        set. `Dataset.silence` has the numbers of tunes and steps affected.
    to_c : bool
        Whether each tune is transposed to C major or A minor, by at most six semitones. See
        `rnn4music.data.keys` for how the key is found, and `Dataset.in_keys` for all twelve keys.
    onsets : bool
        Whether the rolls also say where notes are struck: (T, 2P), first the P sounding columns,
        then the P struck ones. Otherwise a note that is struck while its pitch sounds is lost in
        the note before it. Either way ``dropped_notes`` counts the notes that are not in the rolls
        as notes of their own.
    min_steps : int
        Tunes of fewer steps count as too short.
    short_tunes : {"skip", "repeat", "pad"}
        What to do with tunes shorter than `min_steps`: skip them, repeat them up to that
        length, or pad them with silence.
    strict : bool
        Whether damaged files are skipped; otherwise their intact part is read.
    most_cells : int
        Files whose roll would have more cells (steps times pitches) are skipped.
    cache : path
        A folder that keeps the rolls, created if it does not exist. The next call with the
        same file contents and options is several times faster. The folder may be deleted at any
        time, and several programs may use it simultaneously.
    workers : int
        Number of processes. By default one process reads up to 16 MiB, and one per core more.
    progress : bool
        Whether to show a progress bar if reading takes longer than a second.

    Returns
    -------
    Dataset
        The tunes sorted by name; the entries of a list keep their order.

    Raises
    ------
    FileNotFoundError
        If the source does not exist, or has no file with one of these endings.
    ValueError
        If no file can be used; the message has the reasons.

    Warns
    -----
    DatasetWarning
        If files were skipped or read in part; the message has a table of them.
    """
    options = {
        "pitch_range": pitch_range, "time_step": time_step, "steps_per_beat": steps_per_beat,
        "tempo": tempo, "sustain": sustain, "drums": drums, "keep_short": keep_short,
        "keep_silence": keep_silence, "to_c": to_c, "onsets": onsets, "strict": strict,
        "most_cells": most_cells,
    }  # fmt: skip
    progress = checked_flag("progress", progress)
    min_steps = checks.integer("min_steps", min_steps, 1)
    checks.choice("short_tunes", short_tunes, ("skip", "repeat", "pad"))
    files, sampling = files_and_sampling(source, options, workers)
    workers = n_workers(workers, files)

    def read():
        tunes = in_processes(partial(read_file, sampling), files, workers)
        return Bar(tunes, "reading", len(files), unit="file", disable=not progress, delay=1)

    try:
        tunes = cached(cache, ("midi", RULES, *sampling), files, sampling.width, read)
    finally:
        forget_zips()
    tunes = [_long_enough(tune, min_steps, short_tunes) for tune in tunes]
    used = [tune for tune in tunes if not tune.reason]
    rolls, names = [tune.roll for tune in used], [tune.name for tune in used]
    dataset = Dataset(
        rolls, names, *outcome(tunes), options=sampling.arguments(),
        notations=[tune.notation for tune in used],
    )  # fmt: skip
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
    """A file on disk, a member of a .zip, or a place that cannot be read."""

    name: str
    path: str
    member: str | None = None
    size: int = 0
    stamp: int = 0  # time of the last change in nanoseconds, or the CRC in the .zip
    problem: str = ""  # why it cannot be read

    def read(self):
        """Return the bytes."""
        if self.problem:
            raise MidiError(self.problem)
        if self.size > MOST_BYTES:
            raise MidiError(f"it has {self.size} bytes; at most {MOST_BYTES} are read")
        if self.member is None:
            with opened(self.path) as file:
                return file.read()
        archive = _open_zip(self.path)
        if archive.getinfo(self.member).compress_type not in npz.METHODS:
            raise MidiError("the .zip compresses it by an unsupported method; only deflate is read")
        with archive.open(self.member) as file:
            data = file.read(MOST_BYTES + 1)  # the size in the directory may be wrong
        if len(data) > MOST_BYTES:
            raise MidiError(f"it has more bytes than the {MOST_BYTES} that are read")
        return data


_open_zip = lru_cache(maxsize=1)(zipfile.ZipFile)


def forget_zips():
    """Close the open .zip, so that a replaced file is reopened."""
    _open_zip.cache_clear()


def find_files(source):
    """List the MIDI files of a source, as `load_midi` takes it."""
    if not isinstance(source, (str, bytes, os.PathLike)):
        if not np.iterable(source):
            raise TypeError(
                f"the source must be a path or a list of paths, not {type(source).__name__}"
            )
        files = [file for each in source for file in find_files(each)]
        if not files:
            raise ValueError("the list of files is empty; give at least one")
        return files
    source = os.fsdecode(source)
    if not source:
        raise ValueError('the source is empty; for the current folder give "."')
    path = expanded(source)
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        files = _in_folder(path)
    elif stat.S_ISREG(mode) and _is_zip(path):
        files = _zip_members(path)
    elif mode:
        return [_file(path, path)]
    else:
        files = _matching(path)
    if not files:
        raise FileNotFoundError(
            f"{source} has no files that end in {', '.join(SUFFIXES)}. To read a .zip file in a "
            "folder, or a folder that matches a pattern, name it directly"
        )
    return files


def _mode(path):
    """Return the mode of a file or folder, or 0 if it does not exist and may be a pattern."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null character
        if os.path.islink(path):
            raise
        return 0
    except OSError:  # such as a name that is too long, or no permission
        if glob.has_magic(os.fspath(path)):
            return 0
        raise


def _in_folder(folder):
    """List the MIDI files in a folder. Each subfolder is visited once, linked ones last."""
    paths, problems, seen = [], [], set()
    os.scandir(folder).close()  # raises the error of the folder itself
    for each, folders, names in os.walk(folder, onerror=problems.append, followlinks=True):
        real = os.path.realpath(each)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort(key=lambda name: (os.path.islink(os.path.join(each, name)), name))
        paths += [Path(each, name) for name in names]
    files = [_file(path, path.relative_to(folder)) for path in paths if _may_be_midi(path)]
    for error in problems:
        path = Path(error.filename or folder)  # none where a disk fails amid a folder
        files.append(_unread(path, path.relative_to(folder), error))
    return sorted(files, key=lambda file: Path(file.path))


def _matching(pattern):
    """List the MIDI files that match a pattern, and the folders where none can be looked for."""
    parts, begin = _escaped(pattern)
    matches = [*map(Path, sorted(glob.glob(os.path.join(*parts), recursive=True)))]
    files = {path: _file(path, path) for path in matches if not os.path.isdir(path)}
    for k in range(begin, len(parts)):
        if k > begin and parts[k - 1] == "**":
            continue  # its folders have been visited
        searched = [*parts[:k], *["**"] * (parts[k] == "**"), ""]
        searched = searched if len(searched) > 1 else ["./"]
        for folder in map(Path, glob.glob(os.path.join(*searched), recursive=True)):
            try:
                os.scandir(folder).close()
                os.stat(os.path.join(folder, os.curdir))  # may its files be opened?
            except OSError as error:
                files[folder] = _unread(folder, folder, error)
    if not (files or matches):
        missing = f"there is no file or folder named {str(pattern)!r}"
        if glob.has_magic(str(pattern)):
            missing += ", and as a pattern it matches no file"
        raise FileNotFoundError(missing)
    return [file for path, file in files.items() if file.problem or _may_be_midi(path)]


def _escaped(pattern):
    """Return the parts of a pattern, and how many of them exist and are escaped."""
    parts, begin = pattern.parts, 0
    while begin < len(parts) and os.path.lexists(Path(*parts[: begin + 1])):
        begin += 1  # what exists is no pattern, even if it has brackets in its name
    return [*map(glob.escape, parts[:begin]), *parts[begin:]], begin


def is_matched(pattern):
    """Return whether any path matches a pattern; the search ends at the first one."""
    parts, _ = _escaped(expanded(pattern))
    return any(glob.iglob(os.path.join(*parts), recursive=True))


def _may_be_midi(path):
    """Return whether a path has the ending of a MIDI file, or is a broken link to anything."""
    return path.suffix.lower() in SUFFIXES or (os.path.islink(path) and not os.path.exists(path))


def _file(path, name):
    """Return a file; reading it reports broken links, devices, and missing permissions."""
    file = File(name.as_posix(), os.fspath(path))
    try:
        status = path.stat()
    except OSError:
        return file
    return file._replace(size=status.st_size, stamp=status.st_mtime_ns)


def _unread(path, name, error):
    """Return the entry for a folder that cannot be listed."""
    problem = f"the folder cannot be read: {error.strerror}"
    return File(f"{name.as_posix()}/", os.fspath(path), problem=problem)


def _is_zip(path):
    """Return whether a file is a .zip, perhaps a damaged one; False if it cannot be read."""
    with contextlib.suppress(OSError), opened(path) as file:
        return (kind_of(file.read(HEAD)) or path.suffix[1:].lower()) == "zip"
    return False


def _zip_members(path):
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # zipfile raises many kinds of error for damage
        if not npz.is_damage(error):
            raise
        raise ValueError(f"{path} is damaged or not a .zip file: {error}") from None
    return sorted(
        File(each.filename, os.fspath(path), each.filename, each.file_size, each.CRC)
        for each in members
        if PurePosixPath(each.filename).suffix.lower() in SUFFIXES and not each.is_dir()
    )


# ---- reading them


class SamplingOptions(NamedTuple):
    """Validated arguments of `load_midi` that determine the piano rolls."""

    options: Options
    pitch_range: tuple[int, int]
    to_c: bool
    onsets: bool

    @classmethod
    def validate(
        cls,
        pitch_range,
        time_step,
        *,
        keep_silence=False,
        to_c=False,
        onsets=False,
        most_cells=MOST_CELLS,
        **options,
    ):
        """Check arguments of `load_midi`; raise TypeError or ValueError."""
        keep_silence = checked_flag("keep_silence", keep_silence)
        to_c = checked_flag("to_c", to_c)
        onsets = checked_flag("onsets", onsets)
        pitch_range = checked_pitch_range(pitch_range, "pitch_range")
        read = _EVERY_PITCH if to_c else pitch_range
        options = check_options(
            read, time_step, most_cells=most_cells, dt_name="time_step", **options
        )
        if not keep_silence:
            silence = _BEATS_OF_SILENCE if options.in_beats else pianoroll.SILENCE
            options = options._replace(most_silence=math.ceil(silence / options.step))
        return cls(options, pitch_range, to_c, onsets)

    @property
    def width(self):
        """Number of columns of a roll."""
        return (1 + self.onsets) * (self.pitch_range[1] - self.pitch_range[0])

    def arguments(self):
        """Return the arguments of `validate` as JSON can represent them."""
        options = self.options._asdict()
        step, in_beats, tempo = (options.pop(name) for name in ("step", "in_beats", "tempo"))
        keep_silence = options.pop("most_silence") is None
        return {
            **options,
            "pitch_range": list(self.pitch_range),
            "time_step": None if in_beats else float(step),
            "steps_per_beat": float(1 / step) if in_beats else None,
            "tempo": None if tempo is None else float(tempo),
            "keep_silence": keep_silence,
            "to_c": self.to_c,
            "onsets": self.onsets,
        }


def files_and_sampling(source, options, workers=None):
    """Return the files of a source and their `SamplingOptions`, choosing the steps if "auto"."""
    is_auto = isinstance(options.get("steps_per_beat"), str) and options["steps_per_beat"] == AUTO
    if not is_auto:
        sampling = SamplingOptions.validate(**options)
        return find_files(source), sampling
    if options["time_step"] is not None:
        raise ValueError(
            f"give either time_step or steps_per_beat, not both: time_step={options['time_step']}, "
            f"steps_per_beat={AUTO!r}"
        )
    sampling = SamplingOptions.validate(**{**options, "steps_per_beat": None})
    files = find_files(source)
    found = _grid_of(files, sampling.options, workers)
    steps = {"time_step": found.time_step, "steps_per_beat": found.steps_per_beat}
    return files, SamplingOptions.validate(**{**options, **steps})


def choose_grid(source, pitch_range=PIANO, *, workers=None, **options):
    """Choose steps that fit the music, as `load_midi` does with ``steps_per_beat="auto"``.

    Of more than 500 files an even sample is read. See `rnn4music.data.grid` for the rule.

    Parameters
    ----------
    source, pitch_range, workers
        See `load_midi`.
    **options
        Other options of `load_midi` that say how files are read. ``tempo``, ``drums``, ``sustain``,
        ``keep_short``, ``strict`` and ``to_c`` matter: with the last, notes of all pitches count.
        A step that is given does not.

    Returns
    -------
    rnn4music.data.grid.Grid
        ``steps_per_beat`` or ``time_step``, the shares of the notes, and ``sentence()``.
    """
    options = {**options, "time_step": None, "steps_per_beat": None}
    sampling = SamplingOptions.validate(pitch_range, **options)
    return _grid_of(find_files(source), sampling.options, workers)


def _grid_of(files, options, workers):
    chosen = np.linspace(0, len(files) - 1, min(len(files), grid.MOST_FILES)).astype(int)
    sample = [files[k] for k in chosen]
    try:
        workers = n_workers(workers, sample)
        measured = [*in_processes(partial(_measured, options), sample, workers)]
    finally:
        forget_zips()
    return grid.choose(measured, len(files))


def _measured(options, file):
    try:
        return grid.measure(file.read(), options)
    except Exception:  # reading the file reports it
        return None


def n_workers(workers, files):
    """Return the number of processes: `workers`, or by default a number that pays off."""
    if workers is None:
        n_bytes = sum(file.size for file in files)
        workers = n_cores() if n_bytes >= _BYTES_WORTH_PROCESSES else 1
    return min(checks.integer("workers", workers, 1), len(files))


def read_file(sampling, file):
    """Read a file as a `Tune`; this may run in any process."""
    try:
        data = file.read()
        if data.startswith(_APPLE_DOUBLE):
            return Tune(file.name, reason="macOS resource file (._*), which is not music")
        return _tune(sampling, file.name, read_bytes(data, sampling.options, dtype=bool))
    except MidiError as error:
        return Tune(file.name, reason=error.reason)
    except Exception as error:  # from the disk or zipfile: one bad file must not stop the others
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        if file.member:  # files with the same reason share a row
            reason = f"in the .zip, {reason}".replace(f" for file {file.member!r}", "")
            reason = reason.replace(f"File {file.member!r}", "the file")
        return Tune(file.name, reason=reason)


def _tune(sampling, name, content):
    """Return the `Tune` of the content of a file."""
    _, pitch_range, to_c, onsets = sampling
    roll, beats, semitones = content.piano_roll, content.beats, 0
    n_out_of_range, is_short = content.n_out_of_range, content.is_too_short
    step, column, velocity = content.strikes
    if to_c:
        key = find_key(roll, lowest_pitch=0)
        semitones = semitones_to_c(key) if key else 0
        roll = transpose(roll, semitones)[:, slice(*pitch_range)]
        is_inside = _are_in(pitch_range, content.pitches + semitones)
        n_out_of_range, is_short = int(np.count_nonzero(~is_inside)), is_short[is_inside]
        is_struck = _are_in(pitch_range, column + semitones)
        step, column, velocity = (each[is_struck] for each in (step, column, velocity))
        column = column + semitones - pitch_range[0]
    n_notes, n_short = len(is_short), int(np.count_nonzero(is_short))
    n_struck = len(step)
    dropped = {
        TOO_SHORT: n_short,
        MERGED: n_notes - n_short - n_struck,
        STRUCK_AGAIN: 0 if onsets else n_struck - int(np.count_nonzero(canonical_onsets(roll))),
        OUTSIDE: n_out_of_range,
        "never ended": content.n_never_ended,
        "drums": content.n_drums,
    }
    counts = {"n_notes": n_notes, "silent_steps": content.n_silent, "n_cut": content.n_cut}
    reason = ""
    if not roll.any():
        reason = _without_notes({why: n for why, n in dropped.items() if n})
    notation = Notation(
        content.tempo, content.meter, content.n_meter_changes, content.key,
        beats.first_step if beats else None,
        () if content.n_meter_changes else counted(roll, step, column, velocity, beats),
    ).transposed(semitones)  # fmt: skip
    if onsets:
        struck = np.zeros_like(roll)
        struck[step, column] = True
        roll = np.hstack([roll, struck])
    return Tune(name, roll, reason, summary(content.damage), {**counts, **dropped}, notation)


def _are_in(pitch_range, pitches):
    return (pitches >= pitch_range[0]) & (pitches < pitch_range[1])


def _without_notes(dropped):
    """Return why a file has no notes left, from the number of notes by reason."""
    if len(dropped) != 1:
        reasons = ", ".join(f"{n} {why}" for why, n in dropped.items())
        return f"none of its notes can be used: {reasons}" if reasons else "it has no notes"
    ((why, n),) = dropped.items()
    if why == "drums" and n == 1:
        return "its only note is a drum"
    verb = "" if why == "never ended" else "is " if n == 1 else "are "
    return f"its only note {verb}{why}" if n == 1 else f"all of its {n} notes {verb}{why}"
