"""What a protocol is, and how a recipe can contradict the one that it names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ltzoo.data import Augmentation
from ltzoo.losses import DRW, ClassBalanced, Loss
from ltzoo.recipes.recipe import Optimizer, PaperRule, Recipe, Schedule
from ltzoo.sharpness import Perturbation


@dataclass(frozen=True)
class Ours:
    """Recipe fields whose value no paper gives, and the recipes for which that is so.

    Attributes:
        fields: dotted keys of the recipe.
        benchmarks: names of benchmarks; None for all.
        losses: `LOSS[_RULE]` as in a recipe's name; None for all.
        perturbations: words without radii; None for all.
    """

    fields: tuple[str, ...]
    benchmarks: tuple[str, ...] | None = None
    losses: tuple[str, ...] | None = None
    perturbations: tuple[str, ...] | None = None

    def applies(self, benchmark: str, loss_and_rule: str, perturbation: str) -> bool:
        """Say whether a recipe is one of them."""
        pairs = ((self.benchmarks, benchmark), (self.losses, loss_and_rule), (self.perturbations, perturbation))
        return all(wanted is None or found in wanted for wanted, found in pairs)


@dataclass(frozen=True)
class Protocol:
    """What a family of recipes shares.

    Attributes:
        name: as recipes print it.
        paper: `A`, `B`, or `ltzoo` where the protocol is our own.
        cites: keys of the works that the protocol itself rests on.
        subset: rule that chooses the training images.
        groups: profile of the benchmark to the rule of the reporting groups.
        paper_rule: the paper's way to select and measure.
        optimizer: base optimizer.
        schedule: epochs and learning rate.
        batch_size: images a step.
        augmentation: crop and flip.
        rules: re-weighting by its word in a recipe's name.
        losses: data set to loss word to loss.
        classifiers: loss word to classifier, where it is not linear.
        perturbations: benchmark to `LOSS[_RULE]` to perturbation word to perturbation, with the protocol's own radii.
        ours: what the paper leaves open.
    """

    name: str
    paper: str
    cites: tuple[str, ...]
    subset: str
    groups: Mapping[str, str]
    paper_rule: PaperRule | None
    optimizer: Optimizer
    schedule: Schedule
    batch_size: int
    augmentation: Augmentation
    rules: Mapping[str, DRW | ClassBalanced]
    losses: Mapping[str, Mapping[str, Loss]]
    classifiers: Mapping[str, Literal["linear", "cosine"]]
    perturbations: Mapping[str, Mapping[str, Mapping[str, Perturbation]]]
    ours: tuple[Ours, ...]

    def contradictions(self, recipe: Recipe) -> list[str]:
        """Name the fields in which a recipe differs from what its protocol fixes.

        Radii are left out: they are part of a recipe's name.
        """
        shared = ("subset", "paper_rule", "optimizer", "schedule", "batch_size", "augmentation")
        wrong = [field for field in shared if getattr(recipe, field) != getattr(self, field)]
        if recipe.groups != self.groups.get(recipe.data.profile, recipe.groups):
            wrong.append("groups")
        words = {loss.name: word for word, loss in self.losses.get(recipe.data.data_set.name, {}).items()}
        rules = {rule.name: rule for rule in self.rules.values()}
        if recipe.loss.name in words:
            word = words[recipe.loss.name]
            if recipe.loss != self.losses[recipe.data.data_set.name][word]:
                wrong.append("loss")
            if recipe.classifier != self.classifiers.get(word, "linear"):
                wrong.append("classifier")
        if recipe.reweighting != rules.get(recipe.reweighting.name, recipe.reweighting):
            wrong.append("reweighting")
        return wrong
