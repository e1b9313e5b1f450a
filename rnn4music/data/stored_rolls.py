"""`RollStore`: piano rolls on disk, read tune by tune.

Conventions
-----------
A store is a folder: ``store.json``, the *manifest*, tells of what and how it was made and lists
the shards, files in ``shards`` (see `rnn4music.data.shards`). The name of a shard has a hash of its
MIDI files' names, sizes and times of change, of how they were read and of this package's version,
so that a file never becomes that of another conversion. In memory are names, lengths and places
of the tunes alone.
"""

import copy
import hashlib
import json
import math
import re
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from midi.files import opened, written_whole
from rnn4music.data import shards
from rnn4music.data.duplicates import group_sketches
from rnn4music.data.keys import ALL_KEYS, transpose
from rnn4music.data.midi_files import Collection, Remark, checked_semitones
from rnn4music.data.shards import StoreError

MANIFEST, SHARDS = "store.json", "shards"
_DIGEST = re.compile("[0-9a-f]{16}")
_MOST_BYTES = 2**26  # of a manifest: a shard takes some 150
_PLACE = np.dtype([("shard", "i4"), ("begin", "i8"), ("n_steps", "i8"), ("crc", "u4")])


class RollStore(Collection):
    """The tunes of a store, as `RNN4Music.train` takes them; each access reads one from the disk.

    Parameters
    ----------
    folder : path

    Attributes
    ----------
    options : dict
        How the MIDI files were read, under the names of the arguments of `roll_store.convert`.
    n_pitches : int
    left_out, damaged, n_notes, lost_notes
        As of a `datasets.Dataset`.

    Raises
    ------
    FileNotFoundError
        If there is no store in the folder.
    StoreError
        If it was not finished, or something of it is damaged: also when a tune is read. It is a
        ValueError, and says what to do.
    """

    def __init__(self, folder):
        self.folder = Path(folder).expanduser().absolute()
        manifest = read_manifest(self.folder)
        if not all("crc" in shard for shard in manifest["shards"]):
            raise StoreError(
                f"the store {self.folder} is not finished: convert the MIDI files into it again, "
                "which goes on with it"
            )
        self.options = manifest["options"]
        low, high = self.options["pitch_range"]
        self.n_pitches = high - low
        self.left_out, self.damaged, counts = [], [], Counter()
        self._names, places = [], []
        self._digests = [shard["digest"] for shard in manifest["shards"]]
        for number, shard in enumerate(manifest["shards"]):
            path = self._path(number)
            index = shards.read_index(path)
            facts = index.digest, index.crc, index.n_pitches
            if facts != (shard["digest"], shard["crc"], self.n_pitches):
                raise StoreError(shards.damaged(path, "it is not the one that was made"))
            begin = 0
            for entry in index.entries:
                if entry.reason:
                    self.left_out.append(Remark(entry.name, entry.reason))
                    continue
                self._names.append(entry.name)
                places.append((number, begin, entry.n_steps, entry.crc))
                begin += entry.n_steps * shards.row_bytes(self.n_pitches)
                counts.update(entry.counts)
                if entry.damage:
                    self.damaged.append(Remark(entry.name, entry.damage))
        self.n_notes = counts.pop("n_notes", 0)
        self.lost_notes = dict(counts)
        self._places = np.array(places, _PLACE)
        self._chosen = np.arange(len(places))
        self._semitones = None  # an array, where the tunes are in several keys

    def __len__(self):
        return len(self._chosen)

    def __getitem__(self, index):
        """Return one roll, (T, P) bool, or for a slice a store."""
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        tune = self._chosen[index]
        shard, begin, n_steps, crc = self._places[tune].tolist()
        name, P = self._names[tune], self.n_pitches
        roll = shards.read_roll(self._path(shard), name, begin, n_steps, P, crc)
        return roll if self._semitones is None else transpose(roll, int(self._semitones[index]))

    def _path(self, shard):
        return shard_path(self.folder, shard, self._digests[shard])

    @property
    def names(self):
        """The files' names, with the semitones where `in_keys` has moved them."""
        names = [self._names[tune] for tune in self._chosen.tolist()]
        if self._semitones is None:
            return names
        return [f"{name} {key:+d}" for name, key in zip(names, self._semitones.tolist())]

    @property
    def lengths(self):
        """Steps of each tune, (number of tunes,)."""
        return self._places["n_steps"][self._chosen]

    @property
    def fingerprint(self):
        """A text that tells whether two stores hold the same tunes in the same order."""
        digest = hashlib.sha256(f"{self.n_pitches}".encode())
        digest.update(self.lengths.tobytes())
        digest.update(self._places["crc"][self._chosen].tobytes())
        if self._semitones is not None:
            digest.update(self._semitones.tobytes())
        return f"{self._extent()} ({digest.hexdigest()[:16]})"

    def select(self, indices):
        """Return a store of some of the tunes, without the remarks."""
        indices = np.array([*indices], np.int64)
        semitones = self._semitones
        return self._view(self._chosen[indices], None if semitones is None else semitones[indices])

    def in_keys(self, semitones=ALL_KEYS):
        """Return a store of every tune in several transpositions; see `datasets.Dataset.in_keys`.

        Tunes are moved when they are read.
        """
        if self._semitones is not None:
            raise ValueError("these tunes are in several keys already; move those they come from")
        semitones = np.array(checked_semitones(semitones), np.int16)
        return self._view(
            np.repeat(self._chosen, len(semitones)), np.tile(semitones, len(self._chosen))
        )

    def _view(self, chosen, semitones):
        view = copy.copy(self)
        view._chosen, view._semitones = chosen, semitones
        view.left_out, view.damaged, view.n_notes, view.lost_notes = [], [], 0, {}
        return view

    def near_copies(self):
        """Return for each tune the number of its group; see `rnn4music.data.duplicates`.

        Tunes are compared by the sketches that were made when they were converted.
        """
        tunes, place = np.unique(self._chosen, return_inverse=True)
        shard_of, sketches = self._places["shard"], []
        for shard in np.unique(shard_of[tunes]).tolist():
            first, stop = np.searchsorted(shard_of, (shard, shard + 1))
            of_shard = shards.read_sketches(self._path(shard))
            wanted = tunes[(tunes >= first) & (tunes < stop)] - first
            sketches += [of_shard[k] for k in wanted]
        return np.array(group_sketches(sketches), int)[place].tolist()


