"""Class names: their order, which are no names, and which cannot be told apart."""

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
"""Characters of a class name: what a folder's can have. A longer one is a list that was read in the wrong way."""


def natural_key(text: str) -> tuple[list[str | int], str]:
    """Sort as timm does, numbers within a text as numbers and letters without their case; what is equal then, by code.

    timm leaves `1` and `01`, and `A` and `a`, in whatever order they come; it does not read a digit such as `²`.
    """
    parts = re.split(r"(\d{1,255})", text.lower())  # Python converts no number of thousands of digits
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], text


def by_label(texts: Iterable[str], origin: str) -> list[str]:
    """Sort labels: as numbers where all are whole numbers, else as timm sorts folders.

    Args:
        texts: labels, each once.
        origin: where they stand, for the message.

    Raises:
        InputError: two of the numbers are the same one.
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
    """Make classes of labels that are texts.

    Args:
        texts: (N,) labels.
        origin: where they stand, for the message.

    Returns:
        The class of each, (N,) int64, and what the classes are called, in the order of `by_label`.

    Raises:
        InputError: a label cannot be a class name, or two differ only in how they are written.
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
    """See that class names are text that a file or a table can hold.

    Raises:
        InputError: one is empty, too long, no UTF-8 or has control characters.
    """
    for name in names:
        wrong = next((fault for fault in map(_fault, name) if fault), None)
        if not name or len(name) > _LONGEST:
            wrong = f"has {len(name)} characters, not 1 to {_LONGEST}"
        if wrong:
            raise InputError(f"the class name {name[:40]!r} of {origin} {wrong}; rename it")


def _fault(letter: str) -> str | None:
    return {"Cc": "has control characters", "Cs": "is no UTF-8"}.get(unicodedata.category(letter))


def check_folders(names: Iterable[str], origin: str) -> None:
    """See that class folders stay apart on any file system.

    Raises:
        InputError: two names differ in nothing but case or the way in which Unicode writes them.
    """
    twins = _twins(names)
    if twins:
        one, two, difference = twins
        raise InputError(
            f"the class folders {one} and {two} of {origin} differ only in {difference}, and other file systems "
            "take them for one; merge or rename them"
        )


def _twins(names: Iterable[str]) -> tuple[str, str, str] | None:
    """Find two names that differ in nothing but case or Unicode's forms, as `_apart` writes them; None if none do."""
    folded: dict[str, str] = {}
    for name in names:
        twin = folded.setdefault(_folded(name), name)
        if twin != name:
            return _apart(twin, name)
    return None


def aligned(files: ImageFiles, class_names: Sequence[str]) -> ImageFiles:
    """Number the classes of a split as the training split does.

    Args:
        files: the split, with class names of its own.
        class_names: those of the training split.

    Raises:
        InputError: it has images of a class that training lacks.
    """
    numbers = {name: j for j, name in enumerate(class_names)}
    own = [files.class_names[j] for j in np.unique(files.labels).tolist()]
    unknown = [name for name in own if name not in numbers]
    if unknown:
        raise InputError(f"{files.origin} has {_strangers(unknown, class_names)}")
    number = np.array([numbers.get(name, -1) for name in files.class_names], dtype=np.int64)
    return replace(files, labels=number[files.labels], class_names=tuple(class_names))


def _strangers(unknown: Sequence[str], class_names: Sequence[str]) -> str:
    """Say which classes the training split lacks, and which of its own are meant if that can be seen."""
    known = {_meant(name): name for name in class_names}
    twins = [_apart(name, known[_meant(name)]) for name in unknown if _meant(name) in known]
    if twins:
        pairs = [f"{one}, training has {two}" for one, two, _ in twins]
        return f"{first_few(pairs)}: they differ only in {twins[0][2]}; write the class in one way"
    return f"classes that training lacks: {first_few([*map(repr, unknown)])}; remove them, or train on them too"


def _apart(one: str, two: str) -> tuple[str, str, str]:
    """Write two names so that they can be told apart, and say what they differ in."""
    if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", two):
        return ascii(one), ascii(two), "the way Unicode writes them"
    return repr(one), repr(two), "zeros or sign" if WHOLE.fullmatch(one) else "case"


def _folded(name: str) -> str:
    """What is left of a name on a file system that knows neither case nor Unicode's forms."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _meant(name: str) -> str:
    """What is left of a name once its writing is looked over: `01` and `1` are alike too."""
    return str(int(name)) if WHOLE.fullmatch(name) else _folded(name)
