"""Speed and tests on one GPU, in at most eight minutes.

    python -m benchmarks.gpu --json gpu.json --markdown gpu.md
    python -m benchmarks.gpu --dry              tiny sizes on the processor, as a trial

Run it from the repository's root, where the package, JAX's build for the GPU and pytest are
installed; it installs nothing. PyTorch is compared if it is installed. The parts:

    peak        rate of products of float32 matrices
    updates     time of an update beside `nn.LSTM` on cuDNN and JAX with automatic differentiation,
                and its share of the peak; a peer must agree first, as in `benchmarks.updates`
    composing   time of composing one tune and 256 tunes together
    tests       the tests marked core, in full precision, until the time is used up

Conventions
-----------
All programs multiply float32 matrices in TF32, as JAX does on a GPU by default; with ``--precision
highest`` in full. Times end when the result is on the host. Without a GPU the figures of --dry mean
nothing.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine, peers
from benchmarks.figures import cell, markdown, summary, timed
from benchmarks.processes import ROOT
from benchmarks.settings import Settings, Size

SECONDS = 460  # of the whole command
SIZES = [
    Size(120, 5, 100),
    Size(400, 64, 100),
    Size(800, 128, 100),
    Size(120, 32, 100),
    Size(400, 5, 100),
    Size(800, 32, 100),
    Size(120, 128, 100),
]
"""Sizes of the updates, the most important first: the time may not be enough for all."""

SHARES = {"peak": 0.1, "updates": 0.55, "composing": 0.7}
"""Share of the seconds at which each part ends at the latest; the tests have the rest."""

TOLERANCES = {"tensorfloat32": (2e-2, 5e-2), "highest": (1e-4, 5e-3)}
"""Largest relative difference of a peer, at once and after updates."""


def main(words=None):
    """Measure, print the tables and write the files; exit with 1 if a part failed."""
    arguments = parse_arguments(words)
    if arguments.measure:
        measure(arguments)
        return
    started, environment = time.monotonic(), surroundings(arguments)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        command = ["-m", "benchmarks.gpu", "--measure", "--json", file, "--seconds",
                   arguments.seconds, "--precision", arguments.precision]  # fmt: skip
        command += ["--dry"] if arguments.dry else []
        limit = SHARES["composing"] * arguments.seconds + 30
        status = run([sys.executable, *map(str, command)], environment, limit)
        report: Any = json.loads(file.read_text()) if file.exists() else {"failed": []}
        if status != 0:
            how = "was stopped, for lack of time" if status is None else f"ended with {status}"
            report["failed"].append(f"the process that measures {how}")
        if "no_gpu" in report:
            raise SystemExit(report["no_gpu"])
        left = arguments.seconds - (time.monotonic() - started)
        report["tests"] = core_tests(environment, left, arguments.dry, Path(folder) / "tests")
    text = tables(report)
    print(f"\n{text}")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n")
    if report["failed"] or report["tests"]["failed"]:
        raise SystemExit(1)


def parse_arguments(words):
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dry", action="store_true", help="tiny sizes on the processor, as a trial")
    add("--seconds", type=float, default=SECONDS, help="of the whole command (%(default)s)")
    add("--precision", choices=list(TOLERANCES), default="tensorfloat32", help="of matrix products")
    add("--json", type=Path, help="write the figures to this file")
    add("--markdown", type=Path, help="write the tables to this file")
    add("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def surroundings(arguments):
    """Return the environment of the processes."""
    changes = {
        "JAX_DEFAULT_MATMUL_PRECISION": arguments.precision,
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # PyTorch needs memory too
    }
    if arguments.dry:
        changes["JAX_PLATFORMS"] = "cpu"
    return {**os.environ, **changes}


def run(command, environment, seconds, **files):
    """Run a command for at most these seconds; return its status, or None if it was stopped."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment, **files)
    try:
        return process.wait(max(seconds, 1))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


# ---- the measurements, in a process of their own


def measure(arguments):
    """Measure peak, updates and composing; write the report after each figure."""
    import jax

    report: Any = {"failed": [], "left_out": [], "skipped": {}, "updates": [], "composing": {}}
    report |= {"device": "a processor (dry run)", "precision": arguments.precision}

    def write():
        arguments.json.write_text(json.dumps(report))

    device = jax.devices()[0]
    if not arguments.dry:
        report["device"] = device.device_kind
        if device.platform == "cpu":
            report["no_gpu"] = "JAX finds no GPU here; --dry tries the command without one"
            write()
            return
    report["versions"] = machine.versions(("jax", "jaxlib", "pytensor", "numpy", "torch"))
    started = time.monotonic()
    print(report["device"], report["versions"], flush=True)
    for part in ("peak", "updates", "composing"):
        limit = started + SHARES[part] * arguments.seconds
        try:
            globals()[f"measure_{part}"](report, arguments, limit, write)
        except Exception:
            traceback.print_exc()
            report["failed"].append(part)
        write()


