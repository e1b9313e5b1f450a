"""``rnn4music train``."""

from rnn4music import experiment
from rnn4music._utils.options import Option
from rnn4music.cli._common import QUIET, Result
from rnn4music.experiment import config

SUMMARY = "train a model on MIDI files, a store, or a standard set"
EXAMPLES = """\
  rnn4music train music -o model.npz --epochs 50 --patience 5
  rnn4music train music.zip --steps-per-beat 4 --units 200 200 200 --keys all
  rnn4music train music --checkpoint night --resume       repeat it after an interruption
  rnn4music train --config run.toml --epochs 100          flags override the file
  rnn4music train JSB_Chorales.mat --windows random --dropout 0.3 --weight-noise 0.1

A TOML file uses the flags' names without the leading dashes: units = [200, 200, 200].
"""
ARGUMENTS = (config.DATA,)
OPTIONS = (
    Option("config", str, None, "TOML file with any of the options below", "TOML"),
    QUIET,
)
GROUPS = config.GROUPS  # a file may have these too


def run(args):
    """Train a model on music, and save it."""
    settings = config.merged(vars(args), args.config)
    return result(experiment.run.train(settings, not args.quiet))


def result(trained):
    """Return the result of a run."""
    history = trained.history
    best = history.best_epoch
    values = {
        "output": trained.output,
        "updates": len(history.cost),
        "epochs": history.epochs,
        "seconds": round(sum(history.seconds), 3),
        "interrupted": history.interrupted,
        "validation": None if best is None else history.validation[best - 1],
        "best_epoch": best,
        "baseline": history.baseline,
    }
    lines = [f"{values['updates']} updates, {values['epochs']} complete epochs"]
    if best is not None:
        lines.append(
            f"best validation {values['validation']:.3f} nats per step, after epoch {best} "
            f"(each pitch's own Markov chain: {history.baseline:.3f})"
        )
    if history.interrupted:
        lines.append("stopped by Ctrl-C")
    lines.append(f"wrote {trained.output}")
    return Result(values, "\n".join(lines), 130 if history.interrupted else 0)
