"""Machine-code versions of the functions that take most of an update's time.

`lstm`, `linear`, `costs`, `chords`, `updates` and `generation` name this module in `@accelerated`:
a call of one of those functions is a call of its namesake here while the kernels are `in_use()`.
The namesake adds one node for a whole loop or product to the graph, and XLA calls a kernel's
machine code. This needs JAX on a CPU (on a GPU, XLA has kernels of its own) and llvmlite, which
PyTensor depends on. Elsewhere, with ``RNN4MUSIC_KERNELS=0`` and within `plain_graphs()`, the
function's own plain graph is used.
"""

import contextlib
import contextvars
import functools
import math
import os
import sys
import threading
import warnings
from typing import Any

import numpy as np

from rnn4music._utils import processes
from rnn4music.backend import ENGINE, constant, dot, shape_of, zeros
from rnn4music.lstm import Activations, State, peepholes

_plain = contextvars.ContextVar("plain", default=False)
_COMPILING = threading.Lock()  # so that no two threads compile the same kernel


def in_use():
    """Return whether graphs are built with the kernels."""
    return not _plain.get() and is_available()


@contextlib.contextmanager
def plain_graphs():
    """Build graphs without the kernels, so that they can be differentiated automatically."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


@functools.cache
def is_available():
    """Return whether this machine can use the kernels; warn if it should but cannot."""
    is_forbidden = os.environ.get("RNN4MUSIC_KERNELS", "").strip() == "0"
    if ENGINE != "jax" or is_forbidden or sys.platform not in ("linux", "darwin"):
        return False
    from rnn4music.backend.machine_code import runs_on_processor

    if not runs_on_processor():
        return False
    try:
        _try_out()
    except Exception as error:
        warnings.warn(
            f"the fast kernels do not work on this machine ({error}); training continues without "
            "them, about 1.5 times slower. Set RNN4MUSIC_KERNELS=0 to silence this warning",
            RuntimeWarning,
            stacklevel=4,
        )
        return False
    return True


def _try_out():
    """Compile the smallest kernel and check its result, or raise."""
    from rnn4music.kernels import jit, matmul, simd

    if not simd.HAS_FMA:
        raise NotImplementedError("the processor has no fused multiply-add")
    roll = np.array([[1, 0, 1], [0, 1, 0]], "float32")
    matrix, row = np.arange(6, dtype="float32").reshape(3, 2), np.ones(2, "float32")
    result, scratch = np.zeros((2, 2), "float32"), np.zeros(1, "float32")
    sizes = 2, 3, 2, "row", "float32", 1
    _, code, _ = jit.compiled(f"test {sizes}", lambda: matmul.roll_product(*sizes))
    code.result().run(roll, matrix, row, result, scratch)
    if not np.array_equal(result, roll @ matrix + row):
        raise ArithmeticError("a test product is wrong")


@functools.cache
def _compiled(name, *sizes):
    """Return a kernel's description, its `jit.Code`, and its name.

    The kernel itself, megabytes of LLVM's instructions as Python objects, is not kept.
    """
    from rnn4music.kernels import jit

    module = next(each for each in jit.MODULES if name in vars(each))
    sizes = *sizes, processes.n_cores()
    label = "_".join(map(str, ("rnn4music", name, *sizes)))
    return jit.compiled(label, lambda: getattr(module, name)(*sizes))


def _call(name, sizes, inputs, shapes=None):
    """Return the expressions of a kernel's results, without the scratch memory."""
    from rnn4music.backend.machine_code import MachineCode

    dtype = inputs[0].dtype
    with _COMPILING:
        kernel, code, label = _compiled(name, *sizes, dtype)
    shapes = tuple(map(tuple, [*(shapes or kernel.results[:-1]), kernel.results[-1]]))
    pairs = kernel.in_place.items()
    in_place = tuple((x, result) for x, result in pairs if shape_of(inputs[x]) == shapes[result])
    node: Any = MachineCode(code, label, shapes, dtype, in_place)
    return node(*inputs, return_list=True)[:-1]


def run_steps(a, initial, parameters):
    """See `lstm.run_steps`."""
    T, B, _ = shape_of(a)
    inputs = [a, parameters.hidden_to_gates, *peepholes(parameters), *initial]
    H = shape_of(parameters.hidden_to_gates)[0]
    return Activations(*_call("run_steps", (T, B, H), inputs))


def run_steps_backward(d_hidden, d_after, initial, activations, parameters):
    """See `lstm.run_steps_backward`."""
    _, cell, gates = activations
    inputs = [d_hidden, gates, cell, initial.cell, parameters.hidden_to_gates]
    inputs += [*peepholes(parameters), *d_after]
    results = _call("run_steps_backward", shape_of(d_hidden), inputs)
    d_a, d_bias, *d_peepholes, d_cell = results
    # not in machine code, which would be compiled even where this result is not used
    d_hidden = dot(d_a[0], parameters.hidden_to_gates.T)
    return d_a, d_bias, d_peepholes, State(d_hidden, d_cell)


def _product(inputs, added, sizes, shape):
    """Return a product plus a matrix, a row, or None."""
    N, dtype = shape[-1], inputs[0].dtype
    if added is None:
        added = zeros(N, dtype)
    distance = constant(N if added.ndim > 1 else 0, dtype)
    return _call("product", sizes, [*inputs, added, distance], [shape])[0]


