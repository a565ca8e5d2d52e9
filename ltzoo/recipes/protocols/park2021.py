"""Park 2021 (IB) on CIFAR: CE for 100 of 200 epochs, then the influence-balanced loss with a small learning rate.

Settings are those of the code (github.com/pseulki/IB-Loss).
"""

from ltzoo.data import Augmentation
from ltzoo.losses import InfluenceBalanced
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.protocols.borrowed import PERTURBED, perturbations_like
from ltzoo.recipes.protocols.protocol import Protocol
from ltzoo.recipes.recipe import PaperRule

_LOSSES = {"ib": InfluenceBalanced(start=100, factor=1000.0, epsilon=0.001, beta=1.0, gamma=0.0)}

PARK2021_CIFAR = Protocol(
    name="park2021_cifar",
    paper="park2021",
    cites=("park2021",),
    subset="cao",
    groups={"exponential": "count"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=2e-4, nesterov=False),
    schedule=Schedule(epochs=200, warmup_epochs=5, milestones=(100, 160, 180), factors=(1e-2, 1e-4, 1e-6)),
    batch_size=128,
    augmentation=Augmentation(crop_padding=4, horizontal_flip=True),
    rules={},
    losses=dict.fromkeys(("cifar10", "cifar100"), _LOSSES),
    heads={},
    perturbations=perturbations_like("ce", "ib"),
    ours=PERTURBED,
)
