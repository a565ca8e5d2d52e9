"""The order in which the zoo is trained: the papers' main tables first."""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from ltzoo.recipes import FirstStage, Recipe
from ltzoo.registry import get_recipe
from ltzoo.train.first_stage import find_first_stage

Job = tuple[Recipe, int]
"""A recipe and a seed."""

_LOSSES = ("vs", "la", "ldam_drw", "ce_drw", "ce")
_PERTURBATIONS = ("ssesam", "sam", "imbsam", "sgd")
_MAIN = ("cifar100lt", "cifar10lt")


def in_order(recipes: Iterable[Recipe], seeds: Sequence[int]) -> list[Job]:
    """Order runs, most important first.

    The fast recipes, which take minutes: CE, LA and VS on CIFAR-100-LT, then on CIFAR-10-LT, then the other losses and
    the second stages; ResNet-32 on the two benchmarks with IF 100, by loss and then by perturbation, then its other
    published rows there; ResNet-34 with IF 100 (Lyu 2025); step imbalance; IF 50; all others. Then the same for the
    next seed.

    Args:
        recipes: the recipes to train.
        seeds: the seeds, in this order.
    """
    ranked = sorted(recipes, key=_rank)
    return [(recipe, seed) for seed in seeds for recipe in ranked]


def first_stage_to_train(job: Job, output: Path, wanted: Collection[Job]) -> Job | None:
    """Return the first stage that must be trained before a job; None where there is none, or its weights exist.

    A published first stage of another seed will do, unless that of the job's own seed is to be trained anyway.

    Args:
        job: a recipe and a seed.
        output: holds run folders.
        wanted: all runs that are to be trained.
    """
    recipe, seed = job
    if not isinstance(recipe.start, FirstStage):
        return None
    first = get_recipe(recipe.start.recipe), seed
    exists = find_first_stage(recipe.start.recipe, output, seed, any_seed=first not in wanted)
    return None if exists else first


def without_repetitions(jobs: list[Job], output: Path, say: Callable[[str], None]) -> list[Job]:
    """Leave out computed heads whose first stage of the same seed is neither there nor to be trained.

    They would be computed from the published first stage of another seed, and equal that seed's.

    Args:
        jobs: in their order.
        output: holds run folders.
        say: called with a line for each that is left out.
    """
    kept = []
    for recipe, seed in jobs:
        first = first_stage_to_train((recipe, seed), output, jobs)
        own = isinstance(recipe.start, FirstStage) and find_first_stage(recipe.start.recipe, output, seed, False)
        if recipe.head.computed and not first and not own:
            say(f"left out: {recipe.name}, seed {seed}: its head is computed, and there is no first stage of that seed")
        else:
            kept.append((recipe, seed))
    return kept


def with_first_stages(jobs: list[Job], output: Path) -> list[Job]:
    """Put each missing first stage before the second stages that need it.

    Args:
        jobs: in their order.
        output: holds run folders.
    """
    ordered: list[Job] = []
    for job in jobs:
        first = first_stage_to_train(job, output, jobs)
        # A first stage can be the second stage of another recipe.
        chain = [*(with_first_stages([first], output) if first else []), job]
        ordered += [one for one in chain if one not in ordered]
    return ordered


def _rank(recipe: Recipe) -> tuple[int, int, int, int]:
    """Return the sort key of a recipe: stage, loss, benchmark, perturbation; equal ones keep the registry's order."""
    words = recipe.name.split("_")  # a custom recipe has at least two
    architecture, benchmark, loss, perturbation = words[0], words[1], "_".join(words[2:-1]), words[-1]
    return (
        _stage(recipe, architecture, benchmark, loss, perturbation),
        _index(_LOSSES, loss),
        _index(_MAIN, benchmark),
        _index(_PERTURBATIONS, perturbation),
    )


def _stage(recipe: Recipe, architecture: str, benchmark: str, loss: str, perturbation: str) -> int:
    if recipe.protocol in ("fast_cifar", "fast_cifar_cutmix", "fast_cifar_long"):
        if isinstance(recipe.start, FirstStage):
            return -1
        return _index(_MAIN, benchmark) - 4 if loss in ("ce", "la", "vs") else -2
    if architecture == "resnet32" and benchmark in _MAIN and loss in _LOSSES and perturbation in _PERTURBATIONS:
        return 0
    if architecture == "resnet32" and benchmark in _MAIN:
        return 1 if recipe.published else 6
    if architecture == "resnet34" and benchmark in _MAIN:
        return 2
    if benchmark.endswith("step"):
        return 3
    if benchmark.endswith("lt50"):
        return 4
    return 5 if recipe.protocol == "digits" else 6


def _index(order: Sequence[str], word: str) -> int:
    return order.index(word) if word in order else len(order)
