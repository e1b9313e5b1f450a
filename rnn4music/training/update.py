"""One update: the noise, the gradient and the changed weights, on one device or on several.

Conventions
-----------
T steps, B columns of a minibatch, P pitches, H units, as in `graphs.compiled`.
"""

import math

import numpy as np

from rnn4music.training.noise import Noise
from rnn4music.training.segments import segment_cost_and_gradients


class Updater:
    """Makes the updates of one training.

    Parameters
    ----------
    network : graphs.compiled.CompiledNetwork
        On several devices each has an equal share of the columns; missing ones are padded with
        columns of weight 0.
    config : TrainConfig
    """

    def __init__(self, network, config):
        self.network, self.config, self.store = network, config, network.store
        self.noise = Noise.of(config, self.store)
        n_columns = self.store.n_pitches + self.store.n_conditions
        self.n_tunes = -(-config.batch_size // network.n_devices)  # of a device
        self.shape = config.n_steps, self.n_tunes, n_columns  # of a segment

    def is_compiled(self):
        """Return whether an update needs nothing that is not compiled yet."""
        name = "cost_and_gradients" if self.config.in_segments else "update"
        return self.network.is_compiled(name, self.shape, self.noise.kind)

    def __call__(self, windows, mask, states, key, settings):
        """Change the weights, unless the cost is not finite.

        Parameters
        ----------
        windows : (T + 1, B, P)
        mask : (T, B)
        states : list of (B, H)
            The states before the windows.
        key : tuple of int
            See `Noise.draw`.
        settings : list of scalar arrays
            As in `CompiledNetwork.update`.

        Returns
        -------
        cost : float
            Before the update.
        gradients : list of arrays
        after : list of (B, H)
            The states after the windows. On several devices none, unless they are carried on.
        """
        kind, noise = self.noise.kind, self.noise.draw(*key)
        B, width = mask.shape[1], self.n_tunes * self.network.n_devices
        windows, mask = _widened(windows, width, 1), _widened(mask, width, 1)
        states = [_widened(state, width, 0) for state in states]
        if kind.dropout:
            n = len(states) // 2  # masks, one for each layer
            noise = [*(_widened(dropped, width, 0) for dropped in noise[:n]), *noise[n:]]
        if self.config.in_segments:
            cost, gradients, after = segment_cost_and_gradients(
                self.network, states, windows, mask, self.shape, kind, noise
            )
            if math.isfinite(cost):
                self.network.apply_gradients(())(*gradients, *settings)
        else:
            update = self.network.update(self.shape, kind)
            cost, *results = update(windows, mask, *states, *noise, *settings)
            gradients, after = results[: -len(states)], results[-len(states) :]
        if self.network.mesh is not None:
            after = self._whole(after, B) if self.config.windows == "all" else []
        return float(cost), gradients, after

    def _whole(self, states, B):
        """Return the states of all devices, without padding."""
        from rnn4music.backend import devices

        return [state[:B] for state in devices.gathered(states, self.network.mesh)]


def _widened(array, n_columns, axis):
    """Pad an array with zeros to this many columns."""
    n = n_columns - array.shape[axis]
    return np.pad(array, [(0, n * (k == axis)) for k in range(array.ndim)]) if n else array
