"""The drawing of a step's pitches as a kernel: `chords.draw_pitches`.

A vector has a lane for each of several tunes, and they draw the same pitch together. Once they have
drawn it, all that it changes is brought up to date: the units that it is read by, and the pitches
above it. A pitch that is silent in all lanes changes nothing and is skipped.

Threads share the tunes. B tunes, P pitches, K chord units.
"""

from rnn4music.kernels.simd import lanes_of
from rnn4music.kernels.tiling import Kernel, loops, share, units, whole, worth_sharing


def draw_pitches(B, P, K, dtype, n_threads):
    """Make the kernel of `chords.draw_pitches`.

    Inputs: Y (B, P), uniform (B, P), sharpness and threshold, pitches_to_output (P, P); with units
    also a (B, K), pitches_to_chords (P, K) and chords_to_output (K, P). Results: sample,
    probabilities.
    """
    lanes = lanes_of(dtype)
    n_vectors = -(-B // lanes)
    n_chunks = min(worth_sharing(B * P * (P // 2 + K), n_threads), n_vectors)
    size = numbers_per_lane(P, K) * lanes
    kernel = Kernel("draw_pitches", dtype, results=[(B, P), (B, P), (n_chunks * size,)])
    code = kernel.phase("draw", n_chunks)
    rows, of_units = (P, 1), [(K, 1), (K, 1), (P, 1)] if K else []
    Y, uniform, sharpness, threshold, *chords, sample, probabilities, memory = code.arrays(
        [rows, rows, (), (), rows, *of_units, rows, rows, (size, lanes, 1)]
    )
    settings, results = (sharpness, threshold), (sample, probabilities)
    first, last = (n * lanes for n in share(code.number, n_chunks, n_vectors))
    tunes = first, last.at_most(B)
    draw(code, tunes, P, K, Y, uniform, settings, chords, results, memory[code.number])
    code.end()
    return kernel


def numbers_per_lane(P, K):
    """Return the size of the memory that `draw` needs for each lane of a vector."""
    return 3 * P + 2 * K


def draw(code, tunes, P, K, Y, uniform, settings, chords, results, memory, systematic=False):
    """Emit the drawing of a step's pitches in the tunes of a range.

    `chords` are the arrays of `draw_pitches` from pitches_to_output on. Without any, the pitches
    do not act on each other, and may be drawn systematically; see `generation`.
    """
    lanes, n_degrees = code.n_lanes, max(1, P - 1)
    sharpness, threshold = (setting.broadcast() for setting in settings)
    y, p, x, a, s = (memory[n].view(lanes, 1) for n in (0, P, 2 * P, 3 * P, 3 * P + K))

    def of_lanes(array, tune, number):
        """Return a row for each lane; in lanes beyond the last tune, that of the last tune."""
        return [array[(tune + m).at_most(tunes[1] - 1), number] for m in range(lanes)]

    def take(tune, source, target, n):
        """Copy n numbers of each tune, one vector for the tunes' first numbers, and so on."""
        for first, count in units(code, n):
            own = [row.load(count) for row in of_lanes(source, tune, first)]
            for k, vector in enumerate(code.transposed(own)[:count]):
                target[first + k].store(vector)

    def give(tune, source, target):
        """Copy a number of each pitch back to the tunes."""
        for first, count in units(code, P):
            vectors = [source[first + min(k, count - 1)].load() for k in range(lanes)]
            for row, vector in zip(of_lanes(target, tune, first), code.transposed(vectors)):
                row.store(vector, count)

    def add(factors, n_factors, matrix, sums, n, from_sum):
        """Add factors · matrix to n sums, of which those below `from_sum` are not read again."""
        for first, count in units(code, n, from_sum // lanes, code.index(-(-n // lanes))):
            totals = [sums[first + k].load() for k in range(count)]
            with code.loop(0, n_factors, totals) as m:
                factor, row = factors[m].load(), matrix[m, first].view(1)
                totals[:] = [factor.fma(row[k].broadcast(), t) for k, t in enumerate(totals)]
            for k, total in enumerate(totals):
                sums[first + k].store(total)

    def act(k):
        """Bring up to date what a pitch changes, now that it is drawn."""
        L, *of_units = chords
        drawn = x[k].view(lanes, 1)
        with code.if_(x[k].load().any()):
            add(drawn, 1, L[k].view(P, 1), y, P, k + 1)  # (11)
            full, rest = divmod(K, n_degrees)  # groups of a unit of each degree
            n_groups = full + (rest > 0)
            for group, is_full in loops(code, *whole(code, n_groups), full, n_groups):
                u, n = group * n_degrees, n_degrees if is_full else rest
                V = of_units[1][k, u].view(K, 1)
                add(drawn, 1, V, a[u].view(lanes, 1), n, k)  # (9)
        if K:
            n_units = (code.index(K + n_degrees - 1) - k) // n_degrees  # of degree k
            with code.loop(0, n_units) as n:
                s[n].store(a[n * n_degrees + k].load().tanh())  # (10)
            add(s, n_units, of_units[2][k].view(n_degrees * P, 1), y, P, k + 1)  # (11)

    with code.loop(0, (tunes[1] - tunes[0] + (lanes - 1)) // lanes) as group:
        tune = tunes[0] + group * lanes
        take(tune, Y, y, P)
        take(tune, uniform, x, P)
        if K:
            take(tune, chords[1], a, K)
        line = [code.vector(0), code.vector(0)]  # its end so far, and the points up to there
        with code.loop(0, P, line) as k:
            probability = (y[k].load() * sharpness).sigmoid()
            probability = probability * probability.exceeds(threshold)
            if systematic:
                end = line[0] + probability
                n_points = code.intrinsic("ceil", end - x[k].load())
                sounds = n_points.exceeds(line[1]) * probability.exceeds(0)
                line[:] = end, n_points
            else:
                sounds = probability.exceeds(x[k].load())
            p[k].store(probability)
            x[k].store(sounds)
            if chords:
                act(k)
        give(tune, x, results[0])
        give(tune, p, results[1])
