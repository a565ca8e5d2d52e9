"""Du 2024 (ProCo) on CIFAR: 200 epochs, a view with AutoAugment and Cutout and two that are compared.

Settings are those of the code (github.com/LeapLabTHU/ProCo). It leaves out the last, smaller batch of an epoch.
"""

from dataclasses import replace

from ltzoo.losses import ProCo
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.protocols.borrowed import PERTURBED, perturbations_like
from ltzoo.recipes.protocols.cui2021 import AUTO_AUGMENTED, SIMILARITY
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.recipe import PaperRule

_COMPARED = replace(SIMILARITY, min_scale=0.08, gaussian_blur_prob=0.0)

THREE_VIEWS = (AUTO_AUGMENTED, _COMPARED, _COMPARED)

_LOSSES = {"proco": ProCo(temperature=0.1, scale=1.0, weight=1.0, hidden_size=512, projection_size=128)}

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
    losses=dict.fromkeys(("cifar10", "cifar100"), _LOSSES),
    heads={},
    perturbations=perturbations_like("la", "proco"),
    ours=(Ours(("sampler",)), *PERTURBED),
)
