"""The step: one gradient for every optimizer of both papers, for anybody's training loop (imports torch alone)."""

from ltzoo.sharpness.backward import perturbed_backward
from ltzoo.sharpness.batchnorm import frozen_statistics
from ltzoo.sharpness.perturbations import PERTURBATIONS, SAM, SSESAM, ImbSAM, NoPerturbation, Perturbation
from ltzoo.sharpness.table import GroupTable, tail_partition

__all__ = [
    "PERTURBATIONS",
    "SAM",
    "SSESAM",
    "GroupTable",
    "ImbSAM",
    "NoPerturbation",
    "Perturbation",
    "frozen_statistics",
    "perturbed_backward",
    "tail_partition",
]
