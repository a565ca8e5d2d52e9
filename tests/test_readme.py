"""The README's Python runs as it stands there."""

import re
from pathlib import Path

import torch

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
API, LOOP = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_api_lines_run(finished_run):
    path = re.search(r'path = "(local-dir:.*)"', API).group(1)
    names = {}
    exec(API.replace(path, f"local-dir:{finished_run.checkpoint}"), names)
    assert names["recipe"].name == "resnet32_cifar100lt_vs_ssesam"
    assert names["model"](torch.zeros(1, 1, 16, 16)).shape == (1, 5)


def test_the_parts_make_a_plain_loop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {}
    exec(LOOP, names)
    assert names["loss"].isfinite()
    assert names["logits"].shape == (400, 10)
    assert set(names["accuracy"]) == {"head", "mid", "tail"}
    assert names["accuracy"]["head"] > 50  # chance is 10
