"""The step: the gradient of SAM and its relatives, for any training loop (imports torch alone)."""

from ltzoo.sharpness.ascent import AdaptiveMove, L2Move, Move, NormRatioMove
from ltzoo.sharpness.backward import perturbed_backward
from ltzoo.sharpness.methods import SAM, SSESAM, FocalSAM, ImbSAM, NoPerturbation, SAMExt
from ltzoo.sharpness.noise import GNM, LPFSGD, PGD
from ltzoo.sharpness.options import Ascent, MixedTargets, StepOptions
from ltzoo.sharpness.partition import Quantile, tail_partition
from ltzoo.sharpness.perturbation import Perturbation
from ltzoo.sharpness.registry import PERTURBATIONS, register_perturbation
from ltzoo.sharpness.schedules import RADIUS_SCHEDULES, Cosine, Linear, Radius, RadiusSchedule, Stages, Steps, radius_at
from ltzoo.sharpness.table import Row, Table
from ltzoo.sharpness.variants import ASAM, CCSAM, GSAM, GroupSAM

__all__ = [
    "ASAM",
    "CCSAM",
    "GNM",
    "GSAM",
    "LPFSGD",
    "PERTURBATIONS",
    "PGD",
    "RADIUS_SCHEDULES",
    "SAM",
    "SSESAM",
    "AdaptiveMove",
    "Ascent",
    "Cosine",
    "FocalSAM",
    "GroupSAM",
    "ImbSAM",
    "L2Move",
    "Linear",
    "MixedTargets",
    "Move",
    "NoPerturbation",
    "NormRatioMove",
    "Perturbation",
    "Quantile",
    "Radius",
    "RadiusSchedule",
    "Row",
    "SAMExt",
    "Stages",
    "StepOptions",
    "Steps",
    "Table",
    "perturbed_backward",
    "radius_at",
    "register_perturbation",
    "tail_partition",
]
