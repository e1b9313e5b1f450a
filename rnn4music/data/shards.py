"""Shards: files that contain the piano rolls of some hundred MIDI files each.

A store (`rnn4music.data.store`) consists of shards. The cache of `load_midi` has a shard per call.

Conventions
-----------
A file has four parts:

- The *cells* of the tunes, one tune after the other. A row has eight cells per byte.
- The *index*, JSON text: a digest of the MIDI files and options, and an entry for each MIDI file,
  including skipped ones, with the CRC-32 of its cells.
- The *sketches* of the tunes (see `duplicates`): their hashes, eight bytes each. A cache has none.
- The *trailer*: the lengths of index and sketches, and their CRC-32.

Numbers are little-endian. A file is written whole or not at all. Data are used only after their
checksum has been verified.

Reading a roll opens the file, seeks, and reads. Memory-mapped shards were no better: each keeps a
file open, everything read counts as the process's memory, and a file that another program truncates
kills the process with SIGBUS.
"""

import contextlib
import hashlib
import json
import os
import struct
import warnings
import zlib
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from midi.files import expanded, opened, written_whole
from rnn4music._utils import version
from rnn4music.data.duplicates import Sketch, sketch_of
from rnn4music.data.notation import Notation

FORMAT = 2  # 1 had no notation; both can be read
INVALID_JSON = (ValueError, TypeError, AttributeError, KeyError, RecursionError)
"""Errors that JSON text written by another program may cause."""

_TRAILER = struct.Struct("<QQII8s")
_MAGIC = b"rolls 1\n"
_NO_SKETCH = Sketch(0, np.empty(0, np.uint64))


class StoreError(ValueError):
    """Error for a store that is damaged or unfinished."""


class Tune(NamedTuple):
    """The roll of a MIDI file, or the reason why there is none."""

    name: str
    roll: Any = None  # (T, P) bool, or (T, 2P) with onsets
    reason: str = ""  # why the file cannot be used
    damage: str = ""
    counts: dict = {}
    notation: Notation = Notation()


class Entry(NamedTuple):
    """The index's entry for a MIDI file."""

    name: str
    reason: str  # why it was skipped; "" for a tune
    damage: str
    counts: dict
    n_steps: int
    crc: int  # of the cells
    level: int  # of the sketch
    n_sketched: int
    notation: Any = ()  # the values of a `Notation`; `read_notations` checks them

    @property
    def is_valid(self):
        """Whether `write` could have written it."""
        texts, numbers = (*self[:3], *self.counts), (*self[4:8], *self.counts.values())
        return (
            all(type(text) is str for text in texts)
            and all(type(number) is int and number >= 0 for number in numbers)
            and bool(self.reason) == (self.n_steps == 0)
            and (self.crc < 2**32 and self.level <= 64)
        )


class Index(NamedTuple):
    """The index of a shard."""

    digest: str  # of the MIDI files and the options
    width: int  # columns of a roll; "n_pitches" in the file
    entries: list
    crc: int
    sketches_at: tuple[int, int, int]  # first byte, number of bytes, CRC-32


def write(path, digest, width, tunes, sketch=sketch_of):
    """Write the `tunes` as a shard, whole or not at all, and return the CRC-32 of the index.

    One tune is in memory at a time. `sketch` returns a roll's `duplicates.Sketch`.
    """
    entries, sketches = [], []
    with written_whole(path) as file:
        for name, roll, reason, damage, counts, notation in tunes:
            cells, n_steps, (level, ngrams) = b"", 0, _NO_SKETCH
            if not reason:
                cells, n_steps = np.packbits(roll, axis=1).tobytes(), len(roll)
                level, ngrams = sketch(roll)
            file.write(cells)
            sketches.append(ngrams)
            numbers = n_steps, zlib.crc32(cells), level, len(ngrams)
            entries.append(Entry(name, reason, damage, counts, *numbers, notation))
        index = json.dumps({"digest": digest, "n_pitches": width, "entries": entries}).encode()
        hashes = np.concatenate([_NO_SKETCH.ngrams, *sketches]).astype("<u8").tobytes()
        crcs = zlib.crc32(index), zlib.crc32(hashes)
        file.write(index + hashes + _TRAILER.pack(len(index), len(hashes), *crcs, _MAGIC))
    return crcs[0]


