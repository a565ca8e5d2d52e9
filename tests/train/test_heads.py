"""Two-stage methods on the digits: what moves, what is computed, what is folded, and what the checkpoint holds."""

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from ltzoo.checkpoints import read_config
from ltzoo.data.batches import Delivery, make_eval_batches
from ltzoo.data.memory import load_test, load_train
from ltzoo.errors import InputError
from ltzoo.models import DisAlignClassifier, NearestMeanClassifier
from ltzoo.models.computed_heads import fit_nearest_mean_
from ltzoo.models.heads import ScaledLinear
from ltzoo.recipes import LinearHead, ScaledHead, Weights
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import RunFolder, TrainOptions, train
from ltzoo.train.head import fold_head, put_head

FIRST = "resnet20_digitslt_ce_sgd"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
METHODS = ("lws", "taunorm", "ncm", "disalign", "bsrt", "mislas_like")
TRAINED = {
    "lws": {"fc.scale"},
    "disalign": {"fc.scale", "fc.offset", "fc.confidence_weight", "fc.confidence_bias"},
    "bsrt": {"fc.weight", "fc.bias"},
    "mislas_like": {"fc.scale", "fc.weight", "fc.bias"},
}


def recipe_of(method: str):
    if method == "mislas_like":  # scale, weights and biases are trained, BatchNorm is frozen
        lws = get_recipe("resnet20_digitslt_lws_sgd")
        return replace(
            lws,
            head=ScaledHead(lr_factor=0.5),
            trainable=replace(lws.trainable, batchnorm="frozen"),
            optimizer=replace(lws.optimizer, lr=0.01),
        ).with_epochs(2)
    recipe = get_recipe(f"resnet20_digitslt_{method}_sgd")
    return recipe if recipe.head.computed else recipe.with_epochs(2)


@pytest.fixture(scope="module")
def runs(finished_run, tmp_path_factory):
    """A second stage of each method on one first stage, each trained when it is asked for."""
    output = tmp_path_factory.mktemp("heads")
    shutil.copytree(finished_run.path, output / FIRST / "seed0")

    @cache
    def run(method: str) -> RunFolder:
        recipe = recipe_of(method)
        folder = output / method
        return train(recipe, TrainOptions(Path("data"), folder, first_stages=output))

    return run


@pytest.fixture(scope="module")
def first(finished_run) -> dict[str, torch.Tensor]:
    weights = load_file(finished_run.checkpoint / "model.safetensors")
    return {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}


@pytest.mark.parametrize("method", TRAINED)
def test_only_what_the_method_trains_moves_and_statistics_as_stated(runs, first, method):
    state = load_file(runs(method).last_state)
    after = {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}
    moved = {key for key in first if not torch.equal(first[key], after[key])}
    moved |= {key for key in TRAINED[method] if key not in first}
    frozen = recipe_of(method).trainable.batchnorm == "frozen"
    statistics = set() if frozen else {key for key in first if key.endswith(STATISTICS)}
    assert moved == TRAINED[method] | statistics
    begun = {"fc.scale": 1.0, "fc.offset": 0.0, "fc.confidence_weight": 0.1}
    assert all((after[key] != value).any() for key, value in begun.items() if key in after)


@pytest.mark.parametrize("method", ["taunorm", "ncm"])
def test_a_computed_head_leaves_everything_below_it(runs, first, method):
    stored = load_file(runs(method).checkpoint / "model.safetensors")
    below = [key for key in first if not key.startswith("fc.")]
    assert all(torch.equal(first[key], stored[key].to(first[key].dtype)) for key in below)
    assert runs(method).summary.read_text().count("\n") == 1  # the header
    metrics = json.loads(runs(method).metrics.read_text())
    assert (metrics["best"], metrics["paper"]) == (None, None)
    assert metrics["last"]["rule"] == "computed, not trained"
    assert not (runs(method).checkpoint / "curves.png").exists()
    card = (runs(method).checkpoint / "README.md").read_text()
    assert "The head is computed, not trained" in card and "curves.png" not in card


@pytest.mark.parametrize("method", METHODS)
def test_the_checkpoint_is_a_model_like_any_other(runs, method):
    folder = runs(method).checkpoint
    model = create_model(f"local-dir:{folder}", pretrained=True)
    kinds = {"ncm": NearestMeanClassifier, "disalign": DisAlignClassifier}
    assert type(model.get_classifier()) is kinds.get(method, nn.Linear)
    assert read_config(folder)["architecture"] == "resnet20_cifar"
    same = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(same(images), model.eval()(images))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert create_model(f"local-dir:{folder}", pretrained=True, num_classes=3)(images).shape == (2, 3)


def test_the_scale_is_folded_into_the_stored_classifier(runs):
    for method in ("lws", "mislas_like"):
        state = load_file(runs(method).last_state)
        scale, weight, bias = (state[f"model.fc.{key}"] for key in ("scale", "weight", "bias"))
        stored = load_file(runs(method).checkpoint / "model.safetensors")
        dtype = stored["fc.weight"].dtype  # float16 where that changes no class's accuracy
        torch.testing.assert_close(stored["fc.weight"], (scale[:, None] * weight).to(dtype), rtol=0, atol=0)
        torch.testing.assert_close(stored["fc.bias"], (scale * bias).to(dtype), rtol=0, atol=0)


