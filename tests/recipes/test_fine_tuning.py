"""Our own protocol for image folders, setting by setting."""

import math
from dataclasses import replace

import pytest
import torch

from ltzoo.data import Augmentation, get_benchmark
from ltzoo.losses import CE, DRW, LA, VS, BalancedSoftmax, LogitLDAM, NoReweighting
from ltzoo.recipes import FirstStage, Input, Optimizer, Pretrained, shipped_recipes
from ltzoo.recipes.protocols import FINE_TUNING
from ltzoo.sharpness import SAM, SSESAM, ImbSAM, NoPerturbation, Quantile, tail_partition
from tests.each import check_each

RECIPES = {
    recipe.name: recipe
    for recipe in shipped_recipes()
    if not isinstance(recipe.start, FirstStage) and recipe.protocol == "fine_tuning"
}
LA_SAM = RECIPES["resnet50_imagefolder_la_sam"]

LOSSES = {
    "ce": CE(),
    "la": LA(tau=0.75),
    "bs": BalancedSoftmax(),
    "ldam": LogitLDAM(max_margin=0.5, scale=30.0),
    "vs": VS(gamma=0.05, tau=0.75),
}
PERTURBATIONS = {
    "sgd": NoPerturbation(),
    "sam": SAM(rho=0.05),
    "imbsam": ImbSAM(rho=0.05, eta=Quantile(0.65)),
    "ssesam": SSESAM(rho_head=0.05, rho_tail=0.05, gamma=0.7, eta=Quantile(0.65)),
}


def test_every_setting_is_what_its_name_and_the_protocol_say():
    def check(name):
        recipe = RECIPES[name]
        _, benchmark, loss, *rule, method = name.replace("_mixup", "").split("_")
        assert (recipe.architecture, recipe.head.name, recipe.benchmark) == ("resnet50", "linear", benchmark)
        assert (recipe.loss, recipe.perturbation) == (LOSSES[loss], PERTURBATIONS[method])
        assert recipe.reweighting == (DRW(start=24, beta=0.9999) if rule else NoReweighting())
        assert recipe.optimizer == Optimizer(lr=0.01, momentum=0.9, weight_decay=1e-4, nesterov=False)
        assert recipe.augmentation == Augmentation(0, True, min_scale=0.35, mixup=0.2 * ("_mixup_" in name))
        assert recipe.input == Input(None, None, None, None, None)  # the model's own
        assert (recipe.subset, recipe.groups, recipe.batch_size) == ("whole", "count", 64)
        assert recipe.paper_rule is None
        assert recipe.published == ()
        assert (recipe.source.paper, recipe.source.ours) == ("ltzoo", ())

    check_each(RECIPES, check)


def test_the_learning_rate_rises_for_three_epochs_and_falls_along_a_cosine():
    recipe = RECIPES["resnet50_imagefolder_ce_sgd"]
    found = [recipe.optimizer.lr * recipe.schedule.factor(epoch) for epoch in (0, 1, 2, 3, 15, 25, 29)]
    cosine = [0.005 * (1 + math.cos(math.pi * epoch / 30)) for epoch in (3, 15, 25, 29)]
    assert found == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, *cosine])
    assert cosine[1] == pytest.approx(0.005)


def test_deferred_weights_and_the_second_stage_come_late():
    recipe = RECIPES["resnet50_imagefolder_ldam_drw_ssesam"]
    heads = [recipe.perturbation.radii(epoch, 30)["rho_head"] for epoch in range(30)]
    assert heads == [0.05] * 21 + [0.0] * 9
    assert recipe.reweighting.start / recipe.schedule.epochs == 160 / 200  # as in Rangwani 2022


def test_on_cifar_100_lt_the_partition_is_that_of_lyu2025():
    counts = torch.tensor(get_benchmark("cifar100lt").class_counts)
    tail = tail_partition(counts, RECIPES["resnet50_imagefolder_ce_imbsam"].perturbation.eta)
    assert torch.equal(tail, tail_partition(counts, 100))
    assert tail.sum() == 65


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"optimizer": Optimizer(0.1, 0.9, 1e-4, False)}, "optimizer"),
        ({"input": Input(size=160)}, "input"),
        ({"groups": "thirds"}, "groups"),
        ({"loss": LA(tau=1.0)}, "loss"),
    ],
)
def test_contradictions_to_the_protocol_are_found(changes, field):
    assert FINE_TUNING.contradictions(replace(LA_SAM, **changes)) == [field]


@pytest.mark.parametrize(
    "changes",
    [{"architecture": "vit_small_patch16_224"}, {"start": Pretrained()}, {"perturbation": SAM(rho=0.1)}],
)
def test_any_backbone_any_start_and_any_radius_will_do(changes):
    assert FINE_TUNING.contradictions(replace(LA_SAM, **changes)) == []
