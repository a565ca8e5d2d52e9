"""The adapt recipes: what is Shi 2024's in them, what is ours, and what their parts refuse."""

from dataclasses import replace

import pytest

from ltzoo.data import Augmentation
from ltzoo.errors import InputError
from ltzoo.losses import CE, LA, VS, BalancedSoftmax
from ltzoo.recipes import PROTOCOLS, Input, Optimizer, Pretrained, ScaledCosineHead, Trainable, Weights, override
from ltzoo.recipes.cost import passes_per_image
from ltzoo.recipes.model import build_model, seen_benchmark
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.sharpness import SAM, SSESAM, NoPerturbation, Quantile
from tests.each import check_each

RECIPES = {name: get_recipe(name) for name in list_recipes("*_adapt_*")}
LOSSES = {"ce": CE(), "la": LA(tau=1.0), "bs": BalancedSoftmax(), "vs": VS(gamma=0.05, tau=0.75)}
PERTURBATIONS = {
    "sgd": NoPerturbation(),
    "sam": SAM(rho=0.05),
    "ssesam": SSESAM(rho_head=0.05, rho_tail=0.05, gamma=0.7, eta=Quantile(0.65)),
}
TUNED = {name: get_recipe(name) for name in list_recipes("efficientnetlite0_*")}
CIFAR = RECIPES["vitb16_cifar100lt_adapt_la_sgd"]


def test_every_setting_is_what_its_name_and_the_protocol_say():
    def check(name):
        recipe = RECIPES[name]
        _, benchmark, _, loss, method = name.split("_")
        assert (recipe.architecture, recipe.benchmark) == ("vit_base_patch16_224.augreg_in21k", benchmark)
        assert (recipe.loss, recipe.perturbation) == (LOSSES[loss], PERTURBATIONS[method])
        assert (recipe.start, recipe.head) == (Pretrained(), ScaledCosineHead(25.0))
        assert recipe.trainable == Trainable("lora", "frozen", 8)
        assert recipe.optimizer == Optimizer(lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=False)
        assert (recipe.schedule.epochs, recipe.schedule.decay) == (20 if benchmark == "inat18" else 10, "cosine")
        assert recipe.augmentation == Augmentation(0, True, min_scale=0.08)
        assert (recipe.batch_size, recipe.precision) == (128, "auto")
        assert recipe.input == Input(crop_pct=1.0 if benchmark.startswith("cifar") else None)
        assert recipe.groups == ("count" if benchmark == "imagefolder" else "mislas")
        assert recipe.source.paper == "shi2024" and {"shi2024", "hu2022"} <= set(recipe.source.cites)
        ours = {"architecture", "trainable", "input"} | ({"loss"} if loss != "la" else set())
        assert set(recipe.source.ours) == ours | ({"perturbation"} if method != "sgd" else set())
        assert PROTOCOLS[recipe.protocol].contradictions(recipe) == []

    check_each(RECIPES, check)


def test_recipes_of_the_small_network_differ_in_what_is_trained():
    trained = {
        "frozen": Trainable("head", "frozen"),
        "norm": Trainable("norm", "frozen"),
        "full": Trainable("all", "clean"),
    }
    plain, augmented = Augmentation(0, False), Augmentation(0, True, min_scale=0.08)

    def check(name):
        recipe = TUNED[name]
        _, benchmark, tuned, loss, method = name.split("_")
        assert (recipe.architecture, recipe.benchmark) == ("tf_efficientnet_lite0.in1k", benchmark)
        assert (recipe.loss, recipe.perturbation) == (LOSSES[loss], PERTURBATIONS[method])
        assert recipe.trainable == trained[tuned]
        assert recipe.augmentation == (plain if tuned == "frozen" else augmented)
        assert recipe.input == Input(size=128, crop_pct=1.0)
        same = RECIPES[f"vitb16_{benchmark}_adapt_{loss}_{method}"]
        for field in ("start", "head", "optimizer", "schedule", "batch_size", "precision", "groups", "subset"):
            assert getattr(recipe, field) == getattr(same, field)
        views = {"views"} if tuned == "frozen" else set()
        assert set(recipe.source.ours) == {*same.source.ours, *views}
        assert recipe.source.cites == tuple(key for key in same.source.cites if key != "hu2022")
        assert PROTOCOLS[recipe.protocol].contradictions(recipe) == []

    check_each(TUNED, check)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start": Weights("other.safetensors")}, "start"),
        ({"trainable": Trainable("norm", "frozen")}, "trainable"),
        ({"head": ScaledCosineHead(30.0)}, "head"),
        ({"loss": LA(tau=0.5)}, "loss"),
    ],
)
def test_contradictions_to_the_protocol_are_found(changes, field):
    assert PROTOCOLS["adapt_cifar"].contradictions(replace(CIFAR, **changes)) == [field]


def test_images_in_memory_reach_the_model_at_its_own_size():
    data_set = seen_benchmark(CIFAR).data_set
    assert data_set.shape == (3, 224, 224)
    assert (data_set.mean, data_set.crop_pct, data_set.interpolation) == ((0.5, 0.5, 0.5), 1.0, "bicubic")
    assert CIFAR.data.data_set.shape == (3, 32, 32)
    smaller = override(CIFAR, {"input.size": 64, "architecture": "test_resnet"})
    cfg = build_model(smaller).pretrained_cfg
    assert (cfg["input_size"], cfg["crop_pct"], cfg["num_classes"]) == ((3, 64, 64), 1.0, 100)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"trainable.weights": "norm"}, "lora_rank is the rank of the adapters: with weights lora set a number"),
        ({"trainable.lora_rank": None}, r"\(--tuning lora sets both\)"),
        ({"trainable.lora_rank": 0}, "lora_rank must be at least 1, not 0"),
        ({"head.scale": 0.0}, "scale must be finite and above 0, not 0.0"),
        ({"input.crop_pct": 0.875}, "are enlarged as a whole, so crop_pct must be 1 and shorter_side null"),
        ({"input": {"name": "x"}}, "unknown key input.name"),
    ],
)
def test_parts_that_do_not_fit_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        override(CIFAR, settings)


def test_grey_images_are_not_enlarged():
    with pytest.raises(InputError, match="input must be null for digitslt, whose images are grey"):
        override(get_recipe("resnet20_digitslt_ce_sgd"), {"input": {"crop_pct": 1.0}})


def test_adapters_cost_no_gradient_of_the_frozen_weights():
    found = {name: passes_per_image(RECIPES[f"vitb16_cifar100lt_adapt_la_{name}"]) for name in ("sgd", "sam")}
    assert found == pytest.approx({"sgd": 2.0, "sam": 4.0})
