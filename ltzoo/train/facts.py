"""What a run's files record of it: what was trained, on what, and how it was computed."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import accelerate
import numpy as np
import timm
import torch

import ltzoo
from ltzoo.data import HOLD_OUT, Benchmark, Subset
from ltzoo.recipes import Recipe, differences, recipe_to_dict
from ltzoo.registry import get_recipe, list_recipes


@dataclass(frozen=True)
class RunFacts:
    """The record of a run.

    Attributes:
        recipe: what was trained.
        benchmark: the class counts that it was trained with, and what the labels mean.
        overrides: where it differs from the registered recipe of its name: dotted key to [registered, used]; `hold_out`
            where figures are of images held out of the training split.
        seed: of weights, order and augmentation.
        subset: the training images.
        how: device, processes, threads, memory format and the like: they change rounding, and the device the draws of
            noise.
        machine: what the device's maker calls it.
        side_by_side: runs that share the device, and the seconds that each counts.
        versions: of the packages that compute.
    """

    recipe: Recipe
    benchmark: Benchmark
    overrides: Mapping[str, list[Any]]
    seed: int
    subset: Subset
    how: Mapping[str, Any]
    machine: str
    side_by_side: int
    versions: Mapping[str, str]

    @property
    def title(self) -> str:
        """Head a picture: name, seed, and whether fields were overridden."""
        return f"{self.recipe.name}, seed {self.seed}{', with overrides' if self.overrides else ''}"

    @property
    def held_out(self) -> bool:
        """Whether its figures are of held-out images and not of the test set."""
        return HOLD_OUT in self.overrides

    def document(self) -> dict[str, Any]:
        """Write `recipe.yaml`."""
        run = {**self.origin(), **self.computed(), "versions": dict(self.versions)}
        return recipe_to_dict(self.recipe) | {"overrides": dict(self.overrides), "run": run}

    def computed(self) -> dict[str, Any]:
        """Say how and on what the run computes."""
        return {**self.how, "machine": self.machine, "side_by_side": self.side_by_side}

    def origin(self) -> dict[str, Any]:
        """Say which of the recipe's runs this is, and on which images."""
        return {"seed": self.seed, "subset_layout": self.subset.layout, "subset_sha256": self.subset.sha256}

    def in_words(self) -> str:
        """Say in a line how the run computes."""
        threads, processes = self.how["threads"], self.how["processes"]
        formats = [
            self.recipe.precision,
            *(["channels-last"] if self.how["channels_last"] else []),
            *([f"compiled by {self.how['torchcompile']}"] if self.how["torchcompile"] else []),
            *(["each step as one graph"] if self.how["capture"] else []),
            *([f"{threads} thread{'s' if threads > 1 else ''}"] if threads else []),
            *([f"{processes} processes"] if processes > 1 else []),
        ]
        changed = f", overridden: {', '.join(self.overrides)}" if self.overrides else ""
        return f"{self.recipe.schedule.epochs} epochs on {self.how['device']}, {', '.join(formats)}{changed}"


def gather_facts(
    recipe: Recipe,
    benchmark: Benchmark,
    seed: int,
    subset: Subset,
    how: Mapping[str, Any],
    machine: str,
    side_by_side: int = 1,
    of_images: Mapping[str, list[Any]] | None = None,
) -> RunFacts:
    """Gather the record of a run before it begins.

    Args:
        recipe: what is trained.
        benchmark: the opened benchmark.
        seed: of weights, order and augmentation.
        subset: the training images.
        how: device, threads, memory format and the like.
        machine: the device's name.
        side_by_side: runs that share the device.
        of_images: overrides that lie in which images are trained on and measured, see `RunImages`.
    """
    registered = recipe.name in list_recipes()
    versions = {
        "ltzoo": ltzoo.__version__,
        "torch": str(torch.__version__),
        "timm": timm.__version__,
        "accelerate": accelerate.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    overrides = differences(recipe, get_recipe(recipe.name)) if registered else {}
    overrides |= of_images or {}
    return RunFacts(recipe, benchmark, overrides, seed, subset, how, machine, side_by_side, versions)
