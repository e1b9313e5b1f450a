"""Train the network of the home page, and write docs/bach.npz.

    python docs/bach.py

It learns from Bach's chorales, for a few minutes. To keep the file small, weights are rounded to
half precision, as the page holds them, and what only further training needs is zero.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from rnn4music.cli import main
from rnn4music.data import write_chorales

MODEL = Path(__file__).with_name("bach.npz")
OPTIONS = (
    "--units 70 --chord-units 120 --pitch-range 30 87 --dropout 0.2 --weight-noise 0.075 "
    "--validation 0.06 --seed 1 --licence MIT"
)


def reduced(name, array):
    """Return an array of a model's file with fewer digits."""
    if name.startswith("mean_"):  # the optimiser's averages
        return np.zeros_like(array)
    if array.dtype == np.float32:
        return array.astype(np.float16).astype(np.float32)
    return array.round(3) if array.dtype == np.float64 and len(array) > 1000 else array


def train(path):
    """Train the network and write its file."""
    with tempfile.TemporaryDirectory() as folder:
        trained = Path(folder) / "bach.npz"
        music = write_chorales(Path(folder) / "chorales")
        status = main(["train", str(music), "-o", str(trained), *OPTIONS.split()])
        if status:
            raise SystemExit(status)
        with np.load(trained, allow_pickle=False) as arrays:
            few = {name: reduced(name, array) for name, array in arrays.items()}
        np.savez_compressed(path, **few)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the network of the home page.")
    parser.add_argument("--output", default=MODEL, help="file for the model (%(default)s)")
    train(parser.parse_args().output)
