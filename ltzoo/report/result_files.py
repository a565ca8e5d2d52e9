"""Results as JSON files, one a run: gathered from a checkpoint, written, and read back."""

import csv
import json
from dataclasses import replace
from pathlib import Path

from ltzoo.errors import InputError
from ltzoo.evaluate import Figures
from ltzoo.hub import METRICS, SUMMARY, WEIGHTS, read_config, read_file, read_manifest
from ltzoo.recipes import differences, recipe_from_dict
from ltzoo.registry import get_recipe
from ltzoo.report.result import CURVE, RULES, Result
from ltzoo.whole_file import whole_file


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
        except (OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
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
    """Say whether a folder of results has this one, whatever took how long to compute it.

    Raises:
        InputError: it has another of the same recipe and seed.
    """
    path = folder / result.place
    for there in read_results(folder, path.parent.name):
        if there.place == result.place:
            same = replace(result, weights=there.weights, run=there.run, versions=there.versions, curve=there.curve)
            other = [key for key in Result.__dataclass_fields__ if getattr(there, key) != getattr(same, key)]
            if other:
                raise InputError(
                    f"{path} is another result of that run (overall {there.figures['last'].overall:.2f}, here "
                    f"{result.figures['last'].overall:.2f}; it differs in {', '.join(other)}); keep it, or remove it "
                    "first: a run, or a model from elsewhere, has one result"
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
