"""The recurrent loops as kernels: `lstm.run_steps` and `lstm.run_steps_backward`.

The equations are not repeated here: the loops pass Vectors to `lstm.lstm_step`,
`lstm.lstm_step_backward` and `lstm.peephole_slopes`. This module adds the order of the work. The
loops go over the units vector by vector. The four gates of a vector of units are one tile; as soon
as its product with the recurrent matrix is complete, the step's equations are applied to it. Every
second step visits the units in reverse order, so that the part of a large matrix that is still in
the cache is used first.

Threads share the tunes or the units (`Cut`). T steps, B tunes, H units.
"""

from rnn4music import lstm
from rnn4music.gates import Gates
from rnn4music.kernels.simd import lanes_of
from rnn4music.kernels.tiling import (
    TILE_ROWS,
    TILE_VECTORS,
    Kernel,
    Rows,
    pack_transposed,
    reverse,
    share,
    tile_product,
    units,
    whole,
    worth_sharing,
)

N_GATES = len(Gates._fields)
N_SUMS = N_GATES + 3  # gradients of the bias and of three peepholes
GATE_ROWS = TILE_ROWS if N_GATES <= TILE_VECTORS else 3
"""Rows of a tile; it has one vector of each gate as its columns."""
UNITS_FROM = 256
"""Least number of units that threads share: the matrix no longer fits into one core's cache."""


