"""Generators seeded from whole numbers; the global generators go on as before."""

import random
from itertools import combinations

import numpy as np
import pytest
import torch

from ltzoo.data import RandomStream, seed_torch, seeded_generator, temporary_seed


def draw_from_each() -> list[float]:
    """Draw once from each of the three."""
    return [random.random(), float(np.random.rand()), float(torch.rand(1))]  # noqa: NPY002


def start() -> None:
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)


def test_generators_follow_from_their_numbers():
    sequences = [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (2**32 - 1, 0, 1), (0, 0, 2**32 - 1)]
    first, again = ([torch.rand(4, generator=seeded_generator(*seeds)) for seeds in sequences] for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not any(torch.equal(one, other) for one, other in combinations(first, 2))


def test_random_streams_are_the_numbers_that_published_runs_were_drawn_with():
    assert [stream.value for stream in RandomStream] == list(range(1, 11))
    by_name, by_number = (seeded_generator(0, 3, number) for number in (RandomStream.NOISE, 1))
    assert torch.equal(torch.rand(4, generator=by_name), torch.rand(4, generator=by_number))


@pytest.mark.parametrize("wrong", [-1, 1.5])
def test_numbers_are_whole_and_from_0_on(wrong):
    with pytest.raises((ValueError, TypeError)):
        seeded_generator(0, wrong)


def test_temporary_seed_seeds_all_three_generators():
    found = []
    for seeds in ((1, 2), (1, 3), (1, 2)):
        with temporary_seed(*seeds):
            found.append(draw_from_each())
    assert found[0] == found[2]
    assert all(one != other for one, other in zip(found[0], found[1], strict=True))


def test_other_draws_are_unaffected():
    start()
    expected = [draw_from_each(), draw_from_each(), draw_from_each()]
    start()
    found = [draw_from_each()]
    with temporary_seed(1):
        inner = draw_from_each()
        with temporary_seed(2):
            draw_from_each()
        after = draw_from_each()
    found.append(draw_from_each())
    with pytest.raises(ZeroDivisionError), temporary_seed(3):
        draw_from_each()
        raise ZeroDivisionError
    found.append(draw_from_each())
    assert found == expected
    with temporary_seed(1):
        assert [draw_from_each(), draw_from_each()] == [inner, after]


def test_torch_draws_from_the_numbers_from_now_on():
    draws = []
    for seeds in ((0, 1, 2), (0, 1, 3), (0, 1, 2)):
        seed_torch(*seeds)
        draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[2]) and not torch.equal(draws[0], draws[1])


def test_a_numpy_integer_is_a_number_too():
    one, other = (seeded_generator(seed, 1) for seed in (7, np.int64(7)))
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=other))
