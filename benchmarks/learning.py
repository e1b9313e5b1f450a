"""Measure how well the network learns the standard sets, compared with published results.

    python -m benchmarks.learning JSB_Chorales --data JSB_Chorales.mat
    python -m benchmarks.learning Nottingham --data Nottingham.mat --seeds 3 --folder runs
    python -m benchmarks.learning JSB_Chorales --data … --rows like-for-like keys ensemble

Run it from the repository's root, with your own file of one of the sets (JSB_Chorales, Nottingham,
MuseData, Piano-midi.de); `rnn4music.data.standard_sets` lists the formats that can be read. The
recipe of each set is in `benchmarks/recipes.py`. Each seed is trained in a separate process on its
own core, as many at a time as there are cores. With --folder, an interrupted benchmark continues
where it stopped. The rows are:

    like-for-like   the recipe: three LSTM layers, independent outputs, one network, original keys
    no averaging    the recipe without averaging the weights over updates
    no noise        the recipe without weight noise
    no dropout      the recipe without dropout
    2015            the settings of 2015: RMSprop, only the beginning of tunes, no regularisation
    keys            another recipe: learning from all tunes in all twelve keys
    chords          another: the pitches of a step depend on each other
    chords, keys    another: with chords, learning from all tunes in all twelve keys
    ensemble, and chords, ensemble, and chords, keys, ensemble
                    the networks of the row together: the probability of each pitch is the mean of
                    theirs, given the past and, with chords, the lower pitches of the step, so that
                    the product over the pitches is the probability of the row

Conventions
-----------
Scores are nats per step (see `rnn4music.evaluation`): mean and standard deviation over the seeds.
Minutes are those of the updates of one network on one core, without validation. All choices are
made on the validation set; the test set is scored once, with the final weights.
"""

import argparse
import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.figures import markdown
from benchmarks.recipes import CHORDS, CHORDS_IN_KEYS, IN_KEYS, RECIPES, Recipe, published

ROOT = Path(__file__).resolve().parent.parent
LIKE_FOR_LIKE = "like-for-like"
OF_2015 = Recipe(
    units=120,
    rate=0.001,
    optimiser="rmsprop",
    windows="start",
    batch=5,
    length=101,
    dropout=0,
    weight_noise=0,
    averaging=0,
    decay_patience=6,
    patience=20,
)
CHANGES = {
    LIKE_FOR_LIKE: {},
    "no averaging": {"averaging": 0},
    "no noise": {"weight_noise": 0},
    "no dropout": {"dropout": 0},
    "2015": dataclasses.asdict(OF_2015),
}
"""Changes to the recipe of independent pitches, by row."""
OTHER_RECIPES = {"keys": IN_KEYS, "chords": CHORDS, "chords, keys": CHORDS_IN_KEYS}
ROWS = [*CHANGES, *OTHER_RECIPES]
ENSEMBLES = {
    "ensemble": LIKE_FOR_LIKE,
    "chords, ensemble": "chords",
    "chords, keys, ensemble": "chords, keys",
}
"""The row whose networks an ensemble consists of."""