class Cut:
    """The division of work among threads in the steps of B tunes and H units.

    By tunes, threads never wait for each other, but each reads the whole matrix at each step. By
    units, each thread keeps its part of the matrix in its own cache, and all wait for each other
    after each step; there is then one chunk of tunes.
    """

    def __init__(self, B, H, n_threads, tile_rows):
        by_units = H >= UNITS_FROM or (B < 2 * n_threads and H >= UNITS_FROM // 2)
        # a chunk has at least 64 units or two tunes
        self.n_chunks = max(1, min(n_threads, H // 64 if by_units else B // 2))
        self.by_units = by_units and self.n_chunks > 1
        self.tune_chunks = 1 if by_units else self.n_chunks
        self.pack_chunks = worth_sharing(8 * N_GATES * H * H, self.n_chunks)
        self.rows = Rows(B, self.tune_chunks, tile_rows)

    def ranges(self, code, T, n_parts):
        """Return a chunk's ranges of steps, of tiles of tunes, and of `n_parts` parts of units."""
        if self.by_units:
            t = code.number // self.n_chunks
            steps, tiles = (t, t + 1), whole(code, self.rows.n_tiles)
            return steps, tiles, share(code.number % self.n_chunks, self.n_chunks, n_parts)
        tiles = share(code.number, self.n_chunks, self.rows.n_tiles)
        return (0, T), tiles, whole(code, n_parts)


def run_steps(T, B, H, dtype, n_threads):
    """Make the kernel of `lstm.run_steps`.

    Inputs: a (T, B, 4H), hidden_to_gates (H, 4H), three peepholes (H,), the hidden and the
    cell states before the first step (B, H). Results: hidden, cell, gates.
    """
    lanes = lanes_of(dtype)
    n_vectors = -(-H // lanes)
    tile_width = N_GATES * lanes
    state, gate = (B * H, H, 1), (B * N_GATES * H, N_GATES * H, H, 1)
    strides = [
        gate, (N_GATES * H, H, 1), (1,), (1,), (1,), (H, 1), (H, 1),
        state, state, gate, (H * N_GATES, tile_width, lanes, 1),
    ]  # fmt: skip
    kernel = Kernel(
        "run_steps",
        dtype,
        results=[(T, B, H), (T, B, H), (T, B, N_GATES * H), (n_vectors * H * tile_width,)],
        in_place={0: 2},
    )
    cut = Cut(B, H, n_threads, GATE_ROWS)

    code = kernel.phase("pack", cut.pack_chunks)
    _, matrix, *_, packed = code.arrays(strides)
    for unit, count in units(code, H):
        with code.loop(*share(code.number, cut.pack_chunks, H)) as k:
            for g in range(N_GATES):
                packed[unit, k, g].store(matrix[k, g, unit].load(count))
    code.end()

    code = kernel.phase("steps", cut.n_chunks, T if cut.by_units else 0)
    a, _, *peepholes, h_before, c_before, hidden, cell, gates, packed = code.arrays(strides)
    sums = code.scratch(GATE_ROWS * N_GATES, (tile_width, lanes, 1))
    steps, tiles, part_of_units = cut.ranges(code, T, n_vectors)

    def tile(t, h_previous, c_previous, unit, count, row, n_rows):
        start = [a[t, row + m, g, unit].load(count) for m in range(n_rows) for g in range(N_GATES)]
        left, right = h_previous[row].view(H, 1), packed[unit].view(tile_width, 1)
        for n, value in enumerate(tile_product(code, H, start, left, right, n_rows, N_GATES)):
            sums[0, n].store(value)
        with code.loop(0, n_rows) as m:
            h, c, y = lstm.lstm_step(
                Gates(*(sums[m, g].load() for g in range(N_GATES))),
                c_previous[row + m, unit].load(count),
                *(peephole[unit].load(count) for peephole in peepholes),
            )
            hidden[t, row + m, unit].store(h, count)
            cell[t, row + m, unit].store(c, count)
            for g, value in enumerate(y):
                gates[t, row + m, g, unit].store(value, count)

    with code.loop(*steps) as t:
        is_first = t.compare("==", 0)
        h_previous = code.select(is_first, h_before, hidden[t - 1])
        c_previous = code.select(is_first, c_before, cell[t - 1])
        for unit, count in units(code, H, *part_of_units, turned=t % 2):
            for row, n_rows in cut.rows.tiles(code, *tiles):
                tile(t, h_previous, c_previous, unit, count, row, n_rows)
    code.end()
    return kernel


def run_steps_backward(T, B, H, dtype, n_threads):
    """Make the kernel of `lstm.run_steps_backward`.

    Inputs: d_hidden (T, B, H), gates (T, B, 4H), cell (T, B, H), the cell state before the
    first step (B, H), hidden_to_gates (H, 4H), three peepholes (H,), the derivatives with respect
    to the last hidden and cell states, from later steps (B, H). Results: d_a (T, B, 4H), the
    gradients of the bias (4H,) and of the peepholes (H,), the derivative with respect to the cell
    state before the first step (B, H).
    """
    lanes = lanes_of(dtype)
    width = TILE_VECTORS * lanes
    n_panels = -(-H // width)
    padded, depth = n_panels * width, N_GATES * H
    state, gate = (B * H, H, 1), (B * depth, depth, H, 1)
    strides = [
        state, gate, state, (H, 1), (depth, 1), (1,), (1,), (1,), (H, 1), (H, 1),
        gate, (H, 1), (1,), (1,), (1,), (H, 1), (1,),
    ]  # fmt: skip
    cut = Cut(B, H, n_threads, TILE_ROWS)
    # the scratch memory holds the matrix, d_h and d_c of the next step, sums for each chunk
    after_matrix = n_panels * depth * width
    after_carried = after_matrix + 2 * B * padded
    kernel = Kernel(
        "run_steps_backward",
        dtype,
        results=[
            (T, B, depth), (depth,), (H,), (H,), (H,), (B, H),
            (after_carried + cut.tune_chunks * N_SUMS * padded,),
        ],
        in_place={1: 0},
    )  # fmt: skip

    code = kernel.phase("pack", cut.pack_chunks)
    *_, memory = arrays = code.arrays(strides)
    packed = memory.view(depth * width, width, 1)
    with code.loop(*share(code.number, cut.pack_chunks, n_panels)) as panel:
        target = packed[panel]
        pack_transposed(code, arrays[4], target, panel * width, H, code.index(0), code.index(depth))
    code.end()

    code = kernel.phase("steps", cut.n_chunks, T if cut.by_units else 0)
    arrays = code.arrays(strides)
    d_hidden, gates, cell, c_before, _, *peepholes, d_h_after, d_c_after = arrays[:10]
    d_a, memory = arrays[10], arrays[-1]
    packed = memory.view(depth * width, width, 1)
    d_h_next = memory[after_matrix].view(padded, 1)
    d_c_next = memory[after_matrix + B * padded].view(padded, 1)
    sums = memory[after_carried].view(N_SUMS * padded, padded, 1)
    sums = sums[code.number if cut.tune_chunks > 1 else 0]
    steps, tiles, panels = cut.ranges(code, T, n_panels)
    rows = tuple(cut.rows.first_row(tile) for tile in tiles)
    part_of_units = panels[0] * TILE_VECTORS, (panels[1] * TILE_VECTORS).at_most(-(-H // lanes))

    def carry(t, panel, row, n_rows):
        """Compute d_h at t − 1 for some units and tunes: d_a at t times the transposed matrix."""
        start = [code.vector(0)] * (n_rows * TILE_VECTORS)
        left = d_a[t, row].view(depth, 1)
        product = tile_product(code, depth, start, left, packed[panel], n_rows, TILE_VECTORS)
        for n, value in enumerate(product):
            m, v = divmod(n, TILE_VECTORS)
            d_h_next[row + m, panel * width + v * lanes].store(value)

    def undo(t, c_previous, unit, count, row):
        c, c_previous = cell[t, row, unit].load(count), c_previous[row, unit].load(count)
        d_y, d_c = lstm.lstm_step_backward(
            d_hidden[t, row, unit].load(count) + d_h_next[row, unit].load(),
            d_c_next[row, unit].load(),
            Gates(*(gates[t, row, g, unit].load(count) for g in range(N_GATES))),
            c,
            c_previous,
            *(peephole[unit].load(count) for peephole in peepholes),
        )
        d_c_next[row, unit].store(d_c)
        for g, value in enumerate(d_y):
            d_a[t, row, g, unit].store(value, count)
        return [*d_y, *lstm.peephole_slopes(d_y, c, c_previous)]

    with code.loop(*steps) as step:
        t = code.index(T - 1) - step
        c_previous = code.select(t.compare("==", 0), c_before, cell[t - 1])
        with code.if_(step.compare("==", 0)):
            for unit, count in units(code, H, *part_of_units):
                for k in range(N_SUMS):
                    sums[k, unit].store(code.vector(0))
                with code.loop(*rows) as row:
                    for carried, after in ((d_h_next, d_h_after), (d_c_next, d_c_after)):
                        carried[row, unit].store(after[row, unit].load(count))
        with code.loop(*panels) as k, code.if_(step.compare("!=", 0)):
            panel = reverse(code, k, *panels, t % 2)
            for some_rows in cut.rows.tiles(code, *tiles):
                carry(t + 1, panel, *some_rows)
        for unit, count in units(code, H, *part_of_units):
            totals = [sums[k, unit].load() for k in range(N_SUMS)]
            with code.loop(rows[0], rows[1], totals) as row:
                slopes = undo(t, c_previous, unit, count, row)
                totals[:] = [total + slope for total, slope in zip(totals, slopes)]
            for k, total in enumerate(totals):
                sums[k, unit].store(total)
    code.end()

    code = kernel.phase("sum", 1)
    *_, d_bias, d_p_i, d_p_f, d_p_o, d_c_before, memory = code.arrays(strides)
    sums = memory[after_carried].view(N_SUMS * padded, padded, 1)
    d_c = memory[after_matrix + B * padded].view(padded, 1)
    totals = [*(d_bias[g] for g in range(N_GATES)), d_p_i, d_p_f, d_p_o]
    for unit, count in units(code, H):
        for k, total in enumerate(totals):
            value = sums[0, k, unit].load()
            for chunk in range(1, cut.tune_chunks):
                value = value + sums[chunk, k, unit].load()
            total[unit].store(value, count)
        with code.loop(0, B) as row:
            d_c_before[row, unit].store(d_c[row, unit].load(), count)
    code.end()
    return kernel
