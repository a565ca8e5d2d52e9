"""Images that lie in files: found, read, split, checked."""

from ltzoo.data.files.coverage import check_coverage
from ltzoo.data.files.heldout import hold_out_files
from ltzoo.data.files.opening import open_files
from ltzoo.data.files.paths import check_present
from ltzoo.data.files.place import Place
from ltzoo.data.files.scan import without_unreadable
from ltzoo.data.files.shrunk import ShrunkImages
from ltzoo.data.files.source import ImageFiles, Reader

__all__ = [
    "ImageFiles",
    "Place",
    "Reader",
    "ShrunkImages",
    "check_coverage",
    "check_present",
    "hold_out_files",
    "open_files",
    "without_unreadable",
]
