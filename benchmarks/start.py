"""Seconds from the start of a process to the end of its first update.

Cold: the caches of this user are replaced by an empty folder. Warm: the same folder again.
Python's own compiled modules stay as they are in both. The peers are started without any of
our code, with the caches of their own that the first of their starts left behind.
"""

import tempfile

from benchmarks import peers, processes
from benchmarks.figures import cell, markdown, summary
from benchmarks.peers import OURS
from benchmarks.settings import Size


def measure(settings):
    """Start fresh processes, cold and warm in turn, then those of each peer in turn."""
    size = settings.main
    cold, warm = [], []
    for _ in range(settings.starts):
        with tempfile.TemporaryDirectory() as folder:
            caches = processes.caches_in(folder)
            cold.append(processes.first_update(size, caches))
            warm.append(processes.first_update(size, caches))
    present, skipped = peers.present(settings.peers)
    theirs = {name: [] for name in present}
    with tempfile.TemporaryDirectory() as folder:
        caches = processes.caches_in(folder)
        for n in range(settings.starts + 1):
            for name in present:
                seconds = processes.first_peer_update(name, size, caches)
                if n > 0:
                    theirs[name].append(seconds)
    return {
        "size": size._asdict(),
        "cold_s": {OURS: summary(cold)},
        "warm_s": {
            OURS: summary(warm),
            **{name: summary(seconds) for name, seconds in theirs.items()},
        },
        "skipped": skipped,
    }


def report(results):
    """Return the table in Markdown."""
    rows = [
        [peers.title(name), cell(results["cold_s"].get(name)), cell(figures)]
        for name, figures in results["warm_s"].items()
    ]
    size = Size(**results["size"])
    return "\n".join(
        [
            f"Seconds from process start to the end of the first update, {size}:",
            "",
            *markdown(["", "cold caches", "warm caches"], rows),
        ]
    )
