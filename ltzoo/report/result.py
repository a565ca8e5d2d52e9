"""A result: the measured figures of one run or of one external model, with how it was trained."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from ltzoo.checkpoints.card import EARLIER_PARTS
from ltzoo.data import NATURAL_BENCHMARKS, Benchmark, all_groups, get_benchmark
from ltzoo.errors import shown
from ltzoo.evaluate import Figures, group_accuracy
from ltzoo.recipes import Recipe, recipe_from_dict, recipe_to_dict
from ltzoo.recipes.model import view_of
from ltzoo.registry import list_recipes

RULES = {"last": "last epoch", "best": "best epoch on the test set", "paper": "the paper's own rule"}
"""Evaluation rules: which epoch is measured, and how. The first one is ltzoo's."""

_TOLERANCE = 1e-6

CURVE = ("epoch", "train_loss", "overall", "head", "mid", "tail")
"""Columns of `summary.csv` that a result contains."""


@dataclass(frozen=True)
class Claim:
    """A claim about an external model.

    Attributes:
        overall: overall accuracy in per cent.
        source: the URL of the claim.
    """

    overall: float
    source: str


@dataclass(frozen=True)
class Result:
    """The result of a run or of an external model.

    Attributes:
        model: name of the recipe or of the external model.
        benchmark: name of the benchmark.
        architecture: a name known to timm, or `MODULE:FUNCTION` of an external model.
        seed: seed of the run; None for an external model.
        recipe: the recipe, with the precision of the run; None for an external model.
        figures: evaluation rule to figures: `last`, and `best` and `paper` if there are such epochs.
        epochs: evaluation rule to its epoch, from 0.
        curve: column of `CURVE` to one value per epoch; empty for an external model.
        run: device, machine, threads and so on; total `seconds` of training and `eval_seconds`.
        versions: versions of the packages.
        subset_layout: the order of the training images that the indices of the subset refer to.
        subset_sha256: SHA-256 of these indices.
        weights_sha256: SHA-256 of `model.safetensors`, or of an external model's file.
        weights: the folder that keeps the weights, see `zoo_path`; None if they are not kept.
        claim: the claim about an external model; None for a run.
    """

    model: str
    benchmark: str
    architecture: str
    seed: int | None
    recipe: Recipe | None
    figures: Mapping[str, Figures]
    epochs: Mapping[str, int]
    curve: Mapping[str, Sequence[float | None]]
    run: Mapping[str, Any]
    versions: Mapping[str, str]
    subset_layout: str | None
    subset_sha256: str | None
    weights_sha256: str | None
    weights: str | None
    claim: Claim | None

    @property
    def path(self) -> Path:
        """The result's file, relative to the folder of all results."""
        if self.seed is None:
            return Path("entries") / f"{self.benchmark}_{file_name(self.model)}.json"
        return Path(self.model) / f"seed{self.seed}.json"

    @property
    def key(self) -> str:
        """The key that all seeds of a model share: the recipe's name; for an external model, benchmark and name."""
        return self.path.stem if self.seed is None else self.model

    @property
    def machines(self) -> tuple[str, ...]:
        """The processors or GPUs, in the order in which they computed the run."""
        parts = [*self.run.get(EARLIER_PARTS, ()), self.run]
        return tuple(machine for machine, _ in groupby(part["machine"] for part in parts))

    @property
    def groups(self) -> str:
        """The rule of the first grouping, the protocol's own."""
        return next(iter(self.figures["last"].groups))

    @property
    def resolved_benchmark(self) -> Benchmark:
        """The benchmark; for one of image files, with the class counts in the figures.

        Raises:
            ValueError, LookupError: there is no such benchmark, or it has no fixed number of classes.
        """
        natural = NATURAL_BENCHMARKS.get(self.benchmark)
        if natural is None:
            return get_benchmark(self.benchmark)
        counts = self.figures["last"].class_counts
        if self.recipe is None or len(counts) != natural.num_classes:
            raise ValueError(f"a result of {self.benchmark} cannot have {len(counts)} classes")
        return natural.with_counts(counts, tuple(map(str, range(len(counts)))), view_of(self.recipe))

    def to_dict(self) -> dict[str, Any]:
        """Convert the result to plain data for JSON."""
        document = {key: getattr(self, key) for key in self.__dataclass_fields__}
        epochs, figures = document.pop("epochs"), document.pop("figures")
        measured = {
            key: found.to_dict() | ({"epoch": epochs[key]} if key in epochs else {}) for key, found in figures.items()
        }
        return document | {
            "recipe": recipe_to_dict(self.recipe) if self.recipe else None,
            "claim": asdict(self.claim) if self.claim else None,
            "figures": measured,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Result":
        """Read and validate a result from plain data.

        Raises:
            LookupError, TypeError, ValueError, AttributeError, RecursionError: it is not a result, or is inconsistent.
        """
        figures = document["figures"]
        if not {"last"} <= set(figures) <= set(RULES):
            raise ValueError(
                f"figures must have last, and only rules of {', '.join(RULES)}, but they have {', '.join(figures)}"
            )
        fields = {key: document[key] for key in cls.__dataclass_fields__ if key not in ("epochs", "figures")}
        result = cls(
            **fields
            | {
                "recipe": recipe_from_dict(document["recipe"]) if document["recipe"] else None,
                "claim": Claim(**document["claim"]) if document["claim"] else None,
                "figures": {key: Figures.from_dict(found) for key, found in figures.items()},
                "epochs": {key: found["epoch"] for key, found in figures.items() if "epoch" in found},
            }
        )
        check_result(result)
        return result


def unknown_fields(document: Mapping[str, Any]) -> list[str]:
    """List the fields of a stored result, and of its figures, that `Result.from_dict` passes over."""
    found = sorted(set(document) - set(Result.__dataclass_fields__))
    known = {*Figures.__dataclass_fields__, "epoch"}
    for rule, figures in document["figures"].items():
        found += [f"figures.{rule}.{key}" for key in sorted(set(figures) - known)]
    return found


def file_name(model: str) -> str:
    """Return a model's name in characters that a file name can have."""
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in model).strip("-.")


