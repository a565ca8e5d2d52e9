"""Images in memory: CIFAR and scikit-learn's digits, loaded whole or by a benchmark's subset."""

from ltzoo.data.memory.loading import LabelledImages, load_held_out, load_subset, load_test, load_train
from ltzoo.data.memory.pack import pack
from ltzoo.data.memory.sources import ImageSource, cifar_source, digits_source

__all__ = [
    "ImageSource",
    "LabelledImages",
    "cifar_source",
    "digits_source",
    "load_held_out",
    "load_subset",
    "load_test",
    "load_train",
    "pack",
]
