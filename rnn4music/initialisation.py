"""What the weights are before training, by the name that `RNN4Music(initialisation=…)` takes.

``gaussian``, the rule of 2015: all weights and biases from a Gaussian of one deviation,
`sigRand`.

``scaled``: each matrix from a Gaussian of deviation 1 / √(its number of inputs), so that
pre-activations are of order 1 whatever the layer's size (LeCun, Bottou, Orr and Müller 1998,
"Efficient BackProp", section 4.6); biases and peepholes 0.

``orthogonal``: as ``scaled``, but each gate's recurrent matrix orthogonal, which keeps the
length of what it carries from step to step (Saxe, McClelland and Ganguli 2014,
arXiv 1312.6120).

To the forget gates' biases `forget_bias` is added: with 1 or more a new network remembers
(Gers, Schmidhuber and Cummins 2000; Jozefowicz, Zaremba and Sutskever 2015).
"""

import numpy as np

from rnn4music.gates import Gates

INITIALISATIONS = ("gaussian", "scaled", "orthogonal")


def draw_weights(rng, shapes, initialisation, deviation, forget_bias):
    """Draw all weights.

    Parameters
    ----------
    rng : numpy.random.Generator
    shapes : dict of name to shape
        Under the names of `parameters.named`.
    initialisation : {"gaussian", "scaled", "orthogonal"}
    deviation : float
        Standard deviation for "gaussian".
    forget_bias : float

    Returns
    -------
    dict of name to array
    """
    weights = {}
    for name, shape in shapes.items():
        if initialisation == "gaussian":
            weights[name] = rng.normal(0, deviation, shape)
        elif len(shape) == 1:
            weights[name] = np.zeros(shape)
        elif initialisation == "orthogonal" and name.endswith("/hidden_to_gates"):
            weights[name] = np.concatenate([_orthogonal(rng, shape[0]) for _ in range(4)], axis=1)
        else:
            weights[name] = rng.normal(0, shape[0] ** -0.5, shape)
        if name.endswith("/bias") and not name.startswith("output/"):
            H = shape[0] // 4
            forget = Gates._fields.index("forget")
            weights[name][forget * H : (forget + 1) * H] += forget_bias
    return weights


def _orthogonal(rng, size):
    """Draw an orthogonal matrix, all of them equally likely."""
    Q, R = np.linalg.qr(rng.normal(size=(size, size)))
    return Q * np.sign(np.diag(R))  # without the signs QR would prefer some
