"""Checks before anything is written: parts that do not work together, and settings that are probably a mistake."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from ltzoo.errors import InputError
from ltzoo.recipes import Trainable, override
from ltzoo.recipes.model import build_model
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.sharpness import CCSAM, SAM
from ltzoo.train.checks import check_classes_drawn, check_parts
from ltzoo.train.settings_warnings import _late_warnings, settings_warnings
from ltzoo.train.step import Step

SSESAM = get_recipe("resnet50_imagefolder_vs_ssesam")
COUNTS = (500, 100, 5)


def test_recipes_as_they_are_give_no_warning():
    assert settings_warnings(override(SSESAM, {"ema_decay": 0.98}), COUNTS) == []
    assert settings_warnings(SSESAM, COUNTS) == []
    assert settings_warnings(get_recipe("resnet50_imagefolder_ce_sgd"), COUNTS) == []


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (
            {"trainable.weights": "head", "trainable.batchnorm": "frozen"},
            "all weights but the head's and BatchNorm's statistics will keep their initial values; to start from ",
        ),
        ({"trainable.batchnorm": "frozen"}, "BatchNorm's statistics will keep their initial values"),
        (
            {"optimizer.kind": "adamw"},
            "a learning rate of 0.01 is large for adamw; try a smaller one, such as --lr 1e-4",
        ),
        (
            {"perturbation.eta": 0.5},
            "with perturbation.eta 0.5, no class belongs to the tail; set it between 5 and 500",
        ),
        ({"perturbation.eta": 5000}, "with perturbation.eta 5000.0, every class belongs to the tail"),
        (
            {"ema_decay": 0.9998},  # 605 images in batches of 64, 30 epochs
            "after about 300 steps, the moving average with decay 0.9998 still has 94 % of the initial weights; give "
            "--model-ema-decay 0.99 or less",
        ),
        (
            {"loss": {"name": "ldam", "max_margin": 0.5, "scale": 30}},
            "the loss ldam is for cosines, and the head linear has logits of any size; set head.name to cosine",
        ),
        (
            {"head": {"name": "cosine"}},
            "the head cosine gives logits from -1 to 1, which are too small for the loss vs; set head.name to linear",
        ),
    ],
)
def test_settings_warnings(settings, found):
    (said,) = settings_warnings(override(SSESAM, settings), COUNTS)
    assert said.startswith(found)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (
            {"reweighting.start": 13},
            ["reweighting.start is 13, but the last of 13 epochs is 12, so what it begins"],
        ),
        ({"schedule.milestones": [8, 40]}, ["schedule.milestones.1 is 40, but the last of 13 epochs is 12"]),
        ({"views.0.mixup": 0.2, "views.0.mixup_off_epoch": 13}, ["views.0.mixup_off_epoch is 13, but the last of 13"]),
        ({"views.0.mixup": 0.2, "views.0.mixup_off_epoch": 12}, []),
        ({"schedule.milestones": [8, 8]}, ["with 13 epochs, 2 drops of the learning rate fall on epoch 8, and only"]),
        ({"schedule.milestones": [8, 12], "reweighting.start": 12}, []),
    ],
)
def test_what_begins_after_the_last_epoch_or_at_once_is_a_warning(settings, found):
    recipe = get_recipe("resnet32_cifar100lt_ldam_drw_sgd").with_epochs(13)
    plain = {"schedule.warmup_epochs": 0, "schedule.milestones": [8, 12]}
    said = settings_warnings(override(recipe, plain | settings), COUNTS)
    assert len(said) == len(found)
    assert all(line.startswith(begun) for line, begun in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("epochs", "settings", "found"),
    [
        (
            13,
            {"perturbation.rho_tail": {"name": "steps", "radii": [0.05, 0.1, 0.5], "milestones": [5, 13]}},
            ["perturbation.rho_tail.milestones.1 is 13, but the last of 13 epochs is 12, so what it"],
        ),
        (13, {"perturbation.rho_tail": {"name": "steps", "radii": [0.05, 0.1], "milestones": [12]}}, []),
        (
            2,
            {"perturbation.gamma": 0.4},
            ["perturbation.gamma is 0.4, which of 2 epochs is less than one, so there is no first stage; train longer"],
        ),
        (2, {"perturbation.gamma": 0.5}, []),
        (2, {"perturbation.gamma": 0}, []),
        (
            2,
            {"perturbation.rho_tail": {"name": "stages", "first": 0.1, "second": 0.2, "gamma": 0.4}},
            ["perturbation.rho_tail.gamma is 0.4, which of 2 epochs is less than one"],
        ),
    ],
)
def test_a_stage_of_the_perturbation_without_an_epoch_is_a_warning(epochs, settings, found):
    plain = {"schedule.warmup_epochs": 0, "schedule.milestones": [], "schedule.factors": [], "perturbation.gamma": 0.5}
    recipe = override(get_recipe("resnet20_digitslt_ce_ssesam").with_epochs(epochs), plain | settings)
    said = settings_warnings(recipe, recipe.data.class_counts)
    assert len(said) == len(found)
    assert all(line.startswith(begun) for line, begun in zip(said, found, strict=True))


def test_a_compiled_model_of_which_the_classifier_alone_moves_is_a_warning():
    plain = get_recipe("resnet20_digitslt_ce_sgd")
    (said,) = settings_warnings(replace(plain, perturbation=CCSAM(rho=1e-6, q=0.5)), COUNTS, "inductor")
    assert said.startswith(
        "ccsam repeats the classifier alone, which cannot be done within a compiled model: each step"
    )
    assert "takes 4 forward passes through the whole model instead of 1; leave --torchcompile out" in said
    for perturbation, backend in ((CCSAM(1e-6, 0.5), None), (CCSAM(1e-6, 0.5, "all"), "eager"), (SAM(0.1), "eager")):
        assert settings_warnings(replace(plain, perturbation=perturbation), COUNTS, backend) == []


def test_a_compiled_model_takes_as_many_forward_passes_as_the_warning_says():
    recipe, passes = replace(get_recipe("resnet20_digitslt_ce_sgd"), perturbation=CCSAM(rho=1e-6, q=0.5)), []
    for backend in (None, "eager"):
        step = Step(recipe, recipe.data.class_counts, build_model(recipe), Accelerator(cpu=True), 0, backend)
        forward, count = step.forward, []

        def counted(images, forward=forward, count=count):
            count.append(1)
            return forward(images)

        step.forward = counted
        step(torch.randn(4, 1, 16, 16), torch.tensor([0, 1, 2, 3]))
        passes.append(len(count))
    assert passes == [1, 1 + 10]


def test_frozen_pretrained_weights_give_no_warning():
    given = override(
        SSESAM,
        {"trainable": {"weights": "head", "batchnorm": "frozen"}, "start": {"name": "pretrained"}},
    )
    assert settings_warnings(given, COUNTS) == []


def test_a_last_batch_of_one_image_is_looked_at_before_training():
    recipe = replace(get_recipe("resnet20_digitslt_ce_sgd"), architecture="resnet18")
    model = build_model(recipe)  # of 16 pixels, its last layer sees one
    before = {key: value.clone() for key, value in model.state_dict().items()}
    check_parts(model, recipe, recipe.data, None, smallest_batch=2)
    with pytest.raises(
        InputError, match=r"last batch of an epoch has a single image, and the model cannot .*--batch-size"
    ):
        check_parts(model, recipe, recipe.data, None, smallest_batch=1)
    check_parts(model, replace(recipe, trainable=Trainable("all", "frozen")), recipe.data, None, smallest_batch=1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    fine = get_recipe("resnet20_digitslt_ce_sgd")
    check_parts(build_model(fine), fine, fine.data, None, smallest_batch=1)


def test_a_class_that_the_sampler_cannot_draw_is_named():
    recipe = get_recipe("resnet20_digitslt_crt_sgd")
    labels, names = torch.tensor([0, 0, 2, 3]), ("ant", "bee", "cat", "dog", "eel")
    with pytest.raises(InputError, match="class_aware draws all classes equally often, but bee, eel has no training"):
        check_classes_drawn(recipe, labels, names)
    check_classes_drawn(recipe, torch.arange(5).numpy(), names)
    check_classes_drawn(get_recipe("resnet20_digitslt_ce_sgd"), labels, names)


def test_no_recipe_has_a_stage_after_its_last_epoch():
    late = {name: found for name in list_recipes() if (found := _late_warnings(get_recipe(name)))}
    assert late == {}


def test_one_epoch_of_a_loss_that_trains_the_classifier_later_is_a_warning():
    recipe = get_recipe("resnet20_digitslt_glmc_sgd")
    said = "with 1 epoch, the loss glmc does not train the model's classifier; train longer"
    assert said in settings_warnings(recipe.with_epochs(1), COUNTS)
    assert said not in settings_warnings(recipe.with_epochs(2), COUNTS)
