"""What it brings to spread minibatches over workers: here, and on paper for up to 64 machines.

    python -m benchmarks.scaling                              some minutes on two cores
    python -m benchmarks.scaling --sizes 120,5,100 400,64,100 --rounds 8

Run it from the repository's root. First part: updates in one process on one core and on all, and
with one and with two workers of one core each, alternating in rounds. Second part: the time of an
update on one core against the number of its tunes, and from it, for a network's bandwidth, what n
machines with such a core would make of it:

    t(n) = c(B / n) + n · (a + 64 · N / W) + m

with c the measured time of an update of so many tunes on one core; a the measured time of a call
of a worker that does nothing; N the parameters (32 bits of each to the worker and 32 back, all
through the one link of the process that adds up), W its bandwidth in bit/s; and m the measured
time in which that process adds up and changes the weights. Nothing overlaps: computing waits for
weights, and the sum for the last gradient.

Conventions
-----------
Figures are medians with the quartiles in brackets, ratios are of the medians of one round.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from typing import Any

from benchmarks import machine
from benchmarks.figures import cell, markdown, summary
from benchmarks.settings import Size

SIZES = [Size(120, 5, 100), Size(120, 64, 100), Size(400, 64, 100)]
ON_PAPER = [Size(120, 64, 100), Size(120, 512, 100), Size(400, 64, 100), Size(400, 512, 100)]
MACHINES = (2, 4, 8, 16, 32, 64)
GIGABITS = (1, 10, 25)
SECONDS = 0.7  # of a program in a round
ALONE, ALL_CORES, ONE, TWO = "one core", "all cores", "1 worker", "2 workers"


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", nargs="+", type=Size.parse, default=SIZES, metavar="H,B,T")
    parser.add_argument("--paper", nargs="*", type=Size.parse, default=ON_PAPER, metavar="H,B,T")
    parser.add_argument("--rounds", type=int, default=8, help="(%(default)s)")
    arguments = parser.parse_args()
    host = machine.describe()
    print(f"{host['processor']}, {host['cores_used']} cores, load {host['load_before']}\n")
    cores = sorted(os.sched_getaffinity(0))
    one_core, all_cores = Elsewhere(cores[-1:]), Elsewhere(cores)
    try:
        here = measure(arguments.sizes, arguments.rounds, one_core, all_cores)
        print("\n".join(report_here(here)), flush=True)
        if arguments.paper:
            latency, megabytes = latency_and_rate()
            print(f"\nA call of a worker that does nothing: {latency:.2f} ms; 2 MB to it and back: "
                  f"{megabytes:.0f} MB/s\n")  # fmt: skip
            print("\n".join(on_paper(arguments.paper, one_core, latency, here)), flush=True)
    finally:
        for process in (one_core, all_cores):
            process.end()


class Elsewhere:
    """A process on some cores that trains when it is told to."""

    def __init__(self, cores):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, cores), daemon=True)
        self.process.start()

    def seconds(self, size, n):
        """Return the seconds of each of `n` updates."""
        self.connection.send((size, n))
        return self.connection.recv()

    def end(self):
        """End it."""
        self.connection.send(None)
        self.process.join()


def _serve(connection, cores):
    os.sched_setaffinity(0, cores)
    from benchmarks import job

    models: dict[Any, Any] = {}
    while (asked := connection.recv()) is not None:
        size, n = asked
        if size not in models:
            models.clear()
            models[size] = job.model_and_tunes(*size)
        model, tunes = models[size]
        connection.send(_updates(model, tunes, n))


def _updates(model, tunes, n, cluster=None):
    batch, length = tunes.shape[:2]
    history = model.train(tunes, n, 1, batch, length, cluster=cluster, progress=False)
    return history.seconds


def measure(sizes, rounds, one_core, all_cores):
    """Measure all programs at all sizes: dict of size to dict of program to list of ms lists."""
    from benchmarks import job
    from rnn4music import model as model_module
    from rnn4music.distributed import cluster
    from rnn4music.training import data_parallel

    kept = []

    class Kept(data_parallel.ClusterTrainer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            kept.append(self)

    model_module.ClusterTrainer = Kept
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})  # so that one worker has one core
    with cluster.connected(1) as one:
        os.sched_setaffinity(0, cores)
        with cluster.connected(2) as two:
            results = {}
            for size in sizes:
                model, tunes = job.model_and_tunes(*size)
                programs = {
                    ALONE: lambda n, size=size: one_core.seconds(size, n),
                    ALL_CORES: lambda n, size=size: all_cores.seconds(size, n),
                    ONE: lambda n, m=model, t=tunes: _updates(m, t, n, one),
                    TWO: lambda n, m=model, t=tunes: _updates(m, t, n, two),
                }
                for program in programs.values():
                    program(2)
                n = max(2, min(40, int(SECONDS / min(programs[ALONE](3)))))
                results[size] = {name: [] for name in programs}
                kept.clear()
                for _ in range(rounds):
                    for name, program in programs.items():
                        # the first update of a call finds memory that another program has left
                        seconds = program(n + 1)[1:]
                        results[size][name].append([1000 * second for second in seconds])
                results[size]["traffic"] = [run.traffic for run in kept]
                results[size]["n_parameters"] = sum(
                    array.size for array in model.get_parameters().values()
                )
    return results


def _medians(rounds):
    return [statistics.median(round_) for round_ in rounds]


def report_here(results):
    """Return the table of the first part."""
    rows, sent = [], []
    for size, programs in results.items():
        medians = {name: _medians(programs[name]) for name in (ALONE, ALL_CORES, ONE, TWO)}
        ratios = [
            summary([a / b for a, b in zip(medians[one], medians[other])])
            for one, other in ((ALONE, ALL_CORES), (ALONE, ONE), (ALONE, TWO))
        ]
        rows.append([size, cell(summary(medians[ALONE])), *(cell(ratio, " ×") for ratio in ratios)])
        for n_workers in (1, 2):
            epochs = [
                epoch for epoch in programs["traffic"][n_workers - 1 :: 2] if epoch["updates"]
            ]
            total, computing, out, back = (
                statistics.median(scale * epoch[name] / epoch["updates"] for epoch in epochs)
                for name, scale in
                (("seconds", 1e3), ("computing", 1e3), ("sent", 1e-6), ("received", 1e-6))
            )  # fmt: skip
            share = f"{(total - computing) / total:.0%}"
            figures = [f"{total:.1f}", f"{computing:.1f}", share, f"{out:.2f}", f"{back:.2f}"]
            sent.append([size, n_workers, *figures])
    return [
        "An update in one process on one core, and how many times as fast others are:",
        "",
        *markdown(["size", f"{ALONE}, ms", ALL_CORES, ONE, TWO], rows),
        "",
        "What of it is computing (the slowest worker) and what is sent, MB:",
        "",
        *markdown(["size", "workers", "ms", "computing", "the rest", "sent", "received"], sent),
    ]


class Nothing:
    """An actor that gives back what it gets."""

    def echo(self, value):
        """Return it."""
        return value


def latency_and_rate():
    """Return the ms of an empty call of a worker, and MB/s to it and back."""
    import numpy as np

    from rnn4music.distributed import cluster

    with cluster.connected(1) as client:
        actor: Any = client.submit(Nothing, actor=True, pure=False).result()
        times = {}
        for size in (0, 500_000):
            value = np.zeros(size, "float32")
            seconds = []
            for _ in range(60):
                started = time.perf_counter()
                actor.echo(value).result()
                seconds.append(time.perf_counter() - started)
            times[size] = statistics.median(seconds[10:])
    return 1e3 * times[0], 4.0 / (times[500_000] - times[0])


def on_paper(sizes, one_core, latency, here):
    """Return the table of what n machines would bring."""
    lines, rows = [], []
    for size in sizes:
        parts = sorted({-(-size.batch // n) for n in (1, *MACHINES)})
        computing = {}
        for batch in parts:
            part = Size(size.hidden, batch, size.steps)
            first = one_core.seconds(part, 2)[1]  # after the one that compiles
            more = one_core.seconds(part, 6)[1:] if first < 1 else []
            computing[batch] = 1e3 * statistics.median([first, *more])
        n_parameters, own = _parameters_and_own_time(size.hidden)
        for gigabits in GIGABITS:
            sending = 1e3 * 64 * n_parameters / (gigabits * 1e9)
            times = {
                n: computing[-(-size.batch // n)] + n * (latency + sending) + own for n in MACHINES
            }
            alone = computing[size.batch]
            best = max(times, key=lambda n: alone / times[n])
            pays = f"{best} ({alone / times[best]:.1f} ×)" if times[best] < alone else "none"
            ratios = [f"{alone / times[n]:.2f}" for n in MACHINES]
            rows.append([size, f"{alone:.0f}", f"{gigabits} Gbit/s", *ratios, pays])
        own = f"{own:.1f} ms to add up two and change the weights"
        lines.append(f"- H {size.hidden}: {n_parameters / 1e6:.2f} million parameters, {own}")
    head = ["size", "alone, ms", "network", *(f"{n} machines" for n in MACHINES), "best"]
    return [
        "On paper: how many times as fast n machines with one such core each would be:",
        "",
        *markdown(head, rows),
        "",
        *dict.fromkeys(lines),
    ]


def _parameters_and_own_time(hidden):
    """Return a network's number of parameters, and the ms of adding up and changing them."""
    import numpy as np

    from rnn4music import RNN4Music
    from rnn4music.training import replica

    model = RNN4Music(hidden, hidden, hidden, seed=1)
    store, change = model._store, model._network.apply_gradients(())
    shapes = store.shapes.values()
    weights = [np.asarray(variable.get_value()) for variable in store.weights.values()]
    settings = [np.float32(value) for value in (1e-6, 1e-6, 1e-6, 1e-6, 30, 1e-5, 0)]
    seconds = []
    for _ in range(12):
        started = time.perf_counter()
        flat = replica.flattened(weights)
        total = np.sum([flat, flat], axis=0)
        change(*replica.split(total, shapes), *settings)
        np.asarray(next(iter(store.weights.values())).get_value())
        seconds.append(time.perf_counter() - started)
    return sum(array.size for array in weights), 1e3 * statistics.median(seconds[2:])


if __name__ == "__main__":
    main()
