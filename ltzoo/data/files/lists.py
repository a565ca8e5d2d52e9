"""Lists of images: a line each, its path, whitespace, its label."""

import codecs
from pathlib import Path

from ltzoo.data.files.entries import Entries, Listed
from ltzoo.errors import InputError


def read_list(path: Path) -> Listed:
    """Read a list. A line is parted at its last whitespace, so paths may hold some; blank lines do not count.

    Args:
        path: the list, in UTF-8; a path in it may be in any encoding.

    Raises:
        InputError: it cannot be read, names no image or one twice, or a line has no label.
    """
    entries = Entries(path)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                parts = line.rsplit(None, 1)
                if b"\0" in line:
                    raise InputError(f"{path}, line {number}: this is no text in UTF-8; save the list as such")
                if len(parts) == 2:
                    entries.add(parts[0], parts[1], number)
                elif parts:
                    raise InputError(f"{path}, line {number} has no label; each line is a path, a space and a label")
    except OSError as error:
        raise InputError(f"the list {path} cannot be read ({error.strerror}); see that it is there") from error
    return entries.listed()
