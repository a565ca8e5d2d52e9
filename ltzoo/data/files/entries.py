"""What a list or a table says: images, and the label of each."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ltzoo.data.files.classes import WHOLE, label_classes
from ltzoo.data.files.names import Names, shown
from ltzoo.data.files.paths import PathImages
from ltzoo.data.files.source import ImageFiles
from ltzoo.errors import InputError


@dataclass(frozen=True)
class Listed:
    """What a list or a table says.

    Attributes:
        names: (N,) the images.
        codes: (N,) int64, which of the texts each one's label is.
        texts: the labels, in the order in which they first appear.
        lines: the line in which each text first appears, from 1.
        origin: where the list lies.
    """

    names: Names
    codes: np.ndarray
    texts: tuple[str, ...]
    lines: tuple[int, ...]
    origin: str

    def __len__(self) -> int:
        return len(self.codes)

    def labelled(self, root: Path) -> ImageFiles:
        """Make a split of it in which a label may be any text; if all are whole numbers, they are sorted as such.

        Args:
            root: what the names are relative to.

        Raises:
            InputError: a label cannot be a class name, or two differ only in how they are written.
        """
        numbers, class_names = label_classes(self.texts, self.origin)
        return self.files(root, numbers, class_names)

    def numbers(self, num_classes: int) -> list[int]:
        """Read each of the texts as a number from 0 to C - 1.

        Raises:
            InputError: one is none; its line is named.
        """
        for text, line in zip(self.texts, self.lines, strict=True):
            if not (WHOLE.fullmatch(text) and 0 <= int(text) < num_classes):
                raise InputError(
                    f"{self.origin}, line {line}: the label {text[:40]!r} is no whole number from 0 to "
                    f"{num_classes - 1}; mend the line, or see that it is the right list"
                )
        return [int(text) for text in self.texts]

    def files(self, root: Path, numbers: Sequence[int] | np.ndarray, class_names: tuple[str, ...]) -> ImageFiles:
        """Make a split of it.

        Args:
            root: what the names are relative to.
            numbers: the class of each text.
            class_names: what the classes are called.
        """
        labels = np.asarray(numbers, dtype=np.int64)[self.codes]
        return ImageFiles(PathImages(str(root), self.names), np.arange(len(self)), labels, class_names, self.origin)


class Entries:
    """Gathers a list's entries; each is checked as it comes, so that its line can be named.

    Args:
        origin: where the list lies.
    """

    def __init__(self, origin: Path) -> None:
        self._origin = origin
        self._lines: dict[bytes, int] = {}
        self._texts: dict[bytes, int] = {}
        self._first_lines: list[int] = []
        self._codes: list[int] = []

    def add(self, name: bytes, label: bytes, line: int) -> None:
        """Take an entry.

        Args:
            name: the image.
            label: its label.
            line: where it stands, from 1.

        Raises:
            InputError: the image has been named before.
        """
        if (b"./" in name or b"//" in name) and b".." not in name:
            name = os.path.normpath(name)
        first = self._lines.setdefault(name, line)
        if first != line:
            image = shown(name.decode("utf-8", "surrogateescape"))
            raise InputError(f"{self._origin}, line {line}: line {first} names {image} already; remove one of the two")
        code = self._texts.setdefault(label, len(self._texts))
        if code == len(self._first_lines):
            self._first_lines.append(line)
        self._codes.append(code)

    def listed(self) -> Listed:
        """Return what there was.

        Raises:
            InputError: nothing, or a label is no UTF-8.
        """
        if not self._codes:
            raise InputError(f"{self._origin} names no image; see that it is the right list")
        texts = tuple(text.decode("utf-8", "surrogateescape") for text in self._texts)
        codes = np.array(self._codes, dtype=np.int64)
        return Listed(Names.of(self._lines), codes, texts, tuple(self._first_lines), str(self._origin))
