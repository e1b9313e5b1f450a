"""Choice of the engine, and compilation with it."""

import atexit
import contextlib
import functools
import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
import warnings
from typing import Any

from rnn4music._utils.lazy import paused_collector

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


def _home_variables(name):
    """Return environment variables for the import of `name` where no home folder can be used.

    Both libraries fail without a home folder to keep compiled code in. JAX keeps nothing there, so
    any folder will do; the other engines get a temporary one.
    """
    home = os.path.expanduser("~")  # stays "~" where no home folder is known
    cache = os.path.join(home, f".{name}")
    cache = cache if os.path.isdir(cache) else home
    is_writable = os.path.isdir(cache) and os.access(cache, os.W_OK | os.X_OK)
    if os.name == "nt" or (os.path.isabs(home) and (is_writable or ENGINE == "jax")):
        return {}
    folder = os.sep
    if ENGINE != "jax":
        try:
            folder = tempfile.mkdtemp(prefix="rnn4music_")
        except OSError as error:
            raise ImportError(
                f"the engine {ENGINE!r} needs a folder for compiled code, but neither the home "
                f"folder ({home}) nor a temporary folder is writable; set HOME to one that is"
            ) from error
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        warnings.warn(
            f"there is no writable home folder ({home}): {name}'s compiled code is kept in "
            f"{folder} and deleted at exit; set HOME to a writable folder to keep it",
            RuntimeWarning,
            stacklevel=2,
        )
    settings = f"{name.upper()}RC"
    return {"HOME": folder, settings: os.environ.get(settings, os.path.join(home, f".{name}rc"))}


def _imported(name):
    """Import PyTensor or Theano, and return it."""
    variables = _home_variables(name)
    before = {key: os.environ.get(key) for key in variables}
    os.environ.update(variables)
    try:
        with warnings.catch_warnings():
            if name == "theano":  # Theano 1.0.5 uses distutils and old NumPy names
                warnings.simplefilter("ignore")
                importlib.import_module("theano.gpuarray")  # scan would import it later, loudly
            return importlib.import_module(name)
    finally:
        for key, value in before.items():
            del os.environ[key]
            if value is not None:
                os.environ[key] = value


ENGINE = choose_engine()
library: Any = _imported(ENGINES[ENGINE][0])
symbolic: Any = importlib.import_module(f"{library.__name__}.tensor")


fork = {"is_broken": False}
"""Whether this process was forked after JAX had run: JAX's threads do not survive a fork."""


def _after_fork():
    # backends_are_initialized() takes a lock that another thread may have held during the fork
    bridge = sys.modules.get("jax._src.xla_bridge")
    fork["is_broken"] = bool(getattr(bridge, "_backends", bridge))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def compiled_shape(shape):
    """Return the part of `shape` that a compiled function depends on: all of it, or its rank."""
    return tuple(shape) if ENGINE == "jax" else len(shape)


def snapshot(variable):
    """Return a shared variable's value, safe from later updates.

    JAX's arrays never change, so a reference is enough; those of other engines are copied.
    """
    return variable.get_value(borrow=ENGINE == "jax")


def function(inputs, outputs, updates=(), mesh=None):
    """Compile a graph to a function of arrays, which must have the inputs' dtypes.

    The function returns a list of arrays and applies `updates`. With a `mesh` (see `xla`) all its
    devices run it, each on its share of the arrays that are `over_tunes`.
    """
    updates = list(updates)
    full_precision, compiling = contextlib.nullcontext, paused_collector
    if ENGINE == "jax":
        from rnn4music.backend import xla

        full_precision, compiling = xla.full_precision, xla.compiling
        mode = xla.mode(inputs, outputs, [new for _, new in updates], mesh)
    else:
        mode = "NUMBA" if ENGINE == "numba" else "FAST_RUN"
    with full_precision(), compiling():
        # not every optimiser reads every setting
        compiled = library.function(
            inputs, outputs, updates=updates, mode=mode, on_unused_input="ignore"
        )
    if mesh is not None:  # PyTensor's shapes are those of a share
        compiled.trust_input = True

    @functools.wraps(compiled)
    def call(*arrays):
        nonlocal compiling  # in the first call only
        with full_precision(), compiling():
            results = compiled(*arrays)
        compiling = contextlib.nullcontext
        return results

    return call
