"""Losses and re-weighting: from logits, targets and class counts to one value an image (imports torch alone)."""

from ltzoo.losses.adjusted import AdjustedCrossEntropy, Loss
from ltzoo.losses.cross_entropy import CE
from ltzoo.losses.ldam import LDAM
from ltzoo.losses.logit_adjustment import LA, VS
from ltzoo.losses.reweighting import DRW, REWEIGHTINGS, NoReweighting, Reweighting

LOSSES: dict[str, type[Loss]] = {kind.name: kind for kind in (CE, LDAM, LA, VS)}

__all__ = [
    "CE",
    "DRW",
    "LA",
    "LDAM",
    "LOSSES",
    "REWEIGHTINGS",
    "VS",
    "AdjustedCrossEntropy",
    "Loss",
    "NoReweighting",
    "Reweighting",
]
