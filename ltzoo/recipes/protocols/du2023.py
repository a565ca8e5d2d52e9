"""Du 2023 (GLMC): mixup and CutMix views with images of a second stream.

Settings are those of the code (github.com/ynu-yangpeng/GLMC). Its few-shot classes have 20 images or fewer on all data
sets, and each view passes through the network alone, so that BatchNorm sees one view at a time; here both views are one
batch.

On CIFAR the code has other settings for each IF. It calls the network ResNet-32, but its stages have 64, 128 and 256
channels: `resnet32_wide_cifar`, with 7.4 M parameters instead of 0.46 M. Its own subset is another random draw, and its
CIFAR-10 images are divided by another standard deviation. Radii are Lyu 2025's, whose network is as wide.

On ImageNet-LT and iNaturalist 2018 it trains a ResNeXt-50, in which the last BatchNorm of each block begins with
ones, in timm's with zeros. The code sets the rate after each epoch, so that the first one has the full rate and all
others are one epoch late, and its warm-up ends at 1.1 times the rate. Here each epoch has its own rate, and the
warm-up ends at the full one. That the epoch is selected on the test images of ImageNet-LT follows from the list that
lies in the repository.
"""

from dataclasses import replace

from ltzoo.data import Augmentation, InversePowerSampler
from ltzoo.losses import GLMC
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.protocols.borrowed import PERTURBED, WORDS
from ltzoo.recipes.protocols.cui2021 import LARGE_SIMILARITY
from ltzoo.recipes.protocols.large import on_large
from ltzoo.recipes.protocols.lyu2025_cifar import LYU2025_CIFAR
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.second_stage import cosine
from ltzoo.recipes.recipe import PaperRule
from ltzoo.sharpness import Perturbation


def _glmc(consistency: float, power: float = 1.2) -> dict[str, GLMC]:
    return {"glmc": GLMC(power=power, consistency=consistency, epochs=200, projection_size=128)}


def _view(mixup: float = 0.0, cutmix: float = 0.0) -> Augmentation:
    return Augmentation(crop_padding=4, horizontal_flip=True, mixup=mixup, cutmix=cutmix)


def _perturbations(*benchmarks: str) -> dict[str, dict[str, dict[str, Perturbation]]]:
    of_ce = {name: LYU2025_CIFAR.perturbations[name]["ce"] for name in benchmarks}
    return {name: {"glmc": {word: found[word] for word in WORDS}} for name, found in of_ce.items()}


_RESAMPLED = {"glmc": InversePowerSampler(power=0.2)}
"""The second stream prefers small classes."""

DU2023_CIFAR = Protocol(
    name="du2023_cifar",
    paper="du2023",
    cites=("du2023",),
    subset="cao",
    groups={"exponential": "count"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=Optimizer(lr=0.01, momentum=0.9, weight_decay=5e-3, nesterov=False),
    schedule=cosine(200),
    batch_size=64,
    augmentation=_view(mixup=1.0),
    views={"glmc": (_view(mixup=1.0), _view(cutmix=1.0))},
    partners={"glmc": InversePowerSampler(power=0.0)},
    rules={},
    # For CIFAR-10 a later note of the authors has 4.
    losses={"cifar10": _glmc(consistency=1.0), "cifar100": _glmc(consistency=4.0)},
    heads={},
    perturbations=_perturbations("cifar10lt", "cifar100lt", "cifar10lt50"),
    ours=(Ours(("subset", "groups")), *PERTURBED),
)
"""For IF 100, and for CIFAR-10-LT with IF 50."""

DU2023_CIFAR_IF50 = replace(
    DU2023_CIFAR,
    name="du2023_cifar_if50",
    partners=_RESAMPLED,
    losses={"cifar100": _glmc(consistency=6.0)},
    perturbations=_perturbations("cifar100lt50"),
)
"""For CIFAR-100-LT with IF 50."""

DU2023_CIFAR_IF10 = replace(
    DU2023_CIFAR,
    name="du2023_cifar_if10",
    partners=_RESAMPLED,
    losses={"cifar10": _glmc(consistency=2.0, power=1.0), "cifar100": _glmc(consistency=4.0)},
    perturbations=_perturbations("cifar10lt10", "cifar100lt10"),
)
"""For IF 10."""


def _large(benchmark: str, epochs: int, batch_size: int, weight_decay: float) -> Protocol:
    return on_large(
        DU2023_CIFAR,
        benchmark,
        GLMC(power=1.0, consistency=10.0, epochs=epochs, projection_size=256),
        optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=weight_decay, nesterov=False),
        schedule=Schedule(epochs, warmup_epochs=10, milestones=(), factors=(), decay="cosine_after_warmup"),
        batch_size=batch_size,
        augmentation=replace(LARGE_SIMILARITY, mixup=1.0),
        views={"glmc": (replace(LARGE_SIMILARITY, mixup=1.0), replace(LARGE_SIMILARITY, cutmix=1.0))},
        partners=_RESAMPLED,
        ours=(Ours(("groups",)),),
    )


DU2023_IMAGENETLT = _large("imagenetlt", epochs=135, batch_size=120, weight_decay=2e-4)
DU2023_INAT18 = _large("inat18", epochs=120, batch_size=128, weight_decay=1e-4)
