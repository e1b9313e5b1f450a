"""The main job's speed and memory, beside PyTorch's `nn.LSTM` where that is installed.

    python -m benchmarks.speed                    on one core
    python -m benchmarks.speed --threads all      on all cores
    python -m benchmarks.speed --json speed.json  writes the figures to a file as well

Run it from the repository's root. Prints the time of one update, of the first update of a
fresh process, and of composing, and the peak memory of `examples/main.py`. The peer comes
with the extra "benchmark".

Conventions
-----------
Ours and theirs alternate in rounds, so that whatever else the machine does meets both. An
update starts from a NumPy minibatch and ends with the cost as a float. Figures are medians,
with the quartiles in brackets.
"""

import argparse
import json
import os
import statistics
from pathlib import Path

from benchmarks import machine, processes
from benchmarks.figures import print_row, summary, timed

UPDATES_PER_ROUND = 10
COMPOSED = 20  # times
OURS = "rnn4music"
TORCH = "torch nn.LSTM"


def main():
    """Measure and print."""
    settings = parse_arguments()
    if settings.threads == "1" and not machine.pin_to_one_core():
        print("this system cannot pin a process to one core: our engine may use more")
    about = machine.describe()
    size = settings.hidden, settings.batch, settings.steps
    results = {  # processes first, while this one is small; see there
        "first_update_s": summary([processes.first_update(size) for _ in range(settings.starts)]),
        "example_peak_mb": example_peak(settings.data),
        **update_times(size, settings.rounds),
        "compose_300_ms": compose_times(settings.hidden),
    }
    about.update(engine())
    print_report(settings, about, results)
    if settings.json:
        report = {"machine": about, "settings": vars(settings), "results": results}
        settings.json.write_text(json.dumps(report, indent=2, default=str) + "\n")


def parse_arguments():
    """Return the command line's settings."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description="Speed and memory beside PyTorch."
    )
    chorales = processes.ROOT / "data" / "chorales"
    add = parser.add_argument
    add("--hidden", type=int, default=120, help="units of each layer (%(default)s)")
    add("--batch", type=int, default=5, help="tunes in a minibatch (%(default)s)")
    add("--steps", type=int, default=98, help="predictions in a window (%(default)s)")
    add("--rounds", type=int, default=20, help="of 10 updates each (%(default)s)")
    add("--starts", type=int, default=5, help="fresh processes to time (%(default)s)")
    add("--threads", choices=("1", "all"), default="1", help="cores to use (%(default)s)")
    add("--data", type=Path, default=chorales, help=".mid files for the example")
    add("--json", type=Path, help="a file to write the figures to")
    return parser.parse_args()


# ---- measuring


def example_peak(folder):
    """Return the example's peak memory in MB, or None and say why."""
    if not folder.is_dir():
        print(f"skipped the example's memory: no {folder}; give --data FOLDER")
    elif not hasattr(os, "wait4"):
        print("skipped the example's memory: this system does not tell it")
    else:
        return processes.example_peak(folder)
    return None


def update_times(size, n_rounds):
    """Time updates, ours and theirs in turn; first make sure that both compute the same.

    Returns
    -------
    dict
        ``update_ms``: a summary for each program; ``times_as_fast``: for each peer the
        summary over the rounds of its median divided by ours.
    """
    from benchmarks import job

    model, tunes = job.model_and_tunes(*size)
    batch, length = tunes.shape[:2]

    def our_round():
        return model.train(tunes, UPDATES_PER_ROUND, 1, batch, length, progress=False).seconds

    programs = {OURS: our_round}
    if machine.installed("torch"):
        programs[TORCH] = torch_rounds(model, tunes.swapaxes(0, 1).copy())
    else:
        print(f"skipped {TORCH}: no torch; python -m pip install '.[benchmark]'")
    rounds = {name: [] for name in programs}
    for one_round in programs.values():
        one_round()  # compiles, warms up
    for _ in range(n_rounds):
        for name, one_round in programs.items():
            rounds[name].append([1000 * seconds for seconds in one_round()])

    medians = {name: [statistics.median(one) for one in rounds[name]] for name in rounds}
    return {
        "update_ms": {name: summary(sum(rounds[name], [])) for name in rounds},
        "times_as_fast": {
            name: summary([theirs / ours for ours, theirs in zip(medians[OURS], medians[name])])
            for name in rounds
            if name != OURS
        },
    }


def torch_rounds(model, windows):
    """Return a function that times a round of the peer, which was found to agree."""
    from benchmarks import job, torch_lstm

    torch_lstm.use_threads(machine.available_cores())
    peer = torch_lstm.TorchLSTM(
        windows.shape[2], model.h1_length, job.initial_states(model), job.RATE, model.gradClip
    )
    job.share_weights(model, peer)
    largest = job.difference(model, peer, windows)
    print(f"{TORCH} agrees, without peepholes: cost and gradients within {largest:.0e} of ours")
    return lambda: [timed(lambda: peer.update(windows)) for _ in range(UPDATES_PER_ROUND)]


def compose_times(hidden):
    """Time 300 composed steps after a start of 50, once compiled."""
    from benchmarks import job

    model, (start,) = job.model_and_tunes(hidden, batch=1, steps=49)
    model.genMusic(start, 300)
    return summary([1000 * timed(lambda: model.genMusic(start, 300)) for _ in range(COMPOSED)])


def engine():
    """Return the engine's name, and the versions of all that was measured."""
    from rnn4music import backend

    packages = ("numpy", *backend.ENGINES[backend.ENGINE], "torch")
    return {"engine": backend.ENGINE, "versions": machine.versions(packages)}


# ---- printing


def print_report(settings, about, results):
    """Print the machine and the table."""
    versions = " ".join(f"{name} {version}," for name, version in about["versions"].items())
    load = "" if about["load_before"] is None else f"; load before: {about['load_before']:.1f}"
    print(f"\n{about['processor']}, {about['cores_used']} of {about['cores']} cores used{load}")
    print(about["platform"])
    print(f"Python {about['python']}, {versions} engine {about['engine']}")
    print(f"3 layers of {settings.hidden} units, {settings.batch} tunes, {settings.steps} steps\n")
    for name, figures in results["update_ms"].items():
        print_row(f"update, {name}", figures, "ms")
    for name, figures in results["times_as_fast"].items():
        print_row(f"  ours against {name}", figures, "times as fast")
    print_row(f"300 steps after 50, {OURS}", results["compose_300_ms"], "ms")
    print_row(f"first update, {OURS} *", results["first_update_s"], "s")
    if results["example_peak_mb"] is not None:
        print(f"{'example, 1 epoch, peak memory':<34}{results['example_peak_mb']:>8.0f} MB")
    print("\n* from the start of a fresh process; caches on disk as they were found")


if __name__ == "__main__":
    main()
