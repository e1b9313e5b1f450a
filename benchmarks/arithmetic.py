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
    done element by element counts nothing. All products count in full, though a program may
    spare those with the zeros of a piano roll.

    Parameters
    ----------
    size : Size
    n_pitches : int

    Returns
    -------
    int
    """
    M, H, P = size.steps * size.batch, size.hidden, n_pitches
    n_layers = 3
    from_input = n_layers * P * 4 * H
    from_hidden = (n_layers + n_layers - 1) * H * 4 * H
    to_output = n_layers * H * P
    forward = from_input + from_hidden + to_output
    backward = from_hidden + to_output
    return 2 * M * (forward + backward + forward)


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
