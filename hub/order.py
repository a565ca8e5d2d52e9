"""The order in which the zoo is trained: what readers of the papers look for first."""

from collections.abc import Iterable, Sequence

from ltzoo.recipes import Recipe

Job = tuple[Recipe, int]
"""A recipe and a seed."""

_LOSSES = ("vs", "la", "ldam_drw", "ce_drw", "ce")
_PERTURBATIONS = ("ssesam", "sam", "imbsam", "sgd")
_MAIN = ("cifar100lt", "cifar10lt")


def in_order(recipes: Iterable[Recipe], seeds: Sequence[int]) -> list[Job]:
    """Order runs, most important first.

    ResNet-32 on the two benchmarks with IF 100, by loss and then by perturbation; paper A's other rows; ResNet-34 with
    IF 100 (paper B); step imbalance; IF 50; all others. Only then the next seed.

    Args:
        recipes: what is trained.
        seeds: in their order.
    """
    ranked = sorted(recipes, key=_rank)
    return [(recipe, seed) for seed in seeds for recipe in ranked]


def _rank(recipe: Recipe) -> tuple[int, int, int, int]:
    """Give a recipe's place: stage, loss, benchmark, perturbation; equal ones keep their order in the registry."""
    words = recipe.name.split("_")  # two at least, of a recipe of somebody's own
    architecture, benchmark, loss, perturbation = words[0], words[1], "_".join(words[2:-1]), words[-1]
    return (
        _stage(recipe, architecture, benchmark, loss, perturbation),
        _place(_LOSSES, loss),
        _place(_MAIN, benchmark),
        _place(_PERTURBATIONS, perturbation),
    )


def _stage(recipe: Recipe, architecture: str, benchmark: str, loss: str, perturbation: str) -> int:
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


def _place(order: Sequence[str], word: str) -> int:
    return order.index(word) if word in order else len(order)
