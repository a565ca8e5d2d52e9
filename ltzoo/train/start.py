"""Loads the weights that training starts from: timm's, a checkpoint's, a file's, or those of another recipe's run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from ltzoo import checkpoints
from ltzoo.checkpoints.config import read_view
from ltzoo.checkpoints.find import search_path
from ltzoo.data import HOLD_OUT, DataSet, Subset
from ltzoo.errors import InputError, first_few
from ltzoo.evaluate import hash_tensors
from ltzoo.hub_errors import reason
from ltzoo.models.heads import classifier_names, classifier_of
from ltzoo.recipes import FirstStage, Pretrained, Recipe, Weights
from ltzoo.recipes.model import model_arguments
from ltzoo.recipes.registry import network
from ltzoo.registry import find_checkpoint, get_recipe
from ltzoo.train.options import TrainOptions
from ltzoo.train.run_folder import RunFolder
from ltzoo.train.weight_file import difference, read_weights

_OF_FIRST_STAGE = ("seed", "label_names", "subset_layout", "subset_sha256", "overrides")
"""What the `config.json` of a first stage must say."""

_FILES = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt")


@dataclass(frozen=True)
class StartWeights:
    """Weights to start from, found but not read yet.

    Attributes:
        recipe: the recipe to train; its `start` describes the weights.
        origin: the name of the weights in messages.
        cfg: timm's `pretrained_cfg` of the weights (image size, normalisation); None if unknown.
        class_names: the class names of a checkpoint; empty if they are unknown.
        folder: the checkpoint's folder; None if the weights are not a checkpoint.
        overrides: overrides of the second stage because its first stage was trained with overrides.
        first_stage: the `config.json` of a first stage's checkpoint; None for all other weights.
    """

    recipe: Recipe
    origin: str = "fresh"
    cfg: Mapping[str, Any] | None = None
    class_names: tuple[str, ...] = ()
    folder: Path | None = None
    overrides: Mapping[str, list[Any]] = field(default_factory=dict)
    first_stage: Mapping[str, Any] | None = None

    def check_images(self, subset: Subset, class_names: Sequence[str]) -> None:
        """Check that a second stage is trained on the same images and classes as its first stage.

        Args:
            subset: the second stage's training images.
            class_names: their classes.

        Raises:
            InputError: images or classes differ.
        """
        first = self.first_stage
        if first is None:
            return
        names = [str(name) for name in first["label_names"]]
        if names != list(class_names):
            differing = [name for name in class_names if name not in names] or [f"{len(names)} classes"]
            raise InputError(
                f"{self.origin} was trained on other classes than this run ({first_few(differing)}); use the first "
                "stage of the same classes"
            )
        if (first["subset_layout"], first["subset_sha256"]) != (subset.layout, subset.sha256):
            raise InputError(
                f"{self.origin} was trained on different images than this run (another copy of the data set, --subset "
                "or --hold-out?); use the same images for both stages"
            )

    def in_words(self, seed: int) -> str:
        """Say where the weights of a run come from.

        Args:
            seed: the run's seed.
        """
        said = f"starts from {self.folder}"
        if self.first_stage is not None and self.first_stage["seed"] != seed:
            said += (
                f", of seed {self.first_stage['seed']}: there is no checkpoint of seed {seed}, so this run's seed "
                "applies to the head alone"
            )
        return said


def find_start(recipe: Recipe, options: TrainOptions) -> StartWeights:
    """Find the weights that a recipe starts from.

    Args:
        recipe: the recipe to train.
        options: a first stage's run is looked up by `first_stages` and `seed`.

    Raises:
        InputError: the weights do not exist, are those of another architecture, or the first stage's run is not
            finished.
    """
    start = recipe.start
    if isinstance(start, Pretrained):
        return _pretrained(recipe)
    if isinstance(start, FirstStage):
        runs = options.first_stages or options.output
        folder = find_first_stage(start.recipe, runs, options.seed)
        unfinished = runs / start.recipe / f"seed{options.seed}"
        if folder is None and unfinished.exists():
            raise InputError(
                f"{recipe.name} begins with {start.recipe}, whose run in {unfinished} is not finished; continue it "
                "with --resume, or remove it"
            )
        if folder is None:
            raise InputError(
                f"{recipe.name} begins with {start.recipe}, which has no finished run of seed {options.seed} in {runs} "
                f"and no checkpoint in the package: train it first, with --recipe {start.recipe} "
                f"--seed {options.seed} --output {runs}"
            )
        config = checkpoints.read_config(folder)
        trained = (config.get(checkpoints.RECIPE) or {}).get("name")
        missing = [key for key in _OF_FIRST_STAGE if key not in config]
        if trained != start.recipe or missing:
            found_there = f"was trained by {trained}" if trained else "names no recipe"
            raise InputError(
                f"{recipe.name} begins with {start.recipe}, but the checkpoint in {folder} "
                f"{found_there if trained != start.recipe else 'lacks ' + missing[0]}; remove it, or train the first "
                "stage"
            )
        found = _checkpoint(recipe, f"{start.recipe}, seed {config['seed']}", folder)
        # `hold_out` is not listed again: the second stage must hold out the same images, and records this itself.
        changed = [key for key in config["overrides"] if key != HOLD_OUT]
        overrides = {"first_stage": [None, ", ".join(changed)]} if changed else {}
        # `check_images` compares the classes and images of both stages, so numbers identify the classes here.
        names = tuple(map(str, config["label_names"]))
        return replace(found, class_names=names, overrides=overrides, first_stage=config)
    if not isinstance(start, Weights):
        return StartWeights(recipe)
    if not (start.of.endswith(_FILES) or Path(start.of).is_file()):
        return _checkpoint(recipe, start.of, find_checkpoint(start.of))
    if not Path(start.of).is_file():
        raise InputError(f"there is no file {start.of} to start from; check the path")
    return StartWeights(recipe, start.of)


def find_first_stage(name: str, runs: Path, seed: int, any_seed: bool = True) -> Path | None:
    """Find the checkpoint of a first stage: its run with the same seed, else a published one.

    Args:
        name: the recipe of the first stage.
        runs: holds run folders.
        seed: the seed of the second stage.
        any_seed: where there is neither a run nor a published checkpoint of that seed, take a published one of another
            seed.

    Returns:
        The checkpoint's folder; None if there is neither, or if the run is not finished.
    """
    run = RunFolder(runs / get_recipe(name).name / f"seed{seed}")
    if run.metrics.exists():
        return run.checkpoint
    if run.path.exists():
        return None  # its seed was asked for: another checkpoint must not take its place silently
    # Only local folders: nothing is downloaded without being requested.
    places = [place for place in search_path() if isinstance(place, Path)]
    published = [folder for place in places for folder in (place / f"{name}.seed{seed}", place / name)]
    published = [folder for folder in published if (folder / checkpoints.CONFIG).is_file()]
    of_seed = [folder for folder in published if checkpoints.read_config(folder).get("seed") == seed]
    return next(iter(of_seed or (published if any_seed else [])), None)


def _pretrained(recipe: Recipe) -> StartWeights:
    try:
        cfg = timm.get_pretrained_cfg(recipe.architecture)
    except RuntimeError:  # no such tag
        cfg = None
    if cfg is None or not cfg.has_weights:
        tagged = timm.list_pretrained(f"{recipe.architecture.split('.')[0]}.*")
        raise InputError(
            f"timm has no pretrained weights of {recipe.architecture}; "
            f"{'it has ' + ', '.join(tagged[:5]) if tagged else 'timm.list_pretrained() lists all that there are'}"
        )
    return StartWeights(recipe, "timm", cfg.to_dict())


def _checkpoint(recipe: Recipe, origin: str, folder: Path) -> StartWeights:
    config = checkpoints.read_config(folder)
    if network(config["architecture"]) != network(recipe.architecture):
        raise InputError(
            f"{origin} is a {config['architecture']}, not a {recipe.architecture}; add --arch {config['architecture']}"
        )
    if recipe.natural:
        read_view(config["pretrained_cfg"])
    names = config.get("label_names") or ()
    known = isinstance(names, list) and len(names) == config["num_classes"]
    if known and all(str(name).isdecimal() for name in names):
        # Numbers do not identify classes: a custom data set can have the same.
        known = (config.get(checkpoints.RECIPE) or {}).get("benchmark") == recipe.benchmark != "imagefolder"
    names = tuple(map(str, names)) if known else ()
    return StartWeights(recipe, origin, config["pretrained_cfg"], names, folder)


def load_start(model: nn.Module, start: StartWeights, data_set: DataSet) -> str | None:
    """Load the weights into a model.

    Args:
        model: the recipe's model with fresh weights.
        start: the result of `find_start`. The recipe's `start.head` decides whether the classifier is kept or fresh; if
            it is None, the classifier is kept if the checkpoint has the same classes.
        data_set: the images that the model is trained on.

    Returns:
        The SHA-256 of the loaded weights; None if the model keeps its fresh weights.

    Raises:
        InputError: the weights cannot be read or downloaded, or do not fit.
    """
    recipe = start.recipe
    keep_head = _keeps_head(start, data_set)
    if recipe.head.changes_linear and not keep_head:
        raise InputError(
            f"the head {recipe.head.name} changes the classifier that it starts from, which must be kept: start from a "
            "checkpoint of the same classes, with start.head=kept"
        )
    arguments = model_arguments(recipe, data_set)
    fresh = _added(model) if keep_head else tuple(f"{name}." for name in classifier_names(model))
    own = model.state_dict()
    wanted = {key: value for key, value in own.items() if not key.startswith(fresh)}
    if isinstance(recipe.start, Pretrained):
        found = _fetch_timm_weights(recipe, arguments)
    elif start.folder is not None:
        found = checkpoints.load_checkpoint(start.folder).state_dict()
    elif isinstance(recipe.start, Weights):
        found = read_weights(Path(recipe.start.of), wanted)
    else:
        return None
    kept = {key: value for key, value in found.items() if not key.startswith(fresh)}
    if wanted.keys() == kept.keys() and _other_shapes(wanted, kept):
        kept = _resized(kept, recipe, arguments, data_set.num_classes if keep_head else 0)
    other = difference(wanted, kept)
    if other:
        raise InputError(
            f"the weights of {start.origin} do not fit {recipe.architecture}: {other}; name their architecture with "
            "--arch, or give weights of this one"
        )
    model.load_state_dict(own | kept)
    return hash_tensors(kept)


def _keeps_head(start: StartWeights, data_set: DataSet) -> bool:
    asked = getattr(start.recipe.start, "head", None)
    same = start.class_names == data_set.class_names
    if asked == "kept" and not same:
        raise InputError(
            f"the classifier of {start.origin} cannot be kept, because its classes differ or are unknown; set "
            "start.head=fresh"
        )
    return same if asked is None else asked == "kept"


def _other_shapes(wanted: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> list[str]:
    """List the keys of weights with different shapes."""
    return [key for key, value in wanted.items() if kept[key].shape != value.shape]


def _resized(
    weights: dict[str, Tensor], recipe: Recipe, arguments: Mapping[str, Any], num_classes: int
) -> dict[str, Tensor]:
    """Let timm resize weights that depend on the image size, such as a ViT's; return them unchanged if it cannot."""
    source = {"source": "", "file": None, "state_dict": dict(weights), "label_offset": 0, "num_classes": num_classes}
    asked: dict[str, Any] = {**arguments, "num_classes": num_classes, "pretrained_cfg_overlay": source}
    try:
        return timm.create_model(recipe.architecture, pretrained=True, **asked).state_dict()
    except Exception:  # with weights of another architecture it can raise anything
        return weights


def _added(model: nn.Module) -> tuple[str, ...]:
    """Return the keys of what a model's classifier has beside the linear one that it begins with; often none."""
    added = getattr(classifier_of(model), "added", ())
    return tuple(f"{name}.{key}" for name in classifier_names(model) for key in added)


def _fetch_timm_weights(recipe: Recipe, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        return timm.create_model(recipe.architecture, pretrained=True, **arguments).state_dict()
    except Exception as error:  # see hub_errors
        raise InputError(
            f"timm's weights of {recipe.architecture} cannot be downloaded or do not fit ({reason(error)}); "
            "check the network, or name a file with --initial-checkpoint"
        ) from error
