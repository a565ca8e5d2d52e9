"""Images in files: ImageNet-LT, iNaturalist 2018 and custom data sets; found, read, split and checked."""

from ltzoo.data.files.advice import where_test_is
from ltzoo.data.files.checks import check_coverage, check_present, find_unreadable, without_unreadable
from ltzoo.data.files.hold_out import hold_out_files
from ltzoo.data.files.identity import shared_files
from ltzoo.data.files.image_files import ClassFolder, DataLocation, ImageFiles, Reader
from ltzoo.data.files.profile import profile_files
from ltzoo.data.files.resized import ResizedImages
from ltzoo.data.files.splits import open_files
from ltzoo.data.files.unlabelled import find_unlabelled

__all__ = [
    "ClassFolder",
    "DataLocation",
    "ImageFiles",
    "Reader",
    "ResizedImages",
    "check_coverage",
    "check_present",
    "find_unlabelled",
    "find_unreadable",
    "hold_out_files",
    "open_files",
    "profile_files",
    "shared_files",
    "where_test_is",
    "without_unreadable",
]