def measure_peak(report, arguments, limit, write):
    """Add the rate of matrix products in GFlop/s."""
    import jax

    n = 64 if arguments.dry else 8192
    a = jax.random.normal(jax.random.key(0), (n, n))
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    seconds = min(timed(lambda: product(a).block_until_ready()) for _ in range(10))
    report["peak_gflops"] = 2 * n**3 / seconds / 1e9


def measure_updates(report, arguments, limit, write):
    """Add the sizes for which there is time."""
    from benchmarks import job, updates

    settings = Settings.quick() if arguments.dry else Settings(seconds=5, sizes=SIZES)
    job.TOLERANCE, job.TOLERANCE_AFTER_UPDATES = TOLERANCES[arguments.precision]
    present, report["skipped"] = peers.present(["torch-lstm", "jax"])
    if "torch-lstm" in present:
        prepare_torch(arguments)
    for size in settings.sizes:
        if time.monotonic() > limit:
            report["left_out"].append(f"an update of {size}")
            continue
        report["updates"].append(updates.measure_size(size, present, settings))
        write()


def prepare_torch(arguments):
    """Let PyTorch compute on the GPU, in the precision of the others."""
    import torch  # pyright: ignore[reportMissingImports]

    if not arguments.dry:
        torch.set_default_device("cuda")
    is_fast = arguments.precision == "tensorfloat32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = is_fast


def measure_composing(report, arguments, limit, write):
    """Add the milliseconds of 300 steps, of one tune and of 256 together."""
    from benchmarks.generation import composer

    H, n_steps, many = (8, 40, 4) if arguments.dry else (120, 300, 256)
    for chord_units in (None,) if arguments.dry else (None, 264):
        model = composer(H, chord_units)
        for count in (many,) if arguments.dry else (1, many):
            name = f"{count} × {n_steps} steps, H {H}, chord units {chord_units or 0}"
            if time.monotonic() > limit:
                report["left_out"].append(f"composing {name}")
                continue
            compose = partial(model.genMusic, None, n_steps, count=count)
            compose()
            times = [1000 * timed(compose) for _ in range(1 if arguments.dry else 5)]
            report["composing"][name] = summary(times)
            write()


# ---- the tests


def core_tests(environment, seconds, dry, file):
    """Run the tests marked core for at most these seconds; return their numbers."""
    command = ["-m", "pytest", "-v", "-m", "core", "-p", "no:cacheprovider"]
    command += ["tests/test_heart.py", "-k", "clip or l1"] if dry else []
    if machine.installed("xdist"):
        command += ["-n", "0" if dry else "4"]
    environment = {**environment, "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    with open(file, "w") as output:
        files = {"stdout": output, "stderr": subprocess.STDOUT}
        status = run([sys.executable, *command], environment, seconds, **files)
    text = file.read_text()
    names = re.findall(r"(?:FAILED|ERROR) (tests/\S+)", text)
    failed = sorted({*names, *re.findall(r"(tests/\S+) (?:FAILED|ERROR)", text)})
    passed = len(re.findall(r"\bPASSED\b", text))
    if not passed:
        print(text[-2000:])
        failed = failed or ["no test ran"]
    return {"complete": status is not None, "passed": passed, "failed": failed}


# ---- output


def tables(report):
    """Return the tables in Markdown."""
    peak, lines = report.get("peak_gflops"), [report.get("device", "")]
    lines[0] += ", " + ", ".join(map(" ".join, report.get("versions", {}).items()))
    if peak:
        lines.append(f"Products of float32 matrices: {peak:,.0f} GFlop/s ({report['precision']})")
    names, rows = ["torch-lstm", "jax"], []
    for one in report.get("updates", []):
        rate = one["gflops"][peers.OURS]
        ratios = [cell(one["times_as_fast"].get(name), " ×") for name in names]
        share = f"{rate / peak:.1%}" if peak else "—"
        own = cell(one["update_ms"][peers.OURS])
        rows.append([*one["size"].values(), own, *ratios, f"{rate:,.0f}", share])
    head = ["H", "B", "T", "rnn4music ms", *map(peers.title, names), "GFlop/s", "of the peak"]
    lines += ["", *markdown(head, rows)]
    composing = report.get("composing", {})
    rows = [[name, cell(figures, digits=1)] for name, figures in composing.items()]
    lines += ["", *markdown(["composing", "ms"], rows), ""]
    tests = report["tests"]
    end = "" if tests["complete"] else "; the time was over before the last"
    lines.append(f"Core tests: {tests['passed']} passed, {len(tests['failed'])} failed{end}")
    lines += [f"- failed: {name}" for name in [*report["failed"], *tests["failed"]]]
    lines += [f"- left out, for lack of time: {what}" for what in report.get("left_out", [])]
    for name, reason in report.get("skipped", {}).items():
        lines.append(f"- skipped {peers.title(name)}: {reason}")
    for one in report.get("updates", []):
        for name, reason in one["refused"].items():
            size = tuple(one["size"].values())
            lines.append(f"- refused at {size}: {peers.title(name)}, {reason}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
