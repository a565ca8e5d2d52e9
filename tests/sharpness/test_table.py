"""The table and the perturbations that make it."""

from dataclasses import replace

import pytest
import torch

from ltzoo.sharpness import (
    ASAM,
    CCSAM,
    GSAM,
    LPFSGD,
    PERTURBATIONS,
    PGD,
    SAM,
    SSESAM,
    Cosine,
    FocalSAM,
    GroupSAM,
    ImbSAM,
    Linear,
    Row,
    SAMExt,
    Stages,
    Steps,
    Table,
)

COUNTS = torch.tensor([60, 30, 9, 4])
ONES = torch.ones(3)


def rows(table):
    return [(row.descent.tolist(), row.radius) for row in table.rows]


@pytest.mark.parametrize(("gamma", "epochs", "last"), [(0.7, 200, 139), (0.29, 100, 28), (0.7, 5, 2), (1, 4, 3)])
def test_stage_1_is_epochs_0_to_gamma_t_minus_1(gamma, epochs, last):
    method = SSESAM(rho_head=0.05, rho_tail=0.1, gamma=gamma, eta=10)
    radii = [method.table(COUNTS, epoch, epochs).radii for epoch in range(epochs)]
    assert radii == [(0.05, 0.1)] * (last + 1) + [(0.0, 0.1)] * (epochs - last - 1)


STAGED = [
    SSESAM(rho_head=0.05, rho_tail=0.1, gamma=0.7, eta=10),
    ImbSAM(rho=Stages(first=0.1, second=0.2, gamma=0.5), eta=10),
    GSAM(rho=Cosine(start=0.6, end=0.2), alpha=0.1),
    ASAM(rho=Linear(start=0.6, end=0.2), eta=0.1),
    FocalSAM(rho=Steps(radii=(0.1, 0.2), milestones=(1,)), lam=1, gamma=1),
    CCSAM(rho=Linear(start=0.6, end=0.2), q=0.5),
    GroupSAM(rho=Linear(start=0.6, end=0.2), eta=10),
    LPFSGD(std=Linear(start=0.6, end=0.2), parts=2),
]


@pytest.mark.parametrize("method", STAGED, ids=lambda method: method.name)
@pytest.mark.parametrize("when", [(), (2,), (-1, 5), (5, 5), (0, 0)])
def test_a_radius_that_changes_needs_an_epoch_of_the_training(method, when):
    for made in (lambda: method.table(COUNTS, *when), lambda: method.radii(*when)):
        with pytest.raises(ValueError, match="need epoch and epochs, with 0 <= epoch < epochs, not epoch"):
            made()


def test_a_radius_that_stays_needs_no_epoch():
    for gamma, head in ((0, 0.0), (1, 0.05)):
        method = SSESAM(rho_head=0.05, rho_tail=0.1, gamma=gamma, eta=10)
        assert method.table(COUNTS).radii == (head, 0.1) == tuple(method.radii().values())


def test_a_row_without_weight_is_left_out():
    assert rows(ImbSAM(rho=0.1, eta=1).table(COUNTS)) == [([1, 1, 1, 1], 0.0)]
    assert rows(ImbSAM(rho=0.1, eta=100).table(COUNTS)) == [([1, 1, 1, 1], 0.1)]
    assert rows(FocalSAM(rho=0.1, lam=0, gamma=2).table(COUNTS)) == [([1, 1, 1, 1], 0.0)]
    assert rows(FocalSAM(rho=0.1, lam=1, gamma=0).table(COUNTS)) == [([1, 1, 1, 1], 0.1)]


@pytest.mark.parametrize(
    ("table_rows", "options", "message"),
    [
        ([], {}, "a table needs at least one row"),
        ([Row(None, torch.tensor([1.0, 1, 0]), 0.0)], {}, r"add up to 1 for each class; these do not: \[2\]; pass"),
        ([Row(ONES, ONES, 0.1), Row(None, ONES, 0.0)], {}, r"these do not: \[0, 1, 2\]"),
        ([Row(None, 0 * ONES, 0.0)], {"reweights": True}, "no row of the table has weight on any class"),
        ([Row(ONES, ONES, -0.1)], {}, "radii must be finite and not below 0, not -0.1"),
        ([Row(ONES, ONES, float("nan"))], {}, "radii must be finite"),
        ([Row(None, ONES, 0.1)], {}, "a row of radius 0.1 needs class weights for its ascent"),
        ([Row(0 * ONES, ONES, 0.1)], {}, "has an ascent without weight on any class; set its radius to 0"),
        ([Row(ONES, ONES, 0.1, "head")], {}, "scope must be one of all, classifier, not 'head'"),
        ([Row(None, ONES.bool(), 0.0)], {}, r"descent must be \(classes,\) floating-point .*, not \(3,\) torch.bool"),
        ([Row(None, ONES[None], 0.0)], {}, r"descent must be \(classes,\) floating-point .*, not \(1, 3\)"),
        ([Row(ONES[:2], ONES, 0.1)], {}, r"ascent must be .* as in the other rows, not \(2,\)"),
        ([Row(ONES.to("meta"), ONES, 0.1)], {}, "ascent lies on meta, other class weights on cpu"),
        ([Row(ONES / 0, ONES, 0.1)], {}, "ascent must be finite, not"),
        ([Row(None, 2 * ONES, 0.0), Row(None, -ONES, 0.0)], {"reduction": "group"}, "'group', not below 0"),
        ([Row(None, ONES, 0.0)], {"reduction": "mean"}, "reduction must be one of batch, group, not 'mean'"),
        (
            [Row(None, ONES, 0.0)],
            {"direction": "up"},
            "direction must be one of gradient, isotropic, filter, clamped, not 'up'",
        ),
        ([Row(None, ONES, 0.1)], {"parts": 0, "direction": "filter"}, "parts must be at least 1"),
        ([Row(None, ONES, 0.0)], {"parts": 2}, "1 where rows follow a gradient, not 2"),
        ([Row(None, ONES, 0.0)], {"device_radii": torch.ones(2)}, r"device_radii must be \(1,\), one per row"),
    ],
)
def test_a_senseless_table_is_refused(table_rows, options, message):
    with pytest.raises(ValueError, match=message):
        Table(table_rows, **options)


