"""The state that a run is resumed from: one safetensors file, written atomically.

A state after an epoch contains no random state: order and augmentation of an epoch follow from the seed and the epoch's
number. One within an epoch has what the epoch's steps have drawn from, and what differs between processes until the
epoch ends.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ltzoo.atomic_write import atomic_write
from ltzoo.errors import InputError, first_line
from ltzoo.losses import LossModule
from ltzoo.reading import tensors as reading
from ltzoo.reading.errors import ContentError, why
from ltzoo.reading.json_text import parse_json
from ltzoo.train.step import Step
from ltzoo.versions import NAME, VERSION, named_if_newer

_KEY, _KEY_WITHIN = "state", "state_within_epoch"
"""Where the metadata has a state after an epoch, and one within an epoch: version 0.2 must refuse the latter."""

_TENSORS = {"model", "ema", "loss", "optimizer", "within"}
"""Prefixes of a state's tensors, beside one for each process."""

_VERSIONS = "versions"
_PLAIN = {"progress", "optimizer", "scaler", _VERSIONS}
"""Keys of what a state has beside tensors; one entry of metadata, since safetensors orders several as it likes."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors of any memory format; an existing file is replaced atomically.

    Raises:
        WriteError: the file cannot be written.
    """
    kept = {key: value.detach().contiguous().cpu() for key, value in tensors.items()}
    with atomic_write(path) as fresh:
        fresh.write_bytes(save(kept, dict(metadata or {})))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return reading.read_tensors(path)
    except ContentError as error:
        raise InputError(f"{path} is missing or damaged ({error}); start the run again in another --output") from error


def read_epoch(path: Path) -> int | None:
    """Return the epoch whose weights a file of selected weights has, from 0; None if there is no such file."""
    if not path.exists():
        return None
    try:
        return int(reading.read_metadata(path)["epoch"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} is damaged ({why(error)}); start the run again in another --output") from error


def read_progress(path: Path) -> tuple[int, int]:
    """Read how far a run is saved, without its tensors.

    Args:
        path: the state.

    Returns:
        The epochs that are trained, and the steps of the next one.

    Raises:
        InputError: the file is missing, damaged, or no state of a run.
    """
    try:
        metadata = reading.read_metadata(path)
        progress = parse_json(metadata.get(_KEY, metadata.get(_KEY_WITHIN, "")))["progress"]
        return int(progress["epochs"]), int(progress.get("step", 0))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is missing or damaged ({why(error)}); start the run again in another --output"
        ) from error


@dataclass(frozen=True)
class PartialEpoch:
    """How far an epoch is trained, for a state within it.

    Attributes:
        step: steps taken.
        total: the sum of their losses times their images, a scalar.
        seconds: time that they took.
        processes: `own_state` of each process.
    """

    step: int
    total: Tensor
    seconds: float
    processes: Sequence[Mapping[str, Tensor]] = ()


def own_state(step: Step) -> dict[str, Tensor]:
    """Return what a process has for itself within an epoch: random generators, and buffers such as BatchNorm's."""
    own = {"random.cpu": torch.get_rng_state(), "random.noise": step.noise.get_state()}
    if step.device.type == "cuda":
        own["random.cuda"] = torch.cuda.get_rng_state(step.device)
    if step.processes > 1:
        for part, module in _modules(step).items():
            stored = module.state_dict().keys()
            own |= {f"{part}.{key}": value.cpu() for key, value in module.named_buffers() if key in stored}
    return own