def test_the_stored_model_has_the_logits_of_the_trained_one():
    model = timm.create_model("resnet20_cifar", num_classes=10).double()
    put_head(model, ScaledHead(lr_factor=0))
    torch.nn.init.uniform_(model.fc.scale)
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    expected = model.eval()(images)
    fold_head(model)
    assert type(model.fc) is nn.Linear
    torch.testing.assert_close(model(images), expected, rtol=1e-6, atol=1e-6)


def test_tau_normalisation_is_of_the_first_stages_weights(runs, first):
    stored = load_file(runs("taunorm").checkpoint / "model.safetensors")
    weight = first["fc.weight"].double()
    expected = weight / weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(stored["fc.weight"].double(), expected, rtol=0, atol=1e-3)
    assert not stored["fc.bias"].any()


def test_the_class_means_are_of_the_unaugmented_training_features(runs):
    model = create_model(f"local-dir:{runs('ncm').checkpoint}", pretrained=True)
    recipe = get_recipe("resnet20_digitslt_ncm_sgd")
    images, _ = load_train(recipe.data, "cao", Path("data"))
    batches = make_eval_batches(images, recipe.data.data_set, Delivery(torch.device("cpu")))
    with torch.no_grad():
        found = [(model.eval().forward_head(model.forward_features(x), pre_logits=True), y) for x, y in batches]
    features, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    expected = NearestMeanClassifier(64, 10)
    fit_nearest_mean_(expected, features, labels)
    torch.testing.assert_close(model.fc.weight, expected.weight, rtol=0, atol=2e-3)
    torch.testing.assert_close(model.fc.center, expected.center, rtol=2e-3, atol=2e-3)
    assert len(load_test(recipe.data, Path("data")).labels) == 400


def test_weights_and_biases_of_a_scaled_head_have_their_own_learning_rate(runs, first):
    """One step of SGD without momentum or decay: the gradient's share of each part."""
    recipe = recipe_of("mislas_like")
    plain = replace(recipe.optimizer, momentum=0.0, weight_decay=0.0)
    moved = []
    for factor in (0.5, 0.25):
        changed = replace(recipe, head=ScaledHead(factor), optimizer=plain, batch_size=438, schedule=recipe.schedule)
        output = runs("lws").path.parents[2] / f"factor{factor}"
        folder = train(
            replace(changed, schedule=replace(changed.schedule, epochs=1)),
            TrainOptions(Path("data"), output, first_stages=runs("lws").path.parents[2]),
        )
        state = load_file(folder.last_state)
        moved.append((state["model.fc.weight"] - first["fc.weight"], state["model.fc.scale"] - 1))
    torch.testing.assert_close(moved[0][0], 2 * moved[1][0], rtol=1e-3, atol=1e-6)
    assert torch.equal(moved[0][1], moved[1][1])


@pytest.mark.parametrize("method", ["lws", "taunorm", "disalign"])
def test_a_head_that_changes_a_classifier_needs_a_trained_one(method, finished_run, tmp_path):
    recipe = replace(recipe_of(method), start=Weights(f"local-dir:{finished_run.checkpoint}", "fresh"))
    with pytest.raises(InputError, match="changes the classifier that it starts from, which must be kept"):
        train(recipe, TrainOptions(Path("data"), tmp_path))


def test_a_checkpoint_can_be_the_start_too(finished_run, tmp_path, runs):
    recipe = replace(recipe_of("taunorm"), start=Weights(f"local-dir:{finished_run.checkpoint}"))
    weights = [
        load_file(folder.checkpoint / "model.safetensors")["fc.weight"]
        for folder in (train(recipe, TrainOptions(Path("data"), tmp_path)), runs("taunorm"))
    ]
    assert torch.equal(*weights)


def test_a_cosine_classifier_has_no_linear_one_to_scale():
    model = timm.create_model("resnet20_cifar", classifier="cosine")
    with pytest.raises(InputError, match="the head scaled changes a linear classifier, but the model has a Cosine"):
        put_head(model, ScaledHead(lr_factor=0))
    put_head(model, LinearHead())
    assert not isinstance(model.fc, ScaledLinear)


def test_mislas_from_its_mixup_first_stage(tmp_path):
    first, second = (get_recipe(f"resnet20_digitslt_{word}_sgd").with_epochs(1) for word in ("ce_mixup", "mislas"))
    begun = train(first, TrainOptions(Path("data"), tmp_path))
    before = load_file(begun.checkpoint / "model.safetensors")
    after = load_file(train(second, TrainOptions(Path("data"), tmp_path)).last_state)
    # BatchNorm is not shifted here, as on CIFAR-10.
    trained = {key: after[f"model.{key}"] for key in before}
    moved = {key for key, value in before.items() if not torch.equal(value.to(trained[key].dtype), trained[key])}
    assert moved == {"fc.weight", "fc.bias"}
    assert (after["model.fc.scale"] != 1).any()
