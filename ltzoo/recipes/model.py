"""Builds a recipe's model with fresh weights, and determines the size and normalisation of its images."""

from collections.abc import Mapping
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg
from torch import nn

from ltzoo.data import NATURAL_BENCHMARKS, Benchmark, DataSet, ModelInput
from ltzoo.errors import InputError, shown
from ltzoo.models import CosineExpertsClassifier
from ltzoo.models.classifiers import classifier_word  # this also registers our architectures with timm
from ltzoo.recipes.recipe import Recipe


def view_of(recipe: Recipe, cfg: Mapping[str, Any] | None = None) -> ModelInput:
    """Return image size, normalisation, crop and interpolation: the recipe's `input`, else timm's settings.

    Args:
        recipe: a recipe with an `input`.
        cfg: the `pretrained_cfg` of the weights that training starts from; None for that of the architecture.

    Raises:
        InputError: timm does not know the architecture, or its images are not RGB.
    """
    found = dict(cfg) if cfg is not None else _cfg(recipe).to_dict()
    channels, size, _ = found["input_size"]
    if channels != 3:
        raise InputError(
            f"{recipe.architecture} needs images with {channels} channels, but image files are read as RGB; choose "
            "another architecture"
        )
    asked = recipe.input
    if asked is None:
        raise ValueError(f"{recipe.name} has no input")
    return ModelInput(
        size=asked.size or size,
        mean=asked.mean or tuple(found["mean"]),
        std=asked.std or tuple(found["std"]),
        crop_pct=asked.crop_pct or found["crop_pct"],
        interpolation=asked.interpolation or found["interpolation"],
    )


def seen_benchmark(recipe: Recipe, cfg: Mapping[str, Any] | None = None) -> Benchmark:
    """Return a benchmark in memory, with the size and normalisation that its images have where they reach the model.

    Args:
        recipe: a recipe on a data set in memory.
        cfg: see `view_of`.

    Raises:
        InputError: see `view_of`.
    """
    return recipe.data if recipe.input is None else recipe.data.enlarged(view_of(recipe, cfg))


def model_arguments(recipe: Recipe, data_set: DataSet | None = None) -> dict[str, Any]:
    """Return the arguments of `timm.create_model` for a recipe's architecture, except the number of classes.

    Args:
        recipe: the recipe.
        data_set: the images that the model is built for; needed only for a benchmark in files.
    """
    data_set = data_set or seen_benchmark(recipe).data_set
    arguments: dict[str, Any] = {"in_chans": data_set.channels}
    if recipe.head.module != "linear":
        arguments["classifier"] = recipe.head.module
    cfg = _cfg(recipe)
    # A model with a fixed input size, such as a ViT, has weights for each position in the image.
    if cfg.fixed_input_size and cfg.input_size[-1] != data_set.image_size:
        arguments["img_size"] = data_set.image_size
    return arguments


def build_model(
    recipe: Recipe, num_classes: int | None = None, data_set: DataSet | None = None, **kwargs: Any
) -> nn.Module:
    """Build a recipe's model with fresh weights; its `pretrained_cfg` describes the benchmark's images.

    Args:
        recipe: the recipe.
        num_classes: number of classes; the benchmark's if None.
        data_set: the images that the model is built for; needed only for a benchmark in files.
        **kwargs: for `timm.create_model`.

    Raises:
        InputError: timm does not know the architecture or cannot build it with these arguments; or the number of
            classes is unknown.
    """
    _cfg(recipe)
    if data_set is None:
        data_set = _foreseen(recipe, num_classes) if recipe.natural else seen_benchmark(recipe).data_set
    size = (data_set.channels, data_set.image_size, data_set.image_size)
    overlay: dict[str, Any] = {
        "input_size": size,
        "pool_size": None,
        "mean": data_set.mean,
        "std": data_set.std,
        "num_classes": data_set.num_classes,
        "crop_pct": data_set.crop_pct,
    }
    if recipe.input is not None:
        overlay["interpolation"] = data_set.interpolation
    classes = data_set.num_classes if num_classes is None else num_classes
    arguments = model_arguments(recipe, data_set) | {"num_classes": classes} | kwargs
    try:
        model = timm.create_model(recipe.architecture, pretrained_cfg_overlay=overlay, **arguments)
    except (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError) as error:
        if kwargs:
            raise  # the mistake is the caller's, not the recipe's
        reason = " ".join(str(error).split())
        if "'classifier'" in reason or reason.startswith("classifier must be"):
            raise _no_such_classifier(recipe) from error
        raise InputError(f"timm cannot build {recipe.architecture} with {arguments}: {reason}") from error
    if classes and classifier_word(model) != recipe.head.module:
        raise _no_such_classifier(recipe)
    return model


def count_parameters(recipe: Recipe) -> int | None:
    """Count the parameters of a recipe's model, without memory for them; None if the classes are those of a folder."""
    if recipe.natural and NATURAL_BENCHMARKS[recipe.benchmark].num_classes is None:
        return None
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_model(recipe).parameters())


def _no_such_classifier(recipe: Recipe) -> InputError:
    kind = recipe.head.module
    there = [name for name in timm.list_models() if timm.model_entrypoint(name).__module__.startswith("ltzoo.")]
    of_experts = kind == CosineExpertsClassifier.word
    own = ", ".join(
        name
        for name in there
        if ("experts" in name) == of_experts and (of_experts or name.endswith(("_cifar", f"_{kind}")))
    )
    return InputError(
        f"{recipe.architecture} has no {kind} classifier, which {recipe.name} needs; architectures with one: {own}"
    )


def _cfg(recipe: Recipe) -> PretrainedCfg:
    """Look up how timm describes an architecture."""
    name = recipe.architecture
    if not timm.is_model(name):
        raise InputError(f"architecture {shown(name)} is unknown to timm; see timm.list_models()")
    try:
        cfg = timm.get_pretrained_cfg(name)
    except RuntimeError:  # no such tag
        cfg = None
    if cfg is None:
        tagged = timm.list_pretrained(f"{name.split('.')[0]}.*")
        there = f"choose one of {', '.join(tagged[:5])}" if tagged else "leave the tag out"
        raise InputError(f"architecture {shown(name)} has a tag that timm does not know; {there}")
    return cfg


def _foreseen(recipe: Recipe, num_classes: int | None) -> DataSet:
    """Describe the data set of a benchmark in files without opening any file."""
    natural = NATURAL_BENCHMARKS[recipe.benchmark]
    classes = natural.num_classes or num_classes
    if not classes:
        raise InputError(f"the number of classes of {recipe.name} depends on its images; give num_classes")
    counts = (1,) * classes
    return natural.with_counts(counts, tuple(map(str, range(classes))), view_of(recipe)).data_set
