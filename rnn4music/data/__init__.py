"""Piano rolls, and where they come from.

`load_midi` reads a folder of MIDI files into a `Dataset`: one piano roll for each tune, with
methods that split, transpose and summarise. `convert` writes a large collection to disk once, as a
`RollStore` that is read tune by tune. `load_standard_set` reads the sets of the literature, and
`load_chorales` Bach's chorales.
"""

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
