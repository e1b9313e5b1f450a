"""``rnn4music train``."""

import warnings

from rnn4music import experiment
from rnn4music._utils.options import Option
from rnn4music.cli import compose
from rnn4music.cli._common import ABOVE_BASELINE, BASELINE, QUIET, Result
from rnn4music.experiment import config
from rnn4music.training.history import BaselineWarning, worse_than_baseline

SUMMARY = "train a model on MIDI files, a store, or a standard set"
EXAMPLES = """\
  rnn4music train music -o model.npz
  rnn4music train music.zip --minutes 3 --html tunes.html
  rnn4music train music --checkpoint night --resume       repeat it after an interruption
  srun -N 4 rnn4music train music --devices all           on four machines of a SLURM cluster
  rnn4music train --config run.toml --epochs 100          flags override the file
  rnn4music train JSB_Chorales.mat --windows random --dropout 0.3 --weight-noise 0.1

What is not given is chosen to suit the music, and shown; --classic takes the defaults below.
A TOML file uses the flags' names without the leading dashes: units = [200, 200, 200].
The exit code is 3 if the model is worse than the baseline on the held-out tunes, or diverged.
"""
ARGUMENTS = (config.DATA,)
OPTIONS = (
    Option("config", str, None, "TOML file with any of the options below", "TOML"),
    QUIET,
)
GROUPS = config.GROUPS  # a file may have these too
N_TUNES = 3  # on the page of --html


def run(args):
    """Train a model on music, and save it."""
    settings = config.merged(vars(args), args.config)
    if settings.data is None:
        args.parser.error(experiment.run.NO_MUSIC)
    from rnn4music.distributed.launch import n_launched

    if settings.devices is not None:
        from rnn4music.training.replicated import join

        join()
    elif n_launched() > 1:
        warnings.warn(
            f"this is one of {n_launched()} processes, each of which trains a model of its own; "
            "with --devices all they train one together",
            stacklevel=2,
        )
    trained = experiment.run.train(settings, not args.quiet)
    return result(trained, _composed(trained, settings))


def _composed(trained, settings):
    """Write the page of ``--html``; return the result of composing, or None without a page."""
    if settings.html is None or trained.problem:
        return None
    options = {"model": trained.output, "html": settings.html, "count": N_TUNES}
    if settings.seed is not None:
        options["seed"] = settings.seed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BaselineWarning)  # the result says so
            return compose.run(config.complete(options, compose.OPTIONS), midi=False)
    except (ValueError, OSError) as error:  # the model is saved; its result is what counts
        warnings.warn(f"there is no {settings.html}: {error}", stacklevel=2)
        return None


def result(trained, composed=None):
    """Return the result of a run, and of composing with its model; a verdict is the last line."""
    from midi.text import count

    history = trained.history
    best = history.best_epoch
    score = None if best is None else history.validation[best - 1]

    values = {
        "output": trained.output,
        "updates": len(history.cost),
        "epochs": history.epochs,
        "seconds": round(sum(history.seconds), 3),
        "interrupted": history.interrupted,
        "validation": score,
        "best_epoch": best,
        "baseline": history.baseline,
        "worse_than_baseline": history.is_worse_than_baseline,
        "diverged": bool(trained.problem),
    }
    lines = [f"{count(len(history.cost), 'update')}, {count(history.epochs, 'complete epoch')}"]
    if history.interrupted:
        lines.append("stopped by Ctrl-C")
    lines.append(f"wrote {trained.output}")
    if composed is not None:
        values["compose"] = composed.values
        lines.append(composed.text)
    lines += trained.music.remarks
    if score is not None:
        baseline = "" if history.baseline is None else f" ({BASELINE}: {history.baseline:.3f})"
        lines.append(f"best validation {score:.3f} nats per step, after epoch {best}{baseline}")
    is_bad = history.is_worse_than_baseline or bool(trained.problem)
    if trained.problem:
        lines.append(trained.problem)
    elif is_bad:
        is_improving = best == history.epochs
        lines.append(worse_than_baseline(score, history.baseline, is_improving=is_improving))
    elif score is not None and history.baseline is not None:
        lines.append(
            "the model predicts a step of the tunes held out "
            f"{history.baseline - score:.3f} nats better than this baseline, which predicts each "
            "pitch from that pitch alone"
        )
    status = ABOVE_BASELINE if is_bad else 0
    return Result(values, "\n".join(lines), 130 if history.interrupted else status)
