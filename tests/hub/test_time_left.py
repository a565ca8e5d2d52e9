"""The time that a build takes, by the epochs measured in its run folders."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from ltzoo.registry import get_recipe
from ltzoo.train import RunFolder
from ltzoo.train.run_folder import SUMMARY_COLUMNS
from time_left import time_left

SGD, SAM = get_recipe("resnet32_cifar100lt_ce_sgd"), get_recipe("resnet32_cifar100lt_vs_sam")
OTHER = get_recipe("resnet20_digitslt_ce_sgd")


def saved(folder, progress):
    """Write the part of a run's state that says how far it is."""
    folder.last_state.parent.mkdir(parents=True)
    save_file({"weight": torch.zeros(())}, folder.last_state, {"state": json.dumps({"progress": progress})})


def measured(output, recipe, seconds, evaluation=None, seed=0):
    """Write the history of a run whose epochs took so many seconds each."""
    folder = RunFolder(output / recipe.name / f"seed{seed}")
    saved(folder, {"epochs": len(seconds)})
    empty = dict.fromkeys(SUMMARY_COLUMNS)
    folder.write_history(
        [empty | {"epoch": k, "seconds": value, "eval_seconds": evaluation} for k, value in enumerate(seconds)]
    )


def test_an_unfinished_run_goes_on_at_its_own_pace(tmp_path):
    measured(tmp_path, SGD, [100.0] * 50, evaluation=20.0)
    assert time_left([(SGD, 0)], tmp_path, 1) == [
        "unfinished: resnet32_cifar100lt_ce_sgd, seed 0: 50 of 200 epochs, 5 h 0 min left (120.0 s per epoch)",
        "time left by measured epochs: 5 h 0 min for 1 run",
    ]


def test_a_run_that_was_stopped_in_its_first_epoch_is_unfinished(tmp_path):
    saved(RunFolder(tmp_path / SGD.name / "seed0"), {"epochs": 0, "step": 74})
    assert time_left([(SGD, 0)], tmp_path, 1)[0] == (
        "unfinished: resnet32_cifar100lt_ce_sgd, seed 0: 0 of 200 epochs and 74 steps"
    )


def test_other_runs_take_their_passes_at_the_pace_of_their_network(tmp_path):
    measured(tmp_path, SGD, [18.0] * 200, seed=3)  # 6 s per forward pass; SAM has 6 passes
    short = replace(SAM, schedule=replace(SAM.schedule, epochs=10, milestones=(5, 8)))
    assert time_left([(short, 0), (SGD, 1)], tmp_path, 2) == [
        "time left by measured epochs: 60 min for 2 runs, 2 at once"  # 36 * 10 s beside 18 * 200 s
    ]
    assert time_left([(short, 0)] * 4, tmp_path, 2) == ["time left by measured epochs: 12 min for 4 runs, 2 at once"]
    assert time_left([(SGD, 1)], tmp_path, 4) == ["time left by measured epochs: 60 min for 1 run, 4 at once"]


def test_an_epoch_with_more_draws_than_images_takes_longer(tmp_path):
    measured(tmp_path, SGD, [30.0] * 10)
    backbone = get_recipe("resnet32_cifar100lt_drolt_backbone_sgd")  # 80 epochs of 50,000 draws from 10,847 images
    seconds = 80 * 30 * 50_000 / 10_847
    assert time_left([(backbone, 0)], tmp_path, 1) == [
        f"time left by measured epochs: 3 h {round(seconds / 60) - 180} min for 1 run"
    ]


def test_a_network_without_a_measured_epoch_is_named(tmp_path):
    measured(tmp_path, SGD, [1.0])
    (tmp_path / "stray" / "seed0").mkdir(parents=True)
    damaged = tmp_path / SGD.name / "seed1" / "summary.csv"
    damaged.parent.mkdir()
    damaged.write_text("no table")
    lines = time_left([(OTHER, 0), (SGD, 0)], tmp_path, 1)
    assert lines[1:] == [
        "time left by measured epochs: 3 min for 1 run",
        f"time unknown for 1 run: no epoch measured in {tmp_path} of resnet20_cifar on digitslt",
    ]


@pytest.mark.parametrize("at_once", [1, 4])
def test_nothing_to_do_has_no_time(tmp_path, at_once):
    assert time_left([], tmp_path, at_once) == []
