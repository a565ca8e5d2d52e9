"""The table and the perturbations that fill it."""

import pytest
import torch

from ltzoo.sharpness import PERTURBATIONS, SAM, SSESAM, GroupTable, ImbSAM, tail_partition

COUNTS = torch.tensor([60, 30, 9, 4])


def test_tail_is_below_eta():
    assert tail_partition(COUNTS, 9).tolist() == [False, False, False, True]
    assert tail_partition(COUNTS, 9.5).tolist() == [False, False, True, True]


@pytest.mark.parametrize(("gamma", "epochs", "last"), [(0.7, 200, 139), (0.29, 100, 28), (0.7, 5, 2), (1, 4, 3)])
def test_stage_1_is_epochs_0_to_gamma_t_minus_1(gamma, epochs, last):
    method = SSESAM(rho_head=0.05, rho_tail=0.1, gamma=gamma, eta=10)
    assert method.table(COUNTS, last, epochs).radii == (0.05, 0.1)
    assert method.table(COUNTS, last + 1, epochs).radii == (0.0, 0.1)


def test_a_group_without_classes_has_no_row():
    assert ImbSAM(rho=0.1, eta=1).table(COUNTS).radii == (0.0,)
    assert ImbSAM(rho=0.1, eta=100).table(COUNTS).radii == (0.1,)


@pytest.mark.parametrize(
    ("members", "radii", "message"),
    [
        ([[1, 1, 0]], (0.1,), r"exactly one group; these do not: \[2\]"),
        ([[1, 1, 0], [0, 1, 1]], (0.1, 0.2), r"exactly one group; these do not: \[1\]"),
        ([[1, 1, 1]], (0.1, 0.2), "1 groups need as many radii"),
        ([[1, 1, 1]], (-0.1,), "not below 0"),
        ([[1, 1, 1]], (float("nan"),), "finite"),
    ],
)
def test_a_table_that_is_no_partition_is_refused(members, radii, message):
    with pytest.raises(ValueError, match=message):
        GroupTable(torch.tensor(members, dtype=torch.bool), radii)


def test_members_must_be_a_mask():
    with pytest.raises(ValueError, match="bool"):
        GroupTable(torch.ones(1, 3), (0.1,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SAM(rho=-0.1), "rho must be finite and not below 0, not -0.1"),
        (lambda: ImbSAM(rho=float("inf"), eta=1), "rho must be finite"),
        (lambda: SSESAM(rho_head=0.1, rho_tail=0.1, gamma=1.5, eta=1), "gamma must lie in"),
    ],
)
def test_bad_radii_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_names_are_the_recipes_words():
    assert list(PERTURBATIONS) == ["sgd", "sam", "imbsam", "ssesam"]
