"""Zhang 2022 (SADE): RIDE's network, each expert for another distribution of the classes.

Settings are those of the code (github.com/Vanint/SADE-AgnosticLT). On CIFAR-10 its authors train a wider network, with
half the learning rate; here both data sets have the narrow one. On ImageNet-LT they train a ResNeXt-50, and select the
epoch on the validation list, which no rule of ours does.
"""

from dataclasses import replace

from ltzoo.losses import SADE
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import CosineExpertsHead
from ltzoo.recipes.protocols.borrowed import CIFAR10_LT, PERTURBED, perturbations_like
from ltzoo.recipes.protocols.large import on_large
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.second_stage import cosine
from ltzoo.recipes.protocols.views import CROPPED
from ltzoo.recipes.protocols.wang2021 import LARGE_SCHEDULE, TURNED, large_optimizer
from ltzoo.recipes.recipe import PaperRule

_LOSSES = {"sade": SADE(tau=2.0)}

ZHANG2022_CIFAR = Protocol(
    name="zhang2022_cifar",
    paper="zhang2022",
    cites=("zhang2022",),
    subset="cao",
    groups={"exponential": "count"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
    optimizers=dict.fromkeys(CIFAR10_LT, Optimizer(lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)),
    schedule=Schedule(epochs=200, warmup_epochs=5, milestones=(160, 180), factors=(0.1, 0.01)),
    batch_size=128,
    augmentation=TURNED,
    rules={},
    losses=dict.fromkeys(("cifar10", "cifar100"), _LOSSES),
    heads={"sade": CosineExpertsHead()},
    perturbations=perturbations_like("bs", "sade"),
    ours=(Ours(("architecture",), benchmarks=CIFAR10_LT), *PERTURBED),
)

ZHANG2022_IMAGENETLT = on_large(
    ZHANG2022_CIFAR,
    "imagenetlt",
    SADE(tau=2.0),
    paper_rule=None,
    optimizer=large_optimizer(0.025, weight_decay=5e-4),
    schedule=cosine(180),
    batch_size=64,
    augmentation=replace(CROPPED, color_jitter=0.4),
    ours=(Ours(("architecture",)),),
)
ZHANG2022_INAT18 = on_large(
    ZHANG2022_CIFAR,
    "inat18",
    SADE(tau=1.0),
    optimizer=large_optimizer(0.2),
    schedule=LARGE_SCHEDULE,
    batch_size=512,
    augmentation=CROPPED,
)
