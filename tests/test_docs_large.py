"""docs/large.md: its Python runs as printed, its commands are understood."""

import importlib
import os
import re
import shlex
from pathlib import Path

import pytest
import torch

from ltzoo.__main__ import main
from ltzoo.cli.recipe_options import requested_recipe

DATA = os.environ.get("LTZOO_DATA")
DOCS = Path(__file__).parents[1] / "docs"
LARGE = (DOCS / "large.md").read_text(encoding="utf-8")
STOCK, STAND_IN = re.findall(r"```python\n(.*?)```", LARGE, re.S)


def test_stock_timm_predicts_the_same_classes():
    names: dict = {}
    torch.manual_seed(0)
    exec(STOCK, names)
    images = torch.randn(6, 3, 64, 64)
    with torch.no_grad():
        theirs, ours = (names[key].eval()(images).argsort(dim=1)[:, -5:] for key in ("stock", "trained"))
    assert torch.equal(theirs, ours)


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="LTZOO_DATA names no folder with CIFAR")
def test_the_stand_in_is_read_as_imagenet_lt(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(Path(DATA or ""))
    exec(STAND_IN, {})
    assert main(["inspect", "stand-in", "--benchmark", "imagenetlt", "--quick"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"train +2,330 +1,?000 ", shown)
    assert re.search(r"test +1,?000 +1,?000 ", shown)


def commands(page: str) -> list[list[str]]:
    """The page's ltzoo commands, as words, without what launches them."""
    text = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.S)).replace("\\\n", " ")
    found = re.findall(r"\bltzoo ((?:train|validate|predict|fit) [^\n'#]*)", text)
    return [shlex.split(line) for line in found]


def check_commands(found: list[list[str]]) -> None:
    """Every command is understood, and its recipe is one for images in files."""
    for name, *argv in found:
        parser = importlib.import_module(f"ltzoo.cli.{name}").build_parser(f"ltzoo {name}")
        arguments = parser.parse_args(argv)
        for recipe in arguments.recipe if name == "train" else ():
            assert requested_recipe(recipe.replace("$loss", "vs_ssesam"), arguments).natural, argv


def test_every_command_is_understood(monkeypatch):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    found = commands(LARGE)
    assert len(found) > 3
    check_commands(found)
