"""verify_checkpoint: an intact checkpoint passes, and every difference is reported."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from ltzoo.checkpoints import Verdict, verify_checkpoint, write_card
from ltzoo.checkpoints.files import write_manifest
from tests.checkpoints.changes import (
    better_in_one_group,
    change_config,
    change_metrics,
    change_weights,
    flip_bit,
    write_config,
)

CPU = torch.device("cpu")


def test_a_sound_checkpoint_has_no_difference_and_the_same_accuracy(as_recipe, tmp_path):
    assert verify_checkpoint(as_recipe, tmp_path, CPU) == Verdict((), 0.0)


def better(metrics):
    metrics["last"]["overall"] += 0.1


def other_class(metrics):
    metrics["last"]["per_class"][0] -= 50


def one_class_less(metrics):
    del metrics["last"]["per_class"][-1]


def change_card(folder, old, new):
    card = (folder / "README.md").read_text()
    assert old in card
    (folder / "README.md").write_text(card.replace(old, new))
    write_manifest(folder)


def change_example(folder, images):
    path = folder / "test" / "rand_tensors.safetensors"
    save_file({"input": images, "output": load_file(path)["output"]}, path)
    write_manifest(folder)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda folder: flip_bit(folder / "classes.png"), "classes.png is not the file that SHA256SUMS lists"),
        (lambda folder: (folder / "summary.csv").unlink(), "summary.csv is not the file that SHA256SUMS lists"),
        (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
        (lambda folder: change_config(folder, recipe="gone"), "config.json names no recipe"),
        (lambda folder: change_config(folder, metrics="gone"), "lacks what a run writes .KeyError: 'metrics'"),
        (lambda folder: write_config(folder, "{"), "config.json is damaged"),
        (
            lambda folder: change_weights(folder, lambda weights: weights["fc.weight"].neg_()),
            "the model gives another output than",
        ),
        (
            lambda folder: change_weights(folder, lambda weights: weights["fc.weight"].fill_(torch.nan)),
            "logits are NaN, so there is no prediction",
        ),
        (lambda folder: change_metrics(folder, better), "README.md: its metadata are not those"),
        (lambda folder: change_metrics(folder, better), "config.json: its metrics is not what it should be"),
        (lambda folder: change_metrics(folder, better_in_one_group), "measured again differs by 0.10 points"),
        (lambda folder: change_metrics(folder, other_class), "the accuracy of a class differs by more than 3 points"),
        (lambda folder: change_metrics(folder, one_class_less), "metrics.json: its class counts are not those of"),
        (lambda folder: change_config(folder, recipe=None), "config.json names no recipe"),
        (lambda folder: change_config(folder, seed=7), "config.json: its seed is not what it should be"),
        (lambda folder: change_config(folder, subset_sha256="0"), "its subset_sha256 is not what it should be"),
        (lambda folder: change_config(folder, class_counts=[1]), "its class_counts is not what it should be"),
        (lambda folder: change_config(folder, groups={}), "its groups is not what it should be"),
        (lambda folder: change_card(folder, "| measured, last epoch |", "| 99.9"), "its figures are not those"),
        (lambda folder: change_example(folder, torch.zeros(1, 3, 16, 16)), "lacks what a run writes .RuntimeError"),
        (lambda folder: change_example(folder, torch.zeros(0, 1, 16, 16)), "it is not one image and its output"),
    ],
)
def test_each_difference_is_named(damage, match, checkpoint, tmp_path):
    damage(checkpoint)
    verdict = verify_checkpoint(checkpoint, tmp_path, CPU)
    assert any(re.search(match, line) for line in verdict.differences), verdict


def test_without_a_data_folder_nothing_is_measured(as_recipe):
    assert verify_checkpoint(as_recipe, None, CPU) == Verdict((), None, "no data folder was given")


def test_without_data_accuracy_is_not_measured_and_why_is_said(checkpoint, tmp_path):
    recipe = json.loads((checkpoint / "config.json").read_text())["recipe"]
    change_config(checkpoint, recipe=recipe | {"benchmark": "cifar10lt"})
    write_card(checkpoint)
    write_manifest(checkpoint)
    verdict = verify_checkpoint(checkpoint, tmp_path, CPU)
    assert verdict.accuracy is None
    assert "no cifar10 in" in verdict.unmeasured
