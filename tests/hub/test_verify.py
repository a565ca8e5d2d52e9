"""A checkpoint is what it says, or the difference is named; the scripts of hub/ over it."""

import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

import publish
import verify
from ltzoo.hub import Verdict, places, verify_checkpoint, write_card
from ltzoo.hub.manifest import write_manifest
from ltzoo.report import result_of, write_result
from tests.hub.checkpoints import NAME, change_config, change_weights, flip_bit, write_config
from tests.report.results import result

CPU = torch.device("cpu")


def change_metrics(folder, change):
    metrics = json.loads((folder / "metrics.json").read_text())
    change(metrics)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_manifest(folder)


def test_a_sound_checkpoint_has_no_difference_and_the_same_accuracy(as_recipe, tmp_path):
    assert verify_checkpoint(as_recipe, tmp_path, CPU) == Verdict((), 0.0)


def better(metrics):
    metrics["last"]["overall"] += 0.1


def better_in_one_group(metrics):
    metrics["last"]["groups"]["count"]["tail"] += 0.1


def other_class(metrics):
    metrics["last"]["per_class"][0] -= 50


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
        (lambda folder: change_metrics(folder, better), "README.md: its metadata are not those"),
        (lambda folder: change_metrics(folder, better), "config.json: its metrics is not what it should be"),
        (lambda folder: change_metrics(folder, better_in_one_group), "measured again differs by 0.10 points"),
        (lambda folder: change_metrics(folder, other_class), "the accuracy of a class differs by more than 3 points"),
        (lambda folder: change_config(folder, recipe=None), "lacks what a run writes|must be a mapping"),
        (lambda folder: change_config(folder, seed=7), "config.json: its seed is not what it should be"),
        (lambda folder: change_config(folder, subset_sha256="0"), "its subset_sha256 is not what it should be"),
        (lambda folder: change_config(folder, class_counts=[1]), "its class_counts is not what it should be"),
        (lambda folder: change_config(folder, groups={}), "its groups is not what it should be"),
        (lambda folder: change_card(folder, "| measured, last epoch |", "| 99.9"), "its figures are not those"),
        (lambda folder: change_example(folder, torch.zeros(1, 3, 16, 16)), "lacks what a run writes .RuntimeError"),
        (lambda folder: change_example(folder, torch.zeros(0, 1, 16, 16)), "another output|lacks what a run writes"),
    ],
)
def test_each_difference_is_named(damage, match, checkpoint, tmp_path):
    damage(checkpoint)
    verdict = verify_checkpoint(checkpoint, tmp_path, CPU)
    assert any(re.search(match, line) for line in verdict.differences), verdict


def test_without_data_accuracy_is_not_measured_and_why_is_said(checkpoint, tmp_path):
    recipe = json.loads((checkpoint / "config.json").read_text())["recipe"]
    change_config(checkpoint, recipe=recipe | {"benchmark": "cifar10lt"})
    write_card(checkpoint)
    write_manifest(checkpoint)
    verdict = verify_checkpoint(checkpoint, tmp_path, CPU)
    assert verdict.accuracy is None
    assert "no cifar10 in" in verdict.unmeasured


def test_verify_says_what_holds_and_exits_with_1_where_something_differs(checkpoint, capsys):
    model = f"local-dir:{checkpoint}"
    assert verify.main([model, "--device", "cpu"]) == 0
    assert "hash, card and round trip hold; accuracy differs by 0.0" in capsys.readouterr().out
    flip_bit(checkpoint / "curves.png")
    assert verify.main([model, "--device", "cpu"]) == 1
    shown = capsys.readouterr().out
    assert "DIFFERS: curves.png is not the file that SHA256SUMS lists" in shown
    assert "1 checkpoints looked at, 1 different" in shown
    assert verify.main([NAME, "--hub", str(checkpoint.parents[1])]) == 2


