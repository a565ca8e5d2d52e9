"""`ltzoo show`: one recipe with all its settings, as YAML that training reads back."""

import argparse

from ltzoo.cli.parser import Parser, run
from ltzoo.recipes import CITATIONS, Recipe, get_recipe, recipe_to_dict, to_yaml
from ltzoo.recipes.cost import passes_text

_SECTIONS = {
    "": ("name", "architecture", "benchmark"),
    "the method": (
        "start",
        "trainable",
        "head",
        "sampler",
        "views",
        "partners",
        "loss",
        "reweighting",
        "perturbation",
    ),
    "how it is trained": (),
    "how accuracy is reported: head (many-shot), mid (medium-shot) and tail (few-shot)": ("groups", "paper_rule"),
    "where it comes from": ("protocol", "source", "published"),
}
"""Heading of each section and the fields in it; every other field is in `how it is trained`."""


def build_parser(prog: str) -> Parser:
    """Make the parser."""
    parser = Parser(
        prog=prog,
        description="Print a recipe with all its settings as YAML, its cost, and the works it cites as BibTeX. Saved "
        "as a file, train --recipe FILE reads it back.",
        examples=["ltzoo show resnet32_cifar100lt_vs_ssesam", "ltzoo show resnet20_digitslt_ce_sam > mine.yaml"],
    )
    parser.add_argument("name", help="name of a recipe")
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Print the recipe, its cost and its citations."""
    recipe = get_recipe(arguments.name)
    print(describe(recipe))
    print(f"\n# cost: {_cost(recipe)}")
    for key in recipe.source.cites:
        print("\n# " + CITATIONS.get(key, key).replace("\n", "\n# "))


def _cost(recipe: Recipe) -> str:
    from ltzoo.recipes.model import count_parameters  # timm takes a second to import

    parameters = count_parameters(recipe)
    size = "" if parameters is None else f"{parameters:,} parameters; "
    return f"{size}{passes_text(recipe)} (forward passes of the network for an image in an epoch, times epochs)"


def describe(recipe: Recipe) -> str:
    """Write a recipe as YAML in sections with headings; it is read back by `read_recipe`."""
    document = recipe_to_dict(recipe)
    named = {field for fields in _SECTIONS.values() for field in fields}
    sections = []
    for heading, fields in _SECTIONS.items():
        shown = fields or [field for field in document if field not in named]
        text = to_yaml({field: document[field] for field in shown})
        sections.append((f"# {heading}\n" if heading else "") + text.rstrip("\n"))
    return "\n\n".join(sections)


def main(argv: list[str] | None = None, prog: str = "ltzoo show") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
