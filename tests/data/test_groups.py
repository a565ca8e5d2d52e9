"""Reporting groups against the sizes that the papers' tables imply, and the properties of a partition."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltzoo.data import (
    DATASETS,
    GROUP_RULES,
    NATURAL_BENCHMARKS,
    Benchmark,
    ModelInput,
    all_groups,
    get_benchmark,
    make_groups,
)
from ltzoo.errors import InputError

STEP = Benchmark("cifar10step", DATASETS["cifar10"], "step", 100, (5000,) * 5 + (50,) * 5)


def with_counts(counts, profile="exponential"):
    return replace(STEP, name="made up", profile=profile, class_counts=tuple(counts))


def sizes(rule, benchmark):
    return [len(classes) for classes in make_groups(rule, benchmark).classes.values()]


@pytest.mark.parametrize(
    ("rule", "benchmark", "expected"),
    [
        ("mislas", "cifar100lt", [36, 35, 29]),
        ("count", "cifar100lt", [35, 35, 30]),
        ("mislas", "cifar10lt", [3, 4, 3]),
        ("count", "cifar10lt", [4, 3, 3]),
        ("mislas", "digitslt", [3, 4, 3]),
        ("count", "digitslt", [1, 5, 4]),
        ("thirds", "cifar100lt", [34, 33, 33]),
        ("count", "cifar100lt50", [41, 41, 18]),
    ],
)
def test_groups_have_the_published_sizes_in_the_order_of_the_classes(rule, benchmark, expected):
    groups = make_groups(rule, get_benchmark(benchmark))
    assert groups.rule == rule
    assert list(groups.classes) == ["head", "mid", "tail"]
    assert sizes(rule, get_benchmark(benchmark)) == expected
    assert [j for classes in groups.classes.values() for j in classes] == list(range(sum(expected)))


def test_the_count_rule_puts_its_cuts_into_the_middle():
    benchmark = with_counts([1001, 1000, 200, 199])  # cifar10: n > 1000, 200..1000, n < 200
    assert make_groups("count", benchmark).classes == {"head": (0,), "mid": (1, 2), "tail": (3,)}


def test_groups_follow_the_counts_and_not_the_indices_of_the_classes():
    counts = [50, 83, 139, 232, 387, 645, 1077, 1796, 2997, 5000]
    assert make_groups("mislas", with_counts(counts)).classes["head"] == (9, 8, 7)
    assert make_groups("thirds", with_counts(counts)).classes["tail"] == (2, 1, 0)
    assert make_groups("half", with_counts([50] * 2 + [5000] * 2, "step")).classes == {"head": (2, 3), "tail": (0, 1)}


def test_half_is_for_the_step_profile_and_mislas_is_not():
    assert make_groups("half", STEP).classes == {"head": (0, 1, 2, 3, 4), "tail": (5, 6, 7, 8, 9)}
    assert [groups.rule for groups in all_groups(STEP)] == ["count", "half", "thirds"]
    with pytest.raises(InputError, match="'half' is not defined on cifar100lt; these are: mislas, count, thirds"):
        make_groups("half", get_benchmark("cifar100lt"))
    with pytest.raises(InputError, match="'mislas' is not defined on cifar10step; these are: count, half, thirds"):
        make_groups("mislas", STEP)


MODEL_INPUT = ModelInput(224, (0.5,) * 3, (0.5,) * 3, 0.875, "bilinear")


def natural(name, counts):
    return NATURAL_BENCHMARKS[name].with_counts(counts, [f"c{j}" for j in range(len(counts))], MODEL_INPUT)


def test_fixed_cuts_exist_for_named_data_sets_alone():
    with pytest.raises(InputError, match="'mislas' is not defined on imagefolder; these are: count, thirds"):
        make_groups("mislas", natural("imagefolder", [9, 8, 7, 6]))


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [("imagenetlt", 1000, [390, 445, 165]), ("inat18", 8142, [842, 3701, 3599])],  # Rangwani 2022, Table 3
)
def test_the_large_benchmarks_have_the_group_sizes_of_rangwani_2022(name, classes, expected):
    counts = [1 + (j * 7919) % 1000 for j in range(classes)]
    groups = make_groups("mislas", natural(name, counts)).classes
    assert [len(group) for group in groups.values()] == expected
    assert min(counts[j] for j in groups["head"]) >= max(counts[j] for j in groups["mid"])
    assert min(counts[j] for j in groups["mid"]) >= max(counts[j] for j in groups["tail"])


def test_the_large_benchmarks_are_counted_by_100_and_20():
    groups = make_groups("count", natural("inat18", [101, 100, 20, 19] + [50] * 10)).classes
    assert (groups["head"], groups["tail"]) == ((0,), (3,))


def test_an_unknown_rule_names_all_rules():
    with pytest.raises(InputError, match="no grouping rule is called 'halves'; there are mislas, count, half, thirds"):
        make_groups("halves", STEP)


@pytest.mark.parametrize("first", GROUP_RULES)
def test_all_groups_puts_the_first_rule_first_and_loses_none(first):
    rules = [groups.rule for groups in all_groups(get_benchmark("cifar10lt"), first=first)]
    assert sorted(rules) == ["count", "mislas", "thirds"]
    assert rules[0] == (first if first != "half" else "mislas")


@given(st.lists(st.integers(1, 6000), min_size=2, max_size=40))
def test_thirds_and_count_cover_each_class_once(counts):
    for rule in ("thirds", "count"):
        groups = make_groups(rule, with_counts(counts)).classes
        assert sorted(j for classes in groups.values() for j in classes) == list(range(len(counts)))
        mins = [min((counts[j] for j in groups[name]), default=None) for name in ("head", "mid")]
        maxs = [max((counts[j] for j in groups[name]), default=None) for name in ("mid", "tail")]
        for low, high in zip(mins, maxs, strict=True):
            assert low is None or high is None or low >= high
    assert max(sizes("thirds", with_counts(counts))) - min(sizes("thirds", with_counts(counts))) <= 1


@given(st.lists(st.integers(1, 6000), min_size=10, max_size=10))
def test_mislas_and_half_cover_each_class_once(counts):
    for rule, profile, expected in (("mislas", "exponential", [3, 4, 3]), ("half", "step", [5, 5])):
        groups = make_groups(rule, with_counts(counts, profile)).classes
        assert [len(classes) for classes in groups.values()] == expected
        assert sorted(j for classes in groups.values() for j in classes) == list(range(10))
        assert min(counts[j] for j in groups["head"]) >= max(counts[j] for j in groups["tail"])
