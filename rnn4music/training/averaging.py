"""The running mean of the weights, which is scored and kept instead of the weights themselves.

Averaging (Polyak and Juditsky 1992): the exponential mean over the updates is less noisy than
the weights after any one of them.
"""

import numpy as np


class AveragedWeights:
    """The exponential mean of the weights over the updates.

    After n updates the mean keeps at most the share (1 + n) / (10 + n) of its value, so that the
    initial weights are soon forgotten.

    Parameters
    ----------
    kept : float
        Share of the mean that an update keeps, in (0, 1).
    weights : dict of name to array
        Initial value of the mean.
    """

    def __init__(self, kept, weights):
        self.kept = kept
        self.weights = {name: np.array(array) for name, array in weights.items()}
        self.n_updates = 0

    def add(self, weights):
        """Include the weights after an update in the mean."""
        self.n_updates += 1
        kept = min(self.kept, (1 + self.n_updates) / (10 + self.n_updates))
        for name, array in weights.items():
            mean = self.weights[name]
            mean += mean.dtype.type(1 - kept) * (array - mean)