def main():
    """Train and score the networks, and print the table."""
    arguments = parse_arguments()
    if arguments.job:
        run_job(json.loads(arguments.job))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the processes of the networks
    print_machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = measure(arguments, folder)
    print("\n" + table(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    if arguments.plot:
        draw(report, arguments.plot)


def parse_arguments():
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("set", nargs="?", choices=sorted(RECIPES), help="the standard set")
    parser.add_argument("--data", type=Path, help="your file of the set")
    parser.add_argument("--seeds", type=int, default=3, help="networks per row (default: 3)")
    parser.add_argument("--rows", nargs="+", choices=[*ROWS, *ENSEMBLES], metavar="ROW",
                        default=[LIKE_FOR_LIKE], help="rows to measure, see above")  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="use tiny networks; figures are meaningless"
    )
    parser.add_argument("--folder", help="folder of checkpoints, to continue or use them")
    parser.add_argument("--processes", type=int, default=machine.available_cores(),
                        help="networks to train at a time (number of cores)")  # fmt: skip
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the learning curves")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.job:
        check_data(parser, arguments)
        if arguments.seeds < 1 or arguments.processes < 1:
            parser.error("--seeds and --processes must be at least 1")
        for row in arguments.rows:
            if ENSEMBLES.get(row, row) not in arguments.rows:
                parser.error(f"the row {row} needs the networks of {ENSEMBLES[row]}; add that row")
    return arguments


def check_data(parser, arguments):
    """End with an error unless there are a set and its file."""
    if not arguments.set or not arguments.data:
        parser.error("give a set and --data with your file of the set")
    if not arguments.data.is_file():
        parser.error(f"there is no file {arguments.data}")


def print_machine():
    """Print a description of the machine."""
    host = machine.describe()
    print(", ".join(f"{name} {value}" for name, value in host.items()), flush=True)


# ---- one network, in its process


def run_job(job):
    """Train and score a network, and write the result as JSON."""
    import numpy as np

    from rnn4music import RNN4Music
    from rnn4music.data import Dataset, load_standard_set

    data = load_standard_set(job["data"])
    training: Dataset = data.train
    recipe = Recipe(**job["recipe"])
    if job["row"].endswith("keys"):
        training = training.in_keys()
    model = RNN4Music(**recipe.model_settings(job["seed"]))
    history = model.train(
        list(training),
        validation=list(data.validation),
        checkpoint=job["checkpoint"],
        resume=True,
        progress=False,
        **recipe.train_settings(),
    )
    if history.interrupted:
        raise SystemExit("interrupted; with --folder, the same command continues from here")
    model.saveParameters(job["model"])
    test = model.evaluate(list(data.test))
    result = {
        "validation": min(history.validation),
        "test": test.nats_per_step,
        "accuracy": test.accuracy,
        "f_measure": test.f_measure,
        "per_tune": {
            "median": float(np.median([tune.nats_per_step for tune in test.per_tune])),
            "worst": max(tune.nats_per_step for tune in test.per_tune),
        },
        "epochs": history.epochs,
        "best_epoch": history.best_epoch,
        "updates": len(history.cost),
        "seconds": sum(history.seconds),
        "curve": history.validation,
        "rate_factor": history.rate_factor,
    }
    Path(job["result"]).write_text(json.dumps(result))


# ---- all networks


def measure(arguments, folder):
    """Train the networks of all rows, and return the report."""
    rows = [row for row in arguments.rows if row in ROWS]
    jobs = []
    for row in rows:
        recipe = recipe_of(arguments.set, row)
        if arguments.quick:
            recipe = dataclasses.replace(recipe, units=5, length=9, epochs=2)
        for seed in range(1, arguments.seeds + 1):
            stem = f"{arguments.set}-{row.replace(',', '').replace(' ', '-')}-{seed}"
            jobs.append({
                "row": row,
                "seed": seed,
                "data": str(arguments.data.resolve()),
                "recipe": dataclasses.asdict(recipe),
                "checkpoint": str((folder / f"{stem}-checkpoint.npz").resolve()),
                "model": str((folder / f"{stem}.npz").resolve()),
                "result": str((folder / f"{stem}.json").resolve()),
            })  # fmt: skip
    started = time.perf_counter()
    results = run_all(jobs, arguments.processes)
    report = {
        "set": arguments.set,
        "machine": machine.describe(),
        "processes": arguments.processes,
        "seconds": time.perf_counter() - started,
        "baselines": baselines_of(arguments.data),
        "rows": {
            row: [result for job, result in zip(jobs, results) if job["row"] == row] for row in rows
        },
    }
    report["ensembles"] = {
        row: ensemble(arguments.data, [job["model"] for job in jobs if job["row"] == of])
        for row, of in ENSEMBLES.items()
        if row in arguments.rows
    }
    return report


def recipe_of(set_name, row):
    """Return the recipe of a row."""
    if row in OTHER_RECIPES:
        recipe = OTHER_RECIPES[row][set_name]
    else:
        recipe = dataclasses.replace(RECIPES[set_name], **CHANGES[row])
    if not row.endswith("keys"):
        return recipe
    fewer = {
        name: max(1, getattr(recipe, name) // 4)  # an epoch is twelve times as long
        for name in ("epochs", "patience", "decay_patience")
    }
    return dataclasses.replace(recipe, **fewer)


def run_all(jobs, n_processes):
    """Run the jobs, `n_processes` at a time, each on one core; return their results in order."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
    waiting, running, results = list(enumerate(jobs)), {}, {}
    try:
        while waiting or running:
            while waiting and len(running) < n_processes:
                index, job = waiting.pop(0)
                slot = next(k for k in range(n_processes) if k not in running)
                running[slot] = index, start(job, cores[slot % len(cores)])
            for slot, (index, process) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[slot]
                results[index] = finished(jobs[index], process)
            time.sleep(0.2)
    finally:
        for _, process in running.values():
            process.terminate()  # writes a checkpoint first
            process.wait()
    return [results[index] for index in range(len(jobs))]


def start(job, core):
    """Start the process of a job on a core, or on any core if None."""

    def pin():
        if core is not None:
            os.sched_setaffinity(0, {core})

    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.learning", "--job", json.dumps(job)],
        cwd=ROOT,
        preexec_fn=pin,
    )


def finished(job, process):
    """Return the result of a finished process, or exit if it failed."""
    name = f"{job['row']}, seed {job['seed']}"
    if process.returncode != 0:
        raise SystemExit(f"{name}: the training ended with status {process.returncode}")
    result = json.loads(Path(job["result"]).read_text())
    print(
        f"{name}: validation {result['validation']:.3f}, test {result['test']:.3f}, "
        f"{result['epochs']} epochs, {result['updates']} updates in {result['seconds']:.0f} s",
        flush=True,
    )
    return result


def baselines_of(path):
    """Return the nats per step of the baselines on the test set."""
    from rnn4music.data import load_standard_set
    from rnn4music.evaluation import score_baselines

    data = load_standard_set(path)
    scores = score_baselines(list(data.train), list(data.test))
    return {name: score.nats_per_step for name, score in scores.items()}


def ensemble(path, models):
    """Score the networks together on the validation and the test set.

    Each pitch's probability, given the past and with chords the lower pitches, is the mean of the
    networks'. The product over the pitches is then the probability of a row, as in one network.
    """
    import numpy as np

    from rnn4music import RNN4Music
    from rnn4music.data import load_standard_set
    from rnn4music.evaluation import scores as evaluation

    networks = [RNN4Music.from_file(model) for model in models]

    def run(inputs, following):
        # logs of the means of σ(Y) and 1 − σ(Y), accurate for probabilities near 1
        Y = np.stack([network._run(inputs, following).astype(np.float64) for network in networks])
        on, off = (-np.logaddexp(0, sign * Y) for sign in (-1, 1))
        on, off = (np.logaddexp.reduce(logs, axis=0) for logs in (on, off))
        return on - off

    data = load_standard_set(path)
    return {
        part: evaluation.score(run, list(tunes), "float32")
        for part, tunes in (("validation", data.validation), ("test", data.test))
    }


# ---- output


def mean_and_deviation(values):
    """Return a table cell such as 8.08 ± 0.02."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def table(report):
    """Return the table in Markdown, from worst to best on the test set."""
    lines = [(nats, name, "", f"{nats:.2f}", "", "") for name, nats in report["baselines"].items()]
    lines += [(nats, name, "", f"{nats:.2f}", "", "") for name, nats in published(report["set"])]
    for row, results in report["rows"].items():
        test = [result["test"] for result in results]
        validation = mean_and_deviation([result["validation"] for result in results])
        minutes = f"{statistics.mean(result['seconds'] for result in results) / 60:.1f}"
        ours = f"**ours, {row}**", validation, mean_and_deviation(test), str(len(test)), minutes
        lines.append((statistics.mean(test), *ours))
    for row, scores in report["ensembles"].items():
        name = f"**ours, {row} of {len(report['rows'][ENSEMBLES[row]])}**"
        validation, test = scores["validation"], scores["test"]
        lines.append((test, name, f"{validation:.3f}", f"{test:.3f}", "", ""))
    lines.sort(key=lambda line: -line[0])
    head = [report["set"], "validation", "test", "seeds", "minutes of updates per network"]
    return "\n".join(markdown(head, [line[1:] for line in lines]))


def draw(report, path):
    """Draw the validation of each network over the epochs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from rnn4music.plots import plot_learning_curve

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for number, (row, results) in enumerate(report["rows"].items()):
        for result in results:
            label = row if result is results[0] else None
            plot_learning_curve(axes, result["curve"], color=f"C{number}", label=label)
    worst = max(report["baselines"].values())
    best = min(min(result["curve"]) for results in report["rows"].values() for result in results)
    axes.set_ylim(best - 0.1, min(worst, best + 2))
    axes.set_title(f"{report['set']}: validation")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
