"""A second stage: it begins with its first stage's run of the same seed, and trains the classifier alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from ltzoo import checkpoints
from ltzoo.checkpoints.files import write_manifest
from ltzoo.errors import InputError
from ltzoo.recipes import override
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import RunFolder, TrainOptions, first_stage, train, train_all
from ltzoo.train.start import find_start

CRT = get_recipe("resnet20_digitslt_crt_sgd").with_epochs(2)
ZOO = Path(__file__).parents[2] / "hub/zoo"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def options(output: Path, **changes) -> TrainOptions:
    return TrainOptions(Path("data"), output, **changes)


@pytest.fixture(scope="module")
def second(finished_run, tmp_path_factory) -> RunFolder:
    """A second stage beside a copy of its first, which ran for two epochs."""
    output = tmp_path_factory.mktemp("stages")
    first = output / "resnet20_digitslt_ce_sgd" / "seed0"
    shutil.copytree(finished_run.path, first)
    return train(CRT, options(output))


def states(second: RunFolder) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    first = second.path.parents[1] / "resnet20_digitslt_ce_sgd" / "seed0" / "checkpoint" / "model.safetensors"
    before = {key: value.float() if value.is_floating_point() else value for key, value in load_file(first).items()}
    state = load_file(second.last_state)
    return before, {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}


def test_only_the_classifier_and_batchnorms_statistics_move(second):
    before, after = states(second)
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved == {"fc.weight", "fc.bias", *(key for key in before if key.endswith(STATISTICS))}


def test_frozen_batchnorm_keeps_its_statistics(second, tmp_path):
    shutil.copytree(second.path.parents[1] / "resnet20_digitslt_ce_sgd", tmp_path / "resnet20_digitslt_ce_sgd")
    frozen = replace(CRT, trainable=replace(CRT.trainable, batchnorm="frozen"))
    before, after = states(train(frozen, options(tmp_path)))
    assert {key for key in before if not torch.equal(before[key], after[key])} == {"fc.weight", "fc.bias"}


def test_an_epoch_has_whole_batches_of_the_class_aware_sampler(second):
    steps = 438 // 32
    _, after = states(second)
    first = states(second)[0]["bn1.num_batches_tracked"]
    assert int(after["bn1.num_batches_tracked"] - first) == 2 * steps


def test_the_record_names_the_first_stage_and_its_weights(second):
    document = yaml.safe_load(second.recipe.read_text())
    assert document["start"] == {"name": "first_stage", "recipe": "resnet20_digitslt_ce_sgd", "head": "fresh"}
    assert len(document["run"]["start_sha256"]) == 64
    # The first stage was shortened: neither run is what its recipe says.
    assert document["overrides"]["first_stage"] == [
        None,
        "schedule.epochs, schedule.warmup_epochs, schedule.milestones",
    ]


def test_its_checkpoint_is_a_model_like_any_other(second):
    model = create_model(f"local-dir:{second.checkpoint}", pretrained=True)
    assert model.num_classes == 10
    assert json.loads(second.metrics.read_text())["last"]["images"] == 400


def test_a_published_first_stage_of_the_seed_will_do(tmp_path):
    seed = json.loads((ZOO / "resnet20_digitslt_ce_sgd/config.json").read_text())["seed"]
    folder = train(CRT.with_epochs(1), options(tmp_path, seed=seed))
    overrides = json.loads(folder.metrics.read_text())["overrides"]
    assert "first_stage" not in overrides


def test_a_published_first_stage_of_another_seed_is_named_and_recorded(tmp_path, capsys):
    """Several heads on one first stage: each run says so."""
    published = json.loads((ZOO / "resnet20_digitslt_ce_sgd/config.json").read_text())["seed"]
    runs = [train(CRT.with_epochs(1), options(tmp_path, seed=seed)) for seed in (77, 78)]
    said = f"of seed {published}: there is no checkpoint of seed 77, so this run's seed applies to the head alone"
    assert said in capsys.readouterr().err
    records = [yaml.safe_load(run.recipe.read_text())["run"] for run in runs]
    assert [(record["seed"], record["start_seed"]) for record in records] == [(77, published), (78, published)]
    assert records[0]["start_sha256"] == records[1]["start_sha256"]
    assert "first_stage" not in json.loads(runs[0].metrics.read_text())["overrides"]
    card = (runs[0].checkpoint / "README.md").read_text()
    assert f"of seed {published}: the seed of this run is that of its head alone" in card
    heads = [load_file(run.last_state)["model.fc.weight"] for run in runs]
    assert not torch.equal(*heads)


def test_a_run_of_the_seed_comes_before_a_published_first_stage(second):
    assert "start_seed" not in yaml.safe_load(second.recipe.read_text())["run"]


def test_first_stages_of_another_folder(second, tmp_path):
    folder = train(CRT, options(tmp_path, first_stages=second.path.parents[1]))
    hashes = [yaml.safe_load(run.recipe.read_text())["run"]["start_sha256"] for run in (folder, second)]
    assert len(set(hashes)) == 1


@pytest.mark.parametrize("second_stage", ["crt", "taunorm"])
def test_an_unfinished_first_stage_is_refused_although_another_seed_is_published(second, second_stage, tmp_path):
    first = tmp_path / "resnet20_digitslt_ce_sgd" / "seed7"
    shutil.copytree(second.path.parents[1] / "resnet20_digitslt_ce_sgd" / "seed0", first)
    (first / "metrics.json").unlink()
    said = f"begins with resnet20_digitslt_ce_sgd, whose run in {first} is not finished; continue it with --resume, or"
    with pytest.raises(InputError, match=said):
        train(get_recipe(f"resnet20_digitslt_{second_stage}_sgd"), options(tmp_path, seed=7))
    assert [path.name for path in tmp_path.iterdir()] == ["resnet20_digitslt_ce_sgd"]


def test_a_folder_that_is_named_must_hold_the_run_although_another_seed_is_published(second, tmp_path):
    runs = second.path.parents[1]
    for folder, seed, said in (
        (tmp_path / "typo", 0, "there is no folder"),
        (runs, 7, "there is no run of seed 7 of it"),
    ):
        looked_for = folder / "resnet20_digitslt_ce_sgd" / f"seed{seed}"
        with pytest.raises(InputError, match=said) as caught:
            train(CRT, options(tmp_path / "output", seed=seed, first_stages=folder))
        assert f"looked for {looked_for}): train it, with --recipe resnet20_digitslt_ce_sgd" in str(caught.value)
        assert str(caught.value).endswith("or leave --first-stages out")
    assert not (tmp_path / "output").exists()


def test_a_checkpoint_without_its_runs_files_is_not_called_unfinished(second, tmp_path):
    first = tmp_path / "resnet20_digitslt_ce_sgd" / "seed0"
    shutil.copytree(second.path.parents[1] / "resnet20_digitslt_ce_sgd/seed0/checkpoint", first / "checkpoint")
    with pytest.raises(InputError, match=r"is no whole run folder: it has checkpoint, and neither recipe.yaml nor met"):
        train(CRT, options(tmp_path))


def given_start(name, **changes):
    return override(CRT, {"start": {"name": "weights", "of": name}, **changes})


def test_a_given_first_stage_of_another_benchmark_is_warned_of(tmp_path):
    """And the architecture is not advised, by which its features would be taken."""
    cifar = "resnet32_cifar100lt_ce_sgd"
    found = find_start(given_start(cifar, architecture="resnet32_cifar"), options(tmp_path))
    assert found.warning and "second stage on digitslt" in found.warning and "trained on cifar100lt" in found.warning
    assert find_start(given_start("resnet20_digitslt_ce_sgd"), options(tmp_path)).warning is None
    with pytest.raises(InputError, match=r"trained on cifar100lt, and .* is a second stage on digitslt") as caught:
        find_start(given_start(cifar), options(tmp_path))
    assert "--arch" not in str(caught.value)


def test_without_any_first_stage_it_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(first_stage, "search_path", lambda: [tmp_path / "empty", "ltzoo"])
    with pytest.raises(InputError, match="begins with resnet20_digitslt_ce_sgd, which has no finished run of seed 77"):
        train(CRT, options(tmp_path, seed=77))
    assert not list(tmp_path.iterdir())


def changed_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str, name: str, **changes) -> None:
    """Publish a checkpoint under another name, or with other keys in its configuration."""
    folder = tmp_path / "zoo" / name
    shutil.copytree(ZOO / of, folder)
    checkpoints.update_config(folder, changes)
    write_manifest(folder)
    monkeypatch.setenv("LTZOO_HUB", str(tmp_path / "zoo"))


@pytest.mark.parametrize(
    ("of", "changes", "said"),
    [
        ("resnet20_digitslt_ce_sam", {"seed": 2}, "was trained by resnet20_digitslt_ce_sam; remove it"),
        ("resnet32_cifar100lt_ce_sgd", {"seed": 2}, "was trained by resnet32_cifar100lt_ce_sgd; remove it"),
        ("resnet20_digitslt_ce_sgd", {"label_names": list("abcdefghij")}, "was trained on other classes than this run"),
        ("resnet20_digitslt_ce_sgd", {"subset_sha256": "0"}, "was trained on different images than this run"),
        ("resnet20_digitslt_ce_sgd", {"recipe": None}, "names no recipe"),
    ],
)
def test_a_first_stage_of_something_else_is_refused(of, changes, said, tmp_path, monkeypatch):
    changed_zoo(tmp_path, monkeypatch, of, "resnet20_digitslt_ce_sgd", **changes)
    with pytest.raises(InputError, match=said):
        train(CRT, options(tmp_path / "output", seed=2))
    assert not (tmp_path / "output").exists()


def test_a_first_stage_without_weights_is_refused(tmp_path, monkeypatch):
    changed_zoo(tmp_path, monkeypatch, "resnet20_digitslt_ce_sgd", "resnet20_digitslt_ce_sgd")
    (tmp_path / "zoo" / "resnet20_digitslt_ce_sgd" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors is missing: train the first stage again, with --re"):
        train(CRT, options(tmp_path / "output", seed=2))


def test_both_stages_in_one_command_are_refused(tmp_path):
    jobs = [(get_recipe("resnet20_digitslt_ce_sgd"), options(tmp_path)), (CRT, options(tmp_path))]
    with pytest.raises(InputError, match="begins with resnet20_digitslt_ce_sgd; train resnet20_digitslt_ce_sgd first"):
        train_all(jobs)


def test_other_images_than_the_first_stages_are_refused(second):
    with pytest.raises(InputError, match="was trained on different images than this run"):
        train(replace(CRT, subset="first"), options(second.path.parents[1], resume=True))


def test_dro_lt_moves_the_backbone_under_the_first_head_and_then_that_head_alone(finished_run, tmp_path):
    shutil.copytree(finished_run.path, tmp_path / "resnet20_digitslt_ce_sgd" / "seed0")
    recipes = [get_recipe(f"resnet20_digitslt_{word}_sgd").with_epochs(2) for word in ("drolt_backbone", "drolt")]
    backbone, head = (train(override(recipe, {"sampler.draws": 96}), options(tmp_path)) for recipe in recipes)
    before, between = states(backbone)
    moved = {key for key in before if not torch.equal(before[key], between[key])}
    assert moved == {key for key in before if not key.startswith("fc.")}
    state = load_file(backbone.last_state)
    assert bool(state["loss.known"].any()) and bool((state["loss.radius"] != 1).any())
    stored = load_file(backbone.checkpoint / "model.safetensors")
    after = {key.removeprefix("model."): value for key, value in load_file(head.last_state).items()}
    assert {key for key, value in stored.items() if not torch.equal(value.float(), after[key].float())} == {
        "fc.weight",
        "fc.bias",
    }
