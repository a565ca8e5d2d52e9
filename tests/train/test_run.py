"""Training: files, figures, exact resume, divergence, and losses that stay what they were."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator, tracking
from safetensors.torch import load_file

from ltzoo import checkpoints
from ltzoo.data.batches import EvalBatches, mix_batch
from ltzoo.data.memory import load_test, load_train
from ltzoo.errors import InputError
from ltzoo.evaluate import predict, predict_classes
from ltzoo.recipes import override, read_recipe
from ltzoo.recipes.model import build_model
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import RunFolder, TrainOptions, ValInterval, measuring, step, train
from ltzoo.train import epochs as epochs_module
from ltzoo.train.progress import Progress
from ltzoo.train.run_folder import SUMMARY_COLUMNS
from ltzoo.train.state import load_state
from ltzoo.train.step import Step

TINY = {"architecture": "test_resnet"}
"""A small network of timm's, for what does not depend on the network."""


def options(tmp_path: Path, **changes) -> TrainOptions:
    return TrainOptions(Path("data"), tmp_path, **changes)


def interrupt_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Stop the run as Ctrl-C does, once `epochs` epochs are reported."""
    report = Progress.epoch

    def report_then_stop(self, row, rates):
        report(self, row, rates)
        if row["epoch"] + 1 == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "epoch", report_then_stop)


def columns(folder: RunFolder, *left_out: str) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in left_out} for row in folder.read_history(1000)]


NOISY = override(
    get_recipe("resnet20_digitslt_ce_sgd").with_epochs(2),
    {"perturbation": {"name": "lpfsgd", "std": 0.01, "parts": 3}, "trainable.batchnorm": "all"} | TINY,
)


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        # Stage 2 and a lower learning rate begin where the run is interrupted.
        (override(get_recipe("resnet20_digitslt_vs_ssesam").with_epochs(2), {"batch_size": 128} | TINY), {}),
        (NOISY, {"channels_last": False}),
        (
            replace(
                get_recipe("resnet20_digitslt_ldam_sam").with_epochs(2),
                precision="bfloat16",
                ema_decay=0.9,
                batch_size=128,
                micro_batches=2,
            ),
            {},
        ),
        (
            override(
                get_recipe("resnet20_digitslt_vs_sam").with_epochs(2),
                {"batch_size": 128, "optimizer.kind": "muon", "optimizer.adamw_lr": 0.01, "optimizer.lr": 0.02} | TINY,
            ),
            {},
        ),
    ],
    ids=["ssesam", "noise", "bfloat16 with a moving average", "muon"],
)
def test_a_resumed_run_is_the_same_bit_for_bit(tmp_path, monkeypatch, recipe, changes):
    whole = train(recipe, options(tmp_path / "whole", **changes))
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, options(tmp_path / "parts", **changes))
    parts = RunFolder(tmp_path / "parts" / recipe.name / "seed0")
    assert not parts.metrics.exists()
    train(recipe, options(tmp_path / "parts", resume=True, **changes))

    for file in ("checkpoint/model.safetensors", "state/last.safetensors", "state/best.safetensors", "metrics.json"):
        assert (whole.path / file).read_bytes() == (parts.path / file).read_bytes(), file
    assert columns(whole, "seconds", "eval_seconds") == columns(parts, "seconds", "eval_seconds")


def test_losses_are_what_they_were(tmp_path):
    """Golden curve: weights, order and augmentation are drawn as they were. Float32, one thread.

    At so small a learning rate another processor's rounding has moved the losses by less than 0.2 %, and the step's own
    part of them is no larger: tests/sharpness proves that, in float64.
    """
    recipe = override(get_recipe("resnet20_digitslt_vs_ssesam").with_epochs(2), {"optimizer.lr": 0.001})
    losses = [row["train_loss"] for row in train(recipe, options(tmp_path)).read_history(2)]
    golden = pytest.approx([2.02152, 1.82232], rel=5e-3)
    assert losses == golden


def test_the_run_folder_holds_everything(finished_run):
    files = {str(path.relative_to(finished_run.path)) for path in finished_run.path.rglob("*") if path.is_file()}
    assert files - {"state/lock"} == {
        "recipe.yaml",
        "subset.json",
        "summary.csv",
        "metrics.json",
        "state/last.safetensors",
        "state/best.safetensors",
        "checkpoint/config.json",
        "checkpoint/model.safetensors",
        "checkpoint/metrics.json",
        "checkpoint/summary.csv",
        "checkpoint/classes.png",
        "checkpoint/curves.png",
        "checkpoint/test/rand_tensors.safetensors",
        "checkpoint/README.md",
        "checkpoint/SHA256SUMS",
    }
    assert finished_run.summary.read_text().splitlines()[0] == ",".join(SUMMARY_COLUMNS)
    rows = finished_run.read_history(10)
    assert [row["epoch"] for row in rows] == [0, 1]
    assert all(row["rho"] is None and row["rho_tail"] is None and row["seconds"] > 0 for row in rows)
    subset = json.loads(finished_run.subset.read_text())
    assert len(subset["indices"]) == 438


def test_the_recipe_written_is_taken_back(finished_run):
    recipe = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(2)
    assert read_recipe(finished_run.recipe) == recipe
    assert set(yaml.safe_load(finished_run.recipe.read_text())["overrides"]) == {
        "schedule.epochs",
        "schedule.warmup_epochs",
        "schedule.milestones",
    }


def test_figures_are_those_of_the_written_weights(finished_run):
    metrics = json.loads(finished_run.metrics.read_text())
    recipe = get_recipe("resnet20_digitslt_ce_sgd")
    test = load_test(recipe.data, Path("data"))
    model = create_model(f"local-dir:{finished_run.checkpoint}", pretrained=True)
    predictions = predict(model, EvalBatches(test, recipe.data.data_set))
    right = (predictions.logits.argmax(dim=1) == predictions.labels).numpy()
    assert metrics["last"]["overall"] == pytest.approx(100 * right.mean())
    per_class = [100 * right[predictions.labels.numpy() == j].mean() for j in range(10)]
    assert metrics["last"]["per_class"] == pytest.approx(per_class)
    assert next(iter(metrics["last"]["groups"])) == recipe.groups
    assert metrics["last"]["groups"]["mislas"]["tail"] == pytest.approx(np.mean(per_class[7:]))
    assert metrics["last"]["rule"] == "last epoch"
    assert metrics["paper"] is None  # the digits are in no paper
    assert metrics["best"]["overall"] >= metrics["last"]["overall"]
    assert json.loads((finished_run.checkpoint / "metrics.json").read_text()) == metrics


def test_the_papers_rule_selects_and_measures_as_the_paper_does(tmp_path):
    settings = {"paper_rule": {"interval": 2, "flip": True}, "optimizer.lr": 0.02} | TINY
    recipe = override(get_recipe("resnet20_digitslt_ce_sgd").with_epochs(5), settings)
    folder = train(recipe, options(tmp_path))
    metrics, rows = json.loads(folder.metrics.read_text()), folder.read_history(5)
    overall = [row["overall"] for row in rows]
    assert metrics["best"]["epoch"] == overall.index(max(overall))
    looked = [overall[1], overall[3], overall[4]]  # every second epoch, and the last
    assert metrics["paper"]["epoch"] == [1, 3, 4][looked.index(max(looked))]
    assert metrics["paper"]["rule"] == (
        "best epoch on the test set, looked at every 2 epochs, logits averaged with those of the mirror image"
    )
    test = load_test(recipe.data, Path("data"))
    model = build_model(recipe)
    model.load_state_dict(load_file(folder.selected("paper")))
    flipped = predict(model, EvalBatches(test, recipe.data.data_set), flip=True)
    right = (flipped.logits.argmax(dim=1) == flipped.labels).double()
    assert metrics["paper"]["overall"] == pytest.approx(100 * float(right.mean()))


def test_a_subset_file_is_trained_on_and_is_an_override(tmp_path, finished_run):
    subset = json.loads(finished_run.subset.read_text())
    _, other = load_train(get_recipe("resnet20_digitslt_ce_sgd").data, "first", tmp_path)
    (tmp_path / "first.json").write_text(json.dumps(other.to_dict()))
    recipe = override(get_recipe("resnet20_digitslt_ce_sgd").with_epochs(1), TINY)
    folder = train(recipe, options(tmp_path, subset=tmp_path / "first.json"))
    assert json.loads(folder.subset.read_text())["sha256"] == other.sha256 != subset["sha256"]
    metrics = json.loads(folder.metrics.read_text())
    assert metrics["overrides"]["subset"] == ["cao", "imported"]
    assert metrics["subset_sha256"] == other.sha256
    again = read_recipe(folder.recipe)
    with pytest.raises(InputError, match="the recipe's subset is imported from a file; name it with --subset"):
        train(again, options(tmp_path / "again"))
    train(again, options(tmp_path / "again", subset=folder.subset))


def test_the_file_of_the_rules_own_images_is_no_override(tmp_path, finished_run):
    recipe = override(get_recipe("resnet20_digitslt_ce_sgd").with_epochs(1), TINY)
    folder = train(recipe, options(tmp_path, subset=finished_run.subset))
    assert "subset" not in json.loads(folder.metrics.read_text())["overrides"]
    assert read_recipe(folder.recipe).subset == "cao"


def test_the_checkpoint_says_what_it_is(finished_run):
    config = checkpoints.read_config(finished_run.checkpoint)
    assert config["recipe"]["name"] == "resnet20_digitslt_ce_sgd"
    assert config["class_counts"][0] == 130
    assert config["groups"]["mislas"]["tail"] == [7, 8, 9]
    assert config["seed"] == 0
    assert config["subset_sha256"] == json.loads(finished_run.subset.read_text())["sha256"]
    assert config["pretrained_cfg"]["input_size"] == [1, 16, 16]


def test_learning_rate_and_radii_are_in_the_summary(tmp_path):
    recipe = override(get_recipe("resnet20_digitslt_la_ssesam").with_epochs(2), {"perturbation.gamma": 0.5} | TINY)
    rows = columns(train(recipe, options(tmp_path, val_interval=ValInterval(2))))
    assert [(row["rho"], row["rho_head"], row["rho_tail"]) for row in rows] == [(None, 0.05, 0.05), (None, 0, 0.05)]
    assert [row["lr"] for row in rows] == pytest.approx([0.1, 0.1 * 0.01])
    assert rows[0]["overall"] is None
    assert rows[1]["overall"] is not None


def test_a_finished_run_is_not_trained_again(finished_run):
    before = finished_run.last_state.stat().st_mtime_ns
    recipe = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(2)
    train(recipe, TrainOptions(Path("data"), finished_run.path.parent.parent, resume=True))
    assert finished_run.last_state.stat().st_mtime_ns == before


def test_seeds_give_other_weights_on_the_same_images(tmp_path, finished_run):
    recipe = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(1)
    other = train(recipe, options(tmp_path, seed=1))
    assert json.loads(other.subset.read_text()) == json.loads(finished_run.subset.read_text())
    a, b = (load_file(run.checkpoint / "model.safetensors") for run in (other, finished_run))
    assert not torch.equal(a["conv1.weight"], b["conv1.weight"])


def test_divergence_keeps_the_last_good_state(tmp_path, monkeypatch):
    recipe = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(3)
    backward, calls = step.perturbed_backward, []

    def diverge_in_epoch_2(model, *arguments, **keywords):
        loss = backward(model, *arguments, **keywords)
        calls.append(loss)
        return loss if len(calls) <= 14 else loss * float("nan")

    monkeypatch.setattr(step, "perturbed_backward", diverge_in_epoch_2)
    with pytest.raises(InputError, match=r"diverged in epoch 2 .* the state after epoch 1 is kept"):
        train(recipe, options(tmp_path))
    folder = RunFolder(tmp_path / recipe.name / "seed0")
    model = create_model(recipe.name)
    assert (
        load_state(folder.last_state, Step(recipe, recipe.data.class_counts, model, Accelerator(), 0, None))["epochs"]
        == 1
    )
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())
    assert len(folder.read_history(10)) == 1


def test_an_overflow_while_looking_at_the_test_set_does_not_end_the_run(tmp_path, monkeypatch):
    calls = []

    def overflows_once(*arguments, **keywords):
        forward = keywords["forward"]
        calls.append(forward)
        if len(calls) == 1:
            keywords["forward"] = lambda images: forward(images) * float("nan")
        return predict_classes(*arguments, **keywords)

    monkeypatch.setattr(measuring, "predict_classes", overflows_once)
    folder = train(get_recipe("resnet20_digitslt_ce_sgd").with_epochs(2), options(tmp_path))
    assert folder.metrics.exists()
    assert folder.read_history(2)[0]["overall"] == pytest.approx(10.0)  # all are taken for class 0


def test_trackers_get_every_epoch(tmp_path, monkeypatch):
    logged = []

    class Recorder(tracking.GeneralTracker):
        name = "tensorboard"
        requires_logging_directory = True
        main_process_only = True

        def __init__(self, run_name, logging_dir, **_):
            super().__init__()
            self.run_name = run_name
            (Path(logging_dir) / "events").write_text("as TensorBoard does")

        @property
        def tracker(self):
            return self

        def store_init_configuration(self, values):
            logged.append(values)

        def log(self, values, step=None, **_):
            logged.append((step, values))

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", Recorder)
    monkeypatch.setattr(tracking, "_available_trackers", [tracking.LoggerType("tensorboard")])
    recipe = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(2)
    train(recipe, options(tmp_path, trackers=("tensorboard",)))
    assert logged[0] == {"recipe": recipe.name, "seed": 0}
    assert [entry[0] for entry in logged[1:]] == [0, 1]
    assert {"train_loss", "overall", "tail", "lr"} <= set(logged[1][1])


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"trackers": ("no_such_tracker",)}, {}, "tracker 'no_such_tracker' is not installed"),
        ({}, {"precision": "float16"}, "float16 cannot be used on cpu"),
        ({}, {"precision": "tf32"}, "tf32 cannot be used on cpu"),
        ({}, {"architecture": "resnet7_cifar"}, "'resnet7_cifar' is unknown to timm"),
        ({}, {"architecture": "vgg11"}, "does not accept images of"),
        ({"compile_backend": "nonsense"}, {}, "no backend 'nonsense'; choose one of"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(tmp_path, changes, settings, message):
    recipe = override(get_recipe("resnet20_digitslt_ce_sgd"), settings)
    with pytest.raises(InputError, match=message):
        train(recipe, options(tmp_path / "output", **changes))
    assert not (tmp_path / "output").exists()


def test_images_are_mixed_until_mixup_off_epoch(tmp_path, monkeypatch):
    mixed = {}

    def spy(images, targets, views, seed, epoch, *numbers):
        found = mix_batch(images, targets, views, seed, epoch, *numbers)
        mixed.setdefault(epoch, set()).add(found[1].dim())
        return found

    monkeypatch.setattr(epochs_module, "mix_batch", spy)
    shared = TINY | {"batch_size": 438}
    recipe = override(get_recipe("resnet20_digitslt_ce_sgd").with_epochs(3), shared | {"views.0.cutmix": 1.0})
    train(override(recipe, {"views.0.mixup_off_epoch": 2}), options(tmp_path))
    assert mixed == {0: {2}, 1: {2}, 2: {1}}
