"""How much of a perturbation survives reduced precision: `python benchmarks/casting.py --data-dir data`.

A forward pass in reduced precision uses cast(w + eps) instead of w + eps. The effective perturbation is
cast(w + eps) - cast(w); the smaller eps, the more of it is lost in rounding. Here eps = rho * g / norm(g), with g the
gradient of cross-entropy on a batch of CIFAR-100-LT. Both are compared over the weights of convolutions and linear
layers, which are the ones that autocast casts.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from comparison import NETWORKS
from ltzoo.checkpoints import WEIGHTS
from ltzoo.cli.parser import Parser, run
from ltzoo.data.batches import BatchSettings, Delivery, TrainBatches
from ltzoo.data.memory import load_train
from ltzoo.errors import InputError
from ltzoo.reading.errors import ContentError
from ltzoo.reading.tensors import read_tensors
from ltzoo.recipes import Recipe
from ltzoo.registry import get_recipe
from machine import choose_threads

RHOS = (0.05, 0.5)
_TF32_DROPPED = 13
"""TF32 keeps 10 of float32's 23 bits of mantissa."""


def to_tf32(values: Tensor) -> Tensor:
    """Round float32 to TF32's ten bits of mantissa, to nearest, ties to even.

    This emulates the format; hardware may round differently (ties away from zero, or towards zero).

    Args:
        values: float32, of any shape.
    """
    bits = values.contiguous().view(torch.int32)
    last_kept = (bits >> _TF32_DROPPED) & 1
    rounded = (bits + (2 ** (_TF32_DROPPED - 1) - 1) + last_kept) & -(2**_TF32_DROPPED)
    return torch.where(values.isfinite(), rounded.view(torch.float32), values)


CASTS: dict[str, Callable[[Tensor], Tensor]] = {
    "bfloat16": lambda values: values.to(torch.bfloat16),
    "float16": lambda values: values.to(torch.float16),
    "TF32": to_tf32,
}


def effective_perturbation(weights: Tensor, eps: Tensor, cast: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """Compare cast(w + eps) - cast(w) with eps.

    Args:
        weights: (n,) float32.
        eps: (n,) float32.
        cast: to the reduced precision.

    Returns:
        Their cosine, and the ratio of their norms, effective over intended.
    """
    moved = cast(weights + eps).double() - cast(weights).double()
    intended = eps.double()
    norms = moved.norm() * intended.norm()
    return float(moved @ intended / norms) if norms > 0 else 0.0, float(moved.norm() / intended.norm())


def weights_and_gradient(model: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights that autocast casts, flat, and their part of the gradient, which has norm 1 as a whole."""
    model.train()
    parameters = list(model.parameters())
    gradient = torch.autograd.grad(F.cross_entropy(model(images), targets), parameters)
    norm = nn.utils.get_total_norm(gradient)
    is_cast = {id(layer.weight) for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    pairs = [(p.detach(), g / norm) for p, g in zip(parameters, gradient, strict=True) if id(p) in is_cast]
    return torch.cat([p.flatten() for p, _ in pairs]), torch.cat([g.flatten() for _, g in pairs])


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict.

    Args:
        path: a checkpoint folder, or a safetensors file: a state dict, or a run's `state/last.safetensors`.

    Raises:
        InputError: the file is missing or damaged.
    """
    file = path / WEIGHTS if path.is_dir() else path
    try:
        stored, _ = read_tensors(file)
    except ContentError as error:
        raise InputError(f"{file} is missing or damaged ({error})") from error
    of_model = {key.removeprefix("model."): value for key, value in stored.items() if key.startswith("model.")}
    return of_model or stored


def fits(model: nn.Module, weights: Mapping[str, Tensor]) -> bool:
    """Whether weights have the names and shapes of a model's."""
    wanted = {key: value.shape for key, value in model.state_dict().items()}
    return wanted == {key: value.shape for key, value in weights.items()}


def make_model(recipe: Recipe) -> nn.Module:
    """Build a recipe's network, initialised with seed 0."""
    torch.manual_seed(0)
    return timm.create_model(recipe.architecture, num_classes=recipe.data.data_set.num_classes)


def command(arguments: argparse.Namespace) -> None:
    """Compute and print the table."""
    choose_threads(None)
    trained = read_weights(arguments.checkpoint) if arguments.checkpoint else None
    recipes = {network: get_recipe(name) for network, name in NETWORKS.items()}
    if trained is not None and not any(fits(make_model(recipe), trained) for recipe in recipes.values()):
        raise InputError(
            f"{arguments.checkpoint} holds the weights of neither {' nor '.join(NETWORKS)} with 100 classes and a "
            "linear classifier"
        )
    lines = [
        "| network | weights | rho | cast to | cosine | norm ratio |",
        "| --- | --- | ---: | --- | ---: | ---: |",
    ]
    first, *_ = recipes.values()
    images, _ = load_train(first.data, first.subset, arguments.data_dir)
    for network, recipe in recipes.items():
        settings = BatchSettings(recipe.data.data_set, recipe.views, recipe.batch_size, seed=0)
        batches = TrainBatches(images, settings, Delivery(torch.device("cpu")))
        batch = next(batches.epoch(0))
        model = make_model(recipe)
        lines += rows(network, "initial", *weights_and_gradient(model, *batch))
        if trained is not None and fits(model, trained):
            model.load_state_dict(trained)
            lines += rows(network, str(arguments.checkpoint), *weights_and_gradient(model, *batch))
    print("\n".join(lines))


def rows(network: str, origin: str, weights: Tensor, direction: Tensor) -> list[str]:
    """Format the table rows for one set of weights."""
    made = []
    for rho in RHOS:
        for name, cast in CASTS.items():
            cosine, ratio = effective_perturbation(weights, rho * direction, cast)
            made.append(f"| {network} | {origin} | {rho} | {name} | {cosine:.4f} | {ratio:.4f} |")
    return made


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(prog="casting.py", description="Measure how much of a perturbation survives reduced precision.")
    parser.add_argument(
        "--data-dir", type=Path, default=Path("data"), metavar="DIR", help="folder with CIFAR (%(default)s)"
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="also measure these trained weights: a checkpoint folder or a safetensors file",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return run(build_parser(), command, argv)


if __name__ == "__main__":
    sys.exit(main())
