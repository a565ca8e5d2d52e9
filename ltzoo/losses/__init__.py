"""Losses and re-weighting: from outputs, targets and class counts to one loss per image (imports torch alone)."""

from ltzoo.losses.bcl import BCL
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
from ltzoo.losses.paco import PaCo
from ltzoo.losses.proco import ProCo
from ltzoo.losses.registry import LOSSES, create_loss, register_loss
from ltzoo.losses.reweighting import DRW, REWEIGHTINGS, ClassBalanced, InversePower, NoReweighting, Reweighting

__all__ = [
    "BCL",
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
    "PaCo",
    "ProCo",
    "Reweighting",
    "SmoothedCrossEntropy",
    "create_loss",
    "register_loss",
]