def _restore_own_state(step: Step, own: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(own["random.cpu"])
    step.noise.set_state(own["random.noise"])
    if step.device.type == "cuda":
        torch.cuda.set_rng_state(own["random.cuda"], step.device)
    for part, module in _modules(step).items():
        buffers = dict(module.named_buffers())
        for key, value in _part(own, part).items():
            buffers[key].copy_(value)


def _modules(step: Step) -> dict[str, nn.Module]:
    """Return what has weights or buffers, by its prefix in a state."""
    found: dict[str, nn.Module] = {"model": step.model}
    found |= {} if step.ema is None else {"ema": step.ema.module}
    return found | ({"loss": step.criterion} if isinstance(step.criterion, LossModule) else {})


def save_state(path: Path, step: Step, progress: Mapping[str, Any], partial: PartialEpoch | None = None) -> None:
    """Write the state after an epoch, or within one.

    Args:
        path: the file.
        step: has the weights and buffers, their moving average, the states of loss and optimizer, the loss scaler.
        progress: the trainer's progress: number of epochs trained, best accuracies.
        partial: how far the next epoch is trained; None if it is not begun.

    Raises:
        WriteError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for part, module in _modules(step).items():
        tensors |= {f"{part}.{key}": value for key, value in module.state_dict().items()}
    numbers: dict[str, dict[str, Any]] = {}
    # Learning rate and other settings of the optimizer follow from the recipe.
    for index, state in step.optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                numbers.setdefault(str(index), {})[key] = value
    plain: dict[str, Any] = {
        _VERSIONS: {NAME: VERSION},
        "progress": dict(progress),
        "optimizer": numbers,
        "scaler": step.scaler.state_dict() if step.scaler is not None else None,
    }
    if partial is not None:
        plain["progress"] |= {"step": partial.step, "seconds": partial.seconds}
        tensors["within.total"] = partial.total
        for number, own in enumerate(partial.processes):
            tensors |= {f"process{number}.{key}": value for key, value in own.items()}
    save_tensors(path, tensors, {_KEY if partial is None else _KEY_WITHIN: json.dumps(plain)})


def load_state(path: Path, step: Step) -> dict[str, Any]:
    """Restore the state that `save_state` wrote, bit for bit; within an epoch, `step.begin` is called too.

    Returns:
        The trainer's progress; within an epoch with the fields of `PartialEpoch` but `processes`.

    Raises:
        InputError: the file is missing or damaged, or belongs to another model.
    """
    tensors, metadata = read_tensors(path)
    stored = metadata.get(_KEY, metadata.get(_KEY_WITHIN))
    if stored is None:
        raise InputError(f"{path} has tensors, but not the state of a run; start the run again in another --output")
    try:
        plain = parse_json(stored)
        with named_if_newer(path, plain.get(_VERSIONS), _unknown_fields(plain, tensors, metadata)):
            progress = _restore(plain, tensors, step, path)
            if _KEY_WITHIN in metadata:
                _begin_partial(progress, tensors, step)
    except InputError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path} is damaged ({first_line(error)}); start the run again in another --output") from error
    return progress


def _unknown_fields(plain: Mapping[str, Any], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> list[str]:
    """List what `save_state` does not write: keys, kinds of tensors, metadata."""
    kinds = {key.partition(".")[0] for key in tensors} - _TENSORS
    kinds = {kind for kind in kinds if not re.fullmatch(r"process\d+", kind)}
    return sorted(kinds | set(plain) - _PLAIN | set(metadata) - {_KEY, _KEY_WITHIN})


def _restore(plain: dict[str, Any], tensors: Mapping[str, Tensor], step: Step, path: Path) -> dict[str, Any]:
    """Restore what a state after an epoch has; returns the trainer's progress."""
    try:
        for part, module in _modules(step).items():
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
    progress: dict[str, Any] = plain["progress"]
    if type(progress["epochs"]) is not int or not isinstance(progress["best"], dict):
        raise TypeError("the number of epochs is missing")
    return progress


def _begin_partial(progress: dict[str, Any], tensors: Mapping[str, Tensor], step: Step) -> None:
    """Begin the epoch that a state lies within, restore what its steps have drawn from, and add the sum of losses."""
    step.begin(progress["epochs"])
    if isinstance(step.criterion, LossModule):  # whose `begin` may have changed it
        step.criterion.load_state_dict(_part(tensors, "loss"))
    _restore_own_state(step, _part(tensors, f"process{step.process}"))
    progress["total"] = tensors["within.total"].to(step.device)


def _part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Select the tensors with a key prefix, and remove the prefix."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
