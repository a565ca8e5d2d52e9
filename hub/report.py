"""Turn results/ into tables, plots and the leaderboard page. A second run changes nothing.

`python hub/report.py [--check]`: README.md, docs/reproduction.md, docs/rebalancing.md, docs/fast.md,
docs/references.md, docs/index.html, docs/images/, results/results-*.csv.
"""

import argparse
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from folders import RESULTS, ZOO
from ltzoo.atomic_write import write_text
from ltzoo.cli.parser import Parser, run
from ltzoo.errors import InputError, first_few
from ltzoo.reading.errors import ContentError
from ltzoo.reading.yaml_text import read_yaml
from ltzoo.registry import get_recipe, list_recipes
from ltzoo.report import (
    ModelResults,
    available_plots,
    benchmark_table,
    contradictions,
    count_text,
    csv_text,
    fresh_and_pretrained,
    grid_tables,
    group_by_benchmark,
    group_by_model,
    leaderboard_data,
    leaderboard_page,
    measured_text,
    paper_tables,
    read_results,
    rebalancing_tables,
    references_table,
    table_text,
    tau_norm_sentence,
    under_first_stages,
    zoo_path,
)

ROOT = Path(__file__).parents[1]
SHOWN = 3
"""Number of models per benchmark in README.md."""

