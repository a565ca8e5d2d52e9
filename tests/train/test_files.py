"""Training on images in files, through the command: from a folder to a checkpoint that timm loads."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

import ltzoo
from ltzoo import checkpoints
from ltzoo.cli import train as train_command
from ltzoo.data import ModelInput
from ltzoo.data.files.pixels import DECODING
from ltzoo.evaluate import plots
from ltzoo.recipes import override
from ltzoo.recipes.model import build_model
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder
from tests.train.folders import (
    NAME,
    TRAIN,
    code_of,
    figures,
    files_of,
    interrupt_after,
    plant_splits,
    refused,
    run,
)

WEIGHTS = ("state/last.safetensors", "checkpoint/model.safetensors", "metrics.json")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A training and a test split; tests that change them copy them."""
    return plant_splits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> RunFolder:
    """Two epochs of SSE-SAM; tests read it and leave it as it is."""
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save_figure", lambda figure, path: path.touch())
        return run(data, tmp_path_factory.mktemp("output"))


@pytest.fixture
def own(data, tmp_path) -> Path:
    """A copy of the data."""
    return shutil.copytree(data, tmp_path / "data")


def state_of(folder: RunFolder) -> dict[str, torch.Tensor]:
    """The weights and statistics after the last epoch."""
    state = load_file(folder.last_state)
    return {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}


def fresh(**settings: object) -> dict[str, torch.Tensor]:
    """The weights and statistics that a run of three classes begins with."""
    recipe = override(get_recipe(NAME), {"architecture": "test_resnet", **settings})
    benchmark = ltzoo.data.NATURAL_BENCHMARKS["imagefolder"].with_counts((3, 2, 1), ("a", "b", "c"), VIEW)
    torch.manual_seed(0)
    return build_model(recipe, data_set=benchmark.data_set).state_dict()


VIEW = ModelInput(32, (0.5,) * 3, (0.2,) * 3, 0.9, "bicubic")


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {key for key, value in before.items() if not torch.equal(value, after[key])}


def test_the_run_folder_holds_everything(trained):
    files = set(files_of(trained))
    assert {"recipe.yaml", "subset.json", "summary.csv", "metrics.json", "state/best.safetensors"} <= files
    assert {f"checkpoint/{name}" for name in ("config.json", "model.safetensors", "README.md", "SHA256SUMS")} <= files
    assert not [name for name in files if name.endswith(".new")]
    subset = json.loads(trained.subset.read_text())
    assert (subset["rule"], subset["indices"]) == ("whole", list(range(17)))
    assert subset["layout"].startswith("files:")


def test_the_checkpoint_says_which_classes_there_were_and_how_images_reach_it(trained):
    config = checkpoints.read_config(trained.checkpoint)
    assert config["label_names"] == ["ant", "bee", "cat"]
    assert config["class_counts"] == [9, 5, 3]
    assert config["groups"] == {"count": {"head": [], "mid": [], "tail": [0, 1, 2]}}
    assert (config["num_classes"], config["architecture"]) == (3, "test_resnet")
    cfg, timms = config["pretrained_cfg"], timm.get_pretrained_cfg("test_resnet")
    assert (cfg["input_size"], tuple(cfg["mean"]), cfg["crop_pct"]) == ([3, 32, 32], timms.mean, timms.crop_pct)
    card = (trained.checkpoint / "README.md").read_text()
    assert "test_resnet" in card


def test_figures_are_of_the_test_split(trained):
    metrics, rows = json.loads(trained.metrics.read_text()), trained.read_history(2)
    assert metrics["last"]["images"] == metrics["best"]["images"] == 5
    assert metrics["last"]["class_counts"] == [9, 5, 3]
    assert list(metrics["last"]["groups"]) == ["count", "thirds"]
    assert metrics["last"]["groups"]["count"]["head"] is None
    assert metrics["paper"] is None
    assert rows[1]["overall"] == pytest.approx(metrics["last"]["overall"], abs=1e-4)
    assert rows[1]["tail"] == pytest.approx(metrics["last"]["groups"]["count"]["tail"], abs=1e-4)
    assert (rows[0]["head"], rows[0]["rho_tail"]) == (None, 0.05)


def test_validate_gives_the_runs_own_figures(trained, data, tmp_path):
    assert figures(trained.checkpoint, data, tmp_path / "f.json") == json.loads(trained.metrics.read_text())["last"]


