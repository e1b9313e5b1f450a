"""Fast loops for the processor: what takes the time of an update, as machine code.

The plain versions are `lstm.run_steps`, `lstm.run_steps_backward`, `lstm.apply_matrix` and
`lstm.matrix_gradient`; these do the same with the same numbers, up to rounding. The equations
are not written a second time: the loops here hand `machine_code.Lanes` to `lstm.lstm_step`
and `lstm.lstm_step_backward`. What they add is the order of the work:

- A matrix product keeps a tile of the result, some rows by some vectors, in registers, and
  the matrix is copied beforehand into the order in which the tile reads it (the method of
  Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34,
  2008).
- The recurrent loops go over the units vector by vector: the four gates of a vector of units
  are one tile, and as soon as its product is complete, the step's equations are applied to
  it while it is at hand. Every second step visits the units in reverse, so that what of a
  large matrix is still in the cache is used first.
- A piano roll is nearly all zeros: its products skip them.
- Work is cut into chunks that any number of threads can take: tunes in the recurrent loops,
  rows or columns in the products. The cut changes no result.

Conventions
-----------
A kernel's function takes the addresses of its inputs and outputs, in this order, and the
number of the chunk. T steps, B tunes, H units, P pitches; sizes are fixed when the code is
made.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from llvmlite import ir

from rnn4music import lstm
from rnn4music.gates import Gates
from rnn4music.machine_code import Code

N_GATES = len(Gates._fields)
TILE_ROWS = 6
TILE_VECTORS = 4
DEPTH = 256
"""Rows of a matrix that are copied at once in a product; a multiple of all vectors' lanes."""
UNITS_FROM = 256
"""Units from which on the recurrent loops are cut by units: the matrix fills a cache."""
OPERATIONS_PER_THREAD = 4_000_000
"""Multiplications that are worth a second thread: some 40 microseconds."""
BLOCK_TILES = 32
"""Tiles of rows that meet one panel of the matrix before the next panel's turn."""


@dataclass
class Kernel:
    """What one call does: its code, its phases in order, and the results' shapes."""

    module: Any
    n_inputs: int
    phases: list = field(default_factory=list)  # (function's name, chunks, steps or 0)
    results: list = field(default_factory=list)  # shapes; the last one is scratch memory
    in_place: dict = field(default_factory=dict)  # input: the result that may take its place
    n_bytes: int = 4  # of a number

    def result_bytes(self):
        """Return the size of each result in bytes."""
        return [math.prod(shape) * self.n_bytes for shape in self.results]


def _code(kernel, name, dtype, n_chunks, n_steps=0):
    """Begin a phase of the kernel.

    With `n_steps` the phase is called for each chunk of each step, with the number
    step · n_chunks + chunk, and all chunks of a step are done before the next step begins.
    """
    kernel.phases.append((name, n_chunks, n_steps))
    code = Code(kernel.module, name, dtype)
    kernel.n_bytes = code.n_bytes
    return code


