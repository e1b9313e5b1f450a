"""Learn from MIDI files, compose a tune, and look at it.

    python examples/main.py                  the Bach chorales (needs the extra "example")
    python examples/main.py --data SOURCE    a folder or .zip of MIDI files, or a pattern

All settings are at the top of `main`; change them and run it again.
"""

import argparse
from pathlib import Path

import matplotlib

from midi.utils import midiwrite
from rnn4music import RNN4Music, load_midi
from rnn4music.data import write_chorales
from rnn4music.plots import plot_piano_roll, plot_probabilities

PITCH_RANGE = (21, 109)  # the piano's 88 keys: MIDI pitches 21 to 108
TIME_STEP = 0.3  # seconds that one row of a piano roll lasts
CHORALES = Path(__file__).resolve().parent.parent / "data" / "chorales"


def main():
    noOfEpoch = 5  # visits to all tunes in all keys
    noOfEpochPerMB = 1  # updates on each minibatch
    sizeOfMiniBatch = 5  # tunes that are learned from at once
    lengthOfMB = 100  # steps of each tune that are learned from: 30 seconds
    keys = range(-5, 7)  # each tune is learned in all of these transpositions, in semitones
    held_out = 0.06  # share of the tunes not learned from, to see what was understood
    which_tune = 0  # of those held out, the one that is continued
    exampleLength = 50  # steps of it that the network hears
    noOfSteps = 300  # steps that it composes
    genProbThreshold = 0.02  # notes less probable than this never sound
    sampling = "systematic"  # as many notes at a time as are expected; or "independent"
    seed = 1

    arguments = parse_arguments()
    dataset = read_tunes(arguments.data or write_chorales(CHORALES))
    training, validation, _ = dataset.split(validation=max(held_out, 1 / len(dataset)), test=0)
    training = training.in_keys(keys)

    model = RNN4Music(h1_length=120, h2_length=120, h3_length=120, io_length=88,
                      R1=0.001, R2=0.001, R3=0.001, Rout=0.001,
                      genProbThreshold=genProbThreshold, seed=seed)  # fmt: skip
    noOfEpoch = noOfEpoch if arguments.epochs is None else arguments.epochs
    history = model.train(training, noOfEpochPerMB, noOfEpoch, sizeOfMiniBatch, lengthOfMB,
                          validation=validation or None)  # fmt: skip
    arguments.output.mkdir(parents=True, exist_ok=True)
    weights = model.saveParameters(arguments.output / "weights")
    for epoch, nats in enumerate(history.validation, start=1):
        print(f"epoch {epoch}: {nats:.2f} nats per step on {len(validation)} tunes held out")
    if history.baseline:
        print(f"(each pitch's own Markov chain: {history.baseline:.2f})")

    start = (validation or dataset)[which_tune][:exampleLength]
    tune, probabilities = model.genMusic(start, noOfSteps, sampling=sampling)
    midiwrite(arguments.output / "tune.mid", tune, PITCH_RANGE, TIME_STEP)
    draw(start, tune, probabilities, arguments.output, arguments.show)
    print(f"wrote {weights}, tune.mid, probabilities.png and piano_roll.png beside it")


def parse_arguments():
    parser = argparse.ArgumentParser(description="Learn from MIDI files, compose a tune.")
    parser.add_argument("--data", help="a folder or .zip of MIDI files instead of the chorales")
    parser.add_argument("--epochs", type=int, help="instead of the number set in main()")
    parser.add_argument("--output", type=Path, default=Path("output"), help="default: output")
    parser.add_argument("--show", action="store_true", help="open windows with the pictures")
    return parser.parse_args()


def read_tunes(source):
    """Read MIDI files as piano rolls; skipped files are listed in a warning."""
    try:
        dataset = load_midi(source, PITCH_RANGE, TIME_STEP)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{error}") from None
    if len(dataset) < 2:
        raise SystemExit(f"{source} has only one file that can be used; at least 2 are needed")
    print(f"{len(dataset)} tunes from {source}")
    return dataset


def draw(start, tune, probabilities, folder, show):
    """Draw what was composed, with what it follows, and how probable each note was."""
    if not show:
        matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(12, 4), layout="constrained")
    plot_piano_roll(axes, tune, TIME_STEP, start=start).set_title("given (blue), then composed")
    figure.savefig(folder / "piano_roll.png", dpi=120)
    figure, axes = plt.subplots(figsize=(12, 4), layout="constrained")
    plot_probabilities(axes, probabilities, TIME_STEP).set_title("probability of each note")
    figure.savefig(folder / "probabilities.png", dpi=120)
    if show:
        plt.show()


if __name__ == "__main__":
    main()
