"""Our own protocol for custom image folders: trained weights, fine-tuned for 30 epochs.

Which weights a run starts from is left to `--pretrained`, `--initial-checkpoint` or the recipe's `start`. The losses,
their constants, the partition into head and tail, and gamma are those of Lyu 2025 (its LDAM has a plain linear head, as
every timm backbone has); DRW after four fifths of the epochs is that of Rangwani 2022. The rest is ours. It was chosen
in advance by common practice and not tuned on any images; choose better values on held-out images of your own.

- Learning rate, weight decay, epochs: lower than in the papers, which train from scratch. 200 epochs with a learning
  rate of 0.1 would destroy what pretrained weights bring.
- Radii: 0.05, as in Lyu 2025. Radii of 0.5 and more are for training from scratch with a learning rate of 0.1.
- Crops of at least 35 % of the area: a crop of 8 % can miss the object, which matters in a small data set.
- eta: the 0.65-quantile of the class counts, since these are not known in advance. With eta 100, as in Lyu 2025, 65 of
  the 100 classes of CIFAR-100-LT are tail.
"""

from ltzoo.data import WHOLE, Augmentation
from ltzoo.losses import CE, DRW, LA, VS, BalancedSoftmax, LogitLDAM
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import Input
from ltzoo.recipes.protocols.protocol import Protocol
from ltzoo.recipes.protocols.second_stage import mislas, two_stage_methods
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, NoPerturbation, Quantile

_LOSSES = {
    "ce": CE(),
    "ce_mixup": CE(),
    "la": LA(tau=0.75),
    "bs": BalancedSoftmax(),
    "ldam": LogitLDAM(max_margin=0.5, scale=30.0),
    "vs": VS(gamma=0.05, tau=0.75),
}

_ETA = Quantile(0.65)
_PERTURBATIONS = {
    "sgd": NoPerturbation(),
    "sam": SAM(rho=0.05),
    "imbsam": ImbSAM(rho=0.05, eta=_ETA),
    "ssesam": SSESAM(rho_head=0.05, rho_tail=0.05, gamma=0.7, eta=_ETA),
}

FINE_TUNING = Protocol(
    name="fine_tuning",
    paper="ltzoo",
    cites=(),
    subset=WHOLE,
    groups={"natural": "count"},
    paper_rule=None,
    optimizer=Optimizer(lr=0.01, momentum=0.9, weight_decay=1e-4, nesterov=False),
    schedule=Schedule(epochs=30, warmup_epochs=3, milestones=(), factors=(), decay="cosine"),
    batch_size=64,
    augmentation=Augmentation(crop_padding=0, horizontal_flip=True, min_scale=0.35),
    # As the weights were trained: their own size, mean and standard deviation.
    input=Input(),
    rules={"drw": DRW(start=24, beta=0.9999)},
    losses={"imagefolder": _LOSSES},
    heads={},
    perturbations={"imagefolder": dict.fromkeys(("ce", "ce_mixup", "la", "bs", "ldam_drw", "vs"), _PERTURBATIONS)},
    ours=(),
    augmentations={"ce_mixup": Augmentation(crop_padding=0, horizontal_flip=True, min_scale=0.35, mixup=0.2)},
    # As on ImageNet-LT and iNaturalist 2018.
    second_stages=two_stage_methods() | {"mislas": mislas(0.3, 0.0, lr_factor=0.05, shifted_batchnorm=True)},
    # Margins on plain logits, tau, gamma, and the share of the classes that is tail.
    borrowed=dict.fromkeys(("la", "ldam", "vs", "imbsam"), "lyu2025"),
)
