"""Weights in a file of another program: found in whatever they are wrapped in, by the names that the model has.

Programs store weights alone, or under `state_dict`, `model`, `model_state_dict`, `teacher` and many other names, beside
optimizers and counters, and prefix the names of all parameters by `module.`, `_orig_mod.`, `model.` or `backbone.`. No
list of such words is needed: the weights are the one set of tensors that has a name of the model's for each of its own,
behind one prefix.
"""

import argparse
import logging
import pickle
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ltzoo.errors import InputError, first_few, first_line
from ltzoo.reading.tensors import check_archive, read_tensors

_logger = logging.getLogger(__name__)

_DEEPEST = 3
"""Mappings within each other that are searched."""

_LONGEST = 16
"""Words, joined by dots, of the longest name of a parameter that is looked for behind a prefix."""

_BATCH_COUNT = "num_batches_tracked"
"""BatchNorm's buffer that files from before PyTorch 0.4.1 lack; torch takes it for 0."""

_AVERAGE = re.compile(r"(^|[._/])(ema|averaged?)([._/]|$)")
"""A moving average of the weights beside the weights: as timm does, the average is taken."""

_INERT: list[Any] = [argparse.Namespace, np.dtype, np.ndarray]
_INERT += [getattr(np.dtypes, name) for name in np.dtypes.__all__]
_INERT += [
    (getattr(import_module("numpy._core.multiarray"), name), f"numpy.{core}.multiarray.{name}")
    for core in ("core", "_core")
    for name in ("scalar", "_reconstruct")
]
"""What training programs store beside tensors and what runs nothing as it is read: options, numbers and arrays."""


@dataclass(frozen=True)
class _Candidate:
    """A set of tensors in a file, and what is before the model's names in it.

    Attributes:
        tensors: by the names that the file has.
        place: where in the file they are, in words.
        prefix: what is before the names of the model's parameters.
    """

    tensors: Mapping[str, Tensor]
    place: str
    prefix: str

    def named(self) -> dict[str, Tensor]:
        """Return the tensors behind the prefix, without it."""
        length = len(self.prefix)
        return {key[length:]: value for key, value in self.tensors.items() if key.startswith(self.prefix)}

    @property
    def is_average(self) -> bool:
        return bool(_AVERAGE.search(self.place.lower()) or _AVERAGE.search(self.prefix.lower()))

    def __str__(self) -> str:
        behind = [f"behind {self.prefix!r}"] if self.prefix else []
        return " ".join([self.place, *behind] if self.place else behind) or "at the top"


