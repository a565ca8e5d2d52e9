"""Loads the weights that training starts from: timm's, a checkpoint's, a file's, or those of another recipe's run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from ltzoo import checkpoints
from ltzoo.checkpoints.config import read_view
from ltzoo.data import HOLD_OUT, DataSet, Subset
from ltzoo.errors import InputError, first_few
from ltzoo.evaluate import hash_tensors
from ltzoo.hub_errors import reason
from ltzoo.models.classifiers import classifier_names, classifier_of
from ltzoo.recipes import FirstStage, Pretrained, Recipe, Weights
from ltzoo.recipes.model import model_arguments
from ltzoo.recipes.registry import network
from ltzoo.registry import find_checkpoint, get_recipe, list_recipes
from ltzoo.train.first_stage import required_first_stage
from ltzoo.train.options import TrainOptions
from ltzoo.train.weight_file import difference, read_weights

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
        benchmark: what a checkpoint was trained on; None if that is unknown.
        fetch: whether timm's weights are downloaded; if not, the model keeps its fresh weights in their place.
    """

    recipe: Recipe
    origin: str = "fresh"
    cfg: Mapping[str, Any] | None = None
    class_names: tuple[str, ...] = ()
    folder: Path | None = None
    overrides: Mapping[str, list[Any]] = field(default_factory=dict)
    first_stage: Mapping[str, Any] | None = None
    benchmark: str | None = None
    fetch: bool = True

    @property
    def warning(self) -> str | None:
        """Say that a second stage was given a first stage of another benchmark; None if it was not."""
        recipe, first = self.recipe, self.benchmark
        if first in (None, recipe.benchmark) or not _is_second_stage(recipe):
            return None
        return (
            f"warning: {recipe.name} is a second stage on {recipe.benchmark}, but starts from {self.origin}, whose "
            f"features were trained on {first}"
        )

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
                f"applies to the {'head' if self.recipe.trainable.weights == 'head' else 'second stage'} alone"
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
        folder, config = required_first_stage(recipe, start, options)
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
    trained = config.get(checkpoints.RECIPE)
    benchmark = trained.get("benchmark") if isinstance(trained, Mapping) else None
    if network(config["architecture"]) != network(recipe.architecture):
        advice = f"add --arch {config['architecture']}"
        if benchmark not in (None, recipe.benchmark) and _is_second_stage(recipe):
            advice = (
                f"it was trained on {benchmark}, and {recipe.name} is a second stage on {recipe.benchmark}: name a "
                f"checkpoint that was trained on {recipe.benchmark}"
            )
        raise InputError(f"{origin} is a {config['architecture']}, not a {recipe.architecture}; {advice}")
    if recipe.input is not None:
        read_view(config["pretrained_cfg"])
    names = config.get("label_names") or ()
    known = isinstance(names, list) and len(names) == config["num_classes"]
    if known and all(str(name).isdecimal() for name in names):
        # Numbers do not identify classes: a custom data set can have the same.
        known = benchmark == recipe.benchmark != "imagefolder"
    names = tuple(map(str, names)) if known else ()
    return StartWeights(recipe, origin, config["pretrained_cfg"], names, folder, benchmark=benchmark)


def _is_second_stage(recipe: Recipe) -> bool:
    """Return whether the registered recipe of this name is a second stage; another start may have been given."""
    return recipe.name in list_recipes() and isinstance(get_recipe(recipe.name).start, FirstStage)


def load_start(
    model: nn.Module, start: StartWeights, data_set: DataSet, say: Callable[[str], None] | None = None
) -> str | None:
    """Load the weights into a model.

    Args:
        model: the recipe's model with fresh weights.
        start: the result of `find_start`. The recipe's `start.head` decides whether the classifier is kept or fresh; if
            it is None, the classifier is kept if the checkpoint has the same classes.
        data_set: the images that the model is trained on.
        say: called with a line that says which weights of a checkpoint or a file were loaded, and what became of the
            classifier; None for none.

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
    if isinstance(recipe.start, Pretrained) and not start.fetch:
        return None
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
    if say is not None and isinstance(recipe.start, Weights):
        source = start.origin if start.folder is None else start.folder / checkpoints.WEIGHTS
        head = "kept" if keep_head else "fresh"
        say(f"{recipe.name} starts from {source}: {len(kept)} tensors match and are loaded, the classifier is {head}")
    return hash_tensors(kept)


def _keeps_head(start: StartWeights, data_set: DataSet) -> bool:
    asked, head = getattr(start.recipe.start, "head", None), start.recipe.head
    if head.from_class_means:
        if asked == "kept":
            raise InputError(f"the head {head.name} begins with the classes' mean features; set start.head=fresh")
        return False
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
