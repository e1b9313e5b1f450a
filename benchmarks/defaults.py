"""What ``rnn4music train`` chooses by itself, beside ``--classic``, on collections of music.

    python -m benchmarks.defaults chorales=data/chorales joplin="midi/*oplin*.mid" --minutes 3
    python -m benchmarks.defaults nottingham=Nottingham.mat --minutes 3 --json report.json

Run it from the repository's root. A collection is a name and what ``train`` reads. Each is learned
twice, in the same rolls: without a flag, and with ``--classic``, both until training ends by itself
or the minutes are over. Each model composes 24 tunes of 240 steps as ``compose`` does by itself.

Conventions
-----------
nats            nats per step on the tunes that were held out
minutes, updates
                of the training
alike           mean overlapping area with 40 training tunes (`evaluation.mean_overlap`); of the row
                "real", that of the tunes held out, if there are several
notes, struck   that sound at a time, over the steps that are not silent; that begin, per step
gap             steps from one onset to the next
repeated        share of the notes that are struck while their pitch sounds
silent          share of the steps
known           share of the sounding steps whose pitches occur together in a training tune, in the
                same key or, if trained in all keys, in any
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.figures import markdown
from rnn4music import RNN4Music
from rnn4music.data import pianoroll
from rnn4music.data.notation import bar_columns
from rnn4music.evaluation import mean_overlap, mean_statistics, overlap
from rnn4music.experiment import config, run
from rnn4music.saving.metadata import log_odds

N_TUNES, N_STEPS, N_REAL = 24, 240, 40


def main(words=None):
    """Train, compose, and print a table for each collection."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.defaults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("collections", nargs="+", metavar="NAME=MUSIC")
    parser.add_argument("--minutes", type=float, help="the most that a training may take")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.9], help="of the first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the report")
    arguments = parser.parse_args(words)
    report = {}
    for collection in arguments.collections:
        name, _, music = collection.partition("=")
        report[name] = compared(music, arguments)
        print(f"\n{name}\n\n{table(report[name])}", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(report, indent=2) + "\n")


def compared(music, arguments):
    """Return the figures of both trainings and of the real tunes: dict of name to dict."""
    with tempfile.TemporaryDirectory() as folder:
        given = {"data": music, "minutes": arguments.minutes, "seed": arguments.seed}
        trained = run.train(config.complete({**given, "output": f"{folder}/new"}), progress=False)
        metadata = trained.music.metadata
        same = {"onsets": metadata["onsets"], "classic": True, "output": f"{folder}/classic"}
        if metadata.get("steps_per_beat"):
            same["steps_per_beat"] = metadata["steps_per_beat"]
        elif metadata.get("time_step"):
            same["dt"] = metadata["time_step"]
        classic = run.train(config.complete({**given, **same}), progress=False)
        onsets = bool(metadata["onsets"])
        known = chords_of(trained.music.parts["train"], onsets)
        learned = [np.asarray(roll)[:N_STEPS] for roll in classic.music.parts["train"]][:N_REAL]
        held_out = [np.asarray(roll)[:N_STEPS] for roll in classic.music.parts["validation"]]
        rows = {"real": figures(held_out, learned, known, onsets)}
        models = {f"by itself, {each:g}": (trained, each) for each in arguments.temperatures}
        models["--classic"] = classic, 1
        for name, (each, temperature) in models.items():
            model = RNN4Music.from_file(each.output)
            tunes = composed(model, each.music, temperature)
            rows[name] = figures(tunes, learned, known, onsets)
            rows[name]["nats"] = min(each.history.validation)
            rows[name]["minutes"] = sum(each.history.seconds) / 60
            rows[name]["updates"] = len(each.history.cost)
        rows["real"]["baseline"] = trained.history.baseline
    return rows


def composed(model, music, temperature):
    """Return tunes that a model composes from silence, as ``compose`` does by itself."""
    known, how = None, {"temperature": temperature, "around": log_odds(model.metadata)}
    if model.conditions:
        known = bar_columns(music.parts["train"].beats, N_STEPS)
    if model.chord_units is None:
        how = {"sampling": "systematic"}
    tunes, _ = model.genMusic(None, N_STEPS, N_TUNES, conditions=known, seed=1, **how)
    return list(tunes)


def chords_of(tunes, onsets):
    """Return the sets of pitches that sound together in tunes."""
    return {
        row.tobytes() for tune in tunes for row in np.packbits(sounding(tune, onsets) > 0, axis=1)
    }


def sounding(roll, onsets):
    """Return the sounding half of a roll."""
    return pianoroll.halves(np.asarray(roll), onsets)[0]


def figures(tunes, real, known, onsets):
    """Return the statistics of tunes."""
    statistics = mean_statistics(tunes, onsets=onsets)
    several = len(tunes) > 1
    halves = [sounding(tune, onsets) for tune in tunes]
    rows = [
        row.tobytes() in known
        for half in halves
        for row in np.packbits(half[half.any(axis=1)] > 0, axis=1)
    ]
    return {
        "alike": mean_overlap(overlap(tunes, real, onsets=onsets)) if several else None,
        "notes": statistics.polyphony,
        "struck": statistics.note_density,
        "gap": float(np.mean(np.concatenate([gaps(tune, onsets) for tune in tunes]))),
        "repeated": statistics.repeated_notes if onsets else None,
        "silent": statistics.silent_share,
        "known": float(np.mean(rows)),
    }


def gaps(roll, onsets):
    """Return the steps from each onset to the next."""
    half, struck = pianoroll.halves(np.asarray(roll), onsets)
    before = np.vstack([np.zeros_like(half[:1]), half[:-1]])
    begins = (half > before) if struck is None else (half > 0) & ((struck > 0) | (before == 0))
    return np.diff(np.flatnonzero(begins.any(axis=1)))


COLUMNS = {
    "nats": "{:.3f}", "minutes": "{:.1f}", "updates": "{:,}", "alike": "{:.3f}", "notes": "{:.2f}",
    "struck": "{:.2f}", "gap": "{:.2f}", "repeated": "{:.1%}", "silent": "{:.1%}",
    "known": "{:.1%}",
}  # fmt: skip


def table(rows):
    """Return the table of a collection."""
    lines = []
    for name, row in rows.items():
        given = {key: row.get(key) for key in COLUMNS}
        cells = ["—" if each is None else COLUMNS[key].format(each) for key, each in given.items()]
        lines.append([name, *cells])
    baseline = rows["real"]["baseline"]
    return (
        "\n".join(markdown(["", *COLUMNS], lines)) + f"\n\nbaseline: {baseline:.3f} nats per step"
    )


if __name__ == "__main__":
    main()
