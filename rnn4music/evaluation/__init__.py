"""How well a network predicts, and how alike composed and real music are."""

from rnn4music._utils.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Evaluation": "scores",
        "TuneStatistics": "music_metrics",
        "score_baselines": "baselines",
        "constant_probabilities": "baselines",
        "describe": "music_metrics",
        "influence": "occlusion",
        "longest_copy": "music_metrics",
        "markov_probabilities": "baselines",
        "mean_overlap": "music_metrics",
        "mean_statistics": "music_metrics",
        "overlap": "music_metrics",
    },
)
