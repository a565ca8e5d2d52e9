"""Benchmarks: where the images come from, which of them form the long tail, how classes are grouped, batches."""

from ltzoo.data.augmentation import Augmentation
from ltzoo.data.batches import EvalBatches, TrainBatches, seeded_generator
from ltzoo.data.benchmarks import Benchmark, get_benchmark, list_benchmarks
from ltzoo.data.dataset import BenchmarkImages, create_dataset
from ltzoo.data.datasets import DATASETS, DataSet
from ltzoo.data.groups import GROUP_RULES, Groups, all_groups, make_groups
from ltzoo.data.holdout import HOLD_OUT, hold_out
from ltzoo.data.images import ImageSource, LabelledImages
from ltzoo.data.loading import load_held_out, load_subset, load_test, load_train
from ltzoo.data.longtail import exponential_counts, step_counts
from ltzoo.data.pack import pack
from ltzoo.data.subset import IMPORTED, SUBSET_RULES, Subset, read_subset, select_subset

__all__ = [
    "DATASETS",
    "GROUP_RULES",
    "HOLD_OUT",
    "IMPORTED",
    "SUBSET_RULES",
    "Augmentation",
    "Benchmark",
    "BenchmarkImages",
    "DataSet",
    "EvalBatches",
    "Groups",
    "ImageSource",
    "LabelledImages",
    "Subset",
    "TrainBatches",
    "all_groups",
    "create_dataset",
    "exponential_counts",
    "get_benchmark",
    "hold_out",
    "list_benchmarks",
    "load_held_out",
    "load_subset",
    "load_test",
    "load_train",
    "make_groups",
    "pack",
    "read_subset",
    "seeded_generator",
    "select_subset",
    "step_counts",
]