def test_ltzoo_and_timm_load_it(trained):
    name = f"local-dir:{trained.checkpoint}"
    models = [ltzoo.create_model(name, pretrained=True), timm.create_model(name, pretrained=True)]
    assert [model.num_classes for model in models] == [3, 3]
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    one, other = (model.eval()(images) for model in models)
    assert torch.equal(one, other) and one.shape == (2, 3)
    assert ltzoo.create_model(name, pretrained=True, num_classes=7).eval()(images).shape == (2, 7)
    verdict = checkpoints.verify_checkpoint(trained.checkpoint, Path("data"), torch.device("cpu"))
    assert (verdict.differences, verdict.unmeasured[:24]) == ((), "its images lie in files;")


EVERYTHING = (
    *("--arch", "test_vit", "--opt", "adamw", "--layer-decay", "0.7", "--lr", "1e-3", "--clip-grad", "1"),
    *("--mixup", "0.2", "--cutmix", "1", "--model-ema", "--model-ema-decay", "0.9", "--aa", "rand-m9-mstd0.5"),
    *("--set", "optimizer.decay_vectors=false", "--set", "optimizer.beta2=0.99"),
)


@pytest.mark.parametrize("options", [(), EVERYTHING], ids=["ssesam", "everything"])
def test_a_resumed_run_is_the_same_bit_for_bit(options, data, trained, tmp_path, monkeypatch):
    whole = run(data, tmp_path / "whole", *options) if options else trained
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        assert code_of(data, tmp_path / "parts", *options) == 130
    parts = RunFolder(tmp_path / "parts" / NAME / "seed0")
    assert not parts.metrics.exists() and len(parts.read_history(9)) == 1
    run(data, tmp_path / "parts", *options, "--resume")
    for file in WEIGHTS:
        assert (whole.path / file).read_bytes() == (parts.path / file).read_bytes(), file


def test_everything_at_once_moves_every_weight_and_keeps_the_average(data, tmp_path):
    folder = run(data, tmp_path, *EVERYTHING)
    state = load_file(folder.last_state)
    plain, average = ({k: v for k, v in state.items() if k.startswith(part)} for part in ("model.", "ema."))
    assert len(plain) == len(average) > 50
    assert moved({k.removeprefix("ema."): v for k, v in average.items()}, state_of(folder))
    kept = load_file(folder.checkpoint / checkpoints.WEIGHTS)
    assert all(torch.equal(value, average[f"ema.{key}"].to(value.dtype)) for key, value in kept.items())
    overrides = yaml.safe_load(folder.recipe.read_text())["overrides"]
    assert overrides["optimizer.kind"] == ["sgd", "adamw"] and overrides["views.0.mixup"] == [0.0, 0.2]


def test_the_number_of_workers_changes_nothing(data, trained, tmp_path):
    folder = run(data, tmp_path, "-j", "2")
    for file in WEIGHTS:
        assert (folder.path / file).read_bytes() == (trained.path / file).read_bytes(), file


def test_another_seed_is_another_run(data, trained, tmp_path):
    assert moved(state_of(run(data, tmp_path, "--seed", "1", "--epochs", "1", seed=1)), state_of(trained))


@pytest.mark.parametrize(("amount", "counts", "images"), [("0.25", [7, 4, 2], 4), ("2", [7, 3, 1], 6)])
def test_held_out_images_are_measured_and_not_trained_on(amount, counts, images, data, tmp_path):
    folder = run(data / "train", tmp_path, "--hold-out", amount)  # no test split is needed
    metrics, subset = json.loads(folder.metrics.read_text()), json.loads(folder.subset.read_text())
    assert (metrics["last"]["class_counts"], metrics["last"]["images"]) == (counts, images)
    assert checkpoints.read_config(folder.checkpoint)["class_counts"] == counts
    assert metrics["last"]["rule"] == "last epoch on held-out images"
    assert metrics["overrides"]["hold_out"] == [None, json.loads(amount)]
    assert (subset["rule"], len(subset["indices"])) == (f"whole, {amount} held out", sum(counts))
    other = run(data, tmp_path / "other", "--hold-out", amount)  # the test split is left alone
    assert other.last_state.read_bytes() == folder.last_state.read_bytes()