def check_name(model: str) -> None:
    """Check the name of an external model, which appears in tables and as a file name.

    Raises:
        ValueError: it is empty, the name of a recipe, or has characters with a meaning in Markdown or HTML.
    """
    if not file_name(model) or not model.isprintable() or set(model) & set("|<>`[]\\"):
        raise ValueError(f"a model's name must be one line of text without | < > ` [ ] \\, not {shown(model)}")
    if model in list_recipes():
        raise ValueError(f"{model!r} is the name of a recipe; choose another one")


def check_claim(claim: Claim) -> None:
    """Check a claim, whose source is a link on the leaderboard.

    Raises:
        ValueError, TypeError: the accuracy is not per cent, or the source no URL.
    """
    if type(claim.overall) not in (int, float) or not 0 <= claim.overall <= 100:
        raise ValueError(f"a claim must be per cent from 0 to 100, not {shown(claim.overall)}")
    check_url(claim.source)


def check_url(text: str) -> None:
    """Check the URL of a claim.

    Raises:
        ValueError, TypeError: it does not begin with http:// or https://, or has characters with a meaning in Markdown.
    """
    parts = urlparse(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or not text.isprintable() or set(text) & set(" ()<>|"):
        raise ValueError(f"must be a URL that begins with http:// or https://, not {shown(text)}")


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def check_result(result: Result) -> None:
    """Check that the parts of a result are consistent: overall and group accuracies follow from the classes'.

    Raises:
        ValueError, TypeError, LookupError: they are not.
    """
    benchmark, recipe = result.resolved_benchmark, result.recipe
    if recipe is None:
        check_name(result.model)
    elif (recipe.name, recipe.benchmark, recipe.architecture) != (result.model, result.benchmark, result.architecture):
        raise ValueError("model, benchmark and architecture must be the recipe's")
    if not (result.seed is None if recipe is None else type(result.seed) is int and result.seed >= 0):
        raise ValueError(
            f"the seed must be a whole number from 0 on, and null without a recipe, not {shown(result.seed)}"
        )
    if recipe is not None and not all(_is_time(result.run[key]) for key in ("seconds", "eval_seconds")):
        raise ValueError("seconds must be numbers from 0 on")
    if not all(isinstance(machine, str) and machine for machine in result.machines):
        raise ValueError("a run must name its machine")
    for rule, found in result.figures.items():
        if found.class_counts != benchmark.class_counts or len(found.per_class) != len(benchmark.class_counts):
            raise ValueError(f"the figures of {rule} do not match the classes of {benchmark.name}")
        if not all(0 <= value <= 100 for value in (*found.per_class, found.top5)):
            raise ValueError(f"the accuracies of {rule} must lie between 0 and 100")
        computed = {groups.rule: group_accuracy(found.per_class, groups) for groups in all_groups(benchmark)}
        # The test sets are balanced, so the mean over the classes is the mean over the images.
        near = abs(found.overall - sum(found.per_class) / len(found.per_class)) < _TOLERANCE
        if not near or _flat(found.groups).keys() != _flat(computed).keys():
            raise ValueError(f"overall accuracy and groups of {rule} do not follow from the class accuracies")
        if any(abs(value - _flat(computed)[key]) >= _TOLERANCE for key, value in _flat(found.groups).items()):
            raise ValueError(f"the group accuracies of {rule} do not follow from the class accuracies")
    if result.claim is not None:
        check_claim(result.claim)
    for key in ("run", "versions"):
        if not isinstance(getattr(result, key), Mapping):
            raise TypeError(f"{key} must be a mapping")
    for key in ("architecture", "subset_layout", "subset_sha256", "weights_sha256", "weights"):
        text = getattr(result, key)
        if text is not None and not (isinstance(text, str) and text.isprintable()):
            raise TypeError(f"{key} must be one line of text, not {str(text)[:40]!r}")
    if not all(type(epoch) is int and epoch >= -1 for epoch in result.epochs.values()):
        raise TypeError("epochs must be whole numbers")
    lengths = {len(values) for values in result.curve.values()}
    if recipe is not None and (set(result.curve) != set(CURVE) or len(lengths) != 1):
        raise ValueError(f"the curve must have the columns {', '.join(CURVE)}, of one length")
    if not all(value is None or math.isfinite(value) for values in result.curve.values() for value in values):
        raise ValueError("the curve's values must be finite numbers")


def _flat(groups: Mapping[str, Mapping[str, float | None]]) -> dict[tuple[str, str], float]:
    return {(rule, name): value for rule, of in groups.items() for name, value in of.items() if value is not None}
