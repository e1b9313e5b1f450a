"""Time from process start to the end of the first update on a folder of MIDI files."""

import tempfile
from pathlib import Path

from benchmarks import processes
from benchmarks.figures import cell, markdown, summary
from benchmarks.settings import Size


def measure(settings):
    """Time processes that read generated files, and processes that find them in the cache."""
    times = {"reading the files": [], "from the cache of piano rolls": []}
    with tempfile.TemporaryDirectory() as scratch:
        tunes, cache = Path(scratch) / "tunes", Path(scratch) / "cache"
        processes.generate_tunes(tunes, settings.files)
        size = settings.main
        processes.update_from_folder(tunes, cache, size)  # fills all caches
        for _ in range(settings.starts):
            for kind, where in zip(times, (None, cache)):
                times[kind].append(processes.update_from_folder(tunes, where, size))
    return {
        "files": settings.files,
        "size": size._asdict(),
        "seconds": {kind: summary(seconds) for kind, seconds in times.items()},
    }


def report(results):
    """Return the table in Markdown."""
    rows = [[kind, cell(figures)] for kind, figures in results["seconds"].items()]
    return "\n".join(
        [
            f"{results['files']} MIDI files, {Size(**results['size'])}:",
            "",
            *markdown(["", "seconds to the end of the first update"], rows),
        ]
    )
