"""A plain reference implementation of the training step, the baseline for ltzoo's step.

Written from the algorithms of SAM (Foret 2021), ImbSAM (Zhou 2023) and SSE-SAM (Lyu 2025), without ltzoo's step:
boolean masks over the batch, a loop over the parameters, one forward pass per backward pass, and images from PIL
through torchvision's transforms and a DataLoader. Every pass is in train mode, so each updates BatchNorm's running
statistics.

The number of passes is that of the methods' own code, counting 1 for a forward and 2 for a backward pass: SGD 3, SAM 6,
ImbSAM 8 (two backward passes, head and tail, share one forward pass), SSE-SAM 12 in both stages: in stage 2 the head is
still perturbed, with radius 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

PASSES = {"sgd": 3, "sam": 6, "imbsam": 8, "ssesam-stage1": 12, "ssesam-stage2": 12}
"""The methods and the cost of one step of each."""

PREFETCH = 2
"""Batches prefetched per worker process, DataLoader's default."""


@dataclass
class ReferenceStep:
    """One step of a method.

    Attributes:
        model: the network, in train mode.
        optimizer: SGD over all its parameters.
        method: a key of `PASSES`.
        tail: (C,) bool, the tail classes: n_j < eta.
        rho_head: radius of the head, and of SAM.
        rho_tail: radius of the tail.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    method: str
    tail: Tensor
    rho_head: float
    rho_tail: float

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Train on a batch; return the loss before the step, of all images for SGD and SAM, else of the tail."""
        self.optimizer.zero_grad()
        if self.method == "sgd":
            loss = F.cross_entropy(self.model(images), targets)
            loss.backward()
        elif self.method == "sam":
            loss = self._sam(images, targets)
        elif self.method == "imbsam":
            loss = self._imbsam(images, targets)
        else:
            loss = self._ssesam(images, targets, 0.0 if self.method == "ssesam-stage2" else self.rho_head)
        self.optimizer.step()
        return loss.detach()

    def _sam(self, images: Tensor, targets: Tensor) -> Tensor:
        loss = F.cross_entropy(self.model(images), targets)
        loss.backward()
        before = self._perturb(self.rho_head)
        F.cross_entropy(self.model(images), targets).backward()
        self._restore(before)
        return loss

    def _imbsam(self, images: Tensor, targets: Tensor) -> Tensor:
        mask = self.tail[targets]
        logits = self.model(images)
        self._masked_loss(logits, targets, ~mask).backward(retain_graph=True)
        head = self._take_gradient()
        loss = self._masked_loss(logits, targets, mask)
        loss.backward()
        before = self._perturb(self.rho_tail)
        self._masked_loss(self.model(images), targets, mask).backward()
        self._restore(before)
        self._add_gradient(head)
        return loss

    def _ssesam(self, images: Tensor, targets: Tensor, rho_head: float) -> Tensor:
        tail = self.tail[targets]
        gradients = []
        for mask, rho in ((~tail, rho_head), (tail, self.rho_tail)):
            loss = self._masked_loss(self.model(images), targets, mask)
            loss.backward()
            before = self._perturb(rho)
            self._masked_loss(self.model(images), targets, mask).backward()
            self._restore(before)
            gradients.append(self._take_gradient())
        for gradient in gradients:
            self._add_gradient(gradient)
        return loss

    @staticmethod
    def _masked_loss(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Sum the losses of a group's images and divide by the size of the whole batch."""
        return F.cross_entropy(logits[mask], targets[mask], reduction="sum") / len(targets)

    @torch.no_grad()
    def _perturb(self, rho: float) -> list[Tensor]:
        """Move the weights by rho along the gradient and clear the gradient; return the weights before."""
        before = [parameter.clone() for parameter in self.model.parameters()]
        norms = [parameter.grad.norm() for parameter in self.model.parameters() if parameter.grad is not None]
        norm = torch.stack(norms).norm()
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                # The gradient is 0 if the batch has no image of the group.
                parameter.add_(parameter.grad * (rho / (norm + 1e-12)))
        self.optimizer.zero_grad()
        return before

    @torch.no_grad()
    def _restore(self, before: list[Tensor]) -> None:
        for parameter, old in zip(self.model.parameters(), before, strict=True):
            parameter.copy_(old)

    def _take_gradient(self) -> list[Tensor | None]:
        gradient = [parameter.grad for parameter in self.model.parameters()]
        self.optimizer.zero_grad()
        return gradient

    def _add_gradient(self, gradient: list[Tensor | None]) -> None:
        for parameter, more in zip(self.model.parameters(), gradient, strict=True):
            if more is not None:
                parameter.grad = more if parameter.grad is None else parameter.grad + more


def plain_transform(mean: tuple[float, ...], std: tuple[float, ...], size: int) -> Callable:
    """The CIFAR augmentation of `rangwani2022` and `lyu2025`, from torchvision's transforms."""
    return transforms.Compose(
        [
            transforms.RandomCrop(size, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )


class PlainLoader:
    """Shuffled batches from a DataLoader with persistent workers.

    Args:
        images: transformed images and their classes.
        batch_size: images per batch.
        count: batches per iteration.
        workers: worker processes; 0 to load in this process.
        device: device of the batches.
    """

    def __init__(self, images: Dataset, batch_size: int, count: int, workers: int, device: torch.device) -> None:
        self.device = device
        self.loader = DataLoader(
            images,
            batch_size=batch_size,
            sampler=RandomSampler(images, num_samples=count * batch_size),  # type: ignore[arg-type]  # it has a length
            num_workers=workers,
            pin_memory=device.type == "cuda",
            prefetch_factor=PREFETCH if workers else None,
            persistent_workers=workers > 0,
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, targets in self.loader:
            yield images.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True)
