"""Second stages: what a recipe takes from its first stage, and what it has of its own."""

from dataclasses import replace

import pytest

from ltzoo.data import ClassAwareSampler
from ltzoo.losses import CE
from ltzoo.recipes import (
    FirstStage,
    Schedule,
    Trainable,
    compose_second_stage,
    get_recipe,
    list_recipes,
    register_recipe,
)
from ltzoo.recipes.protocols import DIGITS
from ltzoo.sharpness import SAM, NoPerturbation


@pytest.mark.parametrize("perturbation", ["sgd", "sam", "imbsam", "ssesam"])
def test_crt_retrains_the_classifier_of_the_first_stage_that_its_name_says(perturbation):
    recipe, first = (get_recipe(f"resnet20_digitslt_{method}_{perturbation}") for method in ("crt", "ce"))
    own = {"name", "start", "trainable", "sampler", "perturbation", "schedule", "source"}
    assert replace(recipe, **{field: getattr(first, field) for field in own}) == first
    assert recipe.start == FirstStage(first.name, "fresh")
    assert recipe.trainable == Trainable("head", "clean")
    assert recipe.sampler == ClassAwareSampler(per_class=4, epoch="whole_batches")
    assert (recipe.loss, recipe.perturbation) == (CE(), NoPerturbation())
    assert recipe.schedule == Schedule(10, 0, (), (), "cosine")
    assert "kang2020" in recipe.source.cites


def test_every_first_stage_is_a_recipe_of_the_same_network_and_images():
    for recipe in map(get_recipe, list_recipes()):
        if isinstance(recipe.start, FirstStage):
            first = get_recipe(recipe.start.recipe)
            for field in ("architecture", "benchmark", "subset", "groups"):
                assert getattr(recipe, field) == getattr(first, field)


def test_a_method_that_the_protocol_lacks_is_refused():
    with pytest.raises(ValueError, match="the protocol digits has no lws; it has crt"):
        compose_second_stage("resnet20", "digitslt", "lws", "sgd", DIGITS)


def test_a_second_stage_that_contradicts_its_protocol_is_refused():
    crt = replace(get_recipe("resnet20_digitslt_crt_sgd"), name="resnet20_digitslt_crt_mine")
    for field, value in {
        "sampler": ClassAwareSampler(per_class=1),
        "start": FirstStage("resnet20_digitslt_ce_mine", "kept"),
        "perturbation": SAM(rho=0.05),
    }.items():
        with pytest.raises(ValueError, match=f"contradicts its protocol digits in .*{field}"):
            register_recipe(replace(crt, **{field: value}))


def test_a_first_stage_must_be_registered_with_the_same_images():
    own = replace(get_recipe("resnet20_digitslt_crt_sgd"), name="resnet20_digitslt_mine_sgd", protocol="mine")
    with pytest.raises(ValueError, match="begins with 'resnet20_digitslt_mine_sgd', which is not registered"):
        register_recipe(replace(own, start=FirstStage(own.name, "fresh")))
    with pytest.raises(ValueError, match="differ in subset"):
        register_recipe(replace(own, subset="first"))
