"""Compare composed tunes with real ones, by training, sampling, threshold and temperature.

    python -m benchmarks.music JSB_Chorales --data JSB_Chorales.mat
    python -m benchmarks.music JSB_Chorales --data … --models recipe:150 --folder models
    python -m benchmarks.music JSB_Chorales --data … --models models/mine.npz --thresholds 0.02
    python -m benchmarks.music JSB_Chorales --data … --quick      a trial with tiny sizes

Run it from the repository's root, with your own file of one of the sets; see
`rnn4music.data.standard_sets`. A model is a saved file or a training: ``2015:20`` is 20 epochs with
the settings of 2015 (RMSprop, only the beginning of tunes, no regularisation), ``recipe:150`` at
most 150 epochs with the recipe of the set in `benchmarks.recipes`, ``chords:150`` with that of
networks with chords, and ``keys:40`` with chords and in all keys. Each model continues the first
steps of test tunes, with each sampling, threshold and temperature. Networks with chords have one
sampling, pitch by pitch, and no threshold.

Conventions
-----------
The statistics are those of the steps after the start, cut to the length of the rest of the real
tune, because they depend on the length. The first rows are real tunes, for comparison.

alike           mean overlapping area with the test tunes (`evaluation.mean_overlap`)
notes           notes at a time, over the steps that are not silent
onsets          onsets per step
length          length of a note in steps
silent          share of silent steps
repeated        share of steps equal to the step before
pitch classes, intervals, lengths
                distance between the mean histogram and that of the test tunes (the share that would
                have to move to make them equal)
chords          share of the sounding steps whose chord, in any key, is in the training tunes
copied          changes in the longest passage that is in the training tunes, in any key:
                median and maximum over the tunes
recurs          self-similarity

The second table is about all --steps composed steps:

silent          share of tunes whose last 16 steps are silent
stuck           share of tunes whose last 32 steps have at most two different chords and are not all
                silent
crowded         share of tunes with more than six notes in a quarter of the steps of the second half
silent steps    share of silent steps in the second half

The third table is about the predictions of the models for the test tunes:

nats            nats per step
notes           expected number of notes at a time
kept            share of the expected notes with probabilities above each threshold
deviation       deviation of the number of notes from the expected number (root mean square), in the
                test tunes and with independent and systematic sampling

All settings use the same random numbers.
"""

import argparse
import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.figures import markdown
from benchmarks.learning import recipe_of
from benchmarks.recipes import RECIPES
from rnn4music import RNN4Music
from rnn4music._utils import checks
from rnn4music.data import load_standard_set
from rnn4music.evaluation import longest_copy, mean_overlap, mean_statistics, overlap
from rnn4music.generation import SAMPLINGS

RULES = {
    "2015": "2015",
    "recipe": "like-for-like",
    "chords": "chords",
    "keys": "chords, keys",
}
"""Rows of `benchmarks.learning`, by the names of trainings."""
MODELS = ("2015:5", "2015:20", "2015:100", "recipe:150", "chords:300")
QUICK_MODELS = ("2015:1", "recipe:1", "chords:1")
BY_PITCH = "by pitch"  # the sampling of networks with chords
STRAYS = "strays_real", "strays_independent", "strays_systematic"
SHORTEST_REST = 8  # steps; tunes with fewer after the start are left out
SILENT, STUCK = 16, 32  # steps at the end of a tune
CROWDED, CROWDED_SHARE = 6, 0.25  # more than 6 notes at a time in at least 25 % of the steps
HISTOGRAMS = {
    "pitch_classes": "pitch_class_histogram",
    "intervals": "interval_histogram",
    "lengths": "note_length_histogram",
}
SINGLE = ("polyphony", "note_density", "mean_note_length", "silent_share", "repeated_share",
          "self_similarity", "pitch_range", "n_pitches", "longest_held")  # fmt: skip
COLUMNS = {
    "alike": ("alike", "{:.2f}"),
    "notes": ("polyphony", "{:.2f}"),
    "onsets": ("note_density", "{:.2f}"),
    "length": ("mean_note_length", "{:.2f}"),
    "silent": ("silent_share", "{:.1%}"),
    "repeated": ("repeated_share", "{:.1%}"),
    "pitch classes": ("pitch_classes", "{:.2f}"),
    "intervals": ("intervals", "{:.2f}"),
    "lengths": ("lengths", "{:.2f}"),
    "chords": ("known_chords", "{:.0%}"),
    "copied": ("copied", "{0[0]:.0f}, {0[1]}"),
    "recurs": ("self_similarity", "{:.1%}"),
}
ENDINGS = {"silent": "silent", "stuck": "stuck", "crowded": "crowded", "silent steps": "silence"}


