"""Every kernel against the plain graph or NumPy, with every division of its work."""

import inspect
import itertools
import os
import platform
import subprocess
import sys
import threading
import time
import types

import emulated_arm
import numpy as np
import pytest
from conftest import SIZES, random_roll, small_model

from rnn4music import RNN4Music, backend, chords, costs, generation, linear, lstm, updates
from rnn4music._utils import processes
from rnn4music.graphs import compiled
from rnn4music.kernels import dispatch

pytest.importorskip("llvmlite", reason="the kernels need llvmlite")
from llvmlite import binding  # noqa: E402

from rnn4music.kernels import (  # noqa: E402
    jit,
    matmul,
    tiling,
)

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
DTYPES = tuple(TOLERANCE)


def run(name, *sizes_and_inputs, dtype, n_threads):
    """Run a kernel chunk by chunk; all memory that it must not read holds NaN."""
    sizes, inputs = sizes_and_inputs[:-1], sizes_and_inputs[-1]
    module = next(each for each in jit.MODULES if name in vars(each))
    kernel = getattr(module, name)(*sizes, dtype, n_threads)
    results = [np.full(shape, np.nan, dtype) for shape in kernel.results]
    jit.Compiled(kernel).run(*(np.ascontiguousarray(x, dtype) for x in inputs), *results)
    return results[:-1]


def assert_equal(got, expected, dtype, scale=1):
    np.testing.assert_allclose(got, expected, rtol=0, atol=scale * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ("sigmoid", "tanh", "exp", "log1p"))
