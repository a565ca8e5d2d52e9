"""Class names: their order, invalid names, and names that are too similar."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ltzoo.data.files.image_files import ImageFiles
from ltzoo.errors import InputError, first_few

WHOLE = re.compile("-?[0-9]{1,18}")
"""A label that is a number."""
_LONGEST = 255
"""Characters in a class name, as in the name of a folder; a longer one means that a list was misread."""


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Return timm's sort key: numbers within a text as numbers, letters without case; ties are sorted by code point.

    timm leaves ties such as `1` and `01`, or `A` and `a`, in the order of the file system, and fails on digits such as
    `²`.
    """
    parts = re.split(r"(\d{1,255})", text.lower())  # Python does not convert numbers with thousands of digits
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], text


def by_label(texts: Iterable[str], origin: str) -> list[str]:
    """Sort labels: as numbers if all are whole numbers, else as timm sorts folders.

    Args:
        texts: labels, each once.
        origin: where they were found, for the message.

    Raises:
        InputError: two texts are the same number.
    """
    texts = list(texts)
    if not all(WHOLE.fullmatch(text) for text in texts):
        return sorted(texts, key=natural_key)
    ordered = sorted(texts, key=int)
    for one, two in pairwise(ordered):
        if int(one) == int(two):
            raise InputError(f"{origin} writes the label {int(one)} in two ways, {one!r} and {two!r}; write it in one")
    return ordered


def label_classes(texts: Sequence[str], origin: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn labels that are texts into classes.

    Args:
        texts: (N,) labels.
        origin: where they were found, for the message.

    Returns:
        The class of each label, (N,) int64, and the class names, in the order of `by_label`.

    Raises:
        InputError: a label is not a valid class name, or two differ only in case or in their Unicode form.
    """
    class_names = tuple(by_label(dict.fromkeys(texts), origin))
    check_names(class_names, origin)
    twins = _twins(class_names)
    if twins:
        one, two, difference = twins
        raise InputError(
            f"the labels {one} and {two} of {origin} differ only in {difference}, and would be two classes; write "
            "them in one way, or rename one"
        )
    numbers = {name: j for j, name in enumerate(class_names)}
    return np.fromiter((numbers[text] for text in texts), np.int64, len(texts)), class_names


def check_names(names: Iterable[str], origin: str) -> None:
    """Check that class names can be written to a file or a table.

    Raises:
        InputError: a name is empty, too long, not valid UTF-8 or has control characters.
    """
    for name in names:
        wrong = next((fault for fault in map(_fault, name) if fault), None)
        if not name or len(name) > _LONGEST:
            wrong = f"has {len(name)} characters, not 1 to {_LONGEST}"
        if wrong:
            raise InputError(f"the class name {name[:40]!r} of {origin} {wrong}; rename it")


def _fault(letter: str) -> str | None:
    return {"Cc": "has control characters", "Cs": "is not valid UTF-8"}.get(unicodedata.category(letter))


def check_folders(names: Iterable[str], origin: str) -> None:
    """Check that class folders have different names on every file system.

    Raises:
        InputError: two names differ only in case or in their Unicode form.
    """
    twins = _twins(names)
    if twins:
        one, two, difference = twins
        raise InputError(
            f"the class folders {one} and {two} of {origin} differ only in {difference}, and other file systems "
            "cannot tell them apart; merge or rename them"
        )


def _twins(names: Iterable[str]) -> tuple[str, str, str] | None:
    """Find two names that differ only in case or in their Unicode form, as `_difference` returns them; else None."""
    folded: dict[str, str] = {}
    for name in names:
        twin = folded.setdefault(_folded(name), name)
        if twin != name:
            return _difference(twin, name)
    return None


def aligned(files: ImageFiles, class_names: Sequence[str]) -> ImageFiles:
    """Number the classes of a split as in the training split.

    Args:
        files: the split, with its own class names.
        class_names: those of the training split.

    Raises:
        InputError: it has images of a class that the training split does not have.
    """
    numbers = {name: j for j, name in enumerate(class_names)}
    own = [files.class_names[j] for j in np.unique(files.labels).tolist()]
    unknown = [name for name in own if name not in numbers]
    if unknown:
        raise InputError(f"{files.origin} has {_unknown_classes(unknown, class_names)}")
    number = np.array([numbers.get(name, -1) for name in files.class_names], dtype=np.int64)
    return replace(files, labels=number[files.labels], class_names=tuple(class_names))


def _unknown_classes(unknown: Sequence[str], class_names: Sequence[str]) -> str:
    """Describe the classes that the training split does not have, and the similar names that it has."""
    known = {_canonical(name): name for name in class_names}
    twins = [_difference(name, known[_canonical(name)]) for name in unknown if _canonical(name) in known]
    if twins:
        pairs = [f"{one}, training has {two}" for one, two, _ in twins]
        return f"{first_few(pairs)}: they differ only in {twins[0][2]}; write the class in one way"
    return f"classes that training lacks: {first_few([*map(repr, unknown)])}; remove them, or train on them too"


def _difference(one: str, two: str) -> tuple[str, str, str]:
    """Write two similar names so that the difference is visible, and say what it is."""
    if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", two):
        return ascii(one), ascii(two), "the way Unicode writes them"
    return repr(one), repr(two), "zeros or sign" if WHOLE.fullmatch(one) else "case"


def _folded(name: str) -> str:
    """Reduce a name to what a file system compares that ignores case and Unicode forms."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _canonical(name: str) -> str:
    """Reduce a name further: `01` and `1` are the same, too."""
    return str(int(name)) if WHOLE.fullmatch(name) else _folded(name)
