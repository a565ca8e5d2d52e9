"""The table and the perturbations that fill it."""

import pytest
import torch

from ltzoo.sharpness import LPFSGD, PERTURBATIONS, PGD, SAM, SSESAM, GroupTable, ImbSAM, SAMExt, Steps

COUNTS = torch.tensor([60, 30, 9, 4])


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
        GroupTable(torch.tensor(members, dtype=torch.bool), radii, (1.0,) * len(radii))


def test_members_must_be_a_mask():
    with pytest.raises(ValueError, match="bool"):
        GroupTable(torch.ones(1, 3), (0.1,), (1.0,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"factors": (0.0,)}, "factors must be finite and above 0"),
        ({"factors": ()}, "as many radii and factors, not 1 and 0"),
        ({"reduction": "mean"}, "reduction must be one of batch, group, not 'mean'"),
        ({"direction": "up"}, "direction must be one of gradient, isotropic, filter, not 'up'"),
        ({"parts": 0, "direction": "filter"}, "parts must be at least 1"),
        ({"parts": 2}, "1 where groups follow their gradient, not 2"),
    ],
)
def test_other_senseless_columns_are_refused(fields, message):
    sound = {"members": torch.ones(1, 3, dtype=torch.bool), "radii": (0.1,), "factors": (1.0,)}
    with pytest.raises(ValueError, match=message):
        GroupTable(**sound | fields)


@pytest.mark.parametrize(
    ("normalization", "factors", "reduction"),
    [("batch", (1.0, 1.0), "batch"), ("double_tail", (1.0, 2.0), "batch"), ("group", (1.0, 1.0), "group")],
)
def test_imbsams_three_normalizations_are_columns_of_the_table(normalization, factors, reduction):
    table = ImbSAM(rho=0.1, eta=10, normalization=normalization).table(COUNTS)
    assert (table.radii, table.factors, table.reduction) == ((0.0, 0.1), factors, reduction)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SAM(rho=-0.1), "rho must be finite and not below 0, not -0.1"),
        (lambda: ImbSAM(rho=float("inf"), eta=1), "rho must be finite"),
        (lambda: SSESAM(rho_head=0.1, rho_tail=0.1, gamma=1.5, eta=1), "gamma must lie in"),
        (lambda: ImbSAM(rho=0.1, eta=1, normalization="mean"), "normalization must be batch, double_tail or group"),
        (lambda: LPFSGD(std=0.1, parts=0), "parts must be at least 1"),
        (lambda: PGD(rho=-1.0), "rho must be finite and not below 0"),
    ],
)
def test_bad_radii_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_names_are_the_recipes_words():
    assert list(PERTURBATIONS) == ["sgd", "sam", "imbsam", "samext", "ssesam", "pgd", "lpfsgd"]


def test_what_a_log_shows_of_each():
    steps = Steps(radii=(0.1, 0.2), milestones=(1,))
    shown = {
        SAM(rho=steps): {"rho": 0.2},
        PGD(rho=0.3): {"rho": 0.3},
        LPFSGD(std=steps, parts=2): {"rho": 0.2},
        ImbSAM(rho=steps, eta=1): {"rho_head": 0.0, "rho_tail": 0.2},
        SAMExt(rho_head=0.3, rho_tail=steps, eta=1): {"rho_head": 0.3, "rho_tail": 0.2},
        SSESAM(rho_head=0.3, rho_tail=steps, eta=1, gamma=0.5): {"rho_head": 0.0, "rho_tail": 0.2},
    }
    for perturbation, radii in shown.items():
        assert perturbation.radii(1, 2) == radii, perturbation


def test_milestones_of_a_radius_scale_with_the_epochs():
    scaled = SAM(rho=Steps(radii=(0.05, 0.1, 0.5), milestones=(5, 60))).scaled(45, 90)
    assert scaled == SAM(rho=Steps(radii=(0.05, 0.1, 0.5), milestones=(2, 30)))
    assert PGD(rho=0.3).scaled(1, 90) == PGD(rho=0.3)