def test_elementary_functions(name, dtype):
    x = np.concatenate([np.linspace(-100, 100, 4001), np.geomspace(1e-30, 1, 61), [800, -800, 0]])
    x = np.concatenate([x, [np.inf, -np.inf, np.nan, 0, 0]]).astype(dtype)
    if name == "exp":  # neither 0 nor infinite
        x = x[~(abs(x) > 80)]
    elif name == "log1p":
        x = np.append(np.concatenate([np.linspace(0, 1, 999), np.geomspace(1e-30, 1, 61)]), np.nan)
        x = x.astype(dtype)
    x = np.resize(x, -(-len(x) // 16) * 16)
    kernel = tiling.Kernel("function", dtype, results=[x.shape])
    code = kernel.phase("function", 1)
    numbers, results = code.arrays([(1,), (1,)])
    with code.loop(0, len(x) // code.n_lanes) as vector:
        values = getattr(numbers[vector * code.n_lanes].load(), name)()
        results[vector * code.n_lanes].store(values)
    code.end()
    got = np.empty_like(x)
    jit.Compiled(kernel).run(x, got)
    exact = x.astype("longdouble")
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-exact)) if name == "sigmoid" else getattr(np, name)(exact)
    digits = np.finfo(dtype).eps
    np.testing.assert_allclose(got, expected.astype(dtype), rtol=6 * digits, atol=digits**4)


SHAPES = [(1, 1, 1), (7, 5, 3), (5, 88, 40), (26, 65, 300), (13, 600, 17)]
"""M, N, K of products: below and above a tile, a vector, a panel, and the depth."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", (1, 3))
@pytest.mark.parametrize("transposed", ("", "left", "right"))
@pytest.mark.parametrize("added", ("row", "matrix"))
def test_product(added, transposed, n_threads, dtype, rng, monkeypatch):
    monkeypatch.setattr(tiling, "OPERATIONS_PER_THREAD", 1)
    monkeypatch.setattr(matmul, "DEPTH", 128)  # 300 terms are three unequal parts
    for skipped, (M, N, K) in enumerate(SHAPES):
        left, right = rng.normal(size=(M, K)), rng.normal(size=(K + skipped, N))
        addend = rng.normal(size=(M, N) if added == "matrix" else N)
        if transposed == "right":  # nothing is skipped there
            skipped, right = 0, right[:K]
        inputs = [
            left.T if transposed == "left" else left,
            right.T if transposed == "right" else right,
            addend,
            np.asarray(N if added == "matrix" else 0),
        ]
        (got,) = run(
            "product", M, N, K, transposed, skipped, inputs, dtype=dtype, n_threads=n_threads
        )
        expected = left @ right[skipped:] + addend
        assert_equal(got, expected, dtype, scale=2 * K**0.5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", (1, 3))
def test_products_of_a_roll(n_threads, dtype, rng, monkeypatch):
    monkeypatch.setattr(tiling, "OPERATIONS_PER_THREAD", 1)
    for R, P, N in [(1, 1, 1), (5, 7, 20), (9, 88, 150), (4, 33, 64)]:
        roll = (rng.random((R, P)) < 0.2) * rng.normal(size=(R, P))
        roll[0] = 0
        roll[-1] = 1
        matrix, row, d_product = (rng.normal(size=shape) for shape in ((P, N), N, (R, N)))
        options = {"dtype": dtype, "n_threads": n_threads}
        (got,) = run("roll_product", R, P, N, "row", [roll, matrix, row], **options)
        assert_equal(got, roll @ matrix + row, dtype, scale=P**0.5)
        (got,) = run("roll_product", R, P, N, "matrix", [roll, matrix, d_product], **options)
        assert_equal(got, roll @ matrix + d_product, dtype, scale=P**0.5)
        (got,) = run("roll_gradient", R, P, N, [roll, d_product], **options)
        assert_equal(got, roll.T @ d_product, dtype, scale=P**0.5)


LAYERS = [(1, 1, 1), (3, 5, 16), (4, 13, 37), (2, 2, 130), (3, 5, 260)]
"""T, B, H of layers: below and above a vector, a tile, and the H at which units are shared."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", (1, 2, 3))
@pytest.mark.parametrize("T, B, H", LAYERS)
def test_recurrent_loops(T, B, H, n_threads, dtype, rng):
    a, d_hidden = rng.normal(size=(T, B, 4 * H)), rng.normal(size=(T, B, H))
    matrix = rng.normal(size=(H, 4 * H)) / H**0.5
    peepholes = list(rng.normal(size=(3, H)))
    before, after = list(rng.normal(size=(2, B, H))), list(rng.normal(size=(2, B, H)))
    names = "d_hidden", "a", "matrix", "p_i", "p_f", "p_o", "hidden", "cell", "d_h", "d_c"
    arrays = [d_hidden, a, matrix, *peepholes, *before, *after]
    symbols = [backend.tensor(n, "float64", x.shape) for n, x in zip(names, arrays)]
    layer = lstm.LayerParameters(None, None, symbols[2], None, *symbols[3:6])
    initial, d_after = lstm.State(*symbols[6:8]), lstm.State(*symbols[8:])
    with dispatch.plain_graphs():
        activity = lstm.run_steps(symbols[1], initial, layer)
        d_a, d_bias, d_peepholes, d_before = lstm.run_steps_backward(
            symbols[0], d_after, initial, activity, layer
        )
    plain = backend.function(symbols, [*activity, d_a, d_bias, *d_peepholes, d_before.cell])
    expected = [np.asarray(x) for x in plain(*arrays)]

    options = {"dtype": dtype, "n_threads": n_threads}
    inputs = [a, matrix, *peepholes, *before]
    got = run("run_steps", T, B, H, inputs, **options)
    hidden, cell, gates = got
    inputs = [d_hidden, gates, cell, before[1], matrix, *peepholes, *after]
    got += run("run_steps_backward", T, B, H, inputs, **options)
    assert len(got) == len(expected) == 9
    for ours, theirs in zip(got, expected):
        assert_equal(ours, theirs, dtype, scale=10 * max(1, np.abs(theirs).max()))


