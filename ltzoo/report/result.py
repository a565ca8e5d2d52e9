"""A result: what one run was measured to do, or one model from elsewhere, as a JSON document of its own."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ltzoo.errors import InputError
from ltzoo.evaluate import Figures
from ltzoo.hub import METRICS, SUMMARY, WEIGHTS, read_config, read_file, read_manifest
from ltzoo.recipes import Recipe, differences, recipe_from_dict, recipe_to_dict
from ltzoo.registry import get_recipe
from ltzoo.whole_file import whole_file

RULES = {"last": "last epoch", "best": "best epoch on the test set", "paper": "the paper's own rule"}
"""Which epoch a figure is of, and how it is measured. The first is ours."""

IN_THE_PACKAGE = "hub/zoo"
"""Where weights are kept that come with the package."""

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
        """Read a result back.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is none.
        """
        figures = document["figures"]
        if not {"last"} <= set(figures) <= set(RULES):
            raise ValueError(f"figures must be last and other rules of {', '.join(RULES)}, not {', '.join(figures)}")
        fields = {key: document[key] for key in cls.__dataclass_fields__ if key not in ("epochs", "figures")}
        return cls(
            **fields
            | {
                "recipe": recipe_from_dict(document["recipe"]) if document["recipe"] else None,
                "claim": Claim(**document["claim"]) if document["claim"] else None,
                "figures": {key: Figures.from_dict(found) for key, found in figures.items()},
                "epochs": {key: int(found["epoch"]) for key, found in figures.items() if "epoch" in found},
            }
        )


def file_name(model: str) -> str:
    """Write a model's name so that it can be a file's."""
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in model).strip("-.")


def result_of(checkpoint: Path) -> Result:
    """Gather the result that a run's checkpoint holds.

    Args:
        checkpoint: the folder; its files are held against their hashes.

    Raises:
        InputError: it is damaged, was trained with overrides or otherwise than its recipe says, or lacks what a run
            writes.
    """
    config = read_config(checkpoint)
    if config.get("overrides"):
        changed = ", ".join(config["overrides"])
        raise InputError(f"{checkpoint} was trained with overrides ({changed}); results are of recipes as they are")
    try:
        metrics = json.loads(read_file(checkpoint, METRICS))
        rows = list(csv.DictReader(read_file(checkpoint, SUMMARY).decode("utf-8").splitlines()))
        curve = {key: [float(row[key]) if row[key] else None for row in rows] for key in CURVE}
        seconds = {
            key: round(sum(float(row[key]) for row in rows if row[key]), 1) for key in ("seconds", "eval_seconds")
        }
        recipe = recipe_from_dict(config["recipe"])
        measured = {key: metrics[key] for key in RULES if metrics.get(key) is not None}
        result = Result(
            model=recipe.name,
            benchmark=recipe.benchmark,
            architecture=recipe.architecture,
            seed=config["seed"],
            recipe=recipe,
            figures={key: Figures.from_dict(found) for key, found in measured.items()},
            epochs={key: found["epoch"] for key, found in measured.items() if "epoch" in found}
            | {"last": recipe.schedule.epochs - 1},
            curve=curve,
            run=config["run"] | seconds,
            versions=config["versions"],
            subset_layout=config["subset_layout"],
            subset_sha256=config["subset_sha256"],
            weights_sha256=(read_manifest(checkpoint) or {}).get(WEIGHTS),
            weights=None,
            claim=None,
        )
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{checkpoint} lacks what a run writes ({type(error).__name__}: {error})") from error
    check_recipe(result, str(checkpoint))
    return result


def check_recipe(result: Result, origin: str) -> None:
    """See that a result was trained as its recipe says today.

    Raises:
        InputError: no recipe has its name, or the recipe says otherwise.
    """
    if result.recipe is None:
        return
    other = differences(result.recipe, get_recipe(result.model))
    if other:
        raise InputError(f"{origin} was not trained by the recipe {result.model}: it differs in {', '.join(other)}")


def read_results(folder: Path, pattern: str = "*") -> list[Result]:
    """Read results, by name and seed.

    Args:
        folder: the folder of all results.
        pattern: a wildcard pattern of the folders in it.

    Raises:
        InputError: a file holds no result, one that belongs in another place (so that a recipe and seed would have
            two), or one of a recipe that says otherwise today.
    """
    results = []
    for path in sorted(folder.glob(f"{pattern}/*.json")):
        try:
            result = Result.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{path} holds no result ({type(error).__name__}: {error}); collect the run again"
            ) from error
        if folder / result.place != path:
            raise InputError(
                f"{path} holds the result of {result.place.with_suffix('')}: that run would have two; remove this file"
            )
        check_recipe(result, str(path))
        results.append(result)
    return sorted(results, key=lambda result: (result.model, result.seed or 0))


def is_there(folder: Path, result: Result) -> bool:
    """Say whether a folder of results has this one, wherever its weights are kept.

    Raises:
        InputError: it has another of the same recipe and seed.
    """
    path = folder / result.place
    for there in read_results(folder, path.parent.name):
        if there.place == result.place:
            if replace(there, weights=result.weights) != result:
                raise InputError(
                    f"{path} is another result of that run, overall {there.figures['last'].overall:.2f} and not "
                    f"{result.figures['last'].overall:.2f}; a recipe and seed have one: keep it, or remove it first"
                )
            return True
    return False


def write_result(folder: Path, result: Result) -> Path:
    """Write a result, a line a key, in its place in the folder of all results; returns its file."""
    path = folder / result.place
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in result.to_dict().items()]
    with whole_file(path) as fresh:
        fresh.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path
