"""Draw the figures of the tutorial.

    python docs/figures.py                   all figures, in about a minute
    python docs/figures.py step unrolled     the named figures

The curves are computed here, with the code of the package.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from rnn4music import backend, chords
from rnn4music.gates import Gates
from rnn4music.lstm import lstm_step, lstm_step_backward

sys.path.insert(0, str(Path(__file__).resolve().parent))
import exercises
from graphs import BACK, BLACK, draw_step, draw_unrolled

FOLDER = Path(__file__).resolve().parent / "figures"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "rnn4music",
}
BLUE, GREEN, GREY = "#0072b2", "#009e73", "0.45"


class Number(np.ndarray):
    """A real or complex array that `lstm_step` accepts."""

    def sigmoid(self):
        """Logistic function of each element."""
        return 1 / (1 + np.exp(-self))

    def tanh(self):
        """Hyperbolic tangent of each element."""
        return np.tanh(self)


def number(array):
    """Return an array as a `Number`."""
    return np.asarray(array).view(Number)


# ---- the judges


def loss_of_a_small_lstm():
    """Return the cost of a small LSTM as a function of one weight, the weight, and its gradient."""
    rng = np.random.default_rng(0)
    T, B, H = 20, 3, 4
    inputs, targets = rng.normal(size=(T, B, 4 * H)), rng.normal(size=(T, B, H))
    recurrent = rng.normal(0, 0.5, (H, 4 * H))
    peepholes = rng.normal(0, 0.5, (3, H))

    def run(weight):
        matrix = recurrent.astype(np.result_type(weight, float))
        matrix[1, 2] = weight
        h, c = np.zeros((B, H)), number(np.zeros((B, H)))
        kept, cost = [], 0.0
        for t in range(T):
            a = Gates(*(number(part) for part in np.split(inputs[t] + h @ matrix, 4, axis=1)))
            before = h, c
            h, c, gates = lstm_step(a, c, *peepholes)
            cost = cost + ((h - targets[t]) ** 2).sum() / 2
            kept.append((*before, h, c, gates))
        return cost, kept

    _, kept = run(recurrent[1, 2])
    gradient = 0.0
    d_h_next = d_c = np.zeros((B, H))
    for t in reversed(range(T)):
        h_previous, c_previous, h, c, gates = kept[t]
        d_h = h - targets[t] + d_h_next
        d_a, d_c = lstm_step_backward(d_h, d_c, gates, c, c_previous, *peepholes)
        d_a = np.concatenate(d_a, axis=1)
        gradient += (np.asarray(h_previous).T @ d_a)[1, 2]
        d_h_next = d_a @ recurrent.T
    return (lambda weight: run(weight)[0]), recurrent[1, 2], float(gradient)


def draw_judges():
    """Draw the errors of central differences and complex steps relative to the gradient."""
    cost, weight, gradient = loss_of_a_small_lstm()
    steps = 10.0 ** np.arange(-15, 0.1, 0.25)
    central = [(cost(weight + e) - cost(weight - e)) / (2 * e) for e in steps]
    complex_steps = 10.0 ** np.arange(-20, 0.1, 0.5)
    imaginary = [float(cost(weight + 1j * e).imag) / e for e in complex_steps]

    def error(values):
        return np.maximum(np.abs(np.array(values) / gradient - 1), 1e-17)

    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    axes.loglog(steps, error(central), "o-", color=BLUE, markersize=3, linewidth=1)
    axes.loglog(complex_steps, error(imaginary), "s-", color=BACK, markersize=3, linewidth=1)
    axes.axhline(np.finfo(float).eps, color=GREY, linewidth=0.8, linestyle="--")
    for place, words, colour in (
        ((2e-5, 4e-17), "precision of a float64", GREY),
        (
            (3e-11, 1e-1),
            "central differences: the difference\nof two costs is mostly rounding",
            BLUE,
        ),
        ((3e-20, 2e-14), "complex steps: nothing is subtracted", BACK),
        ((2e-4, 2e-13), "both: the cost\nis not linear", "black"),
    ):
        axes.text(*place, words, color=colour, fontsize=8)
    axes.set(xlabel="step ε", ylabel="relative error of the slope", ylim=(6e-18, 5))
    return figure


# ---- back through time


def gradients_through_time(forget, n_steps=100, n_units=20):
    """Return |d cost_T / d c_t| for t = 0 … T, with forget gates near `forget`."""
    rng = np.random.default_rng(4)
    matrix, peepholes = rng.normal(0, 0.02, (n_units, 4 * n_units)), np.zeros((3, n_units))
    bias = np.zeros(4 * n_units)
    bias[n_units : 2 * n_units] = np.log(forget / (1 - forget))
    h = c = number(np.zeros((1, n_units)))
    kept = []
    for _ in range(n_steps):
        a = rng.normal(0, 0.1, bias.shape) + bias + h @ matrix
        a = Gates(*(number(part) for part in np.split(a, 4, axis=1)))
        c_previous = c
        h, c, gates = lstm_step(a, c, *peepholes)
        kept.append((c_previous, c, gates))
    d_h, d_c = np.zeros((1, n_units)), np.ones((1, n_units))
    sizes = [np.linalg.norm(d_c)]
    for c_previous, c, gates in reversed(kept):
        d_a, d_c = lstm_step_backward(d_h, d_c, gates, c, c_previous, *peepholes)
        d_h = np.concatenate(d_a, axis=1) @ matrix.T
        sizes.append(np.linalg.norm(d_c))
    return np.array(sizes[::-1]) / sizes[0]


def draw_through_time():
    """Draw the size of the gradient after 0 to 100 steps back."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    colours = {0.5: GREEN, 0.9: BLUE, 0.99: BACK, 0.999: BLACK}
    for forget, colour in colours.items():
        sizes = gradients_through_time(forget)
        steps_back = np.arange(len(sizes))[::-1]
        axes.semilogy(steps_back, forget**steps_back, color=colour, linestyle=":", linewidth=2)
        axes.semilogy(steps_back, sizes, color=colour, linewidth=1.1)
        end = 26 if forget == 0.5 else 100
        axes.text(
            end + 2,
            sizes[-1 - end] * (1.4 if forget == 0.999 else 1),
            f"f ≈ {forget}",
            color=colour,
            va="center",
        )
    axes.plot([], [], ":", color=GREY, linewidth=2, label="$f^{T-t}$")
    axes.plot([], [], "-", color=GREY, linewidth=1.1, label="lstm_step_backward, step by step")
    axes.legend(loc="lower right")
    axes.set(xlim=(0, 100), ylim=(1e-8, 10), xlabel="steps back, $T-t$")
    axes.set_ylabel("size of $d_c$ at $t$, relative to that at $T$")
    return figure


