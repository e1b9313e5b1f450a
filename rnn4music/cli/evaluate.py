"""``rnn4music evaluate``."""

import math
from dataclasses import asdict

import rnn4music
from rnn4music import experiment
from rnn4music._utils.options import Option
from rnn4music.cli._common import Result

SUMMARY = "score a model's predictions on tunes that it was not trained on"
EXAMPLES = """\
  rnn4music evaluate model.npz "other music"
  rnn4music evaluate model.npz JSB_Chorales.mat --part validation --json
"""
ARGUMENTS = (
    Option("model", str, ..., "model to score", "MODEL"),
    Option("data", str, ..., "MIDI files, a store, or a standard set, as for train", "MUSIC"),
)
OPTIONS = (
    Option("part", str, "test", "part of a standard set to score",
           choices=("train", "validation", "test")),
    Option("threshold", float, 0.5, "probability at which a note counts as predicted", "P",
           low=0, high=1),
)  # fmt: skip


def run(args):
    """Score a model on tunes."""
    from rnn4music.training.checkpoints import extent

    model = rnn4music.RNN4Music.from_file(args.model)
    reading = experiment.music.ReadingOptions.of_model(model.metadata, model.io_length)
    tunes = reading.read_scored(args.data, args.part)
    scores = asdict(model.evaluate(tunes, args.threshold))
    per_tune = [
        {"name": name, "nats_per_step": tune["nats_per_step"], "n_steps": tune["n_steps"]}
        for name, tune in zip(tunes.names, scores.pop("per_tune"))
    ]
    values = {"model": args.model, "data": args.data, **scores, "tunes": per_tune}
    text = f"{scores['nats_per_step']:.3f} nats per step on {extent(tunes)}\n" + ", ".join(
        f"{name.replace('_', ' ')} {'undefined' if math.isnan(share) else f'{share:.3f}'}"
        for name, share in scores.items()
        if name not in ("nats_per_step", "n_steps")
    )
    return Result(values, text)
