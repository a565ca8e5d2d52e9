"""Our own protocol for anybody's image folder: weights trained on other images, fine-tuned in 30 epochs.

Which weights, the recipe's `initial` says; the protocol leaves it open. What others know is taken over: paper B's
losses and their constants (its LDAM has the plain head, which every backbone of timm has), its partition into head and
tail and its gamma; paper A's DRW after four fifths of the epochs. The rest is ours, chosen beforehand by what is usual
and tuned on no images, least of all on a test set; choose better values for your own on images that you hold out.

- Learning rate, weight decay, epochs: below those of the papers, which train from scratch. Trained weights lie near
  what is wanted, and 200 epochs with 0.1 would throw away what they bring.
- Radii: 0.05, which is B's. The papers' radii from 0.5 on are for training from scratch with a learning rate of 0.1;
  fine-tuned weights must not be thrown that far.
- Crops of 35 % of the image and more: one of 8 % can miss the only thing that an image of a small data set shows.
- eta: the 0.65-quantile of the class counts, since nobody knows these beforehand. B's eta of 100 makes 65 of the 100
  classes of CIFAR-100-LT the tail.
"""

from ltzoo.data import WHOLE, Augmentation
from ltzoo.losses import CE, DRW, LA, VS, LogitLDAM
from ltzoo.recipes.parts import Input, Optimizer, Schedule
from ltzoo.recipes.protocols.protocol import Protocol
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, NoPerturbation, Quantile

_LOSSES = {
    "ce": CE(),
    "la": LA(tau=0.75),
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
    perturbations={"imagefolder": dict.fromkeys(("ce", "la", "ldam_drw", "vs"), _PERTURBATIONS)},
    ours=(),
    # Margins on plain logits, tau, gamma, and the share of the classes that is tail.
    borrowed=dict.fromkeys(("la", "ldam", "vs", "imbsam"), "lyu2025"),
)
