"""The record of a protocol, and the check that a recipe agrees with its protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ltzoo.data import NATURAL_BENCHMARKS, Augmentation, Sampler, get_benchmark
from ltzoo.data.sampler import EACH_IMAGE_ONCE
from ltzoo.losses import DRW, ClassBalanced, Loss
from ltzoo.recipes.optimization import Optimizer, Schedule
from ltzoo.recipes.parts import FirstStage, Fresh, Head, Input, LinearHead, Start, Trainable
from ltzoo.recipes.protocols.second_stage import SecondStage
from ltzoo.recipes.recipe import PaperRule, Precision, Recipe
from ltzoo.sharpness import NoPerturbation, Perturbation

_FRESH = Fresh()


def data_set_and_profile(benchmark: str) -> tuple[str, str]:
    """Return the names of a benchmark's data set and profile; class counts are not needed.

    Raises:
        InputError: no benchmark has that name.
    """
    if benchmark in NATURAL_BENCHMARKS:
        return benchmark, "natural"
    found = get_benchmark(benchmark)
    return found.data_set.name, found.profile


@dataclass(frozen=True)
class Ours:
    """Recipe fields with values that no paper gives, and the recipes that this applies to.

    Attributes:
        fields: dotted keys of the recipe.
        benchmarks: names of benchmarks; None for all.
        losses: `LOSS[_RULE]` as in a recipe's name, or methods of a second stage; None for all first stages.
        perturbations: perturbations' words without radii; None for all.
    """

    fields: tuple[str, ...]
    benchmarks: tuple[str, ...] | None = None
    losses: tuple[str, ...] | None = None
    perturbations: tuple[str, ...] | None = None

    def applies(self, benchmark: str, loss_and_rule: str, perturbation: str) -> bool:
        """Return whether this applies to a recipe."""
        pairs = ((self.benchmarks, benchmark), (self.losses, loss_and_rule), (self.perturbations, perturbation))
        return all(wanted is None or found in wanted for wanted, found in pairs)


@dataclass(frozen=True)
class Protocol:
    """The settings that several recipes share, usually those of a paper. "Word" means a word in recipe names.

    Attributes:
        name: the name of the protocol, `Recipe.protocol`.
        paper: key of the paper, see `ltzoo.recipes.citations`; `ltzoo` for our own protocols.
        cites: keys of the publications that the protocol itself is based on.
        subset: the rule that chooses the training images.
        groups: profile of the benchmark to grouping rule.
        paper_rule: how the paper selects and measures an epoch.
        optimizer: base optimizer, see `optimizer_of`.
        schedule: epochs and learning rate.
        batch_size: images per step.
        augmentation: how training images are augmented.
        rules: word of a re-weighting rule to the rule.
        losses: data set to word of a loss to the loss.
        heads: word of a loss to its head, if that is not linear.
        perturbations: benchmark to `LOSS[_RULE]` to word of a perturbation to the perturbation with the protocol's
            radii.
        ours: the fields that the paper leaves open.
        input: how images in files are preprocessed.
        optimizers: `BENCHMARK` or `BENCHMARK_LOSS` to its optimizer, if that differs from `optimizer`.
        borrowed: word of a loss or perturbation to the publication of its constants, if they are from another paper.
        second_stages: `METHOD` or `BENCHMARK_METHOD` to the settings of its second stage.
        augmentations: word of a loss to its augmentation, if that differs from `augmentation`.
        views: word of a loss that takes several views of an image to how each is augmented.
        partners: word of a loss that takes mixed views to the sampler of what they are mixed with.
        start: the weights that training starts from.
        trainable: which weights are trained; None for all, with BatchNorm as the perturbation needs it.
        precision: precision of the forward passes.
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
    augmentations: Mapping[str, Augmentation] = field(default_factory=dict)
    views: Mapping[str, tuple[Augmentation, ...]] = field(default_factory=dict)
    partners: Mapping[str, Sampler] = field(default_factory=dict)
    start: Start = _FRESH
    trainable: Trainable | None = None
    precision: Precision = "float32"

    def views_of(self, loss: str) -> tuple[Augmentation, ...]:
        """Look up how the views of an image are augmented for a loss, by its word."""
        return self.views.get(loss, (self.augmentations.get(loss, self.augmentation),))

    def second_stage_of(self, benchmark: str, method: str) -> SecondStage | None:
        """Look up the second stage of a method, such as `crt`, on a benchmark; None if there is none."""
        return self.second_stages.get(f"{benchmark}_{method}", self.second_stages.get(method))

    def optimizer_of(self, benchmark: str, loss: str) -> Optimizer:
        """Look up the base optimizer.

        Args:
            benchmark: the benchmark's name.
            loss: the loss's word; for an unknown loss, the optimizer of the benchmark is returned.
        """
        return self.optimizers.get(f"{benchmark}_{loss}", self.optimizers.get(benchmark, self.optimizer))

    def contradictions(self, recipe: Recipe) -> list[str]:
        """List the fields in which a recipe contradicts its protocol.

        Radii are not compared, since they are part of a recipe's name.
        """
        data_set, profile = data_set_and_profile(recipe.benchmark)
        method = "_".join(recipe.name.split("_")[2:-1])
        stage = self.second_stage_of(recipe.benchmark, method)
        word = self._loss_word(data_set, method, recipe.loss)
        shared = ("subset", "paper_rule", "schedule", "batch_size", "input")
        fixed = {name: getattr(self, name) for name in shared}
        fixed |= {"optimizer": self.optimizer_of(recipe.benchmark, word)}
        if stage is not None:
            first = "_".join(word for word in stage.first if word != "none")
            architecture, benchmark, *_, perturbation = recipe.name.split("_")
            start = FirstStage(f"{architecture}_{benchmark}_{first}_{perturbation}", stage.start_head)
            fixed |= {"views": (self.augmentation,), "start": start, "perturbation": NoPerturbation()}
            fixed |= {"optimizer": self.optimizer_of(recipe.benchmark, stage.first[0])} | stage.settings
        else:
            fixed |= {"sampler": EACH_IMAGE_ONCE, "views": self.views_of(word), "partners": self.partners.get(word)}
            # Where all weights are trained, any start will do.
            fixed |= {} if self.trainable is None else {"start": self.start, "trainable": self.trainable}
        wrong = [name for name, value in fixed.items() if getattr(recipe, name) != value]
        if (stage is None or stage.groups is None) and recipe.groups != self.groups.get(profile, recipe.groups):
            wrong.append("groups")
        if stage is not None:
            return wrong
        rules = {rule.name: rule for rule in self.rules.values()}
        if word:
            if recipe.loss != self.losses[data_set][word]:
                wrong.append("loss")
            if recipe.head != self.heads.get(word, LinearHead()):
                wrong.append("head")
        if recipe.reweighting != rules.get(recipe.reweighting.name, recipe.reweighting):
            wrong.append("reweighting")
        return wrong

    def _loss_word(self, data_set: str, method: str, loss: Loss) -> str:
        """Return the word of a loss: of those with its kind the one that the method begins with; empty for none."""
        words = [word for word, own in self.losses.get(data_set, {}).items() if own.name == loss.name]
        fitting = [word for word in words if f"{method}_".startswith(f"{word}_")]
        return max(fitting, key=len) if fitting else next(iter(words), "")
