"""Loads the images of a run: a long-tailed subset of a balanced data set, or images in files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltzoo.data import HOLD_OUT, IMPORTED, NATURAL_BENCHMARKS, WHOLE, Benchmark, DataSet, Subset, read_subset
from ltzoo.data.batches import BatchSettings, Images
from ltzoo.data.files import (
    ImageFiles,
    ResizedImages,
    check_coverage,
    check_present,
    hold_out_files,
    open_files,
    where_test_is,
    without_unreadable,
)
from ltzoo.data.files.options import refuse_options_of_files
from ltzoo.data.memory import load_held_out, load_subset, load_test, load_train
from ltzoo.errors import InputError
from ltzoo.recipes import Recipe
from ltzoo.recipes.model import seen_benchmark, view_of
from ltzoo.train.options import TrainOptions
from ltzoo.train.start import StartWeights


@dataclass(frozen=True)
class RunImages:
    """The images that a run is trained and measured on.

    Attributes:
        benchmark: class counts and names, image size and normalisation.
        train: the training images.
        measured: the test images, or the held-out ones.
        subset: which images of the training split are in `train`.
        overrides: how the images differ from those of the recipe: key to [registered, used].
        measured_layout: hash of names and classes of `measured`, see `ImageFiles.layout`; None for images in memory.
    """

    benchmark: Benchmark
    train: Images
    measured: Images
    subset: Subset
    overrides: Mapping[str, list[Any]]
    measured_layout: str | None = None


def load_images(recipe: Recipe, start: StartWeights, options: TrainOptions, say: Callable[[str], None]) -> RunImages:
    """Load a run's images into memory, or find the files that they are in.

    Args:
        recipe: gives the benchmark and the subset rule.
        start: the weights to start from; their configuration can give image size and normalisation.
        options: where the data are, and which images are held out.
        say: called with a line for whatever is left out.

    Raises:
        InputError: data are missing, unreadable, or do not fit the benchmark or the options.
    """
    check_image_options(recipe, options)
    if recipe.natural:
        return _from_files(recipe, start, options, say)
    wanted = recipe.subset if options.subset is None else read_subset(options.subset)
    where = (options.data_dir, options.download)
    benchmark = seen_benchmark(recipe, start.cfg)
    if options.hold_out is None:
        train, subset = load_train(recipe.data, wanted, *where)
        return RunImages(benchmark, train, load_test(recipe.data, *where), subset, {})
    train, subset, measured = load_held_out(recipe.data, wanted, int(options.hold_out), *where)
    return RunImages(benchmark, train, measured, subset, {HOLD_OUT: [None, options.hold_out]})


def batch_settings(recipe: Recipe, data_set: DataSet, seed: int) -> BatchSettings:
    """Return what describes the batches of a recipe's images.

    Args:
        recipe: the recipe.
        data_set: size and normalisation of the images.
        seed: the run's.
    """
    return BatchSettings(data_set, recipe.views, recipe.batch_size, seed, recipe.sampler, recipe.partners)


def is_rules_own(subset: Subset, recipe: Recipe, options: TrainOptions) -> bool:
    """Return whether a subset from a file equals the one that the recipe's rule chooses."""
    if recipe.subset == IMPORTED:
        return False
    return load_subset(recipe.data, recipe.subset, options.data_dir, options.download).sha256 == subset.sha256


def check_image_options(recipe: Recipe, options: TrainOptions) -> None:
    """Check that no option is given that has no effect on the recipe's images.

    Raises:
        InputError: there is such an option.
    """
    if not recipe.natural:
        _refuse_for_memory(recipe, options)
        return
    if options.subset is not None:
        raise InputError(
            f"--subset needs a balanced data set to choose from, but {recipe.benchmark} uses all images; leave it out"
        )
    if options.image_cache is not None and (recipe.input is None or recipe.input.shorter_side is None):
        raise InputError("--image-cache stores resized images; give a size with --set input.shorter_side=256")


def _refuse_for_memory(recipe: Recipe, options: TrainOptions) -> None:
    more = {
        "--skip-unreadable": options.skip_unreadable,
        "--image-cache": options.image_cache,
        "--hold-out with a share": isinstance(options.hold_out, float) or None,
    }
    refuse_options_of_files(recipe.benchmark, options.location, more)


def _from_files(recipe: Recipe, start: StartWeights, options: TrainOptions, say: Callable[[str], None]) -> RunImages:
    natural, location = NATURAL_BENCHMARKS[recipe.benchmark], options.location
    whole = open_files(natural, "train", location)
    if whole is None:
        raise InputError(f"there are no training images in {location.data_dir}; name another data folder")
    if options.hold_out is None:
        measured = open_files(natural, "test", location, whole.class_names)
        if measured is None:
            advice = where_test_is(location.data_dir) or "add val/ or test/"
            raise InputError(
                f"{location.data_dir} has only training images; {advice}, or hold some out with --hold-out 0.1"
            )
        train, rule = whole, WHOLE
    else:
        train, measured = hold_out_files(whole, options.hold_out)
        rule = f"{WHOLE}, {options.hold_out} held out"
    for files in (train, measured):
        check_outputs(files, options)
        check_present(files)
    for note in dict.fromkeys([*train.notes, *measured.notes]):
        say(note)
    overrides: dict[str, list[Any]] = {} if options.hold_out is None else {HOLD_OUT: [None, options.hold_out]}
    if natural.train_images not in (None, len(whole)):
        overrides["train_images"] = [natural.train_images, len(whole)]
    if options.skip_unreadable is not None:
        before = len(train), len(measured)
        train = without_unreadable(train, options.skip_unreadable, say)
        skipped = before[0] - len(train)
        measured = without_unreadable(measured, options.skip_unreadable - skipped, say)
        if (len(train), len(measured)) != before:
            overrides["skipped"] = [None, f"{skipped} of training, {before[1] - len(measured)} of what is measured"]
    check_coverage(train, measured)
    benchmark = natural.with_counts(train.class_counts, train.class_names, view_of(recipe, start.cfg))
    subset = Subset(rule, whole.layout, _positions(train, whole))
    shorter = recipe.input.shorter_side if recipe.input else None
    if shorter is None:
        return RunImages(benchmark, train, measured, subset, overrides, measured.layout)
    small, small_measured = (ResizedImages(files, shorter, options.image_cache) for files in (train, measured))
    return RunImages(benchmark, small, small_measured, subset, overrides, measured.layout)


def check_outputs(files: ImageFiles, options: TrainOptions) -> None:
    """Check that outputs are not written among the images, where they would be read as classes later.

    Args:
        files: a split of the images.
        options: name the outputs.

    Raises:
        InputError: an output is inside the folder of the images.
    """
    root = Path(files.origin)
    for flag, path in (("--output", options.output), ("--image-cache", options.image_cache)):
        if path is not None and root.is_dir() and path.resolve().is_relative_to(root.resolve()):
            raise InputError(f"{flag} {path} is inside the image folder {root}; name a folder outside of it")


def _positions(part: ImageFiles, whole: ImageFiles) -> np.ndarray:
    """Find the images of a part in the whole split."""
    order = np.argsort(whole.positions)
    return order[np.searchsorted(whole.positions[order], part.positions)].astype(np.int64)
