"""A frozen pretrained backbone with adapters, a cosine head started from class means, a re-balanced loss.

Shi et al., Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts (LIFT, ICML 2024): training all weights of
a pretrained network costs accuracy on the tail, and a small module in each block does not. Theirs are the optimizer
(SGD, learning rate 0.01, momentum 0.9, weight decay 5e-4), batches of 128, 10 epochs (20 on iNaturalist 2018) with a
cosine, mixed precision, crops of random size and flips, the head (cosines times 25, started from the classes' mean
features) and LA with tau 1. Ours, chosen in advance and not tuned on any images:

- The adapters: LoRA of rank 8 beside every linear layer, without a factor. Shi 2024 finds little difference between
  kinds of adapters, and has another kind by default.
- The backbone: a ViT-B/16 pretrained on ImageNet-21k, one of theirs, in the weights that timm has. Any other of timm's
  is `--arch`.
- The other losses, and the perturbations with radii of 0.05; eta is the 0.65-quantile of the class counts, as in the
  fine-tuning recipes. They move the adapters and the head alone.
- The test: one view of each image at the backbone's own size. Theirs averages five crops (`validate.py --tta crops`).
"""

from dataclasses import replace

from ltzoo.data import WHOLE
from ltzoo.losses import CE, LA, VS, BalancedSoftmax
from ltzoo.recipes.optimization import Optimizer
from ltzoo.recipes.parts import Input, Pretrained, ScaledCosineHead, Trainable
from ltzoo.recipes.protocols.protocol import Ours, Protocol
from ltzoo.recipes.protocols.second_stage import cosine
from ltzoo.recipes.protocols.views import CROPPED
from ltzoo.sharpness import SAM, SSESAM, NoPerturbation, Quantile

_LOSSES = {
    "adapt_ce": CE(),
    "adapt_la": LA(tau=1.0),
    "adapt_bs": BalancedSoftmax(),
    "adapt_vs": VS(gamma=0.05, tau=0.75),
}

PERTURBATIONS = {
    "sgd": NoPerturbation(),
    "sam": SAM(rho=0.05),
    "ssesam": SSESAM(rho_head=0.05, rho_tail=0.05, gamma=0.7, eta=Quantile(0.65)),
}
"""Word of a perturbation to the perturbation."""

HEAD = ScaledCosineHead(scale=25.0)
"""Shi 2024's head."""


def _of(*benchmarks: str) -> dict[str, dict[str, dict]]:
    return {benchmark: dict.fromkeys(_LOSSES, PERTURBATIONS) for benchmark in benchmarks}


ADAPT_FOLDER = Protocol(
    name="adapt_folder",
    paper="shi2024",
    cites=("shi2024", "hu2022"),
    subset=WHOLE,
    groups={"natural": "count"},
    paper_rule=None,
    optimizer=Optimizer(lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=False),
    schedule=cosine(10),
    batch_size=128,
    augmentation=CROPPED,
    # As the backbone was trained: its own size, mean and standard deviation.
    input=Input(),
    rules={},
    losses={"imagefolder": _LOSSES},
    heads=dict.fromkeys(_LOSSES, HEAD),
    perturbations=_of("imagefolder"),
    ours=(
        Ours(("architecture", "trainable", "input")),
        Ours(("loss",), losses=("adapt_ce", "adapt_bs", "adapt_vs")),
        Ours(("perturbation",), perturbations=("sam", "ssesam")),
    ),
    borrowed={"adapt_vs": "lyu2025"},
    start=Pretrained(),
    # BatchNorm keeps the statistics of the pretrained weights.
    trainable=Trainable("lora", "frozen", lora_rank=8),
    precision="auto",
)
"""For custom image folders."""

ADAPT_LARGE = replace(
    ADAPT_FOLDER,
    name="adapt_large",
    groups={"natural": "mislas"},
    losses={"imagenetlt": _LOSSES},
    perturbations=_of("imagenetlt"),
)
"""On ImageNet-LT."""

ADAPT_INAT18 = replace(
    ADAPT_LARGE,
    name="adapt_inat18",
    schedule=cosine(20),
    losses={"inat18": _LOSSES},
    perturbations=_of("inat18"),
)
"""On iNaturalist 2018, with twice as many epochs."""

ADAPT_CIFAR = replace(
    ADAPT_FOLDER,
    name="adapt_cifar",
    subset="cao",
    groups={"exponential": "mislas"},
    # Images of 32 pixels are enlarged to the backbone's size.
    input=Input(crop_pct=1.0),
    losses=dict.fromkeys(("cifar10", "cifar100"), _LOSSES),
    perturbations=_of("cifar10lt", "cifar100lt"),
)
"""On CIFAR-10-LT and CIFAR-100-LT, whose images are enlarged."""
