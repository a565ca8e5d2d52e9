"""Losses and re-weighting: from outputs, targets and class counts to one loss per image (imports torch alone)."""

from ltzoo.losses.bcl import BCL
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
from ltzoo.losses.influence import InfluenceBalanced, InfluenceBalancedLoss
from ltzoo.losses.label_smoothing import LabelAwareSmoothing, SmoothedCrossEntropy
from ltzoo.losses.loss import Loss, LossModule
from ltzoo.losses.mixed_views import GLMC, MixedViewsLoss
from ltzoo.losses.multi_expert import RIDE, SADE, DiverseMarginLoss, OffsetExpertsLoss
from ltzoo.losses.outputs import Outputs
from ltzoo.losses.paco import PaCo
from ltzoo.losses.proco import ProCo
from ltzoo.losses.registry import LOSSES, create_loss, register_loss
from ltzoo.losses.reweighting import DRW, REWEIGHTINGS, ClassBalanced, InversePower, NoReweighting, Reweighting
from ltzoo.losses.robust import DROLT, RobustLoss

__all__ = [
    "BCL",
    "CE",
    "DROLT",
    "DRW",
    "GLMC",
    "LA",
    "LDAM",
    "LOSSES",
    "REWEIGHTINGS",
    "RIDE",
    "SADE",
    "VS",
    "AdjustedCrossEntropy",
    "BalancedSoftmax",
    "ClassBalanced",
    "DiverseMarginLoss",
    "Focal",
    "FocalCrossEntropy",
    "InfluenceBalanced",
    "InfluenceBalancedLoss",
    "InversePower",
    "LabelAwareSmoothing",
    "LogitLDAM",
    "Loss",
    "LossModule",
    "MixedViewsLoss",
    "NoReweighting",
    "OffsetExpertsLoss",
    "Outputs",
    "PaCo",
    "ProCo",
    "Reweighting",
    "RobustLoss",
    "SmoothedCrossEntropy",
    "class_weights",
    "create_loss",
    "register_loss",
]
