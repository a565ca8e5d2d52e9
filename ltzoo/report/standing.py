"""Where a recipe stands: its results over the seeds, beside what papers printed for it."""

from collections.abc import Iterable
from dataclasses import dataclass

from ltzoo.errors import InputError
from ltzoo.evaluate import Spread, spread
from ltzoo.recipes import Published
from ltzoo.report.result import Result

COLUMNS = ("overall", "head", "mid", "tail")

POINTS = 1.5
"""A mean further than this from a published figure is marked, where no standard deviation was published."""

DEVIATIONS = 2.0
"""A mean further than so many published standard deviations is marked."""


@dataclass(frozen=True)
class Standing:
    """A recipe's results.

    Attributes:
        model: the recipe's name, or what a model from elsewhere is called.
        results: its results, by seed.
    """

    model: str
    results: tuple[Result, ...]

    def spreads(self, rule: str = "last", groups: str | None = None) -> dict[str, Spread]:
        """Compute mean and standard deviation over the seeds.

        Args:
            rule: a key of `RULES`.
            groups: the grouping rule; the recipe's own unless given.

        Returns:
            A column of `COLUMNS` to its spread, without those that have no figure.
        """
        found: dict[str, list[float]] = {}
        for result in self.results:
            if rule in result.figures:
                figures = result.figures[rule]
                headline = {"overall": figures.overall, **figures.groups[groups or result.groups]}
                for column in COLUMNS:
                    value = headline.get(column)
                    if value is not None:
                        found.setdefault(column, []).append(value)
        return {column: spread(values) for column, values in found.items()}

    @property
    def precisions(self) -> str:
        """The precisions that its runs had."""
        return ", ".join(dict.fromkeys(result.recipe.precision for result in self.results if result.recipe))

    @property
    def minutes(self) -> float:
        """Minutes of the device for a run, training and the looks at the test set, on the mean."""
        return sum(device_minutes(result) for result in self.results) / len(self.results)

    @property
    def machines(self) -> str:
        """What its runs were computed on."""
        return ", ".join(sorted({str(result.run["machine"]) for result in self.results}))


def standings(results: Iterable[Result]) -> dict[str, Standing]:
    """Gather results by `Result.key`, in alphabetical order.

    Raises:
        InputError: runs of a recipe were trained on different images.
    """
    gathered: dict[str, list[Result]] = {}
    for result in results:
        gathered.setdefault(result.key, []).append(result)
    for key, found in gathered.items():
        images = {result.subset_sha256: str(result.place) for result in found}
        if len(images) > 1:
            raise InputError(
                f"the runs of {key} were trained on different images ({', '.join(images.values())}: subset_sha256 "
                "differs), which have no common mean; keep those of one copy of the data set"
            )
    return {
        key: Standing(found[0].model, tuple(sorted(found, key=lambda r: r.seed or 0)))
        for key, found in sorted(gathered.items())
    }


def device_minutes(result: Result) -> float:
    """Give the minutes that a run took of its device: of runs side by side, each its share."""
    seconds: float = result.run["seconds"] + result.run["eval_seconds"]
    return seconds / result.run.get("side_by_side", 1) / 60


@dataclass(frozen=True)
class Difference:
    """A measured mean beside a published figure.

    Attributes:
        points: measured minus published.
        outside: it is further away than runs of one recipe should be, by `DEVIATIONS` or, without a published standard
            deviation, by `POINTS`.
    """

    points: float
    outside: bool


def difference(column: str, measured: Spread, published: Published) -> Difference | None:
    """Hold a mean against what a paper printed; None where it printed nothing.

    Args:
        column: one of `COLUMNS`.
        measured: our runs.
        published: the paper's.
    """
    printed = getattr(published.mean, column)
    if printed is None:
        return None
    # As both are shown, so that a reader finds the same difference.
    points = round(round(measured.mean, 1) - printed, 1)
    return Difference(points, abs(points) > limit(column, published))


def limit(column: str, published: Published) -> float:
    """Say how many points from a published figure are outside."""
    std = getattr(published.std, column) if published.std else None
    return POINTS if std is None else round(DEVIATIONS * std, 6)
