"""docs/large.md and docs/your-own-images.md: their Python runs as printed, their commands are understood."""

import os
import re
import shlex
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from ltzoo.__main__ import main
from ltzoo.cli import predict, train, validate
from ltzoo.cli.recipe_options import requested_recipe
from ltzoo.evaluate import read_logits
from tests.train.folders import plant_splits, run

DATA = os.environ.get("LTZOO_DATA")
DOCS = Path(__file__).parents[1] / "docs"
LARGE = (DOCS / "large.md").read_text(encoding="utf-8")
OWN = (DOCS / "your-own-images.md").read_text(encoding="utf-8")
STOCK, STAND_IN = re.findall(r"```python\n(.*?)```", LARGE, re.S)
LOAD, IMAGES, PHOTOS = re.findall(r"```python\n(.*?)```", OWN, re.S)


def test_stock_timm_predicts_the_same_classes():
    names: dict = {}
    torch.manual_seed(0)
    exec(STOCK, names)
    images = torch.randn(6, 3, 64, 64)
    with torch.no_grad():
        theirs, ours = (names[key].eval()(images).argsort(dim=1)[:, -5:] for key in ("stock", "trained"))
    assert torch.equal(theirs, ours)


def test_the_lines_that_load_a_model_compute_the_logits_of_validate(tmp_path):
    AcceleratorState._reset_state(reset_partial_state=True)
    data = plant_splits(tmp_path / "data")
    model = f"local-dir:{run(data, tmp_path / 'output').checkpoint}"
    logits = tmp_path / "logits.safetensors"
    assert main(["validate", "--model", model, "--data-dir", str(data), "--logits", str(logits)]) == 0
    measured = read_logits(logits).predictions
    images = sorted((data / "val").rglob("*.png"))
    assert len(images) == len(measured.labels)
    for image, expected in zip(images, measured.logits, strict=True):
        names: dict = {}
        exec(LOAD.replace("hf-hub:USER/photos", model).replace("photo.jpg", str(image)), names)
        torch.testing.assert_close(names["logits"][0], expected)
        assert names["label"] == sorted(("ant", "bee", "cat"))[expected.argmax()]
    exec(IMAGES.replace('"photos"', repr(str(data))).replace("0.1", "0.25"), names)
    assert (len(names["train"]), len(names["held_out"])) == (13, 4)
    assert names["train"].class_counts == (7, 4, 2)
    assert names["few"] == ["ant", "bee", "cat"]
    assert names["train"][0][0].shape == (3, 32, 32)
    assert float(names["weights"].sum()) == pytest.approx(3)


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


@pytest.mark.slow
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
    """The page's trainings, measurements and predictions, as words, without what launches them."""
    text = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.S)).replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"\bltzoo ((?:train|validate|predict) [^\n'#]*)", text)]


def test_every_command_is_understood(monkeypatch):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    found = commands(LARGE) + commands(OWN)
    assert len(found) > 10
    for name, *argv in found:
        if name in ("validate", "predict"):
            {"validate": validate, "predict": predict}[name].build_parser(f"ltzoo {name}").parse_args(argv)
            continue
        arguments = train.build_parser("ltzoo train").parse_args(argv)
        for recipe in arguments.recipe:
            assert requested_recipe(recipe.replace("$loss", "vs_ssesam"), arguments).natural, argv
