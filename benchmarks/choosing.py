"""Whether the tunes that ``compose --best`` keeps are more like other music than the rest.

    rnn4music train MUSIC -o model.npz --minutes 2
    python -m benchmarks.choosing model.npz MUSIC --steps 128

The tunes are compared with those that the training held out, cut to the same length.
"""

import argparse

import numpy as np

from rnn4music.cli._common import read_network
from rnn4music.data import load_midi
from rnn4music.data.notation import bar_columns
from rnn4music.evaluation import mean_overlap, overlap
from rnn4music.experiment import notation
from rnn4music.experiment.music import ReadingOptions
from rnn4music.experiment.training_music import likeness
from rnn4music.saving.metadata import log_odds

SHARE = 0.1  # of the tunes, which train holds out by itself


def main(words=None):
    """Compose, choose, and print the mean overlapping area of each choice with held-out tunes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.choosing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model")
    parser.add_argument("music")
    for name, default in {"count": 20, "best": 3, "steps": 300, "trials": 10}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args(words)
    network, content = read_network(arguments.model)
    metadata = content["metadata"]
    reading = ReadingOptions.of_model(metadata, network.n_pitches, n_conditions=network.conditions)
    known = None
    if reading.bars:
        beats = notation.beats_of(metadata, reading, None)
        known = bar_columns(beats, arguments.steps)
    held_out = load_midi(arguments.music, **reading.arguments()).split(SHARE, 0).validation
    real = [roll[: arguments.steps] for roll in held_out]
    rng, rows = np.random.default_rng(0), []
    for seed in range(arguments.trials):
        tunes, _ = network.gen_music(
            None,
            arguments.steps,
            arguments.count,
            conditions=known,
            temperature=0.9,
            around=log_odds(metadata),
            seed=seed,
        )
        found = [likeness(metadata, tune, reading.onsets) for tune in tunes]
        if None in found:
            parser.error(f"{arguments.model} does not record what its training music is like")
        scores = [each.score for each in found if each]
        order, n = np.argsort(scores)[::-1], arguments.best
        choices = {"best": order[:n], "random": rng.permutation(order)[:n], "all": order}
        rows.append({
            name: mean_overlap(overlap(list(tunes[chosen]), real, onsets=reading.onsets))
            for name, chosen in choices.items()
        })  # fmt: skip
    for name in rows[0]:
        print(f"{name:6} {np.mean([row[name] for row in rows]):.3f}")
    print(f"best above all: {sum(row['best'] > row['all'] for row in rows)} of {len(rows)}")


if __name__ == "__main__":
    main()
