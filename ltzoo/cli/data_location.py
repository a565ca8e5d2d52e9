"""From the options of a command to where the images in files are, and to their splits."""

import argparse

from ltzoo.data import NaturalBenchmark
from ltzoo.data.files import DataLocation, ImageFiles, check_present, hold_out_files, open_files
from ltzoo.errors import InputError


def location_of(arguments: argparse.Namespace) -> DataLocation:
    """Return where the images are: the arguments of a command that has `add_files_options` and a data folder."""
    return DataLocation(
        data_dir=arguments.data_dir,
        image_root=arguments.image_root,
        image_column=arguments.image_column,
        label_column=arguments.label_column,
        download=arguments.download,
        class_folder=arguments.class_folder,
        image_suffix=arguments.image_suffix,
    )


def location_options(arguments: argparse.Namespace) -> list[list[str]]:
    """Return the options that name the same images to `train` and `validate`; those with their defaults are left out.

    Args:
        arguments: as for `location_of`.
    """
    options = [["--data-dir", str(arguments.data_dir)]]
    if arguments.image_root is not None:
        options.append(["--image-root", str(arguments.image_root)])
    if arguments.image_column != DataLocation.image_column:
        options.append(["--image-column", arguments.image_column])
    if arguments.label_column != DataLocation.label_column:
        options.append(["--label-column", arguments.label_column])
    if arguments.image_suffix:
        options.append(["--image-suffix", arguments.image_suffix])
    if arguments.class_folder != DataLocation.class_folder:
        options.append(["--class-folder", arguments.class_folder])
    return options


def open_splits(
    arguments: argparse.Namespace, benchmark: NaturalBenchmark, hold_out: int | float | None
) -> tuple[ImageFiles, ImageFiles | None]:
    """Open the training images, and those that accuracy would be measured on; None where there are none of these.

    Args:
        arguments: as for `location_of`.
        benchmark: what the images are.
        hold_out: how much of each class is held out of training and measured on; None for the test split.

    Raises:
        InputError: there are no training images, files are missing, or they cannot be used.
    """
    location = location_of(arguments)
    train = open_files(benchmark, "train", location)
    if train is None:
        raise InputError(f"there are no training images in {arguments.data_dir}; name another folder")
    check_present(train)
    if hold_out is not None:
        return hold_out_files(train, hold_out)
    test = open_files(benchmark, "test", location, train.class_names)
    if test is not None:
        check_present(test)
    return train, test