DRAWS = [
    (1, 1, 0), (3, 5, 0), (19, 2, 5), (5, 7, 4), (3, 40, 2), (16, 20, 19), (37, 40, 110),
    (2, 88, 264),
]  # fmt: skip
"""B, P, K of chords: below and above a vector of tunes, of pitches, and a unit of each degree."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", (1, 3))
@pytest.mark.parametrize("B, P, K", DRAWS)
def test_drawing_pitches(B, P, K, n_threads, dtype, rng, monkeypatch):
    monkeypatch.setattr(tiling, "OPERATIONS_PER_THREAD", 1)
    Y, uniform, L = rng.normal(size=(B, P)) - 1, rng.random((B, P)), rng.normal(size=(P, P))
    a, V, U = rng.normal(size=(B, K)), rng.normal(size=(P, K)), rng.normal(size=(K, P)) / 4
    names = "Y", "uniform", "sharpness", "threshold", "L", "a", "V", "U"
    arrays = [Y, uniform, np.array(1.3), np.array(0.4), L, *([a, V, U] if K else [])]
    arrays = [array.astype(dtype) for array in arrays]
    symbols = [backend.tensor(n, dtype, x.shape) for n, x in zip(names, arrays)]
    known, L, a, V, U = symbols[:4], *[*symbols[4:], *[None] * (len(names) - len(symbols))]
    parameters = chords.ChordParameters(None, None, None, V, U, L, None)
    with dispatch.plain_graphs():
        drawn = chords.draw_pitches(known[0], a, known[1], parameters, *known[2:])
    plain = backend.function(symbols, list(drawn))
    sample, probabilities = map(np.asarray, plain(*arrays))
    assert (B, P) == (1, 1) or 0 < sample.mean() < 1
    got = run("draw_pitches", B, P, K, arrays, dtype=dtype, n_threads=n_threads)
    np.testing.assert_array_equal(got[0], sample)
    assert_equal(got[1], probabilities, dtype, scale=10)


COMPOSED = [
    (1, 1, 1, 0, None, (1, 1, 1), False), (5, 1, 7, 2, None, (3, 5, 4), True),
    (4, 3, 20, 0, 0, (9, 17, 8), False), (5, 13, 9, 1, None, (33, 20, 40), False),
    (4, 26, 18, 3, 40, (16, 8, 20), False), (3, 19, 40, 0, None, (130, 20, 7), True),
    (3, 5, 9, 1, None, (97, 20, 7), False),
]  # fmt: skip
"""T, B, P, Q, K, units, systematic: below and above a vector, a tile, a panel of several sizes."""


@pytest.mark.parametrize("dtype, n_threads", [("float32", 1), ("float64", 3)])
@pytest.mark.parametrize("T, B, P, Q, K, sizes, systematic", COMPOSED)
def test_composing_loop(T, B, P, Q, K, sizes, systematic, n_threads, dtype, rng, monkeypatch):
    monkeypatch.setattr(tiling, "OPERATIONS_PER_THREAD", 1)
    is_given = np.resize([1, 0, 0, 1], T)
    rows = rng.random((T, P + Q)) * (rng.random((T, P + Q)) < 0.5)
    rows[is_given == 0, :P] = 0
    uniform = rng.random((T, B, P))
    uniform = uniform[:, :, :1] + 0 * uniform if systematic else uniform
    model = RNN4Music(*sizes, P, chord_units=K, conditions=Q, dtype=dtype)
    shapes = {name: array.shape for name, array in model.get_parameters().items()}
    model.set_parameters({n: rng.normal(size=shape) / 2 for n, shape in shapes.items()})
    network, states = model._network, rng.normal(size=(6, B, 1))
    arrays = [rows, is_given, uniform, 0.3, 1.3, -0.5, random_roll(rng, B, P)]
    arrays += [np.tile(state, (1, H)) for state, H in zip(states, np.repeat(sizes, 2))]
    arrays = [np.asarray(array, dtype) for array in arrays]
    symbols = [backend.tensor(f"x{n}", dtype, x.shape) for n, x in enumerate(arrays)]
    arguments = [*symbols[:3], symbols[3:6], symbols[6], compiled.paired(symbols[7:])]
    calls = []
    monkeypatch.setattr(dispatch, "_call", lambda *call: calls.append(call) or [None] * 8)
    with dispatch.plain_graphs():
        monkeypatch.setattr(dispatch, "apply_to_roll", linear.apply_to_roll)
        *expected, after = generation.run_window(*arguments, network.parameters, systematic)
        dispatch.run_window(*arguments, network.parameters, systematic)
    expected += compiled.flattened(after)
    ((name, sizes, inputs),) = calls
    values = list(map(np.asarray, backend.function(symbols, [*expected, *inputs])(*arrays)))
    got = run(name, *sizes, values[len(expected) :], dtype=dtype, n_threads=n_threads)
    assert len(got) == len(expected) == 8
    for ours, theirs in zip(got, values):
        assert_equal(ours, theirs, dtype, scale=100)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", (1, 3))
def test_masks_noise_and_sums(n_threads, dtype, rng, monkeypatch):
    monkeypatch.setattr(tiling, "OPERATIONS_PER_THREAD", 1)
    options = {"dtype": dtype, "n_threads": n_threads}
    for T, B, N in [(1, 1, 1), (3, 2, 5), (4, 3, 40), (2, 7, 66)]:
        a, d, mask = (rng.normal(size=shape) for shape in ((T, B, N), (T, B, N), (B, N)))
        (got,) = run("masked", T, B, N, [a, mask], **options)
        assert_equal(got, a * mask, dtype)
        (got,) = run("vector_gradient", T * B, N, [a], **options)
        assert_equal(got, a.sum((0, 1)), dtype, scale=10)
        noise = rng.normal(size=2 * a.size + mask.size)
        added = run("noise_added", a.size, mask.size, a.size, [noise, a, mask, d], **options)
        matrices = np.concatenate([a.ravel(), mask.ravel(), d.ravel()])
        assert_equal(np.concatenate(added), noise + matrices, dtype, scale=2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", (1, 3))
@pytest.mark.parametrize("name", costs.COSTS)
def test_cost(name, n_threads, dtype, rng, monkeypatch):
    monkeypatch.setattr(tiling, "OPERATIONS_PER_THREAD", 1)
    for T, B, P in [(1, 1, 1), (3, 2, 5), (4, 1, 88)]:
        Y, weights = rng.normal(0, 8, (T, B, P)), rng.random((T, B))
        targets = random_roll(rng, T, B, P)
        sizes = name, T * B, P
        got = run(
            "total_and_derivative", *sizes, [Y, targets, weights], dtype=dtype, n_threads=n_threads
        )
        symbols = [backend.tensor("x", "float64", x.shape) for x in (Y, targets, weights)]
        with dispatch.plain_graphs():
            results = list(costs.total_and_derivative(name, *symbols))
        total, d_Y = backend.function(symbols, results)(Y, targets, weights)
        assert_equal(got[0], total, dtype, scale=10 + float(total))
        assert_equal(got[1].reshape(Y.shape), d_Y, dtype, scale=2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", (1, 3))
@pytest.mark.parametrize("optimiser", updates.OPTIMISERS)
def test_change_of_parameters(optimiser, n_threads, dtype, rng, monkeypatch):
    monkeypatch.setattr(tiling, "OPERATIONS_PER_THREAD", 1)
    sizes, n_averages = (1, 40, 16, 333), len(updates.OPTIMISERS[optimiser].averages)
    means = [0, 0, 4, 0, 0]  # of parameters, gradients, their squares' averages, …
    arrays = [rng.normal(mean, 1, n) for mean in means[: 2 + n_averages] for n in sizes]
    arrays[0][:] = 0  # no penalty
    scalars = [0.1, 0.2, 0.3, 0.4, 0.0, 1.5, 0.01, 0.02, 0.7, 1e-5, 3.0]
    inputs = [*arrays, *map(np.asarray, scalars)]
    got = run("change_parameters", optimiser, *sizes, inputs, dtype=dtype, n_threads=n_threads)
    symbols = [backend.tensor("x", "float64", array.shape) for array in inputs]
    n = len(sizes)
    *fields, rates, strengths = (symbols[k : k + n] for k in range(0, n * (4 + n_averages), n))
    parameters, gradients, *averages = fields
    with dispatch.plain_graphs():
        results = updates.all_changed(
            optimiser, parameters, gradients, list(zip(*averages)), rates, strengths, symbols[-3:]
        )
    new, new_averages = zip(*results)
    outputs = [*new, *(average for kind in zip(*new_averages) for average in kind)]
    for ours, theirs in zip(got, backend.function(symbols, outputs)(*inputs)):
        assert_equal(ours, theirs, dtype, scale=2)


needs_kernels = pytest.mark.skipif(
    not dispatch.is_available(), reason="the kernels need JAX on a processor"
)


@needs_kernels
def test_graphs_use_the_kernels_unless_plain_ones_are_requested(monkeypatch):
    called = []
    monkeypatch.setattr(dispatch, "_call", lambda name, *_: called.append(name) or 1 / 0)
    model = small_model()
    with pytest.raises(ZeroDivisionError):
        model.gradients(np.zeros((3, 2, 7)), np.zeros((3, 2, 7)))
    assert called == ["roll_product"]
    inputs = backend.tensor("x", "float64", (3, 2, 7))
    matrix, row = (model._store.weights[f"layer1/{n}"] for n in ("input_to_gates", "bias"))
    with dispatch.plain_graphs():
        linear.apply_to_roll(inputs, matrix, row)
    assert called == ["roll_product"]
    with pytest.raises(ZeroDivisionError):
        linear.apply_to_roll(inputs, matrix, row)


@pytest.fixture
def three_threads(monkeypatch):
    """Make kernels use three threads on any machine, even for the smallest work."""
    monkeypatch.setattr(processes, "n_cores", lambda: 3)
    monkeypatch.setattr(tiling, "OPERATIONS_PER_THREAD", 1)
    dispatch._compiled.cache_clear()
    yield
    dispatch._compiled.cache_clear()


def trained(sizes, batch, length, dtype="float32"):
    model = RNN4Music(*sizes, seed=2, dtype=dtype, R1=1e-3, R2=1e-3, R3=1e-3, Rout=1e-3)
    tunes = random_roll(np.random.default_rng(3), batch, length, sizes[3])
    model.train(tunes, 3, 2, batch, length, progress=False)
    return model.history.cost, model.get_parameters()


@needs_kernels
@pytest.mark.parametrize(
    "sizes", ((5, 9, 7, 12), pytest.param((130, 257, 20, 11), marks=pytest.mark.slow))
)
def test_training_on_several_threads_is_training_on_one(sizes, three_threads, monkeypatch):
    cost, parameters = trained(sizes, 7, 6, "float64")
    monkeypatch.setattr(processes, "n_cores", lambda: 1)
    dispatch._compiled.cache_clear()
    expected_cost, expected = trained(sizes, 7, 6, "float64")
    np.testing.assert_allclose(cost, expected_cost, rtol=1e-11)
    for name, array in expected.items():
        np.testing.assert_allclose(parameters[name], array, rtol=0, atol=1e-9)


def test_the_cost_of_many_rows_is_as_exact_as_that_of_few(rng):
    """Added to a large sum, the small costs of silent pitches would be rounded away."""
    R, P = 30_000, 88
    Y, targets = rng.normal(-5, 2.5, (R, P)), random_roll(rng, 1, R, P)[0]
    got = run(
        "total_and_derivative", "cross_entropy", R, P, [Y, targets, np.ones(R)],
        dtype="float32", n_threads=1,
    )  # fmt: skip
    expected = (np.logaddexp(0, Y) - targets * Y).sum()
    np.testing.assert_allclose(got[0], expected, rtol=1e-5)
    (got,) = run("vector_gradient", R, P, [Y], dtype="float32", n_threads=1)
    np.testing.assert_allclose(got, Y.sum(0), rtol=2e-6)


@needs_kernels
def test_kernels_that_do_not_depend_on_each_other_are_one_job(three_threads, rng, monkeypatch):
    from rnn4music.backend import machine_code

    monkeypatch.setattr(machine_code, "WORTH_A_CORE", 1)
    monkeypatch.setattr(jit, "LARGE", 64)
    sizes = {"x": (2, 3, 5), "y": (2, 3, 4), "matrix": (5, 4), "row": (4,)}
    arrays = {name: rng.normal(size=shape) for name, shape in sizes.items()}
    x, y, matrix, row = (backend.tensor(name, "float64", shape) for name, shape in sizes.items())
    first = linear.apply_matrix(x, matrix, y)  # would overwrite y, which others read
    second = linear.matrix_gradient(x, y)
    third = linear.vector_gradient(y)
    last = linear.apply_matrix(x, second, first)
    outputs = [first, second, third, last, linear.apply_to_roll(x, matrix, row)]
    symbols = [x, y, matrix, row]

    def names(compiled):
        graph = compiled.__wrapped__.maker.fgraph
        nodes = [node for node in graph.toposort() if isinstance(node.op, machine_code.MachineCode)]
        return sorted(node.op.name.split("_")[1] for node in nodes)

    compiled = backend.function(symbols, outputs)
    assert names(compiled) == ["product", "together"]
    for change in ((processes, "n_cores", lambda: 1), (machine_code, "LARGEST", 1)):
        with monkeypatch.context() as changed:
            changed.setattr(*change)
            assert "together" not in names(backend.function(symbols, outputs))
    x, y, matrix, row = arrays.values()
    flat_x, flat_y = x.reshape(6, 5), y.reshape(6, 4)
    expected = [x @ matrix + y, flat_x.T @ flat_y, flat_y.sum(0)]
    expected += [x @ expected[1] + expected[0], x @ matrix + row]
    for _ in range(3):
        for got, right in zip(compiled(*arrays.values()), expected):
            np.testing.assert_allclose(got, right, atol=1e-13)


@pytest.mark.slow
@needs_kernels
def test_models_that_train_side_by_side_share_the_threads(three_threads):
    """Four Python threads each run kernels of three chunks in XLA's few threads."""
    expected = trained((40, 260, 30, 11), 6, 20)[0]
    costs = {}

    def work(n):
        costs[n] = trained((40, 260, 30, 11), 6, 20)[0]

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads), "a deadlock"
    for cost in costs.values():
        assert cost == expected, "the result must not depend on which thread computed a chunk"


