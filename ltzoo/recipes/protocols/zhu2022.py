"""Zhu 2022 (BCL): three views; 200 epochs on CIFAR, 90 on ImageNet-LT, 100 on iNaturalist 2018.

The paper's repository has no code for CIFAR. Temperature, weights of the two losses, size of the projections, batch
size and learning rate are those of later work that runs it (ConCutMix, CUDA); views are those of Du 2024's protocol.
Settings on large sets are those of the code (github.com/FlamieZhu/Balanced-Contrastive-Learning) with its views
`sim-sim`. On ImageNet-LT it selects the epoch on the validation list, which no rule of ours does.
"""

from dataclasses import replace

from ltzoo.losses import BCL
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import CosineHead
from ltzoo.recipes.protocols.borrowed import PERTURBED, perturbations_like
from ltzoo.recipes.protocols.du2024 import LARGE_THREE_VIEWS, THREE_VIEWS, large_schedule
from ltzoo.recipes.protocols.large import on_large
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.views import AUTO_AUGMENTED, RAND_AUGMENTED
from ltzoo.recipes.recipe import PaperRule

_BCL = BCL(temperature=0.1, scale=1.0, ce_weight=2.0, contrast_weight=0.6, hidden_size=512, projection_size=128)

ZHU2022_CIFAR = Protocol(
    name="zhu2022_cifar",
    paper="zhu2022",
    cites=("zhu2022",),
    subset="cao",
    groups={"exponential": "count"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=Optimizer(lr=0.15, momentum=0.9, weight_decay=5e-4, nesterov=False),
    schedule=Schedule(epochs=200, warmup_epochs=5, milestones=(160, 180), factors=(0.1, 0.01)),
    batch_size=256,
    augmentation=AUTO_AUGMENTED,
    views={"bcl": THREE_VIEWS},
    rules={},
    losses={data_set: {"bcl": _BCL} for data_set in ("cifar10", "cifar100")},
    heads={},
    perturbations=perturbations_like("la", "bcl"),
    ours=(Ours(("optimizer", "schedule", "batch_size", "views", "loss", "sampler")), *PERTURBED),
)


def _large(benchmark: str, epochs: int, lr: float, weight_decay: float) -> Protocol:
    constants = {"temperature": 0.07, "scale": 30.0, "ce_weight": 1.0, "contrast_weight": 0.35}
    return on_large(
        ZHU2022_CIFAR,
        benchmark,
        replace(_BCL, **constants, hidden_size=2048, projection_size=1024),
        heads={"bcl": CosineHead()},
        optimizer=Optimizer(lr=lr, momentum=0.9, weight_decay=weight_decay, nesterov=False),
        schedule=large_schedule(epochs),
        augmentation=RAND_AUGMENTED,
        views={"bcl": LARGE_THREE_VIEWS},
    )


ZHU2022_IMAGENETLT = replace(_large("imagenetlt", epochs=90, lr=0.1, weight_decay=5e-4), paper_rule=None)
ZHU2022_INAT18 = _large("inat18", epochs=100, lr=0.2, weight_decay=1e-4)
