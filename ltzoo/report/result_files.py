"""JSON files of results, one per run: created from a checkpoint, written and read."""

import json
from dataclasses import replace
from pathlib import Path

from ltzoo.atomic_write import write_text
from ltzoo.checkpoints import METRICS, SUMMARY, WEIGHTS, read_config, read_file, read_manifest, read_recipe
from ltzoo.errors import InputError, first_line
from ltzoo.evaluate import Figures
from ltzoo.reading.json_text import parse_json, read_json
from ltzoo.reading.tables import parse_numbers
from ltzoo.recipes import differences
from ltzoo.registry import get_recipe
from ltzoo.report.result import CURVE, RULES, Result, check_result, unknown_fields
from ltzoo.versions import NewerError, named_if_newer

_SECONDS = ("seconds", "eval_seconds")
"""Columns of `summary.csv` of which a result has the sums."""


def result_from_checkpoint(checkpoint: Path) -> Result:
    """Create the result of a run from its checkpoint.

    Args:
        checkpoint: the folder; the hashes of its files are checked.

    Raises:
        InputError: it is damaged or incomplete, was trained with overrides, or the recipe has changed.
    """
    config = read_config(checkpoint)
    if config.get("overrides"):
        changed = ", ".join(config["overrides"])
        raise InputError(
            f"{checkpoint} was trained with overrides ({changed}), so it is not a result of its recipe; train the "
            "recipe without overrides"
        )
    try:
        metrics = parse_json(read_file(checkpoint, METRICS))
        rows = parse_numbers(read_file(checkpoint, SUMMARY), (*CURVE, *_SECONDS))
        curve = {key: [row[key] for row in rows] for key in CURVE}
        seconds = {key: round(sum(row[key] or 0.0 for row in rows), 1) for key in _SECONDS}
        recipe = read_recipe(checkpoint)
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
        check_result(result)
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{checkpoint} is not a complete checkpoint of a run ({type(error).__name__}: {first_line(error)[:300]}); "
            "train the run again"
        ) from error
    check_recipe(result, str(checkpoint))
    return result


def check_recipe(result: Result, origin: str) -> None:
    """Check that a result was trained by the recipe as it is registered now.

    Raises:
        InputError: there is no recipe of this name, or it differs.
    """
    if result.recipe is None:
        return
    other = differences(result.recipe, get_recipe(result.model))
    if other:
        raise InputError(f"{origin} was not trained by the recipe {result.model}: it differs in {', '.join(other)}")


def read_results(folder: Path, pattern: str = "*") -> list[Result]:
    """Read results, sorted by name and seed.

    Args:
        folder: the folder of all results.
        pattern: a wildcard pattern for the folders in it.

    Raises:
        InputError: a file is not a result, has the wrong path for its result, or its recipe has changed.
        NewerError: a newer version of ltzoo wrote a file, and it has what this one does not know.
    """
    results = []
    for path in sorted(folder.glob(f"{pattern}/*.json")):
        try:
            document = read_json(path)
            with named_if_newer(path, document.get("versions"), unknown_fields(document)):
                result = Result.from_dict(document)
        except NewerError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{path} is not a result ({type(error).__name__}: {first_line(error)[:300]}); collect the run again"
            ) from error
        if folder / result.path != path:
            raise InputError(
                f"{path} is the result of {result.path.with_suffix('')}, which must have only one; remove this file"
            )
        check_recipe(result, str(path))
        results.append(result)
    return sorted(results, key=lambda result: (result.model, result.seed or 0))


def has_result(folder: Path, result: Result) -> bool:
    """Return whether a folder of results has this result; machine, versions, times and curve are not compared.

    Raises:
        InputError: it has another result of the same recipe and seed.
    """
    path = folder / result.path
    for found in read_results(folder, path.parent.name):
        if found.path == result.path:
            same = replace(result, weights=found.weights, run=found.run, versions=found.versions, curve=found.curve)
            other = [key for key in Result.__dataclass_fields__ if getattr(found, key) != getattr(same, key)]
            other += ["groups"] if found.groups != same.groups else []  # the first rule of the figures
            if other:
                raise InputError(
                    f"{path} is a different result of the same run (overall {found.figures['last'].overall:.2f}, not "
                    f"{result.figures['last'].overall:.2f}; it differs in {', '.join(other)}); remove it "
                    "first to replace it"
                )
            return True
    return False


def write_result(folder: Path, result: Result) -> Path:
    """Write a result as JSON, one line per key.

    Args:
        folder: the folder of all results.
        result: the result.

    Returns:
        The file.
    """
    path = folder / result.path
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in result.to_dict().items()]
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path
