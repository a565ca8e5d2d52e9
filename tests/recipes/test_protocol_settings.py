"""Settings of the shipped recipes against their papers and protocols."""

import math

import pytest

from ltzoo.losses import (
    CE,
    DRW,
    LA,
    LDAM,
    VS,
    BalancedSoftmax,
    Focal,
    LogitLDAM,
    NoReweighting,
)
from ltzoo.recipes import FirstStage, Optimizer, Schedule, compose, shipped_recipes
from ltzoo.recipes.protocols import DIGITS
from ltzoo.sharpness import (
    ASAM,
    CCSAM,
    GNM,
    GSAM,
    LPFSGD,
    PGD,
    SAM,
    SSESAM,
    Cosine,
    FocalSAM,
    ImbSAM,
    SAMExt,
)
from tests.each import check_each

RECIPES = {recipe.name: recipe for recipe in shipped_recipes()}
RANGWANI = {name: recipe for name, recipe in RECIPES.items() if recipe.protocol == "rangwani2022_cifar"}
LYU = {name: recipe for name, recipe in RECIPES.items() if recipe.protocol == "lyu2025_cifar"}
LONG_TAILED = [f"cifar{classes}lt{factor}" for classes in (10, 100) for factor in ("", 10, 50, 200)]


@pytest.mark.parametrize(
    ("benchmark", "radii"),
    [
        ("cifar10lt", {"ce": 0.1, "ce_drw": 0.5, "ldam_drw": 0.8, "vs": 0.8}),
        ("cifar10step", {"ce": 0.1, "ce_drw": 0.5, "ldam_drw": 0.8, "vs": 0.8}),
        ("cifar100lt", {"ce": 0.2, "ce_drw": 0.8, "ldam_drw": 0.8, "vs": 0.8}),
        ("cifar100step", {"ce": 0.2, "ce_drw": 0.8, "ldam_drw": 0.8, "vs": 0.8}),
    ],
)
def test_sam_has_the_radii_of_rangwani2022(benchmark, radii):
    for loss, rho in radii.items():
        assert RECIPES[f"resnet32_{benchmark}_{loss}_sam"].perturbation == SAM(rho=rho), loss


def test_the_variants_on_the_digits_have_their_authors_settings():
    """CC-SAM's, GNM's and ASAM's scripts; GSAM's alpha with the radius that SAM has on the digits."""
    expected = {
        "ccsam": CCSAM(rho=1e-6, q=0.3, scope="classifier"),
        "gnm": GNM(rho=0.005),
        "asam": ASAM(rho=0.5, eta=0.01),
        "gsam": GSAM(rho=RECIPES["resnet20_digitslt_ce_sam"].perturbation.rho, alpha=0.2),
    }
    for word, perturbation in expected.items():
        for loss in ("ce", "la"):
            recipe = RECIPES[f"resnet20_digitslt_{loss}_{word}"]
            assert recipe.perturbation == perturbation
            assert recipe.source.paper == "ltzoo"
    cited = {word: RECIPES[f"resnet20_digitslt_ce_{word}"].source.cites for word in expected}
    assert cited == {
        "ccsam": ("zhou2023ccsam",), "gnm": ("li2024",), "asam": ("kwon2021",), "gsam": ("zhuang2022",),
    }  # fmt: skip


def test_focal_sam_on_cifar_has_its_authors_scripts():
    for classes, decay, perturbation in ((10, 2e-4, FocalSAM(0.2, 0.5, 3.0)), (100, 1e-3, FocalSAM(0.3, 0.8, 3.2))):
        recipe = RECIPES[f"resnet32_cifar{classes}lt_la_focalsam"]
        assert (recipe.loss, recipe.perturbation, recipe.batch_size) == (LA(tau=1.0), perturbation, 64)
        assert recipe.optimizer == Optimizer(0.1, 0.9, decay, False)
        assert recipe.schedule == Schedule(200, 0, (), (), "cosine")
        assert (recipe.subset, recipe.groups, recipe.published) == ("cao", "count", ())
        assert recipe.source.ours == ("trainable.batchnorm",)
        assert recipe.source.cites == ("li2025", "menon2021")


def test_radii_in_the_name_are_those_of_the_variants_too():
    found = compose("resnet20", "digitslt", "ce", "none", "asam20", DIGITS)
    assert found.perturbation == ASAM(rho=0.2, eta=0.01)
    with pytest.raises(ValueError, match="ccsam20 must have two digits for each of its 0 radii"):
        compose("resnet20", "digitslt", "ce", "none", "ccsam20", DIGITS)


