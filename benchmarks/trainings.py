"""Time of whole trainings, from the start of the process, beside the same recipe in peers.

    python -m benchmarks.trainings JSB_Chorales --data JSB_Chorales.mat
    python -m benchmarks.trainings JSB_Chorales --data … --chords --threads 1 --epochs 40
    python -m benchmarks.trainings JSB_Chorales --data … --whole --peers
    python -m benchmarks.trainings JSB_Chorales --data … --profile

Run it from the repository's root, with your own file of the set. The recipe is that of
`benchmarks/recipes.py`: random windows, dropout, weight noise, clipping, Adam, averaging, the score
of the mean weights on whole tunes after each epoch, a copy of the best, and rates that fall. The
peers, `nn.LSTM` of PyTorch (without peepholes) and JAX with automatic differentiation, begin with
the same weights and make as many updates, with minibatches of the same function. They draw as many
random numbers, with their own generators. Each training is a new process, and the programs
alternate.

With --whole each training ends as the recipe says, for JSB after 20 epochs without a better score.
The number of epochs then depends on chance, and only the seconds of later epochs compare the speed.
Otherwise all trainings have the same number of epochs.

A peer is a class::

    Peer(recipe, initial, weights, bound)
    update(windows, mask, rate)   make an update; return the cost before
    nats(rolls, mask)             return the nats of the mean weights on whole tunes, summed
    keep()                        keep a copy of the mean weights

`initial`, `weights` and `bound` are those of `peers`; `mask` (T, B) is the weight of each step.

Conventions
-----------
Seconds are counted from the start of the process: imports, reading the set, compilation and the
first epochs included. rnn4music finds its compiled code in the user's cache if it has run before,
as in every round but perhaps the first. JAX compiles in each, unless JAX_COMPILATION_CACHE_DIR is
set. "later epochs" are those after the first, without compilation. Figures are medians over the
rounds, with quartiles.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from benchmarks import machine, peers
from benchmarks.figures import cell, markdown, summary
from benchmarks.learning import ROOT, check_data, print_machine
from benchmarks.peers import OURS
from benchmarks.recipes import CHORDS, RECIPES, Recipe

TRAININGS = {"torch-lstm": ("torch_training", "TorchTraining"),
             "jax": ("jax_training", "JaxTraining")}  # fmt: skip
"""Module and class of each peer."""

BATCH = 64  # validation tunes that a peer scores together


def main():
    """Train with all programs, and print the tables."""
    arguments = parse_arguments()
    if arguments.job:
        run_job(json.loads(arguments.job))
        return
    print_machine()
    present, skipped = peers.present(arguments.peers)
    for name, reason in skipped.items():
        print(f"skipped {name}: {reason}")
    cores = ("1", "all") if arguments.threads == "both" else (arguments.threads,)
    report = {"machine": machine.describe(), "set": arguments.set, "runs": {}}
    report["versions"] = machine.versions(("numpy", "pytensor", "jax", "llvmlite", "torch"))
    for threads in cores:
        report["runs"][threads] = measure(arguments, [OURS, *present], threads)
        print(f"\nthreads: {threads}\n\n{table(report['runs'][threads])}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


def parse_arguments():
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trainings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("set", nargs="?", choices=list(RECIPES), help="the set")
    add("--data", type=Path, help="your file of the set")
    add("--chords", action="store_true", help="take the recipe with chords")
    add("--epochs", type=int, default=20, help="of each training (%(default)s)")
    add("--whole", action="store_true", help="train until the recipe ends the training")
    add("--profile", action="store_true", help="also show where our time goes")
    add("--threads", choices=("1", "all", "both"), default="both", help="cores (%(default)s)")
    add("--peers", nargs="*", choices=list(TRAININGS), default=list(TRAININGS), help="peers (all)")
    add("--rounds", type=int, default=3, help="trainings of each program (%(default)s)")
    add("--seed", type=int, default=1, help="of the weights and windows (%(default)s)")
    add("--quick", action="store_true", help="tiny networks, as a trial")
    add("--json", type=Path, help="write all figures to this file")
    add("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.job:
        check_data(parser, arguments)
        if arguments.epochs < 2 or arguments.rounds < 1:
            parser.error("--epochs must be at least 2, and --rounds at least 1")
    return arguments


def measure(arguments, programs, threads):
    """Return the results of each program's trainings: dict of name to list of dict."""
    recipe = (CHORDS if arguments.chords else RECIPES)[arguments.set]
    if not arguments.whole:
        recipe = dataclasses.replace(recipe, epochs=arguments.epochs, patience=None)
    if arguments.quick:
        recipe = dataclasses.replace(recipe, units=5, length=9)
    results = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        for n in range(arguments.rounds):
            for name in programs:
                job = {
                    "program": name,
                    "threads": threads,
                    "data": str(arguments.data.resolve()),
                    "recipe": dataclasses.asdict(recipe),
                    "seed": arguments.seed + n,
                    "weights": f"{folder}/weights-{n}.npz",
                    "result": f"{folder}/result.json",
                    "profile": arguments.profile and name == OURS,
                }
                start(job)
                results[name].append(json.loads(Path(job["result"]).read_text()))
                print(told(name, results[name][-1]), flush=True)
    return results


