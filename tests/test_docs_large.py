"""docs/large.md and docs/your-own-images.md: their Python is run as it stands there, their commands are understood."""

import os
import re
import shlex
from pathlib import Path

import pytest
import torch

from ltzoo.__main__ import main
from ltzoo.cli import train, validate
from ltzoo.cli.train import requested_recipe

DATA = os.environ.get("LTZOO_DATA")
DOCS = Path(__file__).parents[1] / "docs"
LARGE = (DOCS / "large.md").read_text(encoding="utf-8")
OWN = (DOCS / "your-own-images.md").read_text(encoding="utf-8")
STOCK, STAND_IN = re.findall(r"```python\n(.*?)```", LARGE, re.S)
PHOTOS = re.findall(r"```python\n(.*?)```", OWN, re.S)[1]


def test_stock_timm_predicts_the_same_classes():
    names: dict = {}
    torch.manual_seed(0)
    exec(STOCK, names)
    images = torch.randn(6, 3, 64, 64)
    with torch.no_grad():
        theirs, ours = (names[key].eval()(images).argsort(dim=1)[:, -5:] for key in ("stock", "trained"))
    assert torch.equal(theirs, ours)


@pytest.mark.skipif(DATA is None, reason="LTZOO_DATA names no folder with CIFAR")
def test_the_stand_in_is_read_as_imagenet_lt(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(Path(DATA or ""))
    exec(STAND_IN, {})
    assert main(["inspect", "stand-in", "--benchmark", "imagenetlt", "--quick"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"train +2,330 +1,?000 ", shown)
    assert re.search(r"test +1,?000 +1,?000 ", shown)


@pytest.mark.skipif(DATA is None, reason="LTZOO_DATA names no folder with CIFAR")
def test_the_photos_are_what_inspect_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(Path(DATA or ""))
    exec(PHOTOS, {})
    assert main(["inspect", "photos"]) == 0
    shown = capsys.readouterr().out
    (printed,) = re.findall(r"```text\n(photos: 10 classes.*?)```", OWN, re.S)
    assert shown.startswith(printed.rstrip("\n"))


def commands(page: str) -> list[list[str]]:
    """The page's trainings and measurements, as words, without what launches them."""
    text = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.S)).replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"\b(?:train|validate)\.py [^\n'#]*", text)]


@pytest.mark.parametrize("words", commands(LARGE) + commands(OWN), ids=" ".join)
def test_every_command_is_understood(words, monkeypatch):
    script, *argv = words
    if script == "validate.py":
        validate.build_parser(script).parse_args(argv)
        return
    arguments = train.build_parser(script).parse_args(argv)
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    for name in arguments.recipe:
        assert requested_recipe(name.replace("$loss", "vs_ssesam"), arguments).natural