def apply_matrix(sequence, matrix, added=None):
    """See `linear.apply_matrix`."""
    T, B, K = shape_of(sequence)
    N = shape_of(matrix)[1]
    return _product([sequence, matrix], added, (T * B, N, K, "", 0), (T, B, N))


def apply_transposed(sequence, matrix, added=None):
    """See `linear.apply_transposed`."""
    T, B, K = shape_of(sequence)
    N = shape_of(matrix)[0]
    return _product([sequence, matrix], added, (T * B, N, K, "right", 0), (T, B, N))


def matrix_gradient(sequence, d_product):
    """See `linear.matrix_gradient`."""
    T, B, M = shape_of(sequence)
    N = shape_of(d_product)[2]
    return _product([sequence, d_product], None, (M, N, T * B, "left", 0), (M, N))


def recurrent_gradient(hidden, initial, d_product):
    """See `linear.recurrent_gradient`."""
    T, B, M = shape_of(hidden)
    N = shape_of(d_product)[2]
    first, later = (M, N, B, "left", 0), (M, N, (T - 1) * B, "left", B)
    sums = None
    if T > 1:  # hidden states are multiplied by the derivatives of the next step, B rows below
        sums = _product([hidden, d_product], None, later, (M, N))
    return _product([initial[None], d_product], sums, first, (M, N))


def apply_to_roll(roll, matrix, added):
    """See `linear.apply_to_roll`; non-finite weights of silent pitches have no effect."""
    T, B, P = shape_of(roll)
    N = shape_of(matrix)[1]
    sizes = T * B, P, N, "row" if added.ndim == 1 else "matrix"
    return _call("roll_product", sizes, [roll, matrix, added], [(T, B, N)])[0]


def roll_gradient(roll, d_product):
    """See `linear.roll_gradient`."""
    T, B, P = shape_of(roll)
    N = shape_of(d_product)[2]
    return _call("roll_gradient", (T * B, P, N), [roll, d_product])[0]


def vector_gradient(d_sum):
    """See `linear.vector_gradient`."""
    T, B, N = shape_of(d_sum)
    return _call("vector_gradient", (T * B, N), [d_sum], [(N,)])[0]


def masked(sequence, mask):
    """See `linear.masked`."""
    return sequence if mask is None else _call("masked", shape_of(sequence), [sequence, mask])[0]


def noise_added(noise, matrices):
    """See `linear.noise_added`."""
    shapes = [shape_of(matrix) for matrix in matrices]
    return _call("noise_added", tuple(map(math.prod, shapes)), [noise, *matrices], shapes)


def total_and_derivative(name, Y, targets, weights):
    """See `costs.total_and_derivative`."""
    T, B, P = shape_of(Y)
    shapes = [(), (T, B, P)]
    return tuple(_call("total_and_derivative", (name, T * B, P), [Y, targets, weights], shapes))


def all_changed(optimiser, parameters, gradients, averages, rates, strengths, settings):
    """See `updates.all_changed`."""
    inputs = [*parameters, *gradients, *(each for kind in zip(*averages) for each in kind), *rates]
    zero = constant(0, inputs[0].dtype)
    inputs += [*(zero if strength is None else strength for strength in strengths), *settings]
    shapes = [shape_of(parameter) for parameter in parameters]
    sizes = optimiser, *map(math.prod, shapes)
    n = len(shapes)
    results = _call("change_parameters", sizes, inputs, shapes * (1 + len(averages[0])))
    return list(zip(results, zip(*(results[k : k + n] for k in range(n, len(results), n)))))


def draw_pitches(Y, a, uniform, parameters, sharpness, threshold):
    """See `chords.draw_pitches`."""
    inputs = [Y, uniform, sharpness, threshold, parameters.pitches_to_output]
    if a is not None:
        inputs += [a, parameters.pitches_to_chords, parameters.chords_to_output]
    K = 0 if a is None else shape_of(a)[1]
    return _call("draw_pitches", (*shape_of(Y), K), inputs)


def run_window(rows, is_given, uniform, settings, last, states, parameters, systematic):
    """See `generation.run_window`."""
    threshold, sharpness, offset = settings
    inputs = [is_given, uniform, threshold, sharpness, last]

    for state, layer in zip(states, parameters.layers):
        known = apply_to_roll(rows[:, None], layer.input_to_gates, layer.bias)
        matrices = layer.input_to_gates, layer.below_to_gates, layer.hidden_to_gates
        inputs += [*state, known, *(each for each in matrices if each is not None)]
        inputs += peepholes(layer)
    *matrices, bias = parameters.output
    inputs += [*matrices, bias + offset]
    K = None
    if parameters.chords is not None:
        *matrices, V, U, L, bias = parameters.chords
        K = 0 if bias is None else shape_of(bias)[0]
        inputs += [*matrices, bias, L, V, U] if K else [L]
    T, B, P = shape_of(uniform)
    sizes = T, B, P, K, *(shape_of(state.hidden)[1] for state in states), systematic
    sample, probabilities, *after = _call("run_window", sizes, inputs)
    return sample, probabilities, tuple(map(State, after[::2], after[1::2]))
