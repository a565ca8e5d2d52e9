"""`python -m ltzoo list`, `show` and `summarize`: what there is, one recipe whole, and runs over their seeds."""

import argparse
import json
from collections import Counter
from pathlib import Path

from ltzoo.cli.parser import Parser, run, writable
from ltzoo.errors import InputError
from ltzoo.evaluate import markdown_table, seeds_table, summarize_runs
from ltzoo.recipes import CITATIONS, recipe_to_dict, to_yaml
from ltzoo.registry import get_recipe, list_pretrained, list_recipes


def list_main(argv: list[str] | None = None, prog: str = "list") -> int:
    """List recipes; returns the exit code."""
    parser = Parser(prog=prog, description="List recipes, a full name a line.")
    parser.add_argument("filter", nargs="?", default="", help="a wildcard pattern such as '*cifar100lt*'")
    parser.add_argument("--pretrained", action="store_true", help="only those with trained weights, and where they are")
    parser.add_argument("--by-table", action="store_true", help="count them by the papers' tables instead")

    def command(arguments: argparse.Namespace) -> None:
        found = list_pretrained(arguments.filter) if arguments.pretrained else {}
        names = list(found) if arguments.pretrained else list_recipes(arguments.filter)
        if not names:
            kind = "checkpoint" if arguments.pretrained else "recipe"
            matches = f" matches {arguments.filter!r}" if arguments.filter else ""
            raise InputError(f"no {kind}{matches}; python -m ltzoo list shows all recipes")
        if arguments.by_table:
            print(_count_by_table(names))
            return
        width = max(map(len, names))
        print("\n".join(f"{name:<{width}}  {found[name]}" if found else name for name in names))

    return run(parser, command, argv)


def _count_by_table(names: list[str]) -> str:
    """Count recipes by the table that printed a figure for them; a recipe can stand in two."""
    recipes = [get_recipe(name) for name in names]
    cells = Counter((figure.paper, figure.table) for recipe in recipes for figure in recipe.published)
    rows = [[paper, table, str(count)] for (paper, table), count in sorted(cells.items())]
    rows.append(["", "no published figure", str(sum(not recipe.published for recipe in recipes))])
    rows.append(["", "all recipes", str(len(recipes))])
    return markdown_table(["paper", "table", "recipes"], rows)


def show_main(argv: list[str] | None = None, prog: str = "show") -> int:
    """Show a recipe; returns the exit code."""
    parser = Parser(prog=prog, description="Show a whole recipe as YAML, which train.py --recipe FILE takes back.")
    parser.add_argument("name", help="a recipe's name")

    def command(arguments: argparse.Namespace) -> None:
        recipe = get_recipe(arguments.name)
        print(to_yaml(recipe_to_dict(recipe)), end="")
        for key in recipe.source.cites:
            print("\n# " + CITATIONS.get(key, key).replace("\n", "\n# "))

    return run(parser, command, argv)


def summarize_main(argv: list[str] | None = None, prog: str = "summarize") -> int:
    """Summarize runs; returns the exit code."""
    parser = Parser(
        prog=prog, description="Mean and standard deviation over the seeds of finished runs, a row a recipe."
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run folder, OUTPUT/NAME/seedN")
    parser.add_argument("--rule", choices=["last", "best", "paper"], default="last", help="which figures of each run")
    parser.add_argument("--groups", metavar="RULE", help="grouping to show (each protocol's own)")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write the figures")

    def command(arguments: argparse.Namespace) -> None:
        records = summarize_runs(arguments.runs, arguments.rule, arguments.groups)
        print(seeds_table(records))
        if arguments.json:
            arguments.json.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")

    return run(parser, command, argv)
