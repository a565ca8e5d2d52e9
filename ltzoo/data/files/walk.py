"""Find the images below a folder; what else lies there is left out, with a note."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ltzoo.data.files.left_out import LeftOut
from ltzoo.data.files.thumbnails import thumbnail_folders
from ltzoo.errors import InputError, named
from ltzoo.reading.content import open_regular


@dataclass(frozen=True)
class FoundImages:
    """The images below a folder.

    Attributes:
        paths: the images, relative to the folder, in no particular order; at least one.
        without: each folder below that holds no image itself, and whether it holds folders.
        left_out: the other files and folders.
        notes: what is said of them, one line for each reason.
    """

    paths: list[str]
    without: dict[str, bool]
    left_out: LeftOut
    notes: list[str]


def walk_images(root: Path, twins: Literal["refuse", "skip"]) -> FoundImages:
    """Find the images below a folder, also through symbolic links.

    Args:
        root: the folder.
        twins: what to do with a folder that is reached a second time, through a link.

    Raises:
        InputError: there is no image, a folder cannot be listed, or is reached twice and that is refused.
    """

    def refuse(error: OSError) -> None:
        reason = error.strerror or "unreadable"
        raise InputError(f"{named(str(error.filename))} cannot be listed ({reason}); make it readable") from error

    left_out = LeftOut()
    paths: list[str] = []
    without: dict[str, bool] = {}
    visited: dict[tuple[int, int], str] = {}
    for folder, below, files in os.walk(root, followlinks=True, onerror=refuse):
        status = Path(folder).stat()
        twin = visited.setdefault((status.st_dev, status.st_ino), folder)
        if twin != folder:
            if twins == "refuse":
                raise InputError(
                    f"{named(folder)} is the same folder as {named(twin)}, through a link; remove the link"
                )
            below.clear()
            continue
        relative = "" if folder == str(root) else os.path.relpath(folder, root)
        below[:] = sorted(name for name in below if left_out.is_walked(os.path.join(relative, name)))  # noqa: PTH118
        images = [path for name in files if left_out.is_image(path := os.path.join(relative, name))]  # noqa: PTH118
        paths += images
        if relative and not images:
            without[relative] = bool(below)
    thumbnails = thumbnail_folders(root, paths)
    if thumbnails:
        left_out.folders |= dict.fromkeys(thumbnails)
        paths = [path for path in paths if path.rpartition("/")[0] not in thumbnails]
    notes = left_out.notes(str(root), lambda path: open_regular(root / path))
    if not paths:
        there = f" ({notes[-1].partition(': ')[2]})" if notes else ""
        raise InputError(f"{named(str(root))} has no image{there}; name another folder")
    return FoundImages(paths, without, left_out, notes)
