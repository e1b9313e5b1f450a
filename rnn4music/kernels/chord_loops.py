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

    Inputs: Y (B, P), uniform (B, P), pitches_to_output (P, P), sharpness and threshold; with units
    also a (B, K), pitches_to_chords (P, K) and chords_to_output (K, P). Results: sample,
    probabilities.
    """
    lanes = lanes_of(dtype)
    n_vectors, n_degrees = -(-B // lanes), max(1, P - 1)
    n_chunks = min(worth_sharing(B * P * (P // 2 + K), n_threads), n_vectors)
    n_numbers = 3 * P + 2 * K  # for each lane
    kernel = Kernel(
        "draw_pitches", dtype, results=[(B, P), (B, P), (n_chunks * n_numbers * lanes,)]
    )
    code = kernel.phase("draw", n_chunks)
    rows, of_units = (P, 1), [(K, 1), (K, 1), (P, 1)] if K else []
    strides = [rows, rows, rows, (), (), *of_units, rows, rows, (n_numbers * lanes, lanes, 1)]
    Y, uniform, L, sharpness, threshold, *of_units, sample, probabilities, memory = code.arrays(
        strides
    )
    sharpness, threshold = sharpness.broadcast(), threshold.broadcast()
    memory = memory[code.number]
    y, p, x, a, s = (memory[n].view(lanes, 1) for n in (0, P, 2 * P, 3 * P, 3 * P + K))

    def take(tune, n_tunes, source, target, n):
        """Copy n numbers of each tune, one vector for the tunes' first numbers, and so on."""
        for first, count in units(code, n):
            own = [source[tune + min(m, n_tunes - 1), first] for m in range(lanes)]
            for k, vector in enumerate(code.transposed([row.load(count) for row in own])[:count]):
                target[first + k].store(vector)

    def give(tune, n_tunes, source, target):
        """Copy a number of each pitch back to the tunes."""
        for first, count in units(code, P):
            vectors = [source[first + min(k, count - 1)].load() for k in range(lanes)]
            for m, row in enumerate(code.transposed(vectors)[:n_tunes]):
                target[tune + m, first].store(row, count)

    def add(factors, n_factors, matrix, sums, n, from_sum):
        """Add factors · matrix to n sums, of which those below `from_sum` are not read again."""
        for first, count in units(code, n, from_sum // lanes, code.index(-(-n // lanes))):
            totals = [sums[first + k].load() for k in range(count)]
            with code.loop(0, n_factors, totals) as m:
                factor, row = factors[m].load(), matrix[m, first].view(1)
                totals[:] = [factor.fma(row[k].broadcast(), t) for k, t in enumerate(totals)]
            for k, total in enumerate(totals):
                sums[first + k].store(total)

    for tunes in units(code, B, *share(code.number, n_chunks, n_vectors)):
        take(*tunes, Y, y, P)
        take(*tunes, uniform, x, P)
        if K:
            take(*tunes, of_units[0], a, K)
        with code.loop(0, P) as k:
            probability = (y[k].load() * sharpness).sigmoid()
            probability = probability * probability.exceeds(threshold)
            sounds = probability.exceeds(x[k].load())
            p[k].store(probability)
            x[k].store(sounds)
            drawn = x[k].view(lanes, 1)
            with code.if_(sounds.any()):
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
        give(*tunes, x, sample)
        give(*tunes, p, probabilities)
    code.end()
    return kernel