def test_verify_fetches_whole_checkpoints_from_the_hub(checkpoint, small_hub, capsys):
    assert publish.main([NAME, "--org", "zoo", "--zoo", str(checkpoint.parent)]) == 0
    assert verify.main([f"hf-hub:zoo/{NAME}", "--device", "cpu"]) == 0
    assert "accuracy differs by 0.0" in capsys.readouterr().out


def test_publish_names_what_it_sent_and_gathers_a_collection(checkpoint, small_hub, capsys):
    zoo = ["--org", "zoo", "--zoo", str(checkpoint.parent)]
    assert publish.main([NAME, *zoo, "--dry-run", "--collection"]) == 0
    assert f"zoo/{NAME}: 9 files would be sent (README.md, " in capsys.readouterr().out
    assert small_hub.store.repositories == {}
    assert publish.main(["--all", *zoo, "--private", "--collection"]) == 0
    assert ", now v1\ncollection: zoo/ltzoo-long-tailed" in capsys.readouterr().out
    assert small_hub.store.repositories[f"zoo/{NAME}"].private
    assert publish.main(["--all", *zoo]) == 0
    assert f"zoo/{NAME}: unchanged, now v1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "arguments", "match"),
    [
        (
            lambda folder: change_config(folder, overrides={"schedule.epochs": [40, 2]}),
            [],
            "with overrides (schedule.ep",
        ),
        (lambda folder: change_config(folder, recipe="gone"), [], "names no recipe; publish a model of your own with"),
        (lambda folder: flip_bit(folder / "curves.png"), [], "is not what it says: curves.png is not the file"),
        (lambda folder: change_metrics(folder, better_in_one_group), ["--data-dir", "."], "measured again differs"),
        (lambda folder: None, ["--all"], "say which checkpoints: names or --all, not both"),
    ],
)
def test_publish_refuses_and_sends_nothing(damage, arguments, match, checkpoint, small_hub, capsys):
    damage(checkpoint)
    assert publish.main([NAME, "--org", "zoo", "--zoo", str(checkpoint.parent), *arguments]) == 2
    error = capsys.readouterr().err
    assert match in error
    assert error.count("\n") == 1
    assert small_hub.asked == []


def test_publish_refuses_another_recipe_under_the_name(checkpoint, small_hub, capsys):
    recipe = json.loads((checkpoint / "config.json").read_text())["recipe"]
    change_config(checkpoint, recipe=recipe | {"batch_size": 64})
    assert publish.main([NAME, "--org", "zoo", "--zoo", str(checkpoint.parent)]) == 2
    assert "was not trained by the recipe" in capsys.readouterr().err


def test_publish_refuses_another_seed_under_the_name(checkpoint, small_hub, capsys):
    checkpoint.rename(checkpoint.with_name(f"{NAME}.seed7"))
    assert publish.main([f"{NAME}.seed7", "--org", "zoo", "--zoo", str(checkpoint.parent)]) == 2
    assert "holds the run of seed 0, not 7" in capsys.readouterr().err


def test_the_package_and_its_results_are_held_against_each_other(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(verify, "PACKAGED", checkpoint.parent)
    monkeypatch.setattr(places, "PACKAGED", checkpoint.parent)
    results, arguments = tmp_path / "results", ["--device", "cpu", "--results", str(tmp_path / "results")]
    measured = replace(result_of(checkpoint), weights="zoo")
    write_result(results, measured)
    assert verify.main(arguments) == 0
    capsys.readouterr()
    write_result(results, replace(measured, subset_sha256="another"))
    write_result(results, replace(measured, seed=1, weights=None))
    write_result(results, result("resnet20_digitslt_ce_sam", weights="zoo"))
    assert verify.main(arguments) == 1
    shown = capsys.readouterr().out
    assert f"{NAME}: DIFFERS: results/{NAME}/seed0.json says otherwise than the checkpoint" in shown
    assert "resnet20_digitslt_ce_sam: DIFFERS: results/resnet20_digitslt_ce_sam/seed0.json says that its" in shown
    assert "2 checkpoints looked at, 2 different" in shown
    assert verify.main([NAME, *arguments]) == 1
    assert "1 checkpoints looked at, 1 different" in capsys.readouterr().out
