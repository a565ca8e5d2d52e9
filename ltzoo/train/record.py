"""The record of a run that its files contain: what was trained, on which images, and how it was computed."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import accelerate
import numpy as np
import timm
import torch

from ltzoo.data import HOLD_OUT, Benchmark, Subset
from ltzoo.errors import counted
from ltzoo.recipes import Recipe, differences, recipe_to_dict
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.versions import NAME, VERSION


@dataclass(frozen=True)
class RunSettings:
    """How a run is computed.

    Attributes:
        seed: seed of initial weights, order and augmentation.
        how: device, processes, threads, memory format and other settings that affect rounding; the device also affects
            the drawn noise.
        machine: product name of the device.
        side_by_side: number of runs that take turns on the device.
        overrides: how the images differ from those of the recipe, see `RunImages`.
    """

    seed: int
    how: Mapping[str, Any]
    machine: str
    side_by_side: int = 1
    overrides: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class FailedCapture:
    """A capture that failed, after which a run goes on eagerly.

    Attributes:
        epoch: the first epoch with eager steps, from 1; earlier ones were captured.
        reason: torch's error.
        step: its first eager step, from 1; the steps before it, of a state within the epoch, were captured.
    """

    epoch: int
    reason: str
    step: int = 1

    @classmethod
    def of(cls, recorded: Mapping[str, Any]) -> "FailedCapture | None":
        """Read it from how a run was recorded to compute, see `RunFolder.recorded`; None if there is none."""
        found = recorded.get("capture_failed")
        if not (isinstance(found, Mapping) and isinstance(found.get("epoch"), int)):
            return None
        step = found.get("step", 1)
        return cls(found["epoch"], str(found.get("reason")), step if isinstance(step, int) else 1)

    def recorded(self) -> dict[str, Any]:
        """Return what `RunSettings.how` has of it."""
        step = {"step": self.step} if self.step > 1 else {}
        return {"capture": False, "capture_failed": {"epoch": self.epoch, "reason": self.reason} | step}

    def __str__(self) -> str:
        return f"a capture failed in epoch {self.epoch}: {self.reason}"


@dataclass(frozen=True)
class RunRecord:
    """The record of a run.

    Attributes:
        recipe: what was trained.
        benchmark: class counts and class names.
        overrides: how it differs from the registered recipe of the same name: dotted key to [registered, used];
            includes `hold_out` if the figures are of images held out of the training split.
        subset: the training images.
        run: how it was computed.
        versions: versions of the packages.
    """

    recipe: Recipe
    benchmark: Benchmark
    overrides: Mapping[str, list[Any]]
    subset: Subset
    run: RunSettings
    versions: Mapping[str, str]

    @property
    def how(self) -> Mapping[str, Any]:
        """See `RunSettings.how`."""
        return self.run.how

    @property
    def title(self) -> str:
        """Title of the plots: name, seed, and whether there are overrides."""
        return f"{self.recipe.name}, seed {self.run.seed}{', with overrides' if self.overrides else ''}"

    @property
    def held_out(self) -> bool:
        """Whether its figures are of held-out images instead of the test set."""
        return HOLD_OUT in self.overrides

    def with_how(self, added: Mapping[str, Any]) -> "RunRecord":
        """Return the record with more of how the run is computed."""
        return replace(self, run=replace(self.run, how={**self.how, **added}))

    def document(self) -> dict[str, Any]:
        """Return the content of `recipe.yaml`."""
        run = {**self.origin(), **self.computed(), "versions": dict(self.versions)}
        return recipe_to_dict(self.recipe) | {"overrides": dict(self.overrides), "run": run}

    def computed(self) -> dict[str, Any]:
        """Return how and on which machine the run computes."""
        return {**self.how, "machine": self.run.machine, "side_by_side": self.run.side_by_side}

    def origin(self) -> dict[str, Any]:
        """Return the seed and the hash of the training images."""
        return {"seed": self.run.seed, "subset_layout": self.subset.layout, "subset_sha256": self.subset.sha256}

    def in_words(self) -> str:
        """Describe in one line how the run computes."""
        threads, processes = self.how["threads"], self.how["processes"]
        formats = [
            self.recipe.precision,
            *(["channels-last"] if self.how["channels_last"] else []),
            *([f"compiled by {self.how['torchcompile']}"] if self.how["torchcompile"] else []),
            *(["each step as one graph"] if self.how["capture"] else []),
            *([counted(threads, "thread")] if threads else []),
            *([f"{processes} processes"] if processes > 1 else []),
        ]
        changed = f", overridden: {', '.join(self.overrides)}" if self.overrides else ""
        epochs = self.recipe.schedule.epochs
        work = counted(epochs, "epoch") if epochs else "the head is computed"
        return f"{work} on {self.how['device']}, {', '.join(formats)}{changed}"


def make_record(recipe: Recipe, benchmark: Benchmark, subset: Subset, run: RunSettings) -> RunRecord:
    """Make the record of a run before it begins.

    Args:
        recipe: the recipe to train.
        benchmark: its benchmark, with class counts.
        subset: the training images.
        run: how it is computed.
    """
    registered = recipe.name in list_recipes()
    versions = {
        NAME: VERSION,
        "torch": str(torch.__version__),
        "timm": timm.__version__,
        "accelerate": accelerate.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    overrides = differences(recipe, get_recipe(recipe.name)) if registered else {}
    return RunRecord(recipe, benchmark, overrides | dict(run.overrides), subset, run, versions)
