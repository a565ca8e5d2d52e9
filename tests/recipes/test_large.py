"""Protocol rangwani2022_large, setting by setting: ImageNet-LT and iNaturalist 2018."""

import math
from dataclasses import replace

import pytest

from ltzoo.data import Augmentation
from ltzoo.losses import CE, DRW, LDAM, NoReweighting
from ltzoo.recipes import CosineHead, FirstStage, Fresh, Input, Optimizer, compose, shipped_recipes
from ltzoo.recipes.protocols import RANGWANI2022_LARGE
from ltzoo.sharpness import ImbSAM
from tests.each import check_each

RECIPES = {
    recipe.name: recipe
    for recipe in shipped_recipes()
    if not isinstance(recipe.start, FirstStage) and recipe.protocol == "rangwani2022_large"
}
CE_DRW_SAM = RECIPES["resnet50_imagenetlt_ce_drw_sam"]


def test_what_all_of_them_share():
    def check(name):
        recipe = RECIPES[name]
        assert (recipe.subset, recipe.groups, recipe.batch_size, recipe.start) == ("whole", "mislas", 256, Fresh())
        schedule = recipe.schedule
        assert (schedule.epochs, schedule.warmup_epochs, schedule.decay) == (90, 0, "cosine")
        assert recipe.augmentation == Augmentation(0, True, min_scale=0.08, color_jitter=0.4)
        assert recipe.input == Input(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.875, "bilinear")
        assert (recipe.paper_rule.interval, recipe.paper_rule.flip) == (1, False)
        assert recipe.reweighting == (DRW(start=60, beta=0.9999) if "_drw_" in name else NoReweighting())
        assert recipe.loss == (LDAM(max_margin=0.3, scale=30.0) if "_ldam_" in name else CE())
        assert recipe.head.name == ("cosine" if "_ldam_" in name else "linear")

    check_each(RECIPES, check)


def test_learning_rate_and_weight_decay_go_by_benchmark_and_loss():
    def check(name):
        expected = (0.2, 2e-4) if "imagenetlt" in name else (0.1, 1e-4) if "_ldam_" in name else (0.1, 2e-4)
        assert RECIPES[name].optimizer == Optimizer(expected[0], 0.9, expected[1], False)

    check_each(RECIPES, check)


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("resnet50_imagenetlt_ce_drw_sam", [0.2, 0.2 * (1 + math.sqrt(0.75)) / 2, 0.15, 0.1, 0.05, 6.0917e-5]),
        ("resnet50_inat18_ldam_drw_sgd", [0.1, 0.1 * (1 + math.sqrt(0.75)) / 2, 0.075, 0.05, 0.025, 3.0459e-5]),
    ],
)
def test_the_learning_rate_falls_along_a_cosine_to_zero(name, rates):
    recipe = RECIPES[name]
    found = [recipe.optimizer.lr * recipe.schedule.factor(epoch) for epoch in (0, 15, 30, 45, 60, 89)]
    assert found == pytest.approx(rates, rel=1e-4)
    assert recipe.schedule.factor(90) == 0


GROWING = [0.05, 0.05, 0.1, 0.1, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("words", "radii"),
    [
        ("imagenetlt_ce_drw_sam", GROWING),
        ("imagenetlt_ldam_drw_sam", GROWING),
        ("inat18_ldam_drw_sam", GROWING),
        ("inat18_ce_drw_sam", [0.05, 0.05, 0.1, 0.1, 0.1, 0.2, 0.2]),
        ("imagenetlt_ce_sam", [0.05] * 7),
    ],
)
def test_the_radius_of_sam_in_every_stage(words, radii):
    perturbation = RECIPES[f"resnet50_{words}"].perturbation
    assert [perturbation.radii(epoch, 90)["rho"] for epoch in (0, 4, 5, 59, 60, 75, 89)] == radii


def test_the_second_step_of_ce_on_inaturalist_comes_after_epoch_75():
    perturbation = RECIPES["resnet50_inat18_ce_drw_sam"].perturbation
    assert [perturbation.radii(epoch, 90)["rho"] for epoch in (60, 74, 75)] == [0.1, 0.1, 0.2]


