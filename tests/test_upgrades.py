"""Upgrades: what version 0.2.0 wrote is read, measured and resumed by this one; see tests/fixtures/v0.2.0/README.md."""

import hashlib
import importlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import ltzoo
from ltzoo import checkpoints
from ltzoo.cli import validate
from ltzoo.evaluate import measure, read_logits
from ltzoo.evaluate.features import hash_tensors
from ltzoo.recipes import read_recipe
from ltzoo.recipes.registry import RECIPES
from ltzoo.report import read_results
from ltzoo.train import RunFolder, TrainOptions, train

OLD = Path(__file__).parent / "fixtures" / "v0.2.0"
FINISHED = json.loads((OLD / "finished.json").read_text(encoding="utf-8"))
MEASURED = ("overall", "top5", "groups", "per_class", "ece", "epoch")
"""Figures that rounding can change."""
NEAR = {"rtol": 0, "atol": 1e-4}
"""Of weights and logits on another processor or with another torch. With AVX2 or SSE in place of AVX-512, the weights
after the resumed epoch are at most 3e-6 apart; the epoch itself moves them by 8e-3."""


@pytest.fixture(autouse=True)
def recipe(monkeypatch):
    """The recipe as 0.2.0 wrote it, registered, and its network."""
    monkeypatch.syspath_prepend(OLD)
    importlib.import_module("tiny_network")
    recipe = read_recipe(OLD / "recipe.yaml")
    monkeypatch.setitem(RECIPES, recipe.name, recipe)
    return recipe


def same_arithmetic() -> bool:
    """Whether this processor and torch round as those that made the fixture do."""
    here = importlib.import_module("processor").processor()
    return (here, str(torch.__version__)) == (FINISHED["processor"], FINISHED["torch"])


def assert_same_accuracy(found: dict, expected: dict) -> None:
    """Compare figures; on another processor, one image of each class may lie on the other side of a near tie."""
    if same_arithmetic():
        assert found == expected
    else:
        per_class = 100 * len(expected["per_class"]) / expected["images"]
        torch.testing.assert_close(found["per_class"], expected["per_class"], rtol=0, atol=per_class + 1e-6)
        assert {**found, **dict.fromkeys(MEASURED)} == {**expected, **dict.fromkeys(MEASURED)}


def test_the_checkpoint_is_loaded_and_computes_the_stored_logits(recipe):
    model = ltzoo.create_model(f"local-dir:{OLD / 'checkpoint'}", pretrained=True).eval()
    stored = load_file(OLD / "checkpoint" / "model.safetensors")
    assert stored.keys() == model.state_dict().keys()
    assert all(torch.equal(model.state_dict()[key], value.float()) for key, value in stored.items())
    assert checkpoints.read_recipe(OLD / "checkpoint") == recipe
    example = load_file(OLD / "checkpoint" / "test" / "rand_tensors.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(model(example["input"]), example["output"], **NEAR)


def test_the_checkpoint_has_the_accuracy_of_its_metrics(tmp_path):
    assert validate.main(["--model", f"local-dir:{OLD / 'checkpoint'}", "--json", str(tmp_path / "f.json")]) == 0
    found = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    expected = json.loads((OLD / "checkpoint" / "metrics.json").read_text(encoding="utf-8"))["last"]
    assert_same_accuracy({key: found[key] for key in expected}, expected)


def test_the_result_is_read(recipe):
    (result,) = read_results(OLD / "results")
    assert (result.recipe, result.versions["ltzoo"]) == (recipe, "0.2.0")
    assert result.figures["last"].overall == FINISHED["metrics"]["last"]["overall"]
    assert result.weights_sha256 == FINISHED["weights_sha256"]


def test_the_stored_logits_are_read_and_give_the_same_figures(recipe):
    stored = read_logits(OLD / "logits.safetensors")
    found = measure(stored.predictions, stored.class_counts, stored.groupings, stored.rule)
    last = FINISHED["metrics"]["last"]
    assert (stored.recipe, found.overall, list(found.per_class)) == (recipe.name, last["overall"], last["per_class"])


def test_the_interrupted_run_ends_as_version_0_2_0_ended_it(recipe, tmp_path):
    shutil.copytree(OLD / "output", tmp_path / "output")
    folder = train(recipe, TrainOptions(Path("data"), tmp_path / "output", resume=True))
    assert folder == RunFolder(tmp_path / "output" / recipe.name / "seed0")
    assert len(folder.read_history(3)) == 3
    weights, expected = (load_file(of / "model.safetensors") for of in (folder.checkpoint, OLD / "checkpoint"))
    assert weights.keys() == expected.keys()
    for key, value in expected.items():  # float16 in both, so a rounding apart is one of float16 too
        torch.testing.assert_close(weights[key], value, rtol=2**-10, atol=NEAR["atol"])
    if same_arithmetic():
        state = load_file(folder.last_state)
        trained = {key: value for key, value in state.items() if key.startswith(("model.", "optim"))}
        assert hash_tensors(trained) == FINISHED["state_sha256"]
        assert (
            hashlib.sha256((folder.checkpoint / "model.safetensors").read_bytes()).hexdigest()
            == (FINISHED["weights_sha256"])
        )
    metrics = json.loads(folder.metrics.read_text(encoding="utf-8"))
    for rule in ("last", "best"):
        assert_same_accuracy(metrics[rule], FINISHED["metrics"][rule])
