"""``rnn4music evaluate``."""

import math
from dataclasses import asdict

import rnn4music
from rnn4music import experiment
from rnn4music._utils.options import Option
from rnn4music.cli._common import BASELINE, Result, check_effect

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


_MOST_NAMES = 8


def run(args):
    """Score a model on tunes."""
    from rnn4music.evaluation import scores
    from rnn4music.experiment import inputs, training_music
    from rnn4music.saving import model_card
    from rnn4music.training.checkpoints import extent
    from rnn4music.training.history import worse_than_baseline

    path = inputs.model_path(args.model, "evaluate")
    inputs.check_music(args.data, inputs.MUSIC, "evaluate needs music")
    is_set = inputs.is_standard_set(args.data)
    check_effect(args, "part", is_set, "a standard set")
    model = rnn4music.RNN4Music.from_file(path)
    reading = experiment.music.ReadingOptions.of_model(
        model.metadata, model.io_length, n_conditions=model.conditions
    )
    if not is_set:
        remedy = 'set model.metadata["time_step"]'
        experiment.music.log_assumed_step(path, model.metadata, remedy)
    tunes = reading.read_scored(args.data, args.part)
    scored = tunes.with_bars() if reading.bars else tunes
    result = asdict(model.evaluate(scored, args.threshold))
    per_tune = [
        {"name": name, "nats_per_step": tune["nats_per_step"], "n_steps": tune["n_steps"]}
        for name, tune in zip(tunes.names, result.pop("per_tune"))
    ]
    nats, chain = result["nats_per_step"], training_music.baseline(model.metadata, model.io_length)
    baseline = None if chain is None else scores.score(chain, tunes)
    hashes = training_music.known_hashes(model.metadata)
    for entry, tune in zip(per_tune, tunes):
        entry["trained_on"] = None if hashes is None else training_music.hash_of(tune) in hashes
    values = {"model": path, "data": args.data, **result, "baseline": baseline, "tunes": per_tune}
    shares = ", ".join(
        f"{name.replace('_', ' ')} {'undefined' if math.isnan(share) else f'{share:.3f}'}"
        for name, share in result.items()
        if name not in ("nats_per_step", "n_steps")
    )
    lines = [f"{nats:.3f} nats per step on {model_card.music(extent(tunes))}", shares]
    if baseline is not None:
        lines[0] += f" ({BASELINE}: {baseline:.3f})"
        if nats > baseline:
            lines.append(worse_than_baseline(nats, baseline, "the score"))
    return Result(values, "\n".join([*lines, _trained_on(per_tune)]))


def _trained_on(tunes):
    """Return a sentence on the tunes that the model was trained on."""
    from midi.text import count, printable

    if tunes[0]["trained_on"] is None:
        return "the model's file does not say which tunes it was trained on"
    names = [printable(tune["name"]) for tune in tunes if tune["trained_on"]]
    if not names:
        return "none of these tunes is recognised as one of the model's training tunes"
    shown = ", ".join(names[:_MOST_NAMES]) + f" and {len(names) - _MOST_NAMES:,} more" * (
        len(names) > _MOST_NAMES
    )
    return (
        f"the model was trained on {len(names):,} of {count(len(tunes), 'tune')}, perhaps in "
        f"another key, which makes its score too good: {shown}"
    )
