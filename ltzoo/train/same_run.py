"""Check that a run that is resumed is the same one: its settings, its images, and how it computes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltzoo.checkpoints.card import EARLIER_PARTS
from ltzoo.checkpoints.pretraining import BEGAN_WITH, START_STATED
from ltzoo.errors import InputError
from ltzoo.reading.errors import ContentError, why
from ltzoo.reading.json_text import read_json
from ltzoo.reading.yaml_text import read_yaml
from ltzoo.recipes import recipe_from_dict, recipe_to_dict
from ltzoo.train.resumed import changes, flags
from ltzoo.versions import NewerError, named_if_newer

_OF_IMAGES = {"run.subset_layout", "run.subset_sha256", "run.measured_layout"}
"""Keys that identify a run's images."""

_MAY_DIFFER = {
    "machine",
    "threads",
    "side_by_side",
    "versions",
    "measured_features",
    "half",
    BEGAN_WITH,
    EARLIER_PARTS,
}
"""Recorded keys that may change when a run is resumed; threads only if the user gives them. Runs of earlier versions
lack `BEGAN_WITH`; what a run starts from is compared by `start_sha256`."""

_OPTIONAL = {
    "capture_failed",
    "measured_layout",
    "features_of",
    "half",
    "measured_features",
    "start_sha256",
    "start_seed",
    "sync_bn",
    "tuned",
    START_STATED,
    BEGAN_WITH,
    EARLIER_PARTS,
}
"""Recorded keys that not every run has."""


def check_same_run(recipe: Path, indices: Path, document: Mapping[str, Any], subset: Mapping[str, Any]) -> None:
    """Check that an existing run has the settings and the images of the requested one.

    Args:
        recipe: `recipe.yaml` of the existing run.
        indices: its `subset.json`.
        document: the content of the requested run's `recipe.yaml`.
        subset: that of its `subset.json`.

    Raises:
        InputError: the existing run is damaged, or it has other settings or images.
    """
    folder = recipe.parent
    try:
        there = read_yaml(recipe)
        sha256 = read_json(indices, megabytes=256)["sha256"]
        run = there["run"]
        with named_if_newer(recipe, run.get("versions"), unknown=sorted({*run} - {*document["run"]} - _OPTIONAL)):
            written = _in_full(there)
            other = _differing(written, document)
            changed = changes(written, document, other)
    except NewerError:
        raise
    except InputError as error:
        raise InputError(
            f"the run in {folder} cannot be read ({error}); name another --output, or remove it"
        ) from error
    except (ContentError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{folder} has a damaged run ({why(error)}); remove it, or name another --output") from error
    if other and set(other) <= _OF_IMAGES:
        raise InputError(
            f"the run in {folder} was started on different images (were files added, removed or renamed?); "
            "use the same images, or name another --output"
        )
    if other:
        raise InputError(
            f"the run in {folder} was started with different settings ({changed}); "
            f"use the same settings{flags(there, other)}, or name another --output"
        )
    if sha256 != subset["sha256"]:
        raise InputError(
            f"the run in {folder} was trained on different images (another copy of the data set?); "
            "use the same images, or name another --output"
        )


def _in_full(there: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields that were added to recipes since an existing run's `recipe.yaml` was written their defaults."""
    parts = ("overrides", "run")
    written = recipe_from_dict({key: value for key, value in there.items() if key not in parts})
    return recipe_to_dict(written) | {part: there[part] for part in parts}


def _differing(there: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    """List the keys in which an existing run's `recipe.yaml` differs from the requested run."""
    parts = {"overrides": set(), "run": _MAY_DIFFER}
    in_parts = [
        f"{part}.{key}"
        for part, may_differ in parts.items()
        for key in {*there[part], *document[part]} - may_differ
        if there[part].get(key) != document[part].get(key)
    ]
    return sorted(in_parts + [k for k in {*there, *document} - set(parts) if there.get(k) != document.get(k)])