def main(words=None):
    """Train, compose and compare, and print the tables."""
    arguments = parse_arguments(words)
    try:
        report = measure(arguments)
    except (OSError, ValueError) as error:
        raise SystemExit(f"python -m benchmarks.music: {error}") from None
    print(tables(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2, default=str) + "\n")
    if arguments.plot:
        draw(report, arguments.plot)


def parse_arguments(words=None):
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.music",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("set", choices=sorted(RECIPES), help="the standard set")
    add("--data", type=Path, required=True, help="your file of the set")
    add("--models", nargs="+", help=f"models, see above ({' '.join(MODELS)})")
    add("--samplings", nargs="+", choices=SAMPLINGS, default=SAMPLINGS, help="samplings (both)")
    add("--thresholds", nargs="+", type=float, default=[0, 0.02, 0.05, 0.1, 0.2])
    add("--temperatures", nargs="+", type=float, default=[1.0])
    add("--tunes", type=int, default=100, help="tunes to compose per setting (%(default)s)")
    add("--start", type=int, default=16, help="steps of a test tune to continue (%(default)s)")
    add("--steps", type=int, default=300, help="steps to compose per tune (%(default)s)")
    add("--searched", type=int, default=100, help="tunes to search for copies (%(default)s)")
    add("--seed", type=int, default=1, help="seed of training and composing (%(default)s)")
    add("--folder", type=Path, help="folder in which trained models are kept and found")
    add(
        "--quick",
        action="store_true",
        help="use tiny sizes, as a trial; the figures are meaningless",
    )
    add("--json", type=Path, help="write all figures to this file")
    add("--plot", type=Path, help="draw the statistics by threshold to this file")
    arguments = parser.parse_args(words)
    arguments.models = arguments.models or (QUICK_MODELS if arguments.quick else MODELS)
    if arguments.quick:
        arguments.thresholds, arguments.tunes, arguments.steps = [0, 0.1], 3, 40
    try:
        for threshold in arguments.thresholds:
            checks.number("a threshold", threshold, low=0, high=1)
        for temperature in arguments.temperatures:
            checks.number("a temperature", temperature, low=0.01, high=100)
        for name, low in {"tunes": 2, "start": 1, "steps": STUCK, "searched": 0, "seed": 0}.items():
            checks.integer(f"--{name}", getattr(arguments, name), low)
        for name in arguments.models:
            check_model(name)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def check_model(name):
    """Raise ValueError unless this names a training or a file."""
    rule, _, epochs = name.partition(":")
    if rule in RULES:
        if not epochs.isdecimal() or int(epochs) < 1:
            raise ValueError(f"{name!r} lacks its number of epochs; give {rule}:20")
    elif not Path(name).is_file():
        raise ValueError(
            f"{name!r} is neither a training nor a file; give 2015:20, recipe:150, chords:150, "
            "keys:40 or a model's .npz"
        )


# ---- training and composing


def measure(arguments):
    """Return the report, with a row of figures for each set of real or composed tunes."""
    data = load_standard_set(arguments.data)
    training = [tune[arguments.start :] for tune in data.train]
    test = long_enough(data.test, arguments.start)
    if len(test) < 2:
        raise ValueError(
            f"{len(test)} test tunes have more than --start {arguments.start} and "
            f"{SHORTEST_REST} steps, but at least 2 are needed; give a lower --start"
        )
    starts, rests = zip(*itertools.islice(itertools.cycle(test), arguments.tunes))
    rests = [rest[: arguments.steps] for rest in rests]
    real = rests[: len(test)]
    compared = Compared(real, list(data.train), arguments.searched)
    others = [rest[: arguments.steps] for _, rest in long_enough(data.validation, arguments.start)]
    long = [rest for rest in real if len(rest) >= STUCK]
    rows = [
        {"label": "test tunes", **compared.figures(real), "endings": endings(long)},
        {"label": "validation tunes", **compared.figures(others[: arguments.tunes])},
        {
            "label": "training tunes",
            **compared.figures(
                [rest[: arguments.steps] for rest in training if len(rest) > SHORTEST_REST],
                is_training=True,
            ),
        },
    ]
    predicted = {}
    for name in arguments.models:
        model = trained(name, data, arguments)
        predicted[Path(name).stem] = predictions(model, data.test, arguments.thresholds)
        samplings, thresholds = arguments.samplings, arguments.thresholds
        if model.chord_units is not None:
            samplings, thresholds = [BY_PITCH], [0]
        for sampling, temperature, threshold in itertools.product(
            samplings, arguments.temperatures, thresholds
        ):
            setting = {"sampling": sampling, "threshold": threshold, "temperature": temperature}
            tunes = composed(model, starts, arguments, **setting)
            cut = [tune[: len(rest)] for tune, rest in zip(tunes, rests)]
            figures = {**compared.figures(cut), "endings": endings(tunes)}
            rows.append({"label": Path(name).stem, **setting, **figures})
    return {
        "set": arguments.set,
        "machine": machine.describe(),
        "settings": {**vars(arguments), "data": arguments.data.name},
        "predicted": predicted,
        "rows": rows,
    }


