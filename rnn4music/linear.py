"""Matrix products over all steps of a sequence, and their gradients.

Here is everything that needs no loop over the steps: the products with the inputs and with the
layer below, and the weight gradients, each of them one product over all steps and tunes.

Conventions
-----------
Time-major sequences (T steps, B tunes, features). `@accelerated` functions are plain graphs.
`kernels.dispatch` has a machine-code version of each, which is used where it is available.
"""

from rnn4music.backend import accelerated, column_sums, concatenate, cut, dot, shape_of


def shift(sequence, initial):
    """Delay a (T, B, H) sequence by one step: `initial` comes first, the last row is dropped."""
    return concatenate([initial[None, :, :], sequence[:-1]], axis=0)


@accelerated(by="rnn4music.kernels.dispatch")
def masked(sequence, mask):
    """Multiply each step of a (T, B, N) sequence by a mask (B, N), unless the mask is None."""
    return sequence if mask is None else sequence * mask[None, :, :]


@accelerated(by="rnn4music.kernels.dispatch")
def noise_added(noise, matrices):
    """Add a vector to the elements of matrices, one matrix after the other."""
    added = cut(noise, [shape_of(matrix) for matrix in matrices])
    return [matrix + part for matrix, part in zip(matrices, added)]


def flat(sequence):
    """Reshape a (T, B, N) sequence to (T B, N)."""
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
    """Gradient of `apply_matrix` with respect to the matrix (N, M), summed over steps and tunes."""
    return dot(flat(sequence).T, flat(d_product))


@accelerated(by="rnn4music.kernels.dispatch")
def recurrent_gradient(hidden, initial, d_product):
    """`matrix_gradient` of the matrix that each step applies to the hidden state before it."""
    return matrix_gradient(shift(hidden, initial), d_product)


@accelerated(by="rnn4music.kernels.dispatch")
def apply_to_roll(roll, matrix, added):
    """`apply_matrix` for a piano roll (T, B, P), which is nearly all zeros.

    The accelerated version skips the zeros, and so any non-finite weight of a silent pitch.
    """
    return apply_matrix(roll, matrix, added)


@accelerated(by="rnn4music.kernels.dispatch")
def roll_gradient(roll, d_product):
    """`matrix_gradient` for a piano roll."""
    return matrix_gradient(roll, d_product)


@accelerated(by="rnn4music.kernels.dispatch")
def vector_gradient(d_sum):
    """Gradient with respect to a vector (N,) added to each row of a (T, B, N) sequence."""
    return column_sums(flat(d_sum))
