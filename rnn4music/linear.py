"""Matrices applied to all steps of a sequence at once, and the gradients at them.

All that needs no loop over the steps: the products with the inputs and the layer below, and
the weight gradients, each one product over all steps and tunes.

Conventions
-----------
Time-major sequences (T steps, B tunes, features). `@accelerated` functions are plain graphs,
and `kernels.dispatch` has a version of each in machine code, used where that is available.
"""

from rnn4music.backend import accelerated, column_sums, concatenate, dot, shape_of


def shift(sequence, initial):
    """Return the (T, B, H) sequence one step later: `initial` first, the last row dropped."""
    return concatenate([initial[None, :, :], sequence[:-1]], axis=0)


def masked(sequence, mask):
    """Multiply each step of (T, B, N) by a mask (B, N); None leaves it as it is."""
    return sequence if mask is None else sequence * mask[None, :, :]


def flat(sequence):
    """Lay the steps of (T, B, N) below each other: (T B, N)."""
    T, B, N = shape_of(sequence)
    return sequence.reshape((T * B, N))


@accelerated(by="rnn4music.kernels.dispatch")
def apply_matrix(sequence, matrix, added=None):
    """Multiply each row of a (T, B, N) sequence by an (N, M) matrix: (T, B, M).

    `added`, a vector (M,) or a sequence (T, B, M), is added to the result.
    """
    T, B, _ = shape_of(sequence)
    product = dot(flat(sequence), matrix).reshape((T, B, shape_of(matrix)[1]))
    return product if added is None else product + added


@accelerated(by="rnn4music.kernels.dispatch")
def apply_transposed(sequence, matrix, added=None):
    """`apply_matrix` with the transpose of an (M, N) matrix."""
    return apply_matrix(sequence, matrix.T, added)


@accelerated(by="rnn4music.kernels.dispatch")
def matrix_gradient(sequence, d_product):
    """Gradient of `apply_matrix` at the matrix (N, M), summed over steps and tunes."""
    return dot(flat(sequence).T, flat(d_product))


@accelerated(by="rnn4music.kernels.dispatch")
def recurrent_gradient(hidden, initial, d_product):
    """`matrix_gradient` at the matrix that each step applies to the step before it."""
    return matrix_gradient(shift(hidden, initial), d_product)


@accelerated(by="rnn4music.kernels.dispatch")
def apply_to_roll(roll, matrix, added):
    """`apply_matrix` for a piano roll (T, B, P), which is nearly all zeros.

    A faster version may skip them, and with them what is not finite in their rows.
    """
    return apply_matrix(roll, matrix, added)


@accelerated(by="rnn4music.kernels.dispatch")
def roll_gradient(roll, d_product):
    """`matrix_gradient` for a piano roll."""
    return matrix_gradient(roll, d_product)


def vector_gradient(d_sum):
    """Gradient at a vector (N,) that is added to each row of a (T, B, N) sequence."""
    return column_sums(flat(d_sum))
