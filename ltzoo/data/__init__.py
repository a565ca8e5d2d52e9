"""Benchmarks: where the images come from, which of them form the long tail, how classes are grouped, batches."""

from ltzoo.data.augmentation import Augmentation
from ltzoo.data.batches import EvalBatches, TrainBatches
from ltzoo.data.benchmarks import Benchmark, get_benchmark
from ltzoo.data.datasets import DATASETS, DataSet
from ltzoo.data.groups import GROUP_RULES, Groups, all_groups, make_groups
from ltzoo.data.images import ImageSource, LabelledImages
from ltzoo.data.loading import load_test, load_train
from ltzoo.data.longtail import SUBSET_RULES, Subset, exponential_counts, select_subset

__all__ = [
    "DATASETS",
    "GROUP_RULES",
    "SUBSET_RULES",
    "Augmentation",
    "Benchmark",
    "DataSet",
    "EvalBatches",
    "Groups",
    "ImageSource",
    "LabelledImages",
    "Subset",
    "TrainBatches",
    "all_groups",
    "exponential_counts",
    "get_benchmark",
    "load_test",
    "load_train",
    "make_groups",
    "select_subset",
]
