"""Time from the start of a process to the end of its first update.

With cold caches, an empty folder replaces the caches of the user; with warm caches, the same folder
is used again. Compiled Python modules are kept in both cases. Peers are started without importing
rnn4music, with the caches left by their first start.
"""

import tempfile

from benchmarks import peers, processes
from benchmarks.figures import cell, markdown, summary
from benchmarks.peers import OURS
from benchmarks.settings import Size


def measure(settings):
    """Time new processes with cold and warm caches alternately, then each peer in turn."""
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
