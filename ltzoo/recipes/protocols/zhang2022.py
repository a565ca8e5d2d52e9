"""Zhang 2022 (SADE) on CIFAR: RIDE's network, each expert for another distribution of the classes, 200 epochs.

Settings are those of the code (github.com/Vanint/SADE-AgnosticLT). On CIFAR-10 its authors train a wider network, with
half the learning rate; here both data sets have the narrow one.
"""

from ltzoo.losses import SADE
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import CosineExpertsHead
from ltzoo.recipes.protocols.borrowed import PERTURBED, perturbations_like
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.wang2021 import TURNED
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
    optimizers={"cifar10lt": Optimizer(lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)},
    schedule=Schedule(epochs=200, warmup_epochs=5, milestones=(160, 180), factors=(0.1, 0.01)),
    batch_size=128,
    augmentation=TURNED,
    rules={},
    losses=dict.fromkeys(("cifar10", "cifar100"), _LOSSES),
    heads={"sade": CosineExpertsHead()},
    perturbations=perturbations_like("bs", "sade"),
    ours=(Ours(("architecture",), benchmarks=("cifar10lt",)), *PERTURBED),
)
