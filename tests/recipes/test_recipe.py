"""Schedules against the papers' own rules, and shortened training."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from ltzoo.data import Augmentation, InversePowerSampler
from ltzoo.errors import InputError
from ltzoo.losses import CE, DRW, GLMC, NoReweighting
from ltzoo.recipes import Optimizer, Schedule, override
from ltzoo.registry import get_recipe

NAME = "resnet32_cifar100lt_ce_drw_ssesam"


def cao_factor(epoch):
    """Cao's adjust_learning_rate, as Rangwani 2022 runs it."""
    epoch = epoch + 1
    if epoch <= 5:
        return epoch / 5
    if epoch > 180:
        return 0.0001
    if epoch > 160:
        return 0.01
    return 1


def test_the_learning_rate_is_caos_in_every_epoch():
    schedule = get_recipe(NAME).schedule
    assert [schedule.factor(epoch) for epoch in range(200)] == [cao_factor(epoch) for epoch in range(200)]


def test_without_warm_up_and_drops_the_rate_is_constant():
    assert {Schedule(10, 0, (), ()).factor(epoch) for epoch in range(10)} == {1.0}


def test_a_linear_rate_rises_to_its_peak_and_falls_to_its_smallest_share_in_the_last_epoch():
    schedule = Schedule(10, 2, (), (), "linear")
    found = [schedule.factor(epoch) for epoch in range(10)]
    assert found == pytest.approx([1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    with pytest.raises(ValueError, match="warmup_epochs must be below the 2 epochs, not 2"):
        Schedule(2, 2, (), (), "linear")
    with pytest.raises(ValueError, match="milestones must be empty with the decay linear"):
        Schedule(3, 0, (1,), (0.1,), "linear")


@pytest.mark.parametrize(
    ("epochs", "warmup", "milestones", "start"),
    [
        (5, 0, (4, 4), 4),
        (20, 0, (16, 18), 16),
        (199, 4, (159, 179), 159),
        (400, 10, (320, 360), 320),
        (1, 0, (0, 0), 0),
    ],
)
def test_every_milestone_scales_with_the_epochs_and_is_rounded_down(epochs, warmup, milestones, start):
    recipe = get_recipe(NAME)
    short = recipe.with_epochs(epochs)
    assert short.schedule == Schedule(epochs, warmup, milestones, (0.01, 0.0001))
    assert short.reweighting == DRW(start=start, beta=0.9999)
    assert short.perturbation == recipe.perturbation
    assert recipe.schedule.epochs == 200
    assert get_recipe("resnet32_cifar100lt_ce_sgd").with_epochs(epochs).reweighting == NoReweighting()


def test_as_many_epochs_as_before_change_nothing():
    assert get_recipe(NAME).with_epochs(200) == get_recipe(NAME)


def test_the_stage_of_sse_sam_is_a_share_of_the_epochs():
    perturbation = get_recipe(NAME).with_epochs(20).perturbation
    heads = [perturbation.radii(epoch, 20)["rho_head"] for epoch in range(20)]
    assert heads == [0.2] * 14 + [0.0] * 6


def test_two_drops_at_one_epoch_take_the_later_factor():
    assert get_recipe(NAME).with_epochs(5).schedule.factor(4) == 0.0001


@pytest.mark.parametrize(
    "fields",
    [
        {"epochs": -1},
        {"warmup_epochs": -1},
        {"milestones": (8, 6)},
        {"milestones": (6,)},
        {"milestones": (-1, 6)},
        {"factors": (0.1, -0.01)},
    ],
)
def test_impossible_schedules_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        Schedule(**{"epochs": 10, "warmup_epochs": 1, "milestones": (6, 8), "factors": (0.1, 0.01)} | fields)


@pytest.mark.parametrize("fields", [{"lr": 0}, {"momentum": -0.1}, {"weight_decay": -1}, {"momentum": 0}])
def test_impossible_optimizers_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        Optimizer(**{"lr": 0.1, "momentum": 0.9, "weight_decay": 0, "nesterov": True} | fields)


@dataclass(frozen=True)
class OfMixedViews(CE):
    """A loss of our own whose views the loop must mix."""

    name: ClassVar[str] = "of_mixed_views"
    views: ClassVar[int] = 2
    mixes_views: ClassVar[bool] = True


MIXUP, CUTMIX = Augmentation(2, False, mixup=1.0), Augmentation(2, False, cutmix=1.0)
PARTNERS = InversePowerSampler(0.0)


@pytest.mark.parametrize("loss", [GLMC(1.2, 4.0, epochs=40, projection_size=128), OfMixedViews()])
@pytest.mark.parametrize(
    ("views", "partners", "said"),
    [
        ((MIXUP, CUTMIX), None, "partners: the loss {} takes views that are mixed with other images; give their samp"),
        ((MIXUP,), PARTNERS, "views: the loss {} needs 2 per image, not 1"),
        ((MIXUP, replace(CUTMIX, cutmix=0.5)), PARTNERS, "views: the loss {} mixes each view by one lambda; give each"),
        ((MIXUP, replace(MIXUP, mixup=0.0)), PARTNERS, "views: the loss {} mixes each view by one lambda"),
        ((MIXUP, replace(MIXUP, cutmix=1.0)), PARTNERS, "views: the loss {} mixes each view by one lambda"),
        ((MIXUP, replace(CUTMIX, mixup_off_epoch=3)), PARTNERS, "views: the loss {} mixes each view by one lambda"),
    ],
)
def test_a_loss_of_mixed_views_needs_partners_and_one_lambda(loss, views, partners, said):
    recipe = get_recipe("resnet20_digitslt_ce_sgd")
    with pytest.raises(ValueError, match=said.format(loss.name)):
        replace(recipe, loss=loss, views=views, partners=partners)
    found = replace(recipe, loss=loss, views=(MIXUP, CUTMIX), partners=PARTNERS)
    assert (found.views, found.partners) == ((MIXUP, CUTMIX), PARTNERS)


def test_a_loss_of_the_whole_training_has_its_epochs():
    recipe = get_recipe("resnet20_digitslt_glmc_sgd")
    for changed in ({"loss.epochs": 400}, {"schedule.epochs": 2}):
        with pytest.raises(
            InputError, match=r"loss.epochs is \d+, but schedule.epochs \d+: the loss glmc changes over"
        ):
            override(recipe, changed)
    assert override(recipe, {"schedule.epochs": 2, "loss.epochs": 2}).loss.epochs == 2
    assert recipe.with_epochs(7).loss.epochs == 7


def test_partners_without_a_loss_that_mixes_views_are_refused():
    with pytest.raises(
        ValueError, match="partners have no effect with the loss ce, which takes no mixed views; set nu"
    ):
        replace(get_recipe("resnet20_digitslt_ce_sgd"), partners=PARTNERS)
