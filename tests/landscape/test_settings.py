from dataclasses import replace

import pytest

from ltzoo.data import get_benchmark, make_groups
from ltzoo.errors import InputError
from ltzoo.landscape import ClassSet, parse_class_sets

DIGITS = get_benchmark("digitslt")
MISLAS = make_groups("mislas", DIGITS)


def read(*words):
    return parse_class_sets(list(words), DIGITS, MISLAS)


def test_classes_groups_and_all():
    assert read("0", "8", "tail", "all") == [
        ClassSet("0", (0,)),
        ClassSet("8", (8,)),
        ClassSet("tail", (7, 8, 9)),
        ClassSet("all", tuple(range(10))),
    ]


def test_each_is_every_class_by_itself_and_nothing_comes_twice():
    assert [one.label for one in read("8", "each", "08")] == ["8", "0", "1", "2", "3", "4", "5", "6", "7", "9"]


def test_a_class_goes_by_its_name_too():
    cifar = get_benchmark("cifar10lt")
    assert parse_class_sets(["truck"], cifar, make_groups("mislas", cifar)) == [ClassSet("9", (9,))]


@pytest.mark.parametrize("word", ["10", "-1", "few", "1.0", "²"])
def test_what_is_no_class_is_refused(word):
    with pytest.raises(InputError, match=r"no class or group .*classes 0 to 9 .*head, mid, tail by the rule mislas"):
        read(word)


def test_a_group_or_class_without_images_is_refused():
    empty = replace(MISLAS, classes={**MISLAS.classes, "mid": ()})
    with pytest.raises(InputError, match="'mid' of digitslt has no training images"):
        parse_class_sets(["mid"], DIGITS, empty)