def read_weights(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the weights in a file; only tensors, options, numbers and arrays are unpickled.

    Args:
        path: a `.safetensors` file, or one that torch has written.
        wanted: the model's weights, without those that need not be in the file.

    Returns:
        The weights by the model's names. They are the file's nearest where none has all of them, and may have others.

    Raises:
        InputError: the file cannot be read or has no tensors, or has several sets of weights that fit.
    """
    content = _read(path)
    found = [each for tensors, place in _sets(content, "", 0) for each in _behind_prefixes(tensors, place, wanted)]
    if not found:
        raise InputError(
            f"{path} has no weights that can be read ({_described(content)}); give a file of a state dict: "
            "torch.save(model.state_dict(), FILE)"
        )
    fitting = [each for each in found if not _lacking(each, wanted)]
    averages = [each for each in fitting if each.is_average]
    best = averages or fitting or [min(found, key=lambda each: len(_lacking(each, wanted)))]
    if any(not _same(best[0], other, wanted) for other in best[1:]):
        raise InputError(
            f"{path} has {len(best)} sets of weights that fit ({first_few([str(each) for each in best])}); write the "
            "one to start from to a file of its own"
        )
    if averages and any(not _same(best[0], other, wanted) for other in fitting):
        _logger.warning("%s has weights and their moving average, %s: the average is taken", path, best[0])
    weights = best[0].named()
    counts = [key for key in wanted if key.endswith(_BATCH_COUNT) and key not in weights] if fitting else []
    return weights | {key: torch.zeros_like(wanted[key]) for key in counts}


def difference(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Say in what the weights that were found differ from the model's, with names and shapes; empty if they fit.

    Args:
        wanted: the model's weights.
        found: those that shall take their place.
    """
    missing = [key for key in wanted if key not in found]
    extra = [key for key in found if key not in wanted]
    shapes = [key for key in wanted if key in found and found[key].shape != wanted[key].shape]
    said = []
    if missing:
        said.append(f"they lack {len(missing)} of {len(wanted)}, first {_tensor(missing[0], wanted)}")
    if extra:
        said.append(f"they have {len(extra)} that it has not, first {_tensor(extra[0], found)}")
    if shapes:
        key = shapes[0]
        said.append(f"{len(shapes)} of other shapes, first {_tensor(key, found)} in place of {_shape(wanted[key])}")
    return "; ".join(said)


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return read_tensors(path)[0]
        check_archive(path)
        with torch.serialization.safe_globals(_INERT):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        objects = _objects(path) or re.findall(r"GLOBAL (\S+)", str(error))
        raise InputError(
            f"{path} has no weights that can be read (objects that could run code are beside them: "
            f"{first_few(sorted(objects))[:160] or first_line(error)[:120]}); write the state dict alone to a file: "
            "torch.save(model.state_dict(), FILE)"
        ) from error
    except Exception as error:  # for a damaged file the unpickler can raise anything
        raise InputError(
            f"{path} has no weights that can be read ({first_line(error)[:120]}); give a file of weights"
        ) from error


def _objects(path: Path) -> list[str]:
    """List the objects that a pickle would make, without making them; none of a file in torch's old format."""
    try:
        with torch.serialization.safe_globals(_INERT):
            return list(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # the error that the file was read with is reported
        return []


def _sets(content: Any, place: str, depth: int) -> Iterator[tuple[dict[str, Tensor], str]]:
    """Find the mappings from names to tensors in a file, and where they are."""
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield tensors, place
    for key, value in content.items():
        yield from _sets(value, f"{place}/{key}" if place else str(key), depth + 1)


def _behind_prefixes(tensors: Mapping[str, Tensor], place: str, wanted: Collection[str]) -> Iterator[_Candidate]:
    """Read a set of tensors with each prefix that some name of the model's is behind, or with none."""
    prefixes = {"": sum(key in wanted for key in tensors)}
    for key in tensors:
        parts = key.split(".")
        for k in range(max(1, len(parts) - _LONGEST), len(parts)):
            if ".".join(parts[k:]) in wanted:
                prefix = ".".join(parts[:k]) + "."
                prefixes[prefix] = prefixes.get(prefix, 0) + 1
    for prefix in sorted(prefixes, key=lambda each: (-prefixes[each], len(each)))[:8]:
        yield _Candidate(tensors, place, prefix)


def _lacking(candidate: _Candidate, wanted: Collection[str]) -> list[str]:
    needed = [key for key in wanted if not key.endswith(_BATCH_COUNT)]
    return [key for key in needed if candidate.prefix + key not in candidate.tensors]


def _same(a: _Candidate, b: _Candidate, wanted: Collection[str]) -> bool:
    """Return whether two sets have the same weights of the model's."""
    left, right = a.named(), b.named()
    both = [(left.get(key), right.get(key)) for key in wanted]
    return all(x is y or (x is not None and y is not None and torch.equal(x, y)) for x, y in both)


def _described(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"it has {first_few([str(key)[:40] for key in content]) or 'nothing'}, and no tensors by name"
    return f"it has a {type(content).__name__}, and no tensors by name"


def _tensor(key: str, of: Mapping[str, Tensor]) -> str:
    return f"{key[:80]} {_shape(of[key])}"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "(a number)"
