"""A shard: one file with the piano rolls of some hundred MIDI files.

Conventions
-----------
A file has four parts. The *cells* of its tunes, one tune after the other: rows of eight cells to
a byte. The *index*, JSON text: what the shard was made of, and an entry for each MIDI file, those
that were left out too, with the CRC-32 of its cells. The *sketches* of the tunes (see
`near_copies`): their hashes, eight bytes each. The *trailer*: how long index and sketches are, and
their CRC-32. Numbers are little-endian. Files are written whole or not at all; nothing that is
read is used before its checksum is right.

A roll is read by opening the file, going there, and reading. A memory map of each shard was no
better: it keeps a file open for each shard, all that was read counts as the process's memory, and
a file that another program cuts short ends the process with SIGBUS.
"""

import json
import struct
import zlib
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from midi.files import opened, written_whole
from rnn4music.data.duplicates import Sketch, sketch_of

FORMAT = 1
_TRAILER = struct.Struct("<QQII8s")
_MAGIC = b"rolls 1\n"  # with the format


class StoreError(ValueError):
    """A store that is damaged, or was not finished."""


class Entry(NamedTuple):
    """What the index says of one MIDI file."""

    name: str
    reason: str  # why it was left out; "" for a tune
    damage: str
    counts: dict
    n_steps: int
    crc: int  # of its cells
    level: int  # of its sketch
    n_sketched: int

    @property
    def is_sound(self):
        """Whether all of it is what `write` may have written."""
        texts, numbers = self[:3], (*self[4:], *self.counts.values())
        return (
            all(type(text) is str for text in (*texts, *self.counts))
            and all(type(number) is int and number >= 0 for number in numbers)
            and bool(self.reason) == (self.n_steps == 0)
            and self.crc < 2**32
            and self.level <= 64
        )


class Index(NamedTuple):
    """What a shard says of itself."""

    digest: str  # of what it was made of, and how
    n_pitches: int
    entries: list
    crc: int
    sketches_at: tuple  # first byte, number of bytes, CRC-32


def write(path, digest, n_pitches, tunes):
    """Write a shard, whole or not at all, one tune in memory at a time.

    Parameters
    ----------
    path : path
    digest : str
    n_pitches : int
    tunes : iterable of roll_cache.Tune
    """
    entries, sketches = [], []
    with written_whole(path) as file:
        for tune in tunes:
            cells, sketch = b"", Sketch(0, np.empty(0, np.uint64))
            if not tune.reason:
                cells, sketch = np.packbits(tune.roll, axis=1).tobytes(), sketch_of(tune.roll)
            file.write(cells)
            sketches.append(sketch.passages)
            n_steps = 0 if tune.reason else len(tune.roll)
            about = tune.name, tune.reason, tune.damage, tune.counts
            numbers = n_steps, zlib.crc32(cells), sketch.level, len(sketch.passages)
            entries.append(Entry(*about, *numbers))
        index = json.dumps({"digest": digest, "n_pitches": n_pitches, "entries": entries}).encode()
        hashes = np.concatenate(sketches).astype("<u8").tobytes()
        file.write(index)
        file.write(hashes)
        crcs = zlib.crc32(index), zlib.crc32(hashes)
        file.write(_TRAILER.pack(len(index), len(hashes), *crcs, _MAGIC))


def read_index(path):
    """Return the `Index` of a shard; raise `StoreError` if it is damaged."""
    with _opened(path) as file:
        size = file.seek(0, 2)
        if size < _TRAILER.size:
            raise StoreError(damaged(path, f"it has {size} bytes"))
        file.seek(-_TRAILER.size, 2)
        n_index, n_hashes, crc, crc_hashes, magic = _TRAILER.unpack(file.read(_TRAILER.size))
        begin = size - _TRAILER.size - n_hashes - n_index
        if magic != _MAGIC or begin < 0:
            raise StoreError(damaged(path, "its end is not that of a shard"))
        file.seek(begin)
        text = file.read(n_index)
    if zlib.crc32(text) != crc:
        raise StoreError(damaged(path, "the checksum of its index is wrong"))
    try:
        about = json.loads(text)
        digest, n_pitches = about["digest"], about["n_pitches"]
        entries = [Entry(*entry) for entry in about["entries"]]
        is_sound = type(digest) is str and type(n_pitches) is int and 1 <= n_pitches <= 128
        if not (is_sound and entries and all(entry.is_sound for entry in entries)):
            raise StoreError(damaged(path, "its index holds what no shard's does"))
        n_steps = sum(entry.n_steps for entry in entries)
        n_sketched = sum(entry.n_sketched for entry in entries)
        fits = (n_steps * row_bytes(n_pitches), 8 * n_sketched) == (begin, n_hashes)
    except StoreError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        raise StoreError(damaged(path, "its index is not that of a shard")) from None
    if not fits:
        raise StoreError(damaged(path, f"it has {size} bytes, and its index tells of others"))
    where = begin + n_index, n_hashes, crc_hashes
    return Index(digest, n_pitches, entries, crc, where)


def read_roll(path, name, begin, n_steps, n_pitches, crc):
    """Return the (n_steps, n_pitches) bool roll of a tune, whose first byte is `begin`."""
    n_bytes = n_steps * row_bytes(n_pitches)
    with _opened(path) as file:
        file.seek(begin)
        cells = file.read(n_bytes)
    if len(cells) != n_bytes or zlib.crc32(cells) != crc:
        raise StoreError(damaged(path, f"the checksum of {name} is wrong"))
    packed = np.frombuffer(cells, np.uint8).reshape(n_steps, row_bytes(n_pitches))
    return np.unpackbits(packed, axis=1, count=n_pitches).view(bool)


def read_sketches(path):
    """Return the `near_copies.Sketch` of each of a shard's tunes."""
    index = read_index(path)
    begin, n_bytes, crc = index.sketches_at
    with _opened(path) as file:
        file.seek(begin)
        hashes = file.read(n_bytes)
    if len(hashes) != n_bytes or zlib.crc32(hashes) != crc:
        raise StoreError(damaged(path, "the checksum of its sketches is wrong"))
    passages = np.frombuffer(hashes, "<u8").astype(np.uint64)
    ends = accumulate(entry.n_sketched for entry in index.entries)
    return [
        Sketch(entry.level, passages[end - entry.n_sketched : end])
        for entry, end in zip(index.entries, ends)
        if not entry.reason
    ]


def verify(path):
    """Read all of a shard, and return its `Index`; raise `StoreError` if a checksum is wrong."""
    index, begin = read_index(path), 0
    for entry in index.entries:
        read_roll(path, entry.name, begin, entry.n_steps, index.n_pitches, entry.crc)
        begin += entry.n_steps * row_bytes(index.n_pitches)
    read_sketches(path)
    return index


def row_bytes(n_pitches):
    """Return how many bytes a row of so many cells takes."""
    return -(-n_pitches // 8)


def _opened(path) -> Any:
    try:
        return opened(path)
    except FileNotFoundError:
        raise StoreError(damaged(path, "it is gone", "is incomplete")) from None


def damaged(path, what, how="is damaged"):
    """Return what an error says of a shard."""
    return (
        f"the shard {path} {how}: {what}; convert the MIDI files into the same folder again: "
        "that makes anew what is not whole, and nothing else"
    )
