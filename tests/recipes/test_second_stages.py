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
from ltzoo.sharpness import NoPerturbation


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
    changed = replace(get_recipe("resnet20_digitslt_crt_sgd"), sampler=ClassAwareSampler(per_class=1))
    with pytest.raises(ValueError, match="contradicts its protocol digits in sampler"):
        register_recipe(replace(changed, name="resnet20_digitslt_crt_mine"))