def predictions(model, tunes, thresholds):
    """Return statistics of the predictions of a model for tunes, as in the third table."""
    odds = np.concatenate([model.predict(tune[:-1]) for tune in tunes]).astype(float)
    n_notes = np.concatenate([tune[1:].sum(axis=1) for tune in tunes])
    expected = odds.sum(axis=1)
    found = {
        "nats_per_step": model.evaluate(list(tunes)).nats_per_step,
        "notes": float(expected.mean()),
        "kept": [float(odds[odds > threshold].sum() / odds.sum()) for threshold in thresholds],
        "strays_real": float(np.sqrt(((n_notes - expected) ** 2).mean())),
    }
    if model.chord_units is not None:
        return found
    return found | {
        "strays_independent": float(np.sqrt((odds * (1 - odds)).sum(axis=1).mean())),
        "strays_systematic": float(np.sqrt((expected % 1 * (1 - expected % 1)).mean())),
    }


def long_enough(tunes, n_start):
    """Return the start and the rest of each tune that is long enough."""
    return [(t[:n_start], t[n_start:]) for t in tunes if len(t) >= n_start + SHORTEST_REST]


def trained(name, data, arguments):
    """Return the model of this name, loaded from a file or trained."""
    rule, _, epochs = name.partition(":")
    if rule not in RULES:
        return RNN4Music.from_file(name)
    file = f"{arguments.set}-{rule}-{epochs}-{arguments.seed}.npz"
    if arguments.folder and (arguments.folder / file).is_file():
        return RNN4Music.from_file(arguments.folder / file)
    changes: dict = {"epochs": int(epochs)}
    if rule == "2015":
        changes |= {"patience": None, "decay_patience": None}
    if arguments.quick:
        changes["units"] = 8
    recipe = dataclasses.replace(recipe_of(arguments.set, RULES[rule]), **changes)
    model = RNN4Music(**recipe.model_settings(arguments.seed))
    validation = list(data.validation) if recipe.patience else None
    learned = data.train.in_keys() if rule == "keys" else data.train
    model.train(list(learned), validation=validation, **recipe.train_settings())
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        model.saveParameters(arguments.folder / file)
    return model


def composed(model, starts, arguments, sampling, threshold, temperature):
    """Return the continuations of the starts, (tunes, steps, 88)."""
    model.genProbThreshold = threshold
    model._rng = np.random.default_rng(arguments.seed)
    options = {"temperature": temperature}
    if sampling != BY_PITCH:
        options["sampling"] = sampling
    return np.array([model.genMusic(start, arguments.steps, **options)[0] for start in starts])


# ---- figures


class Compared:
    """Comparison of sets of tunes with `real` tunes and the `training` set."""

    def __init__(self, real, training, n_searched):
        self.real, self.training, self.n_searched = real, training, n_searched
        self.of_real = mean_statistics(real)
        self.known = set(chords(training))

    def figures(self, tunes, is_training=False):
        """Return a row of figures; ``copied`` is None for the training set."""
        statistics = mean_statistics(tunes)
        overlaps = overlap(tunes, self.real)
        copies = []
        if not is_training:
            copies = [longest_copy(tune, self.training) for tune in tunes[: self.n_searched]]
        changes = [copy.n_changes for copy in copies]
        return {
            "n_tunes": len(tunes),
            "alike": mean_overlap(overlaps),
            "overlapping_areas": {name: one.overlapping_area for name, one in overlaps.items()},
            **{name: getattr(statistics, name) for name in SINGLE},
            **{
                name: difference(getattr(statistics, field), getattr(self.of_real, field))
                for name, field in HISTOGRAMS.items()
            },
            "known_chords": float(np.mean([chord in self.known for chord in chords(tunes)] or [0])),
            "copied": [float(np.median(changes)), max(changes)] if changes else None,
            "copied_steps": max((copy.length for copy in copies), default=None),
        }


