"""The state that a run is resumed from: one safetensors file, written atomically.

It contains no random state: order and augmentation of an epoch follow from the seed and the epoch's number.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ltzoo.atomic_write import atomic_write
from ltzoo.errors import InputError, first_line
from ltzoo.losses import LossModule
from ltzoo.reading import tensors as reading
from ltzoo.reading.errors import ContentError
from ltzoo.reading.json_text import parse_json
from ltzoo.train.step import Step


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors of any memory format; an existing file is replaced atomically."""
    kept = {key: value.detach().contiguous().cpu() for key, value in tensors.items()}
    with atomic_write(path) as fresh:
        save_file(kept, fresh, dict(metadata or {}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return reading.read_tensors(path)
    except ContentError as error:
        raise InputError(f"{path} is missing or damaged ({error}); start the run again in another --output") from error


def save_state(path: Path, step: Step, progress: Mapping[str, Any]) -> None:
    """Write the state after an epoch.

    Args:
        path: the file.
        step: has the weights and buffers, their moving average, the states of loss and optimizer, the loss scaler.
        progress: the trainer's progress: number of epochs trained, best accuracies.
    """
    tensors = {f"model.{key}": value for key, value in step.model.state_dict().items()}
    if step.ema is not None:
        tensors |= {f"ema.{key}": value for key, value in step.ema.module.state_dict().items()}
    if isinstance(step.criterion, LossModule):
        tensors |= {f"loss.{key}": value for key, value in step.criterion.state_dict().items()}
    numbers: dict[str, dict[str, Any]] = {}
    # Learning rate and other settings of the optimizer follow from the recipe.
    for index, state in step.optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                numbers.setdefault(str(index), {})[key] = value
    plain = {
        "progress": dict(progress),
        "optimizer": numbers,
        "scaler": step.scaler.state_dict() if step.scaler is not None else None,
    }
    save_tensors(path, tensors, {"state": json.dumps(plain)})


def load_state(path: Path, step: Step) -> dict[str, Any]:
    """Restore the state that `save_state` wrote, bit for bit.

    Returns:
        The trainer's progress.

    Raises:
        InputError: the file is missing or damaged, or belongs to another model.
    """
    tensors, metadata = read_tensors(path)
    if "state" not in metadata:
        raise InputError(f"{path} has tensors, but not the state of a run; start the run again in another --output")
    try:
        plain = parse_json(metadata["state"])
        return _restore(plain, tensors, step, path)
    except InputError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path} is damaged ({first_line(error)}); start the run again in another --output") from error


def _restore(plain: dict[str, Any], tensors: Mapping[str, Tensor], step: Step, path: Path) -> dict[str, Any]:
    modules: dict[str, nn.Module] = {"model": step.model}
    modules |= {} if step.ema is None else {"ema": step.ema.module}
    modules |= {"loss": step.criterion} if isinstance(step.criterion, LossModule) else {}
    try:
        for part, module in modules.items():
            module.load_state_dict(_part(tensors, part))
    except RuntimeError as error:
        raise InputError(f"{path} is the state of another model; name another --output") from error
    document = step.optimizer.state_dict()
    parameters = [parameter for group in step.optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in plain["optimizer"].items()}
    for key, value in _part(tensors, "optimizer").items():
        index, name = key.split(".", 1)
        like = parameters[int(index)]
        # In the parameter's own memory format: with other strides a kernel may round differently.
        kept = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        state.setdefault(int(index), {})[name] = kept
    step.optimizer.load_state_dict(document | {"state": state})
    if step.scaler is not None and plain["scaler"] is not None:
        step.scaler.load_state_dict(plain["scaler"])
    progress = plain["progress"]
    if type(progress["epochs"]) is not int or not isinstance(progress["best"], dict):
        raise TypeError("the number of epochs is missing")
    return progress


def _part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Select the tensors with a key prefix, and remove the prefix."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
