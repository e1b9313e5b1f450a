"""Peer: the same network in PyTorch, in its fastest form.

Each layer is one `nn.LSTM` (fused C++) over the concatenated input and hidden states of the layer
below. The output is one `nn.Linear` over all hidden states, concatenated. `nn.LSTM` has no
peepholes and two biases; the second bias stays 0 and is not trained. RMSprop divides by √m + ε
instead of √max(ε, m), which costs the same. With chords, one `nn.Linear` leads from the hidden
states to the output and the chord units, and one masked matrix from the pitches to both.

Conventions
-----------
Arrays are time-major, (T, B, feature). PyTorch stores its matrices transposed, (4H, inputs), with
the gates in the order of rnn4music: input, forget, candidate, output. Everything is on PyTorch's
default device.
"""

# pyright: reportMissingImports=false

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, linear

from benchmarks.peers import EPSILON


def use_threads(n_threads):
    """Set the number of threads of PyTorch."""
    torch.set_num_threads(n_threads)


def chord_masks(n_pitches, n_chord_units):
    """Return the masks of V (P, K), L (P, P) and U (K, P)."""
    pitch = torch.arange(n_pitches)
    degree = torch.arange(n_chord_units) % (n_pitches - 1)
    masks = pitch[:, None] <= degree, pitch[:, None] < pitch, degree[:, None] < pitch
    return [mask.float() for mask in masks]


class TorchLSTM(nn.Module):
    """Three layers with skip connections, cross-entropy, clipping and RMSprop.

    Parameters
    ----------
    n_pitches, n_units : int
    initial : dict of name to (H,)
        States at t = −1: ``layer1/hidden``, ``layer1/cell``, ….
    rate, bound : float
        Learning rate; limit of each element of the gradient.
    chord_units : int, optional
    """

    def __init__(self, n_pitches, n_units, initial, rate, bound, chord_units=None):
        super().__init__()
        P, K = self.n_pitches, self.n_chord_units = n_pitches, chord_units or 0
        self.has_chords = chord_units is not None
        widths = (n_pitches, n_pitches + n_units, n_pitches + n_units)
        self.layers = nn.ModuleList(nn.LSTM(width, n_units) for width in widths)
        self.to_output = nn.Linear(3 * n_units, P + K)
        if self.has_chords:
            reads, is_lower, acts = chord_masks(P, K)
            self.pitches_mask, self.units_mask = torch.cat([is_lower, reads], dim=1).T, acts.T
            self.from_pitches = nn.Parameter(torch.zeros(P + K, P))
            self.from_units = nn.Parameter(torch.zeros(P, K))
        self.initial = [
            tuple(torch.tensor(initial[f"layer{n}/{field}"]) for field in ("hidden", "cell"))
            for n in (1, 2, 3)
        ]
        for name, weight in self.named_parameters():
            if "bias_hh" in name:
                weight.data.zero_()
                weight.requires_grad_(False)
        self.trained = [weight for weight in self.parameters() if weight.requires_grad]
        self.bound = bound
        self.optimizer = torch.optim.RMSprop(
            self.trained, lr=rate, alpha=0.9, eps=EPSILON, foreach=True
        )

    def forward(self, inputs, following, masks=None):
        """Return the pre-activations of the output, (T, B, P); `masks` (B, H) are dropout's."""
        n_tunes = inputs.shape[1]
        hidden = []
        for n, (layer, state) in enumerate(zip(self.layers, self.initial)):
            state = tuple(vector.expand(1, n_tunes, -1).contiguous() for vector in state)
            states = layer(torch.cat([inputs, *hidden[-1:]], dim=2), state)[0]
            hidden.append(states if masks is None else states * masks[n])
        outputs = self.to_output(torch.cat(hidden, dim=2))
        if not self.has_chords:
            return outputs
        outputs = outputs + linear(following, self.from_pitches * self.pitches_mask)
        Y, units = outputs.split([self.n_pitches, self.n_chord_units], dim=2)
        return Y + linear(torch.tanh(units), self.from_units * self.units_mask)

    def cost(self, windows):
        """Return the cross-entropy of windows (T + 1, B, P): the sum, averaged over tunes."""
        logits = self(windows[:-1], windows[1:])
        total = binary_cross_entropy_with_logits(logits, windows[1:], reduction="sum")
        return total / windows.shape[1]

    def update(self, windows):
        """Update the weights once, and return the cost before the update."""
        cost = self.cost(torch.as_tensor(windows))
        self.optimizer.zero_grad(set_to_none=True)
        cost.backward()
        nn.utils.clip_grad_value_(self.trained, self.bound, foreach=True)
        self.optimizer.step()
        return cost.item()

    def gradients(self, windows):
        """Return the cost and the gradients by name."""
        self.zero_grad()
        cost = self.cost(torch.as_tensor(windows))
        cost.backward()
        views = self._under_our_names(lambda weight: weight.grad)
        return cost.item(), {name: view.cpu().numpy().copy() for name, view in views.items()}

    def probabilities(self, inputs, following=None):
        """Return the probabilities of the notes at each next step, (T, B, P)."""
        with torch.no_grad():
            rolls = (
                None if roll is None else torch.as_tensor(roll) for roll in (inputs, following)
            )
            return torch.sigmoid(self(*rolls)).cpu().numpy()

    def composer(self):
        """Return a `Composer` of this network."""
        return Composer(self)

    def set_parameters(self, mapping):
        """Set the weights and reset RMSprop; the network is the same only if peepholes are 0."""
        self.optimizer.state.clear()
        for name, view in self._under_our_names(lambda weight: weight.data).items():
            view.copy_(torch.tensor(mapping[name]))

    def _under_our_names(self, part):
        """Return views of a part of each weight, with the shapes and names of rnn4music."""
        views, P = {}, self.n_pitches
        for n, layer in enumerate(self.layers, start=1):
            inputs = part(layer.weight_ih_l0).T
            views[f"layer{n}/input_to_gates"] = inputs[:P]
            if n > 1:
                views[f"layer{n}/below_to_gates"] = inputs[P:]
            views[f"layer{n}/hidden_to_gates"] = part(layer.weight_hh_l0).T
            views[f"layer{n}/bias"] = part(layer.bias_ih_l0)
        to_output = part(self.to_output.weight).T
        for n, matrix in enumerate(to_output.chunk(3), start=1):
            views[f"output/layer{n}_to_output"] = matrix[:, :P]
            if self.n_chord_units:
                views[f"chords/layer{n}_to_chords"] = matrix[:, P:]
        bias = part(self.to_output.bias)
        views["output/bias"] = bias[:P]
        if self.has_chords:
            views["chords/pitches_to_output"] = part(self.from_pitches).T[:, :P]
        if self.n_chord_units:
            views["chords/pitches_to_chords"] = part(self.from_pitches).T[:, P:]
            views["chords/chords_to_output"] = part(self.from_units).T
            views["chords/bias"] = bias[P:]
        return views