def _worth_sharing(n_operations, n_threads):
    """Return by how many threads so much work is done: few for little."""
    return max(1, min(n_threads, n_operations // OPERATIONS_PER_THREAD))


def _share(chunk, n_chunks, n):
    """Return where a chunk of n things begins and ends."""
    return chunk * n // n_chunks, (chunk + 1) * n // n_chunks


def _row_tiles(n_rows, n_chunks):
    """Cut rows into tiles of one of two sizes: (larger size, its tiles, all tiles)."""
    n_tiles = -(-n_rows // TILE_ROWS)
    n_tiles = min(n_rows, -(-n_tiles // n_chunks) * n_chunks)
    size, larger = divmod(n_rows, n_tiles)
    return size + 1, larger, n_tiles


def _for_tiles(code, n_rows, n_chunks, first, last, body):
    """Write body(first row, rows) for the tiles from `first` to `last`."""
    size, larger, _ = _row_tiles(n_rows, n_chunks)
    boundary = code.whole(larger)
    if larger:
        stop = _smaller(code, last, boundary)
        with code.loop(first, stop) as tile:
            body(tile * size, size)
    if size > 1:
        start = _larger(code, first, boundary)
        with code.loop(start, last) as tile:
            body(tile * (size - 1) + larger, size - 1)


def _smaller(code, a, b):
    return code.choose(code.builder.icmp_signed("<", a.value, b.value), a, b)


def _larger(code, a, b):
    return code.choose(code.builder.icmp_signed("<", a.value, b.value), b, a)


def _for_vectors(code, n, body, first=None, last=None, turned=None):
    """Write body(vector, count) for the vectors of n numbers, all or from `first` to `last`.

    Where `turned` is 1, the full ones come in reverse.
    """
    full, tail = divmod(n, code.n_lanes)
    first = code.whole(0) if first is None else first
    last = code.whole(full + (tail > 0)) if last is None else last
    if full:
        end = _smaller(code, last, code.whole(full))
        with code.loop(first, end) as vector:
            body(
                vector if turned is None else _turned(code, vector, first, end, turned),
                code.n_lanes,
            )
    if tail:
        with code.loop(_larger(code, first, code.whole(full)), last) as vector:
            body(vector, tail)


def _turned(code, k, first, last, turned):
    """Return the k-th number of a range, or where `turned` is 1, the k-th from its end."""
    return code.choose(turned.is_equal(1), first + last - k - 1, k)


def _tile_product(code, depth, sums, left, right, rows, vectors):
    """Return sums + left · right, for a tile.

    Parameters
    ----------
    left : Array
        Strides (row, k).
    right : Array
        Strides (k, 1): the tile's columns side by side.
    """

    def body(k, sums):
        columns = [right[k, vector * code.n_lanes].load() for vector in range(vectors)]
        new = []
        for row in range(rows):
            factor = left[row, k].repeat()
            new += [
                factor.times_plus(column, sums[row * vectors + n])
                for n, column in enumerate(columns)
            ]
        return new

    return code.accumulate(depth, sums, body)


def run_steps(T, B, H, dtype, n_threads):
    """Make the kernel of `lstm.run_steps`.

    Inputs: a (T, B, 4H), hidden_to_gates (H, 4H), three peepholes (H,), hidden and cell
    states before the first step (B, H). Results: hidden, cell, gates.
    """
    by_units, n_chunks = _step_chunks(B, H, n_threads)
    tune_chunks = 1 if by_units else n_chunks
    kernel = Kernel(ir.Module("run_steps"), 7, in_place={0: 2})
    lanes = Code(ir.Module(), "unused", dtype).n_lanes
    n_vectors = -(-H // lanes)
    kernel.results = [(T, B, H), (T, B, H), (T, B, N_GATES * H), (n_vectors * N_GATES * lanes * H,)]
    packed_strides = (N_GATES * lanes * H, N_GATES * lanes, lanes, 1)

    pack_chunks = _worth_sharing(8 * N_GATES * H * H, n_chunks)
    code = _code(kernel, "pack", dtype, pack_chunks)
    matrix = code.array(1, (N_GATES * H, H, 1))
    packed = code.array(10, packed_strides)
    first, last = _share(code.number, pack_chunks, H)

    def pack(vector, count):
        with code.loop(first, last) as k:
            for gate in range(N_GATES):
                packed[vector, k, gate].store(matrix[k, gate, vector * lanes].load(count))

    _for_vectors(code, H, pack)
    code.builder.ret_void()

    code = _code(kernel, "steps", dtype, n_chunks, T if by_units and n_chunks > 1 else 0)
    a = code.array(0, (B * N_GATES * H, N_GATES * H, H, 1))
    peepholes = [code.array(position, (1,)) for position in (2, 3, 4)]
    before = [code.array(position, (H, 1)) for position in (5, 6)]
    hidden, cell = (code.array(position, (B * H, H, 1)) for position in (7, 8))
    gates = code.array(9, (B * N_GATES * H, N_GATES * H, H, 1))
    packed = code.array(10, packed_strides)
    sums = code.scratch(TILE_ROWS * N_GATES, (N_GATES * lanes, lanes, 1))
    steps, tiles, vectors = _my_part(code, T, B, n_vectors, by_units, n_chunks)

    def tile(t, vector, count, row, rows, previous):
        unit = vector * lanes
        initial = [a[t, row + m, g, unit].load(count) for m in range(rows) for g in range(N_GATES)]
        left = previous[0][row]
        left.strides = (H, 1)
        right = packed[vector]
        right.strides = (N_GATES * lanes, 1)
        product = _tile_product(code, H, initial, left, right, rows, N_GATES)
        for n, value in enumerate(product):
            sums[0, n].store(value)
        with code.loop(0, rows) as m:
            c_previous = previous[1][row + m, unit].load(count)
            h, c, y = lstm.lstm_step(
                Gates(*(sums[m, g].load() for g in range(N_GATES))),
                c_previous,
                *(peephole[unit].load(count) for peephole in peepholes),
            )
            hidden[t, row + m, unit].store(h, count)
            cell[t, row + m, unit].store(c, count)
            for g, value in enumerate(y):
                gates[t, row + m, g, unit].store(value, count)

    with code.loop(*steps) as t:
        previous = [
            code.choose(t.is_equal(0), initial, states[t - 1])
            for initial, states in zip(before, (hidden, cell))
        ]

        def units(vector, count, t=t, previous=previous):
            _for_tiles(
                code, B, tune_chunks, *tiles,
                lambda row, rows: tile(t, vector, count, row, rows, previous),
            )  # fmt: skip

        _for_vectors(code, H, units, *vectors, turned=t % 2)
    code.builder.ret_void()
    return kernel


def _my_part(code, T, B, n_parts, by_units, n_chunks):
    """Return the ranges of steps, tiles of tunes and parts of units that a chunk does."""
    if by_units and n_chunks > 1:
        t = code.number // n_chunks
        tiles = code.whole(0), code.whole(_row_tiles(B, 1)[2])
        return (t, t + 1), tiles, _share(code.number % n_chunks, n_chunks, n_parts)
    n_tiles = _row_tiles(B, n_chunks)[2]
    everything = code.whole(0), code.whole(n_parts)
    return (0, T), _share(code.number, n_chunks, n_tiles), everything


def _step_chunks(B, H, n_threads):
    """Return whether the recurrent loops are cut by units, not by tunes, and into how many.

    Cut by tunes, the threads never wait for each other, but each reads the whole matrix in
    each step; cut by units, each keeps its part of the matrix in its own cache.
    """
    by_units = H >= UNITS_FROM or (B < 2 * n_threads and H >= UNITS_FROM // 2)
    return by_units, max(1, min(n_threads, H // 64 if by_units else B // 2))


def run_steps_backward(T, B, H, dtype, n_threads):
    """Make the kernel of `lstm.run_steps_backward`.

    Inputs: d_hidden (T, B, H), gates (T, B, 4H), cell (T, B, H), the cell state before the
    first step (B, H), hidden_to_gates (H, 4H), three peepholes (H,). Results: d_a (T, B, 4H),
    the gradients of the bias (4H,) and of the peepholes (H,).
    """
    by_units, n_chunks = _step_chunks(B, H, n_threads)
    tune_chunks = 1 if by_units else n_chunks
    kernel = Kernel(ir.Module("run_steps_backward"), 8, in_place={1: 0})
    lanes = Code(ir.Module(), "unused", dtype).n_lanes
    width = TILE_VECTORS * lanes
    n_panels = -(-H // width)
    padded = n_panels * width
    depth = N_GATES * H
    panels_strides = (depth * width, width, 1)
    matrix_size = n_panels * depth * width
    n_sums = N_GATES + 3
    kernel.results = [(T, B, depth), (depth,), (H,), (H,), (H,)]
    kernel.results.append((matrix_size + 2 * B * padded + tune_chunks * n_sums * padded,))

    pack_chunks = _worth_sharing(8 * N_GATES * H * H, n_chunks)
    code = _code(kernel, "pack", dtype, pack_chunks)
    matrix, packed = code.array(4, (depth, 1)), code.array(13, panels_strides)
    first, last = _share(code.number, pack_chunks, n_panels)
    with code.loop(first, last) as panel:
        _pack_transposed(code, matrix, packed[panel], panel * width, H, code.whole(0), depth)
    code.builder.ret_void()

    code = _code(kernel, "steps", dtype, n_chunks, T if by_units and n_chunks > 1 else 0)
    d_hidden = code.array(0, (B * H, H, 1))
    gates = code.array(1, (B * depth, depth, H, 1))
    cell = code.array(2, (B * H, H, 1))
    cell_before = code.array(3, (H, 1))
    peepholes = [code.array(position, (1,)) for position in (5, 6, 7)]
    d_a = code.array(8, (B * depth, depth, H, 1))
    packed = code.array(13, panels_strides)
    memory = code.array(13, (1,))
    d_h_next, d_c_next = (memory[matrix_size + k * B * padded] for k in (0, 1))
    d_h_next.strides = d_c_next.strides = (padded, 1)
    sums = memory[
        (code.number * (n_sums * padded) if tune_chunks > 1 else code.whole(0))
        + (matrix_size + 2 * B * padded)
    ]
    sums.strides = (padded, 1)
    steps, tiles, panels = _my_part(code, T, B, n_panels, by_units, n_chunks)
    first_row, last_row = (_first_row(code, B, tune_chunks, tile) for tile in tiles)
    n_vectors = code.whole(-(-H // lanes))
    vectors = panels[0] * TILE_VECTORS, _smaller(code, panels[1] * TILE_VECTORS, n_vectors)

    def undo(t, row, vector, count, c_previous):
        unit = vector * lanes
        c, c_before = cell[t, row, unit].load(count), c_previous[row, unit].load(count)
        d_y, d_c = lstm.lstm_step_backward(
            d_hidden[t, row, unit].load(count) + d_h_next[row, unit].load(),
            d_c_next[row, unit].load(),
            Gates(*(gates[t, row, g, unit].load(count) for g in range(N_GATES))),
            c,
            c_before,
            *(peephole[unit].load(count) for peephole in peepholes),
        )
        d_c_next[row, unit].store(d_c)
        for g, value in enumerate(d_y):
            d_a[t, row, g, unit].store(value, count)
        return [*d_y, *lstm.peephole_slopes(d_y, c, c_before)]

    def undo_rows(t, vector, count, c_previous):
        places = [sums[k, vector * lanes] for k in range(n_sums)]
        totals = code.accumulate(
            last_row - first_row,
            [place.load() for place in places],
            lambda m, totals: [
                total + slope
                for total, slope in zip(totals, undo(t, first_row + m, vector, count, c_previous))
            ],
        )
        for place, total in zip(places, totals):
            place.store(total)

    def carry(t, panel, row, rows):
        left = d_a[t, row]
        left.strides = (depth, 1)
        zeros = [code.lanes(0)] * (rows * TILE_VECTORS)
        sums = _tile_product(code, depth, zeros, left, packed[panel], rows, TILE_VECTORS)
        for m in range(rows):
            for v in range(TILE_VECTORS):
                value = sums[m * TILE_VECTORS + v]
                d_h_next[row + m, panel * width + v * lanes].store(value)

    def clear():
        with code.loop(panels[0] * TILE_VECTORS, panels[1] * TILE_VECTORS) as vector:
            for k in range(n_sums):
                sums[k, vector * lanes].store(code.lanes(0))
            with code.loop(first_row, last_row) as row:
                for carried in (d_h_next, d_c_next):
                    carried[row, vector * lanes].store(code.lanes(0))

    with code.loop(*steps) as step:
        t = code.whole(T - 1) - step
        c_previous = code.choose(t.is_equal(0), cell_before, cell[t - 1])
        with code.once(step.is_equal(0)):
            clear()
        with code.loop(*panels) as k, code.once(step.differs(0)):
            panel = _turned(code, k, *panels, t % 2)
            _for_tiles(
                code, B, tune_chunks, *tiles, lambda row, rows: carry(t + 1, panel, row, rows)
            )
        _for_vectors(code, H, lambda *vector: undo_rows(t, *vector, c_previous), *vectors)
    code.builder.ret_void()

    code = _code(kernel, "sum", dtype, 1)
    partial = code.array(13, (1,))[matrix_size + 2 * B * padded]
    partial.strides = (n_sums * padded, padded, 1)
    totals = [code.array(9, (1,))[g * H] for g in range(N_GATES)]
    totals += [code.array(position, (1,)) for position in (10, 11, 12)]
    for total in totals:
        total.strides = (1,)

    def add(vector, count):
        for k, total in enumerate(totals):
            value = partial[0, k, vector * lanes].load()
            for n in range(1, tune_chunks):
                value = value + partial[n, k, vector * lanes].load()
            total[vector * lanes].store(value, count)

    _for_vectors(code, H, add)
    code.builder.ret_void()
    return kernel


def _first_row(code, n_rows, n_chunks, tile):
    """Return the row with which a tile begins, as `_for_tiles` cuts them."""
    size, larger, _ = _row_tiles(n_rows, n_chunks)
    return tile * (size - 1) + _smaller(code, tile, code.whole(larger))


def _pack_transposed(code, matrix, packed, first_row, n_rows, first_k, n_k):
    """Copy rows of a matrix into the columns of a panel, a square of lanes at a time.

    Rows from `first_row`, as many as a panel has columns; for those from `n_rows` on the last one
    stands in, since nobody reads what comes of them.
    Columns from `first_k`, `n_k` of them, become the panel's rows; columns beyond them are
    read only where n_k is no multiple of the lanes, and never beyond the row's end.
    """
    lanes = code.n_lanes
    row_length = matrix.strides[0]

    def square(row, k, count):
        rows = []
        for m in range(lanes):
            existing = _smaller(code, row + m, code.whole(n_rows - 1))
            rows.append(matrix[existing, first_k + k].load(count))
        return code.transposed(rows)[:count]

    def columns(block, count):
        with code.loop(0, TILE_VECTORS) as v:
            for n, column in enumerate(square(first_row + v * lanes, block * lanes, count)):
                packed[block * lanes + n, v * lanes].store(column)

    with code.loop(0, n_k // lanes) as block:
        columns(block, lanes)
    if row_length % lanes:
        with code.loop(n_k // lanes, (n_k + (lanes - 1)) // lanes) as block:
            columns(block, row_length % lanes)


def _for_panels(code, n_columns, first, last, body):
    """Write body(panel, lanes of each of its vectors) for the panels from `first` to `last`."""
    lanes = code.n_lanes
    full, rest = divmod(n_columns, TILE_VECTORS * lanes)
    if full:
        with code.loop(first, _smaller(code, last, code.whole(full))) as panel:
            body(panel, [lanes] * TILE_VECTORS)
    if rest:
        counts = [min(lanes, rest - k) for k in range(0, rest, lanes)]
        with code.loop(_larger(code, first, code.whole(full)), last) as panel:
            body(panel, counts)


def product(M, N, K, transposed, added, skipped, dtype, n_threads):
    """Make the kernel of left · right + added.

    Inputs: left (M, K), right (K, N), of which the first `skipped` rows are left out, and
    what is added: a row (N,), a matrix (M, N), or nothing. Result: (M, N). `transposed` names
    what is given transposed instead: "left" (K, M), "right" (N, K), or "".
    """
    n_given = 2 + (added != "nothing")
    in_place = {2: 0} if added == "matrix" else {}
    kernel = Kernel(ir.Module("product"), n_given, in_place=in_place)
    lanes = Code(ir.Module(), "unused", dtype).n_lanes
    width = TILE_VECTORS * lanes
    n_panels = -(-N // width)
    n_threads = _worth_sharing(M * N * K, n_threads)
    by_columns = n_panels >= 2 * n_threads
    n_chunks = min(n_threads, n_panels if by_columns else M)
    row_chunks = 1 if by_columns else n_chunks
    n_parts = -(-K // DEPTH)
    stripe = n_panels * min(K, DEPTH) * width
    kernel.results = [(M, N), (stripe * row_chunks,)]

    code = _code(kernel, "product", dtype, n_chunks)
    left = code.array(0, (1, M) if transposed == "left" else (K, 1))
    right = code.array(1, (K, 1) if transposed == "right" else (N, 1))
    if skipped:
        right = code.array(1, (N,))[skipped]
        right.strides = (N, 1)
    addend = code.array(2, (0 if added == "row" else N, 1))
    result = code.array(n_given, (N, 1))
    memory = code.array(n_given + 1, (stripe,))
    packed = memory[0 if by_columns else code.number]
    packed.strides = (min(K, DEPTH) * width, width, 1)
    n_tiles = _row_tiles(M, row_chunks)[2]
    panels = tiles = None
    if by_columns:
        panels = _share(code.number, n_chunks, n_panels)
        tiles = code.whole(0), code.whole(n_tiles)
    else:
        panels = code.whole(0), code.whole(n_panels)
        tiles = _share(code.number, n_chunks, n_tiles)

    def pack(panel, counts, first_k, depth):
        if transposed == "right":
            _pack_transposed(code, right, packed[panel], panel * width, N, first_k, depth)
            return
        with code.loop(0, depth) as k:
            for v, count in enumerate(counts):
                vector = right[first_k + k, panel * width + v * lanes].load(count)
                packed[panel, k, v * lanes].store(vector)

    def tile(panel, counts, row, rows, first_k, depth):
        places = [(m, v) for m in range(rows) for v in range(len(counts))]
        initial = []
        for m, v in places:
            place = row + m, panel * width + v * lanes
            if added == "nothing":
                begin = code.lanes(0)
                if n_parts > 1:
                    so_far = result[place].load(counts[v])
                    begin = code.choose(first_k.is_equal(0), begin, so_far)
            else:
                begin = addend[place]
                if n_parts > 1:
                    begin = code.choose(first_k.is_equal(0), begin, result[place])
                begin = begin.load(counts[v])
            initial.append(begin)
        factors = left[row, first_k]
        factors.strides = left.strides
        sums = _tile_product(code, depth, initial, factors, packed[panel], rows, len(counts))
        for (m, v), value in zip(places, sums):
            result[row + m, panel * width + v * lanes].store(value, counts[v])

    with code.loop(0, n_parts) as part:
        first_k = part * DEPTH
        depth = _smaller(code, code.whole(DEPTH), code.whole(K) - first_k)
        _for_panels(code, N, *panels, lambda *panel: pack(*panel, first_k, depth))
        first_tile, last_tile = tiles
        n_blocks = (last_tile - first_tile + (BLOCK_TILES - 1)) // BLOCK_TILES
        with code.loop(0, n_blocks) as block:
            first = first_tile + block * BLOCK_TILES
            last = _smaller(code, first + BLOCK_TILES, last_tile)
            _for_panels(
                code, N, *panels,
                lambda *panel: _for_tiles(
                    code, M, row_chunks, first, last,
                    lambda *rows: tile(*panel, *rows, first_k, depth),
                ),
            )  # fmt: skip
    code.builder.ret_void()
    return kernel


def roll_product(R, P, N, added, dtype, n_threads):
    """Make the kernel of roll · matrix + added, for a roll that is nearly all zeros.

    Inputs: roll (R, P), matrix (P, N), and what is added: a row (N,) or a matrix (R, N).
    Result: (R, N).
    """
    n_chunks = min(_worth_sharing(R * P * N // 4, n_threads), R)
    kernel = Kernel(ir.Module("roll_product"), 3, results=[(R, N), (1,)])
    code = _code(kernel, "product", dtype, n_chunks)
    roll, matrix = code.array(0, (P, 1)), code.array(1, (N, 1))
    addend, result = code.array(2, (0 if added == "row" else N, 1)), code.array(3, (N, 1))
    sounding = code.positions(P)

    with code.loop(*_share(code.number, n_chunks, R)) as row:
        sounding.find(roll[row], P)

        def columns(panel, counts, row=row):
            places = [
                panel * (TILE_VECTORS * code.n_lanes) + v * code.n_lanes for v in range(len(counts))
            ]
            sums = [addend[row, place].load(count) for place, count in zip(places, counts)]

            def body(k, sums):
                pitch = sounding[k]
                factor = roll[row, pitch].repeat()
                return [
                    factor.times_plus(matrix[pitch, place].load(count), value)
                    for value, place, count in zip(sums, places, counts)
                ]

            sums = code.accumulate(sounding.count(), sums, body)
            for value, place, count in zip(sums, places, counts):
                result[row, place].store(value, count)

        n_panels = -(-N // (TILE_VECTORS * code.n_lanes))
        _for_panels(code, N, code.whole(0), code.whole(n_panels), columns)
    code.builder.ret_void()
    return kernel


def roll_gradient(R, P, N, dtype, n_threads):
    """Make the kernel of rollᵀ · d_product, for a roll that is nearly all zeros.

    Inputs: roll (R, P), d_product (R, N). Result: (P, N).
    """
    kernel = Kernel(ir.Module("roll_gradient"), 2, results=[(P, N), (1,)])
    lanes = Code(ir.Module(), "unused", dtype).n_lanes
    width = TILE_VECTORS * lanes
    n_panels = -(-N // width)
    n_chunks = min(_worth_sharing(R * P * N // 4, n_threads), n_panels)
    code = _code(kernel, "gradient", dtype, n_chunks)
    roll, d_product, result = code.array(0, (P, 1)), code.array(1, (N, 1)), code.array(2, (N, 1))
    sounding = code.positions(P)
    panels = _share(code.number, n_chunks, n_panels)

    def clear(panel, counts):
        with code.loop(0, P) as pitch:
            for v, count in enumerate(counts):
                result[pitch, panel * width + v * lanes].store(code.lanes(0), count)

    _for_panels(code, N, *panels, clear)
    with code.loop(0, R) as row:
        sounding.find(roll[row], P)

        def add(panel, counts, row=row):
            places = [panel * width + v * lanes for v in range(len(counts))]
            slopes = [d_product[row, place].load(count) for place, count in zip(places, counts)]
            with code.loop(0, sounding.count()) as k:
                pitch = sounding[k]
                factor = roll[row, pitch].repeat()
                for slope, place, count in zip(slopes, places, counts):
                    there = result[pitch, place]
                    there.store(factor.times_plus(slope, there.load(count)), count)

        _for_panels(code, N, *panels, add)
    code.builder.ret_void()
    return kernel
