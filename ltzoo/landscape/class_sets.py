"""The sets of classes whose loss is analysed: one class, a group, or all."""

from dataclasses import dataclass

from ltzoo.data import Benchmark, Groups
from ltzoo.errors import InputError


@dataclass(frozen=True)
class ClassSet:
    """A set of classes.

    Attributes:
        label: a class's index, a group's name, or `all`.
        classes: their indices.
    """

    label: str
    classes: tuple[int, ...]


def parse_class_sets(words: list[str], benchmark: Benchmark, groups: Groups) -> list[ClassSet]:
    """Read which sets of classes are wanted.

    Args:
        words: a class's index, or its name; `each`, every class by itself; a group's name; `all`, every class together.
        benchmark: whose classes they are.
        groups: the groups that are meant.

    Returns:
        The sets in the order that is asked for, each once.

    Raises:
        InputError: none is asked for, there is no such class or group, or it has no training images.
    """
    if not words:
        raise InputError("no class is named; name classes, groups, all or each")
    names, every = benchmark.data_set.class_names, tuple(range(len(benchmark.class_counts)))
    found: dict[str, ClassSet] = {}
    for word in words:
        if word == "each":
            sets = [ClassSet(str(j), (j,)) for j in every]
        elif word == "all":
            sets = [ClassSet("all", every)]
        elif word in groups.classes:
            sets = [ClassSet(word, tuple(groups.classes[word]))]
        elif word.isdecimal() and int(word) in every:
            sets = [ClassSet(str(int(word)), (int(word),))]
        elif word in names:
            sets = [ClassSet(str(names.index(word)), (names.index(word),))]
        else:
            raise InputError(
                f"{benchmark.name} has no class or group {word!r}; there are the classes 0 to {every[-1]} and their "
                f"names, {', '.join(groups.classes)} by the rule {groups.rule}, all, and each"
            )
        found |= {one.label: one for one in sets}
    for one in found.values():
        if not sum(benchmark.class_counts[j] for j in one.classes):
            raise InputError(f"{one.label!r} of {benchmark.name} has no training images, so no loss; leave it out")
    return list(found.values())
