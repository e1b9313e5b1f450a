"""Stores: large collections of MIDI files, converted once to piano rolls on disk.

>>> from rnn4music.data import RollStore, convert
>>> store = convert("my collection", "my rolls", workers=8)    # doctest: +SKIP
>>> train, validation, test = RollStore("my rolls").split()    # doctest: +SKIP
>>> model.train(train, 1, 30, 64, 100, windows="random")       # doctest: +SKIP

Conventions
-----------
A store is a folder. Its *manifest*, ``store.json``, has the options of the conversion and the list
of shards; the shards are files in ``shards`` (see `rnn4music.data.shards`). The name of a shard has
a hash of its MIDI files' names, sizes and modification times, of the options, of this package's
version and of the rules of reading (`midi.reading.RULES`), so that conversions cannot mistake each
other's shards. A store of other rules stays readable. A conversion may be stopped at any
time, even by SIGKILL: every existing shard is whole, and the next conversion makes the missing
ones. Several conversions may work on the same folder simultaneously.
"""

import concurrent.futures
import contextlib
import copy
import hashlib
import json
import os
import re
import socket
import warnings
import zlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from midi.files import expanded, opened, written_whole
from midi.reading import PIANO, RULES, checked_flag
from rnn4music._utils import version
from rnn4music._utils.console import Bar
from rnn4music._utils.differences import OtherOptions, differences
from rnn4music._utils.processes import in_processes
from rnn4music.data import midi_files, shards
from rnn4music.data.dataset import Collection, DatasetWarning, outcome
from rnn4music.data.duplicates import group_sketches, sketch_of
from rnn4music.data.keys import ALL_KEYS, transpose, validate_semitones
from rnn4music.data.midi_files import SamplingOptions, read_file
from rnn4music.data.shards import StoreError, Tune
from rnn4music.distributed.cluster import connected, in_cluster

__all__ = ["RollStore", "StoreError", "convert", "is_store"]

FILES_OF_A_SHARD = 256
MANIFEST, SHARDS = "store.json", "shards"
FORMAT = 4  # of a manifest; 1 had no keep_silence, 1 and 2 no onsets, 1 to 3 no notation
_DIGEST = re.compile("[0-9a-f]{16}")
_MOST_BYTES = 2**26  # of a manifest, which has about 100 for each shard
_PLACE = np.dtype([("shard", "i4"), ("begin", "i8"), ("n_steps", "i8"), ("crc", "u4")])


def convert(
    source,
    folder,
    pitch_range=PIANO,
    time_step=None,
    *,
    workers=None,
    cluster=None,
    progress=True,
    **options,
):
    """Convert MIDI files to a store of piano rolls. Existing shards are kept.

    Parameters
    ----------
    source, pitch_range, time_step
        See `load_midi`.
    folder : path
        Created if it does not exist. An unfinished or damaged store in it is completed; its files
        and options must be the same.
    workers : int
        Number of processes on this machine. By default one process reads up to 16 MiB, and one per
        core more.
    cluster : str, distributed.Client or Dask cluster, optional
        Dask workers that convert instead; see `cluster.connected`. All machines need `source` and
        `folder` under the same paths, on a shared file system.
    progress : bool
        Whether to show a progress bar.
    **options
        ``steps_per_beat``, ``tempo``, ``sustain``, ``drums``, ``keep_short``, ``keep_silence``,
        ``to_c``, ``onsets``, ``strict`` and ``most_cells``; see `load_midi`.

    Returns
    -------
    RollStore

    Raises
    ------
    FileNotFoundError
        If the source does not exist, or contains no MIDI file.
    ValueError
        If the folder contains other data, or a store of other files or options; it is left
        unchanged. Also if no file can be used; the message has the reasons.
    OSError
        If a file cannot be written, or a process or the cluster is lost. Finished shards are kept.

    Warns
    -----
    DatasetWarning
        If files were skipped or read in part; the message has a table of them.
    """
    progress = checked_flag("progress", progress)
    if workers is not None and cluster is not None:
        raise ValueError(f"give workers={workers} or cluster={cluster!r}, not both")
    if not os.fspath(folder):
        raise ValueError('the folder of the store is ""; give a name')
    folder = expanded(folder).absolute()
    options = {"pitch_range": pitch_range, "time_step": time_step, **options}
    files, sampling = midi_files.files_and_sampling(source, options, workers)
    # absolute, since a worker's current folder may be another
    files = [file._replace(path=os.path.abspath(file.path)) for file in files]
    workers = midi_files.n_workers(workers, files)
    manifest, jobs = _plan(folder, files, sampling)
    with connected(cluster) as client:
        _claim(folder, manifest)  # after connecting, so that a failure leaves no folder
        made = (
            in_processes(_make, jobs, workers)
            if client is None
            else in_cluster(client, _make, jobs)
        )
        bar = Bar(None, "converting", len(files), unit="file", disable=not progress)
        try:
            with bar:
                for number, crc in made:
                    manifest["shards"][number]["crc"] = crc
                    bar.update(len(jobs[number].files))
        except concurrent.futures.BrokenExecutor as error:
            raise OSError(
                "a worker process was killed, perhaps because memory ran out. Finished shards are "
                "kept; convert again to continue"
            ) from error
    _claim(folder, manifest)
    write_manifest(folder, manifest)
    store = RollStore(folder)
    store.report(len(files))
    return store


