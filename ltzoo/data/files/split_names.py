"""How the splits of a data set are called, and their lists."""

SPELLINGS = {"train": ("train",), "val": ("val", "validation"), "test": ("test",)}
"""How each split may be called."""

SPLIT_NAMES = tuple(name for names in SPELLINGS.values() for name in names)
"""All names of splits."""

MISSPELT = {"train", "training", "val", "valid", "validate", "validation", "test", "testing"}
"""Names, in lower case, that mean a split."""

LIST_SUFFIXES = (".csv", ".txt")
"""Suffixes of lists of images, in lower case."""
