"""Plots of tunes, of training, and of a network's activations and chords."""

from rnn4music._utils.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "plot_activations": "network",
        "plot_chord_effects": "network",
        "plot_composition": "pianoroll",
        "plot_history": "history",
        "plot_learning_curve": "history",
        "plot_notes": "pianoroll",
        "plot_occlusion": "network",
        "plot_piano_roll": "pianoroll",
        "plot_probabilities": "pianoroll",
        "similar_units": "network",
    },
)
