"""Our own protocol on scikit-learn's digits: small enough for a laptop, no download."""

from dataclasses import replace

from ltzoo.data import Augmentation, InversePowerSampler
from ltzoo.losses import BCL, CE, DRW, GLMC, LA, LDAM, RIDE, SADE, VS, InfluenceBalanced, PaCo, ProCo
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import CosineExpertsHead, CosineHead
from ltzoo.recipes.protocols.protocol import Protocol
from ltzoo.recipes.protocols.second_stage import dro_lt, mislas, two_stage_methods
from ltzoo.sharpness import ASAM, CCSAM, GNM, GSAM, SAM, SSESAM, FocalSAM, ImbSAM, NoPerturbation

_LOSSES = {
    "ce": CE(),
    "ce_mixup": CE(),
    "ldam": LDAM(max_margin=0.5, scale=30.0),
    "la": LA(tau=1.0),
    "vs": VS(gamma=0.15, tau=1.0),
    # Constants are those of their protocols on CIFAR. Stages begin with the first drop of the learning rate, and
    # projections are smaller; the queue holds eight batches, as there.
    "ib": InfluenceBalanced(start=32, factor=1000.0, epsilon=0.001, beta=1.0, gamma=0.0),
    "ride": RIDE(max_margin=0.5, scale=30.0, diversity=0.45, spread=0.05, start=32, beta=0.9999),
    "sade": SADE(tau=2.0),
    "paco": PaCo(temperature=0.05, alpha=0.01, momentum=0.999, queue_size=256, hidden_size=64, projection_size=32),
    "bcl": BCL(temperature=0.1, scale=1.0, ce_weight=2.0, contrast_weight=0.6, hidden_size=64, projection_size=32),
    "proco": ProCo(temperature=0.1, scale=1.0, weight=1.0, hidden_size=64, projection_size=32),
    "glmc": GLMC(power=1.2, consistency=1.0, epochs=40, projection_size=32),
}

_CROP = Augmentation(crop_padding=2, horizontal_flip=False)
# A digit keeps its class where it is turned a little; mirrored or without half of its area it does not.
_COMPARED = replace(_CROP, rotation=15.0, cutout=4)
_VIEWS = {
    "paco": (_CROP, _COMPARED),
    **dict.fromkeys(("bcl", "proco"), (_CROP, _COMPARED, _COMPARED)),
    "glmc": (replace(_CROP, mixup=1.0), replace(_CROP, cutmix=1.0)),
}

# The radius 0.05 was the best of 0.05, 0.1 and 0.2 for SAM with CE and VS together, with one seed, on images that are
# neither in the subset nor in the test set; it is also the radius of Lyu 2025.
_PERTURBATIONS = {
    "sgd": NoPerturbation(),
    "sam": SAM(rho=0.05),
    "imbsam": ImbSAM(rho=0.05, eta=20),
    "ssesam": SSESAM(rho_head=0.05, rho_tail=0.05, gamma=0.7, eta=20),
    # lam and gamma are those of the authors' script for CIFAR-10-LT, which has as many classes.
    "focalsam": FocalSAM(rho=0.05, lam=0.5, gamma=3.0),
    # The settings of the authors' scripts, none tuned on the digits: on CIFAR-10-LT; on CIFAR-100-LT, without the
    # factor that falls over the epochs; on CIFAR-10.
    "ccsam": CCSAM(rho=1e-6, q=0.3),
    "gnm": GNM(rho=0.005),
    "asam": ASAM(rho=0.5, eta=0.01),
    # The authors' alpha; their radius is ASAM's, so this one is SAM's here.
    "gsam": GSAM(rho=0.05, alpha=0.2),
}

DIGITS = Protocol(
    name="digits",
    paper="ltzoo",
    cites=(),
    subset="cao",
    groups={"exponential": "mislas"},
    paper_rule=None,
    optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=False),
    schedule=Schedule(epochs=40, warmup_epochs=2, milestones=(32, 36), factors=(0.1, 0.01)),
    batch_size=32,
    augmentation=_CROP,
    # As in Rangwani 2022's code, whose 160 of 200 epochs are 32 of 40.
    rules={"drw": DRW(start=32, beta=0.9999)},
    losses={"digits": _LOSSES},
    heads={"ldam": CosineHead(), "ride": CosineExpertsHead(), "sade": CosineExpertsHead()},
    perturbations={"digitslt": dict.fromkeys((*_LOSSES, "ce_drw"), _PERTURBATIONS)},
    ours=(),
    augmentations={"ce_mixup": replace(_CROP, mixup=1.0)},
    views=_VIEWS,
    partners={"glmc": InversePowerSampler(power=0.0)},
    # MiSLAS as on CIFAR-10 with IF 10, which is the nearest.
    second_stages=two_stage_methods()
    | {"mislas": mislas(0.1, 0.0, lr_factor=0.2, shifted_batchnorm=False)}
    # As many epochs, compared with those of the first stage, and draws as on CIFAR: 10 times the largest class.
    | dro_lt(draws=1300, epochs=(16, 4), view=_CROP),
)
