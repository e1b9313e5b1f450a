"""The functions that build graphs, the same on every engine."""

import functools
import importlib
import itertools
import math
from typing import Any

import numpy as np

from rnn4music.backend.engine import ENGINE, library, symbolic

arange = symbolic.arange
cast = symbolic.cast
concatenate = symbolic.concatenate
dot = symbolic.dot
switch = symbolic.switch
zeros = symbolic.zeros
zeros_like = symbolic.zeros_like


def _generic(name, of_expressions):
    """Return a function of expressions, or of any object with a method of this name."""

    def function(x, *others):
        own = getattr(x, name, None)
        return own(*others) if own else of_expressions(x, *others)

    return function


abs_ = _generic("abs_", symbolic.abs_ if ENGINE == "theano" else symbolic.abs)
clip = _generic("clip", symbolic.clip)
exp = _generic("exp", symbolic.exp)
expm1 = _generic("expm1", symbolic.expm1)
log1p = _generic("log1p", symbolic.log1p)
maximum = _generic("maximum", symbolic.maximum)
sigmoid = _generic("sigmoid", (symbolic.nnet if ENGINE == "theano" else symbolic).sigmoid)
sign = _generic("sign", symbolic.sgn if ENGINE == "theano" else symbolic.sign)
sqrt = _generic("sqrt", symbolic.sqrt)
tanh = _generic("tanh", symbolic.tanh)


def accelerated(by):
    """Replace a function by its namesake in another module while that module is `in_use()`.

    Parameters
    ----------
    by : str
        The module. Its function takes the same arguments and builds a faster, equivalent graph.
    """

    def decorate(plain):
        @functools.wraps(plain)
        def chosen(*arguments):
            module = importlib.import_module(by)
            function = getattr(module, plain.__name__) if module.in_use() else plain
            return function(*arguments)

        return chosen

    return decorate


def tensor(name, dtype, shape):
    """Return a symbolic input; JAX compiles for this `shape`, other engines for its rank."""
    if ENGINE == "theano":
        return symbolic.TensorType(dtype, (False,) * len(shape))(name)
    fixed = shape if ENGINE == "jax" else (None,) * len(shape)
    return symbolic.tensor(name, dtype=dtype, shape=fixed)


def over_tunes(variable, axis):
    """Mark an input or result of which each device of a mesh has some tunes, along `axis`."""
    variable.tag.tunes = axis
    return variable


def sum_over_replicas(arrays):
    """Return the sums of expressions over the devices of a mesh, made in a single step."""
    from rnn4music.backend import xla

    flat: Any = xla.SumOverReplicas()(concatenate([array.flatten() for array in arrays], axis=0))
    return cut(flat, [shape_of(array) for array in arrays])


def cut(flat, shapes):
    """Return arrays of these shapes that follow each other in a vector."""
    ends = list(itertools.accumulate(map(math.prod, shapes), initial=0))
    parts = (flat[start:end] for start, end in itertools.pairwise(ends))
    return [part.reshape(shape) for part, shape in zip(parts, shapes)]


def shape_of(expression):
    """Return an expression's dimensions: ints where known, which keeps graphs small."""
    known = (None,) * expression.ndim if ENGINE == "theano" else expression.type.shape
    return tuple(expression.shape[k] if n is None else n for k, n in enumerate(known))


def constant(value, dtype):
    """Return the number `value` in this dtype (a bare 0.9 would follow floatX)."""
    return symbolic.constant(np.asarray(value, dtype=dtype))


def shared(value, name):
    """Return a shared variable, which compiled functions read and update in place."""
    fixed = {} if ENGINE == "theano" else {"shape": value.shape}
    return library.shared(value, name=name, **fixed)


def column_sums(matrix):
    """Sum the rows of an (N, M) matrix: (M,), in its own dtype.

    Engines add up in float64 unless a dtype is given. PyTensor loses that dtype when it drops
    one of several axes because its length is 1, so this sums over one axis only.
    """
    return matrix.sum(axis=0, dtype=matrix.dtype, acc_dtype=matrix.dtype)


def scan(step, sequences, states, constants, n_steps):
    """Run `step(*sequence_rows, *states, *constants)` for each row of the sequences.

    Parameters
    ----------
    step : callable
        Returns the new states, then the other outputs to keep.
    sequences : list of (T, …)
    states : list of expression or None
        The states before the first step; None for each further output of `step`.
    constants : list of expressions
        Everything else that `step` uses; it may capture nothing from outside.
    n_steps : expression or int
        T.

    Returns
    -------
    list of (T, …)
        Everything that `step` returned, stacked over the steps.
    """
    options = {} if ENGINE == "theano" else {"return_updates": False}
    stacked = library.scan(
        step,
        sequences=sequences,
        outputs_info=states,
        non_sequences=constants,
        n_steps=n_steps,
        strict=True,
        **options,
    )
    return stacked[0] if ENGINE == "theano" else stacked
