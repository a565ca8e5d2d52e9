"""Losses of several views: the model sees them as one batch; runs are resumed bit for bit, in two processes too."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors.torch import load_file

from ltzoo.errors import InputError, Interrupted
from ltzoo.landscape.loss import make_criterion
from ltzoo.landscape.settings import Settings
from ltzoo.losses import LOSSES, Loss, Outputs, PaCo, register_loss
from ltzoo.recipes.model import build_model
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import TrainOptions, train
from ltzoo.train.checks import check_parts
from ltzoo.train.feature_cache import check_cacheable
from ltzoo.train.forward import feature_size, make_forward
from ltzoo.train.step import Step
from tests.launch import launch_two
from tests.train.two_views import CROPS, TURNED, TwoViews, TwoViewsModule, recipe

FILES = ("checkpoint/model.safetensors", "state/last.safetensors", "state/best.safetensors", "metrics.json")


@dataclass(frozen=True)
class SecondForTheLoss(Loss):
    """The model sees the first view alone; the loss has the images of both."""

    name: ClassVar[str] = "second_for_the_loss"
    asks: ClassVar[frozenset[str]] = frozenset({"images"})
    views: ClassVar[int] = 2
    model_views: ClassVar[int | None] = 1

    def bind(self, class_counts, num_features=None):
        def losses(outputs, targets):
            assert outputs.images.shape[:2] == (len(targets), 2)
            brightness = outputs.images[:, 1].mean(dim=(1, 2, 3))
            return F.cross_entropy(outputs.logits[:, 0], targets, reduction="none") * (2 + brightness).abs()

        return _Plain(losses)


class _Plain(torch.nn.Module):
    def __init__(self, losses):
        super().__init__()
        self.losses = losses

    def forward(self, outputs, targets):
        return self.losses(outputs, targets)


@dataclass(frozen=True)
class OfLogits(SecondForTheLoss):
    """Cross-entropy of the mean logits of two views; it asks for nothing else."""

    name: ClassVar[str] = "of_logits"
    asks: ClassVar[frozenset[str]] = frozenset()
    model_views: ClassVar[int | None] = None

    def bind(self, class_counts, num_features=None):
        return _Plain(lambda logits, targets: F.cross_entropy(logits.mean(dim=1), targets, reduction="none"))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    kinds = (TwoViews, SecondForTheLoss, OfLogits)
    for kind in kinds:
        register_loss(kind)
    yield
    for kind in kinds:
        del LOSSES[kind.name]


def options(output: Path, **changes) -> TrainOptions:
    return TrainOptions(Path("data"), output, **{"workers": 0} | changes)


def same_files(a, b):
    for file in FILES:
        assert (a.path / file).read_bytes() == (b.path / file).read_bytes(), file


def interrupted(patch, step):
    """Send this process a signal in a step, counted from 1."""
    run, count = Step.run, []

    def run_then_signal(self, *arguments):
        count.append(None)
        if len(count) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return run(self, *arguments)

    patch.setattr(Step, "run", run_then_signal)


# The forward pass


def test_the_model_sees_all_views_as_one_batch():
    model = build_model(recipe()).train()
    images = torch.randn(5, 2, 1, 16, 16)
    outputs = make_forward(model, Accelerator(), None, TwoViews())(images)
    assert outputs.logits.shape == (5, 2, 10) and outputs.features.shape == (5, 2, feature_size(model))
    interleaved = torch.stack([images[k, v] for k in range(5) for v in range(2)])
    logits = build_like(model)(interleaved)
    for k in range(5):
        for v in range(2):
            assert torch.equal(outputs.logits[k, v], logits[2 * k + v])
    # BatchNorm saw both views: alone, the first has other logits.
    assert not torch.allclose(outputs.logits[:, 0], build_like(model)(images[:, 0]))


def build_like(model):
    """A model with the same weights and statistics as another had at first."""
    copied = build_model(recipe()).train()
    copied.load_state_dict(model.state_dict())
    return copied


def test_the_images_are_those_of_the_batch_and_further_views_are_not_seen():
    model = build_model(recipe()).train()
    images = torch.randn(4, 2, 1, 16, 16).contiguous()
    outputs = make_forward(model, Accelerator(), None, SecondForTheLoss())(images)
    assert isinstance(outputs, Outputs)
    assert outputs.images.data_ptr() == images.data_ptr() and outputs.images.shape == images.shape
    assert outputs.logits.shape == (4, 1, 10)
    assert torch.equal(outputs.logits[:, 0], build_like(model)(images[:, 0].contiguous()))


@pytest.mark.parametrize("seen", [1, 2, 3])
def test_views_keep_channels_last(seen):
    @dataclass(frozen=True)
    class Three(OfLogits):
        views: ClassVar[int] = 3
        model_views: ClassVar[int | None] = seen

    formats = []

    class Spy(torch.nn.Module):
        def forward(self, images):
            formats.append(images.is_contiguous(memory_format=torch.channels_last))
            return images.mean(dim=(2, 3))

    images = torch.randn(12, 3, 8, 8).to(memory_format=torch.channels_last).unflatten(0, (4, 3))
    logits = make_forward(Spy(), Accelerator(), None, Three())(images)
    assert formats == [True]
    assert torch.equal(logits, images[:, :seen].mean(dim=(3, 4)))


# Runs


@pytest.mark.parametrize(
    ("perturbation", "views", "stop"), [("sam", CROPS, 2), ("ssesam", TURNED, 6), ("ssesam", CROPS, 4)]
)
def test_a_run_stops_and_goes_on_bit_for_bit(perturbation, views, stop, tmp_path, monkeypatch):
    trained = recipe(perturbation, views)
    whole = train(trained, options(tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupted(patch, stop)
        train(trained, options(tmp_path / "parts"))
    same_files(whole, train(trained, options(tmp_path / "parts", resume=True)))

    state = load_file(whole.last_state)
    assert int(state["loss.batches"]) == 2 * 4  # once per step, not once per pass or view
    assert float(state["loss.first_weights"]) > 0
    assert int(state["loss.head.1.num_batches_tracked"]) == 2 * 4  # perturbed passes leave it alone
    optimized = [key for key in state if key.startswith("optimizer.") and state[key].shape == (8,)]
    assert len(optimized) >= 3  # of the head's BatchNorm, and of its first bias
    assert not [key for key in load_file(whole.checkpoint / "model.safetensors") if "head.1" in key or "means" in key]
    model = create_model(f"local-dir:{whole.checkpoint}", pretrained=True)
    assert model(torch.zeros(3, 1, 16, 16)).shape == (3, 10)


def test_a_projection_head_begins_alike_whatever_was_drawn_before(tmp_path):
    heads = []
    for drawn in (0, 5):
        model = build_model(recipe())
        torch.rand(drawn)
        step = Step(recipe(), recipe().data.class_counts, model, Accelerator(), 3, None)
        heads.append(step.criterion.head[0].weight)
    assert torch.equal(*heads)


@pytest.mark.parametrize("kind", [SecondForTheLoss, OfLogits])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_losses_without_state_take_views_too(kind, micro_batches, tmp_path):
    trained = replace(recipe("sam"), loss=kind(), micro_batches=micro_batches).with_epochs(1)
    folder = train(trained, options(tmp_path))
    assert 0 < folder.read_history(1)[0]["train_loss"] < 10


def test_two_processes_stop_go_on_bit_for_bit_and_keep_one_state(tmp_path):
    launch_two(Path(__file__).parent / "two_processes_of_views.py", str(tmp_path))
    results = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    for result in results:
        assert result["codes"] == ["done", "Interrupted", "done", "InputError"]
        assert all(result["equal"]) and len(result["equal"]) == 2
        assert "the loss 'two_views' has another state in each of 2 processes after the first step" in result["said"]
    name = recipe().name
    for file in FILES[:3]:
        whole, parts = (tmp_path / kind / name / "seed0" / file for kind in ("whole", "parts"))
        assert whole.read_bytes() == parts.read_bytes(), file
    assert not (tmp_path / "apart" / name / "seed0").exists()


# What is refused before anything is written


def refused(match, trained, processes=1, smallest=2):
    with pytest.raises(InputError, match=match):
        check_parts(build_model(trained), trained, trained.data, None, smallest, processes)


def test_a_number_of_seen_views_that_does_not_exist_is_refused(monkeypatch):
    monkeypatch.setattr(TwoViews, "model_views", 3)
    refused("lets the model see 3 of 2 views; name 1 to 2", recipe())


def test_a_loss_of_one_process_is_refused_in_two(monkeypatch):
    monkeypatch.setattr(TwoViews, "single_process", True)
    refused("the loss 'two_views' runs in one process alone, not in 2; launch one", recipe(), processes=2)


def test_a_gathered_loss_has_no_local_ascent_in_two(monkeypatch):
    trained = replace(recipe(), ascent="local")
    check_parts(build_model(trained), trained, trained.data, None, 2, 2)
    monkeypatch.setattr(TwoViews, "gathers_images", True)
    check_parts(build_model(trained), trained, trained.data, None, 2, 1)
    refused("the loss 'two_views' compares the images of all 2 processes, so", trained, processes=2)


def test_a_head_that_cannot_take_a_single_image_is_refused_for_a_last_batch_of_one(monkeypatch):
    project = TwoViewsModule.project

    def project_first(self, outputs):
        self.head(outputs.features[:, 0])
        return project(self, outputs)

    check_parts(build_model(recipe()), recipe(), recipe().data, None, 1)
    monkeypatch.setattr(TwoViewsModule, "project", project_first)
    match = (
        "last batch of an epoch has a single image, and the loss 'two_views' cannot be computed for one .*batch-size"
    )
    refused(match, recipe(), smallest=1)


PACO = PaCo(temperature=0.05, alpha=0.01, momentum=0.999, queue_size=64, hidden_size=8, projection_size=4)


def test_paco_refuses_a_last_batch_of_one_in_its_own_words():
    trained = replace(recipe(), loss=PACO, architecture=get_recipe("resnet20_digitslt_ce_sgd").architecture)
    check_parts(build_model(trained), trained, trained.data, None, 2)
    match = "last batch of an epoch has a single image, and the loss 'paco' cannot be computed for one .*--batch-size$"
    refused(match, trained, smallest=1)


def test_a_queue_smaller_than_the_largest_batch_is_refused_before_anything_is_written(tmp_path):
    trained = replace(recipe(), loss=PACO)
    check_parts(build_model(trained), trained, trained.data, None, largest_batch=64)
    match = f"a queue of 64, which is less than the batch of {trained.batch_size}: set queue_size to at least the batch"
    with pytest.raises(InputError, match=match):
        train(trained, options(tmp_path))
    assert not list(tmp_path.iterdir())


def test_mixing_views_is_refused():
    views = (replace(CROPS[0], mixup=0.2), CROPS[1])
    with pytest.raises(ValueError, match="of_logits takes 2 views of each; set both to 0 in every view"):
        replace(recipe(), loss=OfLogits(), views=views)


def test_cached_features_are_refused():
    head_only = replace(recipe(), trainable=replace(recipe().trainable, weights="head", batchnorm="frozen"))
    with pytest.raises(InputError, match="takes the features of one view, and the loss two_views needs views of the"):
        check_cacheable(head_only)


def test_curvature_of_a_loss_of_views_is_refused():
    with pytest.raises(InputError, match="of_logits needs more than the logits of an image or keeps a state; use --lo"):
        make_criterion(replace(recipe(), loss=OfLogits()), 1, Settings(loss="recipe"), torch.device("cpu"))
