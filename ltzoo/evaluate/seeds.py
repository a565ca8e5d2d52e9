"""Mean and standard deviation over seeds, of single values and of the runs of each recipe."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ltzoo.errors import InputError
from ltzoo.evaluate.figures import Figures
from ltzoo.evaluate.tables import markdown_table
from ltzoo.reading.json_text import read_json


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of one value over several runs.

    Attributes:
        mean: the mean.
        std: the sample standard deviation; None for a single run.
    """

    mean: float
    std: float | None

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.std is None else f"{self.mean:.1f} ± {self.std:.1f}"


def spread(values: Sequence[float]) -> Spread:
    """Compute the mean and the sample standard deviation of at least one value."""
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def summarize_runs(runs: Iterable[Path], rule: str = "last", groups: str | None = None) -> list[dict[str, Any]]:
    """Summarize finished runs, recipe by recipe.

    Args:
        runs: run folders, `OUTPUT/NAME/seedN`.
        rule: which figures of each run to take: `last`, `best` or `paper`.
        groups: the grouping rule; by default the protocol's own.

    Returns:
        One record per recipe, and one per set of overrides: its name, n, the seeds, its grouping rule, and for overall,
        head, mid and tail the mean and the sample standard deviation (None for a single run), in per cent.

    Raises:
        InputError: a folder holds no finished run or lacks the grouping rule, a seed occurs twice, or the runs of one
            recipe differ in grouping rule, training images or precision.
    """
    runs_by_recipe: dict[str, dict[int, Figures]] = {}
    trained_on: dict[str, tuple[Any, Any]] = {}
    for run in runs:
        path = run / "metrics.json"
        try:
            document = read_json(path)
            name, seed, figures = document["recipe"], int(document["seed"]), document[rule]
            # A run with overrides is never reported as the recipe.
            changed = [f"{key}={value}" for key, (_, value) in document["overrides"].items()]
            trained = document["subset_sha256"], document.get("precision")
            measured = None if figures is None else Figures.from_dict(figures)
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{run} holds no finished run: {path} is missing or damaged; finish it first") from error
        if measured is None:
            raise InputError(f"{run} has no figures by the rule {rule!r}; use last or best")
        if groups is not None and groups not in measured.groups:
            there = ", ".join(measured.groups)
            raise InputError(f"{run} has no figures by the grouping rule {groups!r}; there are {there}")
        label = f"{name} with {', '.join(changed)}" if changed else str(name)
        by_seed = runs_by_recipe.setdefault(label, {})
        if seed in by_seed:
            raise InputError(f"{run} is a second run of {name} with seed {seed}; name one of them")
        if trained_on.setdefault(label, trained) != trained:
            raise InputError(
                f"{run} and the other runs of {name} differ in training images or precision "
                "(subset_sha256 and precision in metrics.json); summarize them separately"
            )
        by_seed[seed] = measured
    return [_summarize(name, by_seed, groups) for name, by_seed in runs_by_recipe.items()]


def _summarize(name: str, by_seed: dict[int, Figures], groups: str | None) -> dict[str, Any]:
    own = dict.fromkeys(groups or next(iter(figures.groups)) for figures in by_seed.values())
    if len(own) > 1:
        raise InputError(f"the runs of {name} have groups by different rules ({', '.join(own)}); choose one: --groups")
    (shown,) = own
    values = {"overall": [figures.overall for figures in by_seed.values()]}
    for group in ("head", "mid", "tail"):
        found = [figures.groups[shown].get(group) for figures in by_seed.values()]
        values |= {group: [value for value in found if value is not None]}
    spreads = {key: asdict(spread(xs)) for key, xs in values.items() if xs}
    return {"recipe": name, "n": len(by_seed), "seeds": sorted(by_seed), "groups": shown} | spreads


def seeds_table(records: list[dict[str, Any]]) -> str:
    """Format the records of `summarize_runs` as a Markdown table: mean ± standard deviation."""

    def cell(record: dict[str, Any], key: str) -> str:
        return str(Spread(**record[key])) if key in record else ""

    rows = [
        [record["recipe"], *(cell(record, key) for key in ("overall", "head", "mid", "tail")), str(record["n"])]
        for record in records
    ]
    return markdown_table(["recipe", "overall", "head", "mid", "tail", "n"], rows)
