"""Composing as a kernel: `generation.run_window`.

The equations are not repeated here: the loop passes Vectors to `lstm.lstm_step`, and chords are
drawn by `chord_loops`. What a layer reads of the last sample is a sum of rows of `input_to_gates`,
one for each note.

With many tunes the matrices are packed once for all steps. With so few that they are one tile, a
step reads each number of a matrix once, and it is read where it is.

Threads share the tunes. T steps, B tunes, P pitches, K chord units, H units of a layer.
"""

import math

from rnn4music import lstm
from rnn4music.gates import Gates
from rnn4music.kernels import chord_loops
from rnn4music.kernels.lstm_loops import N_GATES
from rnn4music.kernels.simd import Positions, lanes_of
from rnn4music.kernels.tiling import (
    TILE_ROWS,
    TILE_VECTORS,
    Kernel,
    Rows,
    pack,
    panels,
    share,
    tile_product,
    units,
    whole,
    worth_sharing,
)


def run_window(T, B, P, K, H1, H2, H3, systematic, dtype, n_threads):
    """Make the kernel of `generation.run_window`.

    K is None without chords. Inputs: is_given (T,), uniform (T, B, P), threshold, sharpness, the
    last sample (B, P); for each layer the hidden and the cell state (B, H), the part of the
    pre-activations that is known before the loop (T, 4H), input_to_gates, below_to_gates (except in
    the first), hidden_to_gates and three peepholes; the output's matrices (H, P) and bias; with
    chord units their matrices (H, K) and bias; with chords pitches_to_output; with units also
    pitches_to_chords and chords_to_output. Results: sample and probabilities (B, T, P), each
    layer's hidden and cell state (B, H).
    """
    lanes, sizes = lanes_of(dtype), (H1, H2, H3)
    has_chords, K = K is not None, K or 0
    heads = [P, K] if K else [P]  # numbers of Y, and of a of the chord units
    # depths and number of columns of the matrices that are applied together
    products = [((H1,), 4 * H1), ((H1, H2), 4 * H2), ((H2, H3), 4 * H3)]
    products += [(sizes, N) for N in heads]
    n_operations = T * B * sum(sum(depths) * N for depths, N in products)
    n_chunks = min(worth_sharing(n_operations, n_threads), B)
    rows = Rows(B, n_chunks, TILE_ROWS)
    is_packed = rows.n_tiles > n_chunks
    most_rows = rows.size + (rows.n_larger > 0)

    def padded(n):
        return -(-n // lanes) * lanes

    def in_panels(n, n_rows):
        """Return the number of panels of n columns for tiles of n_rows, and vectors of each."""
        n_vectors = padded(n) // lanes
        n_panels = -(-n_vectors * n_rows // (TILE_ROWS * TILE_VECTORS))
        width = -(-n_vectors // n_panels)  # rounded up, so that fewer panels may be enough
        return -(-n_vectors // width), width

    cuts = [in_panels(N, TILE_ROWS if is_packed else most_rows) for _, N in products]
    in_scratch = {
        **{f"hidden{n}": (B, padded(H)) for n, H in enumerate(sizes)},
        **{f"cell{n}": (B, padded(H)) for n, H in enumerate(sizes)},
        **{f"peepholes{n}": (3, padded(H)) for n, H in enumerate(sizes)},
        **{f"output{n}": (B, padded(N)) for n, N in enumerate(heads)},
        "gates": (B, padded(4 * max(sizes) + lanes)),
        "drawing": (n_chunks, chord_loops.numbers_per_lane(P, K), lanes),
    }
    if is_packed:
        for n, (depths, _) in enumerate(products):
            in_scratch[f"packed{n}"] = (cuts[n][0], sum(depths), cuts[n][1] * lanes)
    kernel = Kernel(
        "run_window",
        dtype,
        results=[
            (B, T, P), (B, T, P), *((B, H) for H in sizes for _ in ("hidden", "cell")),
            (sum(map(math.prod, in_scratch.values())),),
        ],
    )  # fmt: skip

    def arrays(code):
        """Return the inputs and results in groups, and the arrays in scratch memory by name."""

        def matrix(n):
            return (n, 1)

        strides = [[(1,), (B * P, P, 1), (), (), matrix(P)]]
        for n, H in enumerate(sizes):
            strides += [[matrix(H)] * 2 + [matrix(4 * H)] * (4 if n else 3) + [(1,)] * 3]
        strides += [[matrix(N)] * 3 + [(1,)] for N in heads]
        strides += [[matrix(P)] * has_chords + [matrix(K), matrix(P)] * (K > 0)]
        strides += [[(P, T * P, 1)] * 2 + [matrix(H) for H in sizes for _ in range(2)], [(1,)]]
        flat = iter(code.arrays(sum(strides, [])))
        groups = [[next(flat) for _ in group] for group in strides]
        memory, start, scratch = groups.pop()[0], 0, {}
        for name, shape in in_scratch.items():
            own = [math.prod(shape[n + 1 :]) for n in range(len(shape))]
            scratch[name] = memory[start].view(*own)
            start += math.prod(shape)
        matrices = [layer[4:-3] for layer in groups[1:4]] + [head[:3] for head in groups[4:-2]]
        return groups, matrices, scratch

    code = kernel.phase("pack", 1)
    groups, matrices, scratch = arrays(code)
    for n, H in enumerate(sizes):
        for unit, count in units(code, H):
            for k, peephole in enumerate(groups[1 + n][-3:]):
                scratch[f"peepholes{n}"][k, unit].store(peephole[unit].load(count))
    for n, (depths, N) in enumerate(products if is_packed else []):
        for panel, columns in panels(code, N, *whole(code, cuts[n][0]), cuts[n][1]):
            packed = scratch[f"packed{n}"][panel]
            for matrix, depth in zip(matrices[n], depths):
                pack(code, matrix, packed, columns, 0, depth)
                packed = packed[depth].view(*packed.strides)
    code.end()

    code = kernel.phase("steps", n_chunks)
    groups, matrices, scratch = arrays(code)
    (is_given, uniform, threshold, sharpness, before), layers = groups[0], groups[1:4]
    chords, (sample, probabilities, *states_after) = groups[-2:]
    states = [[scratch[f"{kind}{n}"] for kind in ("hidden", "cell")] for n in range(3)]
    outputs = [scratch[f"output{n}"] for n in range(len(heads))]
    tiles = share(code.number, n_chunks, rows.n_tiles)
    tunes = tuple(rows.first_row(tile) for tile in tiles)
    notes = Positions(code, P)

    def add_products(n, lefts, sums):
        """Add left · matrix + … to sums (B, N)."""
        (depths, N), (n_panels, vectors) = products[n], cuts[n]
        packed = scratch.get(f"packed{n}")
        for panel, columns in panels(code, N, *whole(code, n_panels), vectors):
            counts = len(columns) if packed else [count for _, count in columns]
            for row, n_rows in rows.tiles(code, *tiles):
                places = [sums[row + m, column] for m in range(n_rows) for column, _ in columns]
                values, first = [place.load() for place in places], 0
                for left, matrix, depth in zip(lefts, matrices[n], depths):
                    right = packed[panel, first] if packed else matrix[0, columns[0][0]]
                    right = right.view(vectors * lanes if packed else N, 1)
                    factors = left[row].view(*left.strides)
                    values = tile_product(code, depth, values, factors, right, n_rows, counts)
                    first += depth
                for place, value in zip(places, values):
                    place.store(value)

    def layer(n, H, t, last_sample, reads_own):
        known, input_to_gates = layers[n][2:4]
        hidden, cell = states[n]
        gates, peepholes = scratch["gates"], scratch[f"peepholes{n}"]
        n_panels, vectors = in_panels(4 * H, 1)
        with code.loop(*tunes) as row:
            notes.find(last_sample[row], P)
            for _, columns in panels(code, 4 * H, *whole(code, n_panels), vectors):
                own = [known[t, column].load(count) for column, count in columns]
                with code.loop(0, notes.count() * reads_own, own) as k:
                    pitch = notes[k]
                    for v, (column, count) in enumerate(columns):
                        own[v] = own[v] + input_to_gates[pitch, column].load(count)
                for (column, _), value in zip(columns, own):
                    gates[row, column].store(value)
        lefts = [states[n - 1][0]] * (n > 0) + [hidden]
        add_products(n, lefts, gates)
        with code.loop(*tunes) as row, code.loop(0, padded(H) // lanes) as vector:
            unit = vector * lanes
            a = gates[row].view(H, 1)
            h, c, _ = lstm.lstm_step(
                Gates(*(a[g, unit].load() for g in range(N_GATES))),
                cell[row, unit].load(),
                *(peepholes[k, unit].load() for k in range(3)),
            )
            hidden[row, unit].store(h)
            cell[row, unit].store(c)

    def draw(t):
        settings, results = (sharpness, threshold), (sample[t], probabilities[t])
        if has_chords or systematic:
            chord_loops.draw(
                code, tunes, P, K, outputs[0], uniform[t], settings,
                [*chords[:1], *outputs[1:], *chords[1:]], results,
                scratch["drawing"][code.number], systematic,
            )  # fmt: skip
            return
        with code.loop(*tunes) as row:
            for pitch, count in units(code, P):
                probability = (outputs[0][row, pitch].load() * sharpness.broadcast()).sigmoid()
                probability = probability * probability.exceeds(threshold.broadcast())
                drawn = probability.exceeds(uniform[t, row, pitch].load(count))
                for value, result in zip((drawn, probability), results):
                    result[row, pitch].store(value, count)

    for n, H in enumerate(sizes):
        for unit, count in units(code, H):
            with code.loop(*tunes) as row:
                for source, state in zip(layers[n], states[n]):
                    state[row, unit].store(source[row, unit].load(count))
    with code.loop(0, T) as t, code.if_(is_given[t].broadcast().exceeds(-1).any()):
        reads_given = is_given[t].broadcast().exceeds(0).any()
        reads_own = code.select(reads_given, code.index(0), code.index(1))
        is_first = t.compare("==", 0)
        distance = code.select(is_first, code.index(P), code.index(T * P))  # of two tunes
        last_sample = code.select(is_first, before, sample[t - 1]).view(distance, 1)
        for n, H in enumerate(sizes):
            layer(n, H, t, last_sample, reads_own)
        for n, output in enumerate(outputs):
            bias = groups[4 + n][-1]
            for column, count in units(code, heads[n]):
                with code.loop(*tunes) as row:
                    output[row, column].store(bias[column].load(count))
            lefts = [hidden for hidden, _ in states]
            add_products(3 + n, lefts, output)
        draw(t)
    for n, H in enumerate(sizes):
        for unit, count in units(code, H):
            with code.loop(*tunes) as row:
                for state, result in zip(states[n], states_after[2 * n :]):
                    result[row, unit].store(state[row, unit].load(), count)
    code.end()
    return kernel