# ---- the masks of the chord output


def weights_used(apply_mask, shape):
    """Return the array of ones to which the package has applied a mask."""
    ones = backend.tensor("ones", "float64", shape)
    return np.asarray(backend.function([ones], [apply_mask(ones)])(np.ones(shape))[0])


def draw_masks(P=4, K=5):
    """Draw the masks of P pitches and K chord units, with the degree of each unit."""
    pitches, units = [f"\n{k}" for k in range(P)], [f"{u}\n({u % (P - 1)})" for u in range(K)]
    panels = (  # title, rows, columns, mask, columns' names
        ("$M_{in}$", "key j", "unit u (degree)", weights_used(chords.read_pitches, (P, K)), units),
        ("$M_{out}$", "unit u", "key k", weights_used(chords.higher_pitches, (K, P)), pitches),
        ("$M_L$", "key j", "key k", weights_used(chords.lower_pitches, (P, P)), pitches),
    )
    figure, all_axes = plt.subplots(
        1, 3, figsize=(6.4, 2.6), layout="constrained", width_ratios=(K, P, P)
    )
    for axes, (title, rows, columns, mask, names) in zip(all_axes, panels):
        axes.pcolormesh(mask, cmap=ListedColormap(["0.93", BLUE]), edgecolors="white", linewidth=2)
        axes.set(title=title, ylabel=rows, xlabel=columns, aspect="equal", ylim=(K, 0))
        axes.set_yticks(np.arange(len(mask)) + 0.5, range(len(mask)))
        axes.set_xticks(np.arange(mask.shape[1]) + 0.5, names)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
    return figure


