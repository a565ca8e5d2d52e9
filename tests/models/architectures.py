"""The architectures under test and what is known of each."""

from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    Attributes:
        name: Its name in timm.
        blocks: Residual blocks of each stage, layer1 first.
        modules: The module that puts out each feature level.
        channels: Channels of each feature level.
        reductions: Side of an image over the side of each feature level.
        options: Further arguments of `timm.create_model`.
    """

    name: str
    blocks: tuple[int, ...]
    modules: tuple[str, ...]
    channels: tuple[int, ...]
    reductions: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def shapes(self, batch: int, size: int) -> list[tuple[int, ...]]:
        """Shapes of the features of `batch` square images of `size` pixels a side."""
        return [(batch, c, size // r, size // r) for c, r in zip(self.channels, self.reductions, strict=True)]

    def __str__(self) -> str:
        return f"slim_{self.name}" if self.options else self.name


def _cifar_resnet(depth: int) -> Architecture:
    blocks = ((depth - 2) // 6,) * 3
    return Architecture(f"resnet{depth}_cifar", blocks, ("layer1", "layer2", "layer3"), (16, 32, 64), (1, 2, 4))


def _resnet34(blocks: tuple[int, ...], channels: tuple[int, ...]) -> Architecture:
    modules = ("act1", "layer1", "layer2", "layer3", "layer4")
    return Architecture("resnet34_cifar", blocks, modules, (64, *channels), (1, 1, 2, 4, 8))


CIFAR_RESNETS = [_cifar_resnet(depth) for depth in (20, 32, 44, 56)]
RESNET34 = _resnet34((3, 4, 6, 3), (64, 128, 256, 512))

_SLIM = {"layers": (1, 2, 1, 1), "channels": (64, 16, 24, 32)}
SLIM_RESNET34 = replace(_resnet34(*_SLIM.values()), options=_SLIM)  # the same class, two hundred times smaller
