"""Noise on updates, which regularises the network.

Dropout (Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014): each layer's hidden
state passes through a mask on its way to the layer above and to the output, one mask for each
tune of a minibatch, the same at all steps. Recurrent connections see the whole state (Zaremba,
Sutskever and Vinyals 2014, arXiv 1409.2329). Kept units are scaled up, so that the network is used
without any change.

Weight noise (Graves 2013, arXiv 1308.0850, section 4.1): Gaussian noise on the weight matrices,
drawn anew for each update. The gradient is taken at the noisy weights and changes the clean ones.
The matrices of the output layer may have a deviation of their own. All layers and chord units add
up in every pitch, so that noise that suits the other matrices hides much of what they say. Each
element is one of 65,536 equally likely quantiles of the Gaussian. They are drawn several times as
fast as NumPy draws Gaussian numbers, which took a quarter of an update.
"""

import functools
from statistics import NormalDist

import numpy as np

from rnn4music.graphs.compiled import NoiseKind


@functools.cache
def quantiles(dtype):
    """Return the 65,536 quantiles of the standard Gaussian at (k + ½) / 65,536, rising."""
    below = [NormalDist().inv_cdf((k + 0.5) / 2**16) for k in range(2**15)]
    return np.concatenate([below, np.negative(below[::-1])]).astype(dtype)


class Noise:
    """Draws the noise of each update.

    Parameters
    ----------
    dropout : float
        Probability that a unit is masked, in [0, 1).
    weight_noise : float or (N,)
        Standard deviation, of all elements of the weight matrices or of each.
    layer_sizes : list of int
    n_in_matrices : int
        N, the elements of all weight matrices.
    n_tunes : int
        Columns of a minibatch.
    dtype : str
    """

    def __init__(self, dropout, weight_noise, layer_sizes, n_in_matrices, n_tunes, dtype):
        self.dropout, self.weight_noise = dropout, np.asarray(weight_noise, dtype)
        self.layer_sizes, self.n_in_matrices = layer_sizes, n_in_matrices
        self.n_tunes, self.dtype = n_tunes, np.dtype(dtype)
        self.kind = NoiseKind(dropout=dropout > 0, weight_noise=bool(np.any(weight_noise)))

    @classmethod
    def of(cls, config, store):
        """Return the noise on whole minibatches that a `TrainConfig` specifies."""
        layer_sizes = list(store.state_sizes.values())[::2]
        n_in_matrices, weight_noise = store.n_in_matrices(), config.weight_noise
        if config.output_noise is not None:
            n_in_layers = store.n_in_matrices("layer")  # the first of the matrices
            deviations = weight_noise, config.output_noise
            weight_noise = np.repeat(deviations, (n_in_layers, n_in_matrices - n_in_layers))
        noise = config.dropout, weight_noise
        return cls(*noise, layer_sizes, n_in_matrices, config.batch_size, store.dtype)

    def draw(self, *key):
        """Return the arrays that `kind` requires; the same key gives the same arrays.

        Parameters
        ----------
        *key : int
            Numbers that identify the update, such as the epoch's seed and the update in it.
        """
        if not any(self.kind):
            return []
        # one generator for each update, so that a resumed training draws the same noise
        rng = np.random.Generator(np.random.SFC64(key))
        arrays = []
        if self.kind.dropout:
            for H in self.layer_sizes:
                kept = rng.random((self.n_tunes, H), self.dtype) >= self.dropout
                arrays.append(kept.astype(self.dtype) / self.dtype.type(1 - self.dropout))
        if self.kind.weight_noise:
            words = rng.bit_generator.random_raw(-(-self.n_in_matrices // 4))  # of 64 bits
            chosen = words.view(np.uint16)[: self.n_in_matrices]
            arrays.append(quantiles(self.dtype).take(chosen, mode="clip") * self.weight_noise)
        return arrays
