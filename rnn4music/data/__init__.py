"""Piano rolls, and where they come from: MIDI folders, standard sets, stores on disk."""

from rnn4music._utils.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Dataset": "dataset",
        "DatasetWarning": "midi_files",
        "RollStore": "stored_rolls",
        "convert": "store",
        "find_key": "keys",
        "load_chorales": "chorales",
        "load_midi": "dataset",
        "load_standard_set": "standard_sets",
        "mark_silence": "pianoroll",
        "transpose": "keys",
        "write_chorales": "chorales",
    },
)
