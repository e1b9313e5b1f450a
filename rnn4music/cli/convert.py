"""``rnn4music convert``."""

from rnn4music.cli._common import Result, tell_losses
from rnn4music.data import store as roll_store
from rnn4music.distributed.cluster import parsed
from rnn4music.experiment import config


def convert(asked):
    """Convert MIDI files to a store of piano rolls."""
    options = {option.name for option in config.CONVERSION}
    given = {name: value for name, value in vars(asked).items() if name in options}
    settings = config.complete(given)
    store = roll_store.convert(
        asked.data,
        asked.store,
        settings.pitch_range,
        settings.dt,
        steps_per_beat=settings.steps_per_beat,
        tempo=settings.tempo,
        sustain=settings.sustain,
        keep_short=settings.keep_short,
        to_c=settings.keys == "c",
        workers=asked.workers,
        cluster=parsed(asked.cluster),
        progress=not asked.quiet,
    )
    tell_losses(store)
    values = {
        "store": str(asked.store),
        "tunes": len(store),
        "steps": int(store.lengths.sum()),
        "left_out": [remark._asdict() for remark in store.left_out],
        "damaged": [remark._asdict() for remark in store.damaged],
        "n_notes": store.n_notes,
        "lost_notes": store.lost_notes,
    }
    text = f"{values['tunes']} tunes, {values['steps']} steps in {asked.store}"
    return Result(values, text)