class _Job(NamedTuple):
    """A shard to be made."""

    number: int
    path: Path
    digest: str
    sampling: SamplingOptions
    files: list


def _plan(folder, files, sampling):
    """Return the manifest of the store to be made, and a job for each shard."""
    jobs = []
    for start in range(0, len(files), FILES_OF_A_SHARD):
        of_shard = files[start : start + FILES_OF_A_SHARD]
        stamps = [(file.name, file.size, file.stamp) for file in of_shard]
        text = f"({shards.FORMAT}, {version.__version__!r}, {RULES}, {sampling}, {stamps})"
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
        path = shard_path(folder, len(jobs), digest)
        jobs.append(_Job(len(jobs), path, digest, sampling, of_shard))
    listed = [{"digest": job.digest, "n_files": len(job.files)} for job in jobs]
    options = sampling.arguments()
    about = {"version": version.__version__, "rules": RULES, "options": options}
    return {**about, "shards": listed}, jobs


def _claim(folder, manifest):
    """Make a folder the store of `manifest`; raise an error if it contains anything else."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is not a folder; give another name for the store")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        existing = read_manifest(folder)
        facts, have_changed = _compared(existing, manifest)
    except (FileNotFoundError, StoreError):  # existing shards are recognised by name
        others = {path.name for path in folder.iterdir()} - {MANIFEST, SHARDS}
        others = [name for name in others if not name.startswith(".")]  # system or temporary files
        if others:
            raise FileExistsError(
                f"{folder} contains other files, such as {min(others)}; give a new or empty folder"
            ) from None
        existing, facts, have_changed = manifest, ({}, {}), False
        write_manifest(folder, manifest)
    begin = f"{folder} contains the store of another conversion: "
    end = f". Convert into another folder, or delete {folder} if that store is not needed"
    if existing["options"]["keep_silence"] and not manifest["options"]["keep_silence"]:
        end = f". It keeps silence; --keep-silence (in Python keep_silence=True) does so too{end}"
    if existing["rules"] != RULES:
        raise ValueError(f"{begin}{_other_rules('it', existing)}{end}")
    if differences(*facts):
        raise OtherOptions(begin, *facts, end)
    if existing.get("format", FORMAT) < FORMAT:
        raise ValueError(f"{begin}it was made by an earlier version of rnn4music{end}")
    if have_changed:
        raise ValueError(f"{begin}some of the files have changed{end}")
    (folder / SHARDS).mkdir(exist_ok=True)


def _other_rules(store, manifest):
    """Return a sentence on a store for which notes were read by other rules."""
    when = "an earlier" if manifest["rules"] < RULES else "a later"
    return f"{store} was made by {when} version of rnn4music, which read notes differently"


def _compared(existing, expected):
    """Return the facts of two manifests that change the shards, and whether the files differ."""
    facts, digests = [], []
    for manifest in (existing, expected):
        n_files = sum(shard["n_files"] for shard in manifest["shards"])
        facts.append({**manifest["options"], "version": manifest["version"], "n_files": n_files})
        digests.append([shard["digest"] for shard in manifest["shards"]])
    return (facts[0], facts[1]), digests[0] != digests[1]


# ---- in a process or on another machine


def _make(job):
    """Make a shard unless it exists and is whole; return its number and its index's CRC-32.

    It is remade if a file that was skipped can be read now.
    """
    try:
        with contextlib.suppress(StoreError):
            index = shards.verify(job.path, digest=job.digest)
            skipped = [file for entry, file in zip(index.entries, job.files) if entry.reason]
            if all(_read(job.sampling, file).reason for file in skipped):
                return job.number, index.crc
        return job.number, _made(job)
    finally:
        midi_files.forget_zips()


def _made(job):
    """Make a shard, and return its index's CRC-32."""
    missing = ""
    if not job.path.parent.is_dir():
        missing = f"the store's folder {job.path.parent}"
    elif not any(os.path.lexists(file.path) for file in job.files):
        missing = f"the MIDI files, such as {job.files[0].path}"
    if missing:
        raise FileNotFoundError(
            f"{socket.gethostname()} does not have {missing}. All machines need it under the same "
            "path until the conversion ends; put it on a shared file system"
        )
    tunes = (_read(job.sampling, file) for file in job.files)
    sketch = partial(sketch_of, onsets=job.sampling.onsets)
    return shards.write(job.path, job.digest, job.sampling.width, tunes, sketch)


