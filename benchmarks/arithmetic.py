"""Number of operations of an update, and the rate at which this machine multiplies matrices."""

import numpy as np

from benchmarks import machine
from benchmarks.figures import timed

REPETITIONS = 5


def update_operations(size, n_pitches, chord_units=None):
    """Count the additions and multiplications in the matrix products of an update.

    The product of an (M, K) and a (K, N) matrix counts as 2 M N K. With M = T B, P pitches and H
    units in each layer, the forward pass and the gradients of the weights each multiply

    - the input, the layer below (in two of three layers) and the hidden states of the previous
      step by the matrices to the gates: K is P, H and H, N is 4H;
    - the hidden states of each layer by the matrices to the output: K is H, N is P;
    - with chords, the row that is predicted by V and L, the hidden states of each layer by C, and
      the chord units by U, although half of V, L and U is 0.

    The backward pass carries the derivatives through the same products except those with the
    input. Elementwise operations are not counted. The products with the input count in full,
    although a program can skip the zeros of a piano roll, as rnn4music does; `roll_share` is the
    share that this concerns.

    Parameters
    ----------
    size : Size
    n_pitches : int
    chord_units : int, optional

    Returns
    -------
    int
    """
    with_roll, others = _numbers_of_weights(size.hidden, n_pitches, chord_units)
    return 2 * size.steps * size.batch * (2 * with_roll + 3 * others)


def roll_share(size, n_pitches, chord_units=None):
    """Return the share of products with the piano roll in `update_operations`."""
    with_roll, others = _numbers_of_weights(size.hidden, n_pitches, chord_units)
    return 2 * with_roll / (2 * with_roll + 3 * others)


def _numbers_of_weights(hidden, n_pitches, chord_units):
    """Return the number of weights in the matrices from the input, and in all others."""
    H, P, n_layers = hidden, n_pitches, 3
    from_hidden = (2 * n_layers - 1) * H * 4 * H
    to_output = n_layers * H * P
    with_roll, others = n_layers * P * 4 * H, from_hidden + to_output
    if chord_units is not None:
        K = chord_units
        with_roll, others = with_roll + P * K + P * P, others + n_layers * H * K + K * P
    return with_roll, others


def product_rates(n):
    """Return the rate in GFlop/s of products of (n, n) float32 matrices, by program.

    The programs are NumPy and, if installed, PyTorch. The rate is that of the fastest of
    `REPETITIONS` products, because others are compared with it.
    """
    a, b = np.random.default_rng(1).random((2, n, n), "float32")
    products = {"numpy": lambda: a @ b}
    if machine.installed("torch"):
        import torch  # pyright: ignore[reportMissingImports]

        torch.set_num_threads(machine.available_cores())
        a_torch, b_torch = torch.from_numpy(a), torch.from_numpy(b)
        products["torch"] = lambda: a_torch @ b_torch
    rates = {}
    for name, product in products.items():
        product()
        rates[name] = 2 * n**3 / min(timed(product) for _ in range(REPETITIONS)) / 1e9
    return rates
