"""Du 2024 (ProCo): a view with AutoAugment and Cutout, or RandAugment, and two that are compared.

200 epochs on CIFAR, 90 on ImageNet-LT and iNaturalist 2018. Settings are those of the code
(github.com/LeapLabTHU/ProCo). It leaves out the last, smaller batch of an epoch.
"""

from dataclasses import replace

from ltzoo.losses import ProCo
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import CosineHead
from ltzoo.recipes.protocols.borrowed import PERTURBED, perturbations_like
from ltzoo.recipes.protocols.cui2021 import SIMILARITY
from ltzoo.recipes.protocols.large import on_large
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.views import AUTO_AUGMENTED, RAND_AUGMENTED
from ltzoo.recipes.recipe import PaperRule

_COMPARED = replace(SIMILARITY, min_scale=0.08, gaussian_blur_prob=0.0)

THREE_VIEWS = (AUTO_AUGMENTED, _COMPARED, _COMPARED)
LARGE_THREE_VIEWS = (RAND_AUGMENTED, _COMPARED, _COMPARED)

_PROCO = ProCo(temperature=0.1, scale=1.0, weight=1.0, hidden_size=512, projection_size=128)

DU2024_CIFAR = Protocol(
    name="du2024_cifar",
    paper="du2024",
    cites=("du2024",),
    subset="cao",
    groups={"exponential": "count"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=Optimizer(lr=0.3, momentum=0.9, weight_decay=2e-4, nesterov=False),
    schedule=Schedule(epochs=200, warmup_epochs=5, milestones=(160, 180), factors=(0.1, 0.01)),
    batch_size=256,
    augmentation=AUTO_AUGMENTED,
    views={"proco": THREE_VIEWS},
    rules={},
    losses={data_set: {"proco": _PROCO} for data_set in ("cifar10", "cifar100")},
    heads={},
    perturbations=perturbations_like("la", "proco"),
    ours=(Ours(("sampler",)), *PERTURBED),
)


def large_schedule(epochs: int) -> Schedule:
    """Return the cosine that this code and BCL's have on large sets, which comes near zero after the last epoch."""
    return Schedule(epochs, warmup_epochs=0, milestones=(), factors=(), decay="cosine_after_warmup")


def _large(benchmark: str, lr: float, weight_decay: float) -> Protocol:
    return on_large(
        DU2024_CIFAR,
        benchmark,
        replace(_PROCO, temperature=0.07, scale=30.0, hidden_size=2048, projection_size=1024),
        heads={"proco": CosineHead()},
        optimizer=Optimizer(lr=lr, momentum=0.9, weight_decay=weight_decay, nesterov=False),
        schedule=large_schedule(90),
        augmentation=RAND_AUGMENTED,
        views={"proco": LARGE_THREE_VIEWS},
        ours=(Ours(("sampler",)),),
    )


DU2024_IMAGENETLT = _large("imagenetlt", lr=0.1, weight_decay=5e-4)
DU2024_INAT18 = _large("inat18", lr=0.2, weight_decay=1e-4)
