"""A tune as MIDI, MusicXML, sound, picture and page."""

from rnn4music._utils.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Tune": "tune",
        "render": "synthesizer",
        "synthesise": "synthesizer",
        "write_live_page": "live",
        "write_musicxml": "musicxml",
        "write_page": "tune",
        "write_wav": "synthesizer",
    },
)
