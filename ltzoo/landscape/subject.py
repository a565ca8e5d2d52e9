"""What is analysed: the checkpoint of a run, after the last of its epochs or an earlier one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltzoo import checkpoints
from ltzoo.errors import InputError
from ltzoo.recipes import Recipe
from ltzoo.registry import find_checkpoint


@dataclass(frozen=True)
class Subject:
    """A checkpoint.

    Attributes:
        folder: where it lies.
        recipe: what it was trained by.
        overrides: where that differs from the registered recipe of its name, as the run recorded it.
        seed: of its run.
        epoch: how many epochs it was trained; T unless it was kept on the way.
        subset_sha256: the hash of its training images' indices.
        weights_sha256: the hash of its weights' file.
        run: how and with which versions the run computed: what tells it from another one of the same recipe and seed.
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
        """Name the run: the recipe, the seed, and whether fields were overridden."""
        return f"{self.recipe.name}.seed{self.seed}{' with overrides' if self.overrides else ''}"

    @property
    def label(self) -> str:
        """Name the checkpoint: the run, and the epoch."""
        return f"{self.model} after epoch {self.epoch}"


def read_subject(name: str) -> Subject:
    """Find a checkpoint of a run and read what it says of itself.

    Args:
        name: a recipe's name, `hf-hub:user/repo[@revision]`, `local-dir:path`, or a path.

    Raises:
        InputError: it is missing or damaged, no run of a recipe wrote it, or its model has other classes.
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
        raise InputError(f"{folder} says epoch {epoch} of {epochs}, and there is no such; fetch or train it again")
    return Subject(
        folder,
        recipe,
        config["overrides"],
        config["seed"],
        epoch,
        config["subset_sha256"],
        weights,
        {**config["run"], "versions": config["versions"]},
    )


def read_subjects(names: Sequence[str], on_the_way: Sequence[str] = ()) -> list[Subject]:
    """Read the checkpoints of an analysis.

    Args:
        names: see `read_subject`.
        on_the_way: the same, for checkpoints that were kept on the way; one whose run and epoch are among `names` is
            passed over, so that the last epoch counts once.

    Raises:
        InputError: as `read_subject`, two checkpoints are of one recipe, seed and epoch, or they do not share benchmark
            and training images.
    """
    subjects: dict[str, Subject] = {}
    named = [(read_subject(name), False) for name in names] + [(read_subject(name), True) for name in on_the_way]
    for subject, passed_over in named:
        other = subjects.setdefault(subject.label, subject)
        if other is not subject and not (passed_over and other.run == subject.run):
            raise InputError(f"{other.folder} and {subject.folder} are both {subject.label}; name one of them")
    first, *others = subjects.values()
    for subject in others:
        if subject.recipe.benchmark != first.recipe.benchmark:
            raise InputError(
                f"{subject.label} is a model of {subject.recipe.benchmark}, {first.label} of {first.recipe.benchmark}; "
                "analyse one benchmark at a time"
            )
        if subject.subset_sha256 != first.subset_sha256:
            raise InputError(
                f"{subject.label} was trained on other images of {subject.recipe.benchmark} than {first.label}; "
                "analyse models of one subset at a time"
            )
    return list(subjects.values())
