"""A small float64 network with BatchNorm in evaluation mode, images of four classes, and the Hessian by torch.func."""

import functools
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from ltzoo.landscape.curvature import Curvature

CE = nn.CrossEntropyLoss(reduction="none")
COUNTS = torch.tensor([8, 3, 2, 1])
CLASSES = len(COUNTS)


def make_network() -> nn.Module:
    """The same network at every call: 98 parameters, running statistics that are not those of a fresh one."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, bias=False),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.Conv2d(2, 3, 3, padding=1, stride=2, bias=False),
        nn.BatchNorm2d(3),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, CLASSES),
    ).double()
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, dtype=value.dtype, generator=generator) / 2)
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.abs_().add_(0.5)
            layer.weight.data.abs_().add_(0.5)
    return model.eval()


def make_images() -> tuple[Tensor, Tensor]:
    """Fourteen 6 x 6 images: eight, three, two and one of the classes 0 to 3, as `COUNTS` says."""
    images = torch.randn(14, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return images, torch.tensor([0, 1, 0, 2, 0, 0, 1, 0, 3, 0, 2, 0, 1, 0])


def chunks(size: int, images: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(images.split(size), labels.split(size), strict=True))


def exact_hessian(model: nn.Module, loss: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The Hessian of loss(logits) in the trainable parameters, by torch.func: forward over reverse mode."""
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in trainable.values()]

    def of_weights(flat: Tensor) -> Tensor:
        pieces = zip(trainable.items(), flat.split(sizes), strict=True)
        weights = {name: piece.view(p.shape) for (name, p), piece in pieces}
        return loss(torch.func.functional_call(model, weights, images))

    return torch.func.hessian(of_weights)(torch.cat([p.detach().flatten() for p in trainable.values()]))


def dense(curvature: Curvature) -> Tensor:
    """Its products with the columns of the identity."""
    identity = torch.eye(curvature.size, dtype=curvature.dtype, device=curvature.device)
    return torch.stack([curvature.product(column) for column in identity], dim=1)


def random_vector(size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def symmetric(eigenvalues: Sequence[float]) -> Tensor:
    """A matrix of these eigenvalues and of random eigenvectors, float64."""
    size = len(eigenvalues)
    random = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    vectors = torch.linalg.qr(random).Q
    return vectors @ torch.tensor(eigenvalues, dtype=torch.float64).diag() @ vectors.T


@functools.cache
def _exact() -> Tensor:
    images, labels = make_images()
    return exact_hessian(make_network(), lambda logits: CE(logits, labels).mean(), images)


@pytest.fixture
def exact() -> Tensor:
    """The Hessian of the mean cross-entropy, (P, P)."""
    return _exact()


@pytest.fixture
def curvature() -> Curvature:
    """The mean cross-entropy of all images, five in a chunk."""
    return Curvature(make_network(), CE, chunks(5, *make_images()))
