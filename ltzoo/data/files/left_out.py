"""Which files and folders hold images of classes; what else lies there is left out, counted and named."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

from PIL import Image, ImageFile
from timm.data.readers.img_extensions import get_img_extensions

from ltzoo.errors import counted, first_few, named
from ltzoo.reading.images import open_image

_NO_PIXELS = {"EPS", "FITS", "MPEG"}
"""Programs, measurements without a white, and films; beside formats that Pillow only recognises (HDF5, GRIB, WMF)."""

_MARKED = re.compile(r"\.|__(?!.*__$)|[@#$](?=[^\W\d])")
"""How programs mark their folders: .thumbnails, __MACOSX, @eaDir, #recycle, $RECYCLE.BIN. $5, # and __other__ can be
classes."""

_UNMARKED = {"lost+found", "system volume information", "recycler"}
"""Folders that file systems make in their root, and that bear no mark."""

_KINDS = 6
"""How many kinds of files are named."""


def image_suffixes() -> set[str]:
    """Return the suffixes of images in lower case: of all formats that Pillow decodes, and those of timm.

    Formats that a plug-in registers with Pillow, and suffixes that a user added to timm's, are among them.
    """
    formats = Image.registered_extensions().items()
    return get_img_extensions(as_set=True) | {suffix for suffix, format in formats if _is_decoded(format)}


def _is_decoded(format: str) -> bool:
    opener = "JPEG" if format == "MPO" else format  # two photos in one file, opened as the first
    factory = Image.OPEN[opener][0] if opener in Image.OPEN else ImageFile.StubImageFile
    return format not in _NO_PIXELS and not (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))


def suffix(name: str) -> str:
    """Return the suffix of a name in lower case."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  ten times as fast as a Path


@dataclass
class LeftOut:
    """Decides by their names which files and folders are read, and collects the others.

    Attributes:
        suffixes: the suffixes of images.
        folders: folders made by a system or a program, or that belong to one photo, as thumbnails do.
        hidden: hidden files.
        others: files without a suffix of an image.
    """

    suffixes: set[str] = field(default_factory=image_suffixes)
    folders: dict[str, None] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def is_image(self, path: str) -> bool:
        """Return whether a file counts as an image; if not, collect it."""
        name = path.rpartition("/")[2]
        if name.startswith("."):
            self.hidden.append(path)
        elif suffix(name) in self.suffixes:
            return True
        else:
            self.others.append(path)
        return False

    def is_walked(self, folder: str) -> bool:
        """Return whether the content of a folder counts; if not, collect it."""
        name = folder.rpartition("/")[2]
        # A folder that is called like an image holds what a program made of that image: @eaDir/photo.jpg/.
        walked = not (_MARKED.match(name) or name.lower() in _UNMARKED or suffix(name) in self.suffixes)
        if not walked:
            self.folders[folder] = None
        return walked

    def is_walked_to(self, path: str) -> bool:
        """Return whether all folders on the way to a member of an archive count; if not, collect the first."""
        end = path.find("/")
        while end > 0:
            folder = path[:end]
            if folder in self.folders or not self.is_walked(folder):
                return False
            end = path.find("/", end + 1)
        return True

    def below(self, folder: str) -> str:
        """Describe what was left out below a folder: `4 .heic, 1 .txt, @eaDir/`; empty if there is nothing."""
        start = f"{folder}/"
        kinds = _kinds([path for path in [*self.others, *self.hidden] if path.startswith(start)])
        folders = first_few([f"{path.removeprefix(start)}/" for path in self.folders if path.startswith(start)])
        return ", ".join(filter(None, (kinds, folders)))

    def notes(self, origin: str, opened: Callable[[str], BinaryIO] | None = None) -> list[str]:
        """Say what was left out, in one line for each reason.

        Args:
            origin: where it was found.
            opened: opens a file, to look whether it is an image in spite of its name; None: do not look.
        """
        found = []
        for paths, one, several, why in (
            (self.folders, "folder", "folders", "made by a system or a program; rename one that is a class"),
            (self.hidden, "hidden file", "hidden files", ""),
            (self.others, "file", "files", f"without the suffix of an image ({_kinds(self.others)})"),
        ):
            if paths:
                number = counted(len(paths), one, several)
                found.append(f"{named(origin)}: left out {number} {why}".rstrip() + f": {first_few(sorted(paths))}")
        recognised = _recognised(self.others, opened) if opened else None
        if recognised:
            path, format = recognised
            found[-1] += f"; {named(path)} is {format}: rename such files, so that they end in {_usual(format)}"
        return found


def _kinds(paths: Iterable[str]) -> str:
    """Count files by suffix, the most frequent first."""
    counts: dict[str, int] = {}
    for path in paths:
        kind = named(suffix(path)) or "without any"
        counts[kind] = counts.get(kind, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {kind}" for kind, count in ordered[:_KINDS]]
    return ", ".join([*shown, *(["..."] if len(ordered) > len(shown) else [])])


def _recognised(paths: Iterable[str], opened: Callable[[str], BinaryIO]) -> tuple[str, str] | None:
    """Find a file that Pillow recognises, among one of each suffix; not as TIFF, which it takes raw files for."""
    for path in {suffix(path): path for path in paths}.values():
        try:
            with opened(path) as file, open_image(file) as image:
                format = image.format or ""
        except Exception:  # Pillow passes on whatever the formats raise
            continue
        if _is_decoded(format) and format != "TIFF":
            return path, "JPEG" if format == "MPO" else format
    return None


def _usual(format: str) -> str:
    """Return the suffix that files of a format usually have."""
    usual = {"JPEG": ".jpg"}
    return usual.get(format) or next((end for end, of in Image.registered_extensions().items() if of == format), "")