def is_store(folder):
    """Say whether a folder is a store."""
    return (Path(folder).expanduser() / MANIFEST).is_file()


def shard_path(folder, shard, digest):
    """Return the file of a shard."""
    return folder / SHARDS / f"{shard:05}-{digest}.rolls"


# ---- the manifest


def write_manifest(folder, manifest):
    """Write what a store is made of, whole or not at all."""
    manifest = {"format": shards.FORMAT, **manifest}
    text = json.dumps({**manifest, "checksum": _checksum(manifest)}, indent=1)
    with written_whole(folder / MANIFEST) as file:
        file.write(text.encode())


def read_manifest(folder):
    """Return what a store is made of.

    Returns
    -------
    dict
        ``version`` of this package; ``options``; and ``shards``, a dict for each, in their order:
        ``digest``, ``n_files`` and, once all are there, ``crc`` of the index, ``n_tunes`` and
        ``n_steps``.

    Raises
    ------
    FileNotFoundError
        If there is none.
    StoreError
        If it is damaged.
    ValueError
        If it is of a later version.
    """
    path = folder / MANIFEST
    try:
        with opened(path) as file:
            text = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder} holds no store of piano rolls: it has no {MANIFEST}; make one with "
            "`rnn4music convert`"
        ) from None
    try:
        manifest = json.loads(text) if len(text) <= _MOST_BYTES else {}
        is_whole = manifest.pop("checksum") == _checksum(manifest)
        is_whole &= type(manifest["format"]) is int
        is_later = is_whole and manifest["format"] > shards.FORMAT
        is_whole &= is_later or _is_sound(manifest)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        is_whole = is_later = False
    if not is_whole:
        raise StoreError(
            f"{path} is damaged: convert the MIDI files into the same folder again; what is whole "
            "of it is kept"
        )
    if is_later:
        raise ValueError(
            f"{path} has format {manifest['format']}, this version of rnn4music reads up to "
            f"{shards.FORMAT}; install a newer one"
        )
    return manifest


def _is_sound(manifest):
    """Say whether all of a manifest may have been written; or raise, if parts are missing."""
    options = manifest["options"]
    low, high = options["pitch_range"]
    numbers = [options[name] for name in ("time_step", "steps_per_beat", "tempo")]
    flags = [options[name] for name in ("sustain", "drums", "keep_short", "to_c", "strict")]
    counts = [options["most_cells"]]
    for shard in manifest["shards"]:
        counts += [value for name, value in shard.items() if name != "digest"]
    return bool(
        type(manifest["version"]) is str
        and type(low) is type(high) is int
        and 0 <= low < high <= 128
        and all(each is None or type(each) in (int, float) for each in numbers)
        and all(0 < each < math.inf for each in numbers if each is not None)
        and all(type(each) is bool for each in flags)
        and all(type(each) is int and each >= 0 for each in counts)
        and all(_DIGEST.fullmatch(shard["digest"]) for shard in manifest["shards"])
    )


def _checksum(manifest):
    return zlib.crc32(json.dumps(manifest, sort_keys=True).encode())
