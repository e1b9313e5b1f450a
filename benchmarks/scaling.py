"""Speed-up of spreading minibatches over workers: measured here, estimated for up to 64 machines.

    python -m benchmarks.scaling                              takes a few minutes on two cores
    python -m benchmarks.scaling --sizes 120,5,100 400,64,100 --rounds 8

Run it from the repository's root. The first part measures updates in one process on one core and on
all cores, and with one and two workers of one core each, alternating in rounds. The second part
measures the time of an update on one core for different numbers of tunes, and estimates from it the
time with n machines of one such core each, for different bandwidths of the network:

    t(n) = c(B / n) + n · (a + 64 · N / W) + m

Here c(b) is the measured time of an update of b tunes on one core, and a the measured time of an
empty call of a worker. N is the number of parameters, each sent as 32 bits to the worker and 32
bits back, all through the one link of the process that sums the gradients, with the bandwidth W in
bit/s. The measured time m is that of summing the gradients and changing the weights. Nothing
overlaps: workers wait for the weights, and the sum waits for the last gradient.

Conventions
-----------
Figures are medians, with the quartiles in brackets; ratios are those of medians of the same round.
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
SECONDS = 0.7  # per program and round
ALONE, ALL_CORES, ONE, TWO = "one core", "all cores", "1 worker", "2 workers"


def main():
    """Measure and print the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", nargs="+", type=Size.parse, default=SIZES, metavar="H,B,T",
                        help="sizes to measure")  # fmt: skip
    parser.add_argument("--paper", nargs="*", type=Size.parse, default=ON_PAPER, metavar="H,B,T",
                        help="sizes to estimate")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=8, help="number of rounds (%(default)s)")
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
            print(f"\nAn empty call of a worker: {latency:.2f} ms; 2 MB to a worker and back: "
                  f"{megabytes:.0f} MB/s\n")  # fmt: skip
            print("\n".join(on_paper(arguments.paper, one_core, latency, here)), flush=True)
    finally:
        for process in (one_core, all_cores):
            process.end()


class Elsewhere:
    """A process on the given cores that trains on request."""

    def __init__(self, cores):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, cores), daemon=True)
        self.process.start()

    def seconds(self, size, n):
        """Return the durations of `n` updates in seconds."""
        self.connection.send((size, n))
        return self.connection.recv()

    def end(self):
        """End the process."""
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
    """Measure all programs at all sizes: {size: {program: ms of the updates of each round}}."""
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
                        # the first update of a call is slowed by memory of the previous program
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
    """Return the tables of the first part."""
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
        "Time of an update in one process on one core, and the speed-up of the others:",
        "",
        *markdown(["size", f"{ALONE}, ms", ALL_CORES, ONE, TWO], rows),
        "",
        "Time per update, of which computing (by the slowest worker), and MB sent and received:",
        "",
        *markdown(
            ["size", "workers", "ms", "computing", "not computing", "sent", "received"], sent
        ),
    ]


class Nothing:
    """An actor that returns its argument."""

    def echo(self, value):
        """Return the value."""
        return value


def latency_and_rate():
    """Return the ms of an empty call of a worker, and the MB/s to a worker and back."""
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
    """Return the table of estimated speed-ups with n machines."""
    lines, rows = [], []
    for size in sizes:
        parts = sorted({-(-size.batch // n) for n in (1, *MACHINES)})
        computing = {}
        for batch in parts:
            part = Size(size.hidden, batch, size.steps)
            first = one_core.seconds(part, 2)[1]  # after the update that compiles
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
        own = f"{own:.1f} ms to sum two gradients and change the weights"
        lines.append(f"- H {size.hidden}: {n_parameters / 1e6:.2f} million parameters, {own}")
    head = ["size", "alone, ms", "network", *(f"{n} machines" for n in MACHINES), "best"]
    return [
        "Estimated speed-up of n machines with one such core each:",
        "",
        *markdown(head, rows),
        "",
        *dict.fromkeys(lines),
    ]


def _parameters_and_own_time(hidden):
    """Return the number of parameters, and the ms of summing gradients and changing weights."""
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
