"""Choice of the engine, and compilation with it."""

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import warnings
from typing import Any

ENGINES = {
    "jax": ("pytensor", "jax"),
    "numba": ("pytensor", "numba"),
    "theano": ("theano",),
}
"""The modules that each engine needs."""


def _missing(engine):
    """Return the modules that `engine` needs and that are missing."""
    return [name for name in ENGINES[engine] if importlib.util.find_spec(name) is None]


def choose_engine():
    """Return the name of the engine that is requested, or else of the best one installed."""
    requested = os.environ.get("RNN4MUSIC_BACKEND", "").strip().lower()
    if requested and requested not in ENGINES:
        raise ValueError(
            f"RNN4MUSIC_BACKEND={requested!r} is not an engine; use one of {', '.join(ENGINES)}, "
            "or unset it for the default"
        )
    preferred = ("jax", "numba") if sys.version_info >= (3, 11) else ("theano",)
    preferred = (requested,) if requested else preferred
    for engine in preferred:
        if not _missing(engine):
            return engine
    engine = preferred[0]
    packages = " ".join(_missing(engine)).replace("theano", "'Theano==1.0.5' 'numpy<1.22'")
    advice = f"run: python -m pip install {packages}"
    if engine == "theano" and sys.version_info >= (3, 11):
        advice = "classic Theano needs Python 3.10; unset RNN4MUSIC_BACKEND for PyTensor"
    raise ImportError(f"the engine {engine!r} is not installed; {advice}")


ENGINE = choose_engine()

if ENGINE == "theano":
    with warnings.catch_warnings():  # Theano 1.0.5 uses distutils and old NumPy names
        warnings.simplefilter("ignore")
        library: Any = importlib.import_module("theano")
        importlib.import_module("theano.gpuarray")  # which scan would import later, and loudly
else:
    library = importlib.import_module("pytensor")
symbolic: Any = importlib.import_module(f"{library.__name__}.tensor")


def compiled_shape(shape):
    """Return the part of `shape` that a compiled function depends on: all of it, or its rank."""
    return tuple(shape) if ENGINE == "jax" else len(shape)


def snapshot(variable):
    """Return a shared variable's value, safe from later updates.

    JAX's arrays never change, so a reference is enough; those of other engines are copied.
    """
    return variable.get_value(borrow=ENGINE == "jax")


def function(inputs, outputs, updates=()):
    """Compile a graph to a function of arrays, which must have the inputs' dtypes.

    The function returns a list of arrays and applies `updates`.
    """
    updates, full_precision = list(updates), contextlib.nullcontext
    if ENGINE == "jax":
        from rnn4music.backend import xla

        full_precision = xla.full_precision
        mode = xla.mode(inputs, [*outputs, *(new for _, new in updates)])
    else:
        mode = "NUMBA" if ENGINE == "numba" else "FAST_RUN"
    with full_precision():
        # not every optimiser reads every setting
        compiled = library.function(
            inputs, outputs, updates=updates, mode=mode, on_unused_input="ignore"
        )

    @functools.wraps(compiled)
    def call(*arrays):
        with full_precision():
            return compiled(*arrays)

    return call
