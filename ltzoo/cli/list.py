"""`ltzoo list`: the names of recipes, of those with trained weights, or how many stand in each table."""

import argparse
from collections import Counter

from ltzoo.cli.parser import Parser, run
from ltzoo.errors import InputError
from ltzoo.recipes import get_recipe, list_recipes


def build_parser(prog: str) -> Parser:
    """Make the parser."""
    parser = Parser(
        prog=prog,
        description="List the names of recipes, one per line.",
        examples=["ltzoo list '*cifar100lt*'", "ltzoo list --pretrained"],
    )
    parser.add_argument("filter", nargs="?", default="", help="a wildcard pattern such as '*cifar100lt*'")
    parser.add_argument(
        "--pretrained", action="store_true", help="only names with trained weights, each with where they are"
    )
    parser.add_argument("--by-table", action="store_true", help="count recipes by the papers' tables instead")
    return parser


def command(arguments: argparse.Namespace) -> None:
    """Print the names."""
    places = _pretrained(arguments.filter) if arguments.pretrained else {}
    names = list(places) if arguments.pretrained else list_recipes(arguments.filter)
    if not names:
        kind = "checkpoint" if arguments.pretrained else "recipe"
        matches = f" matches {arguments.filter!r}" if arguments.filter else ""
        raise InputError(f"no {kind}{matches}; ltzoo list shows all recipes")
    if arguments.by_table:
        print(_count_by_table(names))
        return
    width = max(map(len, names))
    print("\n".join(f"{name:<{width}}  {places[name]}" if places else name for name in names))


def _pretrained(filter: str) -> dict[str, str]:
    from ltzoo.registry import list_pretrained

    return list_pretrained(filter)


def _count_by_table(names: list[str]) -> str:
    """Count recipes by the table that published a figure for them; one recipe can stand in several."""
    from ltzoo.evaluate import markdown_table

    recipes = [get_recipe(name) for name in names]
    cells = Counter((figure.paper, figure.table) for recipe in recipes for figure in recipe.published)
    rows = [[paper, table, str(count)] for (paper, table), count in sorted(cells.items())]
    rows.append(["", "no published figure", str(sum(not recipe.published for recipe in recipes))])
    rows.append(["", "all recipes", str(len(recipes))])
    return markdown_table(["paper", "table", "recipes"], rows)


def main(argv: list[str] | None = None, prog: str = "ltzoo list") -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(prog), command, argv)
