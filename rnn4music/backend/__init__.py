"""The engine, PyTensor or classic Theano: the only package that imports one.

The rest of the package writes its graphs with the functions of `ops`, compiles them with
`engine`, and never asks which engine runs them:

======== ======================================== =====================================
engine   what it is                               chosen
======== ======================================== =====================================
jax      PyTensor's graph compiled by JAX (XLA)   by default on Python 3.11 and later
numba    PyTensor's graph compiled by Numba       where JAX is missing
theano   classic Theano 1.0.5 (C code)            by default on Python 3.10
======== ======================================== =====================================

The environment variable ``RNN4MUSIC_BACKEND`` names one of them and overrides the choice.
`xla` is loaded with JAX, when the first graph is compiled.

Conventions
-----------
dtype
    Every variable and constant carries its dtype, so that the engine's global ``floatX``
    decides nothing. JAX drops to 32 bits unless its 64-bit mode is on; it is switched on
    around each call here, and its global setting stays as it was.
shapes
    JAX compiles for one shape. ``tensor`` fixes the shape it is given under JAX and
    leaves it open under the other engines; ``compiled_shape`` is the matching cache key.
"""

from rnn4music.backend.engine import *  # noqa: F403
from rnn4music.backend.ops import *  # noqa: F403
