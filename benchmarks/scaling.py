"""The time of an update on several devices and processes: measured, and estimated for 64 machines.

    python -m benchmarks.scaling                     on this machine; takes some minutes
    python -m benchmarks.scaling --network 1,0.1 10,1
                                                     over links with these Gbit/s and milliseconds
    python -m benchmarks.scaling --sizes 400,512,100 --rounds 3 --paper

Run it from the repository's root. The programs alternate in rounds, each in processes of its own.
With `--network` two processes of a core each are in two network namespaces, joined by a link with a
limited rate, and a delay in each direction (see `benchmarks.link`; needs root). Their times stand
beside the estimate by which more machines are judged:

    t(n) = c(B / n) + 2 (n - 1) / n · 8 (4 N + M) / W + 4 (n - 1) · d + m

Here c(b) is the measured time of an update of b tunes on one core, in which it also changes the
weights. N is the number of parameters; their gradients are summed in float32. M is the number of
bytes of the message in which the first process sends the windows of the minibatch; it travels as a
sum, too. A ring of n machines makes each of the two sums in 2 (n - 1) steps. In a step each machine
sends an n-th of the array over a link of W bit/s with the delay d. The time m is that of both over
the loopback device, measured with two processes: what the processors need. Nothing overlaps.

Conventions
-----------
Figures are medians, with the quartiles in brackets; ratios are those of medians of the same round.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import link, machine
from benchmarks.figures import cell, markdown, summary
from benchmarks.processes import ROOT, Failed
from benchmarks.settings import Size

SIZES = [Size(120, 64, 100), Size(400, 64, 100), Size(400, 512, 100)]
ON_PAPER = [Size(120, 64, 100), Size(120, 512, 100), Size(400, 64, 100), Size(400, 512, 100)]
MACHINES = (2, 4, 8, 16, 32, 64)
NETWORKS = ((1, 0.1), (10, 0.1), (25, 0.1))  # on paper: Gbit/s, ms
SECONDS = 0.7  # per program and round
ALONE, HALF, TWO = "one core", "half the tunes on one core", "two processes"
TWO_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


def main():
    """Measure and print the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", nargs="+", type=Size.parse, default=SIZES, metavar="H,B,T",
                        help="sizes to measure")  # fmt: skip
    parser.add_argument("--network", nargs="+", type=_link, default=[], metavar="GBIT/S,MS",
                        help="measure over these links")  # fmt: skip
    parser.add_argument("--paper", nargs="*", type=Size.parse, metavar="H,B,T",
                        help="sizes to estimate; none of them with --network")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=8, help="number of rounds (%(default)s)")
    arguments = parser.parse_args()
    on_paper = arguments.paper
    if on_paper is None:
        on_paper = [] if arguments.network else ON_PAPER
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # in order, as after Ctrl-C
    host = machine.describe()
    print(f"{host['processor']}, {host['cores_used']} cores, load {host['load_before']}\n")
    with contextlib.ExitStack() as at_the_end:
        try:
            between = at_the_end.enter_context(link.joined()) if arguments.network else None
        except PermissionError as error:
            parser.error(f"--network: {error}")
        programs = started(at_the_end, between, arguments.network)
        results = {size: measure(programs, size, arguments.rounds) for size in arguments.sizes}
        limits_of = {name: limits for name, (_, limits) in programs.items()}
        print("\n".join(report(results, limits_of)), flush=True)
        if on_paper:
            print("\n".join(["", *estimates(programs, on_paper)]))


def _link(text):
    rate, delay = map(float, text.split(","))
    return rate, delay


# ---- programs


