"""The exact gradient of a long window, piece by piece, in the memory of one piece.

What the backward pass needs of every step, `lstm.Activity`, takes six numbers a unit. For
windows of many thousand steps only the states between pieces are kept: the network runs
forward once to find them, and then, from the last piece to the first, runs each piece again
and goes back through it, handing the derivatives at its first states to the piece before
(checkpointing; Chen, Xu, Zhang and Guestrin 2016, arXiv 1604.06174).

Conventions
-----------
A piece has `length` steps; the last one is filled up with steps of weight 0, which add nothing
to cost or gradient. States are flat lists of (B, H) arrays, as in `functions`.
"""

import numpy as np


def cost_and_gradients(
    network, states, windows, weights, length, regularised, disturbances, carry=False
):
    """Return the cost of a minibatch, its gradients, and the states after it.

    Parameters
    ----------
    network : functions.CompiledNetwork
    states : list of (B, H)
        The states before the windows.
    windows : (T + 1, B, P)
    weights : (T, B)
        What each prediction counts.
    length : int
        Steps of a piece.
    regularised : functions.Regularised
    disturbances : list of arrays
        What it asks for.
    carry : bool
        Whether the states after the windows are asked for; then pieces must fill them.

    Returns
    -------
    cost : float
    gradients : list of arrays
        In the order of the store's weights.
    after : list of (B, H)
        The states after the windows; without `carry` those before the last piece.
    """
    n_steps, B = weights.shape
    P = windows.shape[2]
    shape = (length, B, P)
    forward = network.regularised_forward(shape, regularised)
    piece = network.piece(shape, regularised)

    def cut(start):
        """Return a piece's windows and weights, filled up."""
        rows, row_weights = windows[start : start + length + 1], weights[start : start + length]
        missing = length - len(row_weights)
        if missing == 0:
            return rows, row_weights
        rows = np.concatenate([rows, np.zeros((missing, B, P), windows.dtype)])
        return rows, np.concatenate([row_weights, np.zeros((missing, B), weights.dtype)])

    starts = range(0, n_steps, length)
    between = [states]
    for start in starts if carry else starts[:-1]:
        _, *states = forward(windows[start : start + length], *between[-1], *disturbances)
        between.append(states)
    after = between.pop() if carry else between[-1]

    cost = 0.0
    d_states = [np.zeros_like(state) for state in between[0]]
    gradients = [np.zeros(shape, weights.dtype) for shape in network.store.shapes.values()]
    for start, states in zip(reversed(starts), reversed(between)):
        cost_here, *results = piece(*cut(start), *gradients, *states, *d_states, *disturbances)
        cost += float(cost_here)
        gradients, d_states = results[: len(gradients)], results[len(gradients) :]
    return cost, gradients, after