def test_shorter_training_moves_the_radii_with_it():
    short = RECIPES["resnet50_inat18_ce_drw_sam"].with_epochs(9)
    assert [short.perturbation.radii(epoch, 9)["rho"] for epoch in range(9)] == [0.1] * 7 + [0.2] * 2
    assert short.reweighting.start == 6


def test_rows_of_lyu2025_have_its_radii_and_its_codes_normalisation():
    imbsam = RECIPES["resnet50_imagenetlt_ce_imbsam"].perturbation
    assert imbsam == ImbSAM(rho=0.15, eta=100, normalization="group")
    ssesam = RECIPES["resnet50_imagenetlt_ce_ssesam"].perturbation
    assert (ssesam.eta, ssesam.gamma) == (100, 0.8)
    radii = [ssesam.radii(epoch, 90) for epoch in (0, 71, 72, 89)]
    assert [(found["rho_head"], found["rho_tail"]) for found in radii] == [(0.05, 0.15)] * 2 + [(0.0, 0.15)] * 2


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        ("imagenetlt_ce_sgd", ()),
        ("inat18_ldam_drw_sgd", ()),
        ("inat18_ce_drw_sam", ("trainable.batchnorm",)),
        ("imagenetlt_ce_sam", ("trainable.batchnorm",)),
        ("imagenetlt_ce_imbsam", ("perturbation.eta", "perturbation.normalization", "trainable.batchnorm")),
        ("imagenetlt_ce_ssesam", ("perturbation.eta", "trainable.batchnorm")),
    ],
)
def test_what_no_paper_gives_is_marked_as_ours(words, ours):
    assert RECIPES[f"resnet50_{words}"].source.ours == ours


def test_another_benchmarks_or_losss_optimizer_contradicts_the_protocol():
    of_inat18, of_ldam = (RECIPES[f"resnet50_inat18_{loss}_drw_sgd"].optimizer for loss in ("ce", "ldam"))
    assert RANGWANI2022_LARGE.contradictions(replace(CE_DRW_SAM, optimizer=of_inat18)) == ["optimizer"]
    ldam = RECIPES["resnet50_inat18_ldam_drw_sam"]
    assert RANGWANI2022_LARGE.contradictions(replace(ldam, optimizer=of_inat18)) == ["optimizer"]
    assert RANGWANI2022_LARGE.contradictions(replace(RECIPES["resnet50_inat18_ce_sgd"], optimizer=of_ldam)) == [
        "optimizer"
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"input": Input()}, "input"),
        ({"groups": "count"}, "groups"),
        ({"batch_size": 64}, "batch_size"),
        ({"views": (Augmentation(0, True, min_scale=0.2),)}, "views"),
        ({"reweighting": DRW(start=160, beta=0.9999)}, "reweighting"),
        ({"head": CosineHead()}, "head"),
    ],
)
def test_contradictions_to_the_protocol_are_found(changes, field):
    assert RANGWANI2022_LARGE.contradictions(replace(CE_DRW_SAM, **changes)) == [field]


def test_other_margins_and_other_epochs_contradict_the_protocol():
    ldam = RECIPES["resnet50_inat18_ldam_drw_sam"]
    assert RANGWANI2022_LARGE.contradictions(replace(ldam, loss=LDAM(max_margin=0.5, scale=30.0))) == ["loss"]
    assert RANGWANI2022_LARGE.contradictions(ldam.with_epochs(45)) == ["schedule", "reweighting"]


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        (("inat18", "ce", "none", "sam"), "the protocol rangwani2022_large has no sam; it has sgd"),
        (("imagenetlt", "vs", "none", "sgd"), "the protocol rangwani2022_large has no vs; it has ce, ce_drw, ldam_drw"),
        (("imagefolder", "ce", "none", "sgd"), "the protocol rangwani2022_large has no imagefolder"),
        (("cifar10lt", "ce", "none", "sgd"), "the protocol rangwani2022_large has no cifar10lt"),
    ],
)
def test_what_no_paper_did_there_is_refused(parts, found):
    with pytest.raises(ValueError, match=found):
        compose("resnet50", *parts, RANGWANI2022_LARGE)


def test_a_name_can_give_another_radius():
    named = compose("resnet50", "imagenetlt", "ldam", "drw", "sam10", RANGWANI2022_LARGE)
    assert (named.perturbation.rho, named.architecture, named.published) == (0.1, "resnet50_cosine", ())
