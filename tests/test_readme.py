"""The README's Python runs as it stands there."""

import re
from pathlib import Path

import torch

from ltzoo.registry import create_model

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
API, STEP = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_api_lines_run(finished_run):
    path = re.search(r'path = "(local-dir:.*)"', API).group(1)
    names = {}
    exec(API.replace(path, f"local-dir:{finished_run.checkpoint}"), names)
    assert names["recipe"].name == "resnet32_cifar100lt_vs_ssesam"
    assert names["model"](torch.zeros(1, 1, 16, 16)).shape == (1, 5)


def test_the_step_trains_in_a_plain_loop():
    model = create_model("resnet20_digitslt_vs_ssesam")
    before = model.conv1.weight.detach().clone()
    generator = torch.Generator().manual_seed(0)
    names = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "class_counts": [130, 93, 66, 47, 34, 24, 17, 12, 9, 6],
        "epochs": 2,
        "loader": [(torch.randn(8, 1, 16, 16, generator=generator), torch.arange(8))],
    }
    exec(STEP, names)
    assert names["loss"].isfinite()
    assert not torch.equal(before, model.conv1.weight)