def test_a_table_of_the_same_images_gives_the_same_weights(data, trained, tmp_path):
    with (tmp_path / "images.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "species", "split"])
        for split in ("train", "val"):
            paths = sorted((data / split).rglob("*.png"), key=lambda path: (path.parent.name, int(path.stem)))
            rows.writerows((path.relative_to(data), path.parent.name, split) for path in paths)
    where = ("--image-root", str(data), "--image-column", "file", "--label-column", "species")
    folder = run(tmp_path / "images.csv", tmp_path, *where)
    assert not moved(state_of(folder), state_of(trained))
    own = json.loads(folder.metrics.read_text())
    assert own["last"] == json.loads(trained.metrics.read_text())["last"]
    assert figures(folder.checkpoint, tmp_path / "images.csv", tmp_path / "f.json", *where) == own["last"]


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "another class"])
def test_a_run_cannot_be_resumed_on_other_images(change, own, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        assert code_of(own, tmp_path / "output") == 130
    folder = RunFolder(tmp_path / "output" / NAME / "seed0")
    before = files_of(folder)
    first = own / "train" / "ant" / "0.png"
    if change == "added":
        shutil.copy(first, first.with_name("9.png"))
    elif change == "removed":
        first.unlink()
    else:
        first.rename(first.with_name("a.png") if change == "renamed" else own / "train" / "cat" / "9.png")
    said = refused(capsys, own, tmp_path / "output", "--resume")
    assert "was started on different images (were files added, removed or renamed?)" in said
    assert files_of(folder) == before


@pytest.mark.parametrize("decoding", [None, "as stored"])
def test_a_run_of_other_pixels_is_not_resumed(decoding, data, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        assert code_of(data, tmp_path / "output") == 130
    folder = RunFolder(tmp_path / "output" / NAME / "seed0")
    document = yaml.safe_load(folder.recipe.read_text())
    assert document["run"].pop("decoding") == DECODING
    document["run"] |= {} if decoding is None else {"decoding": decoding}
    folder.recipe.write_text(yaml.safe_dump(document))
    before = files_of(folder)
    said = refused(capsys, data, tmp_path / "output", "--resume")
    assert str(folder.path) in said and "decodes images to other pixels" in said and "name another --output" in said
    assert files_of(folder) == before


def test_groups_can_be_thirds(data, tmp_path):
    folder = run(data, tmp_path, "--set", "groups=thirds", "--epochs", "1")
    last = json.loads(folder.metrics.read_text())["last"]
    assert list(last["groups"]) == ["thirds", "count"]
    assert list(last["groups"]["thirds"].values()) == last["per_class"]
    assert checkpoints.read_config(folder.checkpoint)["groups"] == {"thirds": {"head": [0], "mid": [1], "tail": [2]}}


@pytest.mark.parametrize("method", ["sgd", "ssesam"])
def test_the_head_alone_is_trained_and_all_else_stays_bit_for_bit(method, data, tmp_path):
    name = f"resnet50_imagefolder_la_{method}"
    folder = run(data, tmp_path, "--head-only", "--model-ema", "--model-ema-decay", "0.5", name=name)
    assert moved(fresh(), state_of(folder)) == {"fc.weight", "fc.bias"}
    average = {k.removeprefix("ema."): v for k, v in load_file(folder.last_state).items() if k.startswith("ema.")}
    assert moved(fresh(), average) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("method", ["sgd", "ssesam"])
def test_frozen_batchnorm_leaves_the_statistics_and_trains_the_weights(method, data, tmp_path):
    name = f"resnet50_imagefolder_la_{method}"
    before, after = fresh(), state_of(run(data, tmp_path, "--set", "trainable.batchnorm=frozen", name=name))
    tracked = ("running_mean", "running_var", "num_batches_tracked")
    statistics = {key for key in before if key.endswith(tracked)}
    assert statistics
    assert moved(before, after) == before.keys() - statistics


def test_a_vit_sees_images_of_another_size(data, tmp_path):
    folder = run(data, tmp_path, "--arch", "test_vit", "--img-size", "48", "--epochs", "1")
    config = checkpoints.read_config(folder.checkpoint)
    assert config["model_args"]["img_size"] == [48, 48] and config["pretrained_cfg"]["input_size"] == [3, 48, 48]
    name = f"local-dir:{folder.checkpoint}"
    for create in (ltzoo.create_model, timm.create_model):
        assert create(name, pretrained=True).pos_embed.shape[1] == 1 + 9
    assert figures(folder.checkpoint, data, tmp_path / "f.json") == json.loads(folder.metrics.read_text())["last"]


@pytest.mark.parametrize(("loss", "method"), [("ce", "sgd"), ("la", "sam"), ("ldam_drw", "imbsam"), ("vs", "ssesam")])
def test_every_loss_and_every_perturbation_trains(loss, method, data, tmp_path):
    name = f"resnet50_imagefolder_{loss}_{method}"
    folder = run(data, tmp_path, name=name)
    first, last = folder.read_history(2)
    assert 0 < first["train_loss"] < 20 and 0 < last["train_loss"] < 20
    radii = {"sgd": (None, None), "sam": (0.05, None), "imbsam": (None, 0), "ssesam": (None, 0.05)}
    assert (first["rho"], first["rho_head"]) == radii[method]
    assert last["rho_head"] == (0 if method == "ssesam" else first["rho_head"])
    assert json.loads(folder.metrics.read_text())["last"]["images"] == 5


def test_a_cache_of_smaller_images_changes_nothing(data, trained, tmp_path):
    small, cache = ("--set", "input.shorter_side=20"), tmp_path / "cache"
    runs = [run(data, tmp_path / "without", *small)]
    small += ("--image-cache", str(cache))
    runs += [run(data, tmp_path / "cold", *small, "-j", "2"), run(data, tmp_path / "warm", *small)]
    for file in WEIGHTS:
        assert len({(folder.path / file).read_bytes() for folder in runs}) == 1, file
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 17 + 5
    assert moved(state_of(runs[0]), state_of(trained))  # smaller images are others
    assert figures(runs[1].checkpoint, data, tmp_path / "f.json") == json.loads(runs[1].metrics.read_text())["last"]


def test_what_is_left_out_and_which_folder_is_the_class_is_said(own, tmp_path, capsys):
    (own / "train" / "ant" / "@eaDir" / "0.png").mkdir(parents=True)
    shutil.copy(own / "train" / "ant" / "0.png", own / "train" / "ant" / "@eaDir" / "0.png" / "M.png")
    (own / "train" / "bee" / "0.png").rename(own / "train" / "bee" / "0.gif")
    (own / "train" / "bee" / "0.heic").write_bytes(b"no image that Pillow reads")
    (own / "train" / "cat" / "monday").mkdir()
    (own / "train" / "cat" / "0.png").rename(own / "train" / "cat" / "monday" / "0.png")
    folder = run(own, tmp_path / "output", "--epochs", "1")
    captured = capsys.readouterr()
    said = captured.out + captured.err
    root = own / "train"
    assert f"{root}: left out 1 folder made by a system or a program; rename one that is a class: ant/@eaDir" in said
    assert f"{root}: left out 1 file without the suffix of an image (1 .heic): bee/0.heic" in said
    assert f"{root}: images lie in folders below class folders (cat/monday); the first folder is the class" in said
    assert json.loads((folder.checkpoint / "config.json").read_text())["class_counts"] == [*TRAIN.values()]
    assert "leave it out" in refused(capsys, own, tmp_path / "o", "--image-suffix", ".jpg")
    innermost = refused(capsys, own, tmp_path / "o", "--class-folder", "innermost")
    assert "4 classes have no test image" in innermost or "'monday'" in innermost


def test_several_methods_and_seeds_run_in_one_command(data, tmp_path):
    names = [f"resnet50_imagefolder_{loss}_sgd" for loss in ("ce", "la")]
    options = ("--arch", "test_resnet", "--img-size", "32", "-b", "9", "-j", "0", "--epochs", "1", "--seed", "0", "1")
    argv = ["--recipe", *names, "--data-dir", str(data), "--output", str(tmp_path), *options]
    assert train_command.main(argv) == 0
    alone = run(data, tmp_path / "alone", "--epochs", "1", "--seed", "1", name=names[1], seed=1)
    together = RunFolder(tmp_path / names[1] / "seed1")
    assert together.last_state.read_bytes() == alone.last_state.read_bytes()
    assert len(list(tmp_path.glob("*/seed*/metrics.json"))) == 4


def test_epochs_that_are_kept_can_be_measured(data, trained, tmp_path):
    folder = run(data, tmp_path, "--save-epochs", "1")
    found = figures(folder.saved_epoch(1, 2), data, tmp_path / "f.json")
    assert found["rule"] == "epoch 1"
    assert found["overall"] == pytest.approx(trained.read_history(1)[0]["overall"], abs=1e-4)