def test_the_runtime_is_valid_by_itself():
    module = binding.parse_assembly(jit._runtime_assembly())
    module.verify()
    undefined = {function.name for function in module.functions if function.is_declaration}
    assert undefined == {
        "calloc", "free", "sched_yield", "llvm.smax.i64", "llvm.smin.i64", "madvise",
    }  # fmt: skip


@pytest.mark.skipif(backend.ENGINE != "jax", reason="about JAX")
def test_jax_is_asked_where_it_may_compute_elsewhere(monkeypatch):
    from rnn4music.backend import machine_code

    fake = types.SimpleNamespace(default_backend=lambda: "gpu")
    monkeypatch.setitem(sys.modules, "jax", fake)
    assert not machine_code.runs_on_processor(), "JAX is there"
    monkeypatch.setattr(machine_code, "sys", types.SimpleNamespace(modules={}))
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    util, metadata = machine_code.importlib.util, machine_code.importlib.metadata
    with monkeypatch.context() as nothing:
        nothing.setattr(util, "find_spec", lambda name: None)
        nothing.setattr(metadata, "entry_points", lambda group: ())
        assert machine_code.runs_on_processor()
        nothing.setenv("JAX_PLATFORMS", "cpu")
        assert machine_code.runs_on_processor()
        nothing.setenv("JAX_PLATFORMS", "cuda,cpu")
        assert not machine_code.runs_on_processor()
        nothing.delenv("JAX_PLATFORMS")
        nothing.setattr(util, "find_spec", lambda name: name == "libtpu" or None)
        assert not machine_code.runs_on_processor()
        nothing.setattr(util, "find_spec", lambda name: None)
        nothing.setattr(metadata, "entry_points", lambda group: (group,))
        assert not machine_code.runs_on_processor()


