"""``rnn4music render``."""

from pathlib import Path

from rnn4music._utils.options import Option
from rnn4music._utils.paths import check_suffix
from rnn4music.cli._common import SOUNDFONT, SOUNDS, Result, check_soundfont

SUMMARY = "convert a MIDI file to sound"
EXAMPLES = """\
  rnn4music render tune.mid -o tune.wav
  rnn4music render tune.mid -o tune.mp3 --soundfont piano.sf2
"""
ARGUMENTS = (Option("tune", str, ..., "MIDI file", "MID"),)
OPTIONS = (
    Option("output", str, ..., "sound file, .wav or .mp3", "FILE"),
    SOUNDFONT,
    Option("keep_silence", bool, False, "keep silence longer than a second before the first note "
           "and after the last"),
)  # fmt: skip


def run(args):
    """Convert a MIDI file to sound."""
    from midi import describe
    from midi.files import written_whole
    from rnn4music.experiment import inputs
    from rnn4music.render import synthesizer

    check_suffix(args.output, SOUNDS)
    inputs.check_outputs([args.output], [args.tune, *([args.soundfont] if args.soundfont else [])])
    inputs.check_input(args.tune, (inputs.MIDI,), "render needs a MIDI file")
    check_soundfont(args)
    samples = synthesizer.render(args.tune, args.soundfont, keep_silence=args.keep_silence)
    if not samples.any():
        drums = "" if args.soundfont else "; the built-in synthesiser plays no drums"
        raise ValueError(f"{args.tune} has no notes to play, so nothing is written{drums}")
    with written_whole(args.output) as file:
        file.write(synthesizer.encoded(samples, Path(args.output).suffix[1:].upper()))
    seconds = len(samples) / synthesizer.SAMPLE_RATE
    left_out = max(0.0, describe(args.tune).seconds - seconds)
    text = f"wrote {args.output}, {seconds:.1f} s"
    if left_out >= 0.05:
        text += f" (left out {left_out:.1f} s of silence; --keep-silence keeps it)"
    return Result({"file": args.output, "seconds": seconds, "left_out": left_out}, text)
