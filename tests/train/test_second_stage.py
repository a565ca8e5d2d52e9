"""A second stage: it begins with its first stage's run of the same seed, and trains the classifier alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from ltzoo.errors import InputError
from ltzoo.registry import create_model, get_recipe
from ltzoo.train import RunFolder, TrainOptions, train, train_all

CRT = get_recipe("resnet20_digitslt_crt_sgd").with_epochs(2)
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
    seed = json.loads((Path(__file__).parents[2] / "hub/zoo/resnet20_digitslt_ce_sgd/config.json").read_text())["seed"]
    folder = train(CRT.with_epochs(1), options(tmp_path, seed=seed))
    overrides = json.loads(folder.metrics.read_text())["overrides"]
    assert "first_stage" not in overrides


def test_without_a_first_stage_of_the_seed_it_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"begins with resnet20_digitslt_ce_sgd, seed 77, which has no finished run in"
    ):
        train(CRT, options(tmp_path, seed=77))
    assert not list(tmp_path.iterdir())


def test_both_stages_in_one_command_are_refused(tmp_path):
    jobs = [(get_recipe("resnet20_digitslt_ce_sgd"), options(tmp_path)), (CRT, options(tmp_path))]
    with pytest.raises(InputError, match="begins with resnet20_digitslt_ce_sgd; train resnet20_digitslt_ce_sgd first"):
        train_all(jobs)


def test_other_images_than_the_first_stages_are_refused(second):
    with pytest.raises(InputError, match="was trained on different images than this run"):
        train(replace(CRT, subset="first"), options(second.path.parents[1], resume=True))
