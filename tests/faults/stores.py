"""Conversions of MIDI files to stores that are killed, and stores that are damaged."""

import functools
import time
import warnings

import numpy as np

from midi import midiwrite
from rnn4music.data import store as roll_store
from rnn4music.data.dataset import DatasetWarning
from rnn4music.data.store import RollStore, StoreError, convert

from .damage import check
from .rounds import Child, Counts, is_same, left_behind

FILES_OF_A_SHARD = 4  # so that there are many shards


def written_tunes(folder, n=60):
    """Write MIDI files, one of them damaged and one empty."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for k in range(n):
        midiwrite(folder / f"{k:02}.mid", rng.random((30 + 7 * (k % 9), 88)) < 0.05)
    (folder / "damaged.mid").write_bytes((folder / "00.mid").read_bytes()[:-20])
    (folder / "nothing.mid").write_bytes(b"")
    return folder


def made(source, folder):
    """Convert in this process."""
    roll_store.FILES_OF_A_SHARD = FILES_OF_A_SHARD
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DatasetWarning)
        return convert(source, folder, workers=1, progress=False)


def _convert(say, source, folder):
    made(source, folder)
    say("done")


def content(folder):
    """Return everything that a store holds."""
    store = RollStore(folder)
    facts = store.options, list(store.names), store.lengths, store.n_notes, store.fingerprint
    issues = [*map(tuple, store.skipped), *map(tuple, store.damaged)]
    return [*facts, issues, [np.array(roll) for roll in store]]


def conversion(rounds, rng, folder):
    """One or two conversions into a folder, killed until it is complete: no shard is lost."""
    counts = Counts()
    source = written_tunes(folder / "music")
    started = time.monotonic()
    made(source, folder / "undisturbed")
    seconds = time.monotonic() - started
    expected = content(folder / "undisturbed")

    def there(store):
        return {path.name: path.read_bytes() for path in (store / "shards").glob("[!.]*")}

    number = 0
    while counts["kills"] < rounds:
        number += 1
        store, before, is_whole = folder / str(number), {}, False
        while not is_whole:
            work = functools.partial(_convert, source=source, folder=store)
            children = [Child(work) for _ in range(rng.integers(1, 3))]
            for child in children:
                ended = child.wait(rng.uniform(0, seconds))
                counts["kills"] += not ended
                is_whole |= ended and not child.failed
                if child.failed:
                    counts.violation("a conversion did not continue")
                    is_whole = True
            now = there(store)
            if any(now.get(name) != shard for name, shard in before.items()):
                counts.violation("a complete shard is gone or changed")
            before = now
        counts["stores finished"] += 1
        if not is_same(content(store), expected):
            counts.violation("a store differs from the undisturbed one")
        counts["temporary files left"] += len(left_behind(store) + left_behind(store / "shards"))
    return counts


def store(rounds, rng, folder):
    """A shard and the list of shards, damaged: reported, and rebuilt by the next conversion."""
    source = written_tunes(folder / "music", 12)
    made(source, folder / "store")
    files = [*sorted((folder / "store" / "shards").iterdir())[:2], folder / "store" / "store.json"]
    expected, counts = content(folder / "store"), Counts()
    for path in files:
        name = "store list" if path.suffix == ".json" else "shard"
        counts += check(
            -(-rounds // 3), rng, path, lambda _: content(folder / "store"), (StoreError,), name
        )
        for _ in range(rounds // 30):
            data = bytearray(path.read_bytes())
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            path.write_bytes(data)
            try:
                made(source, folder / "store")
            except ValueError:
                if path.suffix != ".json":  # its options cannot be compared
                    counts.violation("a damaged store is not rebuilt")
                path.unlink()
                made(source, folder / "store")
            counts["damaged and rebuilt"] += 1
            if not is_same(content(folder / "store"), expected):
                counts.violation("a rebuilt store differs")
    return counts
