"""Where settings of the shipped recipes come from: what is marked as ours, what is cited, what a protocol fixes."""

from dataclasses import replace

import pytest

from ltzoo.losses import (
    DRW,
    VS,
)
from ltzoo.recipes import CITATIONS, LinearHead, compose, shipped_recipes
from ltzoo.recipes.protocols import DIGITS, LYU2025_CIFAR, RANGWANI2022_CIFAR

RECIPES = {recipe.name: recipe for recipe in shipped_recipes()}

TAIL = ("perturbation.rho", "perturbation.eta")
BOTH = ("perturbation.rho_head", "perturbation.rho_tail", "perturbation.gamma", "perturbation.eta")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("resnet32_{}lt_ce_sgd", ()),
        ("resnet32_{}lt_ce_sam", ("trainable.batchnorm",)),
        ("resnet32_{}lt_ce_drw_sam", ("trainable.batchnorm",)),
        ("resnet32_{}lt_ldam_drw_sam", ("trainable.batchnorm",)),
        ("resnet32_{}lt_ldam_sgd", ()),
        ("resnet32_{}lt_ldam_sam", ("perturbation.rho", "trainable.batchnorm")),
        ("resnet32_{}lt_la_sgd", ("loss",)),
        ("resnet32_{}lt_la_sam", ("loss", "perturbation.rho", "trainable.batchnorm")),
        ("resnet32_{}lt_vs_sgd", ("loss.gamma", "loss.tau")),
        ("resnet32_{}lt_vs_sam", ("loss.gamma", "loss.tau", "trainable.batchnorm")),
        ("resnet32_{}lt_ce_drw_imbsam", (*TAIL, "trainable.batchnorm")),
        ("resnet32_{}lt_ldam_drw_ssesam", (*BOTH, "trainable.batchnorm")),
        ("resnet32_{}lt_vs_imbsam", ("loss.gamma", "loss.tau", *TAIL, "trainable.batchnorm")),
        ("resnet32_{}lt_ce_drw_pgd", ("perturbation.rho",)),
        ("resnet32_{}lt_ce_drw_lpfsgd", ("perturbation.std", "perturbation.parts")),
        ("resnet32_{}lt_focal_sgd", ("loss",)),
        ("resnet32_{}lt_bs_sam", ("perturbation.rho", "trainable.batchnorm")),
        ("resnet32_{}lt_ce_cb_sgd", ("reweighting",)),
        ("resnet32_{}step_ldam_drw_sam", ("trainable.batchnorm",)),
        ("resnet32_{}lt50_ce_sgd", ()),
        ("resnet32_{}lt50_ce_sam", ("perturbation.rho", "trainable.batchnorm")),
        ("resnet34_{}lt_vs_sgd", ()),
        ("resnet34_{}lt_ce_sam", ("trainable.batchnorm",)),
        ("resnet34_{}lt10_ce_sgd", ()),
        ("resnet34_{}lt200_vs_sam", ("perturbation.rho", "trainable.batchnorm")),
    ],
)
def test_what_no_paper_gives_is_marked_as_ours(name, ours):
    for data_set in ("cifar10", "cifar100"):
        source = RECIPES[name.format(data_set)].source
        assert source.paper == ("lyu2025" if "resnet34" in name else "rangwani2022")
        assert source.ours == ours


def test_lyu2025_gives_eta_for_cifar_100_only_and_a_name_gives_its_radii():
    assert RECIPES["resnet34_cifar100lt_la_ssesam"].source.ours == ("trainable.batchnorm",)
    assert RECIPES["resnet34_cifar10lt_la_ssesam"].source.ours == ("perturbation.eta", "trainable.batchnorm")
    assert RECIPES["resnet34_cifar100lt50_la_ssesam"].source.ours == ("trainable.batchnorm",)
    assert RECIPES["resnet34_cifar10lt50_la_ssesam"].source.ours == (*BOTH, "trainable.batchnorm")
    assert RECIPES["resnet34_cifar100lt10_la_imbsam"].source.ours == ("perturbation.rho", "trainable.batchnorm")
    assert RECIPES["resnet32_cifar10lt_ce_drw_sam05"].source.ours == ("trainable.batchnorm",)
    named = compose("resnet32", "cifar10lt", "ce", "drw", "imbsam05", RANGWANI2022_CIFAR)
    assert named.perturbation.rho == 0.05
    assert named.source.ours == ("perturbation.eta", "trainable.batchnorm")


def test_the_digits_are_our_own():
    sources = [recipe.source for recipe in RECIPES.values() if recipe.benchmark == "digitslt"]
    assert {(source.paper, source.ours) for source in sources} == {("ltzoo", ())}


@pytest.mark.parametrize("method", ["sgd", "sam", "imbsam", "ssesam", "sam01", "sam10", "sam20", "sam40"])
def test_drw_on_the_digits_is_that_of_rangwani2022_in_a_fifth_of_the_epochs(method):
    deferred, plain = (RECIPES[f"resnet20_digitslt_{loss}_{method}"] for loss in ("ce_drw", "ce"))
    of_the_paper = RECIPES["resnet32_cifar10lt_ce_drw_sgd"].with_epochs(deferred.schedule.epochs)
    assert deferred.reweighting == of_the_paper.reweighting == DRW(start=32, beta=0.9999)
    same = {"name": plain.name, "reweighting": plain.reweighting, "source": plain.source}
    assert replace(deferred, **same) == plain


