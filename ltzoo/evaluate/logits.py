"""Stored test logits: one safetensors file from which figures can be computed again without the model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ltzoo.atomic_write import atomic_write
from ltzoo.data import Groups
from ltzoo.errors import InputError
from ltzoo.evaluate.accuracy import group_accuracy
from ltzoo.evaluate.predict import Predictions
from ltzoo.reading.errors import ContentError, why
from ltzoo.reading.json_text import parse_json
from ltzoo.reading.tensors import read_tensors
from ltzoo.versions import NAME, VERSION, named_if_newer

_KIND = "ltzoo test logits, version 1"
HELD_OUT_RULE = " on held-out images"
"""What a rule says of figures of images that were held out of the training split."""

_NORMS, _BIAS = "classifier.weight_norms", "classifier.bias"
_TEXTS = ("model", "benchmark", "recipe", "rule")
"""Attributes of `StoredLogits` that are stored as text metadata under their own names."""

_KNOWN = {*_TEXTS, "kind", "groups", "groupings", NAME, "logits", "labels", "class_counts", _NORMS, _BIAS}
"""Names of tensors and metadata."""


@dataclass(frozen=True)
class LinearClassifier:
    """The parameters of a linear classifier, z_j = w_j · f + b_j, that can be undone without the features f.

    Attributes:
        weight_norms: (C,) float32, L2 norms of the weight vectors w_j, above 0.
        bias: (C,) float32, the b_j; 0 for a layer without bias.
    """

    weight_norms: Tensor
    bias: Tensor


@dataclass(frozen=True)
class StoredLogits:
    """A model's test logits, with the model and benchmark that they belong to.

    Attributes:
        predictions: logits and labels of the test images.
        class_counts: (C,) training images of each class.
        classifier: the model's classifier; None if it is not a linear layer.
        groupings: groupings of the classes, the requested one first.
        model: name of the model, as given by the user.
        benchmark: name of the benchmark.
        recipe: name of the recipe.
        rule: which epoch was evaluated and how.
    """

    predictions: Predictions
    class_counts: tuple[int, ...]
    classifier: LinearClassifier | None
    groupings: tuple[Groups, ...]
    model: str
    benchmark: str
    recipe: str
    rule: str


def linear_classifier(model: nn.Module) -> LinearClassifier | None:
    """Describe a timm model's classifier; None if it is not a linear layer or a weight vector is 0."""
    layer: Any = model.get_classifier()  # type: ignore[operator]
    if not isinstance(layer, nn.Linear):
        return None
    weight = layer.weight.detach().cpu().double()
    norms = weight.norm(dim=1).float()
    bias = torch.zeros(len(norms)) if layer.bias is None else layer.bias.detach().cpu().float()
    return LinearClassifier(norms, bias) if bool((norms > 0).all()) else None


def write_logits(path: Path, stored: StoredLogits) -> None:
    """Write logits; an existing file is replaced atomically.

    Tensors: `logits` (N, C) float32, `labels` (N,) int64, `class_counts` (C,) int64, and for a linear classifier
    `classifier.weight_norms` and `classifier.bias`, (C,) float32. Metadata (text): `kind`, `model`, `benchmark`,
    `recipe`, `rule`, `ltzoo` (the version), `groups` (the grouping rule) and `groupings` (JSON: for each rule, the
    classes of each group).

    Args:
        path: the file.
        stored: the logits.
    """
    tensors = {
        "logits": stored.predictions.logits.float(),
        "labels": stored.predictions.labels,
        "class_counts": torch.tensor(stored.class_counts, dtype=torch.int64),
    }
    if stored.classifier:
        tensors |= {_NORMS: stored.classifier.weight_norms, _BIAS: stored.classifier.bias}
    groupings = {groups.rule: {name: list(js) for name, js in groups.classes.items()} for groups in stored.groupings}
    metadata = {key: getattr(stored, key) for key in _TEXTS}
    metadata |= {NAME: VERSION, "kind": _KIND, "groups": stored.groupings[0].rule, "groupings": json.dumps(groupings)}
    with atomic_write(path) as fresh:
        fresh.write_bytes(save({key: value.contiguous() for key, value in tensors.items()}, metadata))


def read_logits(path: Path) -> StoredLogits:
    """Read a file written by `write_logits`.

    Raises:
        InputError: the file is missing, damaged, or not a file of logits.
        NewerError: a newer version of ltzoo wrote it, and it has what this one does not know.
    """
    try:
        tensors, metadata = read_tensors(path)
    except ContentError as error:
        raise InputError(f"{path} is missing or damaged ({error}); write it with ltzoo validate --logits") from error
    with named_if_newer(path, metadata, sorted({*tensors, *metadata} - _KNOWN)):
        return _read(path, tensors, metadata)


def _read(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> StoredLogits:
    if metadata.get("kind") != _KIND:
        raise InputError(f"{path} has no {_KIND}; write such a file with ltzoo validate --logits")
    fault = _fault(tensors, metadata)
    if fault:
        raise InputError(f"{path} is damaged: {fault}; write it again with ltzoo validate --logits")
    try:
        groupings = _groupings(metadata, len(tensors["class_counts"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged: its groups cannot be read ({why(error)}); write it again with ltzoo validate --logits"
        ) from error
    return StoredLogits(
        Predictions(tensors["logits"], tensors["labels"]),
        tuple(tensors["class_counts"].tolist()),
        LinearClassifier(tensors[_NORMS], tensors[_BIAS]) if _NORMS in tensors else None,
        groupings,
        **{key: metadata[key] for key in _TEXTS},
    )


def _fault(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str | None:
    """Return what is missing or invalid in a file's tensors and metadata, or None."""
    for key in _TEXTS:
        if key not in metadata:
            return f"it does not say its {key}"
    images, classes = (tensors[key].numel() if key in tensors else 0 for key in ("labels", "class_counts"))
    kinds = {
        "labels": ((images,), torch.int64),
        "class_counts": ((classes,), torch.int64),
        "logits": ((images, classes), torch.float32),
    }
    if _NORMS in tensors or _BIAS in tensors:
        kinds |= {_NORMS: ((classes,), torch.float32), _BIAS: ((classes,), torch.float32)}
    for key, (shape, dtype) in kinds.items():
        found = tensors.get(key)
        if found is None or not found.numel():
            return f"{key} is missing"
        if found.shape != shape or found.dtype != dtype:
            return f"{key} is {tuple(found.shape)} {found.dtype}, but should be {shape} {dtype}"
        if not found.isfinite().all():
            return f"{key} is not finite everywhere"
    labels = tensors["labels"]
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        return f"labels range from {int(labels.min())} to {int(labels.max())}, but there are {classes} classes"
    for key in ("class_counts", _NORMS):
        if key in tensors and not (tensors[key] > 0).all():
            return f"{key} is not above 0 everywhere"
    return None


def _groupings(metadata: Mapping[str, str], classes: int) -> tuple[Groups, ...]:
    """Read the groupings, the requested one first; each must cover all classes."""
    documents, first = parse_json(metadata["groupings"]), metadata["groups"]
    groupings = {
        rule: Groups(rule, {name: tuple(js) for name, js in by_name.items()}) for rule, by_name in documents.items()
    }
    for groups in groupings.values():
        group_accuracy([0.0] * classes, groups)
    return (groupings.pop(first), *groupings.values())
