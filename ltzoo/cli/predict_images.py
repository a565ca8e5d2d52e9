"""What `ltzoo predict` does once the checkpoint is found: read the images, predict, print and write."""

import argparse
import csv
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ltzoo import checkpoints
from ltzoo.atomic_write import atomic_write, write_text
from ltzoo.checkpoints.logit_prior import prior_of_recipe
from ltzoo.cli.measure_checkpoint import note_decoding, tta_in_words
from ltzoo.data import NATURAL_BENCHMARKS, Benchmark
from ltzoo.data.batches import Images, crop_to_size
from ltzoo.data.files import ImageFiles, ResizedImages, find_unlabelled, without_unreadable
from ltzoo.data.files.checks import each_image
from ltzoo.data.memory import LabelledImages
from ltzoo.errors import InputError, counted, printable
from ltzoo.evaluate import EvalOptions, LogitPrior, predict_test, read_shares, with_prior
from ltzoo.recipes import Recipe
from ltzoo.registry import create_model


@dataclass(frozen=True)
class _Trained:
    """What a checkpoint says of its model.

    Attributes:
        benchmark: class names and how images reach the model; without a recipe its class counts mean nothing.
        recipe: what it was trained by; None for a checkpoint of timm.
        epochs: how many epochs it was trained for; None for the recipe's.
    """

    benchmark: Benchmark
    recipe: Recipe | None
    epochs: int | None

    @property
    def in_memory(self) -> bool:
        """Whether it was trained on images of a fixed size in memory, such as CIFAR's, which were not enlarged."""
        return self.recipe is not None and self.recipe.input is None


def predict_images(arguments: argparse.Namespace, folder: Path) -> None:
    """Read the images, predict their classes, print a table and write the files asked for.

    Args:
        arguments: those of `ltzoo predict`.
        folder: the checkpoint.
    """
    trained = _read(folder, arguments.model)
    old, shares = _priors(arguments.prior, trained)
    tta = tta_in_words(arguments.tta, trained.benchmark)
    files = _files(arguments)
    images = _as_measured(files, trained)
    model = create_model(f"local-dir:{folder}", pretrained=True)
    scale = trained.recipe.loss.logit_scale if trained.recipe else 1.0
    options = EvalOptions(
        arguments.device,
        flip=arguments.tta == "flip",
        logit_scale=scale,
        workers=arguments.workers or 0,
        crops=arguments.tta == "crops",
    )
    logits = predict_test(model, trained.benchmark, images, options).logits.double()
    if not bool(logits.isfinite().all()):
        raise InputError(f"some logits of {arguments.model} are not finite; check its weights")
    if shares is not None and old is not None:
        logits = with_prior(logits, old.log_shares, shares)
    facts = {
        "model": arguments.model,
        "input": tta.removeprefix(", ") if arguments.tta == "crops" else f"{_input_in_words(trained)}{tta}",
        "prior": arguments.prior,
        "prior_of_logits": old.words if old else "unknown",
        "prior_is_exact": old is not None and old.caveat is None,
        "test_time_augmentation": arguments.tta,
    }
    found = _most_probable(logits, arguments.topk, trained.benchmark.data_set.class_names)
    names = [files.name(k) for k in range(len(files))]
    _print(facts, names, found)
    if arguments.csv:
        _write_csv(arguments.csv, names, found)
    if arguments.json:
        rows = [{"image": name, "classes": _records(top)} for name, top in zip(names, found, strict=True)]
        write_text(arguments.json, json.dumps(facts | {"images": rows}, indent=1) + "\n")


_Top = list[tuple[str, float]]
"""The most probable classes of an image, with their probabilities."""


def _read(folder: Path, name: str) -> _Trained:
    """Read what a checkpoint says of its model, and refuse one that image files make no sense for."""
    config = checkpoints.read_config(folder)
    if checkpoints.RECIPE in config:
        recipe = checkpoints.read_recipe(folder)
        trained = _Trained(checkpoints.benchmark_of(config, recipe), recipe, config.get(checkpoints.EPOCH))
        if recipe.natural:
            note_decoding(name, config)
    else:
        trained = _Trained(_of_timm(config, name), None, None)
    channels = trained.benchmark.data_set.channels
    if channels != 3:
        raise InputError(
            f"{name} needs images with {counted(channels, 'channel')}, but image files are read as RGB; use another "
            "model"
        )
    return trained


def _of_timm(config: Mapping[str, Any], name: str) -> Benchmark:
    """Describe a checkpoint of timm; without names, its classes are called by their numbers."""
    classes = config["num_classes"]
    if not classes:
        raise InputError(f"{name} has no classifier; use a model that has one")
    names = config.get("label_names") or [str(j) for j in range(classes)]
    if not (isinstance(names, list) and len(names) == classes and all(isinstance(label, str) for label in names)):
        raise InputError(f"config.json of {name} is damaged: its label_names are not those of {classes} classes")
    view = checkpoints.read_view(config["pretrained_cfg"])
    return NATURAL_BENCHMARKS["imagefolder"].with_counts((1,) * classes, names, view)


