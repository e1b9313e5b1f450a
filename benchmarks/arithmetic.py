"""The arithmetic of an update, and the rate at which this machine multiplies matrices."""

import numpy as np

from benchmarks import machine
from benchmarks.figures import timed

REPETITIONS = 5


def update_operations(size, n_pitches):
    """Count the additions and multiplications in the matrix products of an update.

    A product of an (M, K) by a (K, N) matrix counts 2 M N K. With M = T B, P pitches and H
    units in each layer, forward and for the gradients of the weights an update multiplies

    - the input, the layer below (in two of three layers) and the hidden states of the step
      before with the gates' matrices: K of P, H and H, N of 4H;
    - the hidden states of each layer with the output's matrices: K of H, N of P.

    Backward it carries the derivatives through the same products but the input's. What is
    done element by element counts nothing. The products with the input count in full, though
    a program may spare those with the zeros of a piano roll, as ours does; `roll_share` tells
    how much that can be.

    Parameters
    ----------
    size : Size
    n_pitches : int

    Returns
    -------
    int
    """
    with_roll, others = _numbers_of_weights(size.hidden, n_pitches)
    return 2 * size.steps * size.batch * (2 * with_roll + 3 * others)


def roll_share(size, n_pitches):
    """Return the share of `update_operations` that is products with the piano roll."""
    with_roll, others = _numbers_of_weights(size.hidden, n_pitches)
    return 2 * with_roll / (2 * with_roll + 3 * others)


def _numbers_of_weights(hidden, n_pitches):
    """Return how many weights the matrices of the input have, and all others."""
    H, P, n_layers = hidden, n_pitches, 3
    from_hidden = (2 * n_layers - 1) * H * 4 * H
    to_output = n_layers * H * P
    return n_layers * P * 4 * H, from_hidden + to_output


def product_rates(n):
    """Return the float32 rate in GFlop/s of products of (n, n) matrices, for each program.

    The programs are NumPy and, where it is installed, PyTorch; the fastest of `REPETITIONS`
    counts, since this is to be a limit.
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
