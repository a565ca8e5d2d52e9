"""Names: listed, looked up, registered, and made into models."""

from dataclasses import replace

import pytest
import torch

import ltzoo
from ltzoo.errors import InputError
from ltzoo.recipes import registry

NAME = "resnet32_cifar100lt_ce_drw_sam"


@pytest.fixture(autouse=True)
def same_registry_afterwards(monkeypatch):
    monkeypatch.setattr(registry, "RECIPES", dict(registry.RECIPES))


def test_a_recipe_is_found_by_its_name_with_or_without_a_seed():
    recipe = ltzoo.get_recipe(NAME)
    assert recipe.name == NAME
    assert ltzoo.get_recipe(f"{NAME}.seed1") is ltzoo.get_recipe(f"{NAME}.seed20") is recipe


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("resnet32_cifar100lt_ce_drv_sam", NAME),
        ("resnet32_cifar100_ce_drw_sam.seed3", NAME),
        ("resnet20_digitslt_ce", "resnet20_digitslt_ce_sgd"),
    ],
)
def test_an_unknown_name_comes_with_the_nearest(name, nearest):
    with pytest.raises(InputError, match=rf"no recipe is called '{name.split('.')[0]}'; the nearest are .*{nearest}"):
        ltzoo.get_recipe(name)


@pytest.mark.parametrize("name", ["", "x", f"{NAME}.seed", f"{NAME}.seedx", f"{NAME}.seed1.seed2", NAME.upper()])
def test_what_is_no_name_is_refused_in_one_line(name):
    with pytest.raises(InputError, match="no recipe is called") as caught:
        ltzoo.get_recipe(name)
    assert "\n" not in str(caught.value)


def test_wildcards_choose_recipes():
    names = ltzoo.list_recipes()
    assert len(names) == len(set(names))
    assert ltzoo.list_recipes("*cifar10lt*_ssesam") == [
        name for name in names if "cifar10lt" in name and name.endswith("ssesam")
    ]
    assert len(ltzoo.list_recipes("resnet34_cifar10lt_*_ssesam")) == 4
    assert ltzoo.list_recipes("cifar10lt") == []
    assert ltzoo.list_models("resnet20_*") == ltzoo.list_recipes("resnet20_*") != []


def test_a_registered_recipe_is_found_listed_and_built():
    mine = replace(ltzoo.get_recipe("resnet20_digitslt_ce_sgd"), name="resnet20_digitslt_mine")
    ltzoo.register_recipe(mine)
    assert ltzoo.get_recipe("resnet20_digitslt_mine") is mine
    assert ltzoo.list_recipes("*mine") == ["resnet20_digitslt_mine"]
    assert ltzoo.create_model("resnet20_digitslt_mine").num_classes == 10


def test_a_name_is_registered_once():
    with pytest.raises(InputError, match=f"a recipe called '{NAME}' exists already"):
        ltzoo.register_recipe(replace(ltzoo.get_recipe(NAME), batch_size=64))
    assert ltzoo.get_recipe(NAME).batch_size == 128


@pytest.mark.parametrize(
    "name",
    ["", "resnet20", "ResNet20_digits", "a_b.seed1", "a__b", "_a_b", "a_b_", "a-b_c", "a b_c", "a_b\n", "a/b_c", "ä_b"],
)
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="name must be lower-case words joined by underscores"):
        replace(ltzoo.get_recipe(NAME), name=name)
    assert name not in ltzoo.list_recipes()


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("resnet32_cifar100lt_vs_ssesam", (3, 32, 32), 100),
        ("resnet32_cifar10lt_ldam_drw_sam.seed1", (3, 32, 32), 10),
        ("resnet20_digitslt_la_imbsam", (1, 16, 16), 10),
    ],
)
def test_a_name_becomes_a_model_of_its_benchmark(name, shape, classes):
    model = ltzoo.create_model(name).eval()
    assert model(torch.zeros(2, *shape)).shape == (2, classes)
    assert ltzoo.create_model(name, num_classes=7)(torch.zeros(2, *shape)).shape == (2, 7)
    assert ltzoo.create_model(name, num_classes=0)(torch.zeros(2, *shape)).shape == (2, 64)


def test_further_arguments_reach_timm():
    assert ltzoo.create_model(NAME, drop_rate=0.3).drop_rate == 0.3
    assert ltzoo.create_model(NAME, in_chans=1)(torch.zeros(2, 1, 32, 32)).shape == (2, 100)


def test_the_seed_of_torch_fixes_the_fresh_weights():
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(ltzoo.create_model("resnet20_digitslt_ce_sgd").conv1.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
