"""The papers' algorithms written out plainly: boolean masks, a forward for every backward, an SGD by hand.

Nothing of ltzoo is used, so that it can serve as an oracle.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class PlainTrainer:
    """SGD with momentum and weight decay on the perturbed gradient, in the papers' order of operations."""

    model: nn.Module
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-3
    class_weights: Tensor | None = None
    keep_statistics: bool = True
    own_counts: bool = False
    tail_factor: float = 1.0
    velocity: list[Tensor] = field(default_factory=list)

    def group_loss(self, images: Tensor, targets: Tensor, chosen: Tensor) -> Tensor:
        """Sum of the group's weighted losses over the whole batch's sum of weights, or over the group's own."""
        losses = F.cross_entropy(self.model(images), targets, reduction="none")
        weights = torch.ones_like(losses) if self.class_weights is None else self.class_weights[targets]
        if self.own_counts and not chosen.any():
            return 0 * losses.sum()
        divisor = weights[chosen].sum() if self.own_counts else weights.sum()
        return (weights[chosen] * losses[chosen]).sum() / divisor

    def gradient(self, images: Tensor, targets: Tensor, chosen: Tensor) -> list[Tensor]:
        """Gradient of a group's loss at the present weights."""
        self.model.zero_grad()
        self.group_loss(images, targets, chosen).backward()
        return [p.grad.clone() for p in self.model.parameters()]

    def perturbed_gradient(self, images: Tensor, targets: Tensor, chosen: Tensor, rho: float) -> list[Tensor]:
        """Gradient of a group's loss at w + rho * g / |g|."""
        g = self.gradient(images, targets, chosen)
        if rho == 0:
            return g
        buffers = {name: value.clone() for name, value in self.model.named_buffers()}
        norm = torch.sqrt(sum((x**2).sum() for x in g))
        before = [p.detach().clone() for p in self.model.parameters()]
        with torch.no_grad():
            for p, x in zip(self.model.parameters(), g, strict=True):
                p += rho * x / norm if norm > 0 else 0
        result = self.gradient(images, targets, chosen)
        with torch.no_grad():
            for p, old in zip(self.model.parameters(), before, strict=True):
                p.copy_(old)
            if self.keep_statistics:
                for name, value in self.model.named_buffers():
                    value.copy_(buffers[name])
        return result

    def step(self, images: Tensor, targets: Tensor, groups: list[tuple[Tensor, float]]) -> None:
        """One step; groups are (boolean mask over the batch, rho)."""
        parts = [self.perturbed_gradient(images, targets, chosen, rho) for chosen, rho in groups]
        if self.tail_factor != 1:  # the tail is the last group
            parts[-1] = [self.tail_factor * x for x in parts[-1]]
        self.descend([sum(xs) for xs in zip(*parts, strict=True)])

    def noisy_step(self, images: Tensor, targets: Tensor, parts: int, noise: Callable[[Tensor], Tensor]) -> None:
        """One step on the mean gradient of the batch's parts, each at weights with noise of its own."""
        weights = torch.ones(len(targets)).double() if self.class_weights is None else self.class_weights[targets]
        total = [torch.zeros_like(p) for p in self.model.parameters()]
        for x, y, w in zip(*(tensor.tensor_split(parts) for tensor in (images, targets, weights)), strict=True):
            before = [p.detach().clone() for p in self.model.parameters()]
            with torch.no_grad():
                for p in self.model.parameters():
                    p += noise(p)
            self.model.zero_grad()
            ((w * F.cross_entropy(self.model(x), y, reduction="none")).sum() / weights.sum()).backward()
            total = [t + p.grad for t, p in zip(total, self.model.parameters(), strict=True)]
            with torch.no_grad():
                for p, old in zip(self.model.parameters(), before, strict=True):
                    p.copy_(old)
        self.descend(total)

    def descend(self, total: list[Tensor]) -> None:
        """SGD's step with a gradient."""
        self.velocity = self.velocity or [torch.zeros_like(p) for p in self.model.parameters()]
        with torch.no_grad():
            for p, g, v in zip(self.model.parameters(), total, self.velocity, strict=True):
                v.mul_(self.momentum).add_(g + self.weight_decay * p)
                p -= self.lr * v