@pytest.mark.parametrize(
    ("normalization", "tail", "reduction"),
    [("batch", 1.0, "batch"), ("double_tail", 2.0, "batch"), ("group", 1.0, "group")],
)
def test_imbsams_three_normalizations_are_settings_of_the_table(normalization, tail, reduction):
    table = ImbSAM(rho=0.1, eta=10, normalization=normalization).table(COUNTS)
    assert rows(table) == [([1, 1, 0, 0], 0.0), ([0, 0, tail, tail], 0.1)]
    assert (table.reduction, table.reweights) == (reduction, tail == 2)


def test_focal_sams_weights_grow_as_classes_get_rarer():
    still, moving = FocalSAM(rho=0.3, lam=0.8, gamma=3.2).table([75, 25]).rows
    expected = torch.tensor([0.8 * 0.25**3.2, 0.8 * 0.75**3.2], dtype=torch.float64)
    torch.testing.assert_close(moving.ascent, expected, rtol=1e-15, atol=0)
    assert torch.equal(moving.descent, moving.ascent)
    torch.testing.assert_close(still.descent, 1 - expected, rtol=1e-15, atol=0)
    assert (still.radius, moving.radius) == (0.0, 0.3)


def test_tables_of_one_structure_differ_in_radii_alone():
    one, other = SAM(rho=0.1).table(COUNTS), SAM(rho=0.2).table(COUNTS)
    assert one.structure == other.structure
    different = [
        SAM(rho=0.0).table(COUNTS),
        ImbSAM(rho=0.1, eta=10).table(COUNTS),
        PGD(rho=0.1).table(COUNTS),
        replace(one, reduction="group"),
        Table([replace(one.rows[0], scope="classifier")]),
        Table([replace(one.rows[0], ascent=torch.tensor([1.0, 1, 1, 0]))]),
    ]
    assert len({one.structure, *(table.structure for table in different)}) == 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SAM(rho=-0.1), "rho must be finite and not below 0, not -0.1"),
        (lambda: ImbSAM(rho=float("inf"), eta=1), "rho must be finite"),
        (lambda: SSESAM(rho_head=0.1, rho_tail=0.1, gamma=1.5, eta=1), "gamma must lie in"),
        (lambda: ImbSAM(rho=0.1, eta=1, normalization="mean"), "normalization must be batch, double_tail or group"),
        (lambda: FocalSAM(rho=0.1, lam=-0.5, gamma=1), "lam must be finite and not below 0"),
        (lambda: LPFSGD(std=0.1, parts=0), "parts must be at least 1"),
        (lambda: PGD(rho=-1.0), "rho must be finite and not below 0"),
        (lambda: SAM("0.05"), "rho must be a number or a RadiusSchedule, not '0.05'"),
        (lambda: SAM(True), "rho must be a number or a RadiusSchedule, not True"),
        (lambda: SAM(None), "rho must be a number or a RadiusSchedule, not None"),
        (lambda: ImbSAM(rho=0.05, eta="100"), "eta must be a number or a Quantile, not '100'"),
        (lambda: SSESAM(rho_head=0.1, rho_tail=0.1, gamma="0.7", eta=1), "gamma must be a number, not '0.7'"),
        (lambda: LPFSGD(std=0.1, parts=2.5), "parts must be a whole number, not 2.5"),
        (lambda: Linear(start="0.1", end=0.2), "start must be finite and not below 0, not '0.1'"),
        (lambda: Stages(first=0.1, second=0.2, gamma="1"), r"gamma must lie in \[0, 1\], not '1'"),
    ],
)
def test_bad_radii_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_names_are_the_recipes_words():
    more = ["ccsam", "groupsam", "asam", "gsam", "pgd", "lpfsgd", "gnm"]
    assert list(PERTURBATIONS) == ["sgd", "sam", "imbsam", "samext", "ssesam", "focalsam", *more]


def test_what_a_log_shows_of_each():
    steps = Steps(radii=(0.1, 0.2), milestones=(1,))
    shown = {
        SAM(rho=steps): {"rho": 0.2},
        PGD(rho=0.3): {"rho": 0.3},
        FocalSAM(rho=steps, lam=1, gamma=1): {"rho": 0.2},
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
