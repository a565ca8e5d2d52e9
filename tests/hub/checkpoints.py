"""Checkpoints to be published, changed and damaged, and the one line that is wanted for it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from ltzoo.errors import InputError
from ltzoo.hub.manifest import write_manifest

NAME = "resnet20_digitslt_ce_sgd"


def refused(call: Callable[[], object], match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


def write_config(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="latin-1")
    write_manifest(folder)


def change_config(folder: Path, **changes: object) -> None:
    """Change keys; the value `gone` takes one out."""
    config = json.loads((folder / "config.json").read_text()) | changes
    write_config(folder, json.dumps({key: value for key, value in config.items() if value != "gone"}))


def change_weights(folder: Path, change: Callable[[dict], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    write_manifest(folder)


def flip_bit(path: Path, place: int | None = None) -> None:
    """Flip a bit of a file, wherever a link leads; in its middle unless a byte is named."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.resolve().write_bytes(content)
