"""Options that belong to images in files: refused for data sets in memory, where they would do nothing."""

from collections.abc import Mapping

from ltzoo.data.files.image_files import DataLocation
from ltzoo.errors import InputError


def refuse_options_of_files(benchmark: str, location: DataLocation, more: Mapping[str, object]) -> None:
    """Check that no option of images in files is given for a data set in memory.

    Args:
        benchmark: the name of the benchmark.
        location: where images in files would be.
        more: other such options of a command, with their values; None for one that is not given.

    Raises:
        InputError: there is such an option.
    """
    given = {
        "--image-root": location.image_root is not None,
        "--image-column": location.image_column != DataLocation.image_column,
        "--label-column": location.label_column != DataLocation.label_column,
        "--image-suffix": location.image_suffix != DataLocation.image_suffix,
        "--class-folder": location.class_folder != DataLocation.class_folder,
        **{flag: value is not None for flag, value in more.items()},
    }
    for flag in (flag for flag, is_given in given.items() if is_given):
        raise InputError(f"{flag} needs images in files, but {benchmark} is in memory; leave it out")
