"""Wang 2021 (RIDE) on CIFAR: three narrow experts, 200 epochs, images turned by up to 15 degrees.

Settings are those of the code (github.com/frank-xwang/RIDE-LongTailRecognition), which turns images where the paper
says nothing of it. It has CIFAR-100 alone. The routing of its second stage, which saves computation, is left out; the
published row has it.
"""

from ltzoo.data import Augmentation
from ltzoo.losses import RIDE
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import CosineExpertsHead
from ltzoo.recipes.protocols.borrowed import PERTURBED, perturbations_like
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.recipe import PaperRule

TURNED = Augmentation(crop_padding=4, horizontal_flip=True, rotation=15.0)

_LOSSES = {"ride": RIDE(max_margin=0.5, scale=30.0, diversity=0.45, spread=0.05, start=160, beta=0.9999)}

WANG2021_CIFAR = Protocol(
    name="wang2021_cifar",
    paper="wang2021",
    cites=("wang2021",),
    subset="cao",
    groups={"exponential": "count"},
    paper_rule=PaperRule(interval=1, flip=False),
    optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
    schedule=Schedule(epochs=200, warmup_epochs=5, milestones=(160, 180), factors=(0.01, 0.0001)),
    batch_size=128,
    augmentation=TURNED,
    rules={},
    losses=dict.fromkeys(("cifar10", "cifar100"), _LOSSES),
    heads={"ride": CosineExpertsHead()},
    perturbations=perturbations_like("ldam_drw", "ride"),
    ours=(
        Ours(
            ("architecture", "head", "optimizer", "schedule", "batch_size", "views", "loss"), benchmarks=("cifar10lt",)
        ),
        *PERTURBED,
    ),
)
