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
        classifiers: Those that it can have, its own first.
    """

    name: str
    blocks: tuple[int, ...]
    modules: tuple[str, ...]
    channels: tuple[int, ...]
    reductions: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    classifiers: tuple[str, ...] = ("linear", "cosine", "nearest_mean", "disalign")

    def shapes(self, batch: int, size: int) -> list[tuple[int, ...]]:
        """Shapes of the features of `batch` square images of `size` pixels a side, odd sides rounded up."""
        return [(batch, c, -(-size // r), -(-size // r)) for c, r in zip(self.channels, self.reductions, strict=True)]

    def __str__(self) -> str:
        return f"slim_{self.name}" if self.options else self.name


def _cifar_resnet(depth: int) -> Architecture:
    blocks = ((depth - 2) // 6,) * 3
    return Architecture(f"resnet{depth}_cifar", blocks, ("layer1", "layer2", "layer3"), (16, 32, 64), (1, 2, 4))


def _resnet34(blocks: tuple[int, ...], channels: tuple[int, ...]) -> Architecture:
    modules = ("act1", "layer1", "layer2", "layer3", "layer4")
    return Architecture("resnet34_cifar", blocks, modules, (64, *channels), (1, 1, 2, 4, 8))


def _resnet50(classifier: str, blocks: tuple[int, ...], channels: tuple[int, ...]) -> Architecture:
    modules = ("act1", "layer1", "layer2", "layer3", "layer4")
    widths = (64, *(4 * c for c in channels))
    name = f"resnet50_{classifier}"
    return Architecture(name, blocks, modules, widths, (2, 4, 8, 16, 32), classifiers=(classifier,))


def _cifar_experts(depth: int) -> Architecture:
    name, modules = f"resnet{depth}_3experts_cifar", ("layer1", "layer2", "layer3")
    blocks = ((depth - 2) // 6,) * 3
    return Architecture(name, blocks, modules, (16, 3 * 24, 3 * 48), (1, 2, 4), classifiers=("cosine_experts",))


def _resnet50_experts(blocks: tuple[int, ...], channels: tuple[int, ...]) -> Architecture:
    single = _resnet50("cosine", blocks, channels)
    _, first, second, third, fourth = single.channels
    widths = (64, first, second, 3 * third, 3 * fourth)
    return replace(single, name="resnet50_3experts", channels=widths, classifiers=("cosine_experts",))


CIFAR_RESNETS = [_cifar_resnet(depth) for depth in (20, 32, 44, 56)]
WIDE_RESNET32 = replace(CIFAR_RESNETS[1], name="resnet32_wide_cifar", channels=(64, 128, 256))
RESNET9 = Architecture("resnet9_cifar", (2, 1, 2), ("layer1", "layer2", "layer3"), (32, 64, 128), (2, 4, 8))
WIDE_RESNET9 = replace(RESNET9, name="resnet9_wide_cifar", channels=(64, 128, 256))
RESNET34 = _resnet34((3, 4, 6, 3), (64, 128, 256, 512))

_SLIM = {"layers": (1, 2, 1, 1), "channels": (64, 16, 24, 32)}
SLIM_RESNET34 = replace(_resnet34(*_SLIM.values()), options=_SLIM)  # the same class, two hundred times smaller

_SLIM_BOTTLENECKS = {"layers": (1, 2, 1, 1), "channels": (16, 16, 24, 32)}
SLIM_RESNET50, *SLIM_RESNET50_OTHERS = (
    # With timm's zero_init_last, the first step's gradient reaches no block's convolutions.
    replace(_resnet50(word, *_SLIM_BOTTLENECKS.values()), options=_SLIM_BOTTLENECKS | {"zero_init_last": False})
    for word in ("cosine", "nearest_mean", "disalign")
)

CIFAR_EXPERTS = [_cifar_experts(depth) for depth in (20, 32)]
SLIM_RESNET50_EXPERTS = replace(
    _resnet50_experts(*_SLIM_BOTTLENECKS.values()), options=_SLIM_BOTTLENECKS | {"zero_init_last": False}
)
