"""Models with their initial weights: made as a run makes them, and compared with what is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ltzoo.data import NATURAL_BENCHMARKS, Benchmark
from ltzoo.errors import InputError
from ltzoo.recipes import Recipe, override
from ltzoo.recipes.model import build_model, view_of
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import TrainOptions
from ltzoo.train.start import find_start, load_start

RGB, GREY = "resnet32_cifar100lt_ce_sgd", "resnet20_digitslt_ce_sgd"
"""Checkpoints that come with the package."""
FOLDER = get_recipe("resnet50_imagefolder_ce_sgd")
OPTIONS = TrainOptions(Path("data"), Path("output"))

Weights = dict[str, Tensor]


@dataclass
class Begun:
    """A model with its initial weights, and what it was before."""

    fresh: Weights
    weights: Weights
    sha256: str | None
    benchmark: Benchmark


def begin(recipe: Recipe, classes: tuple[str, ...] = ("ant", "bee", "cat")) -> Begun:
    start = find_start(recipe, OPTIONS)
    if recipe.natural:
        view = view_of(recipe, start.cfg)
        benchmark = NATURAL_BENCHMARKS[recipe.benchmark].with_counts(range(len(classes), 0, -1), classes, view)
    else:
        benchmark = recipe.data
    torch.manual_seed(3)
    model = build_model(recipe, data_set=benchmark.data_set)
    fresh = {key: value.clone() for key, value in model.state_dict().items()}
    sha256 = load_start(model, start, benchmark.data_set)
    return Begun(fresh, model.state_dict(), sha256, benchmark)


def from_(initial: object, architecture: str = "resnet32_cifar", **settings: object) -> Recipe:
    changes = {f"input.{key}": value for key, value in settings.items()}
    return override(FOLDER, {"architecture": architecture, "start": start_of(initial), **changes})


def start_of(initial: object) -> dict[str, str]:
    return {"name": initial} if initial in ("fresh", "pretrained") else {"name": "weights", "of": str(initial)}


def stored(name: str = RGB) -> Weights:
    return create_model(name, pretrained=True).state_dict()


def check(found: Weights, expected: Weights, fresh: Weights | None = None, classifier: str = "fc.") -> None:
    """The weights are the expected ones; the classifier is fresh, where that is given."""
    assert found.keys() >= expected.keys() - {key for key in expected if key.startswith(classifier)}
    for key, value in found.items():
        source = fresh if fresh is not None and key.startswith(classifier) else expected
        assert torch.equal(value, source[key]), key


def one_line(match: str, call: Callable, *arguments: object) -> None:
    with pytest.raises(InputError, match=match) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def in_safetensors(path: Path, weights: Weights) -> Path:
    save_file(weights, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")
