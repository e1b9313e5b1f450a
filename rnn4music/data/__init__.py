"""Piano rolls and their sources: MIDI folders, standard sets, stores on disk."""

from rnn4music._utils.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Accents": "accents",
        "Dataset": "dataset",
        "DatasetWarning": "dataset",
        "Grid": "grid",
        "RollStore": "store",
        "choose_grid": "midi_files",
        "convert": "store",
        "find_key": "keys",
        "load_chorales": "chorales",
        "load_midi": "midi_files",
        "load_standard_set": "standard_sets",
        "mark_silence": "pianoroll",
        "transpose": "keys",
        "velocities": "accents",
        "write_chorales": "chorales",
    },
)