# ---- what the mistakes do to learning

THEME, PAUSE, KEYS = 3, 3, 5
LEARN = f"""
import json
import numpy as np
from rnn4music import RNN4Music
rng = np.random.default_rng(5)
tunes = []
for _ in range(320):  # a theme, a pause, the theme again
    theme = rng.integers(0, {KEYS}, {THEME})
    roll = np.zeros(({2 * THEME + PAUSE}, {KEYS}))
    roll[np.arange({THEME}), theme] = roll[np.arange({THEME + PAUSE}, len(roll)), theme] = 1
    tunes.append(roll)
model = RNN4Music(20, 20, 20, {KEYS}, *[0.004] * 4, seed=2)
history = model.train(tunes[:256], 1, 120, 16, len(roll), validation=tunes[256:], progress=False)
print(json.dumps(history.validation))
"""
LABELS = {
    None: ("as it should be", BLACK, "-"),
    "1": ("mistake 1", BACK, "-"),
    "2": ("mistake 2", BLUE, "-"),
    "4": ("mistake 4", GREEN, "-"),
    "7 c": ("mistake 7 c", GREY, "--"),
}


def learning_curve(exercise):
    """Return the validation after each epoch of training with a mistake, or None for none."""
    with tempfile.TemporaryDirectory() as folder:
        exercises.copy_package(Path(folder))
        if exercise is not None:
            exercises.apply(exercise, Path(folder))
        environment = {**os.environ, "PYTHONPATH": folder, "RNN4MUSIC_KERNELS": "0"}
        command = [sys.executable, "-c", LEARN]
        result = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
    return json.loads(result.stdout)


def draw_mistakes():
    """Draw the learning of a theme and its repetition, with and without mistakes."""
    by_number = {exercise.number: exercise for exercise in exercises.read()}
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for number_, (words, colour, style) in LABELS.items():
        nats = learning_curve(by_number.get(number_))
        print(f"{words}: {nats[-1]:.2f} nats per step", flush=True)
        axes.plot(
            np.arange(1, len(nats) + 1), nats, style, color=colour, linewidth=1.2, label=words
        )
    # An unknown note is one of KEYS equally likely pitches, each with its own binary output.
    unknown = -np.log(1 / KEYS) - (KEYS - 1) * np.log(1 - 1 / KEYS)
    n_scored = 2 * THEME + PAUSE - 1
    for n_unknown, words in ((THEME - 1, "the theme remembered"), (2 * THEME - 1, "forgotten")):
        level = n_unknown * unknown / n_scored
        axes.axhline(level, color=GREY, linewidth=0.8, linestyle=":")
        axes.text(len(nats), level - 0.02, words, color=GREY, fontsize=8, ha="right", va="top")
    axes.set(xlabel="epoch", ylabel="nats per step, on tunes held out", xlim=(0, len(nats)))
    axes.set_ylim(bottom=0.4)
    axes.legend()
    return figure


FIGURES = {
    "step": draw_step,
    "unrolled": draw_unrolled,
    "judges": draw_judges,
    "through_time": draw_through_time,
    "masks": draw_masks,
    "mistakes": draw_mistakes,
}
"""Functions by file name; the last trains five networks."""


def main():
    """Draw the figures named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument(
        "--output", type=Path, default=FOLDER, help="folder (default: docs/figures)"
    )
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in FIGURES]
    if unknown:
        parser.error(f"unknown figure {unknown[0]}; choose from {', '.join(FIGURES)}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or FIGURES:
        with plt.rc_context(STYLE):
            figure = FIGURES[name]()
            path = arguments.output / f"{name}.{arguments.format}"
            metadata = {"Date": None} if arguments.format == "svg" else None
            figure.savefig(path, dpi=150, metadata=metadata, facecolor="white")
            plt.close(figure)
        print(path)


if __name__ == "__main__":
    main()
