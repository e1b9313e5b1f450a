"""The engine, PyTensor or classic Theano; no other package imports either.

The rest of rnn4music writes its graphs with the functions of `ops` and compiles them with
`engine`, whichever engine runs them:

======== ======================================== =====================================
engine   description                              chosen
======== ======================================== =====================================
jax      PyTensor's graph compiled by JAX (XLA)   by default on Python 3.11 and later
numba    PyTensor's graph compiled by Numba       where JAX is missing
theano   classic Theano 1.0.5 (C code)            by default on Python 3.10
======== ======================================== =====================================

The environment variable ``RNN4MUSIC_BACKEND`` names one of them and overrides the choice.
`xla`, which loads JAX, is imported when the first graph is compiled.

Conventions
-----------
dtype
    Every variable and constant carries its dtype, so that the engine's global ``floatX`` has no
    effect. JAX computes in 32 bits unless its 64-bit mode is on. That mode is switched on for
    each call here; JAX's global setting does not change.
shapes
    JAX compiles for one shape. Under JAX ``tensor`` fixes the shape it is given; under the other
    engines it leaves the shape open. ``compiled_shape`` is the matching cache key.
"""

from rnn4music.backend.engine import *  # noqa: F403
from rnn4music.backend.ops import *  # noqa: F403
