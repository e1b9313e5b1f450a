"""The change of all parameters by an optimiser as a kernel: `updates.all_changed`.

The rules are not repeated here: the loop passes Vectors to `updates.changed`. Threads share the
elements of each parameter.
"""

from rnn4music import updates
from rnn4music.kernels.tiling import Kernel, share, worth_sharing

OPERATIONS = 50
"""Time of an element of a parameter, in multiplications of a product."""


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
    n_chunks = worth_sharing(OPERATIONS * sum(sizes), n_threads)
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
