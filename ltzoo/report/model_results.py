"""Results of one model over its seeds: mean, standard deviation and cost."""

from collections.abc import Iterable
from dataclasses import dataclass

from ltzoo.checkpoints import COLUMN_TITLES
from ltzoo.errors import InputError
from ltzoo.evaluate import Spread, spread
from ltzoo.report.result import Result

COLUMNS = tuple(COLUMN_TITLES)


@dataclass(frozen=True)
class ModelResults:
    """The results of a recipe over its seeds, or the one of an external model.

    Attributes:
        name: the name of the recipe or of the external model.
        results: sorted by seed.
    """

    name: str
    results: tuple[Result, ...]

    def spreads(self, rule: str = "last", groups: str | None = None) -> dict[str, Spread]:
        """Compute mean and standard deviation over the seeds.

        Args:
            rule: a key of `RULES`.
            groups: the grouping rule; the recipe's own if None.

        Returns:
            Column of `COLUMNS` to its mean and standard deviation; columns without a figure are left out.
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
        """The precisions of the runs, such as `float32`."""
        return ", ".join(dict.fromkeys(result.recipe.precision for result in self.results if result.recipe))

    @property
    def minutes(self) -> float:
        """Mean device time of a run in minutes, training and evaluation."""
        return sum(device_minutes(result) for result in self.results) / len(self.results)

    @property
    def machines(self) -> str:
        """The processors or GPUs of the runs."""
        return ", ".join(dict.fromkeys(machine for result in self.results for machine in result.machines))


def group_by_model(results: Iterable[Result]) -> dict[str, ModelResults]:
    """Group results by `Result.key`, in alphabetical order.

    Raises:
        InputError: the runs of a recipe were trained on different images.
    """
    gathered: dict[str, list[Result]] = {}
    for result in results:
        gathered.setdefault(result.key, []).append(result)
    for key, found in gathered.items():
        images = {result.subset_sha256: str(result.path) for result in found}
        if len(images) > 1:
            raise InputError(
                f"the runs of {key} were trained on different images ({', '.join(images.values())}: subset_sha256 "
                "differs), so they cannot be averaged; keep the runs of one copy of the data set"
            )
    return {
        key: ModelResults(found[0].model, tuple(sorted(found, key=lambda r: r.seed or 0)))
        for key, found in sorted(gathered.items())
    }


def device_minutes(result: Result) -> float:
    """Return the device time of a run in minutes, training and evaluation."""
    seconds: float = result.run["seconds"] + result.run["eval_seconds"]
    return seconds / 60
