"""Losses and re-weighting: from logits, targets and class counts to one value an image (imports torch alone)."""

from ltzoo.losses.adjusted import AdjustedCrossEntropy, Loss
from ltzoo.losses.catalogue import LOSSES, create_loss, register_loss
from ltzoo.losses.cross_entropy import CE
from ltzoo.losses.focal import Focal, FocalCrossEntropy
from ltzoo.losses.ldam import LDAM, LogitLDAM
from ltzoo.losses.logit_adjustment import LA, VS, BalancedSoftmax
from ltzoo.losses.reweighting import DRW, REWEIGHTINGS, ClassBalanced, NoReweighting, Reweighting

__all__ = [
    "CE",
    "DRW",
    "LA",
    "LDAM",
    "LOSSES",
    "REWEIGHTINGS",
    "VS",
    "AdjustedCrossEntropy",
    "BalancedSoftmax",
    "ClassBalanced",
    "Focal",
    "FocalCrossEntropy",
    "LogitLDAM",
    "Loss",
    "NoReweighting",
    "Reweighting",
    "create_loss",
    "register_loss",
]
