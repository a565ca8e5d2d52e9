"""Several runs in one call: each has the result that it has alone, and one that fails stops none."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ltzoo.errors import InputError
from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder, TrainOptions, side_by_side, train, train_all

RECIPE = get_recipe("resnet20_digitslt_ce_sgd").with_epochs(1)


def test_each_result_of_runs_that_take_turns_is_that_of_the_run_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(side_by_side, "_queues", lambda count, device: [nullcontext] * count)
    options = TrainOptions(Path("data"), tmp_path / "together")
    folders = train_all([(RECIPE, replace(options, seed=seed)) for seed in (3, 4)])
    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in said if "epoch 1/1" in line] == [f"{RECIPE.name}.seed{k}" for k in (3, 4)]
    for seed, folder in zip((3, 4), folders, strict=True):
        alone = train(RECIPE, TrainOptions(Path("data"), tmp_path / "alone", seed=seed))
        for file in ("checkpoint/model.safetensors", "metrics.json"):
            assert (alone.path / file).read_bytes() == (folder.path / file).read_bytes(), file


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_runs_on_streams_of_their_own_end_as_alone(tmp_path):
    recipe = get_recipe("resnet20_digitslt_vs_ssesam").with_epochs(4)
    jobs = [(recipe, TrainOptions(Path("data"), tmp_path / "together", seed=seed)) for seed in range(3)]
    for (_, options), folder in zip(jobs, train_all(jobs), strict=True):
        alone = train(recipe, replace(options, output=tmp_path / "alone"))
        losses = [[row["train_loss"] for row in run.read_history(4)] for run in (alone, folder)]
        assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_trackers_are_refused_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setattr(side_by_side, "_queues", lambda count, device: [nullcontext] * count)
    options = TrainOptions(Path("data"), tmp_path, trackers=("wandb",))
    with pytest.raises(InputError, match="trackers log one run at a time"):
        train_all([(RECIPE, options), (RECIPE, replace(options, seed=1))])


def test_a_run_that_fails_stops_none_of_the_others(tmp_path):
    (tmp_path / RECIPE.name / "seed0").mkdir(parents=True)
    with pytest.raises(InputError, match=r"^the run folder .*seed0 exists; add --resume"):
        jobs = [(RECIPE, TrainOptions(Path("data"), tmp_path, seed=seed)) for seed in (0, 1)]
        reported: list = []
        train_all(jobs, lambda recipe, folder: reported.append(folder.path.name))
    assert reported == ["seed1"]
    assert RunFolder(tmp_path / RECIPE.name / "seed1").metrics.exists()


def test_runs_that_cannot_be_trained_side_by_side_are_refused(tmp_path):
    options = TrainOptions(Path("data"), tmp_path)
    with pytest.raises(InputError, match="two runs would share a folder"):
        train_all([(RECIPE, options), (RECIPE, options)])
    with pytest.raises(InputError, match="must have the same precision, not bfloat16, float32"):
        train_all([(RECIPE, options), (replace(RECIPE, precision="bfloat16"), replace(options, seed=1))])
    assert not any(tmp_path.iterdir())
