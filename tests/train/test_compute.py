"""How a run computes is chosen, said and recorded."""

from pathlib import Path

import pytest
import torch
import yaml

from ltzoo.registry import get_recipe
from ltzoo.train import TrainOptions, train
from ltzoo.train.compute import choose_channels_last


@pytest.mark.parametrize(
    ("precision", "device", "channels_last"),
    [
        ("float32", "cpu", True),
        ("bfloat16", "cpu", True),
        ("float32", "cuda", False),
        ("tf32", "cuda", False),
        ("bfloat16", "cuda", True),
        ("float16", "cuda", True),
    ],
)
def test_the_memory_format_is_chosen_and_said(precision, device, channels_last):
    assert choose_channels_last(precision, torch.device(device)) is channels_last


def test_a_run_says_how_it_computes(tmp_path, capsys):
    recipe = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(1)
    folder = train(recipe, TrainOptions(Path("data"), tmp_path / "chosen"))
    assert yaml.safe_load(folder.recipe.read_text())["run"]["channels_last"] is True
    assert "seed0: 1 epochs on cpu, float32, channels-last, 1 thread, overridden: " in capsys.readouterr().err
    folder = train(recipe, TrainOptions(Path("data"), tmp_path / "asked for", channels_last=False, threads=1))
    assert yaml.safe_load(folder.recipe.read_text())["run"]["channels_last"] is False
    assert "seed0: 1 epochs on cpu, float32, 1 thread, overridden: " in capsys.readouterr().err
