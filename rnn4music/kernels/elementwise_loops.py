"""Everything but products and loops over the steps as kernels.

These are the total cost (`costs`), dropout and weight noise (`linear`), and the change of all
parameters by an optimiser (`updates`). The formulas are not repeated here: the loops pass Vectors
to the functions of those modules. XLA could compute all this too, with several threads. But the
last of them to finish goes on with the next kernel, and the system may have put it on the core on
which another thread waits for work of that kernel.
"""

from rnn4music import costs, updates
from rnn4music.kernels.simd import lanes_of
from rnn4music.kernels.tiling import Kernel, share, units, whole, worth_sharing

CHANGE, COST, COPY = 50, 70, 12
"""Time of an element of a parameter, of a prediction's cost, and of a number that is only read and
written, in multiplications of a product."""


def total_and_derivative(name, R, P, dtype, n_threads):
    """Make the kernel of `costs.total_and_derivative` for R rows of P pitches.

    Inputs: Y (R, P), the targets (R, P), the weights of the rows (R,). Results: the total (),
    the derivative (R, P).
    """
    (cost, derivative), lanes = costs.COSTS[name], lanes_of(dtype)
    n_chunks = min(R, worth_sharing(COST * R * P, n_threads))
    kernel = Kernel("cost", dtype, results=[(), (R, P), (n_chunks * lanes,)], in_place={0: 1})
    strides = [(P, 1), (P, 1), (1,), (), (P, 1), (lanes, 1)]
    code = kernel.phase("cost", n_chunks)
    Y, targets, weights, _, d_Y, sums = code.arrays(strides)
    total, of_row = [code.vector(0)], code.scratch(1, (1,))
    with code.loop(*share(code.number, n_chunks, R), total) as row:
        # the sum of a row first: to a large sum, the small costs of silent pitches add nothing
        weight = weights[row].broadcast()
        of_row.store(code.vector(0))
        for pitch, count in units(code, P):
            y, k = Y[row, pitch].load(count), targets[row, pitch].load(count)
            d_Y[row, pitch].store(derivative(y, k) * weight, count)
            of_row.store(of_row.load() + cost(y, k), count)
        total[0] = weight.fma(of_row.load(), total[0])
    sums[code.number].store(total[0])
    code.end()

    code = kernel.phase("sum", 1)
    *_, result, _, sums = code.arrays(strides)
    total = [code.vector(0)]
    with code.loop(*whole(code, n_chunks * lanes), total) as k:
        total[0] = total[0] + sums[0, k].broadcast()
    result.store(total[0], 1)
    code.end()
    return kernel


def masked(T, B, N, dtype, n_threads):
    """Make the kernel of `linear.masked`. Inputs: (T, B, N), (B, N). Result: (T, B, N)."""
    n_chunks = min(T, worth_sharing(COPY * T * B * N, n_threads))
    kernel = Kernel("masked", dtype, results=[(T, B, N), (1,)])
    code = kernel.phase("masked", n_chunks)
    sequence, mask, result, _ = code.arrays([(B * N, 1), (1,), (B * N, 1), (1,)])
    with code.loop(*share(code.number, n_chunks, T)) as t:
        for k, count in units(code, B * N):
            seen = sequence[t, k].load(count) * mask[k].load(count)
            result[t, k].store(seen, count)
    code.end()
    return kernel


def noise_added(*sizes_dtype_and_threads):
    """Make the kernel of `linear.noise_added` for matrices with these numbers of elements.

    Inputs: the noise of all matrices, one after the other, then the matrices. Results: the sums.
    """
    *sizes, dtype, n_threads = sizes_dtype_and_threads
    n = len(sizes)
    kernel = Kernel("noise_added", dtype, results=[*((size,) for size in sizes), (1,)])
    n_chunks = worth_sharing(COPY * sum(sizes), n_threads)
    code = kernel.phase("add", n_chunks)
    first = 0
    for k, size in enumerate(sizes):
        noise, matrix, result = (code.array(place, (1,)) for place in (0, 1 + k, 1 + n + k))
        own = share(code.number, n_chunks, -(-size // code.n_lanes))
        for element, count in units(code, size, *own):
            total = matrix[element].load(count) + noise[element + first].load(count)
            result[element].store(total, count)
        first += size
    code.end()
    return kernel


def change_parameters(optimiser, *sizes_dtype_and_threads):
    """Make the kernel of `updates.all_changed` for parameters with these numbers of elements.

    Inputs: the parameters, their gradients, the averages of each kind, the rates, the strengths
    of the L1 penalty, then bound, epsilon and the number of updates. Results: the new parameters,
    the new averages of each kind.
    """
    *sizes, dtype, n_threads = sizes_dtype_and_threads
    n, n_averages = len(sizes), len(updates.OPTIMISERS[optimiser].averages)
    results = [(size,) for size in sizes] * (1 + n_averages)
    kernel = Kernel("change_parameters", dtype, results=[*results, (1,)])
    n_chunks = worth_sharing(CHANGE * sum(sizes), n_threads)
    code = kernel.phase("change", n_chunks)
    size_of, first_result = code.table(sizes), (4 + n_averages) * n + 3
    bound, epsilon, n_updates = (code.array(first_result - k, ()).broadcast() for k in (3, 2, 1))
    with code.loop(0, n) as k:
        parameter, gradient, *averages = (
            code.array(k + n * field, (1,)) for field in range(2 + n_averages)
        )
        rate, strength = (code.array(k + n * (m + n_averages), ()).broadcast() for m in (2, 3))
        new = [code.array(k + (first_result + n * m), (1,)) for m in range(1 + n_averages)]

        def change(first, count, load):
            """Emit the change of `count` elements."""
            after, averages_after = updates.changed(
                optimiser,
                load(parameter[first]),
                load(gradient[first]),
                [load(average[first]) for average in averages],
                rate,
                strength,
                bound,
                epsilon,
                n_updates,
            )
            for array, value in zip(new, (after, *averages_after)):
                array[first].store(value, count)

        size = size_of(k)
        n_vectors = size // code.n_lanes
        with code.loop(*share(code.number, n_chunks, n_vectors)) as vector:
            change(vector * code.n_lanes, code.n_lanes, lambda array: array.load())
        with code.if_(code.number.compare("==", 0)):
            with code.loop(n_vectors * code.n_lanes, size) as element:
                change(element, 1, lambda array: array.broadcast())
    code.end()
    return kernel
