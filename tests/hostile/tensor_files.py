"""The readers of weights, states, logits and features, each with a valid example."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save_file

from ltzoo import checkpoints
from ltzoo.checkpoints.files import write_manifest
from ltzoo.checkpoints.save import read_example
from ltzoo.data import Groups
from ltzoo.evaluate import (
    FeatureKey,
    FeatureOrigin,
    LinearClassifier,
    Predictions,
    StoredFeatures,
    StoredLogits,
    read_features,
    read_logits,
    write_features,
    write_logits,
)
from ltzoo.landscape import Lanczos
from ltzoo.landscape.saved_steps import SavedSteps
from ltzoo.report import load_weights
from ltzoo.train.state import load_state, save_state
from ltzoo.train.weight_file import read_weights
from tests.hostile.binaries import archives, safetensors_files
from tests.hostile.documents import copy_checkpoint
from tests.hostile.outcome import Reader
from tests.hostile.texts import json_texts


def _loaded(folder: Path) -> Any:
    return checkpoints.load_checkpoint(folder).num_classes


def _fresh(folder: Path) -> Any:
    return checkpoints.load_checkpoint(folder, pretrained=False).num_classes


def _example(folder: Path) -> Any:
    return [tuple(tensor.shape) for tensor in read_example(folder)]  # the output of weights that diverged is not finite


def _logits(folder: Path) -> None:
    groups = Groups("thirds", {"head": (0,), "mid": (1,), "tail": (2,)})
    predictions = Predictions(torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2]))
    linear = LinearClassifier(torch.ones(3), torch.zeros(3))
    stored = StoredLogits(predictions, (5, 3, 1), linear, (groups,), "m", "digitslt", "r", "last epoch")
    write_logits(folder / "logits.safetensors", stored)


def _features(folder: Path) -> None:
    origin = FeatureOrigin(("a", "b"), 3, "files:0")
    key = FeatureKey("1", "2", "3")
    stored = StoredFeatures(key, "measured", torch.randn(4, 5), torch.tensor([0, 1, 0, 1]), 1.5, origin)
    write_features(folder / "measured-0.safetensors", stored)


def _step() -> Any:
    """What of a step belongs to a run's state."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return SimpleNamespace(model=model, ema=None, criterion=None, optimizer=optimizer, scaler=None)


def _state(folder: Path) -> None:
    save_state(folder / "last.safetensors", _step(), {"epochs": 3, "best": {"best": {"epoch": 1, "overall": 50.0}}})


def _steps(folder: Path) -> None:
    (folder / "probe0").mkdir()
    for m in range(3):
        save_file(
            {"vector": torch.randn(5)}, folder / "probe0" / f"{m:05}.safetensors", {"alpha": "1.5", "beta": "0.5"}
        )


def _restored(folder: Path) -> Any:
    run = Lanczos(lambda vector: vector, torch.ones(5), 4)
    SavedSteps(folder).restore(0, run)
    return run.alphas, run.betas, run.next


def _small() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def _external(folder: Path) -> Any:
    return load_weights(_small(), folder / "weights.safetensors")


def _pickled(folder: Path) -> None:
    torch.save({"state_dict": _small().state_dict(), "epoch": 3}, folder / "weights.pth")


_WEIGHTS: dict[str, Any] = {"build": copy_checkpoint, "finish": write_manifest}


def _model_texts(content: bytes) -> Any:
    """Variants of what of a `config.json` reaches timm."""
    document = json.loads(content)
    document.pop("recipe", None)
    return json_texts(json.dumps(document).encode())


READERS = (
    Reader("config.json, model built", file="config.json", read=_fresh, contents=_model_texts, dear=True, **_WEIGHTS),
    Reader(
        "model.safetensors", file="model.safetensors", read=_loaded, contents=safetensors_files, dear=True, **_WEIGHTS
    ),
    Reader(
        "stored example", file="test/rand_tensors.safetensors", read=_example, contents=safetensors_files, **_WEIGHTS
    ),
    Reader(
        "stored logits",
        _logits,
        "logits.safetensors",
        lambda f: read_logits(f / "logits.safetensors"),
        safetensors_files,
    ),
    Reader(
        "stored features",
        _features,
        "measured-0.safetensors",
        lambda f: read_features(f / "measured-0.safetensors"),
        safetensors_files,
    ),
    Reader(
        "run state",
        _state,
        "last.safetensors",
        lambda f: load_state(f / "last.safetensors", _step()),
        safetensors_files,
    ),
    Reader("saved Lanczos steps", _steps, "probe0/00001.safetensors", _restored, safetensors_files),
    Reader(
        "weights of an external model",
        lambda f: save_file(_small().state_dict(), f / "weights.safetensors"),
        "weights.safetensors",
        _external,
        safetensors_files,
    ),
    Reader(
        "weights to start from (.pth)",
        _pickled,
        "weights.pth",
        lambda f: len(read_weights(f / "weights.pth", _small().state_dict())),
        archives,
    ),
)
