"""The four compiled functions: graphs of the network with names for what goes in and out.

Each builder takes the shared parameters and returns a callable on arrays. Window lengths
and numbers of tunes are fixed where the engine wants them fixed (`backend.tensor`); all
settings are inputs, so that changing one never compiles anything.

Conventions
-----------
T steps, B tunes, P pitches. `weights` (T, B) says how much each step of each tune counts:
1 / number of tunes, and 0 where a minibatch is padded. `states` is the flat list hidden 1,
cell 1, hidden 2, … of what each layer carries: (H,) in training, where all tunes start
alike, and (B, H) where they have gone their own ways.
"""

from rnn4music import backend, network, updates
from rnn4music.costs import COSTS
from rnn4music.lstm import State


def paired(flat):
    """Return the tuple of `State` of a flat list hidden 1, cell 1, hidden 2, …"""
    return tuple(State(*flat[k : k + 2]) for k in range(0, len(flat), 2))


def flattened(states):
    """Return the flat list of a tuple of `State`."""
    return [array for state in states for array in state]


def _cost_and_gradients(inputs, targets, weights, initial, parameters, cost):
    """Return the symbolic cost of a minibatch and its hand-written gradients."""
    n_tunes = backend.shape_of(inputs)[1]
    initial = paired([backend.repeat_row(vector, n_tunes) for vector in initial])
    Y, activities = network.forward(inputs, initial, parameters)
    weights = weights[:, :, None]
    total = backend.sum_over(COSTS[cost].value(Y, targets) * weights)
    d_Y = COSTS[cost].derivative(Y, targets) * weights
    return total, network.backward(d_Y, inputs, initial, activities, parameters)


def compile_gradients(parameters, initial, cost, shape, dtype):
    """Compile (inputs, targets, weights) → [cost, *gradients in the order of `named`].

    Parameters
    ----------
    parameters : dict of name to shared variable
    initial : list of shared (H,)
        The states at t = −1, flat.
    cost : str
        A name of `costs.COSTS`.
    shape : (T, B, P)
        Of `inputs` and of `targets`.
    dtype : str
    """
    inputs = backend.tensor("inputs", dtype, shape)
    targets = backend.tensor("targets", dtype, shape)
    weights = backend.tensor("weights", dtype, shape[:2])
    total, gradients = _cost_and_gradients(
        inputs, targets, weights, initial, network.unnamed(parameters), cost
    )
    return backend.function(
        [inputs, targets, weights], [total, *network.named(gradients).values()]
    )


def compile_update(parameters, mean_squares, initial, cost, shape, dtype):
    """Compile one training update: forward, backward, clip, L1, RMSprop.

    The function takes windows (T + 1, B, P), weights (T, B), the learning rates (4,) of the
    three layers and the output, gradClip, epsilon, sparseParam; it changes `parameters` and
    `mean_squares` and returns [cost, *gradients before clipping].
    """
    T, B, P = shape
    windows = backend.tensor("windows", dtype, (T + 1, B, P))
    weights = backend.tensor("weights", dtype, (T, B))
    rates = backend.tensor("rates", dtype, (4,))
    settings = [backend.tensor(name, dtype, ()) for name in ("gradClip", "epsilon", "sparseParam")]
    bound, epsilon, sparsity = settings
    total, gradients = _cost_and_gradients(
        windows[:-1], windows[1:], weights, initial, network.unnamed(parameters), cost
    )
    gradients = network.named(gradients)

    changes = []
    for name, parameter in parameters.items():
        gradient = updates.clip(gradients[name], bound)
        if not name.endswith("bias"):
            gradient = gradient + updates.l1_penalty(parameter, sparsity)
        new_parameter, new_mean_square = updates.rmsprop(
            parameter, gradient, mean_squares[name], rates[_rate_index(name)], epsilon
        )
        changes += [(parameter, new_parameter), (mean_squares[name], new_mean_square)]
    return backend.function(
        [windows, weights, rates, *settings], [total, *gradients.values()], changes
    )


def _rate_index(name):
    """Return which of the rates (R1, R2, R3, Rout) a parameter learns at."""
    group = name.split("/")[0]
    return 3 if group == "output" else int(group.removeprefix("layer")) - 1


def compile_forward(parameters, state_sizes, shape, dtype):
    """Compile (inputs (T, B, P), *states (B, H)) → [Y (T, B, P), *states after the last step]."""
    inputs = backend.tensor("inputs", dtype, shape)
    states = _state_inputs(state_sizes, shape[1], dtype)
    Y, activities = network.forward(inputs, paired(states), network.unnamed(parameters))
    after = [State(activity.hidden[-1], activity.cell[-1]) for activity in activities]
    return backend.function([inputs, *states], [Y, *flattened(after)])


def compile_sampling(parameters, state_sizes, shape, dtype):
    """Compile a window of generation.

    The function takes ``given`` (T, B, P) and ``is_given`` (T,), 1 where the network reads a
    row of `given` and 0 where it reads its own last sample; ``uniform`` (T, B, P), the random
    numbers in [0, 1); the threshold; ``last`` (B, P), the sample before the window; and the
    states (B, H). It returns [tune (T, B, P), probabilities (T, B, P), last, *states].
    """
    T, B, P = shape
    given = backend.tensor("given", dtype, shape)
    is_given = backend.tensor("is_given", dtype, (T,))
    uniform = backend.tensor("uniform", dtype, shape)
    threshold = backend.tensor("threshold", dtype, ())
    last = backend.tensor("last", dtype, (B, P))
    states = _state_inputs(state_sizes, B, dtype)

    def step(given, is_given, uniform, last, *rest):
        states, (threshold, *weights) = rest[: len(state_sizes)], rest[len(state_sizes) :]
        x = backend.switch(is_given > 0, given, last)
        Y, states = network.network_step(
            x, paired(states), network.unnamed(dict(zip(parameters, weights)))
        )
        probabilities = backend.sigmoid(Y)
        probabilities = probabilities * (probabilities > threshold)
        sample = backend.cast(uniform < probabilities, dtype)
        return [sample, *flattened(states), probabilities]

    sample, *new_states, probabilities = backend.scan(
        step,
        sequences=[given, is_given, uniform],
        states=[last, *states, None],
        constants=[threshold, *parameters.values()],
        n_steps=backend.shape_of(given)[0],
    )
    after = [state[-1] for state in new_states]
    return backend.function(
        [given, is_given, uniform, threshold, last, *states],
        [sample, probabilities, sample[-1], *after],
    )


def _state_inputs(state_sizes, n_tunes, dtype):
    return [backend.tensor(f"state{k}", dtype, (n_tunes, n)) for k, n in enumerate(state_sizes)]
