"""The exact gradient of a long window, segment by segment, in the memory of one segment.

The backward pass needs six numbers for every step and unit, `lstm.Activations`. For windows of
many thousand steps only the states between segments are kept. The network runs forward once to
find them. Then, from the last segment to the first, it runs each segment again and goes backward
through it, passing the derivatives at its first states to the segment before (checkpointing; Chen,
Xu, Zhang and Guestrin 2016, arXiv 1604.06174).

Conventions
-----------
A segment has `length` steps; the last one is padded with steps of weight 0, which add nothing to
cost or gradient. States are flat lists of (B, H) arrays, as in `graphs.compiled`.
"""

import numpy as np


def segment_cost_and_gradients(network, states, windows, mask, shape, kind, noise):
    """Return the cost of a minibatch, its gradients, and the states after it.

    Parameters
    ----------
    network : graphs.compiled.CompiledNetwork
    states : list of (B, H)
        The states before the windows.
    windows : (T + 1, B, P)
    mask : (T, B)
        Weight of each prediction.
    shape : tuple of int
        Steps of a segment, T or more for a window that is not divided; tunes of a device; columns
        of a row.
    kind : graphs.compiled.NoiseKind
    noise : list of arrays
        The arrays that `kind` requires.

    Returns
    -------
    cost : float
    gradients : list of arrays
        In the order of the store's weights.
    after : list of (B, H)
        The states after the last segment: those after the windows if the segments fill them.
    """
    n_steps, B = mask.shape
    length, _, n_columns = shape
    cost_and_gradients = network.cost_and_gradients(shape, kind)

    def cut(start):
        """Return a segment's inputs, targets and mask, padded."""
        rows, row_mask = windows[start : start + length + 1], mask[start : start + length]
        missing = length - len(row_mask)
        if missing:
            rows = np.concatenate([rows, np.zeros((missing, B, n_columns), windows.dtype)])
            row_mask = np.concatenate([row_mask, np.zeros((missing, B), mask.dtype)])
        return rows[:-1], rows[1:], row_mask

    starts = range(0, n_steps, length)
    between = [states]
    for start in starts[:-1]:
        rows = [windows[start : start + length]]
        if network.store.reads_following:
            rows.append(windows[start + 1 : start + length + 1])
        _, *states = network.forward(shape, kind)(*rows, *between[-1], *noise)
        between.append(states)

    n_weights, n_states = len(network.store.shapes), len(states)
    cost, after = 0.0, []
    d_states = [np.zeros(state.shape, mask.dtype) for state in states]
    gradients = [np.zeros(shape, mask.dtype) for shape in network.store.shapes.values()]
    for start, states in zip(reversed(starts), reversed(between)):
        cost_here, *results = cost_and_gradients(*cut(start), *states, *d_states, *noise)
        cost += float(cost_here)
        gradients = [
            total + np.asarray(part) for total, part in zip(gradients, results[:n_weights])
        ]
        after = after or results[n_weights : n_weights + n_states]
        d_states = results[n_weights + n_states :]
    return cost, gradients, after
