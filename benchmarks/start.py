"""Time from the start of a process to the end of its first update, and of whole programs.

With cold caches, an empty folder replaces the caches of the user; with warm caches, the same folder
is used again. Compiled Python modules are kept in both cases. Peers are started without importing
rnn4music, with the caches left by their first start. The programs compose 300 steps and score ten
tunes with an untrained network of the same size.
"""

import tempfile
from pathlib import Path

from benchmarks import peers, processes
from benchmarks.figures import cell, markdown, summary
from benchmarks.peers import OURS
from benchmarks.settings import Size

N_TUNES = 10  # to score
WITH_ENGINE = "from rnn4music import RNN4Music; RNN4Music.from_file({!r}).genMusic(None, 300)"


def measure(settings):
    """Time new processes with cold and warm caches and each peer, in turn."""
    size = settings.main
    present, skipped = peers.present(settings.peers)
    with tempfile.TemporaryDirectory() as folder:
        model, music = Path(folder) / "model.npz", Path(folder) / "music"
        processes.save_model(model, size)
        processes.generate_tunes(music, N_TUNES)
        commands = {
            "rnn4music compose": ["-m", "rnn4music", "compose", model, "-o", f"{folder}/tune.mid"],
            "genMusic, with the engine": ["-c", WITH_ENGINE.format(str(model))],
            "rnn4music evaluate": ["-m", "rnn4music", "evaluate", model, music],
        }
        jobs = {OURS: lambda caches: processes.first_update(size, caches)} | {
            name: lambda caches, command=command: processes.seconds_of(command, caches)
            for name, command in commands.items()
        }
        cold, warm, theirs = ({name: [] for name in names} for names in (jobs, jobs, present))
        their_caches = processes.caches_in(f"{folder}/peers")
        Path(f"{folder}/peers").mkdir()
        for _ in range(settings.starts + 1):  # the first writes bytecode, and is not counted
            for name, job in jobs.items():
                with tempfile.TemporaryDirectory() as own:
                    for seconds in (cold, warm):
                        seconds[name].append(job(processes.caches_in(own)))
            for name in present:
                theirs[name].append(processes.first_peer_update(name, size, their_caches))
    return {
        "size": size._asdict(),
        "cold_s": {name: summary(seconds[1:]) for name, seconds in cold.items()},
        "warm_s": {name: summary(seconds[1:]) for name, seconds in {**warm, **theirs}.items()},
        "skipped": skipped,
    }


def report(results):
    """Return the tables in Markdown."""
    rows = [
        [peers.title(name), cell(results["cold_s"].get(name)), cell(figures)]
        for name, figures in results["warm_s"].items()
    ]
    programs = [row for row in rows if row[0] in results["cold_s"] and row[0] != OURS]
    size, head = Size(**results["size"]), ["", "cold caches", "warm caches"]
    return "\n".join(
        [
            f"Seconds from process start to the end of the first update, {size}:",
            "",
            *markdown(head, [row for row in rows if row not in programs]),
            "",
            "Seconds from the start to the end of a program:",
            "",
            *markdown(head, programs),
        ]
    )
