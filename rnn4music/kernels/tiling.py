"""The division of work that all kernels share: chunks, tiles and panels.

A *kernel* is a loop or a product for fixed sizes, written with `simd`. Its phases run one after
the other, each divided into chunks for any number of threads. A matrix product keeps a *tile* of
its result, some rows by some vectors, in registers while it sums; the matrix on the right is
copied beforehand into *panels*, in the order in which a tile reads it (Goto and van de Geijn,
"Anatomy of high-performance matrix multiplication", ACM TOMS 34, 2008).

Conventions
-----------
A phase takes the addresses of the kernel's inputs and results, in this order, and the number
of the chunk. Sizes are fixed when the code is generated. ``first`` and ``last`` are half-open.
"""

import math

from llvmlite import ir

from rnn4music.kernels.simd import N_BYTES, N_REGISTERS, FunctionBuilder

TILE_ROWS, TILE_VECTORS = (6, 4) if N_REGISTERS == 32 else (4, 3)
"""Size of a tile, which with a row of the panel and a factor just fits into the registers."""
SUMS_AT_ONCE = 8
"""Sums that keep a core busy: two additions begin in each cycle, and each takes four."""
OPERATIONS_PER_THREAD = 4_000_000
"""Multiplications that are worth another thread: about 40 microseconds."""


class Kernel:
    """One kernel: its code, its phases in order, and the shapes of its results.

    The last of the `results` is scratch memory. `in_place` maps an input to the result that may
    overwrite its memory.
    """

    def __init__(self, name, dtype, results, in_place=None):
        self.name, self.dtype, self.results = name, dtype, results
        self.in_place = in_place or {}
        self.phases = []  # (function's name, chunks, steps or 0)
        self.module = ir.Module(name)

    def phase(self, name, n_chunks, n_steps=0):
        """Begin a phase and return its `FunctionBuilder`.

        With `n_steps` the phase is called for each chunk of each step, with the number
        step · n_chunks + chunk. All chunks of a step finish before the next step begins.
        """
        self.phases.append((name, n_chunks, n_steps))
        return FunctionBuilder(self.module, name, self.dtype)

    def result_bytes(self):
        """Return the size of each result in bytes."""
        return [math.prod(shape) * N_BYTES[self.dtype] for shape in self.results]


