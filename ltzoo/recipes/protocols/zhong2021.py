"""Zhong 2021 (MiSLAS): CE with mixup, then its classifier with a scale, label-aware smoothing and shifted BatchNorm.

Settings are those of the code (github.com/dvlab-research/MiSLAS). Where text and code differ, on the classes that a
smoothed label is spread over, the code is followed; its README recommends another weight decay on CIFAR than its
figures use. Perturbations of the first stage are ours: the paper trains with SGD.
"""

from dataclasses import replace

from ltzoo.data import WHOLE, Augmentation
from ltzoo.losses import CE
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.rangwani2022_cifar import RANGWANI2022_CIFAR
from ltzoo.recipes.protocols.rangwani2022_large import RANGWANI2022_LARGE
from ltzoo.recipes.protocols.second_stage import cosine, mislas
from ltzoo.recipes.protocols.views import CROPPED, IMAGENET_INPUT
from ltzoo.recipes.recipe import PaperRule
from ltzoo.sharpness import Perturbation


def _of_ce(protocol: Protocol, benchmark: str) -> dict[str, dict[str, Perturbation]]:
    """Return the perturbations that a protocol of Rangwani 2022 has for CE."""
    of_ce = protocol.perturbations[benchmark]["ce"]
    return {"ce_mixup": {word: of_ce[word] for word in ("sgd", "sam", "ssesam") if word in of_ce}}


_OURS = (
    Ours(("perturbation",), losses=("ce_mixup",), perturbations=("sam", "ssesam")),
    Ours(("trainable.batchnorm",), losses=("ce_mixup",), perturbations=("sam", "ssesam")),
)

ZHONG2021_CIFAR = Protocol(
    name="zhong2021_cifar",
    paper="zhong2021",
    cites=("zhong2021",),
    subset="cao",
    groups={"exponential": "mislas"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=2e-4, nesterov=False),
    schedule=Schedule(epochs=200, warmup_epochs=5, milestones=(160, 180), factors=(0.1, 0.01)),
    batch_size=128,
    augmentation=Augmentation(crop_padding=4, horizontal_flip=True),
    augmentations={"ce_mixup": Augmentation(crop_padding=4, horizontal_flip=True, mixup=1.0)},
    rules={},
    losses={data_set: {"ce_mixup": CE()} for data_set in ("cifar10", "cifar100")},
    heads={},
    perturbations={benchmark: _of_ce(RANGWANI2022_CIFAR, benchmark) for benchmark in ("cifar10lt", "cifar100lt")},
    ours=_OURS,
    second_stages={
        "cifar10lt_mislas": mislas(most=0.3, least=0.0, lr_factor=0.5, shifted_batchnorm=False),
        "cifar100lt_mislas": mislas(most=0.4, least=0.1, lr_factor=0.2, shifted_batchnorm=True),
    },
)


def _large(benchmark: str, epochs: int, weight_decay: float) -> Protocol:
    return Protocol(
        name=f"zhong2021_{benchmark}",
        paper="zhong2021",
        cites=("zhong2021",),
        subset=WHOLE,
        groups={"natural": "mislas"},
        paper_rule=PaperRule(interval=1, flip=False),
        optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=weight_decay, nesterov=False),
        schedule=cosine(epochs),
        batch_size=256,
        augmentation=CROPPED,
        augmentations={"ce_mixup": replace(CROPPED, mixup=0.2)},
        input=IMAGENET_INPUT,
        rules={},
        losses={benchmark: {"ce_mixup": CE()}},
        heads={},
        perturbations={benchmark: _of_ce(RANGWANI2022_LARGE, benchmark)},
        ours=_OURS,
        second_stages={"mislas": mislas(most=0.3, least=0.0, lr_factor=0.05, shifted_batchnorm=True)},
    )


ZHONG2021_IMAGENETLT = _large("imagenetlt", epochs=180, weight_decay=5e-4)
ZHONG2021_INAT18 = _large("inat18", epochs=200, weight_decay=1e-4)