def read_index(path, **expected):
    """Return the `Index` of a shard; raise `StoreError` if it is damaged or not as expected."""
    with _opened(path) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TRAILER.size))
        end = file.read(_TRAILER.size).ljust(_TRAILER.size)
    n_index, n_hashes, crc, crc_hashes, magic = _TRAILER.unpack(end)
    begin = size - _TRAILER.size - n_hashes - n_index
    if magic != _MAGIC or begin < 0:
        raise StoreError(damaged(path, "it does not end like a shard"))
    text = _bytes(path, begin, n_index, crc, "its index")
    try:
        content = json.loads(text)
        digest, width = content["digest"], content["n_pitches"]
        entries = [Entry(*entry) for entry in content["entries"]]
        is_valid = type(digest) is str and type(width) is int and 1 <= width <= 256
        is_valid &= bool(entries) and all(entry.is_valid for entry in entries)
        is_valid &= sum(entry.n_steps for entry in entries) * row_bytes(width) == begin
        is_valid &= 8 * sum(entry.n_sketched for entry in entries) == n_hashes
    except INVALID_JSON:
        is_valid = False
    if not is_valid:
        raise StoreError(damaged(path, "its index is invalid"))
    index = Index(digest, width, entries, crc, (begin + n_index, n_hashes, crc_hashes))
    if any(getattr(index, name) != value for name, value in expected.items()):
        raise StoreError(damaged(path, "it is not the shard that the store lists"))
    return index


def read_roll(path, name, begin, n_steps, width, crc):
    """Return the (n_steps, width) bool roll of the tune whose first byte is `begin`."""
    cells = _bytes(path, begin, n_steps * row_bytes(width), crc, name)
    packed = np.frombuffer(cells, np.uint8).reshape(n_steps, row_bytes(width))
    return np.unpackbits(packed, axis=1, count=width).view(bool)


def read_tunes(path, index):
    """Yield a `Tune` for each entry of a shard's index."""
    begin = 0
    for entry, notation in zip(index.entries, read_notations(path, index)):
        name, reason, damage, counts, n_steps, crc, *_ = entry
        roll = read_roll(path, name, begin, n_steps, index.width, crc)
        yield Tune(name, None if reason else roll, reason, damage, counts, notation)
        begin += n_steps * row_bytes(index.width)


def read_notations(path, index):
    """Return the `Notation` of each entry; this takes longer than reading the index."""
    try:
        return [Notation.parsed(*entry.notation) for entry in index.entries]
    except INVALID_JSON:
        raise StoreError(damaged(path, "its index is invalid")) from None


def read_sketches(path, index):
    """Return the `duplicates.Sketch` of each of a shard's tunes."""
    hashes = _bytes(path, *index.sketches_at, what="its sketches")
    ngrams = np.frombuffer(hashes, "<u8").astype(np.uint64)
    ends = accumulate(entry.n_sketched for entry in index.entries)
    return [
        Sketch(entry.level, ngrams[end - entry.n_sketched : end])
        for entry, end in zip(index.entries, ends)
        if not entry.reason
    ]


def verify(path, **expected):
    """Return the `Index` of a shard after verifying all of its checksums."""
    index = read_index(path, **expected)
    for _ in read_tunes(path, index):
        pass
    read_sketches(path, index)
    return index


def row_bytes(width):
    """Return the number of bytes of a row."""
    return -(-width // 8)


def damaged(path, what, how="is damaged"):
    """Return the message of an error about a shard."""
    return (
        f"the shard {path} {how}: {what}. Convert the MIDI files into the same folder again; "
        "intact shards are kept"
    )


def _bytes(path, begin, n_bytes, crc, what):
    """Return bytes of a shard after verifying their checksum."""
    with _opened(path) as file:
        file.seek(begin)
        data = file.read(n_bytes)
    if len(data) != n_bytes or zlib.crc32(data) != crc:
        raise StoreError(damaged(path, f"the checksum of {what} is wrong"))
    return data


def _opened(path) -> Any:
    try:
        return opened(path)
    except FileNotFoundError:
        raise StoreError(damaged(path, "the file does not exist", "is missing")) from None


# ---- a cache


def cached(folder, key, files, width, read):
    """Return a list of the tunes that `read` yields, from the cache if it has them.

    The cache is a folder, or None. It may be deleted at any time; damaged files in it are ignored.
    `files` have a ``name`` and a method ``read`` for their bytes. `key` is a tuple of everything
    else that the tunes depend on, besides the version of this package.
    """
    if folder is None:
        return list(read())
    if not os.fspath(folder):
        raise ValueError('the cache is ""; give a folder, or None for no cache')
    digest = _digest(key, files)
    path = expanded(folder) / f"{digest}.rolls"
    with contextlib.suppress(StoreError, OSError):
        index = read_index(path, digest=digest, width=width)
        return list(read_tunes(path, index))
    tunes = list(read())
    if _digest(key, files) != digest:
        return tunes  # a file changed meanwhile
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, digest, width, tunes, sketch=lambda roll: _NO_SKETCH)
    except OSError as error:
        warnings.warn(f"the cache {folder} cannot be written: {error}", stacklevel=3)
    return tunes


def _digest(key, files):
    digest = hashlib.blake2b(digest_size=20)
    digest.update(repr((FORMAT, version.__version__, key)).encode())
    for file in files:
        try:
            content = hashlib.blake2b(file.read()).hexdigest()
        except Exception as error:  # reading the file reports it
            content = repr(error)
        digest.update(repr((file.name, content)).encode())
    return digest.hexdigest()
