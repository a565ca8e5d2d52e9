"""Benchmarks: where the images come from, which of them form the long tail, how classes are grouped, batches."""

from ltzoo.data.augmentation import Augmentation
from ltzoo.data.batches import EvalBatches, TrainBatches
from ltzoo.data.batching import decodes, make_eval_batches, make_train_batches
from ltzoo.data.benchmarks import (
    NATURAL_BENCHMARKS,
    Benchmark,
    NaturalBenchmark,
    View,
    get_benchmark,
    list_benchmarks,
)
from ltzoo.data.dataset import BenchmarkImages, FileImages, create_dataset
from ltzoo.data.datasets import DATASETS, DataSet
from ltzoo.data.delivery import Delivery, batch_sizes
from ltzoo.data.groups import GROUP_RULES, Groups, all_groups, make_groups
from ltzoo.data.holdout import HOLD_OUT, hold_out
from ltzoo.data.images import ImageSource, LabelledImages
from ltzoo.data.loader import EvalLoader, Pictures, TrainLoader
from ltzoo.data.loading import load_held_out, load_subset, load_test, load_train
from ltzoo.data.longtail import exponential_counts, step_counts
from ltzoo.data.mixing import mix
from ltzoo.data.pack import pack
from ltzoo.data.random_state import draw_from, seeded, seeded_generator
from ltzoo.data.sampler import SAMPLERS, ClassAwareSampler, InstanceSampler, Sampler
from ltzoo.data.subset import IMPORTED, SUBSET_RULES, WHOLE, Subset, read_subset, select_subset
from ltzoo.data.transforms import eval_transform, train_transform

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
    "BenchmarkImages",
    "ClassAwareSampler",
    "DataSet",
    "Delivery",
    "EvalBatches",
    "EvalLoader",
    "FileImages",
    "Groups",
    "ImageSource",
    "InstanceSampler",
    "LabelledImages",
    "NaturalBenchmark",
    "Pictures",
    "Sampler",
    "Subset",
    "TrainBatches",
    "TrainLoader",
    "View",
    "all_groups",
    "batch_sizes",
    "create_dataset",
    "decodes",
    "draw_from",
    "eval_transform",
    "exponential_counts",
    "get_benchmark",
    "hold_out",
    "list_benchmarks",
    "load_held_out",
    "load_subset",
    "load_test",
    "load_train",
    "make_eval_batches",
    "make_groups",
    "make_train_batches",
    "mix",
    "pack",
    "read_subset",
    "seeded",
    "seeded_generator",
    "select_subset",
    "step_counts",
    "train_transform",
]
