"""Save a model as a checkpoint, replacing the folder as a whole."""

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from timm.models import save_for_hf
from torch import Tensor, nn

from ltzoo.atomic_write import atomic_folder, write_text
from ltzoo.checkpoints.card import write_card
from ltzoo.checkpoints.config import WRITER
from ltzoo.checkpoints.files import CONFIG, EXAMPLE, read_file, write_manifest
from ltzoo.checkpoints.load import load_checkpoint
from ltzoo.errors import InputError, shortened
from ltzoo.reading.errors import ContentError
from ltzoo.reading.json_text import read_json
from ltzoo.reading.tensors import parse_tensors

_ROUNDING = 1e-3
"""Tolerance between two outputs, relative to the largest absolute value."""


def save_checkpoint(folder: Path, model: nn.Module, model_args: Mapping[str, Any] | None = None) -> None:
    """Save a model as a checkpoint without figures.

    Args:
        folder: where to write; an existing checkpoint is replaced as a whole.
        model: a timm model.
        model_args: arguments that `timm.create_model` needs to build the model again.

    Raises:
        InputError: it is not a timm model, or timm cannot build it again.
    """
    with new_checkpoint(folder) as fresh:
        write_model(fresh, model, model_args)
        write_card(fresh)


@contextmanager
def new_checkpoint(folder: Path) -> Iterator[Path]:
    """Write a checkpoint into a temporary folder that finally gets its manifest and replaces `folder`.

    After an error or a kill the old checkpoint stays, see `atomic_folder`.

    Args:
        folder: the checkpoint to write or to replace.

    Yields:
        An empty folder to write to.

    Raises:
        WriteError: a file cannot be written.
    """
    with atomic_folder(folder) as fresh:
        yield fresh
        write_manifest(fresh)


def write_model(
    folder: Path, model: nn.Module, model_args: Mapping[str, Any] | None = None, half: bool = False
) -> None:
    """Write weights, `config.json`, and an example input with the output of the stored weights.

    The model is then built again from these files, and its output compared.

    Args:
        folder: an empty folder, or one with an earlier attempt.
        model: a timm model.
        model_args: arguments that `timm.create_model` needs to build the model again.
        half: store the weights in float16.

    Raises:
        InputError: it is not a timm model, or timm cannot build it again.
    """
    if not isinstance(getattr(model, "pretrained_cfg", None), dict):
        raise InputError(f"a checkpoint holds a model made by timm.create_model, not {type(model).__name__}")
    stored = copy.deepcopy(model).cpu()
    stored = stored.half() if half else stored.float()
    try:
        save_for_hf(stored, str(folder), dict(WRITER), dict(model_args or {}), safe_serialization=True)
    except ValueError as error:
        raise InputError(f"the model cannot be described: {shortened(str(error))}") from error
    write_manifest(folder)
    again = "pass the arguments of timm.create_model as model_args, and change nothing in a model but its weights"
    try:
        built = load_checkpoint(folder)
    except InputError as error:
        raise InputError(f"timm cannot build the model again ({error}); {again}") from error
    size = read_json(folder / CONFIG)["pretrained_cfg"]["input_size"]
    images = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    output, expected = run_on_cpu(built, images), run_on_cpu(stored, images)
    if not same_output(output, expected):
        raise InputError(f"timm builds another model from what is stored: its output differs; {again}")
    (folder / EXAMPLE).parent.mkdir(exist_ok=True)
    (folder / EXAMPLE).write_bytes(save({"input": images, "output": output}))


def run_on_cpu(model: nn.Module, images: Tensor) -> Tensor:
    """Compute a model's output in evaluation mode, in float32 on a CPU."""
    with torch.no_grad():
        return model.cpu().float().eval()(images)


def same_output(output: Tensor, expected: Tensor) -> bool:
    """Return whether two outputs are equal up to the rounding of another processor or memory format."""
    largest = float(expected.nan_to_num(0, 0, 0).abs().max()) if expected.numel() else 0.0
    return output.shape == expected.shape and torch.allclose(
        output, expected, rtol=0, atol=_ROUNDING * largest, equal_nan=True
    )


def read_example(folder: Path) -> tuple[Tensor, Tensor]:
    """Read a checkpoint's example.

    Returns:
        An input batch, and the output of the stored weights for it.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        tensors = parse_tensors(read_file(folder, EXAMPLE, megabytes=64))
        images, output = tensors["input"], tensors["output"]
    except (ContentError, KeyError) as error:
        raise InputError(f"{folder / EXAMPLE} is damaged; fetch the checkpoint again") from error
    if images.ndim != 4 or len(images) != 1 or not (images.is_floating_point() and output.is_floating_point()):
        raise InputError(f"{folder / EXAMPLE} is damaged: it is not one image and its output; fetch it again")
    return images, output


def update_config(folder: Path, values: Mapping[str, Any]) -> None:
    """Set top-level keys of a checkpoint's `config.json`."""
    config = read_json(folder / CONFIG) | values
    write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")
