"""Plots of piano rolls, of training, and of the inside of a network."""

from rnn4music._utils.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "plot_activations": "network",
        "plot_composition": "pianoroll",
        "plot_history": "history",
        "plot_learning_curve": "history",
        "plot_occlusion": "network",
        "plot_piano_roll": "pianoroll",
        "plot_probabilities": "pianoroll",
        "plot_weights": "network",
        "similar_units": "network",
    },
)
