"""Hundreds of faults of every kind; ends with 1 if one of them broke a promise.

    python -m tests.faults                         all kinds, 300 rounds each
    python -m tests.faults training saving         these kinds
    python -m tests.faults --rounds 20 --seed 7

Run it from the repository's root, as root where the kinds that fill a file system or change the
user shall not be skipped. The kinds and what they do are listed by ``--help``.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # threads do not survive a fork

import numpy as np  # noqa: E402

from . import clusters, damage, disks, kills, places, searches, stores  # noqa: E402
from .rounds import Counts  # noqa: E402

SLOW = {"training_processes": 25, "searches": 5, "cluster": 25}
"""Of these kinds one round in so many is made, since each takes seconds."""

KINDS = {
    function.__name__: function
    for function in (
        kills.training,
        kills.training_processes,
        kills.saving,
        kills.cache,
        kills.writers,
        damage.model,
        damage.checkpoint,
        damage.cache_file,
        disks.full_disk,
        places.unreadable,
        stores.conversion,
        stores.store,
        searches.searches,
        searches.search_storage,
        clusters.cluster,
    )
}


def main():
    """Make the rounds, print the counts."""
    kinds = "\n".join(f"  {name:<20} {each.__doc__}" for name, each in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=f"{__doc__}\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="all without it")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    unknown = set(asked.kinds) - KINDS.keys()
    if unknown:
        parser.error(f"there is no kind {', '.join(unknown)}; there are {', '.join(KINDS)}")
    violations = 0
    for name in asked.kinds or KINDS:
        rounds = -(-asked.rounds // SLOW.get(name, 1))
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            counts = KINDS[name](rounds, np.random.default_rng(asked.seed), Path(folder))
        violations += counts[Counts.VIOLATIONS]
        shown = ", ".join(f"{n} {what}" for what, n in counts.items())
        print(f"{name:<20} {time.monotonic() - started:6.0f} s  {shown}", flush=True)
    print("no promise was broken" if not violations else f"{violations} VIOLATIONS")
    sys.exit(violations > 0)


if __name__ == "__main__":
    main()