NOTES = "notes.yaml"
"""A file beside the results: name of a recipe to a remark on why its figures differ from the published ones."""


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="report.py", description="Turn results into tables, plots and the leaderboard page.")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where results are kept (results)")
    parser.add_argument("--zoo", type=Path, default=ZOO, metavar="DIR", help="where checkpoints are kept (hub/zoo)")
    parser.add_argument(
        "--root", type=Path, default=ROOT, metavar="DIR", help="holds README.md and docs/ (the checkout)"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if something is out of date")
    return parser


def command(arguments: argparse.Namespace) -> int:
    """Write everything, or with `--check` compare every text with the file."""
    if not arguments.zoo.is_dir():
        raise InputError(f"{arguments.zoo} is not a folder; name that of the checkpoints with --zoo")
    results = read_results(arguments.results)
    if not results:
        raise InputError(f"{arguments.results} holds no result; hub/build.py or hub/collect.py writes some")
    zoo = zoo_path(arguments.zoo, arguments.results)
    wrong = contradictions(results, arguments.zoo, zoo)
    if wrong:
        named = [f"{name}: {fault}" for name, fault in wrong.items()]
        more = f"; {len(named) - 3} more" if len(named) > 3 else ""
        raise InputError(f"{'; '.join(named[:3])}{more}")
    # Weights that are kept elsewhere cannot be loaded by the recipe's name.
    found = group_by_model(each if each.weights == zoo else replace(each, weights=None) for each in results)
    texts = compose(found, _read_notes(arguments.results / NOTES, found), arguments.root, arguments.results)
    images, plots = arguments.root / "docs" / "images", available_plots(found)
    drawn = [path for kind in ("cost", "epochs", "radius") for path in sorted(images.glob(f"{kind}_*.png"))]
    stray = [path for path in sorted(arguments.results.glob("results-*.csv")) if path not in texts]
    stray += [path for path in drawn if path.name not in plots]
    if arguments.check:
        stale = [path for path, text in texts.items() if not path.is_file() or path.read_text("utf-8") != text]
        stale += [images / name for name in plots if not (images / name).is_file()]
        for path in [*stale, *stray]:
            print(f"{path} is out of date; run hub/report.py")
        return int(bool(stale or stray))
    for path in stray:
        path.unlink()
    images.mkdir(exist_ok=True)
    for path, text in texts.items():
        write_text(path, text)
    for name, draw in plots.items():
        draw(images / name)
    print(f"{len(results)} results of {len(found)} models: {len(texts)} texts and {len(plots)} plots written")
    return 0


def compose(found: Mapping[str, ModelResults], notes: Mapping[str, str], root: Path, results: Path) -> dict[Path, str]:
    """Compose all texts.

    Args:
        found: the results by `Result.key`.
        notes: remarks by the same keys.
        root: the folder with README.md and docs/.
        results: the folder of all results.

    Returns:
        File to its text.

    Raises:
        InputError: a document lacks the lines that mark the place of a table.
    """
    recipes = [get_recipe(name) for name in list_recipes()]
    tables = paper_tables(recipes, found)
    benchmarks = group_by_benchmark(found)
    of_papers = [f"### {table.title}\n\n{table_text(table, found, notes)}" for table in tables]
    of_benchmarks = [f"### {name}\n\n{_tables(members, found)}" for name, members in benchmarks.items()]
    kept = {
        name: [s for s in fresh_and_pretrained(members)[0] if any(r.weights for r in s.results)]
        for name, members in benchmarks.items()
    }
    shown = [f"{name}:\n\n{benchmark_table(members[:SHOWN], found)}" for name, members in kept.items() if members]
    first_page = [measured_text(tables), tau_norm_sentence(recipes, found), *shown]
    page = leaderboard_page(leaderboard_data(recipes, found, notes))
    reproduction, readme = root / "docs" / "reproduction.md", root / "README.md"
    rebalancing, fast = root / "docs" / "rebalancing.md", root / "docs" / "fast.md"
    references = root / "docs" / "references.md"
    grid = grid_tables(recipes, found, ("fast_cifar", "fast_cifar_long"))
    text = _filled(
        reproduction.read_text("utf-8"), "counts", f"{measured_text(tables)}\n\n{count_text(tables)}", reproduction
    )
    text = _filled(text, "benchmarks", "\n\n".join(of_benchmarks), reproduction)
    images = [f"![{name.removesuffix('.png').replace('_', ' ')}](images/{name})" for name in available_plots(found)]
    text = _filled(text, "pictures", "\n".join(images), reproduction)
    text = _filled(text, "papers", "\n\n".join(of_papers), reproduction)
    return {
        reproduction: text,
        readme: _filled(readme.read_text("utf-8"), "zoo", "\n\n".join(filter(None, first_page)), readme),
        rebalancing: _filled(rebalancing.read_text("utf-8"), "second stages", rebalancing_tables(found), rebalancing),
        fast: _filled(fast.read_text("utf-8"), "grid", grid, fast),
        references: _filled(references.read_text("utf-8"), "works", references_table(), references),
        root / "docs" / "index.html": page,
        **{results / f"results-{name}.csv": csv_text(members) for name, members in benchmarks.items()},
    }


def _tables(members: Sequence[ModelResults], found: Mapping[str, ModelResults]) -> str:
    """Format a benchmark's results; those that began with pretrained weights stand in a table of their own."""
    fresh, pretrained = fresh_and_pretrained(members)
    tables = [benchmark_table(under_first_stages(fresh), found)] if fresh else []
    if pretrained:
        said = "From weights pretrained on other images, not comparable with results from fresh weights:"
        tables.append(f"{said}\n\n{benchmark_table(under_first_stages(pretrained), found)}")
    return "\n\n".join(tables)


def _filled(text: str, name: str, content: str, path: Path) -> str:
    """Replace the text between the two marker lines of a table."""
    begin, end = f"<!-- report: {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise InputError(f"{path} must have the lines {begin} and {end} once, around a table")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def _read_notes(path: Path, found: Collection[str]) -> dict[str, str]:
    """Read the remarks on why figures differ."""
    if not path.is_file():
        return {}
    try:
        notes = read_yaml(path) or {}
        stray = [str(name) for name in notes if name not in found]
        read = {name: " ".join(text.split()) for name, text in notes.items()}
    except (ContentError, AttributeError, TypeError) as error:
        raise InputError(f"{path} must be YAML that maps names of models to texts") from error
    if stray:
        raise InputError(f"{path} has notes on {first_few(stray)}, which have no result; remove them")
    return read


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
