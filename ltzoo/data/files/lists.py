"""Lists and tables of images: text files with a path and a label per line, CSV files with a column of each."""

import codecs
import csv
import errno
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ltzoo.data.files.classes import WHOLE, label_classes
from ltzoo.data.files.image_files import ImageFiles, Names, PathImages
from ltzoo.errors import InputError, first_line, named, printable
from ltzoo.reading.content import open_regular

SPLIT_COLUMN = "split"

_LARGEST = 2**29
"""Bytes of a list: nine million lines of 60 letters."""


@dataclass(frozen=True)
class Listed:
    """The content of a list or a table.

    Attributes:
        names: (N,) the images.
        codes: (N,) int64, the index of each image's label in `texts`.
        texts: the different labels, in the order of their first appearance.
        lines: the line in which each text first appears, from 1.
        origin: the path of the list.
    """

    names: Names
    codes: np.ndarray
    texts: tuple[str, ...]
    lines: tuple[int, ...]
    origin: str

    def __len__(self) -> int:
        return len(self.codes)

    def labelled(self, root: Path) -> ImageFiles:
        """Make a split whose labels may be any text; whole numbers are sorted as numbers.

        Args:
            root: the folder that the names are relative to.

        Raises:
            InputError: a label is not a valid class name, or two differ only in case or in their Unicode form.
        """
        numbers, class_names = label_classes(self.texts, self.origin)
        return self.files(root, numbers, class_names)

    def numbers(self, num_classes: int) -> list[int]:
        """Read each of the texts as a number from 0 to C - 1.

        Raises:
            InputError: a text is no such number; the message names its line.
        """
        for text, line in zip(self.texts, self.lines, strict=True):
            if not (WHOLE.fullmatch(text) and 0 <= int(text) < num_classes):
                raise InputError(
                    f"{self.origin}, line {line}: the label {text[:40]!r} is not a whole number from 0 to "
                    f"{num_classes - 1}; correct the line, or check that it is the right list"
                )
        return [int(text) for text in self.texts]

    def files(self, root: Path, numbers: Sequence[int] | np.ndarray, class_names: tuple[str, ...]) -> ImageFiles:
        """Make a split.

        Args:
            root: the folder that the names are relative to.
            numbers: the class of each text.
            class_names: the names of the classes.
        """
        labels = np.asarray(numbers, dtype=np.int64)[self.codes]
        return ImageFiles(PathImages(str(root), self.names), np.arange(len(self)), labels, class_names, self.origin)


class Entries:
    """Collects the entries of a list; each is checked when it is added, so that messages can name its line.

    Args:
        origin: the path of the list.
    """

    def __init__(self, origin: Path) -> None:
        self._origin = origin
        self._lines: dict[bytes, int] = {}
        self._texts: dict[bytes, int] = {}
        self._first_lines: list[int] = []
        self._codes: list[int] = []

    def add(self, name: bytes, label: bytes, line: int) -> None:
        """Add an entry.

        Args:
            name: the image.
            label: its label.
            line: its line, from 1.

        Raises:
            InputError: the image is in the list already.
        """
        if (b"./" in name or b"//" in name) and b".." not in name:
            name = os.path.normpath(name)
        first = self._lines.setdefault(name, line)
        if first != line:
            image = named(name.decode("utf-8", "surrogateescape"))
            raise InputError(f"{self._origin}, line {line}: line {first} names {image} already; remove one of the two")
        code = self._texts.setdefault(label, len(self._texts))
        if code == len(self._first_lines):
            self._first_lines.append(line)
        self._codes.append(code)

    def listed(self) -> Listed:
        """Return the content of the list.

        Raises:
            InputError: there is no entry.
        """
        if not self._codes:
            raise InputError(f"{self._origin} lists no image; check that it is the right list")
        texts = tuple(text.decode("utf-8", "surrogateescape") for text in self._texts)
        codes = np.array(self._codes, dtype=np.int64)
        return Listed(Names.of(self._lines), codes, texts, tuple(self._first_lines), str(self._origin))


def open_list(path: Path) -> BinaryIO:
    """Open a list or a table.

    Raises:
        OSError: it cannot be opened, is no regular file or is too long.
    """
    file = open_regular(path)
    if os.fstat(file.fileno()).st_size > _LARGEST:
        file.close()
        raise OSError(errno.EFBIG, f"it has more than {_LARGEST >> 20} MiB")
    return file


def read_list(path: Path, image_suffix: str = "") -> Listed:
    """Read a list. A line is split at its last whitespace, so paths may contain spaces; blank lines are skipped.

    Args:
        path: the list, in UTF-8; a path in it may be in any encoding.
        image_suffix: added to each path.

    Raises:
        InputError: it cannot be read, has no image or one twice, or a line has no label.
    """
    entries = Entries(path)
    try:
        with open_list(path) as file:
            for number, line in enumerate(file, 1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                parts = line.rsplit(None, 1)
                if b"\0" in line:
                    raise InputError(f"{path}, line {number}: this is not UTF-8 text; save the list as UTF-8")
                if len(parts) == 2:
                    entries.add(parts[0] + image_suffix.encode(), parts[1], number)
                elif parts:
                    raise InputError(f"{path}, line {number} has no label; each line is a path, a space and a label")
    except OSError as error:
        raise InputError(f"the list {path} cannot be read ({error.strerror}); check that it exists") from error
    return entries.listed()


def read_table(
    path: Path, image_column: str, label_column: str, image_suffix: str = ""
) -> tuple[Listed, np.ndarray | None]:
    """Read a table.

    Args:
        path: a CSV file in UTF-8; its first line names the columns.
        image_column: the column of paths.
        label_column: the column of labels, any text; surrounding spaces are removed.
        image_suffix: added to each path.

    Returns:
        The content, and the (N,) texts of the column `split`; None where there is no such column.

    Raises:
        InputError: it cannot be read, a column or a cell is missing, or it has no image or one twice.
    """
    entries = Entries(path)
    splits: list[str] = []
    rows = _rows(path)
    header = next(rows, (0, []))[1]
    columns = _columns(path, header, image_column, label_column)
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(f"{path}, line {line} has {len(cells)} cells, not {len(header)}; correct the line")
        image, label, *split = (cells[column] for column in columns)
        label = label.strip()
        if not (image and label) or "\0" in image:
            raise InputError(f"{path}, line {line} has no {'label' if image else 'image'}; correct or remove the line")
        entries.add(f"{image}{image_suffix}".encode(), label.encode(), line)
        splits += split
    return entries.listed(), np.array(splits) if len(columns) == 3 else None


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, with the line in which each ends."""
    try:
        with open_list(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"the table {path} cannot be read ({first_line(error)}); check that it is CSV in UTF-8"
        ) from error


def _columns(path: Path, header: list[str], image_column: str, label_column: str) -> list[int]:
    """Find the columns: image, label and, where there is one, split."""
    names = [name.strip() for name in header]
    for name, option in ((image_column, "--image-column"), (label_column, "--label-column")):
        if names.count(name) != 1:
            found = f"no column {name!r}" if name not in names else f"more than one column {name!r}"
            raise InputError(f"{path} has {found}, its columns are {_listed(names)}; name one with {option}")
    return [names.index(name) for name in (image_column, label_column, SPLIT_COLUMN) if name in names]


def _listed(names: list[str]) -> str:
    return printable(", ".join(repr(name[:40]) for name in names[:20]) or "none")
