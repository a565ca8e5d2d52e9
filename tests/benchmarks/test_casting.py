"""TF32 rounding on known values, and the perturbation that remains after a cast."""

import pytest
import torch

from casting import CASTS, effective_perturbation, to_tf32

ULP = 2**-10  # of TF32 at 1


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (0.0, 0.0),
        (1 + ULP, 1 + ULP),
        (1 + ULP / 2, 1.0),  # ties go to the even neighbour
        (1 + 3 * ULP / 2, 1 + 2 * ULP),
        (1 + ULP / 2 + 2**-23, 1 + ULP),
        (1 + ULP / 2 - 2**-23, 1.0),
        (2 - 2**-23, 2.0),  # into the next exponent
        (-1 - 3 * ULP / 2, -1 - 2 * ULP),
        (2.0**-126, 2.0**-126),
        (float("inf"), float("inf")),
        (-float("inf"), -float("inf")),
    ],
)
def test_tf32_rounds_to_nearest_even(value, rounded):
    assert to_tf32(torch.tensor([value])).tolist() == [rounded]


def test_tf32_keeps_nan_and_changes_no_argument():
    values = torch.tensor([float("nan"), 1 + ULP / 2])
    assert to_tf32(values)[0].isnan()
    assert values[1] == 1 + ULP / 2


def test_tf32_rounds_as_float16_does_where_that_is_normal():
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(0)).clamp(min=1e-3)
    assert torch.equal(to_tf32(values), values.half().float())


def test_a_move_that_the_format_holds_is_whole_and_one_below_its_steps_is_lost():
    weights, eps = torch.tensor([1.0, 2.0, -4.0]), torch.tensor([0.5, -0.25, 1.0])
    for cast in CASTS.values():
        assert effective_perturbation(weights, eps, cast) == pytest.approx((1.0, 1.0))
        assert effective_perturbation(weights, eps * 1e-4, cast) == (0.0, 0.0)
    weights, eps = torch.ones(2), torch.tensor([2**-7, 2**-9])  # bfloat16 has steps of 2^-7 at 1
    assert effective_perturbation(weights, eps, CASTS["bfloat16"]) == pytest.approx((4 / 17**0.5, 4 / 17**0.5))