@needs_kernels
def test_kernels_that_do_not_work_are_not_used(monkeypatch):
    """Training must work even with an LLVM version that rejects the code."""

    def broken(*_):
        raise RuntimeError("LLVM is too new")

    monkeypatch.setattr(jit, "Compiled", broken)
    with pytest.warns(RuntimeWarning, match=r"\(LLVM is too new\); training continues without th"):
        assert not dispatch.is_available.__wrapped__()


@needs_kernels
def test_a_graph_does_not_run_before_its_kernels_are_compiled(monkeypatch):
    """XLA compiles it meanwhile. Kernels that cannot be compiled are an error, not a crash."""
    assert dispatch.is_available()
    monkeypatch.setattr(dispatch, "_compiled", dispatch._compiled.__wrapped__)
    monkeypatch.setattr(jit.code_cache, "read", lambda key: None)
    object_code = jit._object_code
    monkeypatch.setattr(jit, "_object_code", lambda code: time.sleep(0.1) or object_code(code))
    cost, _ = trained((3, 2, 2, 5), 1, 4)
    assert np.isfinite(cost).all()
    monkeypatch.setattr(jit, "_object_code", lambda code: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trained((3, 2, 2, 5), 1, 4)


@needs_kernels
def test_threads_can_compile_the_same_kernels_at_the_same_time():
    barrier = threading.Barrier(6)
    models = [RNN4Music(9, 8, 7, 11, seed=1) for _ in range(6)]
    roll = random_roll(np.random.default_rng(0), 4, 3, 11)
    costs = []

    def work(model):
        barrier.wait()
        costs.append(model.gradients(roll, roll)[0])

    threads = [threading.Thread(target=work, args=(model,), daemon=True) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert len(costs) == 6 and len(set(costs)) == 1


@needs_kernels
def test_numbers_of_another_precision_are_refused():
    roll = backend.tensor("roll", "float32", (2, 3, 4))
    matrix, row = (
        backend.tensor("matrix", "float64", (4, 5)),
        backend.tensor("row", "float64", (5,)),
    )
    with pytest.raises(TypeError, match="takes float32, not float64"):
        linear.apply_to_roll(roll, matrix, row)


@pytest.mark.slow
@needs_kernels
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86 only")
def test_the_kernels_of_processors_with_smaller_registers():
    """Run tests of this file with code that uses only features of older processors."""
    chosen = "recurrent_loops or test_product or drawing_pitches or composing_loop"
    chosen = f"({chosen}) and float32 or elementary"
    options = ["-q", "-p", "no:cacheprovider", __file__, "-k", chosen]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        capture_output=True,
        text=True,
        env={**os.environ, "RNN4MUSIC_WITHOUT": "avx512 avx10 amx"},
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_the_kernels_of_arm_processors():
    """Run a test of each kernel under emulation; `emulated_arm.py` by itself runs all of them."""
    if emulated_arm.missing():
        pytest.skip(f"this needs {' and '.join(emulated_arm.missing())}")
    cases = (
        "elementary and 32", "product and row-left-3-float32", "of_a_roll and 3-float64",
        "recurrent and 3-5-260-3-float32", "recurrent and 4-13-37-1-float64",
        "drawing and 16-20-19-3-float32", "test_cost and cross_entropy-3-float32",
        "masks and 3-float32",
    )  # fmt: skip
    chosen = " or ".join(f"({case})" for case in cases)
    command = [sys.executable, emulated_arm.__file__, "-k", chosen]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "11 passed" in result.stdout


SCRIPT = """
import numpy as np
from rnn4music import RNN4Music
from rnn4music.kernels import dispatch
model = RNN4Music(3, 4, 5, 6, seed=1, dtype="float64", sigRand=0.5)
inputs, targets = np.random.default_rng(0).random((2, 5, 2, 6)) < 0.4
cost, gradients = model.gradients(inputs, targets)
print(dispatch.is_available(), cost, *(np.abs(array).sum() for array in gradients.values()))
"""


@needs_kernels
def test_an_environment_variable_selects_the_plain_versions():
    answers = []
    for setting in ("0", "1"):
        environment = {**os.environ, "RNN4MUSIC_KERNELS": setting}
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment
        )
        assert result.returncode == 0, result.stderr
        available, *numbers = result.stdout.split()
        assert available == str(setting == "1")
        answers.append([float(number) for number in numbers])
    np.testing.assert_allclose(*answers, rtol=1e-12)


@needs_kernels
def test_nan_in_the_weights_reaches_the_cost():
    """Otherwise training would not notice it."""
    model = small_model(dtype="float32")
    matrix = np.array(model._store.weights["layer1/hidden_to_gates"].get_value())
    for column in range(0, matrix.shape[1], 3):
        broken = matrix.copy()
        broken[1, column] = np.nan
        model._store.weights["layer1/hidden_to_gates"].set_value(broken)
        inputs = random_roll(np.random.default_rng(0), 4, 2, SIZES["io_length"])
        cost, _ = model.gradients(inputs, inputs)
        assert np.isnan(cost)


def test_every_accelerated_function_has_a_namesake_of_its_signature():
    accelerated = {
        name: function
        for module in (lstm, linear, costs, chords, updates)
        for name, function in vars(module).items()
        if hasattr(function, "__wrapped__") and function.__module__ == module.__name__
    }
    accelerated["run_window"] = generation.run_window
    assert {"run_steps", "apply_matrix", "draw_pitches", "all_changed"} < accelerated.keys()
    for name, function in accelerated.items():
        fast_one = getattr(dispatch, name)
        assert inspect.signature(fast_one) == inspect.signature(function.__wrapped__), name


def test_work_is_divided_without_gaps():
    for n_rows, n_chunks in itertools.product((1, 2, 5, 6, 7, 23, 64), (1, 2, 3, 5)):
        if n_chunks <= n_rows:
            rows = tiling.Rows(n_rows, n_chunks, 6)
            assert rows.n_tiles * rows.size + rows.n_larger == n_rows
            assert rows.size + (rows.n_larger > 0) <= 6
            assert rows.n_tiles >= n_chunks
