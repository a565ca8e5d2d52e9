"""Held-out images in the place of the test set: trained without, measured on, and never taken for the recipe."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState

import collect
import publish
from ltzoo.checkpoints import verify_checkpoint
from ltzoo.cli import validate as validate_command
from ltzoo.cli.train_report import report
from ltzoo.data.batches import EvalBatches
from ltzoo.data.memory import load_held_out, load_train
from ltzoo.errors import InputError
from ltzoo.evaluate import plots, predict
from ltzoo.recipes import PaperRule, registry
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import RunFolder, TrainOptions, images, train
from ltzoo.train.progress import Progress

NAME = "resnet20_digitslt_held_sgd"
RECIPE = replace(
    get_recipe("resnet20_digitslt_ce_sgd").with_epochs(2), name=NAME, paper_rule=PaperRule(interval=2, flip=True)
)
DATA = Path("data")


@pytest.fixture(scope="module", autouse=True)
def painted():
    """Register the recipe, so that a run overrides nothing else; fail who loads the test set; the pictures' axes."""
    axes: dict[str, list[str]] = {}

    def load_test(*arguments):
        raise AssertionError("the test set was loaded")

    def save(figure, path):
        axes[path.name] = [found.get_ylabel() for found in figure.axes]
        path.touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.RECIPES, NAME, RECIPE)
        patch.setattr(images, "load_test", load_test)
        patch.setattr(plots, "save_figure", save)
        yield axes


@pytest.fixture(scope="module")
def run(painted, tmp_path_factory) -> RunFolder:
    """A run that held 20 images a class out; tests leave it as it is."""
    AcceleratorState._reset_state(reset_partial_state=True)
    return train(RECIPE, TrainOptions(DATA, tmp_path_factory.mktemp("held"), hold_out=20))


def test_it_is_trained_on_what_is_kept(run):
    _, kept, _ = load_held_out(RECIPE.data, "cao", 20, DATA)
    assert json.loads(run.subset.read_text()) == kept.to_dict()
    assert json.loads(run.metrics.read_text())["subset_sha256"] == kept.sha256


def test_all_figures_are_of_the_held_out_images(run, painted):
    _, _, held_out = load_held_out(RECIPE.data, "cao", 20, DATA)
    model = create_model(f"local-dir:{run.checkpoint}", pretrained=True)
    predictions = predict(model, EvalBatches(held_out, RECIPE.data.data_set))
    right = (predictions.predicted == predictions.labels).double()
    metrics, rows = json.loads(run.metrics.read_text()), run.read_history(2)
    assert [metrics[key]["images"] for key in ("last", "best", "paper")] == [200] * 3
    assert metrics["last"]["overall"] == pytest.approx(100 * float(right.mean()))
    assert rows[1]["overall"] == pytest.approx(metrics["last"]["overall"], abs=1)  # before the weights were rounded
    assert metrics["best"]["overall"] == pytest.approx(max(row["overall"] for row in rows), abs=1)
    assert "held-out accuracy (%)" in painted["curves.png"]


def test_class_counts_stay_the_benchmarks(run):
    config = json.loads((run.checkpoint / "config.json").read_text())
    last = json.loads(run.metrics.read_text())["last"]
    assert config["class_counts"] == last["class_counts"] == list(RECIPE.data.class_counts)


def test_each_figure_says_what_it_is_of(run):
    metrics = json.loads(run.metrics.read_text())
    assert [metrics[key]["rule"] for key in ("last", "best", "paper")] == [
        "last epoch on held-out images",
        "best epoch on held-out images, looked at every epoch",
        "best epoch on held-out images, looked at every 2 epochs, logits averaged with those of the mirror image",
    ]
    card = (run.checkpoint / "README.md").read_text()
    assert "Accuracy in per cent on images held out of the training split, groups by" in card
    assert "split: train" in card
    assert "**Not the registered recipe**: `hold_out` 20 for None." in card
    shown = report(RECIPE, run)
    assert "last epoch on held-out images " in shown
    assert f"best epoch on held-out images ({metrics['best']['epoch'] + 1})" in shown
    assert "overridden: hold_out" in shown
    assert "test set" not in card + shown


def test_it_is_an_override_wherever_the_run_is_described(run):
    expected = {"hold_out": [None, 20]}
    assert yaml.safe_load(run.recipe.read_text())["overrides"] == expected
    assert json.loads(run.metrics.read_text())["overrides"] == expected
    assert json.loads((run.checkpoint / "config.json").read_text())["overrides"] == expected


def test_it_is_neither_collected_nor_published(run, tmp_path, capsys):
    assert collect.main([str(run.path), "--zoo", str(tmp_path / "zoo"), "--results", str(tmp_path / "results")]) == 2
    assert "trained with overrides" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / NAME).symlink_to(run.checkpoint)
    assert publish.main([NAME, "--org", "zoo", "--zoo", str(tmp_path), "--dry-run"]) == 2
    assert "trained with overrides (hold_out)" in capsys.readouterr().err


def test_verify_says_why_it_is_not_measured_again_and_validate_measures_the_test_set(run, capsys):
    verdict = verify_checkpoint(run.checkpoint, DATA, torch.device("cpu"))
    assert verdict.differences == ()
    assert verdict.accuracy is None
    assert verdict.unmeasured == "its figures are of held-out images, not of the test set"
    assert validate_command.main(["--model", f"local-dir:{run.checkpoint}"]) == 0
    assert "400 test images" in capsys.readouterr().out


def test_an_interrupted_run_can_be_resumed(run, tmp_path, monkeypatch):
    def stop(self, row, rates):
        raise KeyboardInterrupt

    options = TrainOptions(DATA, tmp_path, hold_out=20, resume=True)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Progress, "epoch", stop)
        train(RECIPE, options)
    assert train(RECIPE, options).metrics.read_bytes() == run.metrics.read_bytes()


@pytest.mark.parametrize("other", [None, 10])
def test_it_cannot_be_resumed_with_another_number(run, other):
    options = TrainOptions(DATA, run.path.parents[1], hold_out=other, resume=True)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError, match=r"settings \(hold_out: 20 -> "):
        patch.setattr(images, "load_test", lambda *arguments: load_train(RECIPE.data, "cao", DATA)[0])
        train(RECIPE, options)


def test_images_are_held_out_of_the_subset_that_a_file_names(run, tmp_path):
    options = TrainOptions(DATA, run.path.parents[1], hold_out=20, resume=True, subset=tmp_path / "subset.json")
    before = run.last_state.stat().st_mtime_ns
    options.subset.write_text(json.dumps(load_train(RECIPE.data, "cao", DATA)[1].to_dict()))
    train(RECIPE, options)  # the rule's own images: the same run
    assert run.last_state.stat().st_mtime_ns == before
    options.subset.write_text(json.dumps(load_train(RECIPE.data, "first", DATA)[1].to_dict()))
    with pytest.raises(
        InputError, match=r"different settings \(run.subset_sha256: .* -> .*, subset: cao -> imported\)"
    ):
        train(RECIPE, options)


@pytest.mark.parametrize(("number", "found"), [(134, "class 8 has 134 training images, 9 of them"), (0, "at least 1")])
def test_too_many_or_none_is_refused_before_anything_is_written(number, found, tmp_path):
    with pytest.raises(InputError, match=found):
        train(RECIPE, TrainOptions(DATA, tmp_path / "output", hold_out=number))
    assert not (tmp_path / "output").exists()
