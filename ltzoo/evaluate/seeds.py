"""Several runs of a recipe: mean, standard deviation and n over the seeds."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ltzoo.errors import InputError
from ltzoo.evaluate.figures import Figures
from ltzoo.evaluate.spread import Spread, spread
from ltzoo.evaluate.tables import markdown_table


def summarize_runs(runs: Iterable[Path], rule: str = "last", groups: str | None = None) -> list[dict[str, Any]]:
    """Gather finished runs by recipe.

    Args:
        runs: run folders, `OUTPUT/NAME/seedN`.
        rule: which figures of each run, `last`, `best` or `paper`.
        groups: the rule of the groups; the protocol's own unless given.

    Returns:
        A record a recipe, and one for each set of overrides: its name, n, the seeds, the rule of its groups, and for
        overall, head, mid and tail the mean and the sample standard deviation (None for a single run), in per cent.

    Raises:
        InputError: a folder holds no finished run or lacks the grouping rule, a seed comes twice, or the runs of a
            recipe have different rules of their own, or were trained on different images or in different precisions.
    """
    gathered: dict[str, dict[int, Figures]] = {}
    trained_alike: dict[str, tuple[Any, Any]] = {}
    for run in runs:
        path = run / "metrics.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
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
        by_seed = gathered.setdefault(label, {})
        if seed in by_seed:
            raise InputError(f"{run} is a second run of {name} with seed {seed}; name one of them")
        if trained_alike.setdefault(label, trained) != trained:
            raise InputError(
                f"{run} was trained on other images or in another precision than the runs of {name} before it "
                "(subset_sha256 and precision in metrics.json); summarize them apart"
            )
        by_seed[seed] = measured
    return [_gather(name, by_seed, groups) for name, by_seed in gathered.items()]


def _gather(name: str, by_seed: dict[int, Figures], groups: str | None) -> dict[str, Any]:
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
    """Lay out the records of `summarize_runs` as a Markdown table, mean ± standard deviation."""

    def cell(record: dict[str, Any], key: str) -> str:
        return str(Spread(**record[key])) if key in record else ""

    rows = [
        [record["recipe"], *(cell(record, key) for key in ("overall", "head", "mid", "tail")), str(record["n"])]
        for record in records
    ]
    return markdown_table(["recipe", "overall", "head", "mid", "tail", "n"], rows)
