"""Learn from MIDI files, compose a tune, and draw it.

    python examples/main.py                  the Bach chorales (needs the extra "example")
    python examples/main.py --data SOURCE    a folder or .zip of MIDI files, or a pattern

All settings are at the top of `main`. Change them and run the script again.
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib

from rnn4music import RNN4Music, Tune, load_midi
from rnn4music.data import write_chorales
from rnn4music.plots import plot_piano_roll, plot_probabilities

PITCH_RANGE = (21, 109)  # the piano's 88 keys: MIDI pitches 21 to 108
CHORALES = Path(__file__).resolve().parent.parent / "data" / "chorales"


def main():
    noOfEpoch = 6  # passes over all tunes in all keys
    noOfEpochPerMB = 1  # updates on each minibatch
    sizeOfMiniBatch = 8  # tunes per minibatch
    lengthOfMB = 65  # steps of each tune to learn from, from a random place
    keys = range(-5, 7)  # transpositions in which each tune is learned, in semitones
    held_out = 0.06  # share of the tunes held out for validation
    which_tune = 0  # index of the held-out tune to continue
    exampleLength = 32  # steps of that tune that the network reads
    noOfSteps = 256  # steps to compose
    stepsPerBeat = "auto"  # steps per quarter note, or "auto" for what fits the notes
    onsets = True  # whether a note may be struck again: two columns for each pitch
    chordUnits = 264  # units through which the notes of a chord depend on each other, or None
    seed = 1

    arguments = parse_arguments()
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"--output {arguments.output}: {error.strerror}") from None
    dataset = read_tunes(arguments.data or write_chorales(CHORALES), stepsPerBeat, onsets)
    training, validation, _ = dataset.split(validation=max(held_out, 1 / len(dataset)), test=0)
    training = training.in_keys(keys)

    model = RNN4Music(h1_length=100, h2_length=100, h3_length=100, io_length=88 * (1 + onsets),
                      R1=0.004, R2=0.004, R3=0.004, Rout=0.004, optimiser="adam",
                      chord_units=chordUnits, seed=seed)  # fmt: skip
    noOfEpoch = noOfEpoch if arguments.epochs is None else arguments.epochs
    history = model.train(training, noOfEpochPerMB, noOfEpoch, sizeOfMiniBatch, lengthOfMB,
                          windows="random", dropout=0.4, weight_noise=0.15, output_noise=0,
                          averaging=0.995, validation=validation or None)  # fmt: skip
    weights = model.saveParameters(arguments.output / "weights")
    tunes = "1 tune" if len(validation) == 1 else f"{len(validation)} tunes"
    for epoch, nats in enumerate(history.validation, start=1):
        print(f"epoch {epoch}: {nats:.2f} nats per step on {tunes} held out")
    if history.baseline:
        print(f"(each pitch's own Markov chain: {history.baseline:.2f})")

    source = validation or dataset
    start = source[which_tune][:exampleLength]
    roll, probabilities = model.genMusic(start, noOfSteps, temperature=0.9)
    how: dict[str, Any] = {"start": start, "onsets": onsets}
    if source.tune_beats is None:
        how["time_step"] = model.metadata["time_step"]
    else:
        how["beats"] = source.tune_beats[which_tune]
    Tune(roll, **how).write_midi(arguments.output / "tune.mid")
    draw(roll, probabilities, how, arguments.output, arguments.show)
    print(f"wrote {weights}, and tune.mid, probabilities.png and piano_roll.png beside it")


def parse_arguments():
    parser = argparse.ArgumentParser(description="Learn from MIDI files, compose a tune.")
    parser.add_argument("--data", help="folder or .zip of MIDI files (default: the chorales)")
    parser.add_argument("--epochs", type=int, help="overrides the number of epochs set in main()")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output"),
        help="folder for the results (default: output)",
    )
    parser.add_argument("--show", action="store_true", help="show the pictures in windows")
    return parser.parse_args()


def read_tunes(source, steps_per_beat, onsets):
    """Read MIDI files as piano rolls; a warning lists skipped files."""
    try:
        dataset = load_midi(source, PITCH_RANGE, steps_per_beat=steps_per_beat, onsets=onsets)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{error}") from None
    if len(dataset) < 2:
        raise SystemExit(f"{source} has only one usable file; at least 2 are needed")
    print(f"{len(dataset)} tunes from {source}")
    return dataset


def draw(roll, probabilities, how, folder, show):
    """Draw the composed tune after its start, and the probability of each note."""
    if not show:
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(12, 4), layout="constrained")
    plot_piano_roll(axes, roll, **how).set_title("given (brown), then composed (blue)")
    figure.savefig(folder / "piano_roll.png", dpi=120)
    figure, axes = plt.subplots(figsize=(12, 4), layout="constrained")
    plot_probabilities(axes, probabilities, **how).set_title("probability of each note")
    figure.savefig(folder / "probabilities.png", dpi=120)
    if show:
        plt.show()


if __name__ == "__main__":
    main()
