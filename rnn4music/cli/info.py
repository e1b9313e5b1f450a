"""``rnn4music info``."""

from dataclasses import asdict
from pathlib import Path

from rnn4music import saving
from rnn4music._utils.options import Option
from rnn4music.cli._common import Result

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
    from midi.files import SUFFIXES, opened

    try:
        with opened(args.file) as file:
            is_midi = file.read(4) in (b"MThd", b"RIFF")
    except (FileNotFoundError, IsADirectoryError):  # the name of a model may lack its suffix
        is_midi = Path(args.file).suffix.lower() in SUFFIXES
    if is_midi:
        contents = describe(args.file)
        return Result(asdict(contents), str(contents))
    content = saving.model_file.read(args.file)
    values = {name: content[name] for name in ("settings", "history", "metadata")}
    card = saving.model_card.markdown if args.markdown else saving.model_card.text
    return Result({"file": args.file, **values}, card(args.file, content))