def _priors(asked: str, trained: _Trained) -> tuple[LogitPrior | None, Tensor | None]:
    """Return the prior of the logits, None if unknown, and the shares that are asked for, None for those of training.

    Raises:
        InputError: another prior is asked for, and cannot be reached or read.
    """
    recipe, benchmark = trained.recipe, trained.benchmark
    old, why = None, "config.json has no recipe"
    if recipe is not None:
        old, why = prior_of_recipe(recipe, benchmark.class_counts, trained.epochs)
    if asked == "train":
        return old, None
    if old is None:
        raise InputError(f"it is unknown which class prior the logits stand for, since {why}; use --prior train")
    if old.caveat:
        print(
            f"note: probabilities for another prior are approximate, since {old.caveat}: they are computed as if the "
            f"logits stood for the prior {old.words}",
            file=sys.stderr,
        )
    names = benchmark.data_set.class_names
    if asked == "uniform":
        return old, torch.full((len(names),), 1 / len(names), dtype=torch.float64)
    return old, read_shares(Path(asked), names)


def _files(arguments: argparse.Namespace) -> ImageFiles:
    files = find_unlabelled(arguments.images, arguments.image_root, arguments.image_column, arguments.image_suffix)
    for note in files.notes:
        print(note, file=sys.stderr)
    if arguments.skip_unreadable is not None:
        files = without_unreadable(files, arguments.skip_unreadable, partial(print, file=sys.stderr))
        if not len(files):
            raise InputError("no image is left, since none can be read; name others")
    return files


def _as_measured(files: ImageFiles, trained: _Trained) -> Images:
    """Prepare images as `validate` does; those for a benchmark in memory are cropped to its size and kept there."""
    if trained.in_memory:
        crop = crop_to_size(trained.benchmark.data_set)
        pixels = [torch.as_tensor(found) for found in each_image(files, lambda k: crop(files.image(k)))]
        return LabelledImages(torch.stack(pixels).permute(0, 2, 3, 1).contiguous(), torch.as_tensor(files.labels))
    shorter = trained.recipe.input.shorter_side if trained.recipe and trained.recipe.input else None
    return files if shorter is None else ResizedImages(files, shorter, None)


def _input_in_words(trained: _Trained) -> str:
    data_set = trained.benchmark.data_set
    size = data_set.image_size
    shorter = math.floor(size / data_set.crop_pct)
    first = trained.recipe.input.shorter_side if trained.recipe and trained.recipe.input else None
    words = "" if first is None else f"shorter side at most {first} pixels (bicubic), then "
    words += f"shorter side resized to {shorter} pixels ({data_set.interpolation}), centre {size} x {size}"
    return f"{words}: the size of {data_set.name}'s images" if trained.in_memory else words


def _most_probable(logits: Tensor, k: int, class_names: Sequence[str]) -> list[_Top]:
    """Return the k most probable classes of each image; of equal logits the first class comes first."""
    probabilities = logits.softmax(dim=1)
    order = logits.sort(dim=1, descending=True, stable=True).indices[:, :k]
    values = probabilities.gather(1, order)
    return [
        [(class_names[j], value) for j, value in zip(classes, shares, strict=True)]
        for classes, shares in zip(order.tolist(), values.tolist(), strict=True)
    ]


def _print(facts: Mapping[str, Any], names: Sequence[str], found: Sequence[_Top]) -> None:
    """Print a line for each image and class; the image stands in the first of its lines."""
    if facts["prior_of_logits"] == "unknown":
        stand = "which class prior the logits stand for is unknown"
    else:
        exact = "" if facts["prior_is_exact"] else ", approximately"
        stand = f"the logits stand for the class prior {facts['prior_of_logits']}{exact}"
    print(f"{facts['model']}, {counted(len(names), 'image')}: {facts['input']}")
    print(f"prior: {facts['prior']}; {stand}")
    shown = [*map(printable, names)]
    labels = [[printable(label) for label, _ in top] for top in found]
    width = max(map(len, ["image", *shown]))
    second = max(len(label) for label in ["class", *chain.from_iterable(labels)])
    print(f"{'image':<{width}}  {'class':<{second}}  probability (%)")
    for name, top, texts in zip(shown, found, labels, strict=True):
        for rank, ((_, probability), label) in enumerate(zip(top, texts, strict=True)):
            print(f"{'' if rank else name:<{width}}  {label:<{second}}  {100 * probability:15.1f}")


def _records(top: _Top) -> list[dict[str, Any]]:
    return [{"class": label, "probability": probability} for label, probability in top]


def _write_csv(path: Path, names: Sequence[str], found: Sequence[_Top]) -> None:
    """Write a row for each image and class: image, rank from 1, class, probability from 0 to 1."""
    with atomic_write(path) as fresh, fresh.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "rank", "class", "probability"])
        for name, top in zip(names, found, strict=True):
            writer.writerows([name, rank, label, value] for rank, (label, value) in enumerate(top, 1))
