"""Scores of predictions, statistics of music, and occlusion.

`RNN4Music.evaluate` returns an `Evaluation`, and `score_baselines` what predictors without a
network score on the same tunes. `describe`, `overlap` and `longest_copy` compare composed tunes
with real ones. `occlusion_effects` and `chord_effects` show how notes change the network's
predictions of others.
"""

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
