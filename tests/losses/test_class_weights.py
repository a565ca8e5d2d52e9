"""Class weights by name, against their definitions in exact fractions and against the papers' recipes."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

import ltzoo
from ltzoo.losses import DRW, ClassBalanced, class_weights

COUNTS = (500, 100, 7, 1)


def normalised(weights):
    """To a mean of 1 over those above 0."""
    present = sum(weight > 0 for weight in weights)
    return [float(weight * present / sum(weights)) for weight in weights]


def plain(rule, counts, beta):
    """The definitions, as fractions."""
    if rule in ("drw", "cb") and beta != 1:
        return [(1 - beta) / (1 - beta**n) if n else Fraction(0) for n in counts]
    if rule == "sqrt":
        return [n**-0.5 if n else 0.0 for n in counts]
    return [Fraction(1, n) if n else Fraction(0) for n in counts]


@pytest.mark.parametrize("counts", [COUNTS, (0, 500, 0, 3), (5,), (0, 1)])
@pytest.mark.parametrize(
    ("rule", "beta"),
    [
        *(("cb", beta) for beta in (None, 0.0, 0.9, 1.0)),
        ("drw", None),
        ("drw", 0.999),
        ("inverse", None),
        ("sqrt", None),
    ],
)
def test_weights_are_those_of_the_definition(rule, beta, counts):
    expected = normalised(plain(rule, counts, Fraction("0.9999") if beta is None else Fraction(str(beta))))
    found = class_weights(counts, rule, beta=beta, dtype=torch.float64)
    assert found.tolist() == pytest.approx(expected, rel=1e-11, abs=0)
    assert [weight == 0 for weight in found.tolist()] == [n == 0 for n in counts]


def test_without_empty_classes_they_are_the_recipes_weights():
    for beta in (0.99, 1.0):
        found = class_weights(COUNTS, "drw", beta=beta, dtype=torch.float64)
        assert torch.equal(found, DRW(160, beta).weights(COUNTS, 160))
        assert torch.equal(found, ClassBalanced(beta).weights(COUNTS, 0))


def test_they_fit_torchs_own_loss_and_tensors_of_counts():
    weights = ltzoo.class_weights(torch.tensor(COUNTS), "inverse")
    assert weights.dtype == torch.float32
    logits, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 1, 2, 3, 3])
    losses = F.cross_entropy(logits, labels, reduction="none")
    expected = (losses * weights[labels]).sum() / weights[labels].sum()
    torch.testing.assert_close(F.cross_entropy(logits, labels, weight=weights), expected)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((COUNTS, "none"), "no rule of class weights is called 'none'; there are drw, cb, inverse and sqrt"),
        (((0, 0), "cb"), "whole numbers from 0 on, not all 0"),
        (((), "cb"), "whole numbers from 0 on, not all 0"),
        (((3, -1), "cb"), "whole numbers from 0 on"),
        (((3, 1.5), "cb"), "whole numbers from 0 on"),
        (((3, float("nan")), "cb"), "whole numbers from 0 on"),
        (((3, float("inf")), "cb"), "whole numbers from 0 on"),
        ((((3, 1), (1, 1)), "cb"), "whole numbers from 0 on"),
        ((5, "cb"), "must be a vector of whole numbers from 0 on, not all 0; they are 5.0"),
    ],
)
def test_wrong_counts_and_rules_are_refused(arguments, found):
    with pytest.raises(ValueError, match=found) as caught:
        class_weights(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "beta", "found"),
    [
        ("inverse", 0.9, "beta belongs to the rules drw and cb, not to inverse"),
        ("cb", 1.1, r"beta must lie in \[0, 1\], not 1.1"),
        ("drw", -0.1, r"beta must lie in \[0, 1\]"),
    ],
)
def test_a_wrong_beta_is_refused(rule, beta, found):
    with pytest.raises(ValueError, match=found):
        class_weights(COUNTS, rule, beta=beta)
