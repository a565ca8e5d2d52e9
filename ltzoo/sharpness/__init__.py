"""The step: one gradient for every optimizer of both papers, for anybody's training loop (imports torch alone)."""

from ltzoo.sharpness.backward import Ascent, perturbed_backward
from ltzoo.sharpness.batchnorm import frozen_statistics
from ltzoo.sharpness.partition import Quantile, tail_partition
from ltzoo.sharpness.perturbations import (
    LPFSGD,
    PERTURBATIONS,
    PGD,
    SAM,
    SSESAM,
    ImbSAM,
    NoPerturbation,
    Perturbation,
    SAMExt,
    register_perturbation,
)
from ltzoo.sharpness.radius import RADIUS_SCHEDULES, Cosine, Linear, Radius, RadiusSchedule, Stages, Steps, radius_at
from ltzoo.sharpness.table import Group, GroupTable

__all__ = [
    "LPFSGD",
    "PERTURBATIONS",
    "PGD",
    "RADIUS_SCHEDULES",
    "SAM",
    "SSESAM",
    "Ascent",
    "Cosine",
    "Group",
    "GroupTable",
    "ImbSAM",
    "Linear",
    "NoPerturbation",
    "Perturbation",
    "Quantile",
    "Radius",
    "RadiusSchedule",
    "SAMExt",
    "Stages",
    "Steps",
    "frozen_statistics",
    "perturbed_backward",
    "radius_at",
    "register_perturbation",
    "tail_partition",
]
