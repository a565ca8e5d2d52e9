"""From a recipe to its model."""

from dataclasses import replace

import pytest
import timm
import torch

from ltzoo.errors import InputError
from ltzoo.models import CosineClassifier
from ltzoo.recipes import CosineExpertsHead, CosineHead, LinearHead, override
from ltzoo.recipes.model import build_model
from ltzoo.registry import get_recipe

CIFAR = get_recipe("resnet32_cifar100lt_ce_sgd")


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_resnet32_has_the_papers_number_of_parameters():
    assert parameters(build_model(get_recipe("resnet32_cifar10lt_ce_sgd"))) == 464_154  # He et al.: 0.46 M
    assert parameters(build_model(CIFAR)) == 464_154 + 90 * 65
    assert parameters(build_model(CIFAR, num_classes=7)) == 464_154 - 3 * 65


def test_the_model_is_timms_and_describes_the_benchmarks_images():
    cfg = build_model(CIFAR).pretrained_cfg
    assert cfg["architecture"] == "resnet32_cifar"
    assert cfg["input_size"] == (3, 32, 32)
    assert cfg["mean"] == (0.4914, 0.4822, 0.4465)
    assert cfg["std"] == (0.2023, 0.1994, 0.2010)
    assert cfg["num_classes"] == 100
    model = build_model(get_recipe("resnet20_digitslt_ce_sgd"))
    settings = timm.data.resolve_data_config({}, model=model)
    assert (settings["input_size"], settings["mean"], settings["std"]) == ((1, 16, 16), (0.3071,), (0.3199,))
    assert settings["crop_pct"] == 1.0
    assert model.conv1.weight.shape[1] == 1
    assert model.eval()(torch.zeros(2, 1, 16, 16)).shape == (2, 10)


def test_another_recipes_description_is_left_alone():
    build_model(get_recipe("resnet20_digitslt_ce_sgd"))
    assert timm.create_model("resnet20_cifar").pretrained_cfg["input_size"] == (3, 32, 32)


@pytest.mark.parametrize("name", ["resnet32_cifar100lt_ldam_drw_sam", "resnet20_digitslt_ldam_sgd"])
def test_ldam_has_the_cosine_classifier(name):
    model = build_model(get_recipe(name))
    assert isinstance(model.get_classifier(), CosineClassifier)
    size = model.pretrained_cfg["input_size"]
    logits = model.eval()(100 * torch.randn(4, *size, generator=torch.Generator().manual_seed(0)))
    assert logits.abs().max() <= 1 + 1e-6


def test_any_architecture_of_timm_will_do():
    model = build_model(replace(CIFAR, architecture="resnet18"), num_classes=5, drop_rate=0.2)
    assert model.drop_rate == 0.2
    assert model.pretrained_cfg["mean"] == (0.4914, 0.4822, 0.4465)
    assert model.get_classifier().out_features == 5


def test_an_unknown_architecture_is_refused():
    with pytest.raises(InputError, match="architecture 'resnet32_cifr' is unknown to timm"):
        build_model(replace(CIFAR, architecture="resnet32_cifr"))


def test_a_cosine_classifier_is_refused_where_the_architecture_has_none():
    with pytest.raises(InputError, match="resnet18 has no cosine classifier"):
        build_model(replace(CIFAR, architecture="resnet18", head=CosineHead()))


def test_a_mistake_of_the_caller_stays_a_type_error():
    with pytest.raises(TypeError, match="colour"):
        build_model(CIFAR, colour="red")


@pytest.mark.parametrize(("method", "kind"), [("ncm", "nearest_mean"), ("disalign", "disalign")])
def test_an_architecture_without_the_head_is_refused_with_those_that_have_it(method, kind):
    recipe = override(get_recipe(f"resnet50_imagefolder_{method}_sgd"), {"architecture": "resnet18"})
    with pytest.raises(InputError, match=f"resnet18 has no {kind} classifier.*resnet9_cifar.*resnet50_{kind}"):
        build_model(recipe, num_classes=3)


def test_a_network_with_experts_is_built_with_their_head():
    recipe = replace(CIFAR, architecture="resnet32_3experts_cifar", head=CosineExpertsHead())
    assert build_model(recipe, num_classes=5).get_classifier().weight.shape == (5, 3 * 48)


@pytest.mark.parametrize(
    ("architecture", "head", "match"),
    [
        (
            "resnet32_cifar",
            CosineExpertsHead(),
            "cosine_experts.*: resnet20_3experts_cifar.*resnet50_3experts$",
        ),
        ("resnet18", CosineExpertsHead(), "cosine_experts.*: resnet20_3experts_cifar.*resnet50_3experts$"),
        ("resnet32_3experts_cifar", CosineHead(), "cosine.*: resnet9_cifar, resnet9_wide_cifar, resnet20_cifar"),
        ("resnet32_3experts_cifar", LinearHead(), "linear.*: resnet9_cifar, resnet9_wide_cifar, resnet20_cifar"),
    ],
)
def test_experts_and_their_head_go_together(architecture, head, match):
    with pytest.raises(InputError, match=f"{architecture} has no {match}") as caught:
        build_model(replace(CIFAR, architecture=architecture, head=head))
    assert ("experts_cifar" in str(caught.value).split("with one")[1]) == isinstance(head, CosineExpertsHead)
