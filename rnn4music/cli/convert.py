"""``rnn4music convert``."""

from rnn4music import data, experiment
from rnn4music._utils.options import Option
from rnn4music.cli._common import CLUSTER, QUIET, Result
from rnn4music.experiment import config

SUMMARY = "convert a large collection of MIDI files to a store on the disk"
EXAMPLES = """\
  rnn4music convert "my collection" rolls --workers 8
  rnn4music convert "my collection" rolls --cluster tcp://host:8786
  rnn4music train rolls -o model.npz --windows random --batch-size 64

Use a store for a collection that is too large for memory, or takes long to read. After an
interruption the same command continues. With a cluster, both folders must be in a file system that
all machines share.
"""
ARGUMENTS = (
    Option("data", str, ..., 'MIDI files: a folder, a .zip, or a pattern such as "*.mid"',
           "MUSIC"),
    Option("store", str, ..., "folder for the piano rolls; made if missing", "STORE"),
)  # fmt: skip
_KEYS = Option("keys", str, "own", "own: tunes as written; c: each tune transposed to C major or "
               "A minor", choices=("own", "c"))  # fmt: skip
OPTIONS = (
    *(_KEYS if o.name == "keys" else o for o in config.MUSIC if o.name != "cache"),
    Option("workers", int, None, "number of processes on this machine", "N", low=1),
    CLUSTER,
    QUIET,
)  # fmt: skip


def run(args):
    """Convert MIDI files to a store of piano rolls."""
    from midi.text import count
    from rnn4music.distributed.cluster import parsed

    inputs, music = experiment.inputs, experiment.music
    inputs.check_music(args.data, inputs.COLLECTIONS, "convert needs MIDI files")
    music.check_steps(args)
    options = {"time_step": args.dt, **{name: getattr(args, name) for name in music.READING}}
    store = data.convert(
        args.data,
        args.store,
        args.pitch_range,
        **{**options, **music.chosen_steps(args.data, args)},
        to_c=args.keys == "c",
        workers=args.workers,
        cluster=parsed(args.cluster),
        progress=not args.quiet,
    )
    music.warn_of_dropped_notes(store)
    music.log_silence(store)
    values = {
        "store": args.store,
        "tunes": len(store),
        "steps": int(store.lengths.sum()),
        "skipped": [issue._asdict() for issue in store.skipped],
        "damaged": [issue._asdict() for issue in store.damaged],
        "n_notes": store.n_notes,
        "dropped_notes": store.dropped_notes,
        "n_cut": store.n_cut,
        "silence": store.silence._asdict(),
    }
    extent = f"{count(len(store), 'tune')}, {count(values['steps'], 'step')}"
    return Result(values, f"{extent} in {args.store}")
