"""Scores of predictions, statistics of music, and occlusion."""

from rnn4music._utils.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Evaluation": "scores",
        "TuneStatistics": "music_metrics",
        "chord_effects": "occlusion",
        "constant_probabilities": "baselines",
        "describe": "music_metrics",
        "longest_copy": "music_metrics",
        "markov_probabilities": "baselines",
        "mean_overlap": "music_metrics",
        "mean_statistics": "music_metrics",
        "occlusion_effects": "occlusion",
        "overlap": "music_metrics",
        "score_baselines": "baselines",
    },
)
