"""Peer of whole trainings: the recipe with `torch_lstm.TorchLSTM`, in PyTorch's fastest form.

Adam is PyTorch's fused one. The noise is drawn into the same memory for each update, and added to
the matrices until the gradient is known.
"""

# pyright: reportMissingImports=false, reportPrivateImportUsage=false

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.torch_lstm import TorchLSTM


class TorchTraining:
    """The peer; `trainings` describes its methods."""

    def __init__(self, recipe, initial, weights, bound):
        self.recipe, self.bound, self.n_updates = recipe, bound, 0
        self.network = TorchLSTM(88, recipe.units, initial, 0, bound, recipe.chord_units)
        self.network.set_parameters({
            name: 0 * array if "/peephole" in name else array for name, array in weights.items()
        })  # fmt: skip
        self.trained: list[torch.Tensor] = list(self.network.trained)
        self.optimizer = torch.optim.Adam(self.trained, lr=recipe.rate, fused=True)
        own = recipe.weight_noise, recipe.output_noise
        output = own[0] if own[1] is None else own[1]
        self.noisy: dict[torch.Tensor, float] = {
            weight: own[0] if name.startswith("layers") else output
            for name, weight in self.network.named_parameters()
            if weight.ndim == 2 and (name.startswith("layers") or output > 0)
        }
        self.noise = [torch.empty_like(weight) for weight in self.noisy]
        self.clean = [torch.empty_like(weight) for weight in self.noisy]
        self.mean = [weight.detach().clone() for weight in self.trained]
        self.best = []

    def update(self, windows, mask, rate):
        """Update once with windows (T + 1, B, P); return the cost before, a tensor."""
        windows, mask = torch.from_numpy(windows), torch.from_numpy(mask)
        shape, kept = (windows.shape[1], self.recipe.units), 1 - self.recipe.dropout
        masks = [torch.empty(shape).bernoulli_(kept).div_(kept) for _ in range(3)]
        noisy = list(self.noisy)
        with torch.no_grad():
            for noise, deviation in zip(self.noise, self.noisy.values()):
                noise.normal_(0, deviation)
            torch._foreach_copy_(self.clean, noisy)
            torch._foreach_add_(noisy, self.noise)
        Y = self.network(windows[:-1], windows[1:], masks)
        cost = binary_cross_entropy_with_logits(Y, windows[1:], mask[:, :, None], reduction="sum")
        self.optimizer.zero_grad(set_to_none=True)
        cost.backward()
        nn.utils.clip_grad_value_(self.trained, self.bound, foreach=True)
        self.optimizer.param_groups[0]["lr"] = rate
        self.n_updates += 1
        decay = min(self.recipe.averaging, (1 + self.n_updates) / (10 + self.n_updates))
        with torch.no_grad():
            torch._foreach_copy_(noisy, self.clean)
            self.optimizer.step()
            torch._foreach_lerp_(self.mean, self.trained, 1 - decay)
        return cost.detach()

    def nats(self, rolls, mask):
        """Return the nats of the mean weights on whole tunes (T + 1, B, P), with mask (T, B)."""
        rolls, mask = torch.from_numpy(rolls), torch.from_numpy(mask)
        with torch.no_grad():
            now = [weight.clone() for weight in self.trained]
            torch._foreach_copy_(self.trained, self.mean)
            Y = self.network(rolls[:-1], rolls[1:])
            nats = binary_cross_entropy_with_logits(Y, rolls[1:], mask[:, :, None], reduction="sum")
            torch._foreach_copy_(self.trained, now)
        return nats.item()

    def keep(self):
        """Keep a copy of the mean weights."""
        self.best = [weight.clone() for weight in self.mean]
