"""Zhu 2022 (BCL) on CIFAR: 200 epochs with three views.

The paper's repository has no code for CIFAR. Temperature, weights of the two losses, size of the projections, batch
size and learning rate are those of later work that runs it (ConCutMix, CUDA); views are those of Du 2024's protocol.
"""

from ltzoo.losses import BCL
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.protocols.borrowed import PERTURBED, perturbations_like
from ltzoo.recipes.protocols.cui2021 import AUTO_AUGMENTED
from ltzoo.recipes.protocols.du2024 import THREE_VIEWS
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.recipe import PaperRule

_LOSSES = {
    "bcl": BCL(temperature=0.1, scale=1.0, ce_weight=2.0, contrast_weight=0.6, hidden_size=512, projection_size=128)
}

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
    losses=dict.fromkeys(("cifar10", "cifar100"), _LOSSES),
    heads={},
    perturbations=perturbations_like("la", "bcl"),
    ours=(Ours(("optimizer", "schedule", "batch_size", "views", "loss", "sampler")), *PERTURBED),
)
