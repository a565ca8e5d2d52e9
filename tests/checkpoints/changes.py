"""Change and damage checkpoints, and assert that a call is refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from ltzoo.checkpoints.files import write_manifest
from ltzoo.errors import InputError

NAME = "resnet20_digitslt_ce_sgd"


def refused(call: Callable[[], object], match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


def write_config(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="latin-1")
    write_manifest(folder)


def change_config(folder: Path, **changes: object) -> None:
    """Set keys; the value `gone` removes one."""
    config = json.loads((folder / "config.json").read_text()) | changes
    write_config(folder, json.dumps({key: value for key, value in config.items() if value != "gone"}))


def change_weights(folder: Path, change: Callable[[dict], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    write_manifest(folder)


def change_metrics(folder, change):
    metrics = json.loads((folder / "metrics.json").read_text())
    change(metrics)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_manifest(folder)


def better_in_one_group(metrics):
    metrics["last"]["groups"]["count"]["tail"] += 0.1


def flip_bit(path: Path, place: int | None = None) -> None:
    """Flip a bit of a file, following links: of byte `place`, or of the middle one."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.resolve().write_bytes(content)
