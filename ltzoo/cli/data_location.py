"""From the options of a command to where the images in files are."""

import argparse

from ltzoo.data.files import DataLocation


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
