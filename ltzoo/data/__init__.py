"""Benchmarks: data sets, class counts, reporting groups, samplers, subsets.

This package does not load images, so that importing it is quick. Images are in the packages `memory` (CIFAR and the
digits) and `files` (ImageNet-LT, iNaturalist 2018, custom data sets), batches in `batches`, torch data sets for other
training loops in `dataset`.
"""

from ltzoo.data.augmentation import Augmentation
from ltzoo.data.benchmarks import (
    DATASETS,
    NATURAL_BENCHMARKS,
    Benchmark,
    DataSet,
    ModelInput,
    NaturalBenchmark,
    exponential_counts,
    get_benchmark,
    list_benchmarks,
    step_counts,
)
from ltzoo.data.groups import GROUP_RULES, Groups, all_groups, classes_by_count, make_groups
from ltzoo.data.sampler import SAMPLERS, ClassAwareSampler, InstanceSampler, InversePowerSampler, Sampler
from ltzoo.data.seeding import RandomStream, seed_torch, seeded_generator, temporary_seed
from ltzoo.data.subset import HOLD_OUT, IMPORTED, SUBSET_RULES, WHOLE, Subset, hold_out, read_subset, select_subset

__all__ = [
    "DATASETS",
    "GROUP_RULES",
    "HOLD_OUT",
    "IMPORTED",
    "NATURAL_BENCHMARKS",
    "SAMPLERS",
    "SUBSET_RULES",
    "WHOLE",
    "Augmentation",
    "Benchmark",
    "ClassAwareSampler",
    "DataSet",
    "Groups",
    "InstanceSampler",
    "InversePowerSampler",
    "ModelInput",
    "NaturalBenchmark",
    "RandomStream",
    "Sampler",
    "Subset",
    "all_groups",
    "classes_by_count",
    "exponential_counts",
    "get_benchmark",
    "hold_out",
    "list_benchmarks",
    "make_groups",
    "read_subset",
    "seed_torch",
    "seeded_generator",
    "select_subset",
    "step_counts",
    "temporary_seed",
]
