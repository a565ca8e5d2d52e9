"""Count the operations of recipes' trainings: `python benchmarks/operations.py NAME ... [--epochs N]`.

torch counts the floating-point operations of matrix products and convolutions in one step of each stage of a recipe,
forward, backward and in the optimizer; a multiply-add is two. They are extrapolated to all images of all epochs.
Normalisation, activations, evaluation and the first stage of a second stage are not counted. Nothing is timed, so the
count is the same on every machine.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from ltzoo.cli.parser import Parser, run
from ltzoo.cli.recipe_options import add_field_options, add_precision_options, requested_recipe
from ltzoo.errors import InputError
from ltzoo.evaluate import markdown_table
from ltzoo.recipes import Recipe
from ltzoo.recipes.model import build_model
from ltzoo.train.device import make_accelerator
from ltzoo.train.head import put_head
from ltzoo.train.step import Step


def operations(recipe: Recipe) -> tuple[float, int]:
    """Count the operations of a recipe's training on a benchmark in memory.

    Args:
        recipe: the recipe.

    Returns:
        The operations, and the number of parameters of the model.
    """
    counts, data_set = recipe.data.class_counts, recipe.data.data_set
    model = build_model(recipe, data_set=data_set)
    put_head(model, recipe.head)
    step = Step(recipe, counts, model, make_accelerator("float32", (), Path()), 0, None)
    epochs = recipe.schedule.epochs
    structures = [recipe.perturbation.table(counts, epoch, epochs).structure for epoch in range(epochs)]
    images = torch.zeros(recipe.batch_size, data_set.channels, data_set.image_size, data_set.image_size)
    # From head to tail, so that every group has images.
    targets = torch.linspace(0, data_set.num_classes - 1, recipe.batch_size).long()
    drawn = recipe.sampler.length(sum(counts), recipe.batch_size)
    total = 0.0
    for structure, times in Counter(structures).items():
        step.begin(structures.index(structure))
        with FlopCounterMode(display=False) as counter:
            step(images, targets)
        total += times * counter.get_total_flops() / recipe.batch_size * drawn
    return total, sum(parameter.numel() for parameter in model.parameters())


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="benchmarks/operations.py", description="Count the operations of recipes' trainings.")
    parser.add_argument("recipes", nargs="+", metavar="NAME", help="recipes on CIFAR or the digits")
    add_precision_options(add_field_options(parser))
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Count and print."""
    recipes = [requested_recipe(name, arguments) for name in arguments.recipes]
    computed = [recipe.name for recipe in recipes if recipe.head.computed]
    if computed:
        raise InputError(f"{computed[0]} takes no training steps: its head is computed; leave it out")
    natural = [recipe.name for recipe in recipes if recipe.natural]
    if natural:
        raise InputError(f"the number of images of {natural[0]} is known only from its files; see benchmarks/large.py")
    rows = []
    for recipe in recipes:
        total, parameters = operations(recipe)
        rows.append([f"`{recipe.name}`", f"{parameters:,}", str(recipe.schedule.epochs), f"{total:.3g}"])
    print(markdown_table(["recipe", "parameters", "epochs", "operations"], rows))


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