def difference(histogram, other):
    """Return the share of a histogram that would have to move to make it equal to the other."""
    return float(np.abs(histogram - other).sum() / 2)


def chords(tunes):
    """Return the chord of each sounding step: its pitches relative to the lowest."""
    steps = [np.flatnonzero(step) for tune in tunes for step in np.asarray(tune, bool)]
    return [tuple(pitches - pitches[0]) for pitches in steps if len(pitches)]


def endings(tunes):
    """Return the shares of tunes, or of steps, in the second table."""
    shares = {name: [] for name in ENDINGS.values()}
    for tune in tunes:
        n_notes = tune[len(tune) // 2 :].sum(axis=1)
        n_chords = len(np.unique(tune[-STUCK:], axis=0))
        shares["silent"].append(not tune[-SILENT:].any())
        shares["stuck"].append(n_chords <= 2 and tune[-STUCK:].any())
        shares["crowded"].append((n_notes > CROWDED).mean() >= CROWDED_SHARE)
        shares["silence"].append((n_notes == 0).mean())
    return {name: float(np.mean(values)) for name, values in shares.items()}


# ---- output


def tables(report):
    """Return the tables in Markdown."""
    rows = report["rows"]
    varied = ["sampling", "threshold", "temperature"]
    names = [
        [
            row["label"],
            *(f"{row[name]}".removesuffix(".0") if name in row else "" for name in varied),
        ]
        for row in rows
    ]
    cells = [
        ["" if row[key] is None else form.format(row[key]) for key, form in COLUMNS.values()]
        for row in rows
    ]
    lines = markdown([report["set"], *varied, *COLUMNS], [a + b for a, b in zip(names, cells)])
    ends = [
        name + [f"{row['endings'][key]:.0%}" for key in ENDINGS.values()]
        for name, row in zip(names, rows)
        if "endings" in row
    ]
    lines += ["", *markdown(["endings", *varied, *ENDINGS], ends)]
    kept = [f"kept, {threshold:g}" for threshold in report["settings"]["thresholds"]]
    strays = ["deviation: real", "independent", "systematic"]
    predicted = [
        [
            name,
            *(f"{one[key]:.2f}" for key in ("nats_per_step", "notes")),
            *map("{:.0%}".format, one["kept"]),
            *(f"{one[key]:.2f}" if key in one else "" for key in STRAYS),
        ]
        for name, one in report["predicted"].items()
    ]
    lines += ["", *markdown(["predictions", "nats", "notes", *kept, *strays], predicted)]
    return "\n".join(lines)


def draw(report, path):
    """Draw four statistics by threshold, with those of the test tunes as a line."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    real, composed_rows = report["rows"][0], [row for row in report["rows"] if "sampling" in row]
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained", sharex=True)
    shown = {"polyphony": "notes at a time", "repeated_share": "repeated steps",
             "known_chords": "known chords", "alike": "alike"}  # fmt: skip
    lines = {}
    for row in composed_rows:
        key = row["label"], row["sampling"], row["temperature"]
        lines.setdefault(key, []).append(row)
    labels = list(dict.fromkeys(label for label, *_ in lines))
    for axis, (key, title) in zip(axes.flat, shown.items()):
        axis.axhline(real[key], color="black", linewidth=1, label="test tunes")
        for (label, sampling, temperature), points in lines.items():
            style = "-" if sampling == "systematic" else ":"
            axis.plot(
                [row["threshold"] for row in points],
                [row[key] for row in points],
                style,
                marker=".",
                color=f"C{labels.index(label)}",
                label=f"{label}, {sampling}, temperature {temperature:g}",
            )
        axis.set(title=title, xlabel="threshold")
        axis.set_ylim(bottom=0)
    axes[0, 0].legend(fontsize=7)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
