"""The step: the gradient of SAM and its relatives, for any training loop (imports torch alone)."""

from ltzoo.sharpness.backward import perturbed_backward
from ltzoo.sharpness.methods import (
    LPFSGD,
    PERTURBATIONS,
    PGD,
    SAM,
    SSESAM,
    FocalSAM,
    ImbSAM,
    NoPerturbation,
    Perturbation,
    SAMExt,
    register_perturbation,
)
from ltzoo.sharpness.options import Ascent, MixedTargets, StepOptions
from ltzoo.sharpness.partition import Quantile, tail_partition
from ltzoo.sharpness.running_statistics import frozen_statistics
from ltzoo.sharpness.schedules import RADIUS_SCHEDULES, Cosine, Linear, Radius, RadiusSchedule, Stages, Steps, radius_at
from ltzoo.sharpness.table import Row, Table

__all__ = [
    "LPFSGD",
    "PERTURBATIONS",
    "PGD",
    "RADIUS_SCHEDULES",
    "SAM",
    "SSESAM",
    "Ascent",
    "Cosine",
    "FocalSAM",
    "ImbSAM",
    "Linear",
    "MixedTargets",
    "NoPerturbation",
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
    "frozen_statistics",
    "perturbed_backward",
    "radius_at",
    "register_perturbation",
    "tail_partition",
]
