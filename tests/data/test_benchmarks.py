"""Class counts of the benchmarks against the papers'."""

import pytest

from ltzoo.data import exponential_counts, get_benchmark, step_counts
from ltzoo.errors import InputError


@pytest.mark.parametrize(
    ("name", "total", "first", "last"), [("cifar10lt", 12_406, 5000, 50), ("cifar100lt", 10_847, 500, 5)]
)
def test_long_tailed_cifar_has_the_papers_number_of_images(name, total, first, last):
    counts = get_benchmark(name).class_counts
    assert (sum(counts), counts[0], counts[-1]) == (total, first, last)
    assert list(counts) == sorted(counts, reverse=True)


def test_counts_are_cut_off_and_not_rounded():
    assert exponential_counts(10, 5000, 100) == (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    assert exponential_counts(3, 10, 2) == (10, 7, 5)  # 10 / sqrt(2) = 7.07
    assert exponential_counts(3, 10, 1) == (10, 10, 10)


def test_step_counts_are_the_first_half_whole_and_the_second_cut():
    assert step_counts(4, 500, 100) == (500, 500, 5, 5)
    assert get_benchmark("cifar10step").class_counts == (5000,) * 5 + (50,) * 5
    assert get_benchmark("cifar100step").class_counts == (500,) * 50 + (5,) * 50


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("factor", [10, 50, 200])
def test_other_imbalance_factors_are_named(name, factor):
    benchmark = get_benchmark(f"{name}lt{factor}")
    n_max = {"cifar10": 5000, "cifar100": 500}[name]
    assert (benchmark.imbalance_factor, benchmark.profile) == (factor, "exponential")
    # The last count is cut off where the power rounds to just below a whole number.
    assert (benchmark.class_counts[0], benchmark.class_counts[-1]) == (n_max, int(n_max * (1 / factor)))


def test_an_unknown_benchmark_names_the_nearest():
    with pytest.raises(InputError, match="no benchmark is called 'cifar1000lt'; the nearest are cifar100lt"):
        get_benchmark("cifar1000lt")
