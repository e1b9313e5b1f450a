"""Fault injection: hundreds of faults of every kind; exits with 1 if one breaks a promise.

    python -m tests.faults                         all kinds, 300 rounds each
    python -m tests.faults training saving         these kinds
    python -m tests.faults --rounds 20 --seed 7

Run it from the root of the repository. As another user than root, the kind that fills a file system
is skipped, and the kinds that change the user run as this user. ``--help`` describes the kinds.
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
"""Kinds whose rounds take seconds, and the factor by which they run fewer rounds."""

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
    """Run the rounds and print the counts."""
    kinds = "\n".join(f"  {name:<20} {each.__doc__}" for name, each in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=f"{__doc__}\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="kind of fault (default: all)")
    parser.add_argument("--rounds", type=int, default=300, help="rounds of each kind")
    parser.add_argument("--seed", type=int, default=1, help="seed of the faults")
    asked = parser.parse_args()
    unknown = set(asked.kinds) - KINDS.keys()
    if unknown:
        parser.error(f"unknown kind: {', '.join(unknown)}; choose from {', '.join(KINDS)}")
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
