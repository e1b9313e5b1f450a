"""``rnn4music info``."""

from dataclasses import asdict

from rnn4music import saving
from rnn4music._utils.options import Option
from rnn4music.cli._common import Result, check_effect

SUMMARY = "describe a model or a MIDI file"
EXAMPLES = """\
  rnn4music info model.npz
  rnn4music info model.npz --markdown > CARD.md
  rnn4music info tune.mid
"""
ARGUMENTS = (Option("file", str, ..., "model or MIDI file", "FILE"),)
OPTIONS = (Option("markdown", bool, False, "print a model card in Markdown"),)


def run(args):
    """Describe a model or a MIDI file."""
    from midi import describe
    from rnn4music.experiment import inputs

    if inputs.kind_of(args.file) == inputs.MIDI:
        check_effect(args, "markdown", False, "a model")
        contents = describe(args.file)
        return Result(asdict(contents), str(contents))
    path = inputs.model_path(args.file, "info", "a model or a MIDI file")
    content = saving.model_file.read(path)
    values = {name: content[name] for name in ("settings", "history", "metadata")}
    card = saving.model_card.markdown if args.markdown else saving.model_card.text
    return Result({"file": path, **values}, card(path, content))