def worth_sharing(n_operations, n_threads):
    """Return how many threads are worth using for this many operations."""
    return max(1, min(n_threads, n_operations // OPERATIONS_PER_THREAD))


def share(chunk, n_chunks, n):
    """Return where a chunk of n items begins and ends."""
    return chunk * n // n_chunks, (chunk + 1) * n // n_chunks


def whole(code, n):
    """Return the range of all n items."""
    return code.index(0), code.index(n)


def loops(code, first, last, boundary, n, turned=None):
    """Emit a loop over the numbers below a boundary, and one over the others below n.

    Yields (Index, is_below) in each: the caller's block is emitted for both loops, and may differ.
    The loops cover the numbers from `first` to `last`; where `turned` is 1, those below the
    boundary are visited in reverse order.
    """
    if boundary:
        end = last.at_most(boundary)
        with code.loop(first, end) as k:
            yield (k if turned is None else reverse(code, k, first, end, turned)), True
    if boundary < n:
        with code.loop(first.at_least(boundary), last) as k:
            yield k, False


class Rows:
    """Rows divided into tiles of one size, at most `most`, followed by tiles with one row less.

    The tiles can be divided about evenly among `n_chunks` chunks.
    """

    def __init__(self, n_rows, n_chunks, most):
        wanted = -(-n_rows // most)
        self.n_tiles = min(n_rows, -(-wanted // n_chunks) * n_chunks)
        self.size, self.n_larger = divmod(n_rows, self.n_tiles)

    def first_row(self, tile):
        """Return the first row of a tile."""
        return tile * self.size + tile.at_most(self.n_larger)

    def tiles(self, code, first, last):
        """Emit loops over the tiles from `first` to `last`; yield (first row, rows) in each."""
        for tile, is_larger in loops(code, first, last, self.n_larger, self.n_tiles):
            if is_larger:
                yield tile * (self.size + 1), self.size + 1
            else:
                yield tile * self.size + self.n_larger, self.size


def units(code, n, first=None, last=None, turned=None):
    """Emit loops over n numbers, a vector of them at a time; yield (first one, count) in each.

    They cover all n numbers, or the vectors from `first` to `last`.
    """
    full, tail = divmod(n, code.n_lanes)
    if first is None:
        first, last = whole(code, full + (tail > 0))
    for vector, is_full in loops(code, first, last, full, full + (tail > 0), turned):
        yield vector * code.n_lanes, code.n_lanes if is_full else tail


def reverse(code, k, first, last, turned):
    """Return k, or its counterpart in the reversed range where `turned` is 1."""
    return code.select(turned.compare("==", 1), first + last - k - 1, k)


def panels(code, n_columns, first, last, vectors=TILE_VECTORS):
    """Emit loops over the panels from `first` to `last`; yield (panel, columns) in each.

    `columns` has a pair for each vector of the panel, of which there are at most `vectors`: its
    first column and its number of lanes.
    """
    lanes = code.n_lanes
    width = vectors * lanes
    full, rest = divmod(n_columns, width)
    for panel, is_full in loops(code, first, last, full, full + (rest > 0)):
        n = width if is_full else rest
        yield panel, [(panel * width + k, min(lanes, n - k)) for k in range(0, n, lanes)]


def tile_product(code, depth, sums, left, right, n_rows, counts):
    """Return sums + left · right for a tile: Vectors, row after row.

    `left` has the strides (row, k), `right` (k, 1); k counts the `depth` terms of each sum.
    `counts` are the numbers of lanes of the tile's vectors that are loaded, or the number of
    vectors if these are whole. Each sum of a small tile is computed in two halves, so that an
    addition need not wait for the one before it.
    """
    counts = [None] * counts if isinstance(counts, int) else counts
    n_vectors = len(counts)
    n, depth = n_rows * n_vectors, code.index(depth)
    parts = 2 if n < SUMS_AT_ONCE else 1
    sums = [*sums, *[code.vector(0)] * (n * (parts - 1))]

    def add(k, first):
        """Add term k to the n sums from the first on."""
        columns = (right[k, v * code.n_lanes].load(count) for v, count in enumerate(counts))
        factors = (left[row, k].broadcast() for row in range(n_rows))
        places = range(first, first + n)
        if n_vectors <= n_rows:  # the fewer of the two are held in registers
            columns = list(columns)
            for row, factor in enumerate(factors):
                for place, column in zip(places[row * n_vectors :], columns):
                    sums[place] = factor.fma(column, sums[place])
        else:
            factors = list(factors)
            for vector, column in enumerate(columns):
                for place, factor in zip(places[vector::n_vectors], factors):
                    sums[place] = factor.fma(column, sums[place])

    with code.loop(0, depth // parts, sums) as k:
        for part in range(parts):
            add(k * parts + part, part * n)
    if parts == 1:
        return sums
    with code.loop(depth // 2 * 2, depth, sums) as k:
        add(k, 0)
    return [one + other for one, other in zip(sums[:n], sums[n:])]


def pack(code, matrix, packed, columns, first_k, n_k):
    """Copy n_k rows of a matrix from `first_k` to a panel; `columns` are those of `panels`."""
    with code.loop(0, n_k) as k:
        for v, (column, count) in enumerate(columns):
            packed[k, v * code.n_lanes].store(matrix[k + first_k, column].load(count))


def pack_transposed(code, matrix, packed, first_row, n_rows, first_k, n_k):
    """Copy rows of a matrix into the columns of a panel, a square of lanes at a time.

    The rows begin at `first_row`, as many as a panel has columns. Rows beyond `n_rows` are replaced
    by the last one, since their results are never used. The `n_k` columns from `first_k` become the
    panel's rows; n_k is a multiple of the lanes unless the row ends there.
    """
    lanes = code.n_lanes
    row_length = matrix.strides[0]

    def columns(block, count):
        with code.loop(0, TILE_VECTORS) as v:
            row, k = first_row + v * lanes, block * lanes
            existing = ((row + m).at_most(n_rows - 1) for m in range(lanes))
            square = [matrix[each, first_k + k].load(count) for each in existing]
            for n, column in enumerate(code.transposed(square)[:count]):
                packed[block * lanes + n, v * lanes].store(column)

    with code.loop(0, n_k // lanes) as block:
        columns(block, lanes)
    if row_length % lanes:
        with code.loop(n_k // lanes, (n_k + (lanes - 1)) // lanes) as block:
            columns(block, row_length % lanes)