def start(job):
    """Run a job in a new process."""
    job["started"] = time.time()
    command = [sys.executable, "-m", "benchmarks.trainings", "--job", json.dumps(job)]
    subprocess.run(command, cwd=ROOT, check=True)


def told(name, result):
    """Return a line on a training."""
    best = lowest(result)
    return (
        f"{name}: {result['updates']} updates, {len(result['seconds'])} epochs in "
        f"{result['seconds'][-1]:.1f} s; best {result['validation'][best]:.3f} nats after "
        f"{result['seconds'][best]:.1f} s"
    )


# ---- a training, in its process


def run_job(job):
    """Train, and write the seconds and the nats per step after each epoch."""
    if job["threads"] == "1":
        machine.pin_to_one_core()
    from rnn4music.data import load_standard_set

    data, recipe = load_standard_set(job["data"]), Recipe(**job["recipe"])
    music = list(data.train), list(data.validation)
    train = train_ours if job["program"] == OURS else train_peer
    result = train(*music, recipe, job)
    result["seconds"] = [at - job["started"] for at in result["seconds"]]
    Path(job["result"]).write_text(json.dumps(result))


def train_ours(tunes, validation, recipe, job):
    """Train with rnn4music; keep the weights at the beginning for the peers."""
    import numpy as np

    from benchmarks.job import initial_states
    from rnn4music import RNN4Music
    from rnn4music.training import BaselineWarning, Callback

    model, seconds = RNN4Music(**recipe.model_settings(job["seed"])), []
    begun = time.time()
    saved: Any = {f"initial/{name}": array for name, array in initial_states(model).items()}
    np.savez(job["weights"], **saved | model.get_parameters())
    aside = time.time() - begun

    class Clock(Callback):
        def on_epoch(self, model, history):
            seconds.append(time.time() - aside)

    parts = profiled() if job["profile"] else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BaselineWarning)
        history = model.train(
            tunes,
            validation=validation,
            callbacks=[Clock()],
            progress=False,
            **recipe.train_settings(),
        )
    print_profile(parts, len(seconds))
    return {
        "seconds": seconds,
        "validation": history.validation,
        "updates": len(history.cost),
        "cost": float(np.mean(history.cost[-len(history.cost) // len(seconds) :])),
    }


def train_peer(tunes, validation, recipe, job):
    """Train with a peer, as `training.loop` does."""
    import importlib

    import numpy as np

    from rnn4music.training import minibatches
    from rnn4music.training.config import TrainConfig
    from rnn4music.training.state import TrainingState

    saved = dict(np.load(job["weights"]))
    initial = {key[8:]: saved.pop(key) for key in list(saved) if key.startswith("initial/")}
    module, name = TRAININGS[job["program"]]
    module = importlib.import_module(f"benchmarks.{module}")
    if hasattr(module, "torch"):
        module.torch.set_num_threads(machine.available_cores())
        module.torch.manual_seed(job["seed"])
    peer = getattr(module, name)(recipe, initial, saved, bound=30)
    rules = {"decay_patience": recipe.decay_patience, "patience": recipe.patience}
    config = TrainConfig(recipe.epochs, recipe.batch, recipe.length, **rules)
    whole, state = list(batches(validation)), TrainingState()
    rng = np.random.default_rng(job["seed"])
    n_steps = sum(len(tune) - 1 for tune in validation)
    seconds, scores, costs = [], [], []
    while state.epoch < recipe.epochs and not has_ended(scores, recipe.patience):
        cut = recipe.batch, recipe.length, "float32", rng, recipe.windows
        values = [
            peer.update(one.windows, one.mask, state.rate_factor * recipe.rate)
            for one in minibatches.epoch(tunes, *cut)
        ]
        costs += [float(value) for value in values]
        scores.append(sum(peer.nats(*batch) for batch in whole) / n_steps)
        if state.complete_epoch(scores[-1], config):
            peer.keep()
        seconds.append(time.time())
    last = float(np.mean(costs[-len(values) :]))
    return {"seconds": seconds, "validation": scores, "updates": len(costs), "cost": last}


def has_ended(scores, patience):
    """Return whether the best score is `patience` epochs old."""
    return patience and scores and len(scores) - 1 - scores.index(min(scores)) >= patience


def batches(tunes):
    """Yield rolls (T + 1, B, P) of whole tunes of similar length, and their masks (T, B)."""
    import numpy as np

    ordered = sorted(tunes, key=len)
    for first in range(0, len(ordered), BATCH):
        chosen = ordered[first : first + BATCH]
        rolls = np.zeros((len(chosen[-1]), len(chosen), chosen[0].shape[1]), "float32")
        mask = np.zeros(rolls.shape[:2], "float32")
        for column, tune in enumerate(chosen):
            rolls[: len(tune), column] = tune
            mask[: len(tune) - 1, column] = 1
        yield rolls, mask[:-1]


# ---- output


def profiled():
    """Record the seconds of the parts of our trainings from now on: dict of part to list."""
    import functools

    from rnn4music.training.averaging import AveragedWeights
    from rnn4music.training.noise import Noise
    from rnn4music.training.trainer import Trainer

    parts = {}

    def record(kind, method, part):
        plain = getattr(kind, method)

        @functools.wraps(plain)
        def timed(*arguments):
            started = time.perf_counter()
            try:
                return plain(*arguments)
            finally:
                parts.setdefault(part, []).append(time.perf_counter() - started)

        setattr(kind, method, timed)

    record(Trainer, "update", "updates")
    record(Trainer, "_change", "· compiled function, with the noise")
    record(Noise, "draw", "· · noise")
    record(AveragedWeights, "add", "· averaging")
    record(Trainer, "validate", "validation")
    record(Trainer, "_keep", "copies of the best")
    return parts


def print_profile(parts, n_epochs):
    """Print the milliseconds of each part in an epoch after the first."""
    for part, seconds in parts.items():
        n = len(seconds) // n_epochs
        later = 1000 * sum(seconds[n:]) / (n_epochs - 1)
        print(f"  {part:<40}{later:8.1f} ms an epoch, {n} times")


def table(results):
    """Return the table in Markdown."""
    ours, rows = results[OURS], []
    for name, trainings in results.items():
        whole = [one["seconds"][-1] for one in trainings]
        best = [one["seconds"][lowest(one)] for one in trainings]
        later = list(map(later_epoch, trainings))
        ratios = [a / one["seconds"][-1] for a, one in zip(whole, ours)]
        later_ratios = [a / later_epoch(one) for a, one in zip(later, ours)]
        nats = [min(one["validation"]) for one in trainings]
        rows.append([
            peers.title(name),
            trainings[0]["updates"],
            cell(summary(whole)),
            cell(summary(ratios), " ×"),
            cell(summary(later), digits=0),
            cell(summary(later_ratios), " ×"),
            cell(summary(best)),
            cell(summary(nats), digits=3),
        ])  # fmt: skip
    head = ["", "updates", "seconds", "/ ours", "later epochs, ms each", "/ ours", "seconds to the "
            "best", "nats per step"]  # fmt: skip
    return "\n".join(markdown(head, rows))


def later_epoch(training):
    """Return the milliseconds of an epoch after the first."""
    first, *later = training["seconds"]
    return 1000 * (later[-1] - first) / len(later)


def lowest(training):
    """Return the number of the epoch with the best score."""
    return training["validation"].index(min(training["validation"]))


if __name__ == "__main__":
    main()
