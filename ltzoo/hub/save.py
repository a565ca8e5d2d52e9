"""From a model to its checkpoint."""

import copy
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from timm.models import save_for_hf
from torch import Tensor, nn

from ltzoo.errors import InputError
from ltzoo.hub.card import write_card
from ltzoo.hub.config import WRITER
from ltzoo.hub.layout import CONFIG, EXAMPLE
from ltzoo.hub.load import load_checkpoint
from ltzoo.hub.manifest import read_file, write_manifest

_ROUNDING = 1e-3
"""Of the largest output."""


def save_checkpoint(folder: Path, model: nn.Module, model_args: Mapping[str, Any] | None = None) -> None:
    """Write a model as a checkpoint without figures, replacing the folder as a whole.

    Args:
        folder: where to write.
        model: a timm model.
        model_args: what `timm.create_model` must be told to build it, where timm does not know itself.

    Raises:
        InputError: it is no timm model, or timm could not build it again.
    """
    with new_checkpoint(folder) as fresh:
        write_model(fresh, model, model_args)
        write_card(fresh)


@contextmanager
def new_checkpoint(folder: Path) -> Iterator[Path]:
    """Give a folder to write a checkpoint in; in the end it gets its manifest and takes the place of `folder`."""
    fresh, old = (folder.with_name(f".{folder.name}.{word}") for word in ("new", "old"))
    for left_over in (fresh, old):
        shutil.rmtree(left_over, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        write_manifest(fresh)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_model(
    folder: Path, model: nn.Module, model_args: Mapping[str, Any] | None = None, half: bool = False
) -> None:
    """Write weights, `config.json`, and an input with the output that the written weights give.

    Args:
        folder: an empty folder, or one that holds an earlier attempt.
        model: a timm model.
        model_args: what `timm.create_model` must be told to build it, where timm does not know itself.
        half: store the weights in float16.

    Raises:
        InputError: it is no timm model, or timm could not build it again.
    """
    if not isinstance(getattr(model, "pretrained_cfg", None), dict):
        raise InputError(f"a checkpoint holds a model made by timm.create_model, not {type(model).__name__}")
    stored = copy.deepcopy(model).cpu()
    stored = stored.half() if half else stored.float()
    try:
        save_for_hf(stored, str(folder), dict(WRITER), dict(model_args or {}), safe_serialization=True)
    except ValueError as error:
        raise InputError(f"the model cannot be described: {error}") from error
    write_manifest(folder)
    again = "say in model_args what timm was told, and change nothing in a model but its weights"
    try:
        built = load_checkpoint(folder)
    except InputError as error:
        raise InputError(f"timm cannot build the model again ({error}); {again}") from error
    size = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["pretrained_cfg"]["input_size"]
    images = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    output, expected = run_on_cpu(built, images), run_on_cpu(stored, images)
    if not same_output(output, expected):
        raise InputError(f"timm builds another model from what is stored: its output differs; {again}")
    (folder / EXAMPLE).parent.mkdir(exist_ok=True)
    save_file({"input": images, "output": output}, folder / EXAMPLE)


def run_on_cpu(model: nn.Module, images: Tensor) -> Tensor:
    """Give a model's output in evaluation, float32, on a CPU."""
    with torch.no_grad():
        return model.cpu().float().eval()(images)


def same_output(output: Tensor, expected: Tensor) -> bool:
    """Say whether two outputs are alike up to the rounding of another processor or memory format."""
    largest = float(expected.abs().max()) if expected.numel() else 0.0
    return output.shape == expected.shape and torch.allclose(
        output, expected, rtol=0, atol=_ROUNDING * largest, equal_nan=True
    )


def read_example(folder: Path) -> tuple[Tensor, Tensor]:
    """Read a checkpoint's example: an input, and the output that its weights gave when they were written.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        tensors = load(read_file(folder, EXAMPLE))
        return tensors["input"], tensors["output"]
    except (SafetensorError, KeyError) as error:
        raise InputError(f"{folder / EXAMPLE} is damaged; fetch the checkpoint again") from error


def describe(folder: Path, description: Mapping[str, Any]) -> None:
    """Add keys to the top level of a checkpoint's `config.json`."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8")) | description
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
