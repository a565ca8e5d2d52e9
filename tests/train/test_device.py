"""How a run computes is chosen, said and recorded."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from accelerate import Accelerator
from torch import nn

from ltzoo.errors import InputError
from ltzoo.registry import get_recipe
from ltzoo.train import TrainOptions, train
from ltzoo.train.device import (
    choose_channels_last,
    choose_precision,
    choose_workers,
    make_accelerator,
    synchronize_batchnorm,
)
from ltzoo.train.preparation import _choose_options


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


@pytest.mark.parametrize(("cuda", "bf16", "chosen"), [(0, 0, "float32"), (1, 0, "float32"), (1, 1, "bfloat16")])
def test_automatic_precision_is_that_of_the_device(cuda, bf16, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bool(bf16))
    assert choose_precision("auto") == chosen
    assert choose_precision("tf32") == "tf32"


def test_a_run_says_how_it_computes(tmp_path, capsys):
    recipe = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(1)
    folder = train(recipe, TrainOptions(Path("data"), tmp_path / "chosen"))
    assert yaml.safe_load(folder.recipe.read_text())["run"]["channels_last"] is True
    assert "seed0: 1 epoch on cpu, float32, channels-last, 1 thread, overridden: " in capsys.readouterr().err
    folder = train(recipe, TrainOptions(Path("data"), tmp_path / "asked for", channels_last=False, threads=1))
    assert yaml.safe_load(folder.recipe.read_text())["run"]["channels_last"] is False
    assert "seed0: 1 epoch on cpu, float32, 1 thread, overridden: " in capsys.readouterr().err


@pytest.mark.parametrize(("device", "given", "taken"), [("cuda", 2, 2), ("cuda", None, 3), ("cpu", 2, 2)])
def test_threads_that_are_asked_for_are_taken_on_every_device(device, given, taken, tmp_path, monkeypatch):
    before, accelerator = torch.get_num_threads(), SimpleNamespace(num_processes=1, device=torch.device(device))
    options = TrainOptions(Path("data"), tmp_path, threads=given)
    torch.set_num_threads(3)
    try:
        _choose_options(get_recipe("resnet20_digitslt_ce_sgd"), options, None, accelerator, 1)
        assert torch.get_num_threads() == taken
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("word", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_what_shards_the_weights_is_refused(word, tmp_path, monkeypatch):
    monkeypatch.setenv(f"ACCELERATE_USE_{word}", "true")
    with pytest.raises(InputError, match=f"Accelerate is configured for {word}, which shards the weights"):
        make_accelerator("float32", (), tmp_path)


def test_batchnorm_over_processes_is_for_cuda(monkeypatch):
    net, accelerator = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), Accelerator(cpu=True)
    with pytest.raises(InputError, match="--sync-bn needs CUDA"):
        synchronize_batchnorm(net, accelerator)
    monkeypatch.setattr(Accelerator, "device", torch.device("cuda"))
    assert synchronize_batchnorm(net, accelerator) is net  # one process sees all images
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    names = list(net.state_dict())
    converted = synchronize_batchnorm(net, accelerator)
    assert isinstance(converted[1], nn.SyncBatchNorm)
    assert list(converted.state_dict()) == names


def test_processes_share_the_cores_that_decode(monkeypatch):
    monkeypatch.setattr("ltzoo.train.device.cores", lambda: 12)
    assert [choose_workers(processes) for processes in (1, 2, 4, 24)] == [8, 6, 3, 1]
