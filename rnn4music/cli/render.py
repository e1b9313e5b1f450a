"""``rnn4music render``."""

from pathlib import Path

from rnn4music._utils.options import Option
from rnn4music._utils.paths import check_outputs, check_suffix
from rnn4music.cli._common import SOUNDFONT, SOUNDS, Result

SUMMARY = "convert a MIDI file to sound"
EXAMPLES = """\
  rnn4music render tune.mid -o tune.wav
  rnn4music render tune.mid -o tune.mp3 --soundfont piano.sf2
"""
ARGUMENTS = (Option("tune", str, ..., "MIDI file", "MID"),)
OPTIONS = (Option("output", str, ..., "sound file, .wav or .mp3", "FILE"), SOUNDFONT)


def run(args):
    """Convert a MIDI file to sound."""
    from midi.files import written_whole
    from rnn4music.render import synthesizer

    check_suffix(args.output, SOUNDS)
    check_outputs([args.output], [args.tune])
    samples = synthesizer.render(args.tune, args.soundfont)
    if not len(samples):
        raise ValueError(f"{args.tune} lasts 0 seconds")
    with written_whole(args.output) as file:
        file.write(synthesizer.encoded(samples, Path(args.output).suffix[1:].upper()))
    seconds = len(samples) / synthesizer.SAMPLE_RATE
    return Result(
        {"file": args.output, "seconds": seconds}, f"wrote {args.output}, {seconds:.1f} s"
    )
