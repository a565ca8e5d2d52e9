"""The rule by which a recipe is suggested."""

import pytest

from ltzoo.cli.recipe_suggestion import suggest_groups, suggest_options, suggest_recipe
from ltzoo.data import NATURAL_BENCHMARKS, ModelInput, make_groups
from ltzoo.data.batches.settings import batch_sizes
from ltzoo.data.files.checks import Unreadable
from ltzoo.data.files.profile import Contents, Profile
from ltzoo.registry import get_recipe, list_recipes

VIEW = ModelInput(224, (0.5,) * 3, (0.5,) * 3, 1.0, "bicubic")


def profile(*counts, contents=None):
    """A profile of these class counts."""
    names = tuple(str(j) for j in range(len(counts)))
    opened = NATURAL_BENCHMARKS["imagefolder"].with_counts(counts, names, VIEW)
    return Profile(names, counts, counts, tuple(make_groups(rule, opened) for rule in ("count", "thirds")), contents)


@pytest.mark.parametrize(
    ("counts", "parts", "reason"),
    [
        ((500, 300, 251), "ce_sam", "nearly balanced (IF 2)"),
        ((5, 5, 5), "ce_sam", "nearly balanced (IF 1)"),
        ((7,), "ce_sam", "nearly balanced (IF 1)"),
        ((99, 40, 3), "vs_sam", "no class has 100 images"),
        ((19, 5, 1), "vs_sam", "no class has 100 images"),
        ((500, 500, 20, 20, 20, 20, 20, 20, 20), "vs_sam", "as small as the smallest"),
        ((100, 40, 3), "vs_ssesam", "long tail (IF 33.3)"),
        ((500, 300, 250), "vs_ssesam", "long tail (IF 2)"),
        (tuple(range(2000, 0, -1)), "vs_ssesam", "long tail (IF 2e+03)"),
    ],
)
def test_the_rule(counts, parts, reason):
    suggestion = suggest_recipe(profile(*counts), "imagefolder")
    assert suggestion.recipe == get_recipe(f"resnet50_imagefolder_{parts}")
    assert reason in suggestion.reason
    assert "CIFAR" in suggestion.reason
    assert suggestion.reason.endswith("a start, and no promise for other images")


@pytest.mark.parametrize("benchmark", ["imagenetlt", "inat18"])
def test_a_published_benchmark_gets_the_best_row_on_it(benchmark):
    recipe = suggest_recipe(profile(5, 5, 5), benchmark).recipe
    figures = {
        name: figure.mean.overall
        for name in list_recipes(f"resnet50_{benchmark}_*")
        for figure in get_recipe(name).published
        if figure.paper == "rangwani2022"
    }
    assert recipe.name == max(figures, key=figures.get)
    assert suggest_options(profile(1000, 5, 5), recipe) == []


@pytest.mark.parametrize(
    ("counts", "rule"),
    [((101, 100, 19), "count"), ((101, 100, 20), "thirds"), ((19, 5, 1), "thirds"), ((19, 5), "count")],
)
def test_thirds_where_the_count_rule_leaves_a_group_empty(counts, rule):
    assert suggest_groups(profile(*counts), get_recipe("resnet50_imagefolder_ce_sam")) == rule
    assert suggest_groups(profile(*counts), get_recipe("resnet50_inat18_ce_sgd")) == "mislas"


@pytest.mark.parametrize(
    ("images", "batch"),
    [(64, None), (63, "8"), (32, "8"), (31, "4"), (16, "4"), (10, "2"), (9, "4"), (7, "4"), (3, "4"), (2, "2")],
)
def test_a_batch_is_no_larger_than_the_data_set(images, batch):
    options = suggest_options(profile(images), get_recipe("resnet50_imagefolder_ce_sam"))
    words = [word for part, _ in options for word in part]
    assert words == ["--pretrained"] + (["--batch-size", batch] if batch else [])


@pytest.mark.parametrize("images", range(2, 64))
def test_no_batch_of_a_suggested_size_has_a_single_image(images):
    options = suggest_options(profile(images), get_recipe("resnet50_imagefolder_ce_sam"))
    assert min(batch_sizes(images, int(options[-1][0][1]), joined=True)) >= 2


def test_unreadable_images_of_both_splits_are_to_be_skipped():
    damaged = Unreadable(0, "a", "gone")
    contents = Contents({"train": (damaged,), "test": (damaged, damaged)}, (), 8.0, None, ())
    options = suggest_options(profile(200, 60, 5, contents=contents), get_recipe("resnet50_imagefolder_ce_sam"))
    assert options[1][0] == ["--skip-unreadable", "3"]