class Composer(nn.Module):
    """Composing step by step: the network reads a start in one call, then its own samples.

    `torch.jit.script` compiles it as it is.

    Parameters
    ----------
    network : TorchLSTM
    """

    def __init__(self, network):
        super().__init__()
        self.layers, self.to_output, self.initial = (
            network.layers,
            network.to_output,
            network.initial,
        )
        self.n_pitches, self.has_chords = network.n_pitches, network.has_chords
        P, K = network.n_pitches, network.n_chord_units
        self.from_pitches, self.from_units = torch.zeros(P, P + K), torch.zeros(K, P)
        if network.has_chords:
            with torch.no_grad():
                self.from_pitches = (network.from_pitches * network.pitches_mask).T.contiguous()
                self.from_units = (network.from_units * network.units_mask).T.contiguous()

    def forward(self, start: torch.Tensor, n: int, n_tunes: int):
        """Return `n_tunes` tunes (B, n, P) after a start (S, P), and their probabilities."""
        states = [
            (h.expand(1, n_tunes, -1).contiguous(), c.expand(1, n_tunes, -1).contiguous())
            for h, c in self.initial
        ]
        read = start[:, None].expand(-1, n_tunes, -1)
        tunes: list[torch.Tensor] = []
        probabilities: list[torch.Tensor] = []
        for _ in range(n):
            hidden: list[torch.Tensor] = []
            for k, layer in enumerate(self.layers):
                inputs = read if k == 0 else torch.cat([read, hidden[k - 1]], dim=2)
                outputs, states[k] = layer(inputs, states[k])
                hidden.append(outputs)
            Y = self.to_output(torch.cat([outputs[-1] for outputs in hidden], dim=1))
            sample, y = self.draw(Y)
            tunes.append(sample)
            probabilities.append(y)
            read = sample[None]
        return torch.stack(tunes, dim=1), torch.stack(probabilities, dim=1)

    def draw(self, outputs: torch.Tensor):
        """Return the sample (B, P) and its probabilities, from Y and the units side by side."""
        P = self.n_pitches
        uniform = torch.rand(outputs.shape[0], P)
        if not self.has_chords:
            y = torch.sigmoid(outputs)
            return (uniform < y).to(y.dtype), y
        Y, uniform = outputs[:, :P], uniform.T.contiguous()
        sample, probabilities = torch.empty_like(uniform), torch.empty_like(uniform)
        for k in range(P):
            y = torch.sigmoid(Y[:, k])
            drawn = (uniform[k] < y).to(y.dtype)
            probabilities[k], sample[k] = y, drawn
            outputs.addr_(drawn, self.from_pitches[k])
            if k < P - 1 and P + k < outputs.shape[1]:
                units = torch.tanh(outputs[:, P + k :: P - 1])  # of degree k
                Y.addmm_(units, self.from_units[k :: P - 1])
        return sample.T, probabilities.T