def _read(sampling, file):
    """Read a file, and check that it has not changed since the shard's digest was made."""
    tune = read_file(sampling, file)
    if tune.reason or file.member is not None:
        return tune
    with contextlib.suppress(OSError):
        status = os.stat(file.path)
        if (status.st_size, status.st_mtime_ns) == (file.size, file.stamp):
            return tune
    return Tune(file.name, reason="it changed during the conversion")


# ---- the store


class RollStore(Collection):
    """The tunes of a store, for `RNN4Music.train`; each access reads a tune from the disk.

    Parameters
    ----------
    folder : path

    Attributes
    ----------
    options : dict
        The arguments of `convert` with which the MIDI files were read.
    n_pitches, width : int
        Numbers of pitches, and of columns of a roll: twice as many with onsets.
    names, lengths, onsets, notations, beats, tune_beats, accents, skipped, damaged, n_notes,
    dropped_notes, silence, n_cut
        See `Collection`.

    Raises
    ------
    FileNotFoundError
        If there is no store in the folder.
    StoreError
        If the store is unfinished or damaged; reading a tune may raise it too. A ValueError.
    """

    def __init__(self, folder):
        self.folder = expanded(folder).absolute()
        manifest = read_manifest(self.folder)
        if not all("crc" in shard for shard in manifest["shards"]):
            raise StoreError(
                f"the store {self.folder} is not finished; convert the MIDI files into it again to "
                "continue"
            )
        if manifest["rules"] != RULES:
            warnings.warn(
                _other_rules(f"the store {self.folder}", manifest)
                + "; to read them as this version does, convert the MIDI files into another folder",
                DatasetWarning,
                stacklevel=1,  # one place, so that it is shown once
            )
        self.options = manifest["options"]
        low, high = self.options["pitch_range"]
        self.n_pitches = high - low
        self.width = (1 + self.onsets) * self.n_pitches
        self._digests = [shard["digest"] for shard in manifest["shards"]]
        self._names, places = [], []
        self._notations = {}  # of the tunes of shards that were asked for; views share it
        entries = self._entries(manifest["shards"], places)
        self._set_outcome(entries)
        self._places = np.array(places, _PLACE)
        self._chosen = np.arange(len(places))
        self._semitones = None  # an array if the tunes are in several keys

    def _set_outcome(self, entries):
        (
            self.skipped, self.damaged, self.n_notes, self.dropped_notes, self.silence, self.n_cut
        ) = outcome(entries)  # fmt: skip

    def _entries(self, listed, places):
        """Yield the entries of the shards; collect the names and places of the tunes."""
        for number, shard in enumerate(listed):
            index = shards.read_index(
                self._path(number),
                digest=shard["digest"],
                width=self.width,
                crc=shard["crc"],
            )
            begin = 0
            for entry in index.entries:
                if not entry.reason:
                    self._names.append(entry.name)
                    places.append((number, begin, entry.n_steps, entry.crc))
                    begin += entry.n_steps * shards.row_bytes(self.width)
                yield entry

    def __len__(self):
        return len(self._chosen)

    def __getitem__(self, index):
        """Return one roll, (T, P) or with onsets (T, 2P) bool, or for a slice a store."""
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        tune = self._chosen[index]
        shard, begin, n_steps, crc = self._places[tune].tolist()
        name = self._names[tune]
        roll = shards.read_roll(self._path(shard), name, begin, n_steps, self.width, crc)
        if self._semitones is None:
            return roll
        return transpose(roll, int(self._semitones[index]), onsets=self.onsets)

    def _path(self, shard):
        return shard_path(self.folder, shard, self._digests[shard])

    @property
    def names(self):
        """The files' names, with the semitones if `in_keys` has transposed the tunes."""
        names = [self._names[tune] for tune in self._chosen.tolist()]
        if self._semitones is None:
            return names
        return [f"{name} {key:+d}" for name, key in zip(names, self._semitones.tolist())]

    @property
    def lengths(self):
        """Steps of each tune, (number of tunes,)."""
        return self._places["n_steps"][self._chosen]

    @property
    def notations(self):
        """What each file says about its music; read from the disk at the first access."""
        shard_of, of_tune = self._places["shard"], self._notations
        for shard in np.unique(shard_of[self._chosen]).tolist():
            first = int(np.searchsorted(shard_of, shard))
            if first not in of_tune:
                index = shards.read_index(self._path(shard))
                pairs = zip(index.entries, shards.read_notations(self._path(shard), index))
                used = (notation for entry, notation in pairs if not entry.reason)
                of_tune.update(enumerate(used, first))
        notations = [of_tune[tune] for tune in self._chosen.tolist()]
        if self._semitones is None:
            return notations
        return [each.transposed(key) for each, key in zip(notations, self._semitones.tolist())]

    @property
    def fingerprint(self):
        """A text that identifies the tunes and their order."""
        digest = hashlib.sha256(f"{self.width}".encode())
        digest.update(self.lengths.tobytes())
        digest.update(self._places["crc"][self._chosen].tobytes())
        if self._semitones is not None:
            digest.update(self._semitones.tobytes())
        # checkpoints have this text
        return f"{len(self)} tunes, {self.lengths.sum()} steps ({digest.hexdigest()[:16]})"

    def select(self, indices):
        """Return a store of some of the tunes, without the issues of their files."""
        indices = np.array([*indices], np.int64)
        semitones = self._semitones
        return self._view(self._chosen[indices], None if semitones is None else semitones[indices])

    def in_keys(self, semitones=ALL_KEYS):
        """Return a store of every tune in several transpositions; see `Dataset.in_keys`.

        A tune is transposed when it is read. Notes that leave the pitch range are not counted.
        """
        if self._semitones is not None:
            raise ValueError(
                "these tunes are already in several keys; call in_keys on the untransposed store"
            )
        semitones = np.array(validate_semitones(semitones), np.int16)
        return self._view(
            np.repeat(self._chosen, len(semitones)), np.tile(semitones, len(self._chosen))
        )

    def _view(self, chosen, semitones):
        view = copy.copy(self)
        vars(view).pop("beats", None)  # of these tunes
        view._chosen, view._semitones = chosen, semitones
        view._set_outcome([])
        return view

    def near_duplicates(self):
        """Return for each tune the number of its group; see `rnn4music.data.duplicates`.

        Tunes are compared by the sketches that the conversion made.
        """
        tunes, place = np.unique(self._chosen, return_inverse=True)
        shard_of, sketches = self._places["shard"], []
        for shard in np.unique(shard_of[tunes]).tolist():
            first, stop = np.searchsorted(shard_of, (shard, shard + 1))
            path = self._path(shard)
            of_shard = shards.read_sketches(path, shards.read_index(path))
            wanted = tunes[(tunes >= first) & (tunes < stop)] - first
            sketches += [of_shard[k] for k in wanted]
        return np.array(group_sketches(sketches), int)[place].tolist()


