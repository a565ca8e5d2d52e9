"""Which recipe to begin with on your own images, and why: a rule that rests on the papers' tables."""

from dataclasses import dataclass

import torch

from ltzoo.data.files.profile import Profile
from ltzoo.recipes import Fresh, Recipe, get_recipe
from ltzoo.sharpness import SSESAM, tail_partition

SHARE = 0.1
"""The share of each class that is suggested to be held out."""

_BALANCED_BELOW = 2.0
_HEAD_FROM = 100
"""Lyu 2025's eta, and the class count from which the rule `count` calls a class head (many-shot)."""


@dataclass(frozen=True)
class Suggestion:
    """A recipe to begin with.

    Attributes:
        recipe: the recipe.
        reason: why this one, and which published figures say so.
    """

    recipe: Recipe
    reason: str


def suggest_recipe(profile: Profile, benchmark: str) -> Suggestion:
    """Suggest a recipe.

    The first case that applies decides:

    1. ImageNet-LT and iNaturalist 2018: `ldam_drw_sam`, the best that Rangwani 2022 trained there (Table 3); Lyu 2025
       has only CE.
    2. IF < 2: `ce_sam`. There is nothing to re-balance, and SAM raised the overall accuracy of plain CE in Table 1 of
       both papers.
    3. n_max < 100: `vs_sam`. Every class is tail by Lyu 2025's eta on CIFAR-100-LT. SSE-SAM perturbs the tail to the
       end of training; to perturb every class to the end is SAM. The same holds where so many classes are as small as
       the smallest that the recipe's partition has no tail: SSE-SAM would end as plain SGD. With SAM, VS has the best
       overall accuracy in Table 1 of both papers, on both CIFARs.
    4. Otherwise `vs_ssesam`: the best overall in Lyu 2025's Table 1 on CIFAR-100-LT, and level with `la_ssesam` on
       CIFAR-10-LT. Its tail accuracy is the best on CIFAR-100-LT; on CIFAR-10-LT it is 0.2 below that of `la_ssesam`
       and 2.9 below `vs_sam`.

    No published figure supports LDAM + DRW on your own images: fine-tuning uses Lyu 2025's LDAM, which that paper
    trains without DRW only, and which is below LA and VS with SAM and with SSE-SAM.

    Args:
        profile: class counts and groups of the images.
        benchmark: the benchmark that the images were opened as.
    """
    if benchmark != "imagefolder":
        recipe = get_recipe(f"resnet50_{benchmark}_ldam_drw_sam")
        return Suggestion(recipe, "it is the best that Rangwani 2022 trained on this benchmark (Table 3)")
    factor = profile.imbalance_factor
    best_with_sam = "with SAM, VS is the best loss in Table 1 of both papers (46.6 and 51.8 on CIFAR-100-LT)"
    if factor < _BALANCED_BELOW:
        parts = "ce_sam"
        reason = (
            f"the classes are nearly balanced (IF {factor:.2g}), so there is nothing to re-balance, and SAM improved "
            "plain cross-entropy in Rangwani 2022 (38.5 to 39.6 on CIFAR-100-LT) and in Lyu 2025 (44.6 to 46.2)"
        )
    elif profile.n_max < _HEAD_FROM:
        parts = "vs_sam"
        reason = (
            f"no class has {_HEAD_FROM} images: SSE-SAM would perturb every class to the end, which is SAM, and "
            f"{best_with_sam}"
        )
    elif not _has_tail(profile):
        parts = "vs_sam"
        reason = (
            "so many classes are as small as the smallest that SSE-SAM finds no tail to perturb to the end, and "
            f"{best_with_sam}"
        )
    else:
        parts = "vs_ssesam"
        reason = (
            f"the class counts have a long tail (IF {factor:.3g}), and it is the best in Table 1 of Lyu 2025 on "
            "CIFAR-100-LT (53.5) and on CIFAR-10-LT (85.1, level with la_ssesam)"
        )
    caveat = "measured on long-tailed CIFAR from fresh weights: a start, and no promise for other images"
    return Suggestion(get_recipe(f"resnet50_imagefolder_{parts}"), f"{reason}; {caveat}")


def _has_tail(profile: Profile) -> bool:
    """Return whether SSE-SAM's recipe has a tail among these classes."""
    perturbation = get_recipe("resnet50_imagefolder_vs_ssesam").perturbation
    assert isinstance(perturbation, SSESAM)
    return bool(tail_partition(torch.tensor(profile.train_counts), perturbation.eta).any())


def suggest_hold_out(profile: Profile, asked: int | float | None) -> list[tuple[list[str], str]]:
    """Suggest what to hold out of training, with the reason; nothing where there is a test split.

    Args:
        profile: says whether there is a test split.
        asked: what the user holds out; None for nothing.
    """
    if asked is not None:
        return [(["--hold-out", str(asked)], "")]
    return [(["--hold-out", str(SHARE)], "there is no test split")] if profile.test_counts is None else []


def suggest_options(profile: Profile, recipe: Recipe) -> list[tuple[list[str], str]]:
    """Suggest options for `ltzoo train`, each with its reason.

    Args:
        profile: class counts, groups and unreadable images.
        recipe: the recipe that is suggested.
    """
    options = []
    if recipe.benchmark == "imagefolder" and isinstance(recipe.start, Fresh):
        options.append((["--pretrained"], "downloads pretrained weights, which the recipe fine-tunes"))
    if profile.contents:
        unreadable = sum(map(len, profile.contents.unreadable.values()))
        if unreadable:
            options.append((["--skip-unreadable", str(unreadable)], "that many images cannot be read"))
    if recipe.groups != suggest_groups(profile, recipe):
        options.append((["--set", "groups=thirds"], "the rule count leaves one group empty"))
    images = sum(profile.train_counts)
    if images < recipe.batch_size:
        words = ["--batch-size", str(_batch_size(images))]
        options.append((words, f"{images} training images do not fill the recipe's batch of {recipe.batch_size}"))
    return options


def suggest_groups(profile: Profile, recipe: Recipe) -> str:
    """Suggest the grouping rule: the recipe's own, or `thirds` where `count` would leave a group empty."""
    filled = {groups.rule for groups in profile.groups if all(groups.classes.values())}
    return "thirds" if recipe.groups == "count" and filled == {"thirds"} else recipe.groups


def _batch_size(images: int) -> int:
    """Return the largest power of two with at least four steps per epoch.

    BatchNorm needs two images in a batch, so it is 2 or more; and 4 or more for an odd number of images, since a single
    image that is left over is added only to a batch of at least four.
    """
    return max(4 if images % 2 else 2, 2 ** max(0, (images // 4).bit_length() - 1))
