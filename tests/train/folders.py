"""Small folders of pictures, and the command that trains a tiny network on them."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ltzoo.cli import train, validate
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder
from ltzoo.train.progress import Progress
from tests.data.pictures import Made

NAME = "resnet50_imagefolder_vs_ssesam"
TRAIN = {"ant": 9, "bee": 5, "cat": 3}
VAL = {"ant": 3, "bee": 1, "cat": 1}
EPOCHS = ("--epochs", "2")
TINY = ("--arch", "test_resnet", "--img-size", "32", "-b", "9", "-j", "0", *EPOCHS)


def plant(root: Path, counts: Mapping[str, int], first: int = 0) -> Path:
    """Write so many pictures of each class, all different."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            Made(1).image(first).save(root / name / f"{k}.png")
            first += 1
    return root


def plant_splits(root: Path, train: Mapping[str, int] = TRAIN, val: Mapping[str, int] = VAL) -> Path:
    """Write a training and a test split."""
    plant(root / "train", train)
    plant(root / "val", val, 1000)
    return root


def run(data: Path, output: Path, *options: str, name: str = NAME, seed: int = 0) -> RunFolder:
    """Train through the command, which must end well."""
    assert code_of(data, output, *options, name=name) == 0
    return RunFolder(output / name / f"seed{seed}")


def code_of(data: Path, output: Path, *options: str, name: str = NAME) -> int:
    """Train through the command; its exit code."""
    tiny = TINY[: -len(EPOCHS)] if get_recipe(name).head.computed else TINY  # nothing is trained: no epochs
    return train.main(["--recipe", name, *tiny, "--data-dir", str(data), "--output", str(output), *options])


def refused(capsys: pytest.CaptureFixture, *arguments: object, **keywords: str) -> str:
    """Train through the command, which must refuse; the one line that it says, without what it said of the start."""
    capsys.readouterr()
    assert code_of(*arguments, **keywords) == 2
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line]
    errors = [line for line in lines if line.startswith("train.py: error: ")]
    assert len(errors) == 1 and lines[-1] == errors[0], captured.err
    assert "Traceback" not in captured.err and len(errors[0]) < 500
    return errors[0].removeprefix("train.py: error: ")


def figures(model: Path, data: Path, json_file: Path, *options: str) -> dict:
    """Measure a checkpoint through the command."""
    argv = ["--model", f"local-dir:{model}", "--data-dir", str(data), "--json", str(json_file), *options]
    assert validate.main(argv) == 0
    return json.loads(json_file.read_text())


def interrupt_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Stop a run as Ctrl-C does, once so many epochs are reported."""

    def stop(self, row, rates):
        if row["epoch"] + 1 == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "epoch", stop)


def files_of(folder: RunFolder) -> dict[str, bytes]:
    """Every file of a run but its lock."""
    paths = (path for path in folder.path.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder.path)): path.read_bytes() for path in paths}
