"""Peer: the same network with peepholes in PyTorch, with a scripted time loop.

`nn.LSTM` has no peepholes, so the steps are written out. `torch.jit.script` compiles the loop over
time, and PyTorch differentiates it automatically. The products with the inputs and with the layer
below are computed for all steps together, outside the loop.

Conventions
-----------
Arrays are time-major, (T, B, feature). Parameters and their names are those of rnn4music.
"""

# pyright: reportMissingImports=false, reportPrivateImportUsage=false

import warnings

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.peers import EPSILON
from benchmarks.torch_lstm import chord_masks
from benchmarks.torch_lstm import use_threads as use_threads


def run_layer(
    a: torch.Tensor,
    h: torch.Tensor,
    c: torch.Tensor,
    hidden_to_gates: torch.Tensor,
    p_i: torch.Tensor,
    p_f: torch.Tensor,
    p_o: torch.Tensor,
) -> torch.Tensor:
    """Return the hidden states (T, B, H) of a layer, given its pre-activations (T, B, 4H)."""
    hidden: list[torch.Tensor] = []
    for a_t in a.unbind(0):
        i, f, g, o = torch.addmm(a_t, h, hidden_to_gates).chunk(4, 1)
        i = torch.sigmoid(i + p_i * c)
        f = torch.sigmoid(f + p_f * c)
        c = f * c + i * torch.tanh(g)
        h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
        hidden.append(h)
    return torch.stack(hidden)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer versions recommend torch.compile
    scripted_run_layer = torch.jit.script(run_layer)


class TorchCell:
    """The peer; `peers` describes its methods."""

    def __init__(self, n_pitches, n_units, initial, rate, bound, chord_units=None):
        del n_units  # implied by the weights
        self.masks = chord_masks(n_pitches, chord_units or 0)
        self.initial = [
            tuple(torch.tensor(initial[f"layer{n}/{field}"]) for field in ("hidden", "cell"))
            for n in (1, 2, 3)
        ]
        self.rate, self.bound = rate, bound
        self.weights, self.mean_squares = {}, []

    def set_parameters(self, mapping):
        """Set the weights and reset the averages of RMSprop."""
        self.weights = {
            name: torch.tensor(array, dtype=torch.float32, requires_grad=True)
            for name, array in mapping.items()
        }
        self.mean_squares = [torch.zeros_like(weight) for weight in self.weights.values()]

    def forward(self, inputs, following):
        """Return the pre-activations of the output, (T, B, P)."""
        weights, units = self.weights, self.weights.get("chords/bias")
        n_tunes = inputs.shape[1]
        Y = weights["output/bias"]
        below = None
        for n, state in enumerate(self.initial, start=1):
            layer = f"layer{n}"
            a = inputs @ weights[f"{layer}/input_to_gates"] + weights[f"{layer}/bias"]
            if below is not None:
                a = a + below @ weights[f"{layer}/below_to_gates"]
            below = scripted_run_layer(
                a,
                *(vector.expand(n_tunes, -1) for vector in state),
                weights[f"{layer}/hidden_to_gates"],
                *(weights[f"{layer}/peephole_{gate}"] for gate in ("input", "forget", "output")),
            )
            Y = Y + below @ weights[f"output/{layer}_to_output"]
            if units is not None:
                units = units + below @ weights[f"chords/{layer}_to_chords"]
        if "chords/pitches_to_output" not in weights:
            return Y
        reads, is_lower, acts = self.masks
        Y = Y + following @ (weights["chords/pitches_to_output"] * is_lower)
        if units is None:
            return Y
        units = torch.tanh(units + following @ (weights["chords/pitches_to_chords"] * reads))
        return Y + units @ (weights["chords/chords_to_output"] * acts)

    def cost(self, windows):
        """Return the cross-entropy of windows (T + 1, B, P): the sum, averaged over tunes."""
        Y = self.forward(windows[:-1], windows[1:])
        total = binary_cross_entropy_with_logits(Y, windows[1:], reduction="sum")
        return total / windows.shape[1]

    def _cost_and_gradients(self, windows):
        cost = self.cost(torch.from_numpy(windows))
        return cost, torch.autograd.grad(cost, list(self.weights.values()))

    def gradients(self, windows):
        """Return the cost and the gradients by name."""
        cost, gradients = self._cost_and_gradients(windows)
        return cost.item(), {
            name: gradient.numpy() for name, gradient in zip(self.weights, gradients)
        }

    def update(self, windows):
        """Update the weights once, and return the cost before the update."""
        cost, gradients = self._cost_and_gradients(windows)
        with torch.no_grad():
            gradients = [gradient.clamp_(-self.bound, self.bound) for gradient in gradients]
            torch._foreach_mul_(self.mean_squares, 0.9)
            torch._foreach_addcmul_(self.mean_squares, gradients, gradients, value=0.1)
            divisors = torch._foreach_clamp_min(self.mean_squares, EPSILON)
            torch._foreach_sqrt_(divisors)
            torch._foreach_addcdiv_(
                list(self.weights.values()), gradients, divisors, value=-self.rate
            )
        return cost.item()

    def probabilities(self, inputs, following=None):
        """Return the probabilities of the notes at each next step, (T, B, P)."""
        with torch.no_grad():
            rolls = (
                None if roll is None else torch.from_numpy(roll) for roll in (inputs, following)
            )
            return torch.sigmoid(self.forward(*rolls)).numpy()