def is_store(folder):
    """Return whether a folder is a store."""
    return os.path.isfile(expanded(folder) / MANIFEST)


def options_of(folder):
    """Return the options of a store from its manifest alone, without opening its shards."""
    return read_manifest(expanded(folder))["options"]


def shard_path(folder, shard, digest):
    """Return the file of a shard."""
    return folder / SHARDS / f"{shard:05}-{digest}.rolls"


# ---- the manifest


def write_manifest(folder, manifest):
    """Write the manifest of a store, whole or not at all."""
    manifest = {"format": FORMAT, **manifest}
    text = json.dumps({**manifest, "checksum": _checksum(manifest)}, indent=1)
    with written_whole(folder / MANIFEST) as file:
        file.write(text.encode())


def read_manifest(folder):
    """Return the manifest: ``version``, ``rules`` of reading, ``options``, and ``shards``.

    A shard is a dict of ``digest``, ``n_files`` and, once all are made, ``crc`` of the index.
    Raise FileNotFoundError if there is no manifest, StoreError if it is damaged, and ValueError
    if its format is newer.
    """
    path = folder / MANIFEST
    try:
        with opened(path) as file:
            text = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder} is not a store of piano rolls: it has no {MANIFEST}; make a store with "
            "`rnn4music convert`"
        ) from None
    try:
        manifest = json.loads(text) if len(text) <= _MOST_BYTES else {}
        is_whole = manifest.pop("checksum") == _checksum(manifest)
        is_later = is_whole and manifest["format"] > FORMAT
        if is_whole and manifest["format"] == 1:
            manifest["options"].setdefault("keep_silence", True)
        if is_whole and manifest["format"] <= 2:
            manifest["options"].setdefault("onsets", False)
        manifest.setdefault("rules", 1)
        is_whole &= is_later or _is_valid(manifest)
    except shards.INVALID_JSON:
        is_whole = is_later = False
    if not is_whole:
        raise StoreError(
            f"{path} is damaged. Convert the MIDI files into the same folder again; intact shards "
            "are kept"
        )
    if is_later:
        raise ValueError(
            f"{path} has format {manifest['format']}, but this version of rnn4music reads formats "
            f"up to {FORMAT}; install a newer version"
        )
    return manifest


def _is_valid(manifest):
    """Return whether `write_manifest` could have written it; may raise one of `INVALID_JSON`."""
    options, listed = manifest["options"], manifest["shards"]
    numbers = [shard[name] for shard in listed for name in shard if name != "digest"]
    return bool(
        SamplingOptions.validate(**options).arguments().keys() == options.keys()
        and type(manifest["version"]) is str
        and type(manifest["rules"]) is int
        and all(type(number) is int and number >= 0 for number in numbers)
        and all(_DIGEST.fullmatch(shard["digest"]) for shard in listed)
    )


def _checksum(manifest):
    return zlib.crc32(json.dumps(manifest, sort_keys=True).encode())