@pytest.mark.parametrize(
    ("name", "cites"),
    [
        ("resnet32_cifar100lt_ce_sgd", {"rangwani2022"}),
        ("resnet32_cifar100lt_ldam_drw_ssesam", {"rangwani2022", "cao2019", "lyu2025"}),
        ("resnet32_cifar10lt_vs_imbsam", {"rangwani2022", "kini2021", "zhou2023", "lyu2025"}),
        ("resnet32_cifar10lt_ce_drw_pgd", {"rangwani2022", "cao2019", "jin2017"}),
        ("resnet32_cifar10lt_ce_drw_lpfsgd", {"rangwani2022", "cao2019", "bisla2022"}),
        ("resnet32_cifar10lt_focal_sam", {"rangwani2022", "lin2017", "foret2021"}),
        ("resnet32_cifar10lt_bs_sgd", {"rangwani2022", "ren2020"}),
        ("resnet32_cifar10lt_ce_cb_sgd", {"rangwani2022", "cui2019"}),
        ("resnet34_cifar100lt_ldam_samext", {"lyu2025", "cao2019"}),
        ("resnet34_cifar100lt_ce_imbsam05", {"lyu2025", "zhou2023"}),
        ("resnet20_digitslt_la_sam", {"menon2021", "foret2021"}),
        ("resnet20_digitslt_ce_drw_sam", {"cao2019", "foret2021"}),
        ("resnet20_digitslt_crt_sam", {"kang2020", "foret2021"}),
        ("resnet32_cifar100lt_taunorm_sgd", {"rangwani2022", "kang2020"}),
        ("resnet32_cifar10lt_disalign_imbsam", {"rangwani2022", "zhou2023", "lyu2025", "zhang2021"}),
        ("resnet32_cifar10lt_bsrt_sgd", {"rangwani2022", "ren2020"}),
        ("resnet50_inat18_ce_sgd", {"rangwani2022"}),
        ("resnet50_imagenetlt_ldam_drw_sam", {"rangwani2022", "cao2019", "foret2021"}),
        ("resnet50_imagenetlt_ce_sgd", {"rangwani2022", "lyu2025"}),  # a row of both
        ("resnet50_imagenetlt_ce_sam", {"rangwani2022", "lyu2025", "foret2021"}),
        ("resnet50_imagenetlt_ce_imbsam", {"rangwani2022", "lyu2025", "zhou2023"}),
        ("resnet50_imagefolder_ce_sgd", set()),
        ("resnet50_imagefolder_ldam_drw_imbsam", {"lyu2025", "cao2019", "zhou2023"}),
        ("resnet50_imagefolder_vs_sgd", {"lyu2025", "kini2021"}),
    ],
)
def test_recipes_cite_what_they_rest_on(name, cites):
    assert set(RECIPES[name].source.cites) == cites
    assert len(RECIPES[name].source.cites) == len(cites)
    assert all(CITATIONS[key].startswith("@inproceedings{" + key[:3]) for key in cites)


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        (("resnet20", "digitslt", "vs", "drw", "sgd", DIGITS), "the protocol digits has no vs_drw"),
        (
            ("resnet34", "cifar100lt", "focal", "none", "sgd", LYU2025_CIFAR),
            "the protocol lyu2025_cifar has no focal; it has ce,",
        ),
        (("resnet34", "cifar100lt", "ce", "none", "pgd", LYU2025_CIFAR), "has no pgd; it has sgd, sam, imbsam"),
        (("resnet34", "digitslt", "ce", "none", "sgd", LYU2025_CIFAR), "the protocol lyu2025_cifar has no digits"),
        (
            ("resnet34", "cifar100step", "ce", "none", "sgd", LYU2025_CIFAR),
            "the protocol lyu2025_cifar has no cifar100step",
        ),
        (("resnet34", "cifar100lt", "ce", "none", "ssesam05", LYU2025_CIFAR), "two digits for each of its 2 radii"),
        (("resnet34", "cifar100lt", "ce", "none", "sam5", LYU2025_CIFAR), "two digits for each of its 1 radii"),
        (("resnet34", "cifar100lt", "ce", "none", "sgd05", LYU2025_CIFAR), "two digits for each of its 0 radii"),
    ],
)
def test_parts_that_a_protocol_lacks_are_refused(parts, found):
    with pytest.raises(ValueError, match=found):
        compose(*parts)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"subset": "first"}, "subset"),
        ({"groups": "count"}, "groups"),
        ({"batch_size": 64}, "batch_size"),
        ({"paper_rule": None}, "paper_rule"),
        ({"loss": VS(gamma=0.3, tau=1.0)}, "loss"),
        ({"reweighting": DRW(start=60, beta=0.9999)}, "reweighting"),
    ],
)
def test_a_recipe_that_contradicts_its_protocol_is_refused(changes, field):
    recipe = RECIPES["resnet32_cifar100lt_vs_sam"]
    assert RANGWANI2022_CIFAR.contradictions(replace(recipe, **changes)) == [field]


def test_other_epochs_and_another_head_contradict_the_protocol():
    recipe = RECIPES["resnet32_cifar100lt_vs_sam"]
    assert RANGWANI2022_CIFAR.contradictions(recipe.with_epochs(100)) == ["schedule"]
    cosine = RECIPES["resnet32_cifar100lt_ldam_sam"]
    assert RANGWANI2022_CIFAR.contradictions(replace(cosine, head=LinearHead())) == ["head"]
