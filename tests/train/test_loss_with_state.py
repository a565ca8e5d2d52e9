"""A loss that asks for features, has a parameter and keeps class prototypes: trained, resumed, and not in the model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from ltzoo.errors import InputError
from ltzoo.losses import LOSSES, Loss, LossModule, register_loss
from ltzoo.recipes import Trainable
from ltzoo.recipes.model import build_model
from ltzoo.registry import create_model, get_recipe
from ltzoo.sharpness import LPFSGD
from ltzoo.train import RunFolder, TrainOptions, train
from ltzoo.train.checks import check_parts
from ltzoo.train.forward import feature_size, model_outputs
from ltzoo.train.progress import Progress


class Prototypes(LossModule):
    """Cross-entropy, and how far features lie from their class's running mean."""

    def __init__(self, loss, classes, features):
        super().__init__(loss)
        self.weight = nn.Parameter(torch.ones(()))
        self.register_buffer("means", torch.zeros(classes, features))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def begin(self, epoch):
        self.epoch.fill_(epoch)

    def forward(self, outputs, targets):
        distance = (outputs.features - self.means[targets]).square().mean(dim=1)
        return F.cross_entropy(outputs.logits, targets, reduction="none") + 0.1 * self.weight * distance

    def commit(self, outputs, targets):
        for j in targets.unique():
            self.means[j] += 0.1 * (outputs.features[targets == j].mean(dim=0) - self.means[j])
        self.batches += 1


@dataclass(frozen=True)
class PrototypeLoss(Loss):
    name: ClassVar[str] = "prototypes"
    asks: ClassVar[frozenset[str]] = frozenset({"features"})

    def bind(self, class_counts, num_features=None):
        return Prototypes(self, len(class_counts), num_features)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    register_loss(PrototypeLoss)
    yield
    del LOSSES["prototypes"]


RECIPE = replace(
    get_recipe("resnet20_digitslt_vs_ssesam").with_epochs(2),
    name="resnet20_digitslt_prototypes_ssesam",
    protocol="mine",
    loss=PrototypeLoss(),
    batch_size=146,
)


def options(output: Path, **changes) -> TrainOptions:
    return TrainOptions(Path("data"), output, **changes)


def loss_state(folder: RunFolder) -> dict[str, torch.Tensor]:
    state = load_file(folder.last_state)
    return {key.removeprefix("loss."): value for key, value in state.items() if key.startswith("loss.")}


def test_it_is_trained_once_per_step_and_resumed_bit_for_bit(tmp_path, monkeypatch):
    whole = train(RECIPE, options(tmp_path / "whole"))
    state = loss_state(whole)
    assert int(state["batches"]) == 2 * 3  # not once per forward pass of SSE-SAM
    assert int(state["epoch"]) == 1
    assert float(state["weight"]) != 1
    assert bool(state["means"].any(dim=1).all())

    def stop(self, row, rates):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Progress, "epoch", stop)
        train(RECIPE, options(tmp_path / "parts"))
    parts = train(RECIPE, options(tmp_path / "parts", resume=True))
    for file in ("checkpoint/model.safetensors", "state/last.safetensors"):
        assert (whole.path / file).read_bytes() == (parts.path / file).read_bytes(), file


def test_the_model_keeps_nothing_of_it(tmp_path):
    folder = train(RECIPE.with_epochs(1), options(tmp_path))
    model = create_model(f"local-dir:{folder.checkpoint}", pretrained=True)
    assert model.state_dict().keys() == create_model("resnet20_digitslt_vs_ssesam").state_dict().keys()
    assert model(torch.zeros(1, 1, 16, 16)).shape == (1, 10)


def test_outputs_that_no_timm_model_gives_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(PrototypeLoss, "asks", frozenset({"projections"}))
    with pytest.raises(InputError, match="CifarResNet provides logits and features, but the loss needs projections"):
        train(RECIPE, options(tmp_path))
    assert not list(tmp_path.iterdir())


def refused(match, recipe, processes=1):
    model = build_model(recipe)
    with pytest.raises(InputError, match=match):
        check_parts(model, recipe, recipe.data, None, processes=processes)


def test_a_loss_of_one_process_refuses_two(monkeypatch):
    check_parts(build_model(RECIPE), RECIPE, RECIPE.data, None, processes=2)
    monkeypatch.setattr(PrototypeLoss, "single_process", True)
    refused("the loss 'prototypes' runs in one process alone, not in 2; launch one", RECIPE, processes=2)


def test_a_plain_module_with_parameters_is_refused(monkeypatch):
    monkeypatch.setattr(PrototypeLoss, "asks", frozenset())
    monkeypatch.setattr(PrototypeLoss, "bind", lambda self, counts, num_features=None: nn.Linear(2, 2))
    refused("has parameters or state: its module must extend ltzoo.losses.LossModule", RECIPE)


def test_a_module_that_forgets_what_its_loss_asks_for_is_refused(monkeypatch):
    init = LossModule.__init__
    monkeypatch.setattr(LossModule, "__init__", lambda self, loss=None: init(self))
    refused("has another asks than the loss itself; pass the loss on", RECIPE)


def test_features_are_those_of_the_classifier():
    model = timm.create_model("mobilenetv3_small_050", num_classes=3).eval()
    outputs = model_outputs(model, {"features"})(torch.zeros(1, 3, 32, 32))
    assert outputs.features.shape == (1, feature_size(model))
    assert torch.equal(outputs.logits, model(torch.zeros(1, 3, 32, 32)))


def test_a_loss_that_compares_images_refuses_noise_in_parts(monkeypatch):
    monkeypatch.setattr(PrototypeLoss, "ties_images", True)
    noise = LPFSGD(std=0.01, parts=2)
    with pytest.raises(ValueError, match="compares the images of a batch, which parts, mixup and cutmix change"):
        replace(RECIPE, perturbation=noise, trainable=Trainable("all", "all"))


def test_a_loss_that_compares_images_refuses_micro_batches(monkeypatch):
    monkeypatch.setattr(PrototypeLoss, "ties_images", True)
    with pytest.raises(
        ValueError, match="the loss prototypes of an image depends on the others of its batch; set micro_batches to 1"
    ):
        replace(RECIPE, micro_batches=2)
