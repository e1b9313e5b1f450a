"""The matrix products and the sums of columns as kernels: those of `linear`.

Sums are split into parts of `DEPTH` terms. For each part, the rows of the right
matrix are copied into panels; then blocks of `BLOCK_TILES` tiles of rows are multiplied by panel
after panel, so that both stay in a cache. A piano roll is nearly all zeros, which its products
skip.

Sizes: M rows, N columns, K terms; for rolls R = T · B rows, P pitches.
"""

from rnn4music.kernels.simd import Positions, lanes_of
from rnn4music.kernels.tiling import (
    TILE_ROWS,
    TILE_VECTORS,
    Kernel,
    Rows,
    pack,
    pack_transposed,
    panels,
    share,
    tile_product,
    whole,
    worth_sharing,
)

DEPTH = 512
"""Most terms of a part."""
BLOCK_TILES = 32


def product(M, N, K, transposed, skipped, dtype, n_threads):
    """Make the kernel of left · right + addend.

    Inputs: left (M, K), right (K, N), preceded in memory by `skipped` unused rows, the addend, and
    the distance of its rows: N for a matrix (M, N), 0 for a row (N,) that is added to all rows.
    Result: (M, N). `transposed` says which input is stored transposed: "left" (K, M), "right"
    (N, K), or "" for neither.
    """
    lanes = lanes_of(dtype)
    width = TILE_VECTORS * lanes
    n_panels, n_parts = -(-N // width), -(-K // DEPTH)
    part_size = -(-K // (n_parts * lanes)) * lanes  # n_parts times this covers K
    n_threads = worth_sharing(M * N * K, n_threads)
    by_columns = n_panels >= 2 * n_threads
    n_chunks = min(n_threads, n_panels if by_columns else M)
    row_chunks = 1 if by_columns else n_chunks
    rows = Rows(M, row_chunks, TILE_ROWS)
    panel_size = min(K, part_size) * width
    stripe = n_panels * panel_size  # the panels of a chunk of rows
    strides = [
        (1, M) if transposed == "left" else (K, 1),
        (K, 1) if transposed == "right" else (N, 1),
        (),
        (),
        (N, 1),
        (stripe, panel_size, width, 1),
    ]
    kernel = Kernel(
        "product",
        dtype,
        results=[(M, N), (row_chunks * stripe,)],
        in_place={2: 0},
    )

    code = kernel.phase("product", n_chunks)
    left, right, addend, distance, result, packed = code.arrays(strides)
    addend = addend.view(distance.integer(), 1)
    right = right[skipped].view(*right.strides)
    if by_columns:
        tiles, part_of_columns = whole(code, rows.n_tiles), share(code.number, n_chunks, n_panels)
        packed = packed[0]
    else:
        tiles, part_of_columns = share(code.number, n_chunks, rows.n_tiles), whole(code, n_panels)
        packed = packed[code.number]

    def pack_parts(first_k, depth):
        """Copy the right matrix; transposed, the last panel needs no code of its own."""
        if transposed == "right":
            with code.loop(*part_of_columns) as panel:
                pack_transposed(code, right, packed[panel], panel * width, N, first_k, depth)
        else:
            for panel, columns in panels(code, N, *part_of_columns):
                pack(code, right, packed[panel], columns, first_k, depth)

    def begin(first_k, row, column, count):
        """Return the initial value of a sum: the addend, or in a later part the sum so far."""
        start = addend[row, column]
        if n_parts > 1:
            start = code.select(first_k.compare("==", 0), start, result[row, column])
        return start.load(count)

    def tile(first_k, depth, panel, columns, row, n_rows):
        places = [(row + m, column, count) for m in range(n_rows) for column, count in columns]
        start = [begin(first_k, *place) for place in places]
        factors = left[row, first_k].view(*left.strides)
        sums = tile_product(code, depth, start, factors, packed[panel], n_rows, len(columns))
        for value, (row, column, count) in zip(sums, places):
            result[row, column].store(value, count)

    with code.loop(0, n_parts) as part:
        first_k = part * part_size
        depth = code.index(part_size).at_most(code.index(K) - first_k)
        pack_parts(first_k, depth)
        n_blocks = (tiles[1] - tiles[0] + (BLOCK_TILES - 1)) // BLOCK_TILES
        with code.loop(0, n_blocks) as block:
            first = tiles[0] + block * BLOCK_TILES
            last = (first + BLOCK_TILES).at_most(tiles[1])
            for panel in panels(code, N, *part_of_columns):
                for some_rows in rows.tiles(code, first, last):
                    tile(first_k, depth, *panel, *some_rows)
    code.end()
    return kernel


def roll_product(R, P, N, added, dtype, n_threads):
    """Make the kernel of roll · matrix + added.

    Inputs: roll (R, P), matrix (P, N), and the addend: a row (N,) or a matrix (R, N).
    Result: (R, N).
    """
    width = TILE_VECTORS * lanes_of(dtype)
    n_panels = -(-N // width)
    n_chunks = min(worth_sharing(R * P * N // 4, n_threads), R)
    kernel = Kernel("roll_product", dtype, results=[(R, N), (1,)])
    code = kernel.phase("product", n_chunks)
    addend_strides = (0 if added == "row" else N, 1)
    roll, matrix, addend, result, _ = code.arrays([(P, 1), (N, 1), addend_strides, (N, 1), (1,)])
    sounding = Positions(code, P)
    with code.loop(*share(code.number, n_chunks, R)) as row:
        sounding.find(roll[row], P)
        for _, columns in panels(code, N, *whole(code, n_panels)):
            sums = [addend[row, column].load(count) for column, count in columns]
            with code.loop(0, sounding.count(), sums) as k:
                pitch = sounding[k]
                factor = roll[row, pitch].broadcast()
                for n, (column, count) in enumerate(columns):
                    sums[n] = factor.fma(matrix[pitch, column].load(count), sums[n])
            for value, (column, count) in zip(sums, columns):
                result[row, column].store(value, count)
    code.end()
    return kernel


def roll_gradient(R, P, N, dtype, n_threads):
    """Make the kernel of rollᵀ · d_product.

    Inputs: roll (R, P), d_product (R, N). Result: (P, N).
    """
    width = TILE_VECTORS * lanes_of(dtype)
    n_panels = -(-N // width)
    n_chunks = min(worth_sharing(R * P * N // 4, n_threads), n_panels)
    kernel = Kernel("roll_gradient", dtype, results=[(P, N), (1,)])
    code = kernel.phase("gradient", n_chunks)
    roll, d_product, result, _ = code.arrays([(P, 1), (N, 1), (N, 1), (1,)])
    sounding = Positions(code, P)
    part_of_columns = share(code.number, n_chunks, n_panels)
    for _, columns in panels(code, N, *part_of_columns):
        with code.loop(0, P) as pitch:
            for column, count in columns:
                result[pitch, column].store(code.vector(0), count)
    with code.loop(0, R) as row:
        sounding.find(roll[row], P)
        for _, columns in panels(code, N, *part_of_columns):
            slopes = [d_product[row, column].load(count) for column, count in columns]
            with code.loop(0, sounding.count()) as k:
                pitch = sounding[k]
                factor = roll[row, pitch].broadcast()
                for slope, (column, count) in zip(slopes, columns):
                    so_far = result[pitch, column]
                    so_far.store(factor.fma(slope, so_far.load(count)), count)
    code.end()
    return kernel


def vector_gradient(R, N, dtype, n_threads):
    """Make the kernel of `linear.vector_gradient`: the sums of the columns.

    Input: d_sum (R, N). Result: (N,).
    """
    n_panels = -(-N // (TILE_VECTORS * lanes_of(dtype)))
    n_chunks = min(worth_sharing(4 * R * N, n_threads), n_panels)  # slower than multiplications
    kernel = Kernel("vector_gradient", dtype, results=[(N,), (1,)])
    code = kernel.phase("sum", n_chunks)
    d_sum, result, _ = code.arrays([(N, 1), (1,), (1,)])
    for _, columns in panels(code, N, *share(code.number, n_chunks, n_panels)):
        totals = [code.vector(0) for _ in columns]
        with code.loop(0, -(-R // DEPTH), totals) as part:
            sums = [code.vector(0) for _ in columns]
            with code.loop(part * DEPTH, (part * DEPTH + DEPTH).at_most(R), sums) as row:
                loaded = (d_sum[row, column].load(count) for column, count in columns)
                sums[:] = [one + value for one, value in zip(sums, loaded)]
            totals[:] = [total + one for total, one in zip(totals, sums)]
        for total, (column, count) in zip(totals, columns):
            result[column].store(total, count)
    code.end()
    return kernel
