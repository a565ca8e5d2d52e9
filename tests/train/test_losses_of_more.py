"""Losses that ask for more than logits, trained for two epochs on the digits, and refused where a network lacks it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ltzoo.__main__ import main
from ltzoo.errors import InputError
from ltzoo.losses import DROLT, DRW, RIDE, SADE, InfluenceBalanced
from ltzoo.recipes import CosineExpertsHead, recipe_from_dict, recipe_to_dict
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import TrainOptions, preparation, train
from ltzoo.train.progress import Progress
from ltzoo.train.settings_warnings import settings_warnings

PLAIN = replace(
    get_recipe("resnet20_digitslt_ce_sam").with_epochs(2), name="resnet20_digitslt_more_sam", protocol="mine"
)
EXPERTS = replace(PLAIN, architecture="resnet20_3experts_cifar", head=CosineExpertsHead())
LOSSES = {
    "ride": replace(EXPERTS, loss=RIDE(0.5, 30.0, 0.45, 0.05, 1, 0.9999)),
    "sade": replace(EXPERTS, loss=SADE(2.0)),
    "ib": replace(PLAIN, loss=InfluenceBalanced(1, 1000.0, 0.001, 1.0, 0.0)),
    "drolt": replace(PLAIN, loss=DROLT(1.0, 1.0)),
}


def options(output: Path, **changes) -> TrainOptions:
    return TrainOptions(Path("data"), output, **changes)


@pytest.mark.parametrize("name", LOSSES)
def test_it_is_trained_and_its_checkpoint_is_the_network_alone(name, tmp_path, capsys):
    recipe = LOSSES[name]
    folder = train(recipe, options(tmp_path))
    model = create_model(f"local-dir:{folder.checkpoint}", pretrained=True).eval()
    state = load_file(folder.last_state)
    trained = {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}
    assert model.state_dict().keys() == trained.keys()
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, trained[key], rtol=1e-3, atol=1e-6)  # stored in float16
    if recipe.architecture == "resnet20_3experts_cifar":
        images = torch.randn(3, 1, 16, 16)
        torch.testing.assert_close(model(images), model.forward_experts(images).mean(dim=1))
        assert main(["validate", "--model", f"local-dir:{folder.checkpoint}"]) == 0
        table = capsys.readouterr().out.splitlines()[1:6]
        assert [line.split("  ")[0] for line in table] == ["", "last epoch", "expert 1", "expert 2", "expert 3"]


def test_drolts_prototypes_and_radii_survive_a_stop_bit_for_bit(tmp_path, monkeypatch):
    whole = train(LOSSES["drolt"], options(tmp_path / "whole"))
    state = load_file(whole.last_state)
    assert bool(state["loss.known"].all())
    assert bool((state["loss.radius"] != 1).all())

    def stop(self, row, rates):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Progress, "epoch", stop)
        train(LOSSES["drolt"], options(tmp_path / "parts"))
    parts = train(LOSSES["drolt"], options(tmp_path / "parts", resume=True))
    for file in ("checkpoint/model.safetensors", "state/last.safetensors"):
        assert (whole.path / file).read_bytes() == (parts.path / file).read_bytes(), file


@pytest.mark.parametrize("name", LOSSES)
def test_its_recipe_is_read_back(name):
    assert recipe_from_dict(recipe_to_dict(LOSSES[name])) == LOSSES[name]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (replace(PLAIN, loss=SADE(2.0)), "CifarResNet provides logits and features, but the loss needs experts"),
        (replace(EXPERTS, loss=LOSSES["ride"].loss, architecture="resnet20_cifar"), "has no cosine_experts classifier"),
    ],
)
def test_a_network_without_experts_is_refused_before_anything_is_written(recipe, message, tmp_path):
    with pytest.raises(InputError, match=message):
        train(recipe, options(tmp_path))
    assert not list(tmp_path.iterdir())


def test_more_experts_than_terms_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    build = preparation.build_model
    monkeypatch.setattr(preparation, "build_model", lambda recipe, **kwargs: build(recipe, num_experts=4, **kwargs))
    with pytest.raises(InputError, match="sade has one term for each of 3 experts, but the model has 4"):
        train(LOSSES["sade"], options(tmp_path))
    assert not list(tmp_path.iterdir())


def test_stages_of_a_loss_scale_with_the_epochs_and_late_ones_are_warned_of():
    recipe = replace(LOSSES["ride"], schedule=replace(PLAIN.schedule, epochs=40), loss=RIDE(0.5, 30, 0.45, 0.05, 32, 1))
    assert recipe.with_epochs(10).loss.start == 8
    late = replace(recipe, loss=replace(recipe.loss, start=40))
    assert not [line for line in settings_warnings(recipe, [9, 4]) if "loss.start" in line]
    (line,) = [line for line in settings_warnings(late, [9, 4]) if "loss.start" in line]
    assert line.startswith("loss.start is 40, but the last of 40 epochs is 39")


@pytest.mark.parametrize("name", ["ride", "sade"])
def test_class_weights_that_would_count_twice_are_warned_of(name):
    recipe = replace(LOSSES[name], reweighting=DRW(start=1, beta=0.9999))
    found = [line for line in settings_warnings(recipe, [9, 4]) if "count twice" in line]
    assert len(found) == (name == "ride")  # SADE has offsets, no weights
    assert not [line for line in settings_warnings(LOSSES[name], [9, 4]) if "count twice" in line]
