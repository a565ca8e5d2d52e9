"""docs/your-own-images.md: its Python runs as printed, its transcript can be repeated, its commands are understood."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from ltzoo.__main__ import main
from ltzoo.evaluate import read_logits
from tests.test_docs_large import check_commands, commands
from tests.train.folders import plant_splits, run

DATA = os.environ.get("LTZOO_DATA")
ROOT = Path(__file__).parents[1]
OWN = (ROOT / "docs" / "your-own-images.md").read_text(encoding="utf-8")
FEW, LOAD, IMAGES, PHOTOS = re.findall(r"```python\n(.*?)```", OWN, re.S)
(TRANSCRIPT,) = (block for block in re.findall(r"```sh\n(.*?)```", OWN, re.S) if "python photos.py" in block)
PRINTED = re.findall(r"```text\n(.*?)```", OWN, re.S)
with_cifar = pytest.mark.skipif(DATA is None, reason="LTZOO_DATA names no folder with CIFAR")


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


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The working directory, with the page's data folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(Path(DATA or ""))
    return tmp_path


@pytest.mark.slow
@with_cifar
def test_the_photos_are_what_inspect_says(data, capsys):
    exec(FEW, {})
    assert main(["inspect", "photos"]) == 0
    (printed,) = (text for text in PRINTED if text.startswith("photos: 10 classes"))
    assert capsys.readouterr().out.startswith(printed.partition("...")[0].rstrip("\n"))


@pytest.mark.slow
@with_cifar
def test_the_photos_of_the_table_are_as_many_as_it_says(data, capsys):
    exec(PHOTOS, {})
    assert main(["inspect", "photos-tenth", "--quick"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"train +1,241 +10 +100.0 +airplane 500 +truck 5\n", shown)
    assert re.search(r"test +1,000 +10 ", shown)


@pytest.mark.slow
@with_cifar
def test_each_line_of_the_transcript_runs(data):
    """With one epoch in place of 15."""
    if not (data / "data/backbones").is_dir():
        pytest.skip("LTZOO_DATA has no pretrained weights")
    (data / "photos.py").write_text(FEW)
    assert "--epochs 15" in TRANSCRIPT
    text = TRANSCRIPT.replace("--epochs 15", "--epochs 1").replace("python ", f"{sys.executable} ")
    text = re.sub(r"^ltzoo ", f"{sys.executable} -m ltzoo ", text, flags=re.M)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-e", "-c", text], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    (printed,) = (text for text in PRINTED if text.startswith("photos: 10 classes"))
    for line in printed.splitlines():
        if line.startswith(("recipe: ", "ltzoo validate ", "nothing to re-balance", "confusion of all ", "class ")):
            assert line[:60] in done.stdout
    assert done.stdout.endswith("10 ['airplane', 'automobile', 'bird'] False\n")
    assert (data / "photos-model/README.md").is_file()


def test_every_command_is_understood(monkeypatch):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    found = commands(OWN)
    assert len(found) > 7
    check_commands(found)