@pytest.mark.parametrize(("benchmark", "eta"), [("cifar10lt", 200), ("cifar100lt", 100)])
def test_the_tail_partition_is_that_of_lyu2025(benchmark, eta):
    rho = RECIPES[f"resnet32_{benchmark}_ce_sam"].perturbation.rho
    assert RECIPES[f"resnet32_{benchmark}_ce_imbsam"].perturbation == ImbSAM(rho=rho, eta=eta)
    found = RECIPES[f"resnet32_{benchmark}_ce_ssesam"].perturbation
    assert found == SSESAM(rho_head=rho / 4, rho_tail=rho / 4, gamma=0.7, eta=eta)
    counts = RECIPES[f"resnet34_{benchmark}_ce_ssesam"].data.class_counts
    assert sum(n < eta for n in counts) == {"cifar10lt": 3, "cifar100lt": 65}[benchmark]


@pytest.mark.parametrize("benchmark", LONG_TAILED)
def test_perturbations_of_lyu2025_have_its_radii(benchmark):
    eta = 1000 if benchmark == "cifar10lt10" else 200 if benchmark.startswith("cifar10l") else 100
    for loss in ("ce", "ldam", "la", "vs"):
        words = ("sam", "samext", "ssesam", "imbsam")
        assert {word: RECIPES[f"resnet34_{benchmark}_{loss}_{word}"].perturbation for word in words} == {
            "sam": SAM(rho=0.05),
            "samext": SAMExt(rho_head=0.05, rho_tail=0.10, eta=eta),
            "ssesam": SSESAM(rho_head=0.05, rho_tail=0.10, gamma=0.7, eta=eta),
            # Its published rows come from its code, which divides by each group's own images.
            "imbsam": ImbSAM(rho=0.10, eta=eta, normalization="group"),
        }


@pytest.mark.parametrize("benchmark", [*LONG_TAILED, "cifar10step", "cifar100step", "digitslt"])
def test_every_perturbation_of_head_and_tail_has_both(benchmark):
    apart = [recipe for name, recipe in RECIPES.items() if f"_{benchmark}_" in name and "_sgd" not in name]
    apart = [recipe for recipe in apart if isinstance(recipe.perturbation, ImbSAM | SAMExt)]
    assert apart
    tails = {len(table.rows): table for table in (r.perturbation.table(r.data.class_counts, 0, 1) for r in apart)}
    assert list(tails) == [2]


def test_rangwani2022_cifar_is_the_papers_protocol():
    def check(name):
        recipe = RANGWANI[name]
        if isinstance(recipe.start, FirstStage):
            return
        optimizer, schedule = recipe.optimizer, recipe.schedule
        assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay, optimizer.nesterov) == (0.1, 0.9, 2e-4, False)
        assert (schedule.epochs, schedule.warmup_epochs, schedule.decay) == (200, 5, "steps")
        assert (recipe.batch_size, recipe.subset) == (128, "cao")
        assert recipe.groups == ("half" if "step_" in name else "mislas")
        assert (recipe.augmentation.crop_padding, recipe.augmentation.horizontal_flip) == (4, True)
        if "drw" in name:
            assert recipe.reweighting == DRW(start=160, beta=0.9999)
        cifar100 = "cifar100" in name
        constants = {
            "vs": VS(gamma=0.05, tau=0.75) if cifar100 else VS(gamma=0.15, tau=1.25),
            "ldam": LDAM(max_margin=0.5, scale=30),
            "la": LA(tau=0.75),
            "ce": CE(),
            "bs": BalancedSoftmax(),
            "focal": Focal(gamma=1.0),
        }
        assert recipe.loss == constants[recipe.loss.name]

    check_each(RANGWANI, check)


def test_lyu2025_cifar_is_the_papers_protocol():
    def check(name):
        recipe = LYU[name]
        optimizer, schedule = recipe.optimizer, recipe.schedule
        assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay, optimizer.nesterov) == (
            0.01,
            0.9,
            1e-3,
            False,
        )
        assert (schedule.epochs, schedule.warmup_epochs, schedule.decay) == (200, 0, "cosine")
        factors = [schedule.factor(epoch) for epoch in (0, 50, 100, 199)]
        assert factors == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 + math.cos(math.pi * 199 / 200)) / 2])
        assert (recipe.batch_size, recipe.subset, recipe.groups) == (64, "first", "count")
        assert (recipe.augmentation.crop_padding, recipe.augmentation.horizontal_flip) == (4, True)
        constants = {
            "logit_ldam": LogitLDAM(max_margin=0.5, scale=30),
            "la": LA(tau=0.75),
            "vs": VS(gamma=0.05, tau=0.75),
        }
        assert recipe.loss == constants.get(recipe.loss.name, CE())
        assert recipe.reweighting == NoReweighting()

    check_each(LYU, check)


def test_pgd_and_lpf_sgd_of_table_4_of_rangwani2022():
    for benchmark, rho in (("cifar10lt", 0.5), ("cifar100lt", 0.8)):
        assert RECIPES[f"resnet32_{benchmark}_ce_drw_pgd"].perturbation == PGD(rho=rho)
        found = RECIPES[f"resnet32_{benchmark}_ce_drw_lpfsgd"].perturbation
        assert found == LPFSGD(std=Cosine(start=2e-4, end=15 * 2e-4), parts=8)
