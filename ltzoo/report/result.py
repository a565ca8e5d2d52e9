"""A result: what one run was measured to do, or one model from elsewhere."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ltzoo.data import NATURAL_BENCHMARKS, Benchmark, all_groups, get_benchmark
from ltzoo.evaluate import Figures, group_accuracy
from ltzoo.recipes import Recipe, recipe_from_dict, recipe_to_dict
from ltzoo.recipes.model import view_of
from ltzoo.registry import list_recipes

RULES = {"last": "last epoch", "best": "best epoch on the test set", "paper": "the paper's own rule"}
"""Which epoch a figure is of, and how it is measured. The first is ours."""

_ROUNDING = 1e-6

CURVE = ("epoch", "train_loss", "overall", "head", "mid", "tail")
"""Columns of `summary.csv` that a result keeps."""


@dataclass(frozen=True)
class Claim:
    """What somebody says of a model.

    Attributes:
        overall: accuracy in per cent.
        source: where it is said, a URL.
    """

    overall: float
    source: str


@dataclass(frozen=True)
class Result:
    """What was measured, of what, and how it was trained.

    Attributes:
        model: the recipe's name, or what a model from elsewhere is called.
        benchmark: name of the benchmark.
        architecture: a name that timm knows, or the function that makes the model.
        seed: the run's; None for a model from elsewhere.
        recipe: what was trained, with the precision that the run chose; None for a model from elsewhere.
        figures: `last` to what was measured, and `best` and `paper` where there are such epochs.
        epochs: the keys of `figures` to the epoch, from 0.
        curve: a column of `CURVE` to a value an epoch; empty for a model from elsewhere.
        run: device, machine, threads and the like; `seconds` of training and `eval_seconds` altogether.
        versions: of the packages that computed.
        subset_layout: the order of the training images that the subset points into.
        subset_sha256: of the training images' indices.
        weights_sha256: of `model.safetensors`, or of the file that a model from elsewhere was loaded from.
        weights: where the weights are kept; None where they are not.
        claim: what is said of a model from elsewhere.
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
    def place(self) -> Path:
        """The result's file, relative to the folder of all results."""
        if self.seed is None:
            return Path("entries") / f"{self.benchmark}_{file_name(self.model)}.json"
        return Path(self.model) / f"seed{self.seed}.json"

    @property
    def key(self) -> str:
        """What results over several seeds share: the recipe's name; of a model from elsewhere also the benchmark."""
        return self.place.stem if self.seed is None else self.model

    @property
    def groups(self) -> str:
        """The rule of the groups that come first."""
        return next(iter(self.figures["last"].groups))

    @property
    def opened(self) -> Benchmark:
        """The benchmark itself; where its images lie in files, with the class counts that were measured.

        Raises:
            ValueError, LookupError: there is no such benchmark, or it is none that results can be compared on.
        """
        natural = NATURAL_BENCHMARKS.get(self.benchmark)
        if natural is None:
            return get_benchmark(self.benchmark)
        counts = self.figures["last"].class_counts
        if self.recipe is None or len(counts) != natural.num_classes:
            raise ValueError(f"no result can be of {self.benchmark} with {len(counts)} classes")
        return natural.with_counts(counts, tuple(map(str, range(len(counts)))), view_of(self.recipe))

    def to_dict(self) -> dict[str, Any]:
        """Turn the result into what JSON holds."""
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
        """Read a result back, with distrust: it may come from anybody.

        Raises:
            LookupError, TypeError, ValueError, AttributeError, RecursionError: it is none, or contradicts itself.
        """
        figures = document["figures"]
        if not {"last"} <= set(figures) <= set(RULES):
            raise ValueError(f"figures must be last and other rules of {', '.join(RULES)}, not {', '.join(figures)}")
        fields = {key: document[key] for key in cls.__dataclass_fields__ if key not in ("epochs", "figures")}
        result = cls(
            **fields
            | {
                "recipe": recipe_from_dict(document["recipe"]) if document["recipe"] else None,
                "claim": Claim(**document["claim"]) if document["claim"] else None,
                "figures": {key: Figures.from_dict(found) for key, found in figures.items()},
                "epochs": {key: int(found["epoch"]) for key, found in figures.items() if "epoch" in found},
            }
        )
        _check(result)
        return result


def file_name(model: str) -> str:
    """Write a model's name so that it can be a file's."""
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in model).strip("-.")


def check_name(model: str) -> None:
    """See that a model from elsewhere can be called so, in tables and as a file.

    Raises:
        ValueError: it is empty, a recipe's name, or holds what tables and pages mean something by.
    """
    if not file_name(model) or not model.isprintable() or set(model) & set("|<>`[]\\"):
        raise ValueError(f"a model's name must be one line of text without | < > ` [ ] \\, not {model!r}")
    if model in list_recipes():
        raise ValueError(f"{model!r} is a recipe's name; call the model otherwise")


def _check(result: Result) -> None:
    """See that the parts of a result fit one another: what can be computed from others is what they say.

    Raises:
        ValueError, TypeError, LookupError: they do not.
    """
    benchmark, recipe = result.opened, result.recipe
    if recipe is None:
        check_name(result.model)
    elif (recipe.name, recipe.benchmark, recipe.architecture) != (result.model, result.benchmark, result.architecture):
        raise ValueError("model, benchmark and architecture must be the recipe's")
    if not (result.seed is None if recipe is None else type(result.seed) is int and result.seed >= 0):
        raise ValueError(f"the seed must be a whole number from 0 on, and null without a recipe, not {result.seed!r}")
    if recipe is not None and not all(float(result.run[key]) >= 0 for key in ("seconds", "eval_seconds")):
        raise ValueError("seconds must not be below 0")
    for rule, found in result.figures.items():
        if found.class_counts != benchmark.class_counts or len(found.per_class) != len(benchmark.class_counts):
            raise ValueError(f"the figures of {rule} are not of the classes of {benchmark.name}")
        if not all(0 <= value <= 100 for value in (*found.per_class, found.top5)):
            raise ValueError(f"the accuracies of {rule} must lie between 0 and 100")
        computed = {groups.rule: group_accuracy(found.per_class, groups) for groups in all_groups(benchmark)}
        # The test sets are balanced, so that the mean over the classes is that over the images.
        near = abs(found.overall - sum(found.per_class) / len(found.per_class)) < _ROUNDING
        if not near or _flat(found.groups).keys() != _flat(computed).keys():
            raise ValueError(f"overall accuracy and groups of {rule} must follow from the classes'")
        if any(abs(value - _flat(computed)[key]) >= _ROUNDING for key, value in _flat(found.groups).items()):
            raise ValueError(f"the accuracies of the groups of {rule} must follow from the classes'")
    lengths = {len(values) for values in result.curve.values()}
    if recipe is not None and (set(result.curve) != set(CURVE) or len(lengths) != 1):
        raise ValueError(f"the curve must have the columns {', '.join(CURVE)}, of one length")
    if not all(value is None or math.isfinite(value) for values in result.curve.values() for value in values):
        raise ValueError("the curve's values must be finite numbers")


def _flat(groups: Mapping[str, Mapping[str, float | None]]) -> dict[tuple[str, str], float]:
    return {(rule, name): value for rule, of in groups.items() for name, value in of.items() if value is not None}
