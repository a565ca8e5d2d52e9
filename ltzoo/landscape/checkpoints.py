"""The checkpoints of an analysis: those of runs, after the last or an earlier epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltzoo import checkpoints
from ltzoo.errors import InputError
from ltzoo.recipes import Recipe
from ltzoo.registry import find_checkpoint


@dataclass(frozen=True)
class RunCheckpoint:
    """A checkpoint of a run, with the metadata that an analysis needs.

    Attributes:
        folder: folder of the checkpoint.
        recipe: recipe that it was trained with.
        overrides: fields in which it differs from the registered recipe, as recorded by the run.
        seed: seed of the run.
        epoch: number of epochs trained; T for the last epoch.
        subset_sha256: hash of the indices of the training images.
        weights_sha256: hash of the weights file.
        run: environment and versions of the run, which distinguish runs of the same recipe and seed.
    """

    folder: Path
    recipe: Recipe
    overrides: Mapping[str, Any]
    seed: int
    epoch: int
    subset_sha256: str
    weights_sha256: str
    run: Mapping[str, Any]

    @property
    def model(self) -> str:
        """Name of the run: the recipe, the seed, and whether fields were overridden."""
        return f"{self.recipe.name}.seed{self.seed}{' with overrides' if self.overrides else ''}"

    @property
    def label(self) -> str:
        """Name of the checkpoint: the run and the epoch."""
        return f"{self.model} after epoch {self.epoch}"


def read_checkpoint(name: str) -> RunCheckpoint:
    """Find a checkpoint of a run and read its metadata.

    Args:
        name: a recipe's name, `hf-hub:user/repo[@revision]`, `local-dir:path`, or a path.

    Raises:
        InputError: it is missing or damaged, was not written by a run of a recipe, or the number of classes differs.
    """
    folder = find_checkpoint(f"local-dir:{name}" if ":" not in name and Path(name).is_dir() else name)
    config, recipe = checkpoints.read_config(folder), checkpoints.read_recipe(folder)
    weights = (checkpoints.read_manifest(folder) or {}).get(checkpoints.WEIGHTS)
    epochs, classes = recipe.schedule.epochs, checkpoints.benchmark_of(config, recipe).data_set.num_classes
    wanted = {"seed": int, "subset_sha256": str, "overrides": dict, "run": dict, "versions": dict}
    missing = [key for key, kind in wanted.items() if not isinstance(config.get(key), kind)]
    if missing or weights is None:
        raise InputError(f"{folder} was not written by a run: {(missing or ['the hash of its weights'])[0]} is missing")
    if config["num_classes"] != classes:
        raise InputError(
            f"{folder} holds a model of {config['num_classes']} classes, and {recipe.benchmark} has {classes}; "
            "analyse the model that the recipe trained"
        )
    epoch = config.get(checkpoints.EPOCH, epochs)
    if not 1 <= epoch <= epochs:
        raise InputError(f"{folder} says epoch {epoch} of {epochs}, which is impossible; download or train it again")
    return RunCheckpoint(
        folder,
        recipe,
        config["overrides"],
        config["seed"],
        epoch,
        config["subset_sha256"],
        weights,
        {**config["run"], "versions": config["versions"]},
    )


def read_checkpoints(names: Sequence[str], intermediate: Sequence[str] = ()) -> list[RunCheckpoint]:
    """Read the checkpoints of an analysis.

    Args:
        names: see `read_checkpoint`.
        intermediate: the same, for checkpoints of intermediate epochs; one whose run and epoch are among `names` is
            skipped, so that the last epoch counts once.

    Raises:
        InputError: as `read_checkpoint`; two checkpoints have the same recipe, seed and epoch; or benchmark or training
            images differ.
    """
    checkpoints: dict[str, RunCheckpoint] = {}
    named = [(read_checkpoint(name), False) for name in names] + [
        (read_checkpoint(name), True) for name in intermediate
    ]
    for checkpoint, may_repeat in named:
        other = checkpoints.setdefault(checkpoint.label, checkpoint)
        if other is not checkpoint and not (may_repeat and other.run == checkpoint.run):
            raise InputError(f"{other.folder} and {checkpoint.folder} are both {checkpoint.label}; name one of them")
    first, *others = checkpoints.values()
    for checkpoint in others:
        if checkpoint.recipe.benchmark != first.recipe.benchmark:
            raise InputError(
                f"{checkpoint.label} is a model of {checkpoint.recipe.benchmark}, "
                f"{first.label} of {first.recipe.benchmark}; analyse one benchmark at a time"
            )
        if checkpoint.subset_sha256 != first.subset_sha256:
            raise InputError(
                f"{checkpoint.label} was trained on other images of {checkpoint.recipe.benchmark} than {first.label}; "
                "analyse models of one subset at a time"
            )
    return list(checkpoints.values())