class Program:
    """Processes that make updates on request, alone or together.

    Parameters
    ----------
    cores : list of list of int
        Of each process.
    devices : str, optional
        Those that a single process uses.
    between : link.Link, optional
        What joins two processes, instead of the loopback device.
    environment : dict of str to str
    """

    def __init__(self, cores, devices=None, between=None, environment=()):
        self.log, self.n_processes, self.between = tempfile.TemporaryFile("w+"), len(cores), between
        with socket.socket() as listener:
            listener.bind(("", 0))
            port = listener.getsockname()[1]
        address = f"{between.addresses[0] if between else '127.0.0.1'}:{port}"
        self.processes = []
        for k, own in enumerate(cores):
            enter = ["ip", "netns", "exec", between.names[k]] if between else []
            task = json.dumps([own, devices, address, len(cores), k])
            process = subprocess.Popen(
                [*enter, sys.executable, "-m", "benchmarks.scaling", "--serve", task],
                cwd=ROOT,
                env={**os.environ, **dict(environment)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                text=True,
            )
            self.processes.append(process)

    def ask(self, *request):
        """Return what the first process answers."""
        first = self.processes[0]
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(request), file=first.stdin, flush=True)
        answer = first.stdout.readline()
        if not answer:
            self.log.seek(0)
            raise Failed(self.log.read()[-2000:])
        return json.loads(answer)

    def updates(self, size, n, limits=None):
        """Make n updates after a first one; return medians of what is known of them, as a dict.

        The first one is slowed by memory of the program before. The limits are those of the link.
        """
        if limits and self.between:
            self.between.limit(*limits)
        known = self.ask("updates", size, n + 1)
        if self.n_processes > 1:
            known["sum"] = self.ask("sum", known["n_parameters"], 5)
            known["sent"] /= 1e6 * (1 if self.between else 2)  # loopback counts that of both
        medians = (k for k in ("ms", "message", "sum") if k in known)
        return known | {name: statistics.median(known[name]) for name in medians}

    def end(self):
        """End the processes."""
        for process in self.processes:
            process.kill()
            process.communicate()
        self.log.close()


def started(at_the_end, between, links):
    """Start the programs, which end with the block: dict of name to (program, limits)."""

    def program(*arguments, **options):
        found = Program(*arguments, **options)
        at_the_end.callback(found.end)
        return found

    cores = sorted(os.sched_getaffinity(0))
    one_each = [cores[:1], cores[-1:]]
    programs: dict[str, Any] = {
        ALONE: (program(one_each[1:]), None),
        TWO: (program(one_each), None),
    }
    if between is None:
        programs["all cores"] = program([cores]), None
        two_devices = program([cores], devices="all", environment=TWO_DEVICES)
        programs["two devices"] = two_devices, None
    else:
        over = program(one_each, between=between)
        for rate, delay in links:
            programs[f"{rate:g} Gbit/s, {delay:g} ms"] = over, (rate, delay)
    return programs


def serve(task):
    """Answer requests on the standard input, as a process of a `Program`."""
    cores, devices, address, n, k = task
    os.sched_setaffinity(0, cores)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print, too
    from benchmarks import job
    from rnn4music.distributed import launch, replicas
    from rnn4music.training import Callback, replicated

    them: Any = None
    if n > 1:
        launch.connect(address, n, k)
        devices, them = "all", launch.joined()
    if k:
        replicated.serve(Follower(them))
        return
    models, messages, counts = {}, [], []
    exchange = replicas.Replicas._exchange

    def timed(self, message):
        started = time.perf_counter()
        received = exchange(self, message)
        messages.append((1000 * (time.perf_counter() - started), len(message)))
        return received

    class Count(Callback):
        def on_update(self, model, history):
            counts.append(_bytes_sent())

    replicas.Replicas._exchange = timed
    for line in sys.stdin:
        what, asked, n_times = json.loads(line)
        if what == "sum":
            answer = sums(them, asked, n_times)
        else:
            if (size := tuple(asked)) not in models:
                models[size] = job.model_and_tunes(*asked)
            model, tunes = models[size]
            messages.clear()
            counts.clear()
            options: Any = {"devices": devices, "callbacks": Count(), "progress": False}
            history = model.train(tunes, n_times, 1, *tunes.shape[:2], **options)
            answer = {
                "ms": [1000 * second for second in history.seconds[1:]],
                "message": [ms for ms, _ in messages[3:]] or [0],
                "message bytes": messages[-1][1] if messages else 0,
                "sent": (counts[-1] - counts[0]) / (n_times - 1),
                "n_parameters": sum(array.size for array in model.get_parameters().values()),
            }
        print(json.dumps(answer), file=answers, flush=True)


class Follower:
    """The other processes of a `Replicas`, for `replicated.serve`; they take part in sums, too."""

    def __init__(self, them):
        self.mesh, self.run, self._them = them.mesh, them.run, them

    def receive(self):
        """See `Replicas`."""
        while True:
            what, task, arrays = self._them.receive()
            if what != "sum":
                return what, task, arrays
            _sums(self._them.mesh, *task)


def sums(them, n_floats, n):
    """Return the ms of sums over the devices of all processes."""
    them.send("sum", [n_floats, n])
    return _sums(them.mesh, n_floats, n)


