"""Which recipe to begin with on images of one's own, argued from the papers' tables."""

from dataclasses import dataclass

import torch

from ltzoo.data.files.profile import Profile
from ltzoo.recipes import Recipe
from ltzoo.registry import get_recipe
from ltzoo.sharpness import SSESAM, tail_partition

_BALANCED_BELOW = 2.0
_HEAD_FROM = 100
"""Paper B's eta, and where the groups by count have their head begin."""


@dataclass(frozen=True)
class Suggestion:
    """A recipe to begin with.

    Attributes:
        recipe: the recipe.
        reason: why this one, and what that rests on.
    """

    recipe: Recipe
    reason: str


def suggest_recipe(profile: Profile, benchmark: str) -> Suggestion:
    """Suggest a recipe.

    The first line that holds decides:

    1. ImageNet-LT and iNaturalist 2018: `ldam_drw_sam`, the best that paper A trained there (Table 3); B has CE alone.
    2. IF < 2: `ce_sam`. There is nothing to re-balance, and SAM raised plain CE's overall accuracy in both papers'
       Table 1.
    3. n_max < 100: `vs_sam`. Every class is what B calls tail on CIFAR-100-LT, and SSE-SAM perturbs the tail to the
       end; to perturb every class to the end is SAM. The same where so many classes are as small as the smallest that
       the recipe's partition finds no tail: SSE-SAM would end as plain SGD. With SAM, VS is the best loss overall in
       both papers' Table 1, on both CIFARs.
    4. Else `vs_ssesam`: the best overall in B's Table 1 on CIFAR-100-LT, and level with `la_ssesam` on CIFAR-10-LT. Its
       tail is the best on CIFAR-100-LT; on CIFAR-10-LT it lies 0.2 below that of `la_ssesam` and 2.9 below `vs_sam`.

    No figure speaks for LDAM + DRW on images of one's own: fine-tuning takes B's LDAM, which B has without DRW alone,
    below LA and VS with SAM and with SSE-SAM.

    Args:
        profile: what the data set is like.
        benchmark: the natural benchmark that it is opened as.
    """
    if benchmark != "imagefolder":
        recipe = get_recipe(f"resnet50_{benchmark}_ldam_drw_sam")
        return Suggestion(recipe, "it is the best that paper A trained on this benchmark (Table 3)")
    factor = profile.imbalance_factor
    if factor < _BALANCED_BELOW:
        parts = "ce_sam"
        reason = (
            f"the classes are nearly balanced (IF {factor:.2g}), so there is nothing to re-balance, and SAM made plain "
            "cross-entropy better in both papers (A 38.5 to 39.6, B 44.6 to 46.2 on CIFAR-100-LT)"
        )
    elif profile.n_max < _HEAD_FROM:
        parts = "vs_sam"
        reason = (
            f"no class has {_HEAD_FROM} images: each is what paper B calls tail and perturbs to the end, as SAM does "
            "all classes, and with SAM, VS is the best loss in both papers (A 46.6, B 51.8 on CIFAR-100-LT)"
        )
    elif not _has_tail(profile):
        parts = "vs_sam"
        reason = (
            "so many classes are as small as the smallest that SSE-SAM finds no tail among them to perturb to the end, "
            "and with SAM, VS is the best loss in both papers (A 46.6, B 51.8 on CIFAR-100-LT)"
        )
    else:
        parts = "vs_ssesam"
        reason = (
            f"the class counts have a long tail (IF {factor:.3g}), and it is the best in paper B's Table 1 on "
            "CIFAR-100-LT (53.5) and on CIFAR-10-LT (85.1, level with la_ssesam)"
        )
    caveat = "that was measured on long-tailed CIFAR from fresh weights: a start, and no promise for other images"
    return Suggestion(get_recipe(f"resnet50_imagefolder_{parts}"), f"{reason}; {caveat}")


def _has_tail(profile: Profile) -> bool:
    """Say whether SSE-SAM's recipe calls any class tail."""
    perturbation = get_recipe("resnet50_imagefolder_vs_ssesam").perturbation
    assert isinstance(perturbation, SSESAM)
    return bool(tail_partition(torch.tensor(profile.train_counts), perturbation.eta).any())


def suggest_options(profile: Profile, recipe: Recipe) -> list[tuple[list[str], str]]:
    """Suggest what to add to train.py's command line, and say why.

    Args:
        profile: what the data set is like.
        recipe: the recipe that is suggested.
    """
    options = []
    if recipe.benchmark == "imagefolder":
        options.append((["--pretrained"], "fetched weights of other images, which the recipe fine-tunes"))
    if profile.contents:
        unreadable = sum(map(len, profile.contents.unreadable.values()))
        if unreadable:
            options.append((["--skip-unreadable", str(unreadable)], "images cannot be read"))
    if recipe.groups != suggest_groups(profile, recipe):
        options.append((["--set", "groups=thirds"], "the groups by count leave one empty"))
    images = sum(profile.train_counts)
    if images < recipe.batch_size:
        words = ["--batch-size", str(_batch_size(images))]
        options.append((words, f"{images} training images do not fill the recipe's batch of {recipe.batch_size}"))
    return options


def suggest_groups(profile: Profile, recipe: Recipe) -> str:
    """Suggest the grouping rule: the recipe's own, but `thirds` where that is `count` and fills fewer groups."""
    filled = {groups.rule for groups in profile.groups if all(groups.classes.values())}
    return "thirds" if recipe.groups == "count" and filled == {"thirds"} else recipe.groups


def _batch_size(images: int) -> int:
    """Give the largest power of two that leaves four steps an epoch, 2 at the least: BatchNorm wants two images."""
    return max(2, 2 ** max(0, (images // 4).bit_length() - 1))
