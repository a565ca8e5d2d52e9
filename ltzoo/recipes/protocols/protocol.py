"""What a protocol is, and how a recipe can contradict the one that it names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ltzoo.data import NATURAL_BENCHMARKS, Augmentation, Sampler, get_benchmark
from ltzoo.losses import DRW, ClassBalanced, Loss
from ltzoo.recipes.parts import FirstStage, Head, Input, LinearHead, Optimizer, Schedule, Trainable
from ltzoo.recipes.recipe import PaperRule, Recipe
from ltzoo.sharpness import Perturbation


def data_set_and_profile(benchmark: str) -> tuple[str, str]:
    """Name a benchmark's data set and its profile, which need no class counts.

    Raises:
        InputError: no benchmark has that name.
    """
    if benchmark in NATURAL_BENCHMARKS:
        return benchmark, "natural"
    found = get_benchmark(benchmark)
    return found.data_set.name, found.profile


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
class SecondStage:
    """A method that trains on from the run of another recipe, without a perturbation of its own.

    Attributes:
        first: the first stage's loss and rule, as in a recipe's name: `("ce", "none")`.
        start_head: whether the first stage's classifier is `kept`, or the classifier is `fresh`.
        trainable: which weights move, and what BatchNorm does.
        head: how features become logits.
        sampler: which images make an epoch.
        loss: the second stage's.
        optimizer: the second stage's.
        schedule: the second stage's.
    """

    first: tuple[str, str]
    start_head: Literal["kept", "fresh"]
    trainable: Trainable
    head: Head
    sampler: Sampler
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a recipe that a second stage fixes."""
        names = ("trainable", "head", "sampler", "loss", "optimizer", "schedule")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Protocol:
    """What a family of recipes shares.

    Attributes:
        name: as recipes print it.
        paper: key of the paper, see `ltzoo.recipes.citations`; `ltzoo` where the protocol is our own.
        cites: keys of the works that the protocol itself rests on.
        subset: rule that chooses the training images.
        groups: profile of the benchmark to the rule of the reporting groups.
        paper_rule: the paper's way to select and measure.
        optimizer: base optimizer, see `optimizer_of`.
        schedule: epochs and learning rate.
        batch_size: images a step.
        augmentation: crop, flip and the like.
        rules: re-weighting by its word in a recipe's name.
        losses: data set to loss word to loss.
        heads: loss word to head, where it is not linear.
        perturbations: benchmark to `LOSS[_RULE]` to perturbation word to perturbation, with the protocol's own radii.
        ours: what the paper leaves open.
        input: how images reach the model where they lie in files.
        optimizers: `BENCHMARK` or `BENCHMARK_LOSS` to its optimizer, where that is another one.
        borrowed: word of a loss or perturbation to the work that its constants come from, where that is another paper.
        second_stages: method's word to what its second stage does.
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
    heads: Mapping[str, Head]
    perturbations: Mapping[str, Mapping[str, Mapping[str, Perturbation]]]
    ours: tuple[Ours, ...]
    input: Input | None = None
    optimizers: Mapping[str, Optimizer] = field(default_factory=dict)
    borrowed: Mapping[str, str] = field(default_factory=dict)
    second_stages: Mapping[str, SecondStage] = field(default_factory=dict)

    def optimizer_of(self, benchmark: str, loss: str) -> Optimizer:
        """Look the base optimizer up.

        Args:
            benchmark: the benchmark's name.
            loss: the loss's word in a recipe's name; that of a loss that the protocol lacks takes the benchmark's own.
        """
        return self.optimizers.get(f"{benchmark}_{loss}", self.optimizers.get(benchmark, self.optimizer))

    def contradictions(self, recipe: Recipe) -> list[str]:
        """Name the fields in which a recipe differs from what its protocol fixes.

        Radii are left out: they are part of a recipe's name.
        """
        data_set, profile = data_set_and_profile(recipe.benchmark)
        words = {loss.name: word for word, loss in self.losses.get(data_set, {}).items()}
        word = words.get(recipe.loss.name, "")
        shared = ("subset", "paper_rule", "optimizer", "schedule", "batch_size", "augmentation", "input")
        fixed = {name: getattr(self, name) for name in shared}
        fixed |= {"optimizer": self.optimizer_of(recipe.benchmark, word)}
        method = "_".join(recipe.name.split("_")[2:-1])
        if isinstance(recipe.start, FirstStage) and method in self.second_stages:
            fixed |= self.second_stages[method].fields
        wrong = [name for name, value in fixed.items() if getattr(recipe, name) != value]
        if recipe.groups != self.groups.get(profile, recipe.groups):
            wrong.append("groups")
        rules = {rule.name: rule for rule in self.rules.values()}
        if word:
            if recipe.loss != self.losses[data_set][word]:
                wrong.append("loss")
            if recipe.head != self.heads.get(word, LinearHead()):
                wrong.append("head")
        if recipe.reweighting != rules.get(recipe.reweighting.name, recipe.reweighting):
            wrong.append("reweighting")
        return wrong