def _sums(mesh, n_floats, n):
    import jax
    import numpy as np

    from rnn4music.backend.devices import TUNES, sum_of_rows

    add = sum_of_rows(mesh)
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(TUNES))
    rows = jax.make_array_from_process_local_data(place, np.ones((1, n_floats), "float32"))
    durations = []
    for _ in range(n + 1):
        started = time.perf_counter()
        add(rows).block_until_ready()
        durations.append(1000 * (time.perf_counter() - started))
    return durations[1:]


def _bytes_sent():
    lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    return sum(int(line.split()[9]) for line in lines)


# ---- measurements


def measure(programs, size, rounds):
    """Measure all programs at a size: {name: list of what is known of each round}."""
    half = Size(size.hidden, -(-size.batch // 2), size.steps)
    calls = {name: (program, size, limits) for name, (program, limits) in programs.items()}
    alone = programs[ALONE][0]
    calls[HALF] = alone, half, None
    for program, *asked in calls.values():
        program.updates(asked[0], 1, asked[1])
    n = max(1, min(40, int(1000 * SECONDS / alone.updates(size, 2)["ms"])))
    found = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (program, asked, limits) in calls.items():
            found[name].append(program.updates(asked, n, limits))
    return found


def report(results, limits_of):
    """Return a table of updates, and of what they consist in two processes."""
    rows = []
    for size, found in results.items():
        medians = {name: statistics.median(_each(found, name)) for name in (ALONE, HALF)}
        own = sum(statistics.median(_each(found, TWO, part)) for part in ("message", "sum"))
        for name, rounds in found.items():
            speeds = [a / b for a, b in zip(_each(found, ALONE), _each(found, name))]
            row = [size, name, cell(summary(_each(found, name)), digits=1)]
            row += [cell(summary(speeds), " ×")] if name not in (ALONE, HALF) else [""]
            if "sum" in rounds[0]:
                limits = limits_of[name] or (float("inf"), 0)
                row.append(f"{estimate(medians[HALF], 2, n_bytes(rounds[0]), limits, own):.1f}")
                parts = (_each(found, name, part) for part in ("message", "sum"))
                row += [cell(summary(part), digits=1) for part in parts]
                row.append(f"{statistics.median(_each(found, name, 'sent')):.2f}")
            else:
                row += [""] * 4
            rows.append(row)
    head = ["size", "program", "ms", f"to {ALONE}", "estimate", "message", "sum", "MB sent"]
    return [
        f"An update: ms, speed relative to {ALONE}, estimated ms, of which the message and the "
        "sum of the gradients take",
        "",
        *markdown(head, rows),
    ]


def _each(found, name, part="ms"):
    return [known[part] for known in found[name]]


# ---- on paper


def estimate(computing, n, n_sent, limits, own):
    """Return the ms of an update on n machines; see the top of this file.

    Parameters
    ----------
    computing, own : float
        c(B / n) and m.
    n : int
    n_sent : float
        4 N + M, in bytes.
    limits : tuple of float
        W in Gbit/s, and d in ms.
    """
    rate, delay = limits
    return computing + 2 * (n - 1) / n * 8e-6 * n_sent / rate + 4 * (n - 1) * delay + own


def n_bytes(known):
    """Return 4 N + M."""
    return 4 * known["n_parameters"] + known["message bytes"]


def estimates(programs, sizes):
    """Return a table of estimated speeds of n machines."""
    (alone, _), (two, _) = programs[ALONE], programs[TWO]
    rows, constants = [], []
    for size in sizes:
        computing = {}
        for n in (1, *MACHINES):
            part = Size(size.hidden, -(-size.batch // n), size.steps)
            first = alone.updates(part, 1)["ms"]
            computing[n] = alone.updates(part, 5)["ms"] if first < 1000 else first
        two.updates(size, 1)
        known = two.updates(size, 3)
        n_sent, own = n_bytes(known), known["message"] + known["sum"]
        for limits in NETWORKS:
            times = [estimate(computing[n], n, n_sent, limits, own) for n in MACHINES]
            ratios = [f"{computing[1] / ms:.2f}" for ms in times]
            rows.append([size, f"{computing[1]:.0f}", f"{limits[0]} Gbit/s", *ratios])
        constants.append(f"- {size}: 4 N + M = {n_sent / 1e6:.2f} MB, m = {own:.1f} ms")
    head = ["size", f"{ALONE}, ms", "network", *(f"{n} machines" for n in MACHINES)]
    return [
        f"Estimated speed of n machines with one such core each, d = {NETWORKS[0][1]} ms:",
        "",
        *markdown(head, rows),
        "",
        *constants,
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(json.loads(sys.argv[2]))
    else:
        main()
