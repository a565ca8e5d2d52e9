"""Losses and re-weighting: from outputs, targets and class counts to one loss per image (imports torch alone)."""

from ltzoo.losses.class_weights import class_weights
from ltzoo.losses.cross_entropy import (
    CE,
    LA,
    LDAM,
    VS,
    AdjustedCrossEntropy,
    BalancedSoftmax,
    Focal,
    FocalCrossEntropy,
    LogitLDAM,
)
from ltzoo.losses.label_smoothing import LabelAwareSmoothing, SmoothedCrossEntropy
from ltzoo.losses.loss import Loss, LossModule
from ltzoo.losses.outputs import Outputs
from ltzoo.losses.registry import LOSSES, create_loss, register_loss
from ltzoo.losses.reweighting import DRW, REWEIGHTINGS, ClassBalanced, InversePower, NoReweighting, Reweighting

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
    "InversePower",
    "LabelAwareSmoothing",
    "LogitLDAM",
    "Loss",
    "LossModule",
    "NoReweighting",
    "Outputs",
    "Reweighting",
    "SmoothedCrossEntropy",
    "class_weights",
    "create_loss",
    "register_loss",
]
